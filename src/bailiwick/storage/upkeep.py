"""What an operator does with a store as a whole: look at it without touching it, and copy it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from bailiwick.errors import StoreError

from .migrations import HEAD, REVISIONS
from .opening import file_of

__all__ = ["Condition", "StoreStatus", "back_up", "look"]


class Condition(Enum):
    """How a store's version relates to this code."""

    MISSING = "missing"  # there is no file, or an empty one
    BEHIND = "behind"  # `db upgrade` brings it up to date
    CURRENT = "current"
    NEWER = "newer"  # this code must not touch it


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """A store as it was found.

    Args:
        path: the file.
        condition: how its version relates to this code.
        version: as it stands in the file, None where there is none.
        newest: the version that this code writes.
        octets: the size of the file with its write-ahead log.
        readable: its files whose mode lets other users of the machine read or write them.
    """

    path: Path
    condition: Condition
    version: str | None
    newest: str
    octets: int
    readable: tuple[Path, ...] = ()

    @property
    def others_may_read(self) -> bool:
        """Whether other users of the machine may read or write one of its files."""
        return bool(self.readable)

    @property
    def chmod(self) -> str:
        """The line for a shell that takes that from them."""
        return shlex.join(["chmod", "600", *map(str, self.readable)])


def look(where: str | Path) -> StoreStatus:
    """Find out what a store is, without writing a byte.

    Args:
        where: a file name or `sqlite:///name`.

    Raises:
        ConfigurationError: another kind of store.
        StoreError: it cannot be read, or is no database (BW502).
    """
    from .sqlite import explained, version_of

    path = file_of(where).absolute()
    with explained(path, opening=True):
        if path.is_dir():
            raise StoreError(f"The database {path} is a folder; name a file.", id="BW502")
        version = version_of(path)
        files = [file for file in (path, path.with_name(f"{path.name}-wal")) if file.exists()]
        octets = sum(file.stat().st_size for file in files)
        readable = tuple(file for file in files if file.stat().st_mode & 0o066)
    return StoreStatus(path, _condition(version, octets), version, HEAD, octets, readable)


def _condition(version: str | None, octets: int) -> Condition:
    if version is None:
        # Tables of somebody else: `upgrade` would put ours beside them, as an application with one file may want.
        return Condition.BEHIND if octets else Condition.MISSING
    if version == HEAD:
        return Condition.CURRENT
    return Condition.BEHIND if version in REVISIONS else Condition.NEWER


def back_up(where: str | Path, copy: Path) -> Path:
    """Copy a store while it is in use: one moment of it, whole.

    Args:
        where: a file name or `sqlite:///name`.
        copy: the file to make.

    Returns:
        The copy, as an absolute path.

    Raises:
        ConfigurationError: another kind of store.
        StoreError: there is no store, or the copy exists or cannot be made (BW502).
    """
    from .sqlite import copy_to

    path, copy = file_of(where).absolute(), copy.absolute()
    if not path.is_file():
        raise StoreError(f"There is no database {path}.", id="BW502")
    if copy.exists():
        raise StoreError(f"The file {copy} exists already; a backup replaces nothing. Choose another name.", id="BW502")
    copy_to(path, copy)
    return copy
