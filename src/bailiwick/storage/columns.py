"""How a value of a record is kept in a column, and read from it: scopes, words of an enumeration, lists."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any

from sqlalchemy import Dialect, Text
from sqlalchemy.types import TypeDecorator

from bailiwick.scopes import ScopeSet

__all__ = ["Listed", "Scopes", "Word"]


class Scopes(TypeDecorator[ScopeSet]):
    """A set of scopes, as the space-separated text of RFC 6749 section 3.3."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: ScopeSet | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the column."""
        return None if value is None else str(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> ScopeSet | None:  # noqa: ARG002
        """From the column."""
        return None if value is None else ScopeSet.parse(value)


class Word(TypeDecorator[Enum]):
    """One word of an enumeration.

    Args:
        words: the enumeration.
    """

    impl = Text
    cache_ok = True

    def __init__(self, words: type[Enum]) -> None:
        super().__init__()
        self.words = words

    def process_bind_param(self, value: Enum | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the column."""
        return None if value is None else str(value.value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Enum | None:  # noqa: ARG002
        """From the column."""
        return None if value is None else self.words(value)


class Listed(TypeDecorator[Iterable[Any]]):
    """A JSON list; what has no order of its own is sorted, so that the same set is the same text.

    Args:
        made: makes the whole of its items, such as `tuple` or `frozenset`.
        of: makes an item of what JSON has.
    """

    impl = Text
    cache_ok = True

    def __init__(self, made: Callable[[Iterable[Any]], Iterable[Any]], of: Callable[[Any], Any] = str) -> None:
        super().__init__()
        self.made = made
        self.of = of

    def process_bind_param(self, value: Iterable[Any] | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """To the column."""
        if value is None:
            return None
        items = [item.value if isinstance(item, Enum) else item for item in value]
        return json.dumps(sorted(items) if isinstance(value, frozenset) else items)

    def process_result_value(self, value: str | None, dialect: Dialect) -> Iterable[Any] | None:  # noqa: ARG002
        """From the column."""
        return None if value is None else self.made(self.of(item) for item in json.loads(value))
