"""What is said on one connection, and its end when the token does."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import anyio
import anyio.lowlevel

from bailiwick.errors import InvalidToken
from bailiwick.guard.asgi_types import ASGIApp, Conn, Message, Receive, Send

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from bailiwick.guard.gate import Gate

__all__ = ["POLICY_VIOLATION", "SOCKET", "Lease", "Watched", "expired", "received_connect"]

log = logging.getLogger("bailiwick.guard")

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
SOCKET: Final = "bailiwick.socket"  # where a WebSocket's connection keeps what was said on it
PARTING: Final = (
    10  # seconds that a peer may take to be told of the end; as long as servers wait for a closing handshake
)


def expired() -> InvalidToken:
    """The refusal of what has not begun when the token ends."""
    return InvalidToken("The access token has expired.", id="BW208")


class Watched:
    """What an application has said on a connection so far, as far as it matters to whoever ends it.

    Attributes:
        connected: whether the application took a WebSocket's `websocket.connect`.
        accepted: whether it accepted the WebSocket.
        answering: whether it began an HTTP answer.
        complete: whether nothing more is to come: the answer is whole, or the WebSocket closed by either side.
    """

    __slots__ = ("_receive", "_send", "accepted", "answering", "complete", "connected")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.connected = self.accepted = self.answering = self.complete = False

    async def run(self, app: ASGIApp, conn: Conn) -> None:
        """Pass the connection on.

        Args:
            app: the application.
            conn: the ASGI connection scope.
        """
        await app(conn, self.receive, self.send)

    async def receive(self) -> Message:
        """What the application receives."""
        message = await self._receive()
        if message["type"] == "websocket.connect":
            self.connected = True
        elif message["type"] == "websocket.disconnect":
            self.complete = True
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """What the application sends; no coroutine itself, because there are many messages."""
        self._note(message)
        return self._send(message)

    def is_over(self) -> bool:
        """Whether the time of the connection has come to its end."""
        return False

    def _note(self, message: Message) -> None:
        kind = message["type"]
        if kind == "websocket.accept":
            self.accepted = True
        elif kind.endswith("http.response.start"):
            self.answering = True
        elif kind == "websocket.close" or (kind.startswith(_CONTENT) and not message.get("more_body")):
            self.complete = True


# What the content of an answer comes in, extensions included.
_CONTENT: Final = (
    "http.response.body",
    "http.response.pathsend",
    "http.response.zerocopysend",
    "websocket.http.response.body",
)


class Lease(Watched):
    """A connection for as long as its token is good (MCP SDK #2718, CVE-2026-33946).

    At the token's `exp` the connection is told so: by a refusal where nothing was said yet, by the code 1008 on a WebSocket;
    an answer that has begun stops. The application is cancelled, but that alone would end nothing: it may be busy in a
    thread, may not wait for anything, and may say something else in its own `finally`. So what it still sends goes
    nowhere. What was answered in time, and what runs after it, is left alone.

    Args:
        gate: who let the connection through.
        ends_at: the end, in seconds since 1970-01-01 UTC.
        conn: the ASGI connection scope.
        receive: ASGI receive.
        send: ASGI send.
    """

    __slots__ = ("_conn", "_ended", "_gate", "_left", "_until", "_window")

    def __init__(self, gate: Gate, ends_at: float, conn: Conn, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._gate = gate
        self._conn = conn
        self._left = ends_at - gate.guard.now()
        self._until = anyio.current_time() + self._left
        self._ended = False
        self._window: anyio.CancelScope | None = None

    def is_over(self) -> bool:
        """Whether the token has ended."""
        return self._ended or anyio.current_time() >= self._until

    async def run(self, app: ASGIApp, conn: Conn) -> None:
        """Pass the connection on until the token ends.

        Args:
            app: the application.
            conn: the ASGI connection scope.
        """
        if self.is_over():  # a verifier may be lenient about a few seconds
            await self._end()
            return
        failed: BaseException | None = None
        try:
            async with anyio.create_task_group() as both:
                self._window = both.cancel_scope
                both.start_soon(self._wait)
                try:
                    await app(conn, self.receive, self.send)
                except anyio.get_cancelled_exc_class():
                    raise
                except BaseException as error:  # noqa: BLE001 - raised below; the group would put it into another
                    failed = error
                # The clock of the group has had no chance yet if nothing was waited for.
                if not self.complete and self.is_over() and (failed is None or self.accepted):
                    await self._end()
                self._window = None
                both.cancel_scope.cancel()
            if failed is not None:
                raise failed
        finally:
            self._window = failed = None

    async def send(self, message: Message) -> None:
        """What the application sends; after the end it goes nowhere, and the application stops here."""
        if not self.complete and anyio.current_time() >= self._until:
            await self._end()
        if self._ended:
            await anyio.lowlevel.checkpoint()
            return
        self._note(message)
        await self._send(message)

    async def _wait(self) -> None:
        await anyio.sleep_until(self._until)
        if not self.complete:
            await self._end()

    async def _end(self) -> None:
        self._ended = self.complete = True
        conn, gate = self._conn, self._gate
        if self._window is not None:
            self._window.cancel()
        # Shielded, as it runs in what was cancelled a line above; and whoever is gone need not be told: servers say that in
        # one of these two ways.
        with anyio.move_on_after(PARTING, shield=True), suppress(OSError, RuntimeError):
            if self.accepted:
                log.info("the token expired; the WebSocket %s is closed", gate.entry(conn).label)
                await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "token expired"})
            elif not self.answering:
                receive = received_connect if self.connected else self._receive
                await gate.guard.refuse(expired(), conn, receive, self._send)


async def received_connect() -> Message:
    """Stands for what was received already."""
    return {"type": "websocket.connect"}
