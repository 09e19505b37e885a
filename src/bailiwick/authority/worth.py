"""What an access token of ours is worth at this moment.

A signature says what was true when the token was made. Whoever must know what is true now,
introspection and token exchange, asks here, where the store is asked as well.
"""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.errors import InvalidToken
from bailiwick.scopes import Catalog, Principal, ScopeSet
from bailiwick.tokens import Verifier
from bailiwick.tokens.revoked import Issued, rests_on

from .records import ACCOUNT_PREFIX, Resource, Revoked
from .settings import Settings
from .store import Store

__all__ = ["Living", "Worth"]


@dataclass(frozen=True, slots=True)
class Living:
    """An access token that still counts.

    Args:
        principal: what it says.
        client: the client that it was issued to.
        resource: the API of ours that it is meant for.
        scopes: what is left of its scopes, never empty.
        authorization: the id of the authorization that it hangs on; None for a client that acts for itself.
        family: the id of the refresh family that it came with; "" if it came with none.
        expires_at: seconds since the epoch.
        keys: the ids of all that it hangs on: its own, its family's, subject's, client's and authorization's, and of
            what was exchanged for it.
    """

    principal: Principal
    client: str
    resource: Resource
    scopes: ScopeSet
    authorization: str | None
    family: str
    expires_at: float
    keys: tuple[str, ...]


class Worth:
    """Tells what tokens are worth.

    Args:
        catalog: compares scopes.
        settings: knows the resources.
        store: what is true at this moment.
        verifier: reads our own access tokens.
    """

    def __init__(self, catalog: Catalog, settings: Settings, store: Store, verifier: Verifier) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._verifier = verifier

    async def of(self, token: str, now: float) -> Living | None:
        """What an access token is worth; None if nothing, for whatever reason.

        Args:
            token: as presented.
            now: seconds since the epoch; there is no leeway after `exp` here.

        Raises:
            StoreError: the store cannot answer.
        """
        try:
            read = await self._verifier.verify(token)
        except InvalidToken:
            return None
        named = (self._settings.resource(one) for one in read.audience)
        resource = next((found for found in named if found is not None), None)
        client, jti, ends = read.client_id, read.token_id, read.expires_at
        if resource is None or client is None or jti is None or ends is None or ends <= now:
            return None
        authorization = read.claims.get("authz")
        family, _, _ = jti.rpartition(".")
        keys = [jti, read.subject, client, *([family] if family else []), *([authorization] if authorization else [])]
        keys += rests_on(read.claims)
        if await self._is_revoked(keys, Issued.of(read), now):
            return None
        scopes = await self.left(read.scopes, client, read.subject, authorization, resource.identifier)
        return Living(read, client, resource, scopes, authorization, family, ends, tuple(keys)) if scopes else None

    async def _is_revoked(self, keys: list[str], issued: Issued, now: float) -> bool:
        # A line about one scope takes nothing but that scope, and `left` sees to it.
        lines = await self._store.revoked(keys, now)
        return any(issued.before(line.at, line.number) for line in lines if line.kind is not Revoked.SCOPE)

    async def left(
        self, scopes: ScopeSet, client: str, subject: str, authorization: str | None, resource: str
    ) -> ScopeSet:
        """The scopes that the formula would still let pass: none if anybody behind the token is gone or disabled.

        Args:
            scopes: what was issued.
            client: to whom.
            subject: for whom: a person, or a client that acts for itself.
            authorization: the id of the consent that it rests on, where a person is the subject.
            resource: for which API.
        """
        api = self._settings.resource(resource)
        # Those on whose word the token stands: who holds it and, where it was exchanged, who had the first one.
        behind = {client}
        bounds = [] if api is None or api.scopes is None else [api.scopes]
        if subject.startswith(ACCOUNT_PREFIX):
            standing = await self._store.standing(subject)
            consent = await self._store.authorization(authorization) if authorization else None
            if standing is None or standing.account.disabled_at is not None or consent is None:
                return ScopeSet()
            bounds += [standing.scopes, consent.live]
            behind.add(consent.client)
        else:
            behind.add(subject)
        for one in behind:
            found = await self._store.client(one)
            if found is None or found.disabled_at is not None:
                return ScopeSet()
            bounds.append(found.ceiling)
        if api is None:
            return ScopeSet()
        held = [self._catalog.hold(bound) for bound in bounds]
        return ScopeSet([name for name in scopes if all(self._catalog.covers(bound, name) for bound in held)])
