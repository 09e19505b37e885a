"""Records that count their versions: whoever changes one has seen the newest."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, Text, delete, insert, literal, select, update

from bailiwick.authority.records import Account, Client, Event, Revocation, RoleRecord
from bailiwick.storage import tables as t

from .dialect import insert_new
from .journal import write_down
from .people import account_values
from .revocations import end
from .rows import values
from .transactions import Transactions

__all__ = ["Versioned"]


class Versioned(Transactions):
    """The verbs of `Store` that add and change a client, a person or a role."""

    async def add(self, record: Client | Account | RoleRecord, event: Event) -> bool:
        """See `Store.add`."""

        def work(db: Connection) -> bool:
            table, row = _values(record)
            if not db.execute(insert_new(db, table), row).rowcount:
                return False
            if isinstance(record, Account):
                _give_roles(db, record)
            write_down(db, event)
            return True

        return await self._write(work)

    async def change(
        self, record: Client | Account | RoleRecord, event: Event, *, revoking: Revocation | None = None
    ) -> bool:
        """See `Store.change`."""

        def work(db: Connection) -> bool:
            if not _put(db, record):
                return False
            if revoking is not None:
                end(db, revoking)
            write_down(db, event)
            return True

        return await self._write(work)


def _values(record: Client | Account | RoleRecord) -> tuple[Table, dict[str, Any]]:
    match record:
        case Client():
            return t.client, values(record)
        case Account():
            return t.account, account_values(record)
        case RoleRecord():
            return t.role, values(record)


def _put(db: Connection, record: Client | Account | RoleRecord) -> bool:
    table, row = _values(record)
    key = next(iter(table.primary_key))
    if isinstance(record, Account):
        other = select(t.account.c.id).where(t.account.c.name_key == row["name_key"], t.account.c.id != record.id)
        if db.execute(other).first() is not None:
            return False
    statement = update(table).where(key == row[key.key], table.c.version == record.version)
    if not db.execute(statement.values(row | {"version": record.version + 1})).rowcount:
        return False
    if isinstance(record, Account):
        db.execute(delete(t.account_role).where(t.account_role.c.account == record.id))
        _give_roles(db, record)
    return True


def _give_roles(db: Connection, record: Account) -> None:
    # Only roles that exist, so that one which was dropped meanwhile is not given.
    db.execute(
        insert(t.account_role).from_select(
            ["account", "role"],
            select(literal(record.id, Text), t.role.c.name).where(t.role.c.name.in_(sorted(record.roles))),
        )
    )
