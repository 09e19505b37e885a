"""The words of ASGI that all doors use."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

__all__ = ["ASGIApp", "Conn", "Message", "Receive", "Send", "authorization_of"]

Conn = MutableMapping[str, Any]  # an ASGI connection scope; "scope" means an OAuth scope in this project
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Conn, Receive, Send], Awaitable[None]]


def authorization_of(conn: Conn) -> bytes | None:
    """The first `Authorization` header of a connection, as it was sent; None without one."""
    for name, content in conn["headers"]:
        if name == b"authorization":
            value: bytes = content
            return value
    return None
