"""Revocation (RFC 7009): a client gives back what it holds."""

from __future__ import annotations

from typing import Final

from bailiwick.errors import InvalidToken, Refused
from bailiwick.tokens import Verifier, opaque

from .clients import ClientAuthenticator
from .records import Client, Event, Revocation, Revoked
from .request import RevocationRequest
from .settings import Settings
from .store import Store

__all__ = ["RevocationEndpoint"]

_REASON: Final = "revoked by its client"


class RevocationEndpoint:
    """`POST /revoke`.

    Args:
        settings: lifetimes.
        store: what is remembered.
        clients: finds out who asks.
        verifier: reads our own access tokens.
    """

    def __init__(self, settings: Settings, store: Store, clients: ClientAuthenticator, verifier: Verifier) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._verifier = verifier

    async def answer(self, request: RevocationRequest, *, now: float) -> None:
        """Revoke a token; an unknown or dead one is a success too (section 2.2).

        A refresh token takes its family with it, access tokens included; an access token goes alone.
        A public client may revoke its own (CVE-2016-6582 was a server where it could not). Trouble
        with the store is an error and never a success (CVE-2020-15223).

        Args:
            request: the form, read.
            now: seconds since the epoch.

        Raises:
            Refused: the client is unknown, or the token is another client's.
            StoreError: the store cannot answer, so nothing is known to be revoked.
        """
        client = await self._clients.authenticate(request.presented, now=now)
        if opaque.is_well_formed(request.token):
            await self._revoke_refresh_token(request, client, now)
        elif request.token.count(".") == 2:
            await self._revoke_access_token(request, client, now)

    async def _revoke_refresh_token(self, request: RevocationRequest, client: Client, now: float) -> None:
        found = await self._store.refresh_token(opaque.digest(request.token))
        if found is None:
            return
        _, family = found
        _check_own(family.client, client, family.subject, family.id)
        line = self._line(Revoked.FAMILY, family.id, now)
        await self._revoke(line.placed(subject=family.subject), request, client, detail=_REASON)

    async def _revoke_access_token(self, request: RevocationRequest, client: Client, now: float) -> None:
        try:
            token = await self._verifier.verify(request.token)
        except InvalidToken:
            return
        _check_own(token.client_id, client, token.subject, token.token_id or "")
        if token.token_id is None:
            return
        # Of a token without a family the store knows nothing but this.
        authorization = token.claims.get("authz", "")
        line = self._line(Revoked.TOKEN, token.token_id, now)
        await self._revoke(line.placed(authorization=authorization, subject=token.subject), request, client)

    def _line(self, kind: Revoked, key: str, now: float) -> Revocation:
        return Revocation(kind, key, now, self._settings.feed_until(now), by="client", reason=_REASON)

    async def _revoke(
        self,
        line: Revocation,
        request: RevocationRequest,
        client: Client,
        *,
        detail: str = "",
    ) -> None:
        event = Event(
            line.at,
            f"{line.kind.value}.revoked",
            actor=client.id,
            subject=line.subject,
            client=client.id,
            object=line.key,
            detail=detail,
            origin=request.origin,
        )
        await self._store.revoke(line, event)


def _check_own(owner: str | None, client: Client, subject: str, about: str) -> None:
    # Section 2.1: "whether the token was issued to the client making the revocation request. If this
    # validation fails, the request is refused".
    if owner != client.id:
        raise Refused(
            "unauthorized_client",
            "The token was issued to another client.",
            id="BW411",
            detail=f"token of client {owner}, shown by {client.id}",
            subject=subject,
            object=about,
        )
