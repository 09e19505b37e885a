"""Guesses counted by several processes together, in Redis or whatever else the library `limits` keeps counts in.

    AuthorizationServer(catalog, issuer=..., store=..., attempts=SharedAttempts("redis://localhost:6379"))

Ten nodes that count for themselves would allow ten times as many guesses. When the shared counts cannot
be reached, each process goes on counting for itself: people can still log in, and nobody guesses freely.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.util import find_spec
from typing import Final, TypeVar

from bailiwick.authority.attempts import (
    FIRST_WAIT,
    FREE,
    LONGEST_WAIT,
    CountedAttempts,
    check_wait,
)
from bailiwick.errors import ConfigurationError

try:
    from limits.aio.storage import Storage
    from limits.errors import ConfigurationError as BadAddress
    from limits.errors import StorageError
    from limits.storage import storage_from_string
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"bailiwick.machine.shared_attempts needs {missing.name}: pip install 'bailiwick[redis]'", name=missing.name
    ) from missing

__all__ = ["SharedAttempts"]

log = logging.getLogger("bailiwick.machine")
Answer = TypeVar("Answer")

# Wrong guesses are forgotten this many seconds after the first of them. The counter has one life, which begins with
# its first count; a day allows some hundred guesses at one name (NIST SP 800-63B section 5.2.2: at most 100 in a row).
WINDOW: Final = 24 * 60 * 60
# What is asked of `limits` by the scheme of an address.
SCHEMES: Final = ("redis", "rediss", "memory")
# Seconds between two words in the log about counts that cannot be reached.
SAY_AGAIN: Final = 60.0


class SharedAttempts:
    """Counts guesses where several processes can see them, with a wait that doubles.

    Args:
        address: "redis://host:6379/0", "rediss://..." for TLS, or "memory://" for this process alone.
        free: how many wrong guesses cost nothing.
        prefix: what every key begins with, so that others may use the same Redis.

    Raises:
        ConfigurationError: the address is of another kind, or its client library is missing.
    """

    def __init__(self, address: str, *, free: int = FREE, prefix: str = "bailiwick") -> None:
        scheme = address.partition("://")[0]
        if scheme not in SCHEMES:
            # The address may hold a password.
            raise ConfigurationError(f"Counts are shared by {', '.join(SCHEMES)}, not by {scheme[:20]!r}.")
        if scheme != "memory" and find_spec("redis") is None:
            raise ConfigurationError(
                "attempts names Redis, and the package redis is not installed: pip install 'bailiwick[redis]'"
            )
        options: dict[str, str | bool] = {"wrap_exceptions": True}
        if scheme != "memory":
            options |= {"implementation": "redispy", "key_prefix": prefix}
        try:
            storage = storage_from_string(f"async+{address}", **options)
        except (BadAddress, ValueError) as bad:
            raise ConfigurationError(f"The counts in {scheme} cannot be used: {type(bad).__name__}.") from bad
        if not isinstance(storage, Storage):
            raise ConfigurationError(f"The counts in {scheme} cannot be used.")
        self._storage: Storage = storage
        self._free = free
        self._alone = CountedAttempts(free)
        self._said_at = float("-inf")

    async def check(self, names: Sequence[str], now: float, *, free: int | None = None) -> None:
        """See `bailiwick.authority.attempts.Attempts.check`."""
        await self._alone.check(names, now, free=free)
        allowed = self._free if free is None else free
        check_wait(await self._tried(lambda: self._longest(names, allowed), 0.0))

    async def failed(self, names: Sequence[str], now: float) -> None:
        """See `bailiwick.authority.attempts.Attempts.failed`."""
        await self._alone.failed(names, now)
        await self._tried(lambda: self._count(names), None)

    async def succeeded(self, names: Sequence[str]) -> None:
        """See `bailiwick.authority.attempts.Attempts.succeeded`."""
        await self._alone.succeeded(names)
        await self._tried(lambda: self._take_back(names), None)

    async def _longest(self, names: Sequence[str], free: int) -> float:
        return max([await self._wait(name, free) for name in names], default=0.0)

    async def _wait(self, name: str, free: int) -> float:
        key = _key(name)
        count = await self._storage.get(key)
        beyond = count - free
        if beyond < 0:
            return 0.0
        # When that guess was made: its mark ends LONGEST_WAIT later. Both times are by this machine's clock, which
        # has nothing to do with `now`: what counts is how far they are apart.
        left = await self._storage.get_expiry(f"{key}:{count}") - time.time()
        if left > LONGEST_WAIT:
            # Marked before the clock was set back (Redis counts for itself and has no such marks): the wait begins now.
            await self._storage.clear(f"{key}:{count}")
            await self._storage.incr(f"{key}:{count}", LONGEST_WAIT)
            left = LONGEST_WAIT
        return left - LONGEST_WAIT + min(FIRST_WAIT << min(beyond, 10), LONGEST_WAIT)

    async def _count(self, names: Sequence[str]) -> None:
        for name in names:
            key = _key(name)
            count = await self._storage.incr(key, WINDOW)
            mark = f"{key}:{count}"
            # One of the same number may be left from before a guess was taken back.
            await self._storage.clear(mark)
            await self._storage.incr(mark, LONGEST_WAIT)

    async def _take_back(self, names: Sequence[str]) -> None:
        for name in names:
            key = _key(name)
            # Not forgotten altogether: whoever has one right code could wipe out any number of wrong ones.
            if await self._storage.get(key) > 1:
                await self._storage.incr(key, WINDOW, amount=-1)
            else:
                await self._storage.clear(key)

    async def _tried(self, act: Callable[[], Awaitable[Answer]], otherwise: Answer) -> Answer:
        try:
            return await act()
        except (StorageError, OSError) as why:
            if time.monotonic() - self._said_at >= SAY_AGAIN:
                self._said_at = time.monotonic()
                # Not its text: the address in it may hold a password.
                log.error(  # noqa: TRY400 - see above
                    "The shared counts of wrong guesses cannot be reached (%s); each process counts for itself.",
                    type(why.__cause__ or why).__name__,
                )
            return otherwise


def _key(name: str) -> str:
    """A key of one length that names nobody: names of people and addresses stay out of Redis."""
    return "guess:" + hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
