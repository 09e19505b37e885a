"""Makes the security scheme of an OpenAPI document, of which FasterAPI writes none."""

from typing import Any

from bailiwick.scopes import Catalog

__all__ = ["scheme_of"]


def scheme_of(
    catalog: Catalog,
    *,
    token_url: str | None,
    authorization_url: str | None,
    password_flow: bool,
    client_credentials_flow: bool,
    description: str | None,
) -> dict[str, Any]:
    """Make the security scheme, with the authority's flows and every catalogued scope.

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
