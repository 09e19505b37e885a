"""Followers of the revocation feed that wait for news: one look at the store for all of them."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from bailiwick.errors import StoreError

__all__ = ["Followers"]

# Seconds between two looks at the store while somebody waits; a withdrawal has to be known within one.
LOOK_EVERY: Final = 0.5
# The same where something happened in this very process, however often it does.
SOONEST: Final = 0.02
# Requests of one client that wait at the same time; those beyond are answered at once and ask again. All who read
# without saying who they are, where that is allowed, count as one.
WAITING: Final = 200


class Followers:
    """Lets followers wait until the feed's newest line is another one.

    While anybody waits, one task looks at the store for all of them: what a look costs does not depend on how many wait,
    nor on how long the feed is.

    Args:
        look: the number of the feed's newest line.
    """

    def __init__(self, look: Callable[[], Awaitable[int]]) -> None:
        self._look = look
        self._waiting: Counter[str] = Counter()
        self._task: asyncio.Task[None] | None = None
        # Set, and replaced, when there is news.
        self._news = asyncio.Event()
        self._woken = asyncio.Event()

    def wake(self) -> None:
        """Look soon: something happened in this process that may have revoked something."""
        self._woken.set()

    async def wait(self, client: str, known: int, seconds: float, gone: Callable[[], Awaitable[object]]) -> bool:
        """Wait until the newest line is another one than is known.

        Args:
            client: who waits, for the bound of each; "" for anybody.
            known: the number of the newest line that the follower knows of.
            seconds: how long at most.
            gone: waits until nobody listens to the answer any more.

        Returns:
            Whether there is news. There may be some after all when it says that there is none.

        Raises:
            StoreError: the store cannot answer.
        """
        if self._waiting[client] >= WAITING:
            return await self._look() != known
        leaving = asyncio.ensure_future(gone())
        self._waiting[client] += 1
        try:
            async with asyncio.timeout(seconds):
                return await self._heard(known, leaving)
        except TimeoutError:
            return False
        finally:
            leaving.cancel()
            self._waiting[client] -= 1
            # No name of a client stays that nobody waits for, and no task.
            self._waiting += Counter()
            if not self._waiting and self._task is not None:
                self._task.cancel()
                self._task = None

    async def _heard(self, known: int, leaving: asyncio.Future[object]) -> bool:
        while True:
            # Before the look, so that no news falls between the two.
            news = asyncio.ensure_future(self._news.wait())
            try:
                if await self._look() != known:
                    return True
                if self._task is None or self._task.done():
                    self._task = asyncio.create_task(self._watch(known), name="bailiwick revocation feed")
                await asyncio.wait((news, leaving), return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()
            if leaving.done():
                return False

    async def _watch(self, newest: int) -> None:
        """Look again and again, for all who wait."""
        try:
            while True:
                self._woken.clear()
                if (seen := await self._look()) != newest:
                    newest = seen
                    self._tell()
                await asyncio.sleep(SOONEST)
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY - SOONEST):
                        await self._woken.wait()
        except StoreError:
            # Each of them looks for itself then, and is told what is wrong.
            return
        finally:
            self._tell()

    def _tell(self) -> None:
        told, self._news = self._news, asyncio.Event()
        told.set()
