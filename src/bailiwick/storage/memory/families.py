"""Refresh families, and the tokens that follow each other in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Event, Family, RefreshToken, Revocation, Revoked
from bailiwick.authority.store import Basis, Rotated, Rotation

from .revocations import Revocations

__all__ = ["Families"]


class Families(Revocations):
    """The verbs of `Store` about refresh families."""

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """See `Store.open_family`."""
        with self._lock:
            if not self._holds(basis) or self._told(Revoked.FAMILY, family.id):
                return False
            self._families[family.id] = family
            self._tokens[first.digest] = first
            self._write_down(replace(event, object=family.id))
            return True

    async def family(self, id: str) -> Family | None:
        """See `Store.family`."""
        return self._families.get(id)

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """See `Store.families`."""
        with self._lock:
            return [
                one
                for one in self._families.values()
                if one.revoked_at is None and subject in (None, one.subject) and client in (None, one.client)
            ]

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """See `Store.refresh_token`."""
        with self._lock:
            token = self._tokens.get(digest)
            return None if token is None else (token, self._families[token.family])

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """See `Store.rotate`."""
        with self._lock:
            token = self._tokens.get(rotation.digest)
            if token is None:
                return Rotated.UNKNOWN
            family = self._families[token.family]
            outcome = rotation.judge(token, family, self._tokens.get(rotation.successor))
            if outcome in (Rotated.FIRST_TIME, Rotated.RETRIED) and not self._holds(basis):
                return Rotated.STALE
            if outcome is Rotated.FIRST_TIME:
                self._tokens[token.digest] = replace(token, spent_at=rotation.now)
                self._tokens[rotation.successor] = RefreshToken(
                    rotation.successor, family.id, token.generation + 1, rotation.now, rotation.expires_at
                )
            elif outcome is Rotated.REPLAYED:
                self._end(
                    Revocation(
                        Revoked.FAMILY,
                        family.id,
                        rotation.now,
                        rotation.feed_until,
                        by="authority",
                        reason="a spent refresh token was presented again",
                    )
                )
            every = 0 if outcome is Rotated.FIRST_TIME else event.every
            self._write_down(replace(event, what=f"refresh.{outcome.value}", object=family.id, every=every))
            return outcome
