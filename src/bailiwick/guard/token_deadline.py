"""Connections that end with their token: what was said on one so far, and who ends it when the time has come."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Final

import anyio
import anyio.lowlevel

from bailiwick.errors import InvalidToken
from bailiwick.guard.asgi_types import ASGIApp, Conn, Message, Receive, Send

__all__ = [
    "POLICY_VIOLATION",
    "SOCKET",
    "ConnectionState",
    "State",
    "TokenDeadline",
    "expired",
    "received_connect",
]

log = logging.getLogger("bailiwick.guard")

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
SOCKET: Final = "bailiwick.socket"  # where a WebSocket's connection keeps what was said on it
PARTING: Final = (
    10  # seconds that a peer may take to be told of the end; as long as servers wait for a closing handshake
)

Refuse = Callable[[InvalidToken, Conn, Receive, Send], Awaitable[None]]


def expired() -> InvalidToken:
    """The refusal of what has not begun when the token ends."""
    return InvalidToken("The access token has expired.", id="BW208")


class State(Enum):
    """How far a connection has come."""

    NEW = auto()
    CONNECTED = auto()  # the application took a WebSocket's `websocket.connect`
    ACCEPTED = auto()  # it accepted the WebSocket
    ANSWERING = auto()  # it began an HTTP answer; that may be one to a WebSocket's handshake
    COMPLETE = auto()  # nothing more is to come: the answer is whole, or the WebSocket closed by either side


# What follows on a message; one that is not listed changes nothing. The ASGI specification, sections HTTP and WebSocket.
_OPEN: Final = {"websocket.disconnect": State.COMPLETE, "websocket.close": State.COMPLETE}
_UNANSWERED: Final = {
    **_OPEN,
    "websocket.accept": State.ACCEPTED,
    "http.response.start": State.ANSWERING,
    "websocket.http.response.start": State.ANSWERING,
}
_NEXT: Final[dict[State, dict[str, State]]] = {
    State.NEW: {**_UNANSWERED, "websocket.connect": State.CONNECTED},
    State.CONNECTED: _UNANSWERED,
    State.ACCEPTED: _OPEN,
    State.ANSWERING: {
        **_OPEN,
        # With the extensions that send an answer's content; the last part of it completes the answer.
        "http.response.body": State.COMPLETE,
        "http.response.pathsend": State.COMPLETE,
        "http.response.zerocopysend": State.COMPLETE,
        "websocket.http.response.body": State.COMPLETE,
    },
    State.COMPLETE: {},
}


class ConnectionState:
    """Notes how far an application has come on a connection, for whoever ends it or answers an error on it.

    Attributes:
        state: how far.
    """

    __slots__ = ("_receive", "_send", "state")

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self.state = State.NEW

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
        self._note(message)
        return message

    def send(self, message: Message) -> Awaitable[None]:
        """What the application sends; no coroutine itself, because there are many messages."""
        self._note(message)
        return self._send(message)

    def is_over(self) -> bool:
        """Whether the time of the connection has come to its end."""
        return False

    def _note(self, message: Message) -> None:
        following = _NEXT[self.state].get(message["type"])
        if following is not None and not message.get("more_body"):
            self.state = following


class TokenDeadline(ConnectionState):
    """Ends a WebSocket or a streaming response when its token expires (MCP SDK #2718, CVE-2026-33946).

    At the token's `exp` the connection is told so: by a refusal where nothing was said yet, by the code 1008 on a WebSocket;
    an answer that has begun stops. The application is cancelled, but that alone would end nothing: it may be busy in a
    thread, may not wait for anything, and may say something else in its own `finally`. So what it still sends goes
    nowhere. What was answered in time, and what runs after it, is left alone.

    Args:
        left: seconds until the end.
        label: the name of the route, for the log.
        refuse: sends a refusal.
        conn: the ASGI connection scope.
        receive: ASGI receive.
        send: ASGI send.
    """

    __slots__ = ("_conn", "_ended", "_label", "_refuse", "_until", "_window")

    def __init__(self, left: float, label: str, refuse: Refuse, conn: Conn, receive: Receive, send: Send) -> None:
        super().__init__(receive, send)
        self._label = label
        self._refuse = refuse
        self._conn = conn
        self._until = anyio.current_time() + left
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
        has_returned = False
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
                has_returned = True
                # The clock of the group has had no chance yet if nothing was waited for.
                came_late = self.state is not State.COMPLETE and self.is_over()
                if came_late and (failed is None or self.state is State.ACCEPTED):
                    await self._end()
                self._window = None
                both.cancel_scope.cancel()
        except anyio.get_cancelled_exc_class():
            # To leave the group takes turns of the loop. Without it the application's task would have ended by now, and
            # whoever cancels it would be too late to take the place of what it raised, or of an answer that is whole.
            if not has_returned:
                raise
        finally:
            self._window = None
        try:
            if failed is not None:
                raise failed
        finally:
            failed = None  # it knows this frame by now

    async def send(self, message: Message) -> None:
        """What the application sends; after the end it goes nowhere, and the application stops here."""
        if self.state is not State.COMPLETE and anyio.current_time() >= self._until:
            await self._end()
        if self._ended:
            await anyio.lowlevel.checkpoint()
            return
        self._note(message)
        await self._send(message)

    async def _wait(self) -> None:
        await anyio.sleep_until(self._until)
        if self.state is not State.COMPLETE:
            await self._end()

    async def _end(self) -> None:
        before, self.state, self._ended = self.state, State.COMPLETE, True
        if self._window is not None:
            self._window.cancel()
        # Shielded, as it runs in what was cancelled a line above; and whoever is gone need not be told: servers say that in
        # one of these two ways.
        with anyio.move_on_after(PARTING, shield=True), suppress(OSError, RuntimeError):
            if before is State.ACCEPTED:
                log.info("the token expired; the WebSocket %s is closed", self._label)
                await self._send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "token expired"})
            elif before is not State.ANSWERING:
                receive = received_connect if before is State.CONNECTED else self._receive
                await self._refuse(expired(), self._conn, receive, self._send)


async def received_connect() -> Message:
    """Stands for what was received already."""
    return {"type": "websocket.connect"}
