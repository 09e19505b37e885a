"""What stands on either side of a door under test: who asks, mostly message by message, and what is reached behind it.

The oldest FastAPI is tested with this too, where neither FasterAPI nor a server is installed.
"""

import asyncio
import contextlib
import gc
import socket
import threading
import time
import tracemalloc
from typing import Annotated

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import WebSocketRoute
from starlette.testclient import TestClient
from starlette.websockets import WebSocket

from bailiwick import Principal

# -- who asks ---------------------------------------------------------------------------------------------------

# Values of `Authorization`, each a header of its own, and the status that the contract demands.
HOSTILE_CREDENTIALS = [
    ([b"Bearer a", b"Bearer b"], 400),
    ([b"Basic YTpi", b"Bearer a"], 400),
    ([b"Bearer " + b"a" * 1_000_000], 401),
    ([b"Bearer " + b"." * 1_000_000], 401),
    ([b"Bearer \xc3\xa9"], 401),
    ([b"Bearer \xff\xfe"], 401),
    ([b"Bearer a\x00b"], 401),
    ([b'Bearer a"b'], 401),
    ([b"Bearer a\r\nX-Evil: 1"], 401),
    ([b"Bearer"], 401),
    ([b"Bearer "], 401),
    ([b"Bearer\ta"], 401),
    ([b""], 401),
    ([b"\xff"], 401),
    ([b"bearer x"], 401),
    ([b"Bearer a, Bearer b"], 401),
    ([b"Bearer eyJhbGciOiJub25lIn0.e30."], 401),
]

# From this version on a server fails what is sent to a client that has gone, and Starlette need not listen for it.
NEWER = {"version": "3.0", "spec_version": "2.4"}


def raw(headers):
    """Headers as ASGI has them, of a client's names and values."""
    return [(name.lower().encode(), value.encode()) for name, value in headers.items()]


def connection(path, headers=(), method="GET", **more):
    """A request as a server hands it to an application; headers are a client's or pairs of octets."""
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": b"",
        "headers": raw(headers) if isinstance(headers, dict) else list(headers),
        "server": ("test", 80),
        "client": ("test", 1),
    } | more


def over_asgi(app, path, headers=(), method="GET", **more):
    """Ask an application: the status, the headers and the body."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        sent.append(message)

    asyncio.run(app(connection(path, headers, method, **more), receive, send))
    return sent[0]["status"], dict(sent[0]["headers"]), b"".join(one.get("body", b"") for one in sent[1:])


def uploaded(app, path, headers=(), chunks=(), method="POST"):
    """Send a body: the status, how often the application asked for a part of it, and how many octets it took."""
    calls, octets, sent, todo = 0, 0, [], iter(chunks)

    async def receive():
        nonlocal calls, octets
        calls += 1
        chunk = next(todo, None)
        octets += len(chunk or b"")
        return {"type": "http.request", "body": chunk or b"", "more_body": chunk is not None}

    async def send(message):
        sent.append(message)

    asyncio.run(app(connection(path, headers, method), receive, send))
    return sent[0]["status"], calls, octets


def listened_to(app, path, headers, within=10):
    """What an application sends to a client that only listens: each message, with the seconds until it came."""
    sent, began = [], time.monotonic()

    async def receive():
        await asyncio.sleep(30)

    async def send(message):
        sent.append((time.monotonic() - began, message))

    conn = connection(path, headers, asgi=NEWER)
    asyncio.run(asyncio.wait_for(app(conn, receive, send), within))
    return sent


def over_socket(app, headers, received=(), *, denies=True, waits=False):
    """What an application sends over a WebSocket; what no server would take is an error.

    Once it has received everything it may wait for more, or must not.
    """
    inbox = [{"type": "websocket.connect"}, *received]
    sent = []

    async def receive():
        if waits and not inbox:
            await asyncio.sleep(30)
        assert inbox, "the application waits for what nobody sends"
        return inbox.pop(0)

    async def send(message):
        kinds = [one["type"] for one in sent]
        assert "websocket.close" not in kinds
        if "websocket.accept" in kinds:
            assert message["type"] in {"websocket.send", "websocket.close"}
        sent.append(message)

    conn = connection("/x", headers, asgi=NEWER, type="websocket", scheme="ws", subprotocols=[])
    conn |= {"extensions": {"websocket.http.response": {}} if denies else {}}
    asyncio.run(asyncio.wait_for(app(conn, receive, send), 5))
    return sent


def at_once(app, paths):
    """The statuses of requests that as many threads send at the same moment."""
    together = threading.Barrier(len(paths))
    statuses = []

    def ask(path):
        together.wait()
        statuses.append(over_asgi(app, path)[0])

    threads = [threading.Thread(target=ask, args=(path,)) for path in paths]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return statuses


def octets_left_by(conversation):
    """How many octets of ours the last hundred of many conversations leave behind; each is told its number."""

    def ours():
        gc.collect()
        only = [tracemalloc.Filter(inclusive=True, filename_pattern="*/bailiwick/*", all_frames=True)]
        return sum(one.size for one in tracemalloc.take_snapshot().filter_traces(only).traces)

    tracemalloc.start(4)
    try:
        for number in range(70):  # fills every bounded memory
            conversation(number)
        before = ours()
        for number in range(70, 170):
            conversation(number)
        return ours() - before
    finally:
        tracemalloc.stop()


def client_of(app):
    """A client that is answered 500 where a server would log the error."""
    return TestClient(app, raise_server_exceptions=False)


@contextlib.contextmanager
def served(app, **options):
    """The address of an application on a real server, in a thread of its own."""
    import uvicorn

    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", **options))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            deadline = time.monotonic() + 20
            while not server.started:
                assert thread.is_alive()
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield listening.getsockname()
        finally:
            server.should_exit = True
            thread.join(20)


# -- how the handler of a WebSocket is put behind a gate --------------------------------------------------------


def socket_declared(guard, handler):
    app = Starlette(routes=[WebSocketRoute("/x", guard.requires("items")(handler))])
    guard.protect(app)
    return app


def socket_by_default(guard, handler):
    app = Starlette(routes=[WebSocketRoute("/x", handler)])
    guard.protect(app, default=guard.requires("items"))
    return app


def socket_of_fastapi(guard, handler, *, protected=True):
    app = FastAPI(openapi_url=None)
    if protected:
        guard.protect(app)

    @app.websocket("/x")
    async def handle(ws: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await handler(ws)

    return app


# -- what is reached --------------------------------------------------------------------------------------------


async def said(request):
    return PlainTextResponse("reached")


async def asgi_said(conn, receive, send):
    await PlainTextResponse("reached")(conn, receive, send)


class Passing:
    """Middleware that does not show what it wraps."""

    def __init__(self, app):
        self._app = app

    async def __call__(self, conn, receive, send):
        await self._app(conn, receive, send)
