"""People, and the roles that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, Row, bindparam, delete, select, update

from bailiwick.authority.records import Account, Event, RoleRecord, Standing, is_name_length, name_key
from bailiwick.scopes import ScopeSet
from bailiwick.storage import tables as t

from .journal import write_down
from .rows import columns, load_all, values
from .transactions import Transactions

__all__ = ["People", "account_values"]


_ACCOUNT = (
    select(t.account, t.role.c.name.label("role"), t.role.c.scopes.label("role_scopes"))
    .join_from(t.account, t.account_role, t.account_role.c.account == t.account.c.id, isouter=True)
    .join(t.role, t.role.c.name == t.account_role.c.role, isouter=True)
    .order_by(t.account.c.name_key, t.role.c.name)
)
_ACCOUNT_BY_ID = _ACCOUNT.where(t.account.c.id == bindparam("id"))
_ACCOUNT_BY_NAME = _ACCOUNT.where(t.account.c.name_key == bindparam("name_key"))


class People(Transactions):
    """The verbs of `Store` about people and roles."""

    async def account(self, id: str) -> Account | None:
        """See `Store.account`."""
        return await self._read(lambda db: _person(db.execute(_ACCOUNT_BY_ID, {"id": id}).all()))

    async def account_named(self, name: str) -> Account | None:
        """See `Store.account_named`."""
        if not is_name_length(name):
            return None
        key = name_key(name)
        return await self._read(lambda db: _person(db.execute(_ACCOUNT_BY_NAME, {"name_key": key}).all()))

    async def accounts(self) -> Sequence[Account]:
        """See `Store.accounts`."""

        def work(db: Connection) -> list[Account]:
            people = groupby(db.execute(_ACCOUNT), key=lambda row: row.id)
            return [_account(rows) for rows in (list(rows) for _, rows in people)]

        return await self._scan(work)

    async def roles(self) -> Sequence[RoleRecord]:
        """See `Store.roles`."""
        statement = select(*columns(t.role, RoleRecord)).order_by(t.role.c.name)
        return await self._read(lambda db: load_all(db, statement, RoleRecord))

    async def standing(self, account: str) -> Standing | None:
        """See `Store.standing`."""

        def work(db: Connection) -> Standing | None:
            rows = db.execute(_ACCOUNT_BY_ID, {"id": account}).all()
            if not rows:
                return None
            found = _account(rows)
            of_roles = [scope for row in rows if row.role is not None for scope in row.role_scopes]
            return Standing(found, ScopeSet([*of_roles, *found.grants]))

        return await self._read(work)

    async def drop_role(self, name: str, event: Event) -> bool:
        """See `Store.drop_role`."""

        def work(db: Connection) -> bool:
            holders = select(t.account_role.c.account).where(t.account_role.c.role == name)
            db.execute(update(t.account).where(t.account.c.id.in_(holders)).values(version=t.account.c.version + 1))
            db.execute(delete(t.account_role).where(t.account_role.c.role == name))
            if not db.execute(delete(t.role).where(t.role.c.name == name)).rowcount:
                return False
            write_down(db, event)
            return True

        return await self._write(work)

    async def rehash(self, account: str, old: str, new: str) -> bool:
        """See `Store.rehash`."""
        statement = (
            update(t.account)
            .where(t.account.c.id == account, t.account.c.password == old)
            .values(password=new, version=t.account.c.version + 1)
        )
        return await self._write(lambda db: db.execute(statement).rowcount == 1)


def account_values(record: Account) -> dict[str, Any]:
    """A person as a row, without their roles."""
    given = values(record)
    del given["roles"]
    return given | {"name_key": name_key(record.name)}


def _account(rows: Sequence[Row[Any]]) -> Account:
    """A person, of the rows that tell of each of their roles."""
    row = rows[0]
    return Account(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        password=row.password,
        roles=frozenset(one.role for one in rows if one.role is not None),
        grants=row.scopes,
        disabled_at=row.disabled_at,
        version=row.version,
    )


def _person(rows: Sequence[Row[Any]]) -> Account | None:
    return _account(rows) if rows else None
