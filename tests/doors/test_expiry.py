"""Where a token's end is the end: a connection is over at `exp`, whatever its handler does then; and what is done is left alone."""

import asyncio
import contextlib
import inspect
import time
from typing import Annotated

import pytest
from either_side import listened_to, over_socket, served, socket_by_default, socket_declared, socket_of_fastapi
from fastapi import BackgroundTasks, FastAPI
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect

from bailiwick import Principal, ScopeSet
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.starlette import Guard as StarletteGuard

SOON = 0.3  # seconds until a token ends
LATE = 0.6
TOKEN = {"Authorization": "Bearer a"}


class Short:
    """A verifier of tokens that end soon after they are shown."""

    async def verify(self, token):
        return Principal("alice", ScopeSet(["items"]), expires_at=time.time() + SOON)


def work(seconds):
    """Takes its time, and waits for nothing meanwhile."""
    time.sleep(seconds)


def http(app):
    return listened_to(app, "/x", TOKEN, within=5)


def status_of(sent):
    return [message["status"] for _, message in sent if message["type"].endswith("response.start")]


def body_of(sent):
    return b"".join(message.get("body", b"") for _, message in sent)


def socket(app, received=(), **more):
    return over_socket(app, TOKEN, received, waits=True, **more)


def closes_of(sent):
    return [(one["code"], one.get("reason")) for one in sent if one["type"] == "websocket.close"]


# -- the ways in which a handler is put behind a gate ------------------------------------------------------


def starlette_function(guard, endpoint):
    app = Starlette(routes=[Route("/x", guard.requires("items", on_expiry="close")(endpoint))])
    guard.protect(app)
    return app


def starlette_alone(guard, endpoint):
    return Starlette(routes=[Route("/x", guard.requires("items", on_expiry="close")(endpoint))])


def starlette_default(guard, endpoint):
    app = Starlette(routes=[Route("/x", endpoint)])
    guard.protect(app, default=guard.requires("items", on_expiry="close"))
    return app


def starlette_class(guard, endpoint):
    @guard.requires("items", on_expiry="close")
    class Endpoint(HTTPEndpoint):
        get = endpoint if inspect.iscoroutinefunction(endpoint) else staticmethod(endpoint)

    return Starlette(routes=[Route("/x", Endpoint)])


def wrapped(guard, endpoint):
    inner = Starlette(routes=[Route("/x", endpoint)])
    return guard.wrap(inner, "items", on_expiry="close")


def mounted(guard, endpoint):
    app = Starlette(routes=[Mount("/", wrapped(guard, endpoint))])
    guard.protect(app)
    return app


def fastapi(guard, endpoint):
    app = FastAPI(openapi_url=None)
    guard.protect(app, default=guard.requires("items", on_expiry="close"))
    app.add_route("/x", endpoint)
    return app


def fastapi_route(guard, endpoint):
    app = FastAPI(openapi_url=None)
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items", on_expiry="close")])
    def answer():
        return endpoint(None)

    return app


HTTP = {
    "starlette": (StarletteGuard, starlette_function),
    "starlette, not protected": (StarletteGuard, starlette_alone),
    "starlette by default": (StarletteGuard, starlette_default),
    "wrap": (PlainGuard, wrapped),
    "starlette mount": (StarletteGuard, mounted),
    "fastapi, a plain route": (FastAPIGuard, fastapi),
}
IN_THREADS = HTTP | {"fastapi": (FastAPIGuard, fastapi_route)}


def behind(catalog, how, endpoint, **options):
    kind, build = how
    return build(kind(catalog, Short(), **options), endpoint)


# -- over HTTP ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", IN_THREADS)
@pytest.mark.parametrize("how", ["answers", "refuses"])
def test_what_a_thread_answers_after_the_end_is_not_sent(catalog, door, how):
    def slow(request):
        work(LATE)
        if how == "refuses":
            raise HTTPException(404, "a secret")
        return PlainTextResponse("a secret")

    sent = http(behind(catalog, IN_THREADS[door], slow))

    assert status_of(sent) == [401]
    assert b"BW208" in body_of(sent)
    assert b"secret" not in body_of(sent)


