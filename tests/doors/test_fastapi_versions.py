"""What holds on every FastAPI that is supported, however it keeps its routes; `make test-matrix` runs this on each.

From 0.137 on an included router is one entry of a tree, and the same route may be reached through
several inclusions. Each must be gated once, with its own plan, and none may be left open.
"""

from typing import Annotated

import fastapi
import pytest
from fastapi import APIRouter, Depends, FastAPI, Security, WebSocket
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.staticfiles import StaticFiles
from starlette.testclient import WebSocketDenialResponse

from bailiwick import Principal, ScopeSet, all_of
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard
from bailiwick.frameworks.fastapi.compat import check_version


@pytest.fixture
def guard(catalog, issuer, heard):
    return Guard(catalog, issuer, on_decision=heard.append)


def denied(client, path, headers):
    """The status with which a WebSocket is refused before it is accepted."""
    with pytest.raises(WebSocketDenialResponse) as refusal, client.websocket_connect(path, headers=headers):
        pass
    return refusal.value.status_code


# -- which versions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0.137.0", "0.137.1", "0.137.1.post1", "0.123.9", "0.115.14", "0.99.1"])
def test_a_fastapi_whose_routes_cannot_be_walked_is_refused_where_the_guard_is_made(
    catalog, issuer, monkeypatch, version
):
    monkeypatch.setattr(fastapi, "__version__", version)

    with pytest.raises(ConfigurationError, match=rf"FastAPI {version} is not supported.*0\.123\.10") as failed:
        Guard(catalog, issuer)
    assert failed.value.id == "BW124"


@pytest.mark.parametrize("version", ["0.123.10", "0.136.3", "0.137.2", "0.140.0", "0.165.0", "1.0.0", "0.166.0rc1"])
def test_every_other_fastapi_is_taken(version):
    check_version(version)


@pytest.mark.parametrize("version", ["1.10.27", "1.9", "0.32.2"])
def test_pydantic_1_is_refused_where_the_guard_is_made(catalog, issuer, monkeypatch, version):
    # As it is where only pydantic's version differs: FastAPI 0.123 to 0.125 run on it.
    monkeypatch.setattr("bailiwick.frameworks.fastapi.compat.pydantic.VERSION", version)

    with pytest.raises(ConfigurationError, match=rf"pydantic {version} is not supported") as failed:
        Guard(catalog, issuer)
    assert failed.value.id == "BW124"


def test_the_installed_fastapi_is_taken():
    check_version()


# -- included routers -----------------------------------------------------------------------------------


def test_an_unsettled_route_of_an_included_router_fails_the_start(app, guard):
    inner, outer = APIRouter(prefix="/inner"), APIRouter(prefix="/outer")

    @inner.get("/open")
    async def open_route():
        return "secret"

    @inner.websocket("/ws")
    async def socket(websocket: WebSocket):
        await websocket.accept()

    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")

    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass

    assert failed.value.id == "BW120"
    assert "GET /v1/outer/inner/open" in str(failed.value)
    assert "WS /v1/outer/inner/ws" in str(failed.value)
    response = TestClient(app, raise_server_exceptions=False).get("/v1/outer/inner/open")
    assert response.status_code == 500
    assert "secret" not in response.text


def test_each_inclusion_of_one_router_has_a_gate_with_its_own_plan(app, guard, issuer, heard):
    router = APIRouter()

    @router.get("/x")
    async def x(caller: Annotated[Principal, guard.requires("users:read")]):
        return caller.subject

    app.include_router(router, prefix="/a", dependencies=[guard.requires("items")])
    app.include_router(router, prefix="/b", dependencies=[guard.requires("me")])
    app.include_router(router, prefix="/c")
    client = TestClient(app)

    needed = {route.path: route.requirement for route in guard.plan(app) if route.path.endswith("/x")}
    assert needed == {
        "/a/x": all_of("items", "users:read"),
        "/b/x": all_of("me", "users:read"),
        "/c/x": all_of("users:read"),
    }
    for path, enough, too_few in [
        ("/a/x", "items users:read", "me users:read"),
        ("/b/x", "me users:read", "items users:read"),
        ("/c/x", "users:read", "items me"),
    ]:
        heard.clear()
        assert client.get(path, headers=issuer.bearer(enough)).json() == "alice"
        assert client.get(path, headers=issuer.bearer(too_few)).status_code == 403
        assert client.get(path).status_code == 401
        assert [one.route.path for one in heard] == [path] * 3  # once for each request


