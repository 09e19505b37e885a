"""Introspection (RFC 7662): what a token is worth at this moment, for those who may ask.

A signature says what was true when the token was made. Here the store is asked as well, and
whatever is in doubt is answered `{"active": false}` without a reason.
"""

from __future__ import annotations

from typing import Any, Final

from bailiwick.errors import InvalidToken, Refused
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.tokens import Verifier, opaque

from .clients import ClientAuthenticator
from .records import EVERY_RESOURCE, Authorization, Client, Revocation, Revoked, Standing
from .request import IntrospectionRequest
from .settings import Settings
from .store import Store

__all__ = ["IntrospectionEndpoint"]

INACTIVE: Final = {"active": False}


class IntrospectionEndpoint:
    """`POST /introspect`.

    Args:
        catalog: compares scopes.
        settings: knows the resources.
        store: what is true at this moment.
        clients: finds out who asks.
        verifier: reads our own access tokens.
    """

    def __init__(
        self, catalog: Catalog, settings: Settings, store: Store, clients: ClientAuthenticator, verifier: Verifier
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._clients = clients
        self._verifier = verifier

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
            return await self._refresh_token(request.token, client, now)
        return await self._access_token(request.token, client, now)

    async def _refresh_token(self, token: str, asking: Client, now: float) -> dict[str, Any]:
        found = await self._store.refresh_token(opaque.digest(token))
        if found is None:
            return INACTIVE
        row, family = found
        dead = (
            family.revoked_at is not None or row.spent_at is not None or min(row.expires_at, family.expires_at) <= now
        )
        if dead or not _may_ask(asking, [family.resource]):
            return INACTIVE
        scopes = await self._left(family.scopes, family.client, family.subject, family.authorization, family.resource)
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

    async def _access_token(self, token: str, asking: Client, now: float) -> dict[str, Any]:
        try:
            read = await self._verifier.verify(token)
        except InvalidToken:
            return INACTIVE
        claims = read.claims
        audience = claims.get("aud")
        # CVE-2026-37979: a resource server learns nothing about tokens that are meant for another one.
        audiences = [audience] if isinstance(audience, str) else list(audience or ())
        resource = next((name for name in audiences if self._settings.resource(name) is not None), None)
        client, jti, issued = read.client_id, read.token_id, claims.get("iat")
        if resource is None or not _may_ask(asking, audiences) or client is None or jti is None or issued is None:
            return INACTIVE
        authorization = claims.get("authz")
        if claims["exp"] <= now or await self._is_revoked(jti, read.subject, client, authorization, issued, now):
            return INACTIVE
        scopes = await self._left(read.scopes, client, read.subject, authorization, resource)
        if not scopes:
            return INACTIVE
        answer = {
            "active": True,
            "scope": str(scopes),
            "client_id": client,
            "sub": read.subject,
            "token_type": "Bearer",
        }
        answer.update(
            {name: claims[name] for name in ("iss", "aud", "iat", "exp", "jti", "authz", "auth_time") if name in claims}
        )
        return answer

    async def _is_revoked(
        self, jti: str, subject: str, client: str, authorization: str | None, issued: float, now: float
    ) -> bool:
        family, dot, _ = jti.rpartition(".")
        keys = [jti, subject, client, *([family] if dot else []), *([authorization] if authorization else [])]
        lines: list[Revocation] = [
            line for line in await self._store.revoked(keys, now) if line.kind is not Revoked.SCOPE
        ]
        return any(issued <= line.at for line in lines)

    async def _left(
        self, scopes: ScopeSet, client: str, subject: str, authorization: str | None, resource: str
    ) -> ScopeSet:
        """The scopes that the formula would still let pass: none if anybody behind the token is gone or disabled."""
        owner = await self._store.client(client)
        api = self._settings.resource(resource)
        if owner is None or owner.disabled_at is not None or api is None:
            return ScopeSet()
        bounds = [owner.ceiling, *([api.scopes] if api.scopes is not None else [])]
        if subject != client:
            standing: Standing | None = await self._store.standing(subject)
            consent: Authorization | None = await self._store.authorization(authorization) if authorization else None
            if standing is None or standing.account.disabled_at is not None or consent is None:
                return ScopeSet()
            bounds += [standing.scopes, consent.live]
        held = [self._catalog.hold(bound) for bound in bounds]
        return ScopeSet([name for name in scopes if all(self._catalog.covers(bound, name) for bound in held)])


def _may_ask(asking: Client, audiences: list[str]) -> bool:
    return EVERY_RESOURCE in asking.introspects or any(name in asking.introspects for name in audiences)
