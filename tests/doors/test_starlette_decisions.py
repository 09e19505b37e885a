"""What `on_decision` hears, and the log says: the entry of the plan that was enforced, whichever way the route was reached."""

import functools
import gc
import logging

import pytest
from either_side import Passing, asgi_said, said
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient, WebSocketDenialResponse

from bailiwick.asgi import Guard as PlainGuard
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.starlette import Guard


@pytest.fixture
def guard(catalog, issuer, heard):
    return Guard(catalog, issuer, on_decision=heard.append)


class Said(HTTPEndpoint):
    async def get(self, request):
        return PlainTextResponse("reached")

    post = get


def entries(guard, app):
    return {entry.label: entry for entry in guard.plan(app)}


def ask(app, issuer, path, scope="items", method="GET", **more):
    return TestClient(app).request(method, path, headers=issuer.bearer(scope) | more)


@pytest.mark.parametrize("endpoint", [said, Said, functools.partial(said)])
def test_each_route_of_one_endpoint_is_heard_of_as_itself(guard, issuer, heard, endpoint):
    guarded = guard.requires("items")(endpoint)
    routes = [
        Route("/users/me", guarded, name="me"),
        Route("/users/{id:int}", guarded, name="one"),
        Route("/users", guarded, methods=["GET"], name="list"),
        Route("/users", guarded, methods=["POST"], name="make"),
        Route("/files/{path:path}", guarded, name="file"),
    ]
    app = Starlette(routes=[*routes, Mount("/v1", Router(routes[:2])), Mount("/v2", Router(routes[:2]))])
    guard.protect(app)
    plan = entries(guard, app)

    for scope in ("items", "me"):
        for method, path, label in (
            ("GET", "/users/me", "/users/me"),
            ("GET", "/users/7", "/users/{id:int}"),
            ("GET", "/files/a/b.txt", "/files/{path:path}"),
            ("GET", "/v1/users/me", "/v1/users/me"),
            ("GET", "/v2/users/7", "/v2/users/{id:int}"),
        ):
            heard.clear()
            ask(app, issuer, path, scope, method)
            assert [one.route for one in heard] == [
                entry for name, entry in plan.items() if name.endswith(label) and entry.path == label
            ]
            assert any(heard[0].route is entry for entry in guard.plan(app))
        heard.clear()
        ask(app, issuer, "/users", scope, "POST")
        ask(app, issuer, "/users", scope, "GET")
        assert [one.route.name for one in heard] == ["make", "list"]


def wrapped(guard):
    return Mount("/files", guard.wrap(asgi_said, "items")), "MOUNT /files"


def wrapped_behind_middleware(guard):
    return Mount("/files", guard.wrap(asgi_said, "items"), middleware=[Middleware(Passing)]), "MOUNT /files"


def wrapped_inside(guard):
    inner = Starlette(routes=[Mount("/b", guard.wrap(asgi_said, "items"))])
    return Mount("/files", inner), "MOUNT /files/b"


def decorated(guard):
    return Route("/files/b", guard.requires("items")(said)), "GET|HEAD /files/b"


def decorated_above(guard):
    @functools.wraps(said)
    async def above(request):
        return await guarded(request)

    guarded = guard.requires("items")(said)
    return Route("/files/b", functools.wraps(guarded)(above)), "GET|HEAD /files/b"


def decorated_class(guard):
    return Route("/files/b", guard.requires("items")(Said), methods=["GET"]), "GET|HEAD /files/b"


def decorated_inside(guard):
    inner = Router([Route("/b", guard.requires("items")(said))])
    return Mount("/{where}", inner), "GET|HEAD /{where}/b"


def hosted(guard):
    return Host("testserver", guard.wrap(asgi_said, "items")), "MOUNT /"


DECLARED = [
    wrapped,
    wrapped_behind_middleware,
    wrapped_inside,
    decorated,
    decorated_above,
    decorated_class,
    decorated_inside,
    hosted,
]


