"""Authorization codes: redeemed once, and a replay ends what came of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from bailiwick.authority.records import Code, Event, Revoked
from bailiwick.authority.store import Redeemed
from bailiwick.scopes import ScopeSet
from bailiwick.storage import tables as t

from .feed import tell, told
from .journal import write_down
from .revocations import end, replayed
from .rows import load_one
from .transactions import Transactions

__all__ = ["Codes"]


class Codes(Transactions):
    """The verbs of `Store` about authorization codes."""

    async def add_code(self, code: Code) -> None:
        """See `Store.add_code`."""
        statement = insert(t.code).values(
            digest=code.digest,
            authorization=code.authorization,
            subject=code.subject,
            client=code.client,
            resource=code.resource,
            redirect=code.redirect,
            redirect_given=code.redirect_given,
            challenge=code.challenge,
            scopes=str(code.scopes),
            authenticated_at=code.authenticated_at,
            issued_at=code.issued_at,
            expires_at=code.expires_at,
            family=code.family,
            spent_at=code.spent_at,
        )
        await self._write(lambda db: db.execute(statement))

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """See `Store.redeem_code`."""

        def work(db: Connection) -> tuple[Redeemed, Code | None]:
            first = db.execute(
                update(t.code)
                .where(t.code.c.digest == digest, t.code.c.spent_at.is_(None), t.code.c.expires_at > now)
                .values(spent_at=now)
            ).rowcount
            code = load_one(db, t.code, t.code.c.digest == digest, _code)
            if first:
                return Redeemed.FIRST_TIME, code
            if code is None or code.spent_at is None:
                return Redeemed.UNKNOWN, None
            # Not before the first time: the clocks of two processes differ, and what came of it is meant.
            line = replayed(code.family, max(now, code.spent_at), feed_until, "an authorization code")
            known = db.execute(select(t.family.c.id).where(t.family.c.id == code.family)).first() is not None
            before = told(db, Revoked.FAMILY, code.family)
            if not end(db, line) and not known and not before:
                # The first redemption is still on its way: its family must not begin.
                tell(db, line)
            write_down(db, replace(event, what="code.replayed", subject=code.subject, object=code.family))
            return Redeemed.AGAIN, code

        return await self._write(work)


def _code(row: Row[Any]) -> Code:
    return Code(
        digest=row.digest,
        authorization=row.authorization,
        subject=row.subject,
        client=row.client,
        resource=row.resource,
        redirect=row.redirect,
        redirect_given=row.redirect_given,
        challenge=row.challenge,
        scopes=ScopeSet.parse(row.scopes),
        authenticated_at=row.authenticated_at,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        family=row.family,
        spent_at=row.spent_at,
    )
