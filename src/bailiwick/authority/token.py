"""The token endpoint: every step that a request goes through, in order."""

from __future__ import annotations

from collections.abc import Iterable

from bailiwick.errors import Refused

from .clients import ClientAuthenticator
from .grants import Grant
from .issue import Issuer, TokenSet
from .records import Client, GrantType
from .request import TokenRequest

__all__ = ["TokenEndpoint"]


class TokenEndpoint:
    """`POST /token` (RFC 6749 section 3.2).

    Args:
        clients: finds out who asks.
        grants: each proves one right.
        issuer: decides the scopes and makes the tokens.
    """

    def __init__(self, clients: ClientAuthenticator, grants: Iterable[Grant], issuer: Issuer) -> None:
        self._clients = clients
        self._grants = {grant.type: grant for grant in grants}
        self._issuer = issuer

    @property
    def grant_types(self) -> tuple[GrantType, ...]:
        """The grant types that this endpoint answers."""
        return tuple(self._grants)

    async def answer(self, request: TokenRequest, *, now: float) -> TokenSet:
        """Answer a token request.

        Args:
            request: the form, read.
            now: seconds since the epoch.

        Raises:
            Refused: with an error code of RFC 6749 section 5.2.
            Unavailable: too many password checks are waiting.
            StoreError: the store cannot answer.
        """
        # First of all: what is revoked from here on is later than the token, and means it.
        seen = await self._issuer.begin()
        client = await self._clients.authenticate(request.presented, now=now)
        grant = self._grant_for(request, client)
        permit = await grant.prove(request, client, now)
        return await self._issuer.issue(client, permit, request.scope, origin=request.origin, now=now, seen=seen)

    def _grant_for(self, request: TokenRequest, client: Client) -> Grant:
        grant = self._grants.get(request.grant)
        if grant is None:
            raise Refused("unsupported_grant_type", "The grant type is not supported.", id="BW404")
        if request.grant not in client.grants:
            raise Refused("unauthorized_client", "The client may not use this grant.", id="BW403")
        return grant
