"""Refresh families, and the tokens that follow each other in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, select, update

from bailiwick.authority.records import Event, Family, RefreshToken, Revoked
from bailiwick.authority.store import Basis, Rotated, Rotation
from bailiwick.storage import tables as t

from .feed import holds, told
from .journal import write_down
from .revocations import end, replayed
from .rows import columns, concerning, load_all, load_one, values
from .transactions import Transactions

__all__ = ["Families"]


_FAMILIES = select(*columns(t.family, Family)).order_by(t.family.c.created_at, t.family.c.id)
_TOKEN = (
    select(*columns(t.refresh_token, RefreshToken), *columns(t.family, Family))
    .join_from(t.refresh_token, t.family, t.family.c.id == t.refresh_token.c.family)
    .where(t.refresh_token.c.digest == bindparam("digest"))
)
# The one conditional UPDATE: of all who present a token, one finds it unspent.
_SPEND = (
    update(t.refresh_token)
    .where(
        t.refresh_token.c.digest == bindparam("presented"),
        t.refresh_token.c.spent_at.is_(None),
        t.refresh_token.c.expires_at > bindparam("now"),
        select(t.family.c.id)
        .where(
            t.family.c.id == t.refresh_token.c.family,
            t.family.c.client == bindparam("client"),
            t.family.c.revoked_at.is_(None),
            t.family.c.expires_at > bindparam("now"),
        )
        .exists(),
    )
    .values(spent_at=bindparam("now"))
    .returning(t.refresh_token.c.family, t.refresh_token.c.generation)
)
_ADD_TOKEN = insert(t.refresh_token)
_ADD_FAMILY = insert(t.family)


class Families(Transactions):
    """The verbs of `Store` about refresh families."""

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """See `Store.open_family`."""

        def work(db: Connection) -> bool:
            if not holds(db, basis) or told(db, Revoked.FAMILY, family.id):
                return False
            db.execute(_ADD_FAMILY, values(family))
            db.execute(_ADD_TOKEN, values(first))
            write_down(db, replace(event, object=family.id))
            return True

        return await self._write(work)

    async def family(self, id: str) -> Family | None:
        """See `Store.family`."""
        return await self._read(lambda db: load_one(db, _FAMILIES.where(t.family.c.id == id), Family))

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """See `Store.families`."""
        statement = _FAMILIES.where(concerning(t.family, subject, client), t.family.c.revoked_at.is_(None))
        return await self._scan(lambda db: load_all(db, statement, Family))

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """See `Store.refresh_token`."""
        return await self._read(lambda db: _load_token(db, digest))

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """See `Store.rotate`."""

        def work(db: Connection) -> Rotated:
            given = {"presented": rotation.digest, "client": rotation.client, "now": rotation.now}
            still = holds(db, basis)
            spent = db.execute(_SPEND, given).first() if still else None
            if spent is not None:
                successor = RefreshToken(
                    rotation.successor, spent.family, spent.generation + 1, rotation.now, rotation.expires_at
                )
                db.execute(_ADD_TOKEN, values(successor))
                what = f"refresh.{Rotated.FIRST_TIME.value}"
                write_down(db, replace(event, what=what, object=spent.family, every=0))
                return Rotated.FIRST_TIME
            found = _load_token(db, rotation.digest)
            if found is None:
                return Rotated.UNKNOWN
            token, family = found
            following = _load_token(db, rotation.successor)
            outcome = rotation.judge(token, family, following[0] if following is not None else None)
            # What could be spent and was not, was kept from it.
            if outcome is Rotated.FIRST_TIME or (outcome is Rotated.RETRIED and not still):
                return Rotated.STALE
            if outcome is Rotated.REPLAYED:
                end(db, replayed(family.id, rotation.now, rotation.feed_until, "a spent refresh token"))
            write_down(db, replace(event, what=f"refresh.{outcome.value}", object=family.id))
            return outcome

        return await self._write(work)


def _load_token(db: Connection, digest: str) -> tuple[RefreshToken, Family] | None:
    row = db.execute(_TOKEN, {"digest": digest}).first()
    if row is None:
        return None
    own = len(t.refresh_token.c)
    return RefreshToken(*row[:own]), Family(*row[own:])
