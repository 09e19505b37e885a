"""What is refused inside of a handler is answered as what a gate refuses, also over a WebSocket, and by the guard's own `refuse`."""

import contextlib
import functools
import json
from typing import Annotated

import pytest
from either_side import over_asgi, over_socket, served, socket_by_default, socket_declared, socket_of_fastapi
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bailiwick import Principal
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.starlette import Guard as StarletteGuard


def starlette_alone(guard, handler):
    return Starlette(routes=[WebSocketRoute("/x", guard.requires("items")(handler))])


def starlette_mounted(guard, handler):
    app = Starlette(routes=[Mount("", Starlette(routes=[WebSocketRoute("/x", handler)]))])
    guard.protect(app, default=guard.requires("items"))
    return app


def starlette_class(guard, handler):
    @guard.requires("items")
    class Endpoint(WebSocketEndpoint):
        async def dispatch(self):
            await handler(WebSocket(self.scope, self.receive, self.send))

    app = Starlette(routes=[WebSocketRoute("/x", Endpoint)])
    guard.protect(app)
    return app


SOCKETS = {
    "starlette": (StarletteGuard, socket_declared),
    "starlette, not protected": (StarletteGuard, starlette_alone),
    "starlette by default": (StarletteGuard, socket_by_default),
    "starlette mount": (StarletteGuard, starlette_mounted),
    "starlette class": (StarletteGuard, starlette_class),
    "fastapi": (FastAPIGuard, socket_of_fastapi),
    "fastapi, not protected": (FastAPIGuard, functools.partial(socket_of_fastapi, protected=False)),
}


@pytest.mark.parametrize("door", SOCKETS)
def test_a_websocket_that_was_accepted_is_closed_with_1008(catalog, issuer, door):
    kind, build = SOCKETS[door]
    guard = kind(catalog, issuer)

    async def handler(ws):
        await ws.accept()
        await ws.receive_text()
        guard.caller(ws.scope).require("me")

    sent = over_socket(build(guard, handler), issuer.bearer("items"), [{"type": "websocket.receive", "text": "hello"}])

    assert [one["type"] for one in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (1008, "insufficient_scope")


@pytest.mark.parametrize("door", SOCKETS)
@pytest.mark.parametrize("connected", [True, False])
def test_a_websocket_that_was_not_accepted_is_denied_exactly(catalog, issuer, door, connected):
    kind, build = SOCKETS[door]
    guard = kind(catalog, issuer)

    async def handler(ws):
        if connected:
            await ws.receive()
        guard.caller(ws.scope).require("me")

    start, body = over_socket(build(guard, handler), issuer.bearer("items"))

    assert (start["type"], start["status"]) == ("websocket.http.response.start", 403)
    assert b'scope="me"' in dict(start["headers"])[b"www-authenticate"]
    assert json.loads(body["body"])["error"] == "insufficient_scope"


@pytest.mark.parametrize("door", SOCKETS)
def test_a_server_that_cannot_deny_is_told_to_close(catalog, issuer, door):
    kind, build = SOCKETS[door]
    guard = kind(catalog, issuer)

    async def handler(ws):
        guard.caller(ws.scope).require("me")

    for headers, reason in ((issuer.bearer("items"), "insufficient_scope"), ([], "unauthorized")):
        assert over_socket(build(guard, handler), headers, denies=False) == [
            {"type": "websocket.close", "code": 1008, "reason": reason}
        ]


@pytest.mark.parametrize("door", SOCKETS)
@pytest.mark.parametrize("gone", [True, False])
def test_nothing_is_said_on_a_websocket_that_was_closed_before(catalog, issuer, door, gone):
    kind, build = SOCKETS[door]
    guard = kind(catalog, issuer)

    async def handler(ws):
        await ws.accept()
        if gone:
            with contextlib.suppress(WebSocketDisconnect):
                await ws.receive_text()
        else:
            await ws.close(4000)
        guard.caller(ws.scope).require("me")

    sent = over_socket(build(guard, handler), issuer.bearer("items"), [{"type": "websocket.disconnect", "code": 1001}])

    assert [one.get("code") for one in sent] == ([None] if gone else [None, 4000])


@pytest.mark.parametrize("door", ["starlette", "starlette class", "fastapi", "fastapi, not protected"])
def test_real_clients_are_told_why(catalog, issuer, door):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import ConnectionClosed, InvalidStatus

    kind, build = SOCKETS[door]
    guard = kind(catalog, issuer)

    async def handler(ws):
        if "early" not in ws.query_params:
            await ws.accept()
            await ws.receive_text()
        guard.caller(ws.scope).require("me")

    with served(build(guard, handler)) as (host, port):
        with client.connect(f"ws://{host}:{port}/x", additional_headers=issuer.bearer("items")) as ws:
            ws.send("hello")
            with pytest.raises(ConnectionClosed) as closed:
                ws.recv(timeout=5)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "insufficient_scope")
        with pytest.raises(InvalidStatus) as denied:
            client.connect(f"ws://{host}:{port}/x?early", additional_headers=issuer.bearer("items"))
        assert denied.value.response.status_code == 403