@pytest.mark.parametrize("door", HTTP)
def test_what_was_not_waited_for_is_not_sent_after_the_end(catalog, door):
    async def slow(request):
        work(LATE)
        return PlainTextResponse("a secret")

    sent = http(behind(catalog, HTTP[door], slow))

    assert status_of(sent) == [401]
    assert b"BW208" in body_of(sent)


@pytest.mark.parametrize("door", HTTP)
@pytest.mark.parametrize("in_a_thread", [True, False])
def test_an_answer_that_has_begun_stops_at_the_end(catalog, door, in_a_thread):
    stopped_after = time.monotonic() + 2

    async def ticks():  # none of this waits for anything
        while time.monotonic() < stopped_after:
            work(0.02)
            yield b"tick"

    def slow_ticks():
        while time.monotonic() < stopped_after:
            work(0.05)
            yield b"tick"

    async def stream(request):
        return StreamingResponse(slow_ticks() if in_a_thread else ticks())

    sent = http(behind(catalog, HTTP[door], stream))

    assert status_of(sent) == [200]
    assert all(at < 1 for at, _ in sent)  # of the two seconds that it would take
    assert all(message.get("more_body") for _, message in sent if message["type"].endswith("body"))


def test_what_an_application_sends_by_itself_stops_at_the_end(catalog):
    async def app(conn, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        work(LATE)
        await send({"type": "http.response.body", "body": b"a secret"})

    sent = http(PlainGuard(catalog, Short()).wrap(app, "items", on_expiry="close"))

    assert [message["type"] for _, message in sent] == ["http.response.start"]


@pytest.mark.parametrize("door", HTTP)
def test_what_runs_after_an_answer_is_left_alone(catalog, door):
    done = []

    async def later():
        await asyncio.sleep(LATE)
        done.append("later")

    async def answer(request):
        return PlainTextResponse("in time", background=BackgroundTask(later))

    sent = http(behind(catalog, HTTP[door], answer))

    assert (status_of(sent), body_of(sent), done) == ([200], b"in time", ["later"])


def test_background_tasks_and_teardown_of_fastapi_are_left_alone(catalog):
    guard, app, done = FastAPIGuard(catalog, Short()), FastAPI(openapi_url=None), []
    guard.protect(app)

    async def later():
        await asyncio.sleep(LATE)
        done.append("later")

    @app.get("/x")
    async def answer(caller: Annotated[Principal, guard.requires("items", on_expiry="close")], tasks: BackgroundTasks):
        tasks.add_task(later)
        return caller.subject

    assert status_of(http(app)) == [200]
    assert done == ["later"]


def test_an_error_of_the_application_comes_out_as_it_is(catalog):
    async def app(conn, receive, send):
        raise LookupError("a bug")

    with pytest.raises(LookupError, match="a bug"):
        http(PlainGuard(catalog, Short()).wrap(app, "items", on_expiry="close"))


def test_a_token_that_has_ended_by_a_few_seconds_of_leniency_begins_nothing(catalog):
    async def app(conn, receive, send):
        raise AssertionError("reached")

    guard = PlainGuard(catalog, Short(), now=lambda: time.time() + 5)

    assert status_of(http(guard.wrap(app, "items", on_expiry="close"))) == [401]
    assert socket(guard.wrap(app, "items"))[0]["status"] == 401


# -- over a WebSocket --------------------------------------------------------------------------------------


async def closing_at_last(ws):
    await ws.accept()
    try:
        while True:
            await ws.receive_text()
    finally:
        await ws.close()


async def catching(ws):
    await ws.accept()
    with contextlib.suppress(WebSocketDisconnect, asyncio.CancelledError):
        while True:
            await ws.receive_text()


async def catching_and_speaking(ws):
    await ws.accept()
    try:
        await ws.receive_text()
    except asyncio.CancelledError:
        await ws.send_text("a secret")
        raise


async def clinging(ws):
    await ws.accept()
    stops_at = time.monotonic() + 1
    while time.monotonic() < stops_at:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)


async def speaking(ws):
    await ws.accept()
    stops_at = time.monotonic() + 1
    while time.monotonic() < stops_at:  # and never waits
        work(0.05)
        await ws.send_text("tick")
    await ws.send_text("a secret")


