"""What the driver's errors mean for whoever runs the service: what is wrong, and what to do."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy.exc import DBAPIError

from bailiwick.errors import StoreError

from .connection import BUSY_TIMEOUT

__all__ = ["LostError", "explain", "explained", "gone"]

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


class LostError(Exception):
    """SQLite gave a whole transaction up, and not only the statement that failed."""


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
        raise explain(path, bad, opening=opening) from bad


def explain(path: Path | None, bad: BaseException, *, opening: bool = False) -> StoreError:
    """What an error of the driver means for whoever runs the service.

    Args:
        path: the file.
        bad: the driver's error, or what it caused.
        opening: nobody is being served yet, so the description may name the file.
    """
    cause = bad.__cause__ if isinstance(bad, LostError) and bad.__cause__ is not None else bad
    orig = cause.orig if isinstance(cause, DBAPIError) else cause
    name = getattr(orig, "sqlite_errorname", "") or ""
    why = next((text for start, text in _REASONS if name.startswith(start)), None)
    if why is None and isinstance(orig, OSError):
        why = f"cannot be used: {orig.strerror or type(orig).__name__}"
    # Statements and their values are not repeated: they hold digests.
    full = f"The database {path or ''} {why or 'failed'}".replace("  ", " ")
    detail = f"{full} ({name or type(orig).__name__}: {orig})."
    return StoreError(f"{full}." if opening else "The store cannot answer.", detail=detail, id="BW502")


def gone(path: Path) -> StoreError:
    """What whoever asks a closed store is told."""
    return StoreError("The store is closed.", detail=f"The database {path} was closed.", id="BW502")
