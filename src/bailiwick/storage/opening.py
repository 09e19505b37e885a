"""Which store a name or a URL means."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

from bailiwick.authority.store import Store
from bailiwick.errors import ConfigurationError

from .memory import MemoryStore

__all__ = ["file_of", "open_store"]

MEMORY = ":memory:"


async def open_store(where: str | Path, *, read_only: bool = False) -> Store:
    """Open a store, making it or bringing it up to date where needed.

    Args:
        where: a file name or `sqlite:///name` (relative) or `sqlite:////name` (absolute) for a SQLite file,
            ":memory:" for one that forgets.
        read_only: the store is at its newest version, and not a byte of it may change; whatever would write raises.

    Raises:
        ConfigurationError: another kind of URL.
        StoreError: it cannot be opened (BW502), or was written by a newer version (BW503).
    """
    if where == MEMORY:
        return MemoryStore()
    # Imported here, so that a store in memory needs no database library.
    from .sqlite import SQLiteStore

    path = file_of(where)
    return await (SQLiteStore.open_to_read(path) if read_only else SQLiteStore.open(path))


def file_of(where: str | Path) -> Path:
    """The SQLite file that a name or a URL means.

    Args:
        where: as for `open_store`, but ":memory:".

    Raises:
        ConfigurationError: another kind of URL, or no file at all.
    """
    if isinstance(where, Path):
        return where
    scheme, separator, rest = where.partition("://")
    if separator:
        if scheme != "sqlite" or not rest.startswith("/") or rest == "/":
            raise ConfigurationError(
                f"The store {scheme}:// is not known; give a file name, sqlite:///file or :memory:.", id="BW100"
            )
        where = unquote(rest[1:])
    if where in ("", MEMORY):
        raise ConfigurationError("A store in memory ends with its process; name a file.", id="BW100")
    return Path(where)
