"""The store, of its nouns; and what concerns all of them at once."""

from __future__ import annotations

from bailiwick.authority.store import CODE_KEPT

from .authorizations import Authorizations
from .clients import Clients
from .codes import Codes
from .devices import Devices
from .families import Families
from .feed import Feed
from .journal import Journal
from .keys import Keys
from .once import Once
from .people import People
from .revocations import Revocations
from .sessions import Sessions
from .versioned import Versioned

__all__ = ["MemoryStore"]


class MemoryStore(
    Versioned,
    Families,
    Codes,
    Clients,
    People,
    Revocations,
    Authorizations,
    Devices,
    Once,
    Sessions,
    Keys,
    Journal,
    Feed,
):
    """A store in this process's memory."""

    async def purge(
        self, now: float, *, journal_before: float | None = None, unused_before: float | None = None
    ) -> int:
        """See `Store.purge`."""
        with self._lock:
            before = self._size()
            self._families = {key: one for key, one in self._families.items() if one.expires_at > now}
            self._tokens = {digest: one for digest, one in self._tokens.items() if one.family in self._families}
            # A spent code still proves a replay, as long as what came of it can live.
            self._codes = {
                digest: one
                for digest, one in self._codes.items()
                if one.expires_at + CODE_KEPT > now or (one.spent_at is not None and one.family in self._families)
            }
            self._devices = {digest: one for digest, one in self._devices.items() if one.expires_at > now}
            self._pushed = {digest: one for digest, one in self._pushed.items() if one.expires_at > now}
            self._claimed = {name: until for name, until in self._claimed.items() if until > now}
            self._sessions = {
                key: one for key, one in self._sessions.items() if min(one.idle_until, one.expires_at) > now
            }
            # The newest line keeps its number from being forgotten.
            self._revocations = [line for line in self._revocations[:-1] if line.until > now] + self._revocations[-1:]
            if unused_before is not None:
                for one in self._unused():
                    if one.created_at < unused_before:
                        del self._clients[one.id]
            if journal_before is not None:
                self._journal = [line for line in self._journal if line.at >= journal_before]
            return before - self._size()

    def _size(self) -> int:
        kept = (
            self._clients,
            self._families,
            self._tokens,
            self._codes,
            self._devices,
            self._pushed,
            self._claimed,
            self._sessions,
            self._revocations,
            self._journal,
        )
        return sum(len(part) for part in kept)

    async def check(self) -> None:
        """See `Store.check`."""

    async def close(self) -> None:
        """See `Store.close`."""
