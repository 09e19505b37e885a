"""Clients: programs that ask for tokens."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, select

from bailiwick.authority.records import Client, ClientAuth, Event, GrantType
from bailiwick.authority.store import Registered
from bailiwick.scopes import ScopeSet
from bailiwick.storage import tables as t

from .dialect import alone, insert_new
from .journal import write_down
from .rows import load_one, optional, parsed
from .transactions import Transactions

__all__ = ["Clients", "client_values", "unused"]


# Built once, as is every statement of a login, a refresh or an introspection: building one costs about as much as
# running it.
_CLIENT = select(t.client).where(t.client.c.id == bindparam("id"))


class Clients(Transactions):
    """The verbs of `Store` about clients."""

    async def client(self, id: str) -> Client | None:
        """See `Store.client`."""

        def work(db: Connection) -> Client | None:
            row = db.execute(_CLIENT, {"id": id}).first()
            return None if row is None else _client(row)

        return await self._read(work)

    async def clients(self) -> Sequence[Client]:
        """See `Store.clients`."""
        statement = select(t.client).order_by(t.client.c.id)
        return await self._scan(lambda db: [_client(row) for row in db.execute(statement)])

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """See `Store.register`."""

        def work(db: Connection) -> Registered:
            alone(db, "registration")
            if load_one(db, t.client, t.client.c.id == client.id, _client) is not None:
                return Registered.TAKEN
            if (db.execute(select(func.count()).select_from(t.client).where(unused())).scalar() or 0) >= quota:
                return Registered.FULL
            if not db.execute(insert_new(db, t.client).values(client_values(client))).rowcount:
                return Registered.TAKEN
            write_down(db, event)
            return Registered.DONE

        return await self._write(work)


def unused() -> ColumnElement[bool]:
    """Clients that registered themselves and that nobody ever let do anything."""
    used = select(t.authorization.c.id).where(t.authorization.c.client == t.client.c.id)
    return and_(t.client.c.registered, ~used.exists())


def client_values(record: Client) -> dict[str, Any]:
    """A client as a row."""
    return {
        "id": record.id,
        "name": record.name,
        "auth": record.auth.value,
        "secret": record.secret,
        "grants": json.dumps(sorted(grant.value for grant in record.grants)),
        "ceiling": str(record.ceiling),
        "default_scopes": optional(record.default),
        "redirects": json.dumps(record.redirects),
        "first_party": record.first_party,
        "introspects": json.dumps(sorted(record.introspects)),
        "created_at": record.created_at,
        "disabled_at": record.disabled_at,
        "version": record.version,
        "required_scopes": str(record.required),
        "jwks": record.jwks,
        "tls": record.tls,
        "registered": record.registered,
        "registration": record.registration,
    }


def _client(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        auth=ClientAuth(row.auth),
        grants=frozenset(GrantType(grant) for grant in json.loads(row.grants)),
        ceiling=ScopeSet.parse(row.ceiling),
        created_at=row.created_at,
        secret=row.secret,
        default=parsed(row.default_scopes),
        redirects=tuple(json.loads(row.redirects)),
        first_party=row.first_party,
        introspects=frozenset(json.loads(row.introspects)),
        disabled_at=row.disabled_at,
        version=row.version,
        required=ScopeSet.parse(row.required_scopes),
        jwks=row.jwks,
        tls=row.tls,
        registered=row.registered,
        registration=row.registration,
    )
