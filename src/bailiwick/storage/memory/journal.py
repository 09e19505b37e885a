"""The journal: what happened, in order."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Event
from bailiwick.authority.store import Basis

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

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """See `Store.journal`."""
        with self._lock:
            lines = (
                line
                for line in reversed(self._journal)
                if (before is None or line.number < before)
                and subject in (None, line.subject)
                and client in (None, line.client)
            )
            return list(itertools.islice(lines, limit))

    def _write_down(self, event: Event) -> None:
        """Add a line to the journal."""
        self._journal.append(replace(event, number=next(self._numbers)))
