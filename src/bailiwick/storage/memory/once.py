"""What is used up by its first use and leaves nothing behind: pushed requests, one-time names."""

from __future__ import annotations

from bailiwick.authority.records import PushedRequest
from bailiwick.authority.store import Claimed

from .kept import Kept

__all__ = ["Once"]


class Once(Kept):
    """The verbs of `Store` about pushed requests and one-time names."""

    async def push_request(self, request: PushedRequest) -> None:
        """See `Store.push_request`."""
        with self._lock:
            self._pushed[request.digest] = request

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """See `Store.pushed_request`."""
        found = self._pushed.get(digest)
        return found if found is not None and found.expires_at > now else None

    async def spend_pushed_request(self, digest: str) -> bool:
        """See `Store.spend_pushed_request`."""
        with self._lock:
            return self._pushed.pop(digest, None) is not None

    async def claim(self, name: str, now: float, until: float) -> Claimed:
        """See `Store.claim`."""
        with self._lock:
            if self._claimed.get(name, now) > now:
                return Claimed.AGAIN
            self._claimed[name] = until
            return Claimed.FIRST_TIME
