"""Introspection (RFC 7662): what a token is worth at this moment, for those who may ask.

A signature says what was true when the token was made. Here the store is asked as well, and
whatever is in doubt is answered `{"active": false}` without a reason.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .clients import ClientAuthenticator
from .records import EVERY_RESOURCE, Client, Event
from .refusals import Refusals
from .request import IntrospectionRequest
from .settings import Settings
from .store import Store
from .worth import Worth

__all__ = ["IntrospectionEndpoint"]

INACTIVE: Final = {"active": False}
# Claims of an access token that are told as they are; `act` says who acts for the subject (RFC 8693 section 4.1).
SHOWN: Final = ("iss", "aud", "iat", "exp", "jti", "authz", "auth_time", "act")


class IntrospectionEndpoint:
    """`POST /introspect`.

    Args:
        settings: knows the issuer.
        store: what is true at this moment.
        clients: finds out who asks.
        worth: tells what access tokens are worth.
        refusals: counts questions about what is nobody's business.
    """

    def __init__(
        self, settings: Settings, store: Store, clients: ClientAuthenticator, worth: Worth, refusals: Refusals
    ) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._worth = worth
        self._refusals = refusals

    async def answer(self, request: IntrospectionRequest, *, now: float) -> dict[str, Any]:
        """Tell about a token.

        Args:
            request: the form, read.
            now: seconds since the epoch.

        Returns:
            The members of the JSON answer; `scope` is what is left of the token's scopes now.

        Raises:
            Refused: the client is unknown or public (401), or may not introspect (403).
            StoreError: the store cannot answer.
        """
        client = await self._clients.authenticate(request.presented, now=now)
        if client.public:
            # Section 2.1: without authentication anybody could try tokens out.
            raise Refused("invalid_client", "Only a client with a secret may introspect.", status=401, id="BW401")
        if not client.introspects:
            raise Refused("unauthorized_client", "The client may not introspect.", status=403, id="BW411")
        if opaque.is_well_formed(request.token):
            return await self._refresh_token(request, client, now)
        return await self._access_token(request, client, now)

    async def _refresh_token(self, request: IntrospectionRequest, asking: Client, now: float) -> dict[str, Any]:
        found = await self._store.refresh_token(opaque.digest(request.token))
        if found is None:
            return INACTIVE
        row, family = found
        dead = (
            family.revoked_at is not None or row.spent_at is not None or min(row.expires_at, family.expires_at) <= now
        )
        if dead:
            return INACTIVE
        if not _may_ask(asking, [family.resource]):
            return self._foreign(asking, family.subject, family.id, request, now)
        scopes = await self._worth.left(
            family.scopes, family.client, family.subject, family.authorization, family.resource
        )
        if not scopes:
            return INACTIVE
        return {
            "active": True,
            "scope": str(scopes),
            "client_id": family.client,
            "sub": family.subject,
            "iss": self._settings.issuer,
            "iat": int(row.issued_at),
            "exp": int(min(row.expires_at, family.expires_at)),
            "token_type": "refresh_token",
        }

    async def _access_token(self, request: IntrospectionRequest, asking: Client, now: float) -> dict[str, Any]:
        living = await self._worth.of(request.token, now)
        if living is None:
            return INACTIVE
        # CVE-2026-37979: a resource server learns nothing about tokens that are meant for another one.
        if not _may_ask(asking, living.principal.audience):
            return self._foreign(asking, living.principal.subject, living.principal.token_id or "", request, now)
        claims = living.principal.claims
        answer = {
            "active": True,
            "scope": str(living.scopes),
            "client_id": living.client,
            "sub": living.principal.subject,
            "token_type": "Bearer",
        }
        answer.update({name: _plain(claims[name]) for name in SHOWN if name in claims})
        return answer

    def _foreign(
        self, asking: Client, subject: str, about: str, request: IntrospectionRequest, now: float
    ) -> dict[str, Any]:
        """Say what is said of a dead token, and count that somebody asked about one that is not meant for them."""
        line = Event(now, "introspect.foreign", asking.id, subject, asking.id, about, origin=request.presented.origin)
        self._refusals.note(line)
        return INACTIVE


def _plain(claim: Any) -> Any:
    """A claim as JSON has it; the verifier froze it all the way down."""
    if isinstance(claim, Mapping):
        return {name: _plain(inner) for name, inner in claim.items()}
    return list(claim) if isinstance(claim, tuple) else claim


def _may_ask(asking: Client, audiences: Sequence[str]) -> bool:
    return EVERY_RESOURCE in asking.introspects or any(name in asking.introspects for name in audiences)
