"""The feed: what no longer holds, numbered in the order in which it became so."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

from bailiwick.authority.records import MOST_LINES, Revocation, Revoked
from bailiwick.authority.store import Basis

from .kept import Kept

__all__ = ["Feed"]


class Feed(Kept):
    """The verbs of `Store` that read the feed."""

    async def revocations(self, *, after: int = 0, now: float, limit: int | None = None) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        with self._lock:
            first = bisect_right(self._revocations, after, key=lambda line: line.number)
            later = islice(self._revocations, first, None)
            return list(islice((line for line in later if line.until > now), limit))

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
        """Add a line to the feed; if there are too many within what it lies in, one takes the place of them all."""
        line = self._placed(revocation)
        self._revocations.append(replace(line, number=next(self._numbers)))
        for kind, key in line.within:
            inside = [one for one in self._revocations if (kind, key) in one.within]
            living = [one for one in inside if one.until > revocation.at]
            if len(living) > MOST_LINES[kind]:
                at, until = max(one.at for one in living), max(one.until for one in living)
                line = line.gathered(kind, key, at=at, until=until)
                self._revocations = [one for one in self._revocations if (kind, key) not in one.within]
                self._revocations.append(replace(line, number=next(self._numbers)))

    def _placed(self, line: Revocation) -> Revocation:
        """The line with the family, authorization and subject that it lies in."""
        match line.kind:
            case Revoked.TOKEN | Revoked.FAMILY:
                # A token's id begins with that of its family.
                name = line.key if line.kind is Revoked.FAMILY else line.key.rpartition(".")[0]
                line, family = line.placed(family=name), self._families.get(name)
                return (
                    line if family is None else line.placed(authorization=family.authorization, subject=family.subject)
                )
            case Revoked.AUTHORIZATION | Revoked.SCOPE:
                found = self._authorizations.get(line.key)
                return line.placed(authorization=line.key, subject=found.subject if found is not None else "")
            case Revoked.SUBJECT:
                return line.placed(subject=line.key)
            case Revoked.CLIENT:
                return line

    def _told(self, kind: Revoked, key: str) -> bool:
        """Whether the feed has a line about this already."""
        return any(line.kind is kind and line.key == key for line in self._revocations)
