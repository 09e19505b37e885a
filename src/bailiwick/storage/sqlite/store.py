"""The store: verbs as SQL, run by readers and by the one writer."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, Self, TypeVar

from sqlalchemy import Connection, create_engine
from sqlalchemy.pool import QueuePool

from bailiwick.errors import StoreError
from bailiwick.storage.sql import SQLStore

from .connection import connect, connect_to_read, raw_of
from .file import prepare
from .reasons import explained, gone
from .writer import Writer

__all__ = ["SQLiteStore"]

_T = TypeVar("_T")

# Readers beside the writer. More than this only take the interpreter's lock from each other.
READERS: Final = 4


class SQLiteStore(SQLStore):
    """A store in one SQLite file; make it with `SQLiteStore.open`.

    Args:
        path: the file, already at the newest version.
        read_only: not a byte of it may change.
    """

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: connect_to_read(path) if read_only else connect(path),
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            # Errors would repeat a statement's values, password hashes and digests among them, wherever they are logged.
            hide_parameters=True,
        )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="bailiwick-read")
        self._writer = Writer(path)
        self._closed = False

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

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        # A few rows by their keys, from SQLite's cache or the system's, take tens of microseconds and wait
        # for nobody (WAL). To hand that to a thread and back takes ten times as long.
        return self._read_now(work)

    async def _scan(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise gone(self.path)
        return await asyncio.wrap_future(self._readers.submit(self._read_now, work))

    def _read_now(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise gone(self.path)
        with explained(self.path), self._engine.connect() as db:
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

    async def close(self) -> None:
        """Finish what was begun and let go of the file; a second time does nothing."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown(wait=True)
        self._engine.dispose()
        # Last: whoever closes a file last folds its write-ahead log into it.
        self._writer.close()
