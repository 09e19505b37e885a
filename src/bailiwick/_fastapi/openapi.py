"""An OpenAPI document that is true: each operation's security, written from the plan."""

from collections.abc import Iterable
from typing import Any, Final

from bailiwick.graph import Access, Kind, Plan, RoutePlan
from bailiwick.scopes import ScopeSet

__all__ = ["describe"]


def describe(schema: dict[str, Any], plan: Plan, guard: Any) -> None:
    """Rewrite the security of each operation from the plan: all-of as one object, any-of as alternatives."""
    guarded = False
    for route in plan:
        if route.kind is not Kind.HTTP:
            continue
        operations = schema.get("paths", {}).get(route.path, {})
        for method in route.methods:
            operation = operations.get(method.lower())
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
