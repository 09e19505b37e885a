"""The feed: what no longer holds, numbered in the order in which it became so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Revocation, Revoked
from bailiwick.authority.store import Basis

from .kept import Kept

__all__ = ["Feed"]


class Feed(Kept):
    """The verbs of `Store` that read the feed."""

    async def revocations(self, *, after: int = 0, now: float) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        with self._lock:
            return [line for line in self._revocations if line.number > after and line.until > now]

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """See `Store.revoked`."""
        with self._lock:
            return [line for line in self._revocations if line.key in keys and line.until > now]

    async def last_revocation(self) -> int:
        """See `Store.last_revocation`."""
        with self._lock:
            return self._revocations[-1].number if self._revocations else 0

    def _holds(self, basis: Basis | None) -> bool:
        """Whether nothing was revoked since that an issuance was decided on."""
        return basis is None or not any(
            (line.number > basis.seen and line.key in basis.keys)
            or (line.kind is Revoked.SUBJECT and line.key == basis.subject and line.at > basis.proved_at)
            for line in self._revocations
        )

    def _tell(self, revocation: Revocation) -> None:
        """Add a line to the feed."""
        self._revocations.append(replace(revocation, number=next(self._numbers)))

    def _told(self, kind: Revoked, key: str) -> bool:
        """Whether the feed has a line about this already."""
        return any(line.kind is kind and line.key == key for line in self._revocations)
