"""The journal: what happened, in order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Event
from bailiwick.authority.store import DAY, MINUTE, Basis, JournalRoom, line_key

from .feed import Feed

__all__ = ["Journal"]


class Journal(Feed):
    """The verbs of `Store` that write down and tell what happened."""

    async def record(self, event: Event, *, basis: Basis | None = None) -> bool:
        """See `Store.record`."""
        with self._lock:
            if not self._holds(basis):
                return False
            self._write_down(event)
            return True

    async def count(self, events: Sequence[Event], room: JournalRoom | None) -> Sequence[Event]:
        """See `Store.count`."""
        with self._lock:
            return [event for event in events if not self._count(event, room)]

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """See `Store.journal`."""
        with self._lock:
            lines = (
                line
                for line in reversed(self._journal.values())
                if (before is None or line.number < before)
                and subject in (None, line.subject)
                and client in (None, line.client)
            )
            return list(itertools.islice(lines, limit))

    def _write_down(self, event: Event) -> None:
        """Add a line to the journal, or to the number of the line that it shares."""
        if event.every:
            self._count(event, None)
        else:
            number = next(self._numbers)
            self._journal[number] = replace(event, number=number)

    def _count(self, event: Event, room: JournalRoom | None) -> bool:
        minute = int(event.at // MINUTE) if room is not None else 0
        shared = minute, line_key(event)
        line = self._journal.get(self._shared_lines.get(shared, 0))
        if line is None:
            if room is not None and not self._is_room(minute, room):
                return False
            number = self._shared_lines[shared] = next(self._numbers)
            self._journal[number] = replace(event, number=number, every=0)
        else:
            until = event.until or event.at
            self._journal[line.number] = replace(line, count=line.count + event.count, until=until)
        return True

    def _is_room(self, minute: int, room: JournalRoom) -> bool:
        day = minute - minute % (DAY // MINUTE)
        of_day = [one for one, _ in self._shared_lines if day <= one < day + DAY // MINUTE]
        return len(of_day) < room.day and of_day.count(minute) < room.minute
