"""The journal: what happened, in order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from bailiwick.authority.records import Event, Origin
from bailiwick.authority.store import Basis
from bailiwick.storage import tables as t

from .feed import holds
from .rows import concerning
from .transactions import Transactions

__all__ = ["Journal", "write_down"]


# How much of what a peer says about itself the journal keeps.
AGENT_KEPT = 200
DETAIL_KEPT = 2000
_WRITE_DOWN = insert(t.journal)


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
        return await self._scan(lambda db: [_event(row) for row in db.execute(statement)])


def write_down(db: Connection, event: Event) -> None:
    """Add a line to the journal, in the transaction of what it tells."""
    db.execute(
        _WRITE_DOWN,
        {
            "at": event.at,
            "what": event.what,
            "actor": event.actor,
            "subject": event.subject,
            "client": event.client,
            "object": event.object,
            "detail": event.detail[:DETAIL_KEPT],
            "address": event.origin.address[:AGENT_KEPT],
            "agent": event.origin.agent[:AGENT_KEPT],
        },
    )


def _event(row: Row[Any]) -> Event:
    origin = Origin(row.address, row.agent)
    return Event(row.at, row.what, row.actor, row.subject, row.client, row.object, row.detail, origin, row.number)
