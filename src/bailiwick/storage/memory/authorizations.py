"""Authorizations: what a person lets a client do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Authorization, Event, Revocation, Revoked

from .journal import Journal

__all__ = ["Authorizations"]


class Authorizations(Journal):
    """The verbs of `Store` about authorizations."""

    async def authorization(self, id: str) -> Authorization | None:
        """See `Store.authorization`."""
        return self._authorizations.get(id)

    async def authorizations(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """See `Store.authorizations`."""
        with self._lock:
            return [
                one
                for one in self._authorizations.values()
                if subject in (None, one.subject) and client in (None, one.client)
            ]

    async def authorization_of(self, subject: str, client: str, resource: str) -> Authorization | None:
        """See `Store.authorization_of`."""
        with self._lock:
            return self._between(subject, client, resource)

    async def consent(self, given: Authorization, event: Event, *, by: str = "person") -> Authorization:
        """See `Store.consent`."""
        with self._lock:
            found = self._between(given.subject, given.client, given.resource)
            rows = {row.scope: row for row in found.rows} if found is not None else {}
            before = dict(rows)
            for row in given.rows:
                was = rows.get(row.scope)
                withdrawn = was is not None and was.withdrawn_at is not None
                locked = was is not None and was.withdrawn_by == "operator" and by != "operator"
                if was is None or (withdrawn and not locked):
                    rows[row.scope] = row
            after = replace(found or given, rows=tuple(rows.values()))
            if found is None or rows != before:
                self._authorizations[after.id] = after
                self._write_down(replace(event, object=after.id))
            return after

    def _withdraw(self, revocation: Revocation) -> int:
        found = self._authorizations.get(revocation.key)
        if found is None:
            return 0
        rows, changed = [], 0
        for row in found.rows:
            meant = revocation.kind is Revoked.AUTHORIZATION or row.scope == revocation.scope
            # An operator's word replaces a person's: the person alone cannot take it back any more.
            if meant and (row.withdrawn_at is None or (revocation.by == "operator" and row.withdrawn_by == "person")):
                rows.append(replace(row, withdrawn_at=row.withdrawn_at or revocation.at, withdrawn_by=revocation.by))
                changed += 1
            else:
                rows.append(row)
        self._authorizations[found.id] = replace(found, rows=tuple(rows))
        return changed

    def _between(self, subject: str, client: str, resource: str) -> Authorization | None:
        three = (subject, client, resource)
        return next(
            (one for one in self._authorizations.values() if (one.subject, one.client, one.resource) == three), None
        )
