"""Bounds of the connections of a served command: how long each may keep us waiting, and how many there may be.

uvicorn has a deadline for idle connections alone: one byte of a head ends it, and the rest never has to come. This
module adds, for httptools and h11 alike, what a proxy in front would do (RFC 9110 section 15.5.9; slowloris).
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar, Final

from uvicorn.protocols.http.auto import AutoHTTPProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

__all__ = ["ConnectionLimits", "Connections", "raise_descriptor_limit"]

log = logging.getLogger("bailiwick.serve")

# httptools reads a head of any length, and uvicorn keeps all of it; h11 stops at 64 KiB.
MAX_HEAD: Final = 64 * 1024  # bytes
# Head, body and trailers of one request. The largest body that is read has 64 KiB; the rest is read to be thrown away.
MAX_REQUEST: Final = 1024 * 1024  # bytes
# Of the descriptors that this process may open, the part that connections usually take, and a quarter more while all are
# being answered; the store needs some, and so do the fetchers of clients' documents.
SHARE_OF_DESCRIPTORS: Final = 0.7
# Where there are too many connections, this part of them goes at once: to find them means to look at all.
EVICTED: Final = 1 / 8
# Seconds between two looks at all connections.
LOOK_EVERY: Final = 1.0
# Seconds between two lines about connections that could not be accepted.
TELL_EVERY: Final = 1.0
# The errors after which asyncio stops accepting for a second.
NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})


@dataclass(frozen=True, slots=True)
class ConnectionLimits:
    """How long a connection to `bailiwick serve` may keep it waiting, and how many there may be.

    Args:
        head: seconds for the whole head of a request, from the connection's begin or the end of the last answer.
        body: seconds for the whole body of a request.
        answer: seconds in which a caller takes an answer that is ready.
        most: connections at the same time; at most seven tenths of the files that the process may open. Where there are
            more, those go first that have kept the authority waiting for the longest time.
    """

    head: float = 10.0
    body: float = 30.0
    answer: float = 30.0
    most: int = 4096


class Connection(asyncio.Protocol):
    """Counts what a connection sends, and knows since when and for what its peer is waited for.

    Beside uvicorn's protocol, whose `cycle` is the newest request of which the head has come.
    """

    crowd: ClassVar[Connections]
    cycle: Any
    connections: set[asyncio.Protocol]
    transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection in, at the expense of others if there are too many."""
        super().connection_made(transport)
        self.since, self._known, self._received = monotonic(), (None, "head"), 0
        self.crowd.admit(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Make room."""
        super().connection_lost(exc)
        self.crowd.open.pop(self, None)

    def data_received(self, data: bytes) -> None:
        """Read on, and end what sends more than any request needs."""
        before = self.cycle
        super().data_received(data)
        if self.cycle is not before:
            self._received = 0
            return
        self._received += len(data)
        reads_head = before is None or (before.response_complete and not before.more_body)
        if self._received > (MAX_HEAD if reads_head else MAX_REQUEST):
            self.crowd.end(self)

    def waits_for(self, now: float) -> str:
        """What its peer has to do next, "" if it is our turn; `since` is when that began.

        Args:
            now: the monotonic clock.
        """
        cycle = self.cycle
        if self.transport.get_write_buffer_size():
            what = "answer"
        elif cycle is None or cycle.response_complete:
            what = "head"
        else:
            what = "body" if cycle.more_body else ""
        if self._known != (cycle, what):
            self._known, self.since = (cycle, what), now
        return what


@dataclass
class Connections:
    """All connections of a server.

    Args:
        limits: how long, and how many.
    """

    limits: ConnectionLimits
    open: dict[Connection, None] = field(default_factory=dict)
    _failed: int = 0
    _told_at: float = float("-inf")

    def protocol(self) -> type[asyncio.Protocol]:
        """The class of their protocol, for uvicorn: its own, with these bounds around it."""
        return type("BoundedConnection", (Connection, AutoHTTPProtocol), {"crowd": self})

    def admit(self, new: Connection) -> None:
        """Take a connection in; where there are too many, end those that have kept us waiting for the longest time."""
        self.open[new] = None
        if len(self.open) >= self.limits.most:
            self.evict()
        if len(self.open) > self.limits.most * (1 + 2 * EVICTED):
            # All of them are being answered, and uvicorn has said 503 to the last ones.
            self.end(new)

    @property
    def most_requests(self) -> int:
        """As many requests and connections as uvicorn serves; to others it says 503. What has just been ended still counts."""
        return int(self.limits.most * (1 + EVICTED))

    def evict(self) -> None:
        """End the connections that have kept us waiting for the longest time."""
        now = monotonic()
        waiting = sorted((one for one in self.open if one.waits_for(now)), key=lambda one: one.since)
        for one in waiting[: max(1, int(self.limits.most * EVICTED))]:
            self.end(one)

    def end(self, one: Connection) -> None:
        """Let go of a connection at once: who does not read would keep it open with what is left to be sent."""
        self.open.pop(one, None)
        one.connections.discard(one)
        if (sock := one.transport.get_extra_info("socket")) is not None:
            # Otherwise the system would go on offering what is left, for minutes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        one.transport.abort()

    def look(self) -> None:
        """End the connections whose time is over."""
        now = monotonic()
        for one in list(self.open):
            if one.transport.get_protocol() is not one:
                del self.open[one]  # a WebSocket now
                continue
            what = one.waits_for(now)
            if what and now - one.since > getattr(self.limits, what):
                self.end(one)

    def on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """Make room where no descriptor is left, and say so once a second: asyncio has a line for each attempt.

        Args:
            loop: the loop in which something went wrong.
            context: what it says of that.
        """
        bad = context.get("exception")
        if not (isinstance(bad, OSError) and bad.errno in NO_DESCRIPTOR and "socket" in context):
            loop.default_exception_handler(context)
            return
        self._failed += 1
        now = monotonic()
        if now - self._told_at >= TELL_EVERY:
            log.error("%d times no connection could be accepted: %s", self._failed, bad.strerror)
            self._failed, self._told_at = 0, now
            self.evict()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Hold the connections to their bounds, in the loop that runs."""
        loop = asyncio.get_running_loop()
        before = loop.get_exception_handler()
        loop.set_exception_handler(self.on_loop_error)
        looking = asyncio.create_task(self._look_on(), name="bailiwick connections")
        try:
            yield
        finally:
            looking.cancel()
            with suppress(asyncio.CancelledError):
                await looking
            loop.set_exception_handler(before)

    async def _look_on(self) -> None:
        every = min(LOOK_EVERY, *(one / 4 for one in self._seconds()))
        while True:
            await asyncio.sleep(every)
            self.look()

    def _seconds(self) -> Iterator[float]:
        yield from (self.limits.head, self.limits.body, self.limits.answer)


def raise_descriptor_limit() -> int | None:
    """Let this process open as many files as it may; how many that are, None where nothing says.

    A shell's soft limit is 1,024 for the sake of programs that call select(), which nothing here does.
    """
    if sys.platform == "win32":
        return None
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and soft < hard:
        with suppress(OSError, ValueError):  # macOS has a lower one of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
            soft = hard
    return None if soft == resource.RLIM_INFINITY else soft
