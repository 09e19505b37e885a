"""An OpenAPI document that is true: each operation's security, written from the plan that is enforced."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from types import MappingProxyType
from typing import Any, Final

from bailiwick.scopes import Requirement

from .plan import Access, RoutePlan

__all__ = ["Beside", "describe"]


@dataclass(frozen=True, slots=True)
class Beside:
    """What an operation needs of another guard, as well as what its plan says.

    Attributes:
        scheme_name: the name of that guard's security scheme.
        scheme: the security scheme.
        requirement: the scopes, or None where any valid token will do.
        optional: whether the caller may be anonymous.
    """

    scheme_name: str
    scheme: Mapping[str, Any]
    requirement: Requirement | None
    optional: bool


def describe(
    document: dict[str, Any],
    operations: Iterable[tuple[str, str, RoutePlan]],
    scheme_name: str,
    scheme: Mapping[str, Any],
    beside: Mapping[tuple[str, str], Sequence[Beside]] = MappingProxyType({}),
) -> None:
    """Write each operation's security from the plan: all-of as one object, any-of as alternatives.

    Args:
        document: as the framework generated it; changed in place.
        operations: the path as the document writes it, the method in lower case, and the entry of the plan.
        scheme_name: the name of the security scheme.
        scheme: the security scheme.
        beside: what operations need of other guards, by path and method.

    Source: OpenAPI 3.1 section 4.8.30.
    """
    schemes: dict[str, Mapping[str, Any]] = {}
    for path, method, route in operations:
        operation = document.get("paths", {}).get(path, {}).get(method)
        if operation is None or route.access is Access.UNDECLARED:
            continue
        needed = list(beside.get((path, method), ()))
        if route.access is not Access.PUBLIC:
            needed.insert(0, Beside(scheme_name, scheme, route.requirement, route.access is Access.OPTIONAL))
        if needed:
            _describe_operation(operation, needed, scheme_name)
            schemes |= {one.scheme_name: one.scheme for one in needed}
    if schemes:
        components = document.setdefault("components", {})
        # What a guard is made with is true, whatever the framework wrote under that name.
        components.setdefault("securitySchemes", {}).update({name: dict(one) for name, one in schemes.items()})
        components.setdefault("schemas", {}).setdefault("BailiwickError", _ERROR_SCHEMA)


def _describe_operation(operation: dict[str, Any], needed: list[Beside], own: str) -> None:
    # Other schemes on the operation are needed as well. FastAPI lists them as alternatives, which is not
    # what it does at run time (fastapi#2835).
    ours = {own, *(one.scheme_name for one in needed)}
    foreign: dict[str, Any] = {}
    for entry in operation.get("security", ()):
        foreign |= {name: scopes for name, scopes in entry.items() if name not in ours}
    security: list[dict[str, Any]] = []
    for choice in product(*(_alternatives(one) for one in needed)):
        together = {name: scopes for entry in choice for name, scopes in entry.items()} | foreign
        if together not in security:
            security.append(together)
    operation["security"] = security
    responses = operation.setdefault("responses", {})
    responses.setdefault("401", _response("No token, or one that is not acceptable."))
    scopes = [
        str(one.requirement) if one.scheme_name == own else f"of {one.scheme_name}: {one.requirement}"
        for one in needed
        if one.requirement is not None
    ]
    if scopes:
        responses.setdefault("403", _response(f"The token's scopes are too few; needed: {'; '.join(scopes)}."))


def _alternatives(needed: Beside) -> list[dict[str, list[str]]]:
    name, requirement = needed.scheme_name, needed.requirement
    found = [{name: list(one)} for one in requirement.alternatives] if requirement is not None else [{name: []}]
    return [*found, {}] if needed.optional else found


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
