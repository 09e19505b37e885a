"""An OpenAPI document that is true: each operation's security, written from the plan."""

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from bailiwick.graph import Access, RoutePlan
from bailiwick.scopes import ScopeSet

__all__ = ["Document", "Operations", "describe"]

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
            describe(schema, protection.operations_of(app), protection.guard)
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


def describe(schema: dict[str, Any], operations: Operations, guard: Any) -> None:
    """Rewrite the security of each operation: all-of as one object, any-of as alternatives."""
    guarded = False
    for (path, method), route in operations.items():
        operation = schema.get("paths", {}).get(path, {}).get(method)
        if operation is None or route.access in {Access.PUBLIC, Access.UNDECLARED}:
            continue
        guarded = True
        _describe_operation(operation, route, guard.scheme_name)
    if guarded:
        schemes = schema.setdefault("components", {}).setdefault("securitySchemes", {})
        schemes.setdefault(guard.scheme_name, guard.model.model_dump(by_alias=True, exclude_none=True, mode="json"))
        schemas = schema["components"].setdefault("schemas", {})
        schemas.setdefault("BailiwickError", _ERROR_SCHEMA)


def _describe_operation(operation: dict[str, Any], route: RoutePlan, scheme: str) -> None:
    # Other schemes on the route are needed as well: FastAPI lists them as alternatives, which is not
    # what it does at run time (fastapi#2835).
    foreign: dict[str, Any] = {}
    for entry in operation.get("security", ()):
        foreign |= {name: scopes for name, scopes in entry.items() if name != scheme}
    alternatives: Iterable[ScopeSet | tuple[()]] = (
        route.requirement.alternatives if route.requirement is not None else [()]
    )
    security: list[dict[str, Any]] = [{scheme: list(names), **foreign} for names in alternatives]
    if route.access is Access.OPTIONAL:
        security.append({})
    operation["security"] = security
    responses = operation.setdefault("responses", {})
    responses.setdefault("401", _response("No token, or one that is not acceptable."))
    if route.requirement is not None:
        responses.setdefault("403", _response(f"The token's scopes are too few; needed: {route.requirement}."))


def _response(description: str) -> dict[str, Any]:
    return {
        "description": description,
        "headers": {"WWW-Authenticate": {"schema": {"type": "string"}, "description": "RFC 6750 section 3"}},
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BailiwickError"}}},
    }


_ERROR_SCHEMA: Final = {
    "title": "BailiwickError",
    "type": "object",
    "required": ["detail", "id"],
    "properties": {
        "detail": {"type": "string", "description": "What is wrong, for the caller"},
        "error": {"type": "string", "description": "The error code of RFC 6750 section 3.1"},
        "scope": {"type": "string", "description": "The scopes that the operation needs"},
        "id": {"type": "string", "description": "The stable id of the cause"},
    },
}
