"""The store, of its nouns; and what concerns all of them at once."""

from __future__ import annotations

from sqlalchemy import Connection, delete, func, or_, select

from bailiwick.authority.store import CODE_KEPT
from bailiwick.storage import tables as t

from .authorizations import Authorizations
from .clients import Clients, unused
from .codes import Codes
from .devices import Devices
from .families import Families
from .feed import LAST_LINE, Feed
from .journal import Journal
from .keys import Keys
from .once import Once
from .people import People
from .revocations import Revocations
from .sessions import Sessions
from .versioned import Versioned

__all__ = ["SQLStore"]


class SQLStore(
    Clients,
    People,
    Versioned,
    Authorizations,
    Revocations,
    Feed,
    Families,
    Codes,
    Devices,
    Once,
    Sessions,
    Keys,
    Journal,
):
    """The verbs of `Store`, for a driver that runs functions in transactions."""

    async def purge(
        self, now: float, *, journal_before: float | None = None, unused_before: float | None = None
    ) -> int:
        """See `Store.purge`."""

        def work(db: Connection) -> int:
            ended = select(t.family.c.id).where(t.family.c.expires_at <= now)
            living = select(t.family.c.id).where(t.family.c.id == t.code.c.family, t.family.c.expires_at > now)
            gone = (
                delete(t.code).where(
                    t.code.c.expires_at + CODE_KEPT <= now, or_(t.code.c.spent_at.is_(None), ~living.exists())
                ),
                delete(t.refresh_token).where(t.refresh_token.c.family.in_(ended)),
                delete(t.family).where(t.family.c.expires_at <= now),
                delete(t.device_code).where(t.device_code.c.expires_at <= now),
                delete(t.pushed_request).where(t.pushed_request.c.expires_at <= now),
                delete(t.claimed).where(t.claimed.c.until <= now),
                delete(t.session).where(or_(t.session.c.idle_until <= now, t.session.c.expires_at <= now)),
                # The newest line keeps its number from being forgotten.
                delete(t.revocation).where(
                    t.revocation.c.until <= now, t.revocation.c.number < LAST_LINE.scalar_subquery()
                ),
            )
            count = sum(db.execute(statement).rowcount for statement in gone)
            if unused_before is not None:
                old = t.client.c.created_at < unused_before
                count += db.execute(delete(t.client).where(unused(), old)).rowcount
            if journal_before is not None:
                count += db.execute(delete(t.journal).where(t.journal.c.at < journal_before)).rowcount
            return count

        return await self._write(work)

    async def check(self) -> None:
        """See `Store.check`."""
        await self._read(lambda db: db.execute(select(func.count()).select_from(t.signing_key)).scalar())
