"""A store in one SQLite file: how it is opened, and how its transactions are run.

All writes of a process go through one thread with one connection, so that they never wait for each
other's locks, and those that wait together are committed together: one `fsync` for all of them. A
write that is awaited is on the disk when the await ends. Readers have connections of their own and
are not held up by the writer (WAL). Other processes may use the same file; they queue at SQLite's
own lock.

A function that was handed in runs to its end whether or not its caller still waits: a client that
hangs up never leaves half a transaction.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import sqlite3
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Self, TypeVar, cast
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool, QueuePool

from bailiwick.errors import StoreError

from .migrations import HEAD, REVISIONS, VERSION_TABLE
from .sql import SQLStore

__all__ = ["SQLiteStore", "copy_to", "explained", "version_of"]

_T = TypeVar("_T")

log = logging.getLogger("bailiwick.storage")

# Seconds that a transaction waits for another process's; SQLite retries inside.
BUSY_TIMEOUT: Final = 30.0
# Transactions that share one commit, at most: bounds how long the first of them waits for the last.
BATCH: Final = 64
# Readers beside the writer. More than this only take the interpreter's lock from each other.
READERS: Final = 4
# Alembic works with module-level state, so one database at a time is brought up to date in a process.
_migrating = threading.Lock()


class SQLiteStore(SQLStore):
    """A store in one SQLite file; make it with `SQLiteStore.open`.

    Args:
        path: the file, already at the newest version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._engine = create_engine(
            "sqlite://",
            creator=lambda: _connect(path),
            poolclass=QueuePool,
            pool_size=READERS,
            max_overflow=0,
            # Errors would repeat a statement's values, password hashes and digests among them, wherever they are logged.
            hide_parameters=True,
        )
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="bailiwick-read")
        self._writer = _Writer(path)
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
        return cls(await asyncio.to_thread(_prepare, Path(path)))

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        # A few rows by their keys, from SQLite's cache or the system's, take tens of microseconds and wait
        # for nobody (WAL). To hand that to a thread and back takes ten times as long.
        return self._read_now(work)

    async def _scan(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise _gone(self.path)
        return await asyncio.wrap_future(self._readers.submit(self._read_now, work))

    def _read_now(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise _gone(self.path)
        with explained(self.path), self._engine.connect() as db:
            # One snapshot for all that the function looks at; the pool ends it when the connection comes back.
            _raw(db).execute("BEGIN")
            return work(db)

    async def _write(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise _gone(self.path)
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


class _Job:
    """A function that waits for its transaction, and for whom its result is meant."""

    __slots__ = ("error", "future", "result", "work")

    def __init__(self, work: Callable[[Connection], Any]) -> None:
        self.work = work
        self.future: Future[Any] = Future()
        self.result: Any = None
        self.error: BaseException | None = None

    def settle(self, error: BaseException | None = None) -> None:
        error = error or self.error
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(self.result)

    def give_up(self, error: BaseException) -> None:
        """Tell whoever still waits, if anybody does, and was told nothing yet."""
        if self.future.running() or (not self.future.done() and self.future.set_running_or_notify_cancel()):
            self.future.set_exception(error)


class _LostError(Exception):
    """SQLite gave a whole transaction up, and not only the statement that failed."""


class _Writer:
    """The one thread of a process that writes into a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._ended = False
        self._engine = create_engine(
            "sqlite://", creator=lambda: _connect(path), poolclass=NullPool, hide_parameters=True
        )
        self._thread = threading.Thread(target=self._run, name="bailiwick-write", daemon=True)
        self._thread.start()

    def submit(self, work: Callable[[Connection], _T]) -> Future[_T]:
        """Queue a function; its future is settled when its transaction is on the disk, or was undone."""
        job = _Job(work)
        self._jobs.put(job)
        return cast("Future[_T]", job.future)

    def close(self) -> None:
        """Finish what is queued, then end."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while not self._ended:
            job = self._jobs.get()
            if job is None:
                return
            try:
                self._work_from(job)
            except Exception as bad:  # whatever it is, nobody may wait for ever
                log.exception("The writer of %s failed and starts anew", self._path)
                job.give_up(_explain(self._path, bad))

    def _work_from(self, job: _Job | None) -> None:
        """Open a connection and serve, beginning with this job, until the end."""
        with self._engine.connect() as db:
            while job is not None:
                if not self._commit_together(db, job):
                    # What is left of the transaction ends with the connection. Perhaps it was the connection that
                    # failed, so the next job gets a new one.
                    return
                job = None if self._ended else self._jobs.get()
            self._ended = True

    def _commit_together(self, db: Connection, first: _Job) -> bool:
        """Run a job, and those that wait behind it, in one transaction, each undone alone if it fails.

        Returns:
            Whether the transaction went through.
        """
        done: list[_Job] = []
        failure: BaseException | None = None
        try:
            _raw(db).execute("BEGIN IMMEDIATE")
            for job in self._waiting(first):
                # Whoever stopped waiting before their turn came is not served at all.
                if job.future.set_running_or_notify_cancel():
                    done.append(job)
                    _run_one(db, job)
                    if isinstance(job.error, DBAPIError):
                        job.error = _explain(self._path, job.error)
            _raw(db).execute("COMMIT")
            db.commit()
        except Exception as bad:  # whatever it is, those in `done` were promised an answer
            failure = _explain(self._path, bad)
            if not isinstance(bad, DBAPIError | sqlite3.Error | _LostError):
                log.exception("A transaction of %s failed", self._path)
            if not done and first.future.set_running_or_notify_cancel():
                done.append(first)
        for job in done:
            job.settle(failure)
        return failure is None

    def _waiting(self, first: _Job) -> Iterator[_Job]:
        yield first
        for _ in range(BATCH - 1):
            try:
                job = self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                self._ended = True
                return
            yield job


def _run_one(db: Connection, job: _Job) -> None:
    raw = _raw(db)
    raw.execute("SAVEPOINT job")
    try:
        job.result = job.work(db)
    except Exception as bad:  # it belongs to whoever awaits the job, and is raised there
        if not raw.in_transaction:
            # A full disk, say. What the jobs before this one did is gone with it, so none may be told
            # that it succeeded.
            raise _LostError from bad
        raw.execute("ROLLBACK TO job")
        job.error = bad
    raw.execute("RELEASE job")


def _raw(db: Connection) -> sqlite3.Connection:
    """The driver's own connection, where words to SQLite are said that SQLAlchemy need not know of."""
    return cast("sqlite3.Connection", db.connection.driver_connection)


# -- opening ---------------------------------------------------------------------------------------


def _connect(path: Path) -> sqlite3.Connection:
    # Transactions are begun by hand: the driver's own way would take the write lock late, and two
    # who both read first and then want to write can only fail.
    db = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    # FULL: a commit is on the disk before anybody hears of it, also when the power fails. What a
    # client was told must never be forgotten, or its next refresh would look like a replay.
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA foreign_keys = ON")
    # What is deleted or replaced is overwritten, so that a private key that was sealed is not still readable
    # in a free page. Debian's SQLite does so by default, others do not.
    db.execute("PRAGMA secure_delete = ON")
    return db


def _prepare(path: Path) -> Path:
    """Look at a file without touching it; then make it, or bring it up to date, or see that it can be written."""
    path = path.absolute()
    with explained(path, opening=True):
        _check_place(path)
        version = version_of(path)
        if version is not None and version not in REVISIONS:
            raise StoreError(
                f"The database {path} was written by a newer version of Bailiwick (its version is {version[:40]!a}, "
                f"the newest known here is {HEAD}). Update Bailiwick, or choose another file.",
                id="BW503",
            )
        if version == HEAD:
            _write_something(path)
        else:
            _migrate(path)
    return path


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"The database {path} is a folder; name a file.", id="BW502")
    if not path.parent.is_dir():
        raise StoreError(f"The folder {path.parent} does not exist; make it, or choose another file.", id="BW502")
    if not path.exists():
        return
    # The superuser can write a file that nobody may write, but whoever marked it so meant it.
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise StoreError(f"The database {path} is read-only; make it writable, or choose another file.", id="BW502")


def version_of(path: Path) -> str | None:
    """The version of a file, read without writing a byte; None for a file that is new or empty."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    # Even a reader would make SQLite's shared-memory file; an immutable one does not. Only where a
    # write-ahead log is there, it must be read too.
    has_log = path.with_name(path.name + "-wal").exists()
    db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)
    try:
        known = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (VERSION_TABLE,))
        if known.fetchone() is None:
            return None
        row = db.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
        return str(row[0]) if row else None
    finally:
        db.close()


def copy_to(path: Path, copy: Path) -> None:
    """Copy a database while others use it: one moment of it, whole, in a file for this user's eyes only.

    Args:
        path: the database.
        copy: a file that does not exist.

    Raises:
        StoreError: one of the two cannot be read or made (BW502); no half copy is left behind.
    """
    with explained(copy, opening=True):
        # It holds private keys and digests, and must not replace an older copy.
        os.close(os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with (
            explained(path, opening=True),
            closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT)) as source,
            explained(copy, opening=True),
            closing(sqlite3.connect(copy)) as target,
        ):
            source.backup(target)
            # A lone file: whoever restores it has no write-ahead log to forget.
            target.execute("PRAGMA journal_mode = DELETE")
    except BaseException:
        copy.unlink(missing_ok=True)
        raise


def _write_something(path: Path) -> None:
    """Find out now, and not at the first login, that the disk is full or the folder cannot be written."""
    db = _connect(path)
    try:
        db.execute("BEGIN IMMEDIATE")
        db.execute(f"UPDATE {VERSION_TABLE} SET version_num = version_num")  # noqa: S608 - a constant
        db.execute("COMMIT")
    finally:
        db.close()


def _migrate(path: Path) -> None:
    new = not path.exists()
    if new:
        # It will hold private keys: for this user's eyes only, and so are the files that SQLite puts beside it.
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    engine = create_engine("sqlite://", creator=lambda: _connect(path), poolclass=NullPool)
    try:
        with _migrating:
            _upgrade(engine)
    except BaseException:
        # An empty file that this call made and could not fill is taken away again.
        if new and path.stat().st_size == 0:
            path.unlink()
        raise
    finally:
        engine.dispose()


def _upgrade(engine: Engine) -> None:
    """All missing versions in one transaction: after a crash the file is what it was before, or all new."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    with engine.connect() as db:
        db.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = db
        command.upgrade(config, "head")
        db.commit()
    with engine.connect() as db:
        # Kept in the file. After the tables are there, so that a file that could not be made stays empty.
        db.exec_driver_sql("PRAGMA journal_mode = WAL")


# -- errors ----------------------------------------------------------------------------------------

# By the beginning of SQLite's own name of the error: what is wrong, and what to do.
_REASONS: Final = (
    ("SQLITE_READONLY", "is read-only; make it and its folder writable, or choose another file"),
    ("SQLITE_FULL", "cannot grow: the disk is full; make room"),
    ("SQLITE_CANTOPEN", "cannot be opened; see that its folder is there, can be written and is not full"),
    ("SQLITE_NOTADB", "is not a SQLite database; choose another file, or restore a backup"),
    ("SQLITE_CORRUPT", "is damaged; restore a backup"),
    ("SQLITE_BUSY", f"has been locked by another process for {BUSY_TIMEOUT:.0f} seconds; see which program holds it"),
    ("SQLITE_LOCKED", "is locked by another process; see which program holds it"),
    ("SQLITE_PERM", "may not be used by this user; change its owner or its mode"),
    ("SQLITE_IOERR", "could not be read or written: the disk is full or failing"),
)


@contextmanager
def explained(path: Path, *, opening: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ones that say what is wrong with the file, and what to do.

    Args:
        path: the file.
        opening: nobody is being served yet, so the description may name the file.

    Raises:
        StoreError: whatever went wrong (BW502).
    """
    try:
        yield
    except (DBAPIError, sqlite3.Error, OSError) as bad:
        raise _explain(path, bad, opening=opening) from bad


def _explain(path: Path | None, bad: BaseException, *, opening: bool = False) -> StoreError:
    """What an error of the driver means for whoever runs the service.

    Args:
        path: the file.
        bad: the driver's error, or what it caused.
        opening: nobody is being served yet, so the description may name the file.
    """
    cause = bad.__cause__ if isinstance(bad, _LostError) and bad.__cause__ is not None else bad
    orig = cause.orig if isinstance(cause, DBAPIError) else cause
    name = getattr(orig, "sqlite_errorname", "") or ""
    why = next((text for start, text in _REASONS if name.startswith(start)), None)
    if why is None and isinstance(orig, OSError):
        why = f"cannot be used: {orig.strerror or type(orig).__name__}"
    # Statements and their values are not repeated: they hold digests.
    full = f"The database {path or ''} {why or 'failed'}".replace("  ", " ")
    detail = f"{full} ({name or type(orig).__name__}: {orig})."
    return StoreError(f"{full}." if opening else "The store cannot answer.", detail=detail, id="BW502")


def _gone(path: Path) -> StoreError:
    return StoreError("The store is closed.", detail=f"The database {path} was closed.", id="BW502")
