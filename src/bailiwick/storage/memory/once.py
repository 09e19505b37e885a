"""What is used up by its first use and leaves nothing behind: pushed requests, one-time names."""

from __future__ import annotations

from bailiwick.authority.records import PushedRequest
from bailiwick.authority.store import Begun, Claimed, Room

from .begun import is_room
from .kept import Kept

__all__ = ["Once"]


class Once(Kept):
    """The verbs of `Store` about pushed requests and one-time names."""

    async def push_request(self, request: PushedRequest, room: Room, now: float) -> Begun:
        """See `Store.push_request`."""
        with self._lock:
            if not is_room(self._pushed, request, room, now, lambda one: one.expires_at > now):
                return Begun.FULL
            if request.digest in self._pushed:
                return Begun.TAKEN
            self._pushed[request.digest] = request
            return Begun.DONE

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
