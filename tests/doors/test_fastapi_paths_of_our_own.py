"""What is public or served by itself: FastAPI's own documentation and the resource's metadata, and nothing else at their paths."""

import pytest
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from bailiwick.asgi import Resource
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard

METADATA = "/.well-known/oauth-protected-resource"


@pytest.fixture
def resource_guard(catalog, issuer):
    return Guard(catalog, issuer, resource=Resource("https://api.example", ("https://as.example",)))


async def secret(_request):
    return PlainTextResponse("secret")


async def secret_socket(socket: WebSocket):
    await socket.accept()
    await socket.send_text("secret")
    await socket.close()


def post_beside_the_page(app):
    app.add_route("/docs", secret, methods=["POST"])


def get_in_front_of_the_document(app):
    app.router.routes.insert(0, Route("/openapi.json", secret))


def get_behind_the_page(app):
    app.add_route("/docs/oauth2-redirect", secret)


def every_method_at_the_page(app):
    app.add_route("/redoc", secret, methods=["GET", "POST"])


def websocket_at_the_page(app):
    app.router.add_websocket_route("/redoc", secret_socket)


@pytest.mark.parametrize(
    "add",
    [
        post_beside_the_page,
        get_in_front_of_the_document,
        get_behind_the_page,
        every_method_at_the_page,
        websocket_at_the_page,
    ],
)
@pytest.mark.parametrize("mounted", [False, True])
def test_only_fastapis_own_documentation_is_public_and_not_what_else_stands_at_its_paths(guard, add, mounted):
    app = FastAPI()
    guard.protect(app)
    if mounted:
        inner = FastAPI()
        app.mount("/inner", inner)
        add(inner)
    else:
        add(app)

    with pytest.raises(ConfigurationError, match="secret") as refused:
        guard.plan(app)
    assert refused.value.id == "BW120"


def test_a_route_at_a_documentation_path_is_settled_like_any_other(guard, issuer):
    app = FastAPI()
    guard.protect(app, docs=guard.public("pages"), default=guard.requires("users:read"))
    post_beside_the_page(app)
    client = TestClient(app)

    assert client.get("/docs").status_code == 200
    assert client.post("/docs").status_code == 401
    assert client.post("/docs", headers=issuer.bearer("users:read")).text == "secret"


def test_the_documentation_of_an_application_is_still_public_wherever_it_stands(guard):
    app = FastAPI(docs_url="/manual", openapi_url="/api/document.json")
    guard.protect(app)
    app.mount("/inner", FastAPI())
    client = TestClient(app)

    for path in (
        "/manual",
        "/api/document.json",
        "/redoc",
        "/docs/oauth2-redirect",
        "/inner/docs",
        "/inner/openapi.json",
    ):
        assert client.get(path).status_code == 200
        assert client.head(path).status_code == 200
    assert {route.reason for route in guard.plan(app)} == {"API documentation"}


def test_only_the_guards_own_metadata_is_public_and_not_what_else_stands_at_its_path(resource_guard):
    app = FastAPI()
    resource_guard.protect(app)
    app.add_route(METADATA, secret, methods=["POST"])

    with pytest.raises(ConfigurationError, match="secret") as refused:
        resource_guard.plan(app)
    assert refused.value.id == "BW120"


@pytest.mark.parametrize("early", [True, False])
@pytest.mark.parametrize("what", ["catch-all", "mount"])
def test_clients_find_the_metadata_whatever_catches_all_other_paths(resource_guard, issuer, what, early):
    guard = resource_guard
    app = FastAPI()
    mounts = {"/": guard.public("site")} if what == "mount" else {}
    if early:
        guard.protect(app, mounts=mounts)
    if what == "mount":
        app.mount("/", PlainTextResponse("site"))
    else:

        @app.get("/{path:path}", dependencies=[guard.requires("users:read")])
        async def site(path: str):
            return path

    if not early:
        guard.protect(app, mounts=mounts)
    client = TestClient(app)

    found = client.get(METADATA)
    assert found.status_code == 200
    assert found.json()["resource"] == "https://api.example"
    if what == "mount":
        assert client.get("/anything").text == "site"
    else:
        assert client.get("/anything").status_code == 401
        assert client.get("/anything", headers=issuer.bearer("users:read")).json() == "anything"