async def leaving(ws):
    await ws.accept()
    work(LATE)


HANDLERS = [closing_at_last, catching, catching_and_speaking, clinging, speaking, leaving]


class Endpoint(WebSocketEndpoint):
    handler = None

    async def dispatch(self):
        await type(self).handler(WebSocket(self.scope, self.receive, self.send))


def socket_class(guard, handler):
    endpoint = type("Handling", (Endpoint,), {"handler": staticmethod(handler)})
    return Starlette(routes=[WebSocketRoute("/x", guard.requires("items")(endpoint))])


def socket_wrapped(guard, handler):
    return guard.wrap(Starlette(routes=[WebSocketRoute("/x", handler)]), "items")


SOCKETS = {
    "starlette": (StarletteGuard, socket_declared),
    "starlette class": (StarletteGuard, socket_class),
    "starlette by default": (StarletteGuard, socket_by_default),
    "wrap": (PlainGuard, socket_wrapped),
    "fastapi": (FastAPIGuard, socket_of_fastapi),
}


@pytest.mark.parametrize("door", SOCKETS)
@pytest.mark.parametrize("handler", HANDLERS)
def test_a_websocket_is_closed_with_1008_whatever_its_handler_does_at_the_end(catalog, door, handler):
    sent = socket(behind(catalog, SOCKETS[door], handler))

    assert sent[0]["type"] == "websocket.accept"
    assert closes_of(sent) == [(1008, "token expired")]
    assert sent[-1]["type"] == "websocket.close"
    assert all(one.get("text") != "a secret" for one in sent)


@pytest.mark.parametrize("door", SOCKETS)
@pytest.mark.parametrize("denies", [True, False])
def test_a_websocket_that_was_not_accepted_by_then_is_refused(catalog, door, denies):
    async def slow(ws):
        await ws.receive()
        await asyncio.sleep(LATE)
        await ws.accept()

    sent = socket(behind(catalog, SOCKETS[door], slow), denies=denies)

    if denies:
        assert sent[0]["status"] == 401
        assert b"BW208" in sent[-1]["body"]
    else:
        assert sent == [{"type": "websocket.close", "code": 1008, "reason": "invalid_token"}]


@pytest.mark.parametrize("door", SOCKETS)
@pytest.mark.parametrize("gone", [True, False])
def test_what_runs_after_a_websocket_was_closed_is_left_alone(catalog, door, gone):
    done = []

    async def handler(ws):
        await ws.accept()
        if gone:
            with contextlib.suppress(WebSocketDisconnect):
                await ws.receive_text()
        else:
            await ws.close(4000)
        await asyncio.sleep(LATE)
        done.append("saved")

    sent = socket(
        behind(catalog, SOCKETS[door], handler), [{"type": "websocket.disconnect", "code": 1001}] if gone else ()
    )

    assert done == ["saved"]
    assert closes_of(sent) == ([] if gone else [(4000, "")])


@pytest.mark.parametrize("door", SOCKETS)
def test_a_guard_that_ignores_the_end_lets_a_websocket_live(catalog, door):
    async def handler(ws):
        await ws.accept()
        await asyncio.sleep(LATE)
        await ws.send_text("still here")

    sent = socket(behind(catalog, SOCKETS[door], handler, on_expiry="ignore"))

    assert sent[-1]["text"] == "still here"


def until_closed(ws):
    while True:
        assert ws.recv(timeout=5) == "tick"


@pytest.mark.parametrize("door", ["starlette", "starlette class", "fastapi"])
def test_real_clients_are_told_1008(catalog, door):
    client = pytest.importorskip("websockets.sync.client")
    from websockets.exceptions import ConnectionClosed

    for handler in HANDLERS:
        with served(behind(catalog, SOCKETS[door], handler)) as (host, port):
            url = f"ws://{host}:{port}/x"
            with client.connect(url, additional_headers=TOKEN) as ws:
                began = time.monotonic()
                with pytest.raises(ConnectionClosed) as closed:
                    until_closed(ws)
                assert time.monotonic() - began < 3
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "token expired"), handler.__name__
