"""The refresh grant: a refresh token for a new access token and the token's successor."""

from __future__ import annotations

from bailiwick.authority.issue import Permit, check_rotated, unusable
from bailiwick.authority.records import Client, Event, Family, GrantType
from bailiwick.authority.request import RefreshAsked, TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import MINUTE, Rotation, Store
from bailiwick.errors import Refused
from bailiwick.scopes import Catalog
from bailiwick.tokens import opaque

from .base import bound_resource, standing_of

__all__ = ["SUCCESSOR_SECRET", "RefreshGrant"]

# The name, in the store, of the secret from which successors are derived.
SUCCESSOR_SECRET = "refresh successor"  # noqa: S105 - a name


class RefreshGrant:
    """RFC 6749 section 6, with rotation and reuse detection (RFC 9700 section 4.14.2).

    Args:
        catalog: compares scopes.
        settings: lifetimes and resources.
        store: keeps digests of the tokens.
        fresh: 32 random bytes that become the secret if the store has none yet.
    """

    type = GrantType.REFRESH_TOKEN

    def __init__(self, catalog: Catalog, settings: Settings, store: Store, fresh: bytes) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._fresh = fresh
        self._secret: bytes | None = None

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Check the token, and that nothing wider than what it stands for is asked."""
        asked = request.asked
        assert isinstance(asked, RefreshAsked)  # noqa: S101 - the reader of this grant type made it
        found = (
            await self._store.refresh_token(opaque.digest(asked.token)) if opaque.is_well_formed(asked.token) else None
        )
        if found is None:
            raise unusable(f"refresh token unknown to client {client.id}")
        token, family = found
        if family.client != client.id:
            # Somebody has a copy of it, and it is alive: the journal says whose.
            raise unusable(f"refresh token of client {family.client}, shown by {client.id}", family)
        if family.revoked_at is not None:
            # Nothing is left to find out, so nothing is written: who holds a dead token can show it for ever.
            raise unusable(f"refresh token of family {family.id}: revoked", family)
        successor = opaque.successor(
            await self._successor_secret(), asked.token, family=family.id, generation=token.generation + 1
        )
        lifetimes = self._settings.lifetimes
        rotation = Rotation(
            digest=token.digest,
            successor=opaque.digest(successor),
            client=client.id,
            now=now,
            grace=lifetimes.refresh_grace,
            expires_at=min(now + lifetimes.refresh_idle, family.expires_at),
            feed_until=self._settings.feed_until(now),
        )
        if token.spent_at is not None:
            # A replay is found out here, whatever else is wrong with the request: a thief who also
            # asks for too much must not go unnoticed.
            event = Event(
                now,
                "refresh",
                family.subject,
                family.subject,
                client.id,
                family.id,
                origin=request.origin,
                every=MINUTE,
            )
            check_rotated(await self._store.rotate(rotation, event), family)
        standing = await standing_of(self._store, family.subject)
        resource = bound_resource(self._settings, request, family.resource, "refresh token")
        self._check_not_wider(request, family)
        authorization = await self._store.authorization(family.authorization)
        if authorization is None:
            raise Refused("invalid_grant", "The authorization is gone.", id="BW402")
        return Permit(
            self.type,
            subject=family.subject,
            resource=resource,
            standing=standing,
            authorization=authorization,
            presented=family.scopes,
            family=family,
            successor=successor,
            rotation=rotation,
            authenticated_at=family.authenticated_at,
        )

    def _check_not_wider(self, request: TokenRequest, family: Family) -> None:
        # "The requested scope MUST NOT include any scope not originally granted by the resource
        # owner" (RFC 6749 section 6). What was granted and has been taken away since is dropped by
        # the formula instead, and the answer's `scope` says so.
        if request.scope is not None and not self._catalog.covers(family.scopes, request.scope):
            raise Refused("invalid_scope", "A refresh cannot widen the scope.", id="BW405")

    async def _successor_secret(self) -> bytes:
        if self._secret is None:
            self._secret = await self._store.secret(SUCCESSOR_SECRET, self._fresh)
        return self._secret
