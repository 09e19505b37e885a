"""Sessions: browsers in which somebody is logged in."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert, select, update

from bailiwick.authority.records import Account, Event, Session
from bailiwick.storage import tables as t

from .journal import write_down
from .rows import load_one
from .transactions import Transactions

__all__ = ["Sessions"]


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
            db.execute(
                insert(t.session).values(
                    digest=session.digest,
                    subject=session.subject,
                    authenticated_at=session.authenticated_at,
                    idle_until=session.idle_until,
                    expires_at=session.expires_at,
                )
            )
            write_down(db, event)
            return True

        return await self._write(work)

    async def session(self, digest: str, now: float) -> Session | None:
        """See `Store.session`."""
        c = t.session.c
        which = and_(c.digest == digest, c.idle_until > now, c.expires_at > now)
        return await self._read(lambda db: load_one(db, t.session, which, _session))

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


def _session(row: Row[Any]) -> Session:
    return Session(row.digest, row.subject, row.authenticated_at, row.idle_until, row.expires_at)
