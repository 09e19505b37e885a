"""Sessions: browsers in which somebody is logged in."""

from __future__ import annotations

from sqlalchemy import Connection, and_, bindparam, delete, insert, select, update

from bailiwick.authority.records import Account, Event, Session
from bailiwick.authority.store import CLOCK_SKEW
from bailiwick.storage import tables as t

from .journal import write_down
from .rows import columns, load_one, values
from .transactions import Transactions

__all__ = ["Sessions"]

_SESSION = select(*columns(t.session, Session)).where(
    t.session.c.digest == bindparam("digest"),
    t.session.c.idle_until > bindparam("now"),
    t.session.c.expires_at > bindparam("now"),
    t.session.c.authenticated_at <= bindparam("now") + CLOCK_SKEW,
)


class Sessions(Transactions):
    """The verbs of `Store` about sessions."""

    async def open_session(
        self, session: Session, event: Event, *, account: Account, instead_of: str | None = None
    ) -> bool:
        """See `Store.open_session`."""

        def work(db: Connection) -> bool:
            c = t.account.c
            same = and_(c.id == account.id, c.version == account.version, c.disabled_at.is_(None))
            # The lock is PostgreSQL's, as for devices: whoever disables the person waits, or went first.
            if db.execute(select(c.id).where(same).with_for_update()).first() is None:
                return False
            db.execute(delete(t.session).where(t.session.c.digest == (instead_of or "")))
            db.execute(insert(t.session), values(session))
            write_down(db, event)
            return True

        return await self._write(work)

    async def session(self, digest: str, now: float) -> Session | None:
        """See `Store.session`."""
        return await self._read(lambda db: load_one(db, _SESSION, Session, {"digest": digest, "now": now}))

    async def prolong_session(self, digest: str, idle_until: float) -> bool:
        """See `Store.prolong_session`."""
        statement = update(t.session).where(t.session.c.digest == digest).values(idle_until=idle_until)
        return await self._write(lambda db: db.execute(statement).rowcount == 1)

    async def close_session(self, digest: str, event: Event) -> bool:
        """See `Store.close_session`."""

        def work(db: Connection) -> bool:
            if not db.execute(delete(t.session).where(t.session.c.digest == digest)).rowcount:
                return False
            write_down(db, event)
            return True

        return await self._write(work)
