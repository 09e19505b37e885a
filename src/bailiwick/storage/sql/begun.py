"""Requests that wait for a person: kept if there is room for another one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Table, and_, bindparam, delete, func, select

from bailiwick.authority.records import DeviceCode, PushedRequest
from bailiwick.authority.store import ENDED_KEPT, Begun, Room

from .dialect import alone, insert_new
from .rows import values

__all__ = ["Beginning"]

# More than there can ever be, where there is no bound.
ANY: Final = 2**31 - 1


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

        # One that is counted by itself need not wait while all the others are counted.
        single = fewer(mine, "of_client")
        among = and_(single, fewer(network, "of_network"), fewer(table.c.network > "", "of_everybody"))
        row = [bindparam(f"new_{name}", type_=table.c[name].type) for name in self._names]
        self._free = {False: select(single), True: select(among)}
        self._given = {False: select(*row).where(single), True: select(*row).where(among)}
        self._drop = delete(table).where(table.c.expires_at <= bindparam("ended"))
        self._inserts: dict[tuple[str, bool], Any] = {}

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
        # So that there are never many more rows than may be unfinished, however long it is until the next purge.
        db.execute(self._drop, {"ended": now - ENDED_KEPT})
        bounds: dict[str, Any] = {
            "its_network": record.network,
            "its_client": record.client,
            "now": now,
            "of_client": room.client,
        }
        among = room != Room(room.client)
        if among:
            bounds["of_network"] = ANY if room.network is None else room.network
            bounds["of_everybody"] = ANY if room.everybody is None else room.everybody
        row = {f"new_{name}": value for name, value in values(record).items()}
        if db.execute(self._insert(db, among=among), bounds | row).rowcount:
            return Begun.DONE
        return Begun.TAKEN if db.execute(self._free[among], bounds).scalar() else Begun.FULL

    def _insert(self, db: Connection, *, among: bool) -> Any:
        # The word for "unless the key is taken" is the dialect's. Two threads may both build it; either is good.
        which = db.dialect.name, among
        if which not in self._inserts:
            self._inserts[which] = insert_new(db, self._table).from_select(self._names, self._given[among])
        return self._inserts[which]
