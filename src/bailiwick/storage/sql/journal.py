"""The journal: what happened, in order."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, case, func, insert, or_, select

from bailiwick.authority.records import Event, Origin
from bailiwick.authority.store import DAY, MINUTE, Basis, JournalRoom, line_key
from bailiwick.storage import tables as t

from .dialect import alone, upsert
from .feed import holds
from .rows import concerning
from .transactions import Transactions

__all__ = ["Journal", "write_down"]


# How much of what a peer says about itself the journal keeps.
ADDRESS_KEPT = 64
AGENT_KEPT = 200
DETAIL_KEPT = 2000
_WRITE_DOWN = insert(t.journal)

_c = t.journal.c  # its `count` is a method: the column is _c["count"]
_LINES_IN = select(func.count()).select_from(t.journal)
# Whether an event has a line already, or may begin one. Counted by the index that holds shared lines only.
_HAS_ROOM = or_(
    select(_c.number).where(_c.minute == bindparam("its_minute"), _c.key == bindparam("its_key")).exists(),
    (_LINES_IN.where(_c.minute == bindparam("its_minute")).scalar_subquery() < bindparam("room_of_minute"))
    & (
        _LINES_IN.where(_c.minute.between(bindparam("day_begins"), bindparam("day_ends"))).scalar_subquery()
        < bindparam("room_of_day")
    ),
)
_COLUMNS = [column for column in t.journal.c if column is not t.journal.c.number]
_WHERE_ROOM = select(*(bindparam(f"new_{one.name}", type_=one.type) for one in _COLUMNS)).where(_HAS_ROOM)


class Journal(Transactions):
    """The verbs of `Store` that write down and tell what happened."""

    async def record(self, event: Event, *, basis: Basis | None = None) -> bool:
        """See `Store.record`."""

        def work(db: Connection) -> bool:
            if not holds(db, basis):
                return False
            write_down(db, event)
            return True

        return await self._write(work)

    async def count(self, events: Sequence[Event], room: JournalRoom | None) -> Sequence[Event]:
        """See `Store.count`."""

        def work(db: Connection) -> list[Event]:
            if room is not None:
                # Elsewhere than in SQLite two who count at once would both find room.
                alone(db, "journal")
            return [event for event in events if not _count(db, event, room)]

        return await self._write(work)

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """See `Store.journal`."""
        statement = (
            select(t.journal)
            .where(concerning(t.journal, subject, client))
            .order_by(t.journal.c.number.desc())
            .limit(limit)
        )
        if before is not None:
            statement = statement.where(t.journal.c.number < before)
        return await self._scan(lambda db: [_event(row) for row in db.execute(statement).mappings()])


def write_down(db: Connection, event: Event) -> None:
    """Add a line to the journal, or to the number of the line that it shares, in the transaction of what it tells."""
    if event.every:
        _count(db, event, None)
    else:
        db.execute(_WRITE_DOWN, _row(event))


def _count(db: Connection, event: Event, room: JournalRoom | None) -> bool:
    minute = int(event.at // MINUTE) if room is not None else 0
    row = _row(event) | {"minute": minute, "key": line_key(event)}
    given = row
    if room is not None:
        day = minute - minute % (DAY // MINUTE)
        given = {f"new_{name}": value for name, value in row.items()} | {
            "its_minute": minute,
            "its_key": row["key"],
            "day_begins": day,
            "day_ends": day + DAY // MINUTE - 1,
            "room_of_minute": room.minute,
            "room_of_day": room.day,
        }
    return bool(db.execute(_counting(db.dialect.name, bounded=room is not None), given).rowcount)


@cache
def _counting(dialect: str, *, bounded: bool) -> Any:
    """The one statement that begins a line or adds to its number; the words for the latter are the dialect's."""
    fresh = upsert(dialect, t.journal)
    names = [column.name for column in _COLUMNS]
    fresh = fresh.from_select(names, _WHERE_ROOM) if bounded else fresh.values({n: bindparam(n) for n in names})
    until = case((fresh.excluded.until > 0, fresh.excluded.until), else_=fresh.excluded.at)
    return fresh.on_conflict_do_update(
        index_elements=[_c.minute, _c.key],
        index_where=_c.minute.is_not(None),
        set_={"count": _c["count"] + fresh.excluded["count"], "until": until},
    )


def _row(event: Event) -> dict[str, Any]:
    return {
        "at": event.at,
        "what": event.what,
        "actor": event.actor,
        "subject": event.subject,
        "client": event.client,
        "object": event.object,
        "detail": event.detail[:DETAIL_KEPT],
        "address": event.origin.address[:ADDRESS_KEPT],
        "agent": event.origin.agent[:AGENT_KEPT],
        "count": event.count,
        "until": event.until,
    }


def _event(row: RowMapping) -> Event:
    fields = {name: row[name] for name in row if name not in ("address", "agent", "minute", "key")}
    return Event(**fields, origin=Origin(row["address"], row["agent"]))
