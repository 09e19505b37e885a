"""How records are written as rows and read from them: a column for each field, of the same name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Column, ColumnElement, Connection, Select, Table, and_

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

__all__ = ["columns", "concerning", "load_all", "load_one", "values"]

_T = TypeVar("_T")


def columns(table: Table, record: type[DataclassInstance]) -> list[Column[Any]]:
    """A table's columns in the order of a record's fields, so that a row of them makes one: `Family(*row)`."""
    return [table.c[name] for name in _names(record)]


def values(record: DataclassInstance) -> dict[str, Any]:
    """A record as a row, for a table that has a column for each of its fields."""
    return {name: getattr(record, name) for name in _names(type(record))}


@cache
def _names(record: type[DataclassInstance]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(record))


def load_one(
    db: Connection, statement: Select[Any], make: Callable[..., _T], given: Mapping[str, Any] | None = None
) -> _T | None:
    """The record of the one row that is meant, if it is there."""
    row = db.execute(statement, given).first()
    return None if row is None else make(*row)


def load_all(
    db: Connection, statement: Select[Any], make: Callable[..., _T], given: Mapping[str, Any] | None = None
) -> list[_T]:
    """The records of all rows that are meant."""
    return [make(*row) for row in db.execute(statement, given)]


def concerning(table: Table, subject: str | None, client: str | None) -> ColumnElement[bool]:
    """Rows of a person, of a client, of both, or all."""
    wanted = [table.c.number > 0] if "number" in table.c else [table.c.id != ""]
    if subject is not None:
        wanted.append(table.c.subject == subject)
    if client is not None:
        wanted.append(table.c.client == client)
    return and_(*wanted)
