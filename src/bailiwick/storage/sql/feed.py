"""The feed: what no longer holds, numbered in the order in which it became so."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, and_, bindparam, func, insert, or_, select

from bailiwick.authority.records import Revocation, Revoked
from bailiwick.authority.store import Basis
from bailiwick.storage import tables as t

from .dialect import alone
from .rows import columns, load_all, values
from .transactions import Transactions

__all__ = ["LAST_LINE", "Feed", "holds", "tell", "told"]


_LINES = select(*columns(t.revocation, Revocation)).order_by(t.revocation.c.number)
_REVOKED = _LINES.where(
    t.revocation.c.key.in_(bindparam("keys", expanding=True)), t.revocation.c.until > bindparam("now")
)
LAST_LINE = select(func.coalesce(func.max(t.revocation.c.number), 0))
_TOLD = select(t.revocation.c.number).where(
    t.revocation.c.kind == bindparam("kind"), t.revocation.c.key == bindparam("key")
)
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
                t.revocation.c.kind == Revoked.SUBJECT,
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
        statement = _LINES.where(t.revocation.c.number > after, t.revocation.c.until > now)
        return await self._scan(lambda db: load_all(db, statement, Revocation))

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """See `Store.revoked`."""
        given = {"keys": list(keys), "now": now}
        return await self._read(lambda db: load_all(db, _REVOKED, Revocation, given))

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
    return db.execute(_TOLD, {"kind": kind, "key": key}).first() is not None


def tell(db: Connection, revocation: Revocation) -> None:
    """Add a line to the feed."""
    # So that numbers are given in the order in which their transactions are committed.
    alone(db, "feed")
    line = values(revocation)
    del line["number"]
    db.execute(insert(t.revocation), line)
