"""The feed: what no longer holds, numbered in the order in which it became so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, func, insert, or_, select

from bailiwick.authority.records import Revocation, Revoked
from bailiwick.authority.store import Basis
from bailiwick.storage import tables as t

from .dialect import alone
from .transactions import Transactions

__all__ = ["LAST_LINE", "Feed", "holds", "tell", "told"]


_REVOKED = (
    select(t.revocation)
    .where(t.revocation.c.key.in_(bindparam("keys", expanding=True)), t.revocation.c.until > bindparam("now"))
    .order_by(t.revocation.c.number)
)
LAST_LINE = select(func.coalesce(func.max(t.revocation.c.number), 0))
# Whether something was revoked between the reading and the writing; by the key's index.
_OVERTAKEN = (
    select(t.revocation.c.number)
    .where(
        or_(
            and_(
                t.revocation.c.key.in_(bindparam("keys", expanding=True)),
                t.revocation.c.number > bindparam("seen"),
            ),
            and_(
                t.revocation.c.key == bindparam("subject"),
                t.revocation.c.kind == Revoked.SUBJECT.value,
                t.revocation.c.at > bindparam("proved_at"),
            ),
        )
    )
    .limit(1)
)


class Feed(Transactions):
    """The verbs of `Store` that read the feed."""

    async def revocations(self, *, after: int = 0, now: float) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        statement = (
            select(t.revocation)
            .where(t.revocation.c.number > after, t.revocation.c.until > now)
            .order_by(t.revocation.c.number)
        )
        return await self._scan(lambda db: [_revocation(row) for row in db.execute(statement)])

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """See `Store.revoked`."""
        given = {"keys": list(keys), "now": now}
        return await self._read(lambda db: [_revocation(row) for row in db.execute(_REVOKED, given)])

    async def last_revocation(self) -> int:
        """See `Store.last_revocation`."""
        return await self._read(lambda db: int(db.execute(LAST_LINE).scalar_one()))


def holds(db: Connection, basis: Basis | None) -> bool:
    """Whether nothing was revoked since that an issuance was decided on."""
    if basis is None:
        return True
    # On PostgreSQL whoever revokes waits until whoever issues has committed, or went first and is seen; SQLite
    # lets in one writer at a time anyway.
    alone(db, "feed", shared=True)
    given = {"keys": basis.keys, "seen": basis.seen, "subject": basis.subject, "proved_at": basis.proved_at}
    return db.execute(_OVERTAKEN, given).first() is None


def told(db: Connection, kind: Revoked, key: str) -> bool:
    """Whether the feed has a line about this already."""
    about = select(t.revocation.c.number).where(t.revocation.c.kind == kind.value, t.revocation.c.key == key)
    return db.execute(about).first() is not None


def tell(db: Connection, revocation: Revocation) -> None:
    """Add a line to the feed."""
    # So that numbers are given in the order in which their transactions are committed.
    alone(db, "feed")
    db.execute(
        insert(t.revocation).values(
            kind=revocation.kind.value,
            key=revocation.key,
            at=revocation.at,
            until=revocation.until,
            scope=revocation.scope,
            by=revocation.by,
            reason=revocation.reason,
        )
    )


def _revocation(row: Row[Any]) -> Revocation:
    return Revocation(Revoked(row.kind), row.key, row.at, row.until, row.scope, row.by, row.reason, row.number)
