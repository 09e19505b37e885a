"""An OpenAPI document that is true: each operation's security, written from the plan."""

import weakref
from collections.abc import Callable, Mapping
from typing import Any

from bailiwick.graph import RoutePlan
from bailiwick.graph.openapi import describe

__all__ = ["Document", "Operations"]

# What an application's operations need, by their path as OpenAPI writes it and their method in lower case.
Operations = Mapping[tuple[str, str], RoutePlan]


class Document:
    """Stands in for an application's `openapi`, and makes its document true.

    Args:
        app: the application.
        write: what writes the document: FastAPI's `openapi`, or the application's own.
        protection: knows what the operations need; it is not kept alive, for an application may be mounted in several.
    """

    def __init__(self, app: Any, write: Callable[[], dict[str, Any]], protection: Any) -> None:
        self._app = weakref.ref(app)
        self._write = write
        self._protection = weakref.ref(protection)
        self._described: tuple[Any, Any] | None = None

    def __call__(self) -> dict[str, Any]:
        """The document, with the security of each operation written from the plan."""
        protection, app = self._protection(), self._app()
        plan = protection.compile() if protection is not None else None
        schema = self._write()
        # FastAPI keeps its document until routes change.
        if protection is None or app is None:
            return schema
        if self._described is None or self._described[0] is not schema or self._described[1] is not plan:
            guard = protection.guard
            operations = ((path, method, route) for (path, method), route in protection.operations_of(app).items())
            scheme = guard.model.model_dump(by_alias=True, exclude_none=True, mode="json")
            describe(schema, operations, guard.scheme_name, scheme)
            self._described = (schema, plan)
        return schema

    def belongs_to(self, protection: Any) -> bool:
        """Whether it is written from this protection's plan."""
        return self._protection() is protection

    @property
    def plain(self) -> Callable[[], dict[str, Any]]:
        """What writes the document, without documents of applications that are gone."""
        write = self._write
        return write.plain if isinstance(write, Document) and write._protection() is None else write  # noqa: SLF001
