"""Signing keys and secrets of the authority itself."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, delete, select

from bailiwick.authority.records import Event, StoredKey
from bailiwick.storage import tables as t

from .dialect import alone, insert_new, upsert
from .journal import write_down
from .rows import columns, load_all, values
from .transactions import Transactions

__all__ = ["Keys"]


class Keys(Transactions):
    """The verbs of `Store` about keys and secrets."""

    async def keys(self) -> Sequence[StoredKey]:
        """See `Store.keys`."""
        return await self._read(_load_keys)

    async def turn_keys(
        self, keys: Sequence[StoredKey], dropped: Sequence[str], was: Sequence[str], event: Event
    ) -> bool:
        """See `Store.turn_keys`."""

        def work(db: Connection) -> bool:
            alone(db, "keys")
            if {f"{key.kid}:{key.state.value}" for key in _load_keys(db)} != set(was):
                return False
            db.execute(delete(t.signing_key).where(t.signing_key.c.kid.in_(list(dropped))))
            for key in keys:
                _put_key(db, key)
            write_down(db, event)
            return True

        return await self._write(work)

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """See `Store.secret`."""

        def look(db: Connection) -> bytes | None:
            return db.execute(select(t.secret.c.value).where(t.secret.c.name == name)).scalar()

        def work(db: Connection) -> bytes:
            db.execute(insert_new(db, t.secret).values(name=name, value=fresh))
            return bytes(look(db) or b"")

        known = await self._read(look)
        return known if known is not None else await self._write(work)


def _put_key(db: Connection, key: StoredKey) -> None:
    given = values(key)
    db.execute(
        upsert(db, t.signing_key).values(given).on_conflict_do_update(index_elements=[t.signing_key.c.kid], set_=given)
    )


def _load_keys(db: Connection) -> list[StoredKey]:
    statement = select(*columns(t.signing_key, StoredKey)).order_by(t.signing_key.c.created_at, t.signing_key.c.kid)
    return load_all(db, statement, StoredKey)
