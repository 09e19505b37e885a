"""Requests that wait for a person: kept if there is room for another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Table, and_, bindparam, delete, func, select

from bailiwick.authority.records import DeviceCode, PushedRequest
from bailiwick.authority.store import ENDED_KEPT, Begun, Room

from .dialect import alone, insert_new
from .rows import values

__all__ = ["Beginning"]

# More than there can ever be, where nothing is bounded by network.
EVERYBODY: Final = 2**31 - 1


class Beginning:
    """How requests of one kind are added to their table; its statements are built once.

    Args:
        table: where they are kept.
        record: what a row is.
        unfinished: which rows are, besides being young; nothing for all of them.
    """

    def __init__(
        self, table: Table, record: type[DeviceCode | PushedRequest], unfinished: Sequence[ColumnElement[bool]] = ()
    ) -> None:
        self._table = table
        self._names = [field.name for field in fields(record)]
        network = table.c.network == bindparam("its_network")
        mine = and_(network, table.c.client == bindparam("its_client"))
        young = table.c.expires_at > bindparam("now")

        def fewer(whose: ColumnElement[bool], than: str) -> ColumnElement[bool]:
            count = select(func.count()).select_from(table).where(whose, young, *unfinished)
            # Not of the row that is being added: of those that are there.
            return count.correlate(None).scalar_subquery() < bindparam(than)

        free = and_(fewer(mine, "of_client"), fewer(network, "of_network"))
        self._given = select(*(self._given_value(table.c[name]) for name in self._names)).where(free)
        self._free = select(free)
        old = table.c.expires_at <= bindparam("ended")
        self._drop_of_network = delete(table).where(network, old)
        self._drop_of_client = delete(table).where(mine, old)
        self._inserts: dict[str, Any] = {}

    @staticmethod
    def _given_value(column: Column[Any]) -> ColumnElement[Any]:
        return bindparam(f"new_{column.key}", type_=column.type)

    def begin(self, db: Connection, record: DeviceCode | PushedRequest, room: Room, now: float) -> Begun:
        """Add a row if there is room for it: the counts are part of the statement that adds it.

        Args:
            db: in a transaction.
            record: the row.
            room: how many may be unfinished, this one included.
            now: seconds since the epoch.
        """
        # SQLite lets in one writer at a time. Elsewhere two statements that count at once would both find room.
        alone(db, f"begin {self._table.name}")
        whose = {"its_network": record.network, "its_client": record.client}
        # So that the rows of a stranger stay as few as they may be, however long it is until the next purge.
        if record.network:
            db.execute(self._drop_of_network, {"its_network": record.network, "ended": now - ENDED_KEPT})
        else:
            db.execute(self._drop_of_client, whose | {"ended": now - ENDED_KEPT})
        of_network = EVERYBODY if room.network is None else room.network
        bounds = whose | {"now": now, "of_client": room.client, "of_network": of_network}
        row = {f"new_{name}": value for name, value in values(record).items()}
        if db.execute(self._insert(db), bounds | row).rowcount:
            return Begun.DONE
        return Begun.TAKEN if db.execute(self._free, bounds).scalar() else Begun.FULL

    def _insert(self, db: Connection) -> Any:
        # The word for "unless the key is taken" is the dialect's. Two threads may both build it; either is good.
        name = db.dialect.name
        if name not in self._inserts:
            self._inserts[name] = insert_new(db, self._table).from_select(self._names, self._given)
        return self._inserts[name]
