"""How rows are chosen and read, whatever they tell of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Connection, Row, Table, and_, select

from bailiwick.scopes import ScopeSet

__all__ = ["concerning", "load_one", "optional", "parsed"]


_T = TypeVar("_T")


def load_one(db: Connection, table: Table, which: ColumnElement[bool], make: Callable[[Row[Any]], _T]) -> _T | None:
    """The record of the one row that is meant, if it is there."""
    row = db.execute(select(table).where(which)).first()
    return None if row is None else make(row)


def concerning(table: Table, subject: str | None, client: str | None) -> ColumnElement[bool]:
    """Rows of a person, of a client, of both, or all."""
    wanted = [table.c.number > 0] if "number" in table.c else [table.c.id != ""]
    if subject is not None:
        wanted.append(table.c.subject == subject)
    if client is not None:
        wanted.append(table.c.client == client)
    return and_(*wanted)


def optional(scopes: ScopeSet | None) -> str | None:
    """Scopes as they are kept, where there may be none."""
    return None if scopes is None else str(scopes)


def parsed(text: str | None) -> ScopeSet | None:
    """Scopes as they were kept, where there may be none."""
    return None if text is None else ScopeSet.parse(text)
