"""Revocations: how something ends, with all that hangs on it."""

from __future__ import annotations

from sqlalchemy import Connection, and_, delete, update

from bailiwick.authority.records import Event, Revocation, Revoked
from bailiwick.storage import tables as t

from .authorizations import withdraw
from .feed import tell, told
from .journal import write_down
from .transactions import Transactions

__all__ = ["Revocations", "end", "replayed"]


class Revocations(Transactions):
    """The verb of `Store` that ends something."""

    async def revoke(self, revocation: Revocation, event: Event) -> int:
        """See `Store.revoke`."""

        def work(db: Connection) -> int:
            changed = end(db, revocation)
            if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
                write_down(db, event)
            return changed

        return await self._write(work)


def end(db: Connection, revocation: Revocation) -> int:
    """Carry a revocation out, with its line in the feed."""
    changed = 0
    kind = revocation.kind
    if kind is Revoked.TOKEN:
        changed = int(not told(db, kind, revocation.key))
    elif kind in (Revoked.SCOPE, Revoked.AUTHORIZATION):
        changed = withdraw(db, revocation)
    if kind is Revoked.SUBJECT:
        db.execute(delete(t.session).where(t.session.c.subject == revocation.key))
    _drop_pending(db, revocation)
    column = {
        Revoked.FAMILY: t.family.c.id,
        Revoked.AUTHORIZATION: t.family.c.authorization,
        Revoked.SUBJECT: t.family.c.subject,
        Revoked.CLIENT: t.family.c.client,
    }.get(kind)
    if column is not None:
        changed += db.execute(
            update(t.family)
            .where(column == revocation.key, t.family.c.revoked_at.is_(None))
            .values(revoked_at=revocation.at, reason=revocation.reason)
        ).rowcount
    if changed or kind in (Revoked.SUBJECT, Revoked.CLIENT):
        tell(db, revocation)
    return changed


def _drop_pending(db: Connection, revocation: Revocation) -> None:
    """Forget what was allowed and not fetched yet: it must not begin anew what has just ended."""
    column = {
        Revoked.AUTHORIZATION: "authorization",
        Revoked.SUBJECT: "subject",
        Revoked.CLIENT: "client",
    }.get(revocation.kind)
    if column is None:
        return
    # A code that was spent stays, so that a replay is known for one.
    fresh = and_(t.code.c.expires_at > revocation.at, t.code.c.spent_at.is_(None))
    db.execute(delete(t.code).where(fresh, t.code.c[column] == revocation.key))
    fresh = t.device_code.c.expires_at > revocation.at
    db.execute(delete(t.device_code).where(fresh, t.device_code.c[column] == revocation.key))


def replayed(family: str, now: float, until: float, what: str) -> Revocation:
    """How a family ends, of which somebody had a copy."""
    return Revocation(Revoked.FAMILY, family, now, until, by="authority", reason=f"{what} was presented again")
