"""Authorization codes: redeemed once, and a replay ends what came of it."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.authority.records import Code, Event, Revocation, Revoked
from bailiwick.authority.store import CLOCK_SKEW, Redeemed

from .revocations import Revocations

__all__ = ["Codes"]


class Codes(Revocations):
    """The verbs of `Store` about authorization codes."""

    async def add_code(self, code: Code) -> None:
        """See `Store.add_code`."""
        with self._lock:
            self._codes[code.digest] = code

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """See `Store.redeem_code`."""
        with self._lock:
            code = self._codes.get(digest)
            if code is None or (code.spent_at is None and not code.issued_at - CLOCK_SKEW <= now < code.expires_at):
                return Redeemed.UNKNOWN, None
            if code.spent_at is None:
                spent = replace(code, spent_at=now)
                self._codes[digest] = spent
                return Redeemed.FIRST_TIME, spent
            # Not before the first time: the clocks of two processes differ, and what came of it is meant.
            at = max(now, code.spent_at)
            line = Revocation(Revoked.FAMILY, code.family, at, feed_until, by="authority", reason="a code was replayed")
            # A family that never began is not there to say whose it would be.
            line = line.placed(authorization=code.authorization, subject=code.subject)
            told = self._told(Revoked.FAMILY, code.family)
            if not self._end(line) and code.family not in self._families and not told:
                self._tell(line)
            self._write_down(replace(event, what="code.replayed", subject=code.subject, object=code.family))
            return Redeemed.AGAIN, code