def test_an_included_route_is_decided_before_any_dependency_and_before_the_body(app, guard, issuer):
    ran = []

    async def database():
        ran.append("database")

    router = APIRouter(dependencies=[Depends(database)])

    @router.post("/x")
    async def x(data: dict, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return [data, caller.subject]

    app.include_router(router, prefix="/in")
    client = TestClient(app)
    json = {"content-type": "application/json"}

    assert client.post("/in/x", content="{bad", headers=json).status_code == 401
    assert client.post("/in/x", content="{bad", headers=json | issuer.bearer("me")).status_code == 403
    assert ran == []
    assert client.post("/in/x", content="{bad", headers=json | issuer.bearer("items")).status_code == 422
    assert client.post("/in/x", json={"a": 1}, headers=issuer.bearer("items")).json() == [{"a": 1}, "alice"]
    assert ran[-1:] == ["database"]


def test_a_wrong_method_on_an_included_route_is_405_and_an_unknown_path_404(app, guard, issuer):
    router = APIRouter()

    @router.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "in"

    app.include_router(router, prefix="/in")
    client = TestClient(app)

    refused = client.post("/in/x")
    assert refused.status_code == 405
    assert refused.headers["allow"] == "GET"
    assert client.get("/in/y").status_code == 404
    assert client.get("/in/x/", follow_redirects=False).status_code == 307
    assert client.get("/in/x", headers=issuer.bearer("items")).json() == "in"


def test_two_methods_at_one_included_path_have_a_gate_each(app, guard, issuer):
    router = APIRouter()

    @router.get("/x", dependencies=[guard.requires("items")])
    async def read():
        return "read"

    @router.post("/x", dependencies=[guard.requires("me")])
    async def write():
        return "written"

    app.include_router(router)
    client = TestClient(app)

    assert client.get("/x", headers=issuer.bearer("items")).json() == "read"
    assert client.post("/x", headers=issuer.bearer("items")).status_code == 403
    assert client.post("/x", headers=issuer.bearer("me")).json() == "written"
    assert client.get("/x", headers=issuer.bearer("me")).status_code == 403


def test_everything_that_a_router_can_hold_is_gated_where_it_is_included(app, guard, issuer, heard, tmp_path):
    (tmp_path / "a.txt").write_text("static")
    router = APIRouter()

    @router.websocket("/ws")
    async def socket(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await websocket.accept()
        await websocket.send_text(caller.subject)
        await websocket.close()

    async def plain(request):
        return PlainTextResponse("plain")

    sub = FastAPI()

    @sub.get("/deep", dependencies=[guard.requires("items")])
    async def deep():
        return "deep"

    router.add_route("/plain", plain)
    router.mount("/files", StaticFiles(directory=tmp_path))
    router.mount("/sub", sub)
    app.include_router(router, prefix="/in")
    other = FastAPI()
    guard.protect(other, default=guard.requires("items"))
    other.include_router(router, prefix="/in")
    client = TestClient(other)

    paths = {route.path for route in guard.plan(other)}
    with client.websocket_connect("/in/ws", headers=issuer.bearer("items")) as websocket:
        assert websocket.receive_text() == "alice"
    assert denied(client, "/in/ws", {}) == 401
    assert denied(client, "/in/ws", issuer.bearer("me")) == 403
    # Releases before 0.137 left mounts behind when they included a router.
    present = {"/in/plain": "plain", "/in/files/a.txt": "static", "/in/sub/deep": '"deep"'}
    if "/in/files" not in paths:
        present = {"/in/plain": "plain"}
        assert client.get("/in/files/a.txt", headers=issuer.bearer("items")).status_code == 404
    for path, text in present.items():
        heard.clear()
        assert client.get(path).status_code == 401, path
        assert client.get(path, headers=issuer.bearer("me")).status_code == 403, path
        assert client.get(path, headers=issuer.bearer("items")).text == text
        assert len(heard) == 3
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)  # the same router, where nothing settles what declares nothing
    assert "/in/plain" in str(failed.value)
    assert "/in/ws" not in str(failed.value)


def test_a_router_shared_with_an_unprotected_application_is_guarded_in_the_protected_one_only(app, guard, issuer):
    router = APIRouter()

    @router.get("/x")
    async def x():
        return "in"

    other = FastAPI()
    for one, dependencies in ((app, [guard.requires("items")]), (other, [])):
        one.include_router(router, dependencies=dependencies)
    protected, open_one = TestClient(app), TestClient(other)

    assert protected.get("/x").status_code == 401
    assert open_one.get("/x").json() == "in"
    assert protected.get("/x", headers=issuer.bearer("items")).json() == "in"


def test_a_router_shared_by_two_guards_answers_to_each_in_its_application(app, guard, catalog, issuer):
    class Strangers:
        async def verify(self, token):
            return Principal("stranger", ScopeSet(["me"]))

    theirs = Guard(catalog, Strangers())
    router = APIRouter()

    @router.get("/x")
    async def x():
        return "in"

    other = FastAPI()
    theirs.protect(other)
    app.include_router(router, dependencies=[guard.requires("items")])
    other.include_router(router, dependencies=[theirs.requires("me")])

    assert TestClient(app).get("/x", headers={"Authorization": "Bearer x"}).status_code == 401
    assert TestClient(other).get("/x", headers={"Authorization": "Bearer x"}).json() == "in"
    assert TestClient(app).get("/x", headers=issuer.bearer("items")).json() == "in"


def test_a_route_added_late_to_a_router_that_two_applications_share_is_closed_in_both(app, guard, issuer, heard):
    other = FastAPI()
    guard.protect(other)
    inner, router = APIRouter(), APIRouter()

    @router.get("/first", dependencies=[guard.requires("items")])
    async def first():
        return 1

    router.include_router(inner)
    app.include_router(router)
    other.include_router(router)
    clients = TestClient(app), TestClient(other)
    for client in clients:
        assert client.get("/first", headers=issuer.bearer("items")).status_code == 200

    for late in (router, inner):

        @late.get(f"/late-{len(late.routes)}")
        async def open_route():
            return "open"

    for client in clients:
        for path in (route.path for route in (*router.routes, *inner.routes) if "/late-" in getattr(route, "path", "")):
            response = client.get(path, headers=issuer.bearer("admin:*"))
            assert response.status_code in {403, 404}, path  # before 0.137 it is not served at all
            assert "open" not in response.text
        heard.clear()
        assert client.get("/first", headers=issuer.bearer("items")).status_code == 200
        assert client.get("/first").status_code == 401
        assert len(heard) == 2  # compiled again, and still gated once


def test_overrides_reach_included_routes_and_websockets(app, guard):
    router = APIRouter()

    async def socket(websocket: WebSocket, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        await websocket.accept()
        await websocket.send_text(caller.subject)
        await websocket.close()

    @router.get("/x")
    async def x(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    router.add_api_websocket_route("/ws", socket)
    app.add_api_websocket_route("/direct", socket)
    app.include_router(router, prefix="/in")
    client = TestClient(app)
    app.dependency_overrides[guard] = lambda: Principal("stand-in", ScopeSet())

    assert client.get("/in/x").json() == "stand-in"
    for path in ("/in/ws", "/direct"):
        with client.websocket_connect(path) as websocket:
            assert websocket.receive_text() == "stand-in"
    app.dependency_overrides.clear()
    assert client.get("/in/x").status_code == 401
    for path in ("/in/ws", "/direct"):
        assert denied(client, path, {}) == 401


def test_a_route_class_of_the_applications_own_still_makes_the_handler(app, guard, issuer):
    class Counting(APIRoute):
        def get_route_handler(self):
            handler = super().get_route_handler()

            async def counted(request):
                response = await handler(request)
                response.headers["x-counted"] = "yes"
                return response

            return counted

    router = APIRouter(route_class=Counting)

    @router.get("/x")
    async def x(caller: Annotated[Principal, guard.requires("items")]):
        return caller.subject

    app.include_router(router, prefix="/in")
    response = TestClient(app).get("/in/x", headers=issuer.bearer("items"))

    assert response.json() == "alice"
    assert response.headers["x-counted"] == "yes"
    assert TestClient(app).get("/in/x").status_code == 401


@pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="app.frontend() came with FastAPI 0.138")
@pytest.mark.parametrize("included", [False, True])
def test_a_frontend_is_gated_wherever_it_is_declared(guard, issuer, heard, tmp_path, included):
    (tmp_path / "index.html").write_text("<h1>page</h1>")
    undeclared, app = FastAPI(), FastAPI()
    guard.protect(undeclared)
    guard.protect(app, default=guard.requires("items"))
    for one in (undeclared, app):
        target = APIRouter() if included else one
        target.frontend("/ui", directory=tmp_path)
        if included:
            one.include_router(target, prefix="/in")
    path = "/in/ui/index.html" if included else "/ui/index.html"
    client = TestClient(app)

    assert client.get(path).status_code == 401
    assert client.get(path, headers=issuer.bearer("me")).status_code == 403
    assert client.get(path, headers=issuer.bearer("items")).text == "<h1>page</h1>"
    assert len(heard) == 3
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(undeclared)
    assert failed.value.id == "BW120"
