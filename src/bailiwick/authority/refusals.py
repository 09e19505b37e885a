"""Refusals in the journal: a line for each minute, kind and client, with a count, however many there are.

Who is refused costs the server nothing yet, and must not be able to fill its disk or to keep its writer busy. So a
refusal is counted here, in memory, and `flush` writes what was counted every few seconds, in one transaction. Nothing
is written before a refusal is answered: the time that it takes would tell whether a name, a client or a token exists,
which decides whether a line begins or is there already.

How many lines there may be is bounded for all processes together, by the statement that writes them (`ROOM`). What
finds no room is counted in one line for each hour and kind.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from bailiwick.errors import BailiwickError, Refused, StoreError

from .records import Event, Origin
from .store import MINUTE, JournalRoom, Store, line_key

__all__ = ["FLUSH_EVERY", "ROOM", "SUSPECT", "Refusals"]

HOUR: Final = 60 * MINUTE
# Lines that strangers can cause, of less than 2,000 bytes each: 10 MB a day. The minute's bound keeps the day's from
# being used up in a moment.
ROOM: Final = JournalRoom(minute=100, day=5_000)
# Seconds between two flushes; what was counted in as many seconds is lost if the process is killed.
FLUSH_EVERY: Final = 2.0
# How much of a refusal's detail a line keeps; it repeats what a stranger sent.
MAX_DETAIL: Final = 200
# Nobody's id is longer: those that describe themselves have 512 characters.
MAX_CLIENT: Final = 512

# Refusals that somebody causes who tries what is not theirs. The others are slips of programs and of people.
SUSPECT: Final = frozenset(
    (
        "BW401",  # a client's secret, assertion or certificate, a registration token
        "BW402",  # a code, refresh token, device code or subject_token
        "BW403",  # a grant that the client may not use
        "BW406",
        "BW407",
        "BW409",
        "BW411",  # introspection or revocation of somebody else's token
        "BW412",
        "BW414",
        "BW415",
        "BW416",
        "BW418",  # an unknown client or redirect URI
        "BW419",  # a forged form
        "BW422",
        "BW423",  # a body that takes too long
        "BW504",
    )
)


class Refusals:
    """Counts refusals in the journal.

    Args:
        store: keeps the journal, and knows which clients there are.
        room: how many lines there may be.
    """

    def __init__(self, store: Store, room: JournalRoom = ROOM) -> None:
        self._store = store
        self._room = room
        # By key: what was counted and is not written yet.
        self._waiting: dict[str, Event] = {}

    async def tell(self, why: BailiwickError, at: str, *, client: str, origin: Origin, now: float) -> None:
        """Count a refusal, unless it is none that an attack causes, or is in the journal already.

        Args:
            why: the refusal.
            at: which endpoint refused, such as "token".
            client: the client that the request named; untrusted.
            origin: from where it came.
            now: seconds since the epoch.
        """
        if why.id not in SUSPECT or (isinstance(why, Refused) and why.journaled):
            return
        subject, about = (why.subject, why.object) if isinstance(why, Refused) else ("", "")
        known = await self._known(client)
        self.note(Event(now, f"{at}.refused.{why.id}", known, subject, known, about, why.detail, origin))

    def note(self, event: Event) -> None:
        """Count an event that strangers can cause.

        Args:
            event: with a `what` that the program chose, and ids of things that exist.
        """
        self._add(replace(event, every=MINUTE, detail=event.detail[:MAX_DETAIL]))

    async def flush(self) -> None:
        """Write what was counted into the journal; what cannot be written waits for the next time.

        Raises:
            StoreError: the store cannot write.
        """
        waiting, self._waiting = list(self._waiting.values()), {}
        lines = [event for event in waiting if event.every == MINUTE]
        try:
            if lines:
                without_room = await self._store.count(lines, self._room)
                waiting = [event for event in waiting if event.every != MINUTE]
                waiting += map(_folded, without_room)
            if waiting:
                await self._store.count(waiting, None)
        except StoreError:
            for event in waiting:
                self._add(event)
            raise

    def _add(self, event: Event) -> None:
        key = line_key(event)
        if key not in self._waiting and len(self._waiting) >= self._room.minute:
            event = _folded(event)
            key = line_key(event)
        found = self._waiting.get(key)
        if found is None:
            self._waiting[key] = event
        else:
            until = max(found.until, found.at, event.until, event.at)
            self._waiting[key] = replace(found, count=found.count + event.count, until=until)

    async def _known(self, client: str) -> str:
        """The client's id, if there is such a client: whatever else somebody calls themselves is nobody."""
        if not client or "\0" in client or len(client) > MAX_CLIENT:
            return ""
        try:
            return client if await self._store.client(client) is not None else ""
        except StoreError:
            return ""  # the refusal is answered all the same, and counted as a stranger's


def _folded(event: Event) -> Event:
    """The event as one of its hour and kind, whoever caused it."""
    if event.every == HOUR:
        return event
    what = event.what.partition(".BW")[0]
    return replace(
        event,
        what=what,
        every=HOUR,
        actor="",
        subject="",
        client="",
        object="",
        detail="others, more than there is room for",
    )
