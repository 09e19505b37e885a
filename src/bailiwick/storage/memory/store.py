"""The store, of its nouns; and what concerns all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, TypeVar

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

__all__ = ["PURGE_ROWS", "MemoryStore"]

# Rows that a purge looks at while everybody waits.
PURGE_ROWS: Final = 1_000

_K = TypeVar("_K")
_V = TypeVar("_V")


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
        gone = 0
        # Tokens before their family: no verb may meet a token without one.
        gone += await self._drop(lambda: self._tokens, lambda one: self._families[one.family].expires_at <= now)
        gone += await self._drop(lambda: self._families, lambda one: one.expires_at <= now)
        # A spent code still proves a replay, as long as what came of it can live.
        gone += await self._drop(
            lambda: self._codes,
            lambda one: (
                one.expires_at <= now - CODE_KEPT and (one.spent_at is None or one.family not in self._families)
            ),
        )
        gone += await self._drop(lambda: self._devices, lambda one: one.expires_at <= now)
        gone += await self._drop(lambda: self._pushed, lambda one: one.expires_at <= now)
        gone += await self._drop(lambda: self._claimed, lambda until: until <= now)
        gone += await self._drop(lambda: self._sessions, lambda one: min(one.idle_until, one.expires_at) <= now)
        with self._lock:
            # The newest line keeps its number from being forgotten.
            left = [line for line in self._revocations[:-1] if line.until > now] + self._revocations[-1:]
            gone += len(self._revocations) - len(left)
            self._revocations = left
            old = [one for one in self._unused() if unused_before is not None and one.created_at < unused_before]
            for one in old:
                del self._clients[one.id]
        gone += len(old)
        if journal_before is not None:
            gone += await self._drop(lambda: self._journal, lambda line: line.at < journal_before)
            await self._drop(lambda: self._shared_lines, lambda number: number not in self._journal)
        return gone

    async def _drop(self, kept: Callable[[], dict[_K, _V]], doomed: Callable[[_V], bool]) -> int:
        """Delete what is doomed, some rows at a time, so that nobody waits for all of them; how many went."""
        with self._lock:
            keys = list(kept())
        gone = 0
        for first in range(0, len(keys), PURGE_ROWS):
            with self._lock:
                # Asked for anew: verbs put a new dictionary in an old one's place.
                rows = kept()
                going = [key for key in keys[first : first + PURGE_ROWS] if key in rows and doomed(rows[key])]
                for key in going:
                    del rows[key]
            gone += len(going)
            await asyncio.sleep(0)
        return gone

    async def check(self) -> None:
        """See `Store.check`."""

    async def close(self) -> None:
        """See `Store.close`."""
