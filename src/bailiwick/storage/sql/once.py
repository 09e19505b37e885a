"""What is used up by its first use and leaves nothing behind: pushed requests, one-time names."""

from __future__ import annotations

from sqlalchemy import Connection, delete, select

from bailiwick.authority.records import PushedRequest
from bailiwick.authority.store import Begun, Claimed, Room
from bailiwick.storage import tables as t

from .begun import Beginning
from .dialect import upsert
from .rows import columns, load_one
from .transactions import Transactions

__all__ = ["Once"]

_BEGINNING = Beginning(t.pushed_request, PushedRequest)


class Once(Transactions):
    """The verbs of `Store` about pushed requests and one-time names."""

    async def push_request(self, request: PushedRequest, room: Room, now: float) -> Begun:
        """See `Store.push_request`."""
        return await self._write(lambda db: _BEGINNING.begin(db, request, room, now))

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """See `Store.pushed_request`."""
        c = t.pushed_request.c
        statement = select(*columns(t.pushed_request, PushedRequest)).where(c.digest == digest, c.expires_at > now)
        return await self._read(lambda db: load_one(db, statement, PushedRequest))

    async def spend_pushed_request(self, digest: str) -> bool:
        """See `Store.spend_pushed_request`."""
        statement = delete(t.pushed_request).where(t.pushed_request.c.digest == digest)
        return await self._write(lambda db: db.execute(statement).rowcount == 1)

    async def claim(self, name: str, now: float, until: float) -> Claimed:
        """See `Store.claim`."""

        def work(db: Connection) -> Claimed:
            fresh = upsert(db, t.claimed).values(name=name, until=until)
            statement = fresh.on_conflict_do_update(
                index_elements=[t.claimed.c.name], set_={"until": until}, where=t.claimed.c.until <= now
            )
            return Claimed.FIRST_TIME if db.execute(statement).rowcount else Claimed.AGAIN

        return await self._write(work)
