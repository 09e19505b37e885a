"""What a running server writes down every few seconds: the refusals that it counted."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from bailiwick.authority.refusals import FLUSH_EVERY, Refusals
from bailiwick.errors import StoreError

from .upkeep import Pause

__all__ = ["Flusher"]

log = logging.getLogger("bailiwick.server")

# Seconds between two words in the log about counts that cannot be written.
SAY_AGAIN: Final = 60.0


class Flusher:
    """Writes counted refusals into the journal, from `start` to `stop`, and once more at the end.

    Args:
        refusals: counts them.
        pause: waits for a number of seconds.
    """

    def __init__(self, refusals: Refusals, *, pause: Pause = asyncio.sleep) -> None:
        self._refusals = refusals
        self._pause = pause
        self._task: asyncio.Task[None] | None = None
        self._said_at = float("-inf")

    def start(self) -> None:
        """Begin, in the loop that runs."""
        self._task = asyncio.create_task(self._run(), name="bailiwick flusher")

    async def stop(self) -> None:
        """End, and write what is left. A second time does nothing."""
        task, self._task = self._task, None
        if task is None:
            return
        # A loop that was closed took its tasks with it; the server may have been opened in another one.
        if task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await self._tried()

    async def _run(self) -> None:
        while True:
            await self._pause(FLUSH_EVERY)
            await self._tried()

    async def _tried(self) -> None:
        try:
            await self._refusals.flush()
        except StoreError as why:
            now = asyncio.get_running_loop().time()
            if now - self._said_at >= SAY_AGAIN:
                self._said_at = now
                log.warning("Counted refusals could not be written, and will be tried again: %s", why.detail)
