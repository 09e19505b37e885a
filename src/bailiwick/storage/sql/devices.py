"""Device codes: what waits for a person's decision, and is asked for meanwhile."""

from __future__ import annotations

from sqlalchemy import Connection, and_, select, update

from bailiwick.authority.records import DeviceCode, DeviceState, Event
from bailiwick.authority.store import CLOCK_SKEW, Begun, Polled, Room, polled
from bailiwick.storage import tables as t

from .begun import Beginning
from .journal import write_down
from .rows import columns, load_one
from .transactions import Transactions

__all__ = ["Devices"]

_DEVICES = select(*columns(t.device_code, DeviceCode))
_BEGINNING = Beginning(t.device_code, DeviceCode, [t.device_code.c.state == DeviceState.PENDING])


class Devices(Transactions):
    """The verbs of `Store` about device codes."""

    async def add_device_code(self, code: DeviceCode, room: Room, now: float) -> Begun:
        """See `Store.add_device_code`."""
        return await self._write(lambda db: _BEGINNING.begin(db, code, room, now))

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """See `Store.device_code_of_user`."""
        which = and_(
            t.device_code.c.user_code == user_code,
            t.device_code.c.state == DeviceState.PENDING,
            t.device_code.c.expires_at > now,
            t.device_code.c.issued_at <= now + CLOCK_SKEW,
        )
        return await self._read(lambda db: load_one(db, _DEVICES.where(which), DeviceCode))

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """See `Store.decide_device_code`."""
        statement = (
            update(t.device_code)
            .where(
                t.device_code.c.digest == decided.digest,
                t.device_code.c.state == DeviceState.PENDING,
                t.device_code.c.expires_at > event.at,
                t.device_code.c.issued_at <= event.at + CLOCK_SKEW,
            )
            .values(
                state=decided.state,
                scopes=decided.scopes,
                subject=decided.subject,
                authorization=decided.authorization,
                authenticated_at=decided.authenticated_at,
            )
        )

        def work(db: Connection) -> bool:
            if not db.execute(statement).rowcount:
                return False
            write_down(db, event)
            return True

        return await self._write(work)

    async def poll_device_code(self, digest: str, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
        """See `Store.poll_device_code`."""

        def work(db: Connection) -> tuple[Polled, DeviceCode | None]:
            which = t.device_code.c.digest == digest
            # The lock is PostgreSQL's; SQLite lets in one writer at a time anyway.
            kept = load_one(db, _DEVICES.where(which).with_for_update(), DeviceCode)
            outcome, code = polled(kept, client, now)
            if code is not None:
                state = DeviceState.SPENT if outcome is Polled.APPROVED else code.state
                values = {"polled_at": code.polled_at, "interval": code.interval, "state": state}
                db.execute(update(t.device_code).where(which).values(values))
            return outcome, code

        return await self._write(work)
