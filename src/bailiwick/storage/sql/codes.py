"""Authorization codes: redeemed once, and a replay ends what came of it."""

from __future__ import annotations

from dataclasses import replace

from sqlalchemy import Connection, bindparam, insert, select, update

from bailiwick.authority.records import Code, Event, Revoked
from bailiwick.authority.store import CLOCK_SKEW, Redeemed
from bailiwick.storage import tables as t

from .feed import tell, told
from .journal import write_down
from .revocations import end, replayed
from .rows import columns, load_one, values
from .transactions import Transactions

__all__ = ["Codes"]

_ADD = insert(t.code)
_CODE = select(*columns(t.code, Code)).where(t.code.c.digest == bindparam("digest"))
# Of all who present a code, one finds it unspent.
_SPEND = (
    update(t.code)
    .where(
        t.code.c.digest == bindparam("presented"),
        t.code.c.spent_at.is_(None),
        t.code.c.expires_at > bindparam("now"),
        t.code.c.issued_at <= bindparam("now") + CLOCK_SKEW,
    )
    .values(spent_at=bindparam("now"))
)


class Codes(Transactions):
    """The verbs of `Store` about authorization codes."""

    async def add_code(self, code: Code) -> None:
        """See `Store.add_code`."""
        await self._write(lambda db: db.execute(_ADD, values(code)))

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """See `Store.redeem_code`."""

        def work(db: Connection) -> tuple[Redeemed, Code | None]:
            first = db.execute(_SPEND, {"presented": digest, "now": now}).rowcount
            code = load_one(db, _CODE, Code, {"digest": digest})
            if first:
                return Redeemed.FIRST_TIME, code
            if code is None or code.spent_at is None:
                return Redeemed.UNKNOWN, None
            # Not before the first time: the clocks of two processes differ, and what came of it is meant.
            line = replayed(code.family, max(now, code.spent_at), feed_until, "an authorization code")
            # A family that never began is not there to say whose it would be.
            line = line.placed(authorization=code.authorization, subject=code.subject)
            known = db.execute(select(t.family.c.id).where(t.family.c.id == code.family)).first() is not None
            before = told(db, Revoked.FAMILY, code.family)
            if not end(db, line) and not known and not before:
                # The first redemption is still on its way: its family must not begin.
                tell(db, line)
            write_down(db, replace(event, what="code.replayed", subject=code.subject, object=code.family))
            return Redeemed.AGAIN, code

        return await self._write(work)
