"""An OpenAPI document that is true: each operation's security, written from the plan that is enforced."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from .plan import Access, RoutePlan

__all__ = ["describe"]


def describe(
    document: dict[str, Any],
    operations: Iterable[tuple[str, str, RoutePlan]],
    scheme_name: str,
    scheme: Mapping[str, Any],
) -> None:
    """Write each operation's security from the plan: all-of as one object, any-of as alternatives.

    Args:
        document: as the framework generated it; changed in place.
        operations: the path as the document writes it, the method in lower case, and the entry of the plan.
        scheme_name: the name of the security scheme.
        scheme: the security scheme.

    Source: OpenAPI 3.1 section 4.8.30.
    """
    guarded = False
    for path, method, route in operations:
        operation = document.get("paths", {}).get(path, {}).get(method)
        if operation is None or route.access in {Access.PUBLIC, Access.UNDECLARED}:
            continue
        guarded = True
        _describe_operation(operation, route, scheme_name)
    if guarded:
        components = document.setdefault("components", {})
        components.setdefault("securitySchemes", {}).setdefault(scheme_name, dict(scheme))
        components.setdefault("schemas", {}).setdefault("BailiwickError", _ERROR_SCHEMA)


def _describe_operation(operation: dict[str, Any], route: RoutePlan, scheme: str) -> None:
    # Other schemes on the operation are needed as well. FastAPI lists them as alternatives, which is not
    # what it does at run time (fastapi#2835).
    foreign: dict[str, Any] = {}
    for entry in operation.get("security", ()):
        foreign |= {name: scopes for name, scopes in entry.items() if name != scheme}
    alternatives: list[Any] = list(route.requirement.alternatives) if route.requirement is not None else [()]
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
