"""How a file is connected to, and what SQLite is told first."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final, cast

from sqlalchemy import Connection

__all__ = ["BUSY_TIMEOUT", "connect", "raw_of"]

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


def raw_of(db: Connection) -> sqlite3.Connection:
    """The driver's own connection, where words to SQLite are said that SQLAlchemy need not know of."""
    return cast("sqlite3.Connection", db.connection.driver_connection)
