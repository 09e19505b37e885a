"""Guesses, counted: how often somebody may be wrong before they have to wait.

Whoever checks something that can be guessed asks `check` first and tells `failed` afterwards. The
reference here counts in this process's memory; a deployment of several processes shares its counts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from bailiwick.errors import Refused

__all__ = ["Attempts", "CountedAttempts"]

# After this many wrong guesses each further one doubles the wait, from FIRST_WAIT seconds to LONGEST_WAIT.
# RFC 8628 section 5.1 reckons with five guesses at a code of eight letters; ten forgive a clumsy thumb.
FREE: Final = 10
FIRST_WAIT: Final = 30
LONGEST_WAIT: Final = 15 * 60
# Wrong guesses are forgotten after this many seconds of silence.
FORGOTTEN: Final = 60 * 60
# Names that are remembered at once; beyond it those that were silent longest go.
REMEMBERED: Final = 100_000


class Attempts(Protocol):
    """Counts guesses by name, such as "user_code:usr_..." or "user_code:192.0.2.1"."""

    async def check(self, names: Sequence[str], now: float) -> None:
        """Let another guess pass.

        Args:
            names: under which it is counted; any of them can be at its end.
            now: seconds since the epoch.

        Raises:
            Refused: slow_down (BW416, status 429) with the seconds to wait.
        """

    async def failed(self, names: Sequence[str], now: float) -> None:
        """Count a wrong guess under each of these names."""

    async def succeeded(self, names: Sequence[str]) -> None:
        """Take back what was counted too early under these names: the guess was right."""


class CountedAttempts:
    """The reference: counts in memory, with a wait that doubles.

    Args:
        free: how many wrong guesses cost nothing.
    """

    def __init__(self, free: int = FREE) -> None:
        self._free = free
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    async def check(self, names: Sequence[str], now: float) -> None:
        """See `Attempts.check`."""
        with self._lock:
            wait = max((self._wait(name, now) for name in names), default=0.0)
        if wait > 0:
            raise Refused(
                "slow_down",
                "Too many wrong attempts; wait before trying again.",
                status=429,
                id="BW416",
                retry_after=int(wait) + 1,
            )

    def _wait(self, name: str, now: float) -> float:
        count, last = self._wrong.get(name, (0, now))
        beyond = count - self._free
        if beyond < 0:
            return 0.0
        # The shift is bounded: nobody waits longer than LONGEST_WAIT, however large the number.
        return last + min(FIRST_WAIT << min(beyond, 10), LONGEST_WAIT) - now

    async def failed(self, names: Sequence[str], now: float) -> None:
        """See `Attempts.failed`."""
        with self._lock:
            for name in names:
                count, last = self._wrong.pop(name, (0, now))
                self._wrong[name] = (1 if now - last > FORGOTTEN else count + 1, now)
            while len(self._wrong) > REMEMBERED:
                self._wrong.popitem(last=False)

    async def succeeded(self, names: Sequence[str]) -> None:
        """See `Attempts.succeeded`."""
        with self._lock:
            for name in names:
                count, last = self._wrong.get(name, (0, 0.0))
                # Not forgotten altogether: whoever has one right code could wipe out any number of wrong ones.
                if count > 1:
                    self._wrong[name] = (count - 1, last)
                else:
                    self._wrong.pop(name, None)
