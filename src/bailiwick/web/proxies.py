"""From where a request came, where proxies stand in front.

Anybody can send `X-Forwarded-For`. It is read only when the connection itself comes from a proxy that the
settings name, and then from right to left: each trusted proxy has written down who called it, so the first
address that is no trusted proxy is the caller's, and everything left of it is hearsay.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

__all__ = ["Proxies"]

Conn = MutableMapping[str, Any]
App = Callable[[Conn, Any, Any], Awaitable[None]]
Address = IPv4Address | IPv6Address

HEADER: Final = b"x-forwarded-for"
# What only a proxy can know (RFC 9440); from anybody else it is a claim without a proof.
CERTIFICATE: Final = (b"client-cert", b"client-cert-chain")
# A chain of more proxies than this is none.
MAX_HOPS: Final = 20


class Proxies:
    """An ASGI application that tells the one inside who really called.

    Args:
        app: the application inside.
        trusted: the networks from which proxies speak; none: nobody is believed.
    """

    def __init__(self, app: App, trusted: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        self._app = app
        self._trusted = tuple(trusted)

    async def __call__(self, conn: Conn, receive: Any, send: Any) -> None:
        """Hand on a connection, with `client` set to the caller's address."""
        if self._trusted and conn["type"] in {"http", "websocket"}:
            peer = conn["client"][0] if conn.get("client") else ""
            caller = self.caller(peer, conn["headers"])
            if caller != peer:
                # The port is that of a connection to a proxy.
                conn = {**conn, "client": (caller, 0)}
            if not self._trusts(peer):
                conn = {**conn, "headers": [field for field in conn["headers"] if field[0] not in CERTIFICATE]}
        await self._app(conn, receive, send)

    def caller(self, peer: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The address of whoever called the outermost trusted proxy.

        Args:
            peer: the address of the connection.
            headers: the fields of the request, names in lower case.

        Returns:
            The peer itself, if it is no trusted proxy, or if what it tells is no address.
        """
        nearest = peer
        if not self._trusts(peer):
            return peer
        # Several fields are one list, in their order (RFC 9110 section 5.3).
        said = b",".join(value for name, value in headers if name == HEADER).decode("latin-1").split(",")
        for told in list(reversed(said))[:MAX_HOPS]:
            address = _read(told)
            if address is None:
                # A trusted proxy wrote something else; further left nobody is trusted any more.
                return nearest
            nearest = str(address)
            if not self._trusts(nearest):
                return nearest
        return nearest

    def _trusts(self, text: str) -> bool:
        address = _read(text)
        return address is not None and any(address in network for network in self._trusted)


def _read(text: str) -> Address | None:
    """An address as proxies write it: with a port, in brackets, or plain; IPv4 in IPv6 is IPv4."""
    text = text.strip(" \t")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address
