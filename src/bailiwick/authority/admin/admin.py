"""The operator, of their acts by noun; and what concerns the store as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.authority.records import Event

from .clients import Clients
from .withdrawals import Withdrawals

__all__ = ["Admin"]


class Admin(Withdrawals, Clients):
    """An operator's acts.

    Args:
        catalog: the scopes that exist.
        settings: lifetimes and rules.
        store: what is remembered.
        hasher: hashes passwords.
        refusals: counts those for the journal.
        token_bytes: the source of randomness.
        clock: tells seconds since the epoch.
        actor: who acts, for the journal, such as "operator:jane".
        origin: from where, for the journal.
    """

    async def journal(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        person: str | None = None,
        client: str | None = None,
    ) -> Sequence[Event]:
        """The newest lines of the journal, newest first; also what was counted in this process a moment ago."""
        await self._refusals.flush()
        subject = await self._subject_of(person)
        return await self._store.journal(before=before, limit=limit, subject=subject, client=client)

    async def purge(self) -> int:
        """Delete what has expired; the number of rows."""
        now = self._clock()
        lifetimes = self._settings.lifetimes
        gone = await self._store.purge(
            now, journal_before=now - lifetimes.journal, unused_before=now - lifetimes.unused_client
        )
        if gone:
            await self._store.record(self._event("store.purged", detail=f"{gone} rows"))
        return gone
