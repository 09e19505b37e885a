"""The store, of its nouns; and what concerns all of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, and_, delete, func, or_, select

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

__all__ = ["PURGE_ROWS", "SQLStore"]

# Rows that one transaction of a purge deletes at most: others write between two of them, and wait for some
# milliseconds. All in one, 550,000 rows kept everybody from writing for seven seconds.
PURGE_ROWS: Final = 500
# Seconds that a purge waits at least between two: other processes try again after some milliseconds.
PURGE_PAUSE: Final = 0.005
# Keys that are looked up at once, by a reader, whom nobody waits for.
PURGE_KEYS: Final = 20 * PURGE_ROWS


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
        gone = 0
        for key, doomed in _doomed(now, journal_before, unused_before):
            while keys := await self._scan(_keys_of(key, doomed)):
                for first in range(0, len(keys), PURGE_ROWS):
                    gone += await self._purge_batch(key, doomed, keys[first : first + PURGE_ROWS])
                if len(keys) < PURGE_KEYS:
                    break
        return gone

    async def _purge_batch(self, key: Column[Any], doomed: ColumnElement[bool], keys: Sequence[Any]) -> int:
        """Delete some rows in a transaction, then leave the writer to others for as long as that took."""
        # Asked once more: since they were looked up, a session may have been prolonged.
        statement = delete(key.table).where(key.in_(keys), doomed)
        clock = asyncio.get_running_loop().time
        began = clock()
        gone = await self._write(lambda db: db.execute(statement).rowcount)
        await asyncio.sleep(max(PURGE_PAUSE, clock() - began))
        return int(gone)

    async def check(self) -> None:
        """See `Store.check`."""
        await self._read(lambda db: db.execute(select(func.count()).select_from(t.signing_key)).scalar())


def _keys_of(key: Column[Any], doomed: ColumnElement[bool]) -> Callable[[Connection], list[Any]]:
    statement = select(key).where(doomed).limit(PURGE_KEYS)
    return lambda db: list(db.execute(statement).scalars())


def _doomed(
    now: float, journal_before: float | None, unused_before: float | None
) -> Iterator[tuple[Column[Any], ColumnElement[bool]]]:
    """What goes: the key of a table, and which of its rows."""
    ended = select(t.family.c.id).where(t.family.c.expires_at <= now)
    living = select(t.family.c.id).where(t.family.c.id == t.code.c.family, t.family.c.expires_at > now)
    in_vain = or_(t.code.c.spent_at.is_(None), ~living.exists())
    yield t.code.c.digest, and_(t.code.c.expires_at <= now - CODE_KEPT, in_vain)
    # Tokens before their family: one that was used for months has very many, and they would all go with it at once.
    yield t.refresh_token.c.digest, t.refresh_token.c.family.in_(ended)
    has_tokens = select(t.refresh_token.c.digest).where(t.refresh_token.c.family == t.family.c.id).exists()
    yield t.family.c.id, and_(t.family.c.expires_at <= now, ~has_tokens)
    yield t.device_code.c.digest, t.device_code.c.expires_at <= now
    yield t.pushed_request.c.digest, t.pushed_request.c.expires_at <= now
    yield t.claimed.c.name, t.claimed.c.until <= now
    yield t.session.c.digest, or_(t.session.c.idle_until <= now, t.session.c.expires_at <= now)
    # The newest line keeps its number from being forgotten.
    newest = LAST_LINE.scalar_subquery()
    yield t.revocation.c.number, and_(t.revocation.c.until <= now, t.revocation.c.number < newest)
    if unused_before is not None:
        yield t.client.c.id, and_(unused(), t.client.c.created_at < unused_before)
    if journal_before is not None:
        yield t.journal.c.number, t.journal.c.at < journal_before
