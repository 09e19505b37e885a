"""Passwords, hashed with Argon2id in a bounded pool of threads.

One check takes tens of milliseconds of a core and megabytes of memory, on purpose. So only as many
run at once as there are cores, only so many wait, and whoever comes after that is told to come back
(503 with Retry-After): a flood of logins costs the flood time, and not everybody else.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Final, TypeVar

from argon2 import Parameters, PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from bailiwick.authority.accounts import Verdict
from bailiwick.errors import ConfigurationError, Unavailable

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


class Argon2Hasher:
    """Makes and checks hashes of passwords; what `authority.accounts.PasswordHasher` asks for.

    Args:
        parameters: how hard; hashes made with others are still checked, and renewed at the next login.
        threads: how many run at once; None for one to each core, at most four.
        waiting: how many may wait for a thread, before others are sent away.

    Raises:
        ConfigurationError: no thread, or a negative queue.
    """

    def __init__(self, parameters: Parameters = OWASP_2025, *, threads: int | None = None, waiting: int = 256) -> None:
        threads = threads if threads is not None else min(4, os.cpu_count() or 1)
        if threads < 1 or waiting < 0:
            raise ConfigurationError("Password checks need at least one thread, and a queue of 0 or more.")
        self._hasher = PasswordHasher.from_parameters(parameters)
        self._room = threads + waiting
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bailiwick-argon2")
        self._inside = 0
        self._counting = threading.Lock()

    async def hash(self, password: str) -> str:
        """Make a hash that says how it was made.

        Raises:
            Unavailable: too many others are waiting (BW504).
        """
        return await self._run(lambda: self._hasher.hash(_octets(password)))

    async def verify(self, hash: str | None, password: str) -> Verdict:
        """Check a password; without a hash do the same work on a decoy and answer `WRONG`.

        Args:
            hash: as `hash` made it, or None where nobody of that name is known.
            password: as typed.

        Raises:
            Unavailable: too many others are waiting (BW504).
        """
        return await self._run(lambda: self._verify(hash, password))

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

    async def _run(self, work: Callable[[], _T]) -> _T:
        with self._counting:
            if self._inside >= self._room:
                # About a thirtieth of a second each; a little more, so that the queue has drained by then.
                seconds = max(1, round(self._room / self._threads / 10))
                raise Unavailable("Too many logins at this moment.", id="BW504", retry_after=seconds)
            self._inside += 1
        try:
            future = self._pool.submit(work)
        except BaseException:
            self._leave()
            raise
        # Counted out when the work is done, and not when its caller hangs up: it still holds a thread.
        future.add_done_callback(lambda _done: self._leave())
        return await asyncio.wrap_future(future)

    def _leave(self) -> None:
        with self._counting:
            self._inside -= 1


def _octets(password: str) -> bytes:
    # A lone surrogate cannot come over HTTP, but a terminal can give one; it must not be an error of ours.
    return password.encode("utf-8", "surrogatepass")
