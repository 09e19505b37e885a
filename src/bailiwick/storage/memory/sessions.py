"""Sessions: browsers in which somebody is logged in."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.authority.records import Account, Event, Session
from bailiwick.authority.store import CLOCK_SKEW

from .journal import Journal

__all__ = ["Sessions"]


class Sessions(Journal):
    """The verbs of `Store` about sessions."""

    async def open_session(
        self, session: Session, event: Event, *, account: Account, instead_of: str | None = None
    ) -> bool:
        """See `Store.open_session`."""
        with self._lock:
            known = self._accounts.get(account.id)
            if known is None or known.version != account.version or known.disabled_at is not None:
                return False
            self._sessions.pop(instead_of or "", None)
            self._sessions[session.digest] = session
            self._write_down(event)
            return True

    async def session(self, digest: str, now: float) -> Session | None:
        """See `Store.session`."""
        found = self._sessions.get(digest)
        if found is None or found.authenticated_at > now + CLOCK_SKEW:
            return None
        return found if min(found.idle_until, found.expires_at) > now else None

    async def prolong_session(self, digest: str, idle_until: float) -> bool:
        """See `Store.prolong_session`."""
        with self._lock:
            found = self._sessions.get(digest)
            if found is None:
                return False
            self._sessions[digest] = replace(found, idle_until=idle_until)
            return True

    async def close_session(self, digest: str, event: Event) -> bool:
        """See `Store.close_session`."""
        with self._lock:
            if self._sessions.pop(digest, None) is None:
                return False
            self._write_down(event)
            return True
