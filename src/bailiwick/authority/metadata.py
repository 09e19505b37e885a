"""What the authority says about itself (RFC 8414): only what is really there."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from typing import Any, Final

from bailiwick.errors import StoreError
from bailiwick.scopes import Catalog

from .assertion import ASSERTION_ALGORITHMS
from .authorization_request import ResponseMode
from .pkce import METHOD
from .records import GrantType
from .settings import Settings
from .store import Store

__all__ = ["MetadataEndpoint", "metadata"]

# Seconds for which it is remembered which grants clients have: anybody may ask, and each look reads all clients.
LOOKED_FOR: Final = 60


class MetadataEndpoint:
    """`GET /.well-known/oauth-authorization-server`.

    Args:
        settings: the issuer, and what is switched on.
        catalog: the scopes that can be asked for.
        store: knows the clients.
        grants: the grant types that the token endpoint answers.
    """

    def __init__(self, settings: Settings, catalog: Catalog, store: Store, grants: Collection[GrantType]) -> None:
        self._settings = settings
        self._catalog = catalog
        self._store = store
        self._grants = grants
        self._takes_passwords = False
        self._looked_at = float("-inf")

    async def answer(self, *, now: float) -> dict[str, Any]:
        """The document; the password grant is in it only while some client may use it.

        RFC 9700 section 2.4 forbids that grant, so a server of which no client has it must not invite to it.

        Args:
            now: seconds since the epoch.
        """
        if not 0 <= now - self._looked_at < LOOKED_FOR:
            # Where the store cannot answer, what was known stands: whoever verifies tokens needs the rest of the document.
            with suppress(StoreError):
                self._takes_passwords = GrantType.PASSWORD in await self._store.grants_in_use()
            self._looked_at = now
        left_out = () if self._takes_passwords else (GrantType.PASSWORD,)
        return metadata(self._settings, self._catalog, [one for one in self._grants if one not in left_out])


def metadata(settings: Settings, catalog: Catalog, grants: Collection[GrantType]) -> dict[str, Any]:
    """The members of `/.well-known/oauth-authorization-server`.

    Args:
        settings: the issuer, and what is switched on.
        catalog: the scopes that can be asked for.
        grants: the grant types that clients can use.

    Source: RFC 8414 section 2. Members without elements are left out (section 3.2).
    """
    issuer = settings.issuer
    # Public clients show no secret; the others one by Basic or in the body, or sign, or show a certificate.
    methods = [
        "client_secret_basic",
        "client_secret_post",
        "private_key_jwt",
        *(["tls_client_auth"] if settings.client_certificates else []),
    ]
    algorithms = list(ASSERTION_ALGORITHMS)
    document: dict[str, Any] = {
        "issuer": issuer,
        "token_endpoint": f"{issuer}/token",
        "jwks_uri": f"{issuer}/jwks.json",
        "revocation_endpoint": f"{issuer}/revoke",
        "introspection_endpoint": f"{issuer}/introspect",
        "grant_types_supported": [grant.value for grant in grants],
        "token_endpoint_auth_methods_supported": [*methods, "none"],
        "token_endpoint_auth_signing_alg_values_supported": algorithms,
        "revocation_endpoint_auth_methods_supported": [*methods, "none"],
        "revocation_endpoint_auth_signing_alg_values_supported": algorithms,
        "introspection_endpoint_auth_methods_supported": methods,
        "introspection_endpoint_auth_signing_alg_values_supported": algorithms,
        "scopes_supported": list(catalog.scopes),
        # Where other processes follow what was revoked; members of our own.
        "revocation_feed_endpoint": f"{issuer}/revocations",
        "revocation_feed_endpoint_auth_methods_supported": [
            "client_secret_basic",
            *(["none"] if settings.public_revocations else []),
        ],
        # The response types of an authorization endpoint; a member that RFC 8414 requires even where none is.
        "response_types_supported": [],
    }
    if GrantType.AUTHORIZATION_CODE in grants:
        document |= {
            "authorization_endpoint": f"{issuer}/authorize",
            "response_types_supported": ["code"],
            "response_modes_supported": [mode.value for mode in ResponseMode],
            "code_challenge_methods_supported": [METHOD],
            # RFC 9207 section 3.
            "authorization_response_iss_parameter_supported": True,
            # RFC 9126 section 5.
            "pushed_authorization_request_endpoint": f"{issuer}/par",
            "require_pushed_authorization_requests": settings.require_pushed,
        }
    if GrantType.DEVICE_CODE in grants:
        document["device_authorization_endpoint"] = f"{issuer}/device_authorization"  # RFC 8628 section 4
    if settings.registration is not None:
        document["registration_endpoint"] = f"{issuer}/register"
    if settings.metadata_documents is not None:
        document["client_id_metadata_document_supported"] = True
    return {name: value for name, value in document.items() if value != [] or name == "response_types_supported"}
