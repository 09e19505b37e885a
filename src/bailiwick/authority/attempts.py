"""Guesses, counted: how often somebody may be wrong before they have to wait.

Whoever checks something that can be guessed asks `check` first and tells `failed` afterwards. The
reference here counts in this process's memory; a deployment of several processes shares its counts.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from bailiwick.errors import Refused

__all__ = ["Attempts", "CountedAttempts", "check_wait", "guessing", "guessing_under", "may_guess", "network_of"]

# After this many wrong guesses each further one doubles the wait, from FIRST_WAIT seconds to LONGEST_WAIT.
# RFC 8628 section 5.1 reckons with five guesses at a code of eight letters; ten forgive a clumsy thumb.
FREE: Final = 10
# The same for guesses at one name from everywhere, and from one network at all names. It is wider because each of the
# two is shared: whoever knows a name could otherwise keep its owner out, and an office has one address.
FREE_TOGETHER: Final = 100
# What a provider gives one customer of IPv6 at least (RFC 6177): all of it is one guesser's.
IPV6_NETWORK: Final = 64
FIRST_WAIT: Final = 30
LONGEST_WAIT: Final = 15 * 60
# Wrong guesses are forgotten after this many seconds of silence.
FORGOTTEN: Final = 60 * 60
# Names that are remembered at once; beyond it those that were silent longest go.
REMEMBERED: Final = 100_000


class Attempts(Protocol):
    """Counts guesses by name, such as "user_code:usr_..." or "user_code:192.0.2.1"."""

    async def check(self, names: Sequence[str], now: float, *, free: int | None = None) -> None:
        """Let another guess pass.

        Args:
            names: under which it is counted; any of them can be at its end.
            now: seconds since the epoch.
            free: how many wrong guesses cost nothing under these names; None for the usual number.

        Raises:
            Refused: slow_down (BW416, status 429) with the seconds to wait.
        """

    async def failed(self, names: Sequence[str], now: float) -> None:
        """Count a wrong guess under each of these names."""

    async def succeeded(self, names: Sequence[str]) -> None:
        """Take back what was counted too early under these names: the guess was right."""


def check_wait(seconds: float) -> None:
    """Let another guess pass where nobody has to wait.

    Raises:
        Refused: slow_down (BW416, status 429) with the seconds to wait.
    """
    if seconds > 0:
        raise Refused(
            "slow_down",
            "Too many wrong attempts; wait before trying again.",
            status=429,
            id="BW416",
            # A clock that was set back must not tell anybody to come again next week.
            retry_after=int(min(seconds, LONGEST_WAIT)) + 1,
        )


def network_of(address: str) -> str:
    """By what guesses from an address are counted: an IPv4 address itself, of an IPv6 address its network."""
    try:
        read = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(read, IPv6Address):
        return address
    if read.ipv4_mapped is not None:
        return str(read.ipv4_mapped)
    return f"{IPv6Address(int(read) >> (128 - IPV6_NETWORK) << (128 - IPV6_NETWORK))}/{IPV6_NETWORK}"


@asynccontextmanager
async def guessing(attempts: Attempts, what: str, whose: str, address: str, now: float) -> AsyncIterator[None]:
    """Count a guess at somebody's secret: wrong if the block is left by `Refused`, otherwise none.

    It is counted by name and network together, so that who guesses at a name keeps themselves out and not
    its owner; and more widely by the name alone, for guesses from many networks, and by the network alone,
    for one password tried on many names.

    Args:
        attempts: the counts.
        what: what is guessed at, such as "login".
        whose: the name, or a digest of it.
        address: from where; "" if that is unknown.
        now: seconds since the epoch.

    Raises:
        Refused: slow_down (BW416, status 429) with the seconds to wait, and the block is not entered.
    """
    network = network_of(address)
    here, together = [f"{what}:{whose}@{network}"], [f"{what}:{whose}", *([f"{what}@{network}"] if network else [])]
    async with guessing_under(attempts, here, together, now):
        yield


@asynccontextmanager
async def guessing_under(
    attempts: Attempts, here: Sequence[str], together: Sequence[str], now: float
) -> AsyncIterator[None]:
    """Count a guess under these names: wrong if the block is left by `Refused`, otherwise none.

    Args:
        attempts: the counts.
        here: names of this guesser alone, with few free guesses.
        together: names that it shares with others, with `FREE_TOGETHER`.
        now: seconds since the epoch.

    Raises:
        Refused: slow_down (BW416, status 429) with the seconds to wait, and the block is not entered.
    """
    await may_guess(attempts, here, together, now)
    try:
        yield
    except Refused:
        await may_guess(attempts, here, together, now)
        await attempts.failed([*here, *together], now)
        raise
    # Once more, right or wrong: of guesses that come all at once, whoever is late learns nothing about theirs. To count
    # them all beforehand would keep out people who are right many times at once.
    await may_guess(attempts, here, together, now)


async def may_guess(attempts: Attempts, here: Sequence[str], together: Sequence[str], now: float) -> None:
    """Let another guess pass; arguments as for `guessing_under`.

    Raises:
        Refused: slow_down (BW416, status 429) with the seconds to wait.
    """
    await attempts.check(here, now)
    await attempts.check(together, now, free=FREE_TOGETHER)


class CountedAttempts:
    """The reference: counts in memory, with a wait that doubles.

    Args:
        free: how many wrong guesses cost nothing.
    """

    def __init__(self, free: int = FREE) -> None:
        self._free = free
        self._wrong: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._lock = threading.Lock()

    async def check(self, names: Sequence[str], now: float, *, free: int | None = None) -> None:
        """See `Attempts.check`."""
        allowed = self._free if free is None else free
        with self._lock:
            wait = max((self._wait(name, now, allowed) for name in names), default=0.0)
        check_wait(wait)

    def _wait(self, name: str, now: float, free: int) -> float:
        count, last = self._wrong.get(name, (0, now))
        if last > now:
            # Counted before the clock was set back: the wait begins now, and does not last until the clock gets there.
            self._wrong[name] = (count, last := now)
        beyond = count - free
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
