"""Clients: programs that ask for tokens."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, bindparam, func, select

from bailiwick.authority.records import Client, Event, GrantType
from bailiwick.authority.store import Registered
from bailiwick.storage import tables as t

from .dialect import alone, insert_new
from .journal import write_down
from .rows import columns, load_all, load_one, values
from .transactions import Transactions

__all__ = ["Clients", "unused"]


# Built once, as is every statement of a login, a refresh or an introspection: building one costs about as much as
# running it.
_CLIENTS = select(*columns(t.client, Client)).order_by(t.client.c.id)
_GRANTS = select(t.client.c.grants).where(t.client.c.disabled_at.is_(None)).distinct()
_CLIENT = _CLIENTS.where(t.client.c.id == bindparam("id"))


class Clients(Transactions):
    """The verbs of `Store` about clients."""

    async def client(self, id: str) -> Client | None:
        """See `Store.client`."""
        return await self._read(lambda db: load_one(db, _CLIENT, Client, {"id": id}))

    async def clients(self) -> Sequence[Client]:
        """See `Store.clients`."""
        return await self._scan(lambda db: load_all(db, _CLIENTS, Client))

    async def grants_in_use(self) -> frozenset[GrantType]:
        """See `Store.grants_in_use`."""
        return await self._scan(lambda db: frozenset().union(*db.execute(_GRANTS).scalars()))

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """See `Store.register`."""

        def work(db: Connection) -> Registered:
            alone(db, "registration")
            if load_one(db, _CLIENT, Client, {"id": client.id}) is not None:
                return Registered.TAKEN
            if (db.execute(select(func.count()).select_from(t.client).where(unused())).scalar() or 0) >= quota:
                return Registered.FULL
            if not db.execute(insert_new(db, t.client), values(client)).rowcount:
                return Registered.TAKEN
            write_down(db, event)
            return Registered.DONE

        return await self._write(work)


def unused() -> ColumnElement[bool]:
    """Clients that registered themselves and that nobody ever let do anything."""
    used = select(t.authorization.c.id).where(t.authorization.c.client == t.client.c.id)
    return and_(t.client.c.registered, ~used.exists())
