"""Authorizations: what a person lets a client do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, and_, bindparam, func, or_, select, update

from bailiwick.authority.records import Authorization, ConsentedScope, Event, Revocation, Revoked
from bailiwick.storage import tables as t

from .dialect import insert_new, upsert
from .journal import write_down
from .rows import columns, concerning, values
from .transactions import Transactions

__all__ = ["Authorizations", "withdraw"]


_AUTHORIZATION = (
    select(*t.authorization.c, *columns(t.authorization_scope, ConsentedScope))
    .join_from(t.authorization, t.authorization_scope, isouter=True)
    .order_by(t.authorization.c.created_at, t.authorization.c.id, t.authorization_scope.c.position)
)
_AUTHORIZATION_BY_ID = _AUTHORIZATION.where(t.authorization.c.id == bindparam("id"))
_AUTHORIZATION_BETWEEN = _AUTHORIZATION.where(
    t.authorization.c.subject == bindparam("subject"),
    t.authorization.c.client == bindparam("client"),
    t.authorization.c.resource == bindparam("resource"),
)


class Authorizations(Transactions):
    """The verbs of `Store` about authorizations."""

    async def authorization(self, id: str) -> Authorization | None:
        """See `Store.authorization`."""
        return await self._read(lambda db: _authorization(db, id))

    async def authorizations(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """See `Store.authorizations`."""
        statement = _AUTHORIZATION.where(concerning(t.authorization, subject, client))
        return await self._scan(lambda db: _authorizations(db.execute(statement).all()))

    async def authorization_of(self, subject: str, client: str, resource: str) -> Authorization | None:
        """See `Store.authorization_of`."""
        return await self._read(lambda db: _between(db, subject, client, resource))

    async def consent(self, given: Authorization, event: Event, *, by: str = "person") -> Authorization:
        """See `Store.consent`."""

        def work(db: Connection) -> Authorization:
            made = db.execute(
                insert_new(db, t.authorization).values(
                    id=given.id,
                    subject=given.subject,
                    client=given.client,
                    resource=given.resource,
                    created_at=given.created_at,
                )
            ).rowcount
            found = _between(db, given.subject, given.client, given.resource)
            assert found is not None  # noqa: S101 - inserted above, or there before
            changed = made + sum(_consent_to(db, found, row, by) for row in given.rows)
            if changed:
                write_down(db, replace(event, object=found.id))
            return _authorization(db, found.id) or found

        return await self._write(work)


def _consent_to(db: Connection, found: Authorization, row: ConsentedScope, by: str) -> int:
    """Make one scope of an authorization live; 1 if that changed something."""
    given = values(row)
    c = t.authorization_scope.c
    position = select(func.coalesce(func.max(c.position), 0) + 1).where(c.authorization == found.id).scalar_subquery()
    may: ColumnElement[bool] = c.withdrawn_at.is_not(None)
    if by != "operator":
        may = and_(may, c.withdrawn_by != "operator")
    statement = (
        upsert(db, t.authorization_scope)
        .values(given | {"authorization": found.id, "position": position})
        .on_conflict_do_update(index_elements=[c.authorization, c.scope], set_=given, where=may)
    )
    return int(db.execute(statement).rowcount)


def withdraw(db: Connection, revocation: Revocation) -> int:
    """Withdraw one scope of an authorization, or all; how many changed."""
    c = t.authorization_scope.c
    may: ColumnElement[bool] = c.withdrawn_at.is_(None)
    if revocation.by == "operator":
        # An operator's word replaces a person's: the person alone cannot take it back any more.
        may = or_(may, c.withdrawn_by == "person")
    which = and_(c.authorization == revocation.key, may)
    if revocation.kind is Revoked.SCOPE:
        which = and_(which, c.scope == revocation.scope)
    return db.execute(
        update(t.authorization_scope)
        .where(which)
        .values(withdrawn_at=func.coalesce(c.withdrawn_at, revocation.at), withdrawn_by=revocation.by)
    ).rowcount


def _authorizations(rows: Sequence[Row[Any]]) -> list[Authorization]:
    """Authorizations, of the rows that tell of each of their scopes."""
    own = len(t.authorization.c)
    return [
        Authorization(
            key,
            subject,
            client,
            resource,
            created_at,
            tuple(ConsentedScope(*row[own:]) for row in of_one if row[own] is not None),
        )
        for (key, subject, client, resource, created_at), of_one in groupby(rows, key=lambda row: row[:own])
    ]


def _authorization(db: Connection, id: str) -> Authorization | None:
    return next(iter(_authorizations(db.execute(_AUTHORIZATION_BY_ID, {"id": id}).all())), None)


def _between(db: Connection, subject: str, client: str, resource: str) -> Authorization | None:
    three = {"subject": subject, "client": client, "resource": resource}
    return next(iter(_authorizations(db.execute(_AUTHORIZATION_BETWEEN, three).all())), None)
