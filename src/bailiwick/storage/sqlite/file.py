"""The file: made, brought up to date, looked at without being touched, and copied."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import NullPool

from bailiwick.errors import StoreError
from bailiwick.storage import migrations
from bailiwick.storage.migrations import HEAD, REVISIONS, VERSION_TABLE

from .connection import BUSY_TIMEOUT, connect, connect_to_read
from .reasons import explained

__all__ = [
    "copy_to",
    "identity_of",
    "look_at_first_pages",
    "prepare",
    "prepare_to_read",
    "version_of",
    "write_something",
]

# Alembic works with module-level state, so one database at a time is brought up to date in a process.
_migrating = threading.Lock()


def prepare(path: Path) -> Path:
    """Look at a file without touching it; then make it, or bring it up to date, or see that it can be written."""
    path = path.absolute()
    with explained(path, opening=True):
        _check_place(path)
        if _known_version(path) == HEAD:
            _write_something(path)
        else:
            _migrate(path)
    return path


def prepare_to_read(path: Path) -> Path:
    """Look at a file without touching it, and see that this code can read it.

    Raises:
        StoreError: it cannot be opened (BW502), or is newer than this code (BW503).
    """
    path = path.absolute()
    with explained(path, opening=True):
        _known_version(path)
    return path


def _known_version(path: Path) -> str | None:
    version = version_of(path)
    if version is not None and version not in REVISIONS:
        raise StoreError(
            f"The database {path} was written by a newer version of Bailiwick (its version is {version[:40]!a}, "
            f"the newest known here is {HEAD}). Update Bailiwick, or choose another file.",
            id="BW503",
        )
    return version


def _check_place(path: Path) -> None:
    if path.is_dir():
        raise StoreError(f"The database {path} is a folder; name a file.", id="BW502")
    _check_folder(path)
    if not path.exists():
        return
    # The superuser can write a file that nobody may write, but whoever marked it so meant it.
    if not path.stat().st_mode & 0o222 or not os.access(path, os.W_OK):
        raise StoreError(f"The database {path} is read-only; make it writable, or choose another file.", id="BW502")


def _check_folder(path: Path) -> None:
    if not path.parent.is_dir():
        raise StoreError(f"The folder {path.parent} does not exist; make it, or choose another file.", id="BW502")


def version_of(path: Path) -> str | None:
    """The version of a file, read without writing a byte; None for a file that is new or empty."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    db = connect_to_read(path)
    try:
        known = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", (VERSION_TABLE,))
        if known.fetchone() is None:
            return None
        row = db.execute(f"SELECT version_num FROM {VERSION_TABLE}").fetchone()  # noqa: S608 - a constant
        return str(row[0]) if row else None
    finally:
        db.close()


def identity_of(path: Path) -> tuple[int, int] | None:
    """Which file that is on which disk; None where there is none. It is not opened, which would end SQLite's locks on it."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def look_at_first_pages(path: Path) -> None:
    """Read the first page of every table by a connection that has nothing at hand.

    Raises:
        sqlite3.Error: one is damaged, or the file is no database any more.
    """
    # Not `immutable`: the file is being written.
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=rw", uri=True, timeout=BUSY_TIMEOUT)) as db:
        tables = [row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        for table in tables:
            db.execute(f'SELECT 1 FROM "{table}" LIMIT 1').fetchone()  # noqa: S608 - by its own name


def write_something(db: Connection) -> None:
    """Write a page, and change nothing by it."""
    db.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = version_num")  # noqa: S608 - a constant


def copy_to(path: Path, copy: Path) -> None:
    """Copy a database while others use it: one moment of it, whole, in a file for this user's eyes only.

    Args:
        path: the database.
        copy: a file that does not exist.

    Raises:
        StoreError: one of the two cannot be read or made (BW502); no half copy is left behind.
    """
    with explained(copy, opening=True):
        _check_folder(copy)
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
    db = connect(path)
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
    engine = create_engine("sqlite://", creator=lambda: connect(path), poolclass=NullPool)
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
    config.set_main_option("script_location", str(Path(migrations.__file__).parent).replace("%", "%%"))
    with engine.connect() as db:
        db.exec_driver_sql("BEGIN IMMEDIATE")
        config.attributes["connection"] = db
        command.upgrade(config, "head")
        db.commit()
    with engine.connect() as db:
        # Kept in the file. After the tables are there, so that a file that could not be made stays empty.
        db.exec_driver_sql("PRAGMA journal_mode = WAL")
