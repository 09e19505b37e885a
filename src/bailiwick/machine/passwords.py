"""Passwords, hashed with Argon2id in a bounded pool of threads.

One check takes tens of milliseconds of a core and megabytes of memory, on purpose. So a core is left to
the event loop, only so many checks wait, and whoever comes after that is told to come back (503 with
Retry-After). Those that wait are served by turns of names and networks (`fair_queue`): a flood of logins
costs the flood time, and not everybody else.
"""

from __future__ import annotations

import asyncio
import math
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any, Final, TypeVar

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from bailiwick.authority.accounts import Caller, Verdict
from bailiwick.errors import ConfigurationError, Unavailable

from .fair_queue import FairQueue, Waiter

__all__ = ["OWASP_2025", "RFC_9106_LOW_MEMORY", "Argon2Hasher"]

_T = TypeVar("_T")


def _argon2id(memory_cost: int, time_cost: int, parallelism: int) -> Parameters:
    return Parameters(
        type=Type.ID,
        version=19,
        salt_len=16,
        hash_len=32,
        time_cost=time_cost,
        memory_cost=memory_cost,
        parallelism=parallelism,
    )


# OWASP Password Storage Cheat Sheet, one of its equivalent choices: m=19456 (19 MiB), t=2, p=1.
OWASP_2025: Final = _argon2id(memory_cost=19_456, time_cost=2, parallelism=1)
# RFC 9106 section 4, second recommended option: 64 MiB, t=3, p=4.
RFC_9106_LOW_MEMORY: Final = _argon2id(memory_cost=65_536, time_cost=3, parallelism=4)

# More than these need more memory than they save time: 19 MiB each.
MOST_THREADS: Final = 4
# Checks that may wait, with some 25 KB of memory each. A thousand connections of one name find room: while they wait they
# do not ask again and again, which would cost the event loop far more.
WAITING: Final = 2048
# Checks of one thread in a second, on a slow core: by then those that wait are through.
CHECKS_PER_SECOND: Final = 20


class Argon2Hasher:
    """Makes and checks hashes of passwords; what `authority.accounts.PasswordHasher` asks for.

    Args:
        parameters: how hard; hashes made with others are still checked, and renewed at the next login.
        threads: how many run at once; None for one less than there are cores, at least one and at most four.
        waiting: how many may wait for a thread, before some are sent away: those of the name, or of the network, that has most.

    Raises:
        ConfigurationError: no thread, or a negative queue.
    """

    def __init__(
        self, parameters: Parameters = OWASP_2025, *, threads: int | None = None, waiting: int = WAITING
    ) -> None:
        threads = threads if threads is not None else _threads()
        if threads < 1 or waiting < 0:
            raise ConfigurationError("Password checks need at least one thread, and a queue of 0 or more.")
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bailiwick-argon2")
        self._queue = FairQueue(threads, waiting)
        # Several event loops may share a hasher, and its threads end turns.
        self._lock = threading.Lock()

    async def hash(self, password: str, caller: Caller | None = None) -> str:
        """Make a hash that says how it was made.

        Args:
            password: as typed.
            caller: on whose behalf; None for the operator.

        Raises:
            Unavailable: too many others are waiting (BW504).
        """
        return await self._run(lambda: self._hasher.hash(_octets(password)), caller)

    async def verify(self, hash: str | None, password: str, caller: Caller | None = None) -> Verdict:
        """Check a password; without a hash do the same work on a decoy and answer `WRONG`.

        Args:
            hash: as `hash` made it, or None where nobody of that name is known.
            password: as typed.
            caller: on whose behalf; None for the operator.

        Raises:
            Unavailable: too many others are waiting, or the caller hung up while it waited (BW504).
        """
        return await self._run(lambda: self._verify(hash, password), caller)

    def _verify(self, hash: str | None, password: str) -> Verdict:
        # Made by whoever comes first, known or not, so that its making tells nobody apart.
        decoy = self._decoy
        known = hash if hash is not None else decoy
        try:
            self._hasher.verify(known, _octets(password))
        except (VerificationError, InvalidHashError):
            return Verdict.WRONG
        if hash is None:
            return Verdict.WRONG
        return Verdict.RIGHT_BUT_WEAK if self._hasher.check_needs_rehash(hash) else Verdict.RIGHT

    @cached_property
    def _decoy(self) -> str:
        """The hash of a password that nobody has."""
        return self._hasher.hash(secrets.token_bytes(32))

    async def _run(self, work: Callable[[], _T], caller: Caller | None) -> _T:
        waiter = Waiter(caller)
        with self._lock:
            self._queue.ask(waiter)
        try:
            await self._wait(waiter, caller)
            future = self._pool.submit(work)
        except BaseException:
            self._leave(waiter)
            raise
        # The turn ends with the work, and not when its caller hangs up: it still holds a thread.
        future.add_done_callback(lambda _done: self._leave(waiter))
        return await asyncio.wrap_future(future)

    async def _wait(self, waiter: Waiter, caller: Caller | None) -> None:
        """Wait for the turn.

        Raises:
            Unavailable: there is no place to wait, or the caller hung up meanwhile, so that nobody waits for it (BW504).
        """
        if not await _has_turn(waiter, caller):
            # By then those who wait now are through.
            seconds = max(1, math.ceil(len(self._queue) / self._threads / CHECKS_PER_SECOND))
            raise Unavailable("Too many logins at this moment.", id="BW504", retry_after=seconds)

    def _leave(self, waiter: Waiter) -> None:
        with self._lock:
            self._queue.leave(waiter)


async def _has_turn(waiter: Waiter, caller: Caller | None) -> bool:
    """Whether the turn has come, once that is known; False: a flood has no place, or had to give it up."""
    if waiter.turn.done():
        return waiter.turn.result()
    # Shielded: whoever stops waiting must not settle what the queue settles.
    turn = asyncio.shield(asyncio.wrap_future(waiter.turn))
    if caller is None or caller.disconnected is None:
        return await turn
    gone = asyncio.ensure_future(caller.disconnected())
    try:
        either: set[asyncio.Future[Any]] = {turn, gone}
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if gone.done():
            raise Unavailable("The caller did not wait for its turn.", id="BW504", retry_after=1) from gone.exception()
        return turn.result()
    finally:
        gone.cancel()


def _threads() -> int:
    """One less than there are cores: signing, the store's readers and the event loop have one left."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(MOST_THREADS, cores - 1))


def _octets(password: str) -> bytes:
    # A lone surrogate cannot come over HTTP, but a terminal can give one; it must not be an error of ours.
    return password.encode("utf-8", "surrogatepass")
