"""What differs between the databases; everything else is said in words that both know."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

__all__ = ["alone", "insert_new", "upsert"]


def upsert(db: Connection | str, table: Table) -> Any:
    """An INSERT that can be told what to do where the key is taken; standard SQL has no word for it."""
    name = db if isinstance(db, str) else db.dialect.name
    return (postgresql if name == "postgresql" else sqlite).insert(table)


def insert_new(db: Connection, table: Table) -> Any:
    """An INSERT that does nothing where the key is taken; `rowcount` tells."""
    return upsert(db, table).on_conflict_do_nothing()


def alone(db: Connection, name: str, *, shared: bool = False) -> None:
    """Let one transaction at a time past, or many that share; where a decision rests on many rows. SQLite always does.

    The lock is held until the transaction ends.
    """
    if db.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        db.execute(select(lock(func.hashtext(f"bailiwick {name}"))))