# -- a guard that says it in its own words -----------------------------------------------------------------


def own_words(kind):
    """A guard that refuses in its own words."""

    async def refuse(self, error, conn, receive, send):
        prefix = "websocket.http.response" if conn["type"] == "websocket" else "http.response"
        headers = [(b"x-why", error.id.encode()), (b"content-type", b"text/plain")]
        await send({"type": f"{prefix}.start", "status": 418, "headers": headers})
        await send({"type": f"{prefix}.body", "body": b"in our own words"})

    return type("OwnWords", (kind,), {"refuse": refuse})


def http_handler(guard):
    async def handler(request):
        guard.caller(request.scope).require("me")

    return handler


def by_function(guard):
    return Starlette(routes=[Route("/x", guard.requires("items")(http_handler(guard)))])


def by_protected_function(guard):
    app = by_function(guard)
    guard.protect(app)
    return app


def by_class(guard):
    @guard.requires("items")
    class Endpoint(HTTPEndpoint):
        async def get(self, request):
            guard.caller(request.scope).require("me")

    return Starlette(routes=[Route("/x", Endpoint)])


def by_default(guard):
    app = Starlette(routes=[Route("/x", http_handler(guard))])
    guard.protect(app, default=guard.requires("items"))
    return app


def by_fastapi(guard):
    app = FastAPI(openapi_url=None)
    guard.protect(app)

    @app.get("/x")
    async def handle(caller: Annotated[Principal, guard.requires("items")]):
        caller.require("me")

    return app


def by_fastapi_alone(guard):
    app = FastAPI(openapi_url=None)

    @app.get("/x")
    async def handle(caller: Annotated[Principal, guard.requires("items")]):
        caller.require("me")

    return app


@pytest.mark.parametrize(
    ("kind", "build"),
    [
        (StarletteGuard, by_function),
        (StarletteGuard, by_protected_function),
        (StarletteGuard, by_class),
        (StarletteGuard, by_default),
        (FastAPIGuard, by_fastapi),
        (FastAPIGuard, by_fastapi_alone),
    ],
)
@pytest.mark.parametrize("cached", [True, False])
def test_a_guard_that_refuses_in_its_own_words_is_asked_for_each_refusal(catalog, issuer, kind, build, cached):
    app = build(own_words(kind)(catalog, issuer.cached() if cached else issuer))

    for headers, why in (
        ([], b"BW200"),
        ([(b"authorization", b"Bearer forged")], b"BW202"),
        (issuer.bearer("posts:read"), b"BW300"),
        (issuer.bearer("items"), b"BW300"),  # in the handler
    ):
        for _ in range(2):
            status, given, body = over_asgi(app, "/x", headers)
            assert (status, given[b"x-why"], body) == (418, why, b"in our own words")


@pytest.mark.parametrize("door", SOCKETS)
def test_a_guard_that_refuses_websockets_in_its_own_words_is_asked_too(catalog, issuer, door):
    kind, build = SOCKETS[door]
    guard = own_words(kind)(catalog, issuer)

    async def handler(ws):
        guard.caller(ws.scope).require("me")

    for headers in ([], issuer.bearer("posts:read"), issuer.bearer("items")):
        assert [one.get("status") for one in over_socket(build(guard, handler), headers)] == [418, None]


def test_a_wrapped_application_is_refused_in_its_guards_own_words(catalog, issuer):
    guard = own_words(PlainGuard)(catalog, issuer.cached())
    app = guard.wrap(PlainTextResponse("reached"), "items")

    for headers in ([], issuer.bearer("posts:read")):
        assert over_asgi(app, "/x", headers)[2] == b"in our own words"
