"""The store: verbs as SQL, run by readers and by the one writer."""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import QueuePool

from bailiwick.errors import StoreError
from bailiwick.storage.sql import SQLStore

from .connection import connect, connect_to_read, raw_of
from .file import identity_of, look_at_first_pages, prepare, prepare_to_read, write_something
from .reasons import explained, gone
from .writer import Writer

__all__ = ["SQLiteStore"]

_T = TypeVar("_T")

# Seconds for which an answer about readiness holds: anybody may ask, and a look writes to the disk.
CHECK_EVERY: Final = 1.0
# Seconds after which a store that does not answer is not ready.
CHECK_WITHIN: Final = 5.0
# Bytes on the disk below which the next busy minute has no room; a log that was emptied takes writes also where none is left.
LEAST_FREE: Final = 1024 * 1024

# Threads that read very many rows, beside the writer. More than this only take the interpreter's lock from each other.
SCANNERS: Final = 4


class SQLiteStore(SQLStore):
    """A store in one SQLite file; make it with `SQLiteStore.open`.

    Args:
        path: the file, already at the newest version.
        read_only: not a byte of it may change.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        # The event loop reads on a connection that no scan can have: waiting for one, it would stand still for all.
        self._own = _reading(path, 1, read_only=read_only)
        self._shared = _reading(path, SCANNERS, read_only=read_only)
        self._scanners = ThreadPoolExecutor(SCANNERS, thread_name_prefix="bailiwick-read")
        self._writer = Writer(path)
        self._closed = False
        self._opened = identity_of(path)
        self._checking: asyncio.Task[None] | None = None
        self._checked_at = float("-inf")

    @classmethod
    async def open(cls, path: str | Path) -> Self:
        """Open a file, making it or bringing it up to date where needed.

        Args:
            path: the file; its folder must exist.

        Raises:
            StoreError: it cannot be opened or written (BW502), or is newer than this code (BW503);
                nothing was written then.
        """
        return cls(await asyncio.to_thread(prepare, Path(path)))

    @classmethod
    async def open_to_read(cls, path: str | Path) -> Self:
        """Open a file that is at the newest version, of which not a byte may change.

        Args:
            path: the file.

        Raises:
            StoreError: it cannot be opened (BW502), or is newer than this code (BW503).
        """
        return cls(await asyncio.to_thread(prepare_to_read, Path(path)), read_only=True)

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        # A few rows by their keys, from SQLite's cache or the system's, take tens of microseconds and wait
        # for nobody (WAL). To hand that to a thread and back takes ten times as long.
        return self._read_on(self._own, work)

    async def _scan(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise gone(self.path)
        return await asyncio.wrap_future(self._scanners.submit(self._read_on, self._shared, work))

    def _read_on(self, engine: Engine, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise gone(self.path)
        with explained(self.path), engine.connect() as db:
            # One snapshot for all that the function looks at; the pool ends it when the connection comes back.
            raw_of(db).execute("BEGIN")
            return work(db)

    async def _write(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise gone(self.path)
        if self._read_only:
            raise StoreError(
                "The store was opened to be read.", detail=f"{self.path} was opened to be read", id="BW502"
            )
        return await asyncio.wrap_future(self._writer.submit(work))

    async def check(self) -> None:
        """See `Store.check`: the file is the one that was opened, it can be read from its beginning, and written.

        At most once a second, however many ask; they share the answer.
        """
        checking, now = self._checking, time.monotonic()
        if (
            checking is None
            or checking.get_loop() is not asyncio.get_running_loop()
            or (checking.done() and now - self._checked_at >= CHECK_EVERY)
        ):
            checking = self._checking = asyncio.create_task(self._check())
            checking.add_done_callback(_looked_at)
            self._checked_at = now
        await asyncio.shield(checking)

    async def _check(self) -> None:
        try:
            async with asyncio.timeout(CHECK_WITHIN):
                await asyncio.wrap_future(self._scanners.submit(self._look_at_file))
                await self._write(write_something)
        except TimeoutError as late:
            detail = f"The database {self.path} did not answer in {CHECK_WITHIN:g} seconds."
            raise StoreError("The store cannot answer.", detail=detail, id="BW502") from late

    def _look_at_file(self) -> None:
        with explained(self.path):
            if identity_of(self.path) != self._opened:
                raise StoreError(
                    "The store cannot answer.",
                    detail=f"The database {self.path} was deleted or replaced while it was open: what is written now is "
                    "lost. Stop, put the file back, and start again.",
                    id="BW502",
                )
            if (free := shutil.disk_usage(self.path.parent).free) < LEAST_FREE:
                detail = f"The disk of the database {self.path} is full: {free} bytes are left; make room."
                raise StoreError("The store cannot answer.", detail=detail, id="BW502")
            # The connections that are open have the first pages at hand, and would not notice what became of them.
            look_at_first_pages(self.path)

    async def close(self) -> None:
        """Finish what was begun and let go of the file; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._scanners.shutdown(wait=True)
        self._shared.dispose()
        self._own.dispose()
        # Last: whoever closes a file last folds its write-ahead log into it.
        self._writer.close()


def _looked_at(checking: asyncio.Task[None]) -> None:
    """Whoever asked may have gone away: nobody need be told of it then."""
    if not checking.cancelled():
        checking.exception()


def _reading(path: Path, connections: int, *, read_only: bool) -> Engine:
    """So many connections, and never more, that read a file."""
    return create_engine(
        "sqlite://",
        creator=lambda: connect_to_read(path) if read_only else connect(path),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        # Errors would repeat a statement's values, password hashes and digests among them, wherever they are logged.
        hide_parameters=True,
    )
