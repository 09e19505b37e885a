"""What is used up by its first use and leaves nothing behind: pushed requests, one-time names."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, Row, and_, delete, insert

from bailiwick.authority.records import PushedRequest
from bailiwick.authority.store import Claimed
from bailiwick.storage import tables as t

from .dialect import upsert
from .rows import load_one
from .transactions import Transactions

__all__ = ["Once"]


class Once(Transactions):
    """The verbs of `Store` about pushed requests and one-time names."""

    async def push_request(self, request: PushedRequest) -> None:
        """See `Store.push_request`."""
        statement = insert(t.pushed_request).values(
            digest=request.digest,
            client=request.client,
            parameters=json.dumps(request.parameters),
            expires_at=request.expires_at,
        )
        await self._write(lambda db: db.execute(statement))

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """See `Store.pushed_request`."""
        which = and_(t.pushed_request.c.digest == digest, t.pushed_request.c.expires_at > now)
        return await self._read(lambda db: load_one(db, t.pushed_request, which, _pushed_request))

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


def _pushed_request(row: Row[Any]) -> PushedRequest:
    parameters = tuple((name, value) for name, value in json.loads(row.parameters))
    return PushedRequest(row.digest, row.client, parameters, row.expires_at)
