"""Requests that were begun and wait for a person: how many may be unfinished at once, and of whom.

Whoever has the name of a public client can begin requests of devices (RFC 8628 section 3.1) and push authorization
requests (RFC 9126 section 2), and each is kept until a person decides or it expires. So they are counted, by the store
and in the act that keeps one; too many are answered with 429 (RFC 9126 section 2.3).
"""

from __future__ import annotations

import hmac
from typing import Final

from bailiwick.errors import Refused

from .attempts import network_of
from .ids import TokenBytes
from .records import Client, Origin
from .settings import Settings
from .store import Room, Store

__all__ = ["Waiting", "crowded"]

# The store's name of the key under which networks are digested.
NETWORKS_SECRET: Final = "networks"  # noqa: S105 - a name


class Waiting:
    """What unfinished requests are counted by.

    Args:
        settings: how many there may be.
        store: keeps the key under which networks are digested.
        token_bytes: the source of randomness.
    """

    def __init__(self, settings: Settings, store: Store, token_bytes: TokenBytes) -> None:
        self._bounds = settings.unfinished
        self._store = store
        self._token_bytes = token_bytes
        self._key: bytes | None = None

    async def room(self, client: Client, origin: Origin) -> tuple[str, Room]:
        """By what a request of this client is counted beside its client, and how many there may be.

        A confidential client that the operator made is counted by itself: it proved who it is, nobody else can use up
        its room, and a web application has all its people behind one address. One that registered or described itself
        is as good as public, for anybody can have as many as they like.

        Args:
            client: that begins a request, authenticated.
            origin: from where; callers of unknown address are one network.
        """
        if not client.public and not client.registered:
            return "", Room(self._bounds.confidential)
        network = await self._digest(network_of(origin.address))
        return network, Room(self._bounds.client, self._bounds.network, self._bounds.everybody)

    async def _digest(self, network: str) -> str:
        # There are only so many addresses: without a key, a digest of one is the address for whoever has the store's
        # rows from elsewhere, such as a dump without its secrets.
        if self._key is None:
            self._key = await self._store.secret(NETWORKS_SECRET, self._token_bytes(32))
        return hmac.new(self._key, network.encode(), "sha256").hexdigest()


def crowded(lifetime: int, detail: str) -> Refused:
    """Why no further request begins now.

    Args:
        lifetime: seconds after which those that wait have expired.
        detail: for the operator's log.
    """
    return Refused(
        "slow_down",
        "Too many requests were begun from here and not finished. Finish one, or wait until they expire.",
        status=429,
        id="BW416",
        detail=detail,
        retry_after=lifetime,
    )
