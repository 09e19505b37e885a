"""An OpenAPI document that is true: FasterAPI writes none of the security, the plan knows all of it."""

from typing import Any, Final

from bailiwick.graph import Access, Kind, Plan, RoutePlan
from bailiwick.scopes import Catalog

__all__ = ["describe", "scheme_of"]


def scheme_of(
    catalog: Catalog,
    *,
    token_url: str | None,
    authorization_url: str | None,
    password_flow: bool,
    client_credentials_flow: bool,
    description: str | None,
) -> dict[str, Any]:
    """The security scheme, with the authority's flows and every catalogued scope.

    Source: OpenAPI 3.0.3 section 4.7.28.
    """
    scopes = {name: scope.description for name, scope in catalog.scopes.items()}
    token = {"tokenUrl": token_url or "token", "scopes": scopes}
    refresh = {"refreshUrl": token_url} if token_url is not None else {}
    flows: dict[str, Any] = {}
    if authorization_url is not None:
        flows["authorizationCode"] = {"authorizationUrl": authorization_url, **token, **refresh}
    if password_flow:
        flows["password"] = token | refresh
    if client_credentials_flow:
        flows["clientCredentials"] = dict(token)
    scheme: dict[str, Any] = {"type": "oauth2", "flows": flows}
    if description is not None:
        scheme["description"] = description
    return scheme


def describe(document: dict[str, Any], plan: Plan, scheme_name: str, scheme: dict[str, Any]) -> None:
    """Write each operation's security from the plan: all-of as one object, any-of as alternatives.

    Args:
        document: as FasterAPI generated it; changed in place.
        plan: of the application.
        scheme_name: the name of the security scheme.
        scheme: the security scheme.
    """
    guarded = False
    for route in plan:
        if route.kind is not Kind.HTTP or route.access in {Access.PUBLIC, Access.UNDECLARED}:
            continue
        operations = document.get("paths", {}).get(route.path, {})
        for method in route.methods:
            operation = operations.get(method.lower())
            if operation is not None:
                guarded = True
                _describe_operation(operation, route, scheme_name)
    if guarded:
        components = document.setdefault("components", {})
        components.setdefault("securitySchemes", {}).setdefault(scheme_name, scheme)
        components.setdefault("schemas", {}).setdefault("BailiwickError", _ERROR_SCHEMA)


def _describe_operation(operation: dict[str, Any], route: RoutePlan, scheme: str) -> None:
    # What the developer wrote into openapi_extra for other schemes is needed as well.
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
