"""Connections that say nothing, or say it slowly, or take nothing: who else is served meanwhile, and what is left of them."""

import asyncio
import socket
import threading
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bailiwick.cli import connections as module
from bailiwick.cli.connections import ConnectionLimits
from bailiwick.cli.logs import Logging, logged
from bailiwick.cli.serving import listen, serve_on

QUICK = ConnectionLimits(head=0.3, body=0.3, answer=0.3, most=64)
BEGUN = {
    "silent": b"",
    "half a head": b"POST /token HTTP/1.1\r\nHost: x\r\nX: ",
    "half a body": b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na=",
    "half a chunk": b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nff\r\na=",
    "a body nobody reads": b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\na=",
    "a second head": b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nG",
    "an answer nobody takes": b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n",
}
# More than any bound of ours and what the system holds for both ends.
UNBOUNDED = 32 * 1024 * 1024
LARGE = 8 * 1024 * 1024  # more than the system takes off a sender's hands


async def app(conn, receive, send):
    """`/read` waits for the body, `/large` has a large answer, everything else is answered at once."""
    if conn["type"] != "http":
        return
    if conn["path"] == "/read":
        while (await receive()).get("more_body"):
            pass
    if conn["path"] == "/wait":
        await asyncio.sleep(1)
    body = b"x" * (LARGE if conn["path"] == "/large" else 2)
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(params=[HttpToolsProtocol, H11Protocol], ids=["httptools", "h11"], autouse=True)
def protocol(request, monkeypatch):
    monkeypatch.setattr(module, "AutoHTTPProtocol", request.param)
    return request.param


@contextmanager
def served(limits):
    """The port of a server in a thread of its own."""
    started, ended = threading.Event(), threading.Event()

    async def main():
        with listen("127.0.0.1", 0) as sock:
            nonlocal port
            port = sock.getsockname()[1]
            serving = asyncio.create_task(serve_on(sock, app, started.set, limits=limits))
            await asyncio.to_thread(ended.wait)
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    port = 0
    thread = threading.Thread(target=asyncio.run, args=(main(),))
    with pytest.MonkeyPatch.context() as patch:
        # Signals are the main thread's.
        patch.setattr("bailiwick.cli.serving._Announced.capture_signals", lambda _self: ExitStack())
        thread.start()
        assert started.wait(10)
        try:
            yield port
        finally:
            ended.set()
            thread.join(10)


def connected(port, sent):
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.sendall(sent)
    return sock


def is_ended(sock):
    """Whether the server has let go of the connection, whatever it said before."""
    try:
        while sock.recv(65536):
            pass
    except TimeoutError:
        return False
    except ConnectionError:
        return True
    return True


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def send_on(sock, part, *, most=UNBOUNDED, pause=0.0):
    """Send this again and again, until the other end has had enough; what was sent if it never has."""
    sent = 0
    while sent < most:
        sock.sendall(part)
        sent += len(part)
        time.sleep(pause)
    return sent


def health(port):
    return httpx.get(f"http://127.0.0.1:{port}/health", timeout=10).status_code


@pytest.mark.parametrize("begun", BEGUN)
def test_who_keeps_the_server_waiting_is_left_when_the_time_is_over(begun):
    with served(QUICK) as port:
        before = descriptors()
        with ExitStack() as stack:
            callers = [stack.enter_context(connected(port, BEGUN[begun])) for _ in range(10)]
            # The callers' own ends are this process's too; the server's go.
            until = time.monotonic() + 20
            while descriptors() > before + len(callers) + 1 and time.monotonic() < until:
                time.sleep(0.05)
            assert time.monotonic() < until
            assert all(is_ended(one) for one in callers)
        assert health(port) == 200


def test_a_head_that_comes_a_byte_at_a_time_is_not_waited_for_longer():
    with (
        served(QUICK) as port,
        connected(port, b"GET /health HTTP/1.1\r\nHost: x\r\nX: ") as slow,
        pytest.raises(ConnectionError),
    ):
        send_on(slow, b"y", most=30, pause=0.1)


@pytest.mark.parametrize("begun", ["silent", "half a head", "half a body"])
def test_more_connections_than_there_may_be_keep_nobody_out(begun):
    patient = ConnectionLimits(head=60, body=60, answer=60, most=64)
    with served(patient) as port, ExitStack() as stack:
        before = descriptors()
        callers = [stack.enter_context(connected(port, BEGUN[begun])) for _ in range(300)]
        assert [health(port) for _ in range(20)] == [200] * 20
        ours = descriptors() - before - len(callers)
        assert ours <= patient.most


def test_connections_that_are_being_answered_are_not_ended_for_new_ones():
    with served(ConnectionLimits(head=60, body=60, answer=60, most=16)) as port, ExitStack() as stack:
        waiting = [stack.enter_context(connected(port, b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")) for _ in range(8)]
        time.sleep(0.2)
        for _ in range(60):
            stack.enter_context(connected(port, b""))
        assert [one.recv(12) for one in waiting] == [b"HTTP/1.1 200"] * 8


@pytest.mark.parametrize(
    ("begun", "part"),
    [
        (b"GET /health HTTP/1.1\r\n", b"X-Y: zzzzzzzz\r\n" * 500),
        (b"GET /health HTTP/1.1\r\nX-Y: ", b"z" * 8000),
        (b"GET /", b"z" * 8000),
        (BEGUN["half a chunk"].partition(b"ff")[0] + b"0\r\n", b"X-Y: zzzzzzzz\r\n" * 500),
    ],
    ids=["heads", "a value", "a path", "trailers"],
)
def test_what_has_no_end_is_not_kept(begun, part):
    patient = ConnectionLimits(head=60, body=60, answer=60)
    with served(patient) as port, connected(port, begun) as endless, pytest.raises(ConnectionError):
        send_on(endless, part)


def test_where_no_descriptor_is_left_one_line_a_second_says_so_and_room_is_made(capfd):
    limits = ConnectionLimits(head=60, body=60, answer=60, most=10_000)
    made = module.Connections(limits)
    asked = []
    made.evict = lambda: asked.append(1)
    loop = asyncio.new_event_loop()
    try:
        with logged(Logging("info")):
            for _ in range(5000):
                made.on_loop_error(loop, {"exception": OSError(24, "Too many open files"), "socket": None})
    finally:
        loop.close()
    assert capfd.readouterr().err.count("Too many open files") == 1
    assert asked == [1]
