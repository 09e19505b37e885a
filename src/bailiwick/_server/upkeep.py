"""What a running server throws away from time to time: rows that have expired and prove nothing any more.

Every node of a deployment may do it: what one has deleted, another one does not find.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bailiwick.authority import Settings, Store
from bailiwick.errors import BailiwickError

__all__ = ["Upkeep"]

log = logging.getLogger("bailiwick.server")

# After a failure, and after the start: a tenth of the usual pause, so that a server that is restarted often cleans up too.
SOON: Final = 0.1

Pause = Callable[[float], Awaitable[None]]


class Upkeep:
    """Purges a store on a schedule, from `start` to `stop`.

    Args:
        store: what is purged.
        settings: how often, and how long the journal and unused clients are kept.
        clock: tells seconds since the epoch.
        pause: waits for a number of seconds.
    """

    def __init__(
        self, store: Store, settings: Settings, clock: Callable[[], float], *, pause: Pause = asyncio.sleep
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._pause = pause
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, in the loop that runs; nothing happens where the settings say never."""
        if self._settings.purge_every:
            self._task = asyncio.create_task(self._run(), name="bailiwick upkeep")

    async def stop(self) -> None:
        """End, and wait until it has ended. A second time does nothing."""
        task, self._task = self._task, None
        # A loop that was closed took its tasks with it; the server may have been opened in another one.
        if task is None or task.get_loop() is not asyncio.get_running_loop():
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    async def purge(self) -> int:
        """Delete once what has expired; how many rows went.

        Raises:
            StoreError: the store cannot do it now.
        """
        now, lifetimes = self._clock(), self._settings.lifetimes
        return await self._store.purge(
            now, journal_before=now - lifetimes.journal, unused_before=now - lifetimes.unused_client
        )

    async def _run(self) -> None:
        soon = True
        while True:
            usual = self._settings.purge_every * (SOON if soon else 1.0)
            # Spread, so that the nodes of a deployment that started together do not come together for ever.
            await self._pause(usual * random.uniform(0.75, 1.25))  # noqa: S311 - spreads work, guards nothing
            soon = not await self._tried()

    async def _tried(self) -> bool:
        try:
            gone = await self.purge()
        except BailiwickError as why:
            log.warning("What has expired could not be purged, and will be tried again: %s", why)
            return False
        except Exception:
            # Upkeep that dies of a surprise would let the store grow for ever, unnoticed.
            log.exception("What has expired could not be purged, and will be tried again.")
            return False
        if gone:
            log.info("Purged %d rows that had expired.", gone)
        return True