@pytest.mark.parametrize("declared", DECLARED)
def test_what_is_enforced_is_the_object_that_is_audited(guard, issuer, heard, declared):
    route, label = declared(guard)
    app = Starlette(routes=[route])
    guard.protect(app)

    for scope in ("items", "me"):
        ask(app, issuer, "/files/b", scope)

    entry = entries(guard, app)[label]
    assert [one.allowed for one in heard] == [True, False]
    assert all(one.route is entry for one in heard)


@pytest.mark.parametrize("declared", DECLARED)
def test_the_log_names_the_route_of_a_refusal(catalog, issuer, declared, caplog):
    guard = Guard(catalog, issuer.cached())
    route, label = declared(guard)
    app = Starlette(routes=[route])
    guard.protect(app)

    with caplog.at_level(logging.INFO, "bailiwick.guard"):
        ask(app, issuer, "/files/b", "me")
    assert f"refused: 403 BW300: {label}: 'alice' lacks 'items'" in caplog.text


def test_a_router_that_is_mounted_twice_is_heard_of_by_its_path_also_where_default_settles_it(guard, issuer, heard):
    inner = Router([Route("/x", said)])
    app = Starlette(routes=[Mount("/v1", inner), Mount("/v2", inner)])
    guard.protect(app, default=guard.requires("items"))

    for path in ("/v1/x", "/v2/x"):
        ask(app, issuer, path)
    assert [one.route.path for one in heard] == ["/v1/x", "/v2/x"]


def test_websockets_are_heard_of_by_their_path(guard, issuer, heard):
    async def socket(ws):
        await ws.accept()
        await ws.close()

    class Socket(WebSocketEndpoint):
        async def on_connect(self, ws):
            await ws.accept()
            await ws.close()

    function, endpoint = guard.requires("items")(socket), guard.requires("items")(Socket)
    app = Starlette(
        routes=[
            WebSocketRoute("/f", function),
            WebSocketRoute("/f/{room}", function),
            WebSocketRoute("/c", endpoint),
            WebSocketRoute("/c/{room}", endpoint),
        ]
    )
    guard.protect(app)
    client = TestClient(app)

    for path in ("/f", "/f/a", "/c", "/c/a"):
        with client.websocket_connect(path, headers=issuer.bearer("items")):
            pass
        with pytest.raises(WebSocketDenialResponse), client.websocket_connect(path, headers=issuer.bearer("me")):
            pass
    assert [one.route.label for one in heard[::2]] == ["WS /f", "WS /f/{room}", "WS /c", "WS /c/{room}"]
    assert [one.route for one in heard[::2]] == [one.route for one in heard[1::2]]


def test_one_function_over_http_and_over_a_websocket_is_heard_of_as_what_it_was(guard, issuer, heard):
    async def either(conn):
        return PlainTextResponse("reached")

    guarded = guard.requires("items")(either)
    app = Starlette(routes=[Route("/x", guarded), WebSocketRoute("/x", guarded)])
    guard.protect(app)

    ask(app, issuer, "/x")
    with pytest.raises(WebSocketDenialResponse), TestClient(app).websocket_connect("/x"):
        pass
    assert [one.route.label for one in heard] == ["GET|HEAD /x", "WS /x"]


def test_a_second_gate_behind_another_decorator_is_heard_of_by_its_path_too(guard, issuer, heard):
    def between(endpoint):
        @functools.wraps(endpoint)
        async def wrapper(request):
            return await endpoint(request)

        return wrapper

    app = Starlette(routes=[Route("/x", guard.requires("me")(between(guard.requires("items")(said))))])
    guard.protect(app)
    ask(app, issuer, "/x", "items me")

    assert [(one.route.path, one.route.needs) for one in heard] == [("/x", "items and me"), ("/x", "items")]


