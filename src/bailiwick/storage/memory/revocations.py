"""Revocations: how something ends, with all that hangs on it."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.authority.records import Event, Revocation, Revoked

from .authorizations import Authorizations

__all__ = ["Revocations"]


class Revocations(Authorizations):
    """The verb of `Store` that ends something."""

    async def revoke(self, revocation: Revocation, event: Event) -> int:
        """See `Store.revoke`."""
        with self._lock:
            changed = self._end(revocation)
            if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
                self._write_down(event)
            return changed

    def _end(self, revocation: Revocation) -> int:
        """Carry a revocation out, with its line in the feed."""
        changed = 0
        match revocation.kind:
            case Revoked.TOKEN:
                changed = int(not self._told(Revoked.TOKEN, revocation.key))
            case Revoked.SCOPE | Revoked.AUTHORIZATION:
                changed = self._withdraw(revocation)
        if revocation.kind is Revoked.SUBJECT:
            self._sessions = {key: one for key, one in self._sessions.items() if one.subject != revocation.key}
        self._drop_pending(revocation)
        for family in list(self._families.values()):
            hangs_on = {
                Revoked.FAMILY: family.id,
                Revoked.AUTHORIZATION: family.authorization,
                Revoked.SUBJECT: family.subject,
                Revoked.CLIENT: family.client,
            }.get(revocation.kind)
            if hangs_on == revocation.key and family.revoked_at is None:
                self._families[family.id] = replace(family, revoked_at=revocation.at, reason=revocation.reason)
                changed += 1
        if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
            self._tell(revocation)
        return changed

    def _drop_pending(self, revocation: Revocation) -> None:
        # What was allowed and not fetched yet must not begin anew what has just ended. A code that was spent stays,
        # so that a replay is known for one.
        name = {
            Revoked.AUTHORIZATION: "authorization",
            Revoked.SUBJECT: "subject",
            Revoked.CLIENT: "client",
        }.get(revocation.kind)
        if name is None:
            return
        key = revocation.key
        self._codes = {
            digest: one for digest, one in self._codes.items() if one.spent_at is not None or getattr(one, name) != key
        }
        self._devices = {digest: one for digest, one in self._devices.items() if getattr(one, name) != key}
