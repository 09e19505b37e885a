"""Clients: programs that ask for tokens."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.authority.records import Client, Event, GrantType
from bailiwick.authority.store import Registered

from .journal import Journal

__all__ = ["Clients"]


class Clients(Journal):
    """The verbs of `Store` about clients."""

    async def client(self, id: str) -> Client | None:
        """See `Store.client`."""
        return self._clients.get(id)

    async def clients(self) -> Sequence[Client]:
        """See `Store.clients`."""
        with self._lock:
            return sorted(self._clients.values(), key=lambda client: client.id)

    async def grants_in_use(self) -> frozenset[GrantType]:
        """See `Store.grants_in_use`."""
        with self._lock:
            return frozenset().union(*(one.grants for one in self._clients.values() if one.disabled_at is None))

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """See `Store.register`."""
        with self._lock:
            if client.id in self._clients:
                return Registered.TAKEN
            if len(self._unused()) >= quota:
                return Registered.FULL
            self._clients[client.id] = client
            self._write_down(event)
            return Registered.DONE

    def _unused(self) -> list[Client]:
        """Clients that registered themselves and that nobody ever let do anything."""
        used = {one.client for one in self._authorizations.values()}
        return [one for one in self._clients.values() if one.registered and one.id not in used]
