"""How a command serves an ASGI application: its socket, its server, and how it says that it cannot."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

import uvicorn

from bailiwick.errors import ConfigurationError

from .connections import SHARE_OF_DESCRIPTORS, ConnectionLimits, Connections, raise_descriptor_limit
from .ending import reason

__all__ = ["address_of", "listen", "run_async", "serve_on"]

# Seconds that open requests are given to end when the process is told to stop.
GRACE: Final = 3
# Connections that the system keeps for us until we accept them. asyncio tries as many at once, and has an error for each
# where no descriptor is left.
BACKLOG: Final = 512


def listen(host: str, port: int) -> socket.socket:
    """Take the address before anything else happens, so that a busy port leaves no trace.

    Args:
        host: a name or an address.
        port: the port, or 0 for any free one.

    Raises:
        ConfigurationError: it cannot be had; the message says why.
    """
    try:
        family, kind, _, _, where = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # Named, because asyncio sends small answers at once (TCP_NODELAY) on sockets that say so; others wait for 40 ms.
        sock = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as bad:
        raise ConfigurationError(f"The host {host!r} is not an address of this machine: {reason(bad)}.") from bad
    try:
        if sys.platform != "win32":  # there, the option would let two servers share a port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(where)
        sock.listen(BACKLOG)
    except OSError as bad:
        sock.close()
        raise ConfigurationError(
            f"Cannot listen on {host} port {port}: {reason(bad)}. Choose another with --port, or stop what uses it."
        ) from bad
    return sock


def address_of(sock: socket.socket, host: str) -> str:
    """The http:// address under which this machine reaches the socket, without a slash at its end."""
    port = sock.getsockname()[1]
    if host in {"0.0.0.0", "", "::"}:  # noqa: S104 - compared, not bound: "every interface" is reached as loopback
        host = "127.0.0.1" if host != "::" else "::1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


class _Announced(uvicorn.Server):
    """A server that says when it is ready, and that ends when it is told to without killing its process.

    uvicorn raises the signal once more after it has stopped; files that are still to be closed would
    be left open.
    """

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Stop serving at SIGINT and SIGTERM; the second SIGINT does not wait for open requests."""
        before = {name: signal.signal(name, self.handle_exit) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._ready()


async def serve_on(
    sock: socket.socket, app: Any, ready: Callable[[], None], *, limits: ConnectionLimits | None = None
) -> None:
    """Serve until the process is told to stop. What is logged is for the caller to say, with `logged`.

    Args:
        sock: a listening socket, from `listen`.
        app: an ASGI application.
        ready: called once requests are accepted.
        limits: of the connections; None for the usual ones.
    """
    limits = limits or ConnectionLimits()
    if descriptors := raise_descriptor_limit():
        limits = replace(limits, most=min(limits.most, int(descriptors * SHARE_OF_DESCRIPTORS)))
    connections = Connections(limits)
    config = uvicorn.Config(
        app,
        http=connections.protocol(),
        log_config=None,
        server_header=False,  # names no version
        # It would believe whoever calls from this machine; whom to believe is a setting of the authority.
        proxy_headers=False,
        limit_concurrency=connections.most_requests,
        backlog=BACKLOG,
        # Followers of the feed wait for up to half a minute, and come back by themselves.
        timeout_graceful_shutdown=GRACE,
    )
    access = logging.getLogger("uvicorn.access")
    access.addFilter(without_query)
    try:
        async with connections.watched():
            await _Announced(config, ready).serve(sockets=[sock])
    finally:
        access.removeFilter(without_query)


def without_query(record: logging.LogRecord) -> bool:
    """Take the query from a line of uvicorn's access log: device codes, login hints and one-time handles travel in it.

    Args:
        record: the line; its arguments are caller, method, path with query, HTTP version and status.
    """
    if isinstance(record.args, tuple) and len(record.args) > 2:
        caller, method, path, *rest = record.args
        record.args = (caller, method, str(path).partition("?")[0], *rest)
    return True


def run_async(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run a command's coroutine."""
    asyncio.run(main())
