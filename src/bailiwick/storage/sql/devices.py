"""Device codes: what waits for a person's decision, and is asked for meanwhile."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, select, update

from bailiwick.authority.records import DeviceCode, DeviceState, Event
from bailiwick.authority.store import Polled
from bailiwick.storage import tables as t

from .dialect import insert_new
from .journal import write_down
from .rows import load_one, optional, parsed
from .transactions import Transactions

__all__ = ["Devices"]


class Devices(Transactions):
    """The verbs of `Store` about device codes."""

    async def add_device_code(self, code: DeviceCode) -> bool:
        """See `Store.add_device_code`."""

        def work(db: Connection) -> bool:
            return bool(
                db.execute(
                    insert_new(db, t.device_code).values(
                        digest=code.digest,
                        user_code=code.user_code,
                        client=code.client,
                        resource=code.resource,
                        scopes=optional(code.scopes),
                        issued_at=code.issued_at,
                        expires_at=code.expires_at,
                        interval=code.interval,
                        polled_at=code.polled_at,
                        state=code.state.value,
                        subject=code.subject,
                        authorization=code.authorization,
                        authenticated_at=code.authenticated_at,
                    )
                ).rowcount
            )

        return await self._write(work)

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """See `Store.device_code_of_user`."""
        which = and_(
            t.device_code.c.user_code == user_code,
            t.device_code.c.state == DeviceState.PENDING.value,
            t.device_code.c.expires_at > now,
        )
        return await self._read(lambda db: load_one(db, t.device_code, which, _device_code))

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """See `Store.decide_device_code`."""
        statement = (
            update(t.device_code)
            .where(
                t.device_code.c.digest == decided.digest,
                t.device_code.c.state == DeviceState.PENDING.value,
                t.device_code.c.expires_at > event.at,
            )
            .values(
                state=decided.state.value,
                scopes=optional(decided.scopes),
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
            row = db.execute(select(t.device_code).where(which).with_for_update()).first()
            code = _device_code(row) if row is not None else None
            if code is None or code.client != client or code.state is DeviceState.SPENT:
                return Polled.UNKNOWN, None
            if code.expires_at <= now:
                return Polled.EXPIRED, None
            if code.state is DeviceState.DENIED:
                return Polled.DENIED, None
            too_fast = code.polled_at is not None and now - code.polled_at < code.interval
            # RFC 8628 section 3.5: "the interval MUST be increased by 5 seconds for this and all subsequent requests".
            code = replace(code, polled_at=now, interval=code.interval + 5 if too_fast else code.interval)
            approved = code.state is DeviceState.APPROVED and not too_fast
            db.execute(
                update(t.device_code)
                .where(which)
                .values(
                    polled_at=now,
                    interval=code.interval,
                    state=DeviceState.SPENT.value if approved else code.state.value,
                )
            )
            if too_fast:
                return Polled.TOO_FAST, code
            return (Polled.APPROVED if approved else Polled.PENDING), code

        return await self._write(work)


def _device_code(row: Row[Any]) -> DeviceCode:
    return DeviceCode(
        digest=row.digest,
        user_code=row.user_code,
        client=row.client,
        resource=row.resource,
        scopes=parsed(row.scopes),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        interval=row.interval,
        polled_at=row.polled_at,
        state=DeviceState(row.state),
        subject=row.subject,
        authorization=row.authorization,
        authenticated_at=row.authenticated_at,
    )
