"""What the authority says about itself (RFC 8414): only what is really there."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from bailiwick.scopes import Catalog

from .records import GrantType
from .settings import Settings

__all__ = ["metadata"]


def metadata(settings: Settings, catalog: Catalog, grants: Collection[GrantType]) -> dict[str, Any]:
    """The members of `/.well-known/oauth-authorization-server`.

    Args:
        settings: the issuer.
        catalog: the scopes that can be asked for.
        grants: the grant types that the token endpoint answers.

    Source: RFC 8414 section 2. Members without elements are left out (section 3.2).
    """
    issuer = settings.issuer
    # Public clients show no secret; the others one by Basic or in the body.
    methods = ["client_secret_basic", "client_secret_post", "none"]
    document: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks.json",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "grant_types_supported": [grant.value for grant in grants],
        "token_endpoint_auth_methods_supported": methods,
        "revocation_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_methods_supported": methods[:2],
        "scopes_supported": list(catalog.scopes),
        # The response types of an authorization endpoint; a member that RFC 8414 requires even where none is.
        "response_types_supported": [],
    }
    return {name: value for name, value in document.items() if value or name == "response_types_supported"}