@pytest.mark.parametrize("root", ["", "/behind/a/proxy"])
def test_a_protected_application_that_is_mounted_itself_is_heard_of_by_its_own_paths(guard, issuer, heard, root):
    guarded = guard.requires("items")(said)
    inner = Starlette(routes=[Route("/x", guarded), Route("/y/{id}", guarded)])
    guard.protect(inner)
    client = TestClient(Starlette(routes=[Mount("/api", inner)]), root_path=root)

    for path in ("/x", "/y/1"):
        assert client.get(f"{root}/api{path}", headers=issuer.bearer("items")).text == "reached"
    assert [one.route.path for one in heard] == ["/x", "/y/{id}"]


def test_applications_that_share_an_endpoint_are_heard_of_apart_and_forgotten(guard, issuer, heard):
    guarded = guard.requires("items")(said)

    def serve(path):
        app = Starlette(routes=[Route(path, guarded)])
        guard.protect(app)
        return app

    first, second = serve("/first"), serve("/second")
    for app, path in ((first, "/first"), (second, "/second"), (first, "/first")):
        ask(app, issuer, path)
    assert [one.route.path for one in heard] == ["/first", "/second", "/first"]

    del app, first
    gc.collect()
    ask(second, issuer, "/second")
    assert heard[-1].route is next(iter(guard.plan(second)))


def test_a_route_that_is_added_later_is_heard_of_by_its_path(guard, issuer, heard):
    guarded = guard.requires("items")(said)
    app = Starlette(routes=[Route("/x", guarded)])
    guard.protect(app)
    ask(app, issuer, "/x")
    app.router.routes.append(Route("/late", guarded))
    ask(app, issuer, "/late")
    del app.router.routes[0]
    ask(app, issuer, "/late")

    assert [one.route.path for one in heard] == ["/x", "/late", "/late"]


def test_a_path_that_middleware_changed_is_decided_like_any(guard, issuer, heard):
    class Changing(Passing):
        async def __call__(self, conn, receive, send):
            await self._app(conn | {"path": "/elsewhere"}, receive, send)

    guarded = guard.requires("items")(said)
    routes = [Route(path, guarded, middleware=[Middleware(Changing)]) for path in ("/x", "/y")]
    app = Starlette(routes=routes)
    guard.protect(app)

    assert [ask(app, issuer, "/x", scope).status_code for scope in ("items", "me")] == [200, 403]
    assert [(one.route.path, one.route.name) for one in heard] == [("", "said"), ("", "said")]


def test_what_no_application_protects_is_heard_of_by_its_name(guard, issuer, heard, caplog):
    app = Starlette(routes=[Route("/x", guard.requires("items")(said)), Mount("/w", guard.wrap(asgi_said, "items"))])
    with caplog.at_level(logging.INFO, "bailiwick.guard"):
        for path in ("/x", "/w"):
            ask(app, issuer, path, "me")

    assert [one.route.label for one in heard] == ["said", "MOUNT asgi_said"]
    assert "refused: 403 BW300: said: 'alice' lacks 'items'" in caplog.text


def test_an_application_says_itself_where_it_is(catalog, issuer, heard):
    guard = PlainGuard(catalog, issuer, on_decision=heard.append)
    ask(guard.wrap(asgi_said, "items", path="/files"), issuer, "/files/x", "me")

    assert [one.route.label for one in heard] == ["MOUNT /files"]


def test_what_fastapi_mounts_is_heard_of_by_its_path(catalog, issuer, heard):
    guard = FastAPIGuard(catalog, issuer, on_decision=heard.append)
    app, files = FastAPI(openapi_url=None), guard.wrap(asgi_said, "items")
    app.mount("/files", files)
    app.mount("/more", files)
    guard.protect(app)

    for path in ("/files/x", "/more/x"):
        assert ask(app, issuer, path).text == "reached"
    assert [one.route for one in heard] == list(guard.plan(app))
    assert all(one.route is entry for one, entry in zip(heard, guard.plan(app), strict=True))
