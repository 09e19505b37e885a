"""The feed: what no longer holds, numbered in the order in which it became so."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, and_, bindparam, delete, func, insert, or_, select

from bailiwick.authority.records import MOST_LINES, Revocation, Revoked
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


# The column that holds in which family, authorization or subject a line lies.
_PLACES = {
    Revoked.FAMILY: t.revocation.c.family,
    Revoked.AUTHORIZATION: t.revocation.c.authorization,
    Revoked.SUBJECT: t.revocation.c.subject,
}
# The living lines in one of those; by the column's index.
_LIVING = {
    kind: select(func.count(), func.max(t.revocation.c.at), func.max(t.revocation.c.until)).where(
        place == bindparam("key"), t.revocation.c.until > bindparam("now")
    )
    for kind, place in _PLACES.items()
}
_FAMILY = select(t.family.c.id, t.family.c.authorization, t.family.c.subject).where(t.family.c.id == bindparam("id"))
_AUTHORIZATION = select(t.authorization.c.id, t.authorization.c.subject).where(t.authorization.c.id == bindparam("id"))


class Feed(Transactions):
    """The verbs of `Store` that read the feed."""

    async def revocations(self, *, after: int = 0, now: float, limit: int | None = None) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        statement = _LINES.where(t.revocation.c.number > after, t.revocation.c.until > now).limit(limit)
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
    """Add a line to the feed; if there are too many within what it lies in, one takes the place of them all."""
    # So that numbers are given in the order in which their transactions are committed, and nobody counts beside us.
    alone(db, "feed")
    line = _placed(db, revocation)
    _add(db, line)
    for kind, key in line.within:
        count, at, until = db.execute(_LIVING[kind], {"key": key, "now": revocation.at}).one()
        if count > MOST_LINES[kind]:
            # With a higher number than any of them: whoever follows learns of it, whatever they know by now.
            line = line.gathered(kind, key, at=at, until=until)
            db.execute(delete(t.revocation).where(_PLACES[kind] == key))
            _add(db, line)


def _add(db: Connection, line: Revocation) -> None:
    row = values(line)
    del row["number"]
    db.execute(insert(t.revocation), row)


def _placed(db: Connection, line: Revocation) -> Revocation:
    """The line with the family, authorization and subject that it lies in."""
    match line.kind:
        case Revoked.TOKEN:
            # A token's id begins with that of its family.
            family = line.key.rpartition(".")[0]
            return _in_family(_find(db, _FAMILY, family) if family else None, line.placed(family=family))
        case Revoked.FAMILY:
            return _in_family(_find(db, _FAMILY, line.key), line.placed(family=line.key))
        case Revoked.AUTHORIZATION | Revoked.SCOPE:
            found = _find(db, _AUTHORIZATION, line.key)
            return line.placed(authorization=line.key, subject=found.subject if found is not None else "")
        case Revoked.SUBJECT:
            return line.placed(subject=line.key)
        case Revoked.CLIENT:
            return line


def _in_family(found: Row[Any] | None, line: Revocation) -> Revocation:
    return line if found is None else line.placed(authorization=found.authorization, subject=found.subject)


def _find(db: Connection, statement: Any, id: str) -> Row[Any] | None:
    return db.execute(statement, {"id": id}).first()
