"""How a file is connected to, and what SQLite is told first."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, cast
from urllib.parse import quote

from sqlalchemy import Connection

__all__ = ["BUSY_TIMEOUT", "connect", "connect_to_read", "raw_of"]

# Seconds that a transaction waits for another process's; SQLite retries inside.
BUSY_TIMEOUT: Final = 30.0


def connect(path: Path) -> sqlite3.Connection:
    """Connect to the file."""
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


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Connect to the file so that not a byte of it changes, nor of what lies beside it.

    Even a reader makes SQLite's shared-memory file, and folds a write-ahead log that a crash left into the database when it
    closes; one that may only read does not. An immutable file needs neither, but its log would be passed over.
    """
    has_log = path.with_name(f"{path.name}-wal").exists()
    address = f"file:{quote(str(path))}?mode=ro{'' if has_log else '&immutable=1'}"
    return sqlite3.connect(address, uri=True, timeout=BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)


def raw_of(db: Connection) -> sqlite3.Connection:
    """The driver's own connection, where words to SQLite are said that SQLAlchemy need not know of."""
    return cast("sqlite3.Connection", db.connection.driver_connection)
