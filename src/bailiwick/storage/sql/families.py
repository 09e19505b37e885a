"""Refresh families, and the tokens that follow each other in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import LABEL_STYLE_TABLENAME_PLUS_COL, Connection, Row, bindparam, insert, select, update

from bailiwick.authority.records import Event, Family, RefreshToken, Revoked
from bailiwick.authority.store import Basis, Rotated, Rotation
from bailiwick.scopes import ScopeSet
from bailiwick.storage import tables as t

from .feed import holds, told
from .journal import write_down
from .revocations import end, replayed
from .rows import concerning, load_one
from .transactions import Transactions

__all__ = ["Families"]


_TOKEN = (
    select(t.refresh_token, t.family)
    .join_from(t.refresh_token, t.family, t.family.c.id == t.refresh_token.c.family)
    .where(t.refresh_token.c.digest == bindparam("digest"))
    .set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL)
)
# The one conditional UPDATE: of all who present a token, one finds it unspent.
_SPEND = (
    update(t.refresh_token)
    .where(
        t.refresh_token.c.digest == bindparam("presented"),
        t.refresh_token.c.spent_at.is_(None),
        t.refresh_token.c.expires_at > bindparam("now"),
        select(t.family.c.id)
        .where(
            t.family.c.id == t.refresh_token.c.family,
            t.family.c.client == bindparam("client"),
            t.family.c.revoked_at.is_(None),
            t.family.c.expires_at > bindparam("now"),
        )
        .exists(),
    )
    .values(spent_at=bindparam("now"))
    .returning(t.refresh_token.c.family, t.refresh_token.c.generation)
)
_ADD_TOKEN = insert(t.refresh_token)
_ADD_FAMILY = insert(t.family)


class Families(Transactions):
    """The verbs of `Store` about refresh families."""

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """See `Store.open_family`."""

        def work(db: Connection) -> bool:
            if not holds(db, basis) or told(db, Revoked.FAMILY, family.id):
                return False
            db.execute(
                _ADD_FAMILY,
                {
                    "id": family.id,
                    "authorization": family.authorization,
                    "subject": family.subject,
                    "client": family.client,
                    "resource": family.resource,
                    "scopes": str(family.scopes),
                    "authenticated_at": family.authenticated_at,
                    "created_at": family.created_at,
                    "expires_at": family.expires_at,
                    "revoked_at": family.revoked_at,
                    "reason": family.reason,
                },
            )
            _insert_token(db, first)
            write_down(db, replace(event, object=family.id))
            return True

        return await self._write(work)

    async def family(self, id: str) -> Family | None:
        """See `Store.family`."""
        return await self._read(lambda db: load_one(db, t.family, t.family.c.id == id, _family))

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """See `Store.families`."""
        statement = (
            select(t.family)
            .where(concerning(t.family, subject, client), t.family.c.revoked_at.is_(None))
            .order_by(t.family.c.created_at, t.family.c.id)
        )
        return await self._scan(lambda db: [_family(row) for row in db.execute(statement)])

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """See `Store.refresh_token`."""
        return await self._read(lambda db: _load_token(db, digest))

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """See `Store.rotate`."""

        def work(db: Connection) -> Rotated:
            given = {"presented": rotation.digest, "client": rotation.client, "now": rotation.now}
            still = holds(db, basis)
            spent = db.execute(_SPEND, given).first() if still else None
            if spent is not None:
                _insert_token(
                    db,
                    RefreshToken(
                        rotation.successor, spent.family, spent.generation + 1, rotation.now, rotation.expires_at
                    ),
                )
                write_down(db, replace(event, what=f"refresh.{Rotated.FIRST_TIME.value}", object=spent.family))
                return Rotated.FIRST_TIME
            found = _load_token(db, rotation.digest)
            if found is None:
                return Rotated.UNKNOWN
            token, family = found
            outcome = _judge(db, token, family, rotation)
            if not still and (outcome is Rotated.RETRIED or _could_be_spent(token, family, rotation)):
                return Rotated.STALE
            if outcome is Rotated.REPLAYED:
                end(db, replayed(family.id, rotation.now, rotation.feed_until, "a spent refresh token"))
            write_down(db, replace(event, what=f"refresh.{outcome.value}", object=family.id))
            return outcome

        return await self._write(work)


def _insert_token(db: Connection, token: RefreshToken) -> None:
    db.execute(
        _ADD_TOKEN,
        {
            "digest": token.digest,
            "family": token.family,
            "generation": token.generation,
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
            "spent_at": token.spent_at,
        },
    )


def _could_be_spent(token: RefreshToken, family: Family, rotation: Rotation) -> bool:
    """What `_SPEND` asks."""
    living = family.client == rotation.client and family.revoked_at is None and family.expires_at > rotation.now
    return living and token.spent_at is None and token.expires_at > rotation.now


def _judge(db: Connection, token: RefreshToken, family: Family, rotation: Rotation) -> Rotated:
    """Why a token was not spent just now."""
    if family.client != rotation.client:
        return Rotated.FOREIGN
    if family.revoked_at is not None:
        return Rotated.REVOKED
    if family.expires_at <= rotation.now:
        return Rotated.EXPIRED
    if token.spent_at is None:
        return Rotated.EXPIRED
    successor = _load_token(db, rotation.successor)
    unused = successor is not None and successor[0].family == family.id and successor[0].spent_at is None
    within = rotation.now - token.spent_at <= rotation.grace
    return Rotated.RETRIED if within and unused else Rotated.REPLAYED


def _family(row: Row[Any]) -> Family:
    return Family(
        id=row.id,
        authorization=row.authorization,
        subject=row.subject,
        client=row.client,
        resource=row.resource,
        scopes=ScopeSet.parse(row.scopes),
        authenticated_at=row.authenticated_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        reason=row.reason,
    )


def _load_token(db: Connection, digest: str) -> tuple[RefreshToken, Family] | None:
    row = db.execute(_TOKEN, {"digest": digest}).first()
    if row is None:
        return None
    token = RefreshToken(
        row.bw_refresh_token_digest,
        row.bw_refresh_token_family,
        row.bw_refresh_token_generation,
        row.bw_refresh_token_issued_at,
        row.bw_refresh_token_expires_at,
        row.bw_refresh_token_spent_at,
    )
    family = Family(
        id=row.bw_family_id,
        authorization=row.bw_family_authorization,
        subject=row.bw_family_subject,
        client=row.bw_family_client,
        resource=row.bw_family_resource,
        scopes=ScopeSet.parse(row.bw_family_scopes),
        authenticated_at=row.bw_family_authenticated_at,
        created_at=row.bw_family_created_at,
        expires_at=row.bw_family_expires_at,
        revoked_at=row.bw_family_revoked_at,
        reason=row.bw_family_reason,
    )
    return token, family
