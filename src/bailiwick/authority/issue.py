"""From a permit to tokens: the only place where tokens are made.

A grant proves a right and hands over a `Permit`. Whatever the grant, the scopes are decided here,
by the one formula and from what the store says at this moment (CVE-2024-52287: grants that each
checked scopes in their own way, and one that forgot).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from bailiwick.errors import InvalidScope, Refused
from bailiwick.scopes import Catalog, Ceilings, ScopeSet
from bailiwick.scopes import issue as formula
from bailiwick.tokens import opaque
from bailiwick.tokens.revoked import RESTS_ON, SEEN

from .ids import TokenBytes, mint_authorization, mint_family, mint_token_id
from .keys import SigningKeys
from .records import (
    Authorization,
    Client,
    ConsentedScope,
    Event,
    Family,
    GrantType,
    Origin,
    RefreshToken,
    Resource,
    Standing,
)
from .request import refused_scope
from .settings import Settings
from .store import MINUTE, Basis, Rotated, Rotation, Store

__all__ = ["ACCESS_TOKEN_TYPE", "Issuer", "Permit", "TokenSet", "check_rotated", "unusable"]

# RFC 8693 section 3, the one type of token that is exchanged here, for and against.
ACCESS_TOKEN_TYPE: Final = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105 - a name


@dataclass(frozen=True, slots=True)
class Permit:
    """What a grant proved.

    Args:
        grant: which grant.
        subject: for whom tokens may be issued: a person's id, or the client's own.
        resource: for which API.
        standing: what that person may have; None for a client that acts for itself.
        authorization: the consent that it rests on; None if there is none yet, or none is needed.
        consent: names the act by which the person consents right now to what is issued
            ("password"); "" if consent has to be there already.
        presented: the scopes of what was presented, which nothing may exceed.
        family: the family of the refresh token that was presented.
        successor: the refresh token that follows the one presented.
        rotation: the exchange of the one for the other, which issuing carries out.
        authenticated_at: when the person proved who they are, seconds since the epoch.
        begins: the id of the family to begin, or to belong to, where what was presented fixes it; "" for a new one.
        ends: what is issued ends with what was presented, seconds since the epoch; None for its full life.
        actor: who acts for the subject (RFC 8693 section 4.1); None if nobody does.
        refreshable: a refresh token may come of it.
        rests_on: ids of what else was presented, whose revocation would undo the proof.
    """

    grant: GrantType
    subject: str
    resource: Resource
    standing: Standing | None = None
    authorization: Authorization | None = None
    consent: str = ""
    presented: ScopeSet | None = None
    family: Family | None = None
    successor: str = field(default="", repr=False)
    rotation: Rotation | None = None
    authenticated_at: float | None = None
    begins: str = ""
    ends: float | None = None
    actor: Mapping[str, Any] | None = None
    refreshable: bool = True
    rests_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What the token endpoint answers (RFC 6749 section 5.1)."""

    access_token: str = field(repr=False)
    expires_in: int
    scope: ScopeSet
    refresh_token: str | None = field(default=None, repr=False)
    token_type: str = "Bearer"  # noqa: S105 - the type's name
    issued_token_type: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The members of the JSON answer; `scope` always says what was issued (CVE-2022-31690)."""
        body: dict[str, Any] = {
            "access_token": self.access_token,
            "token_type": self.token_type,
            "expires_in": self.expires_in,
            "scope": str(self.scope),
        }
        if self.refresh_token is not None:
            body["refresh_token"] = self.refresh_token
        if self.issued_token_type is not None:
            body["issued_token_type"] = self.issued_token_type
        return body


class Issuer:
    """Makes tokens.

    Args:
        catalog: the scopes that exist.
        settings: names and lifetimes.
        store: what is true at this moment.
        keys: what signs.
        token_bytes: the source of randomness.
    """

    def __init__(
        self, catalog: Catalog, settings: Settings, store: Store, keys: SigningKeys, token_bytes: TokenBytes
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._keys = keys
        self._token_bytes = token_bytes

    async def begin(self) -> int:
        """How much of the feed there is before anything is read for an issuance: the number of its newest line.

        It goes into the token, and whatever is revoked later has a higher one: that is what tells, exactly and
        whatever the clocks say, which tokens a revocation means.

        Raises:
            StoreError: the store cannot answer.
        """
        return await self._store.last_revocation()

    async def issue(
        self, client: Client, permit: Permit, requested: ScopeSet | None, *, origin: Origin, now: float, seen: int
    ) -> TokenSet:
        """Decide the scopes and make the tokens.

        Args:
            client: who asks, authenticated.
            permit: what the grant proved.
            requested: the scopes asked for; None if the client did not say.
            origin: from where, for the journal.
            now: seconds since the epoch.
            seen: what `begin` said before anything was read, the client included.

        Raises:
            Refused: invalid_scope if nothing may be issued; invalid_grant if what was presented, or somebody behind
                it, was revoked meanwhile.
        """
        # Nothing is written before the formula has said that there is something to issue: a request
        # for an unknown scope must not cost the client its refresh token.
        scopes = self.decide(client, permit, requested)
        authorization = permit.authorization
        if permit.consent:
            authorization = await self._consent(client, permit, scopes, origin, now)
            scopes = self.decide(client, permit, requested, authorization)
        signer = await self._keys.signer()
        event = Event(
            now,
            "token.issued",
            actor=permit.subject,
            subject=permit.subject,
            client=client.id,
            detail=f"{permit.grant.name.lower()}: {scopes}",
            origin=origin,
            # Of a rotation; the first time is a line all the same, and honest retries share one.
            every=MINUTE if permit.rotation is not None else 0,
        )
        basis = _basis(client, permit, authorization, seen)
        family, refresh = await self._refresh_token(client, permit, scopes, authorization, event, basis, now)
        lifetime = self._settings.lifetimes.access
        if permit.ends is not None:
            lifetime = min(lifetime, int(permit.ends) - int(now))
        claims = self._claims(client, permit, scopes, authorization) | {
            "iat": int(now),
            "exp": int(now) + lifetime,
            "jti": mint_token_id(self._token_bytes, family),
            SEEN: seen,
        }
        exchanged = ACCESS_TOKEN_TYPE if permit.grant is GrantType.TOKEN_EXCHANGE else None
        return TokenSet(signer.sign(claims, typ="at+jwt"), lifetime, scopes, refresh, issued_token_type=exchanged)

    def _claims(
        self, client: Client, permit: Permit, scopes: ScopeSet, authorization: Authorization | None
    ) -> dict[str, Any]:
        """What an access token says of whom and what it is for (RFC 9068 section 2.2)."""
        claims: dict[str, Any] = {
            "iss": self._settings.issuer,
            "aud": permit.resource.identifier,
            "sub": permit.subject,
            "client_id": client.id,
            "scope": str(scopes),
        }
        if authorization is not None:
            claims["authz"] = authorization.id
        told = {permit.subject, client.id, permit.begins, claims.get("authz")}
        if rests := [key for key in dict.fromkeys(permit.rests_on) if key not in told]:
            # Whoever follows the feed must see that this token ends with those, too.
            claims[RESTS_ON] = rests
        if permit.authenticated_at is not None:
            claims["auth_time"] = int(permit.authenticated_at)  # RFC 9068 section 2.2.1
        if permit.actor is not None:
            claims["act"] = dict(permit.actor)
        return claims

    def decide(
        self,
        client: Client,
        permit: Permit,
        requested: ScopeSet | None,
        authorization: Authorization | None = None,
    ) -> ScopeSet:
        """The one formula, with what stands at this moment.

        Args:
            client: its ceiling and its default.
            permit: the person's standing, what was presented, the consent it rests on.
            requested: the scopes asked for; None if the client did not say.
            authorization: the consent, where it is newer than the permit.

        Raises:
            Refused: invalid_scope (BW405).
        """
        consent = authorization or permit.authorization
        default = permit.presented if permit.presented is not None else (client.default or client.ceiling)
        try:
            return formula(
                self._catalog,
                requested,
                default,
                Ceilings(
                    client=client.ceiling,
                    resource=permit.resource.scopes,
                    subject=permit.standing.scopes if permit.standing is not None else None,
                    authorization=consent.live if consent is not None else None,
                    presented=permit.presented,
                ),
                issue_wildcards=self._settings.issue_wildcards,
            )
        except InvalidScope as bad:
            raise refused_scope(bad) from bad

    async def _consent(
        self, client: Client, permit: Permit, scopes: ScopeSet, origin: Origin, now: float
    ) -> Authorization:
        """The authorization, with these scopes live in it unless an operator withdrew them."""
        found = await self._store.authorization_of(permit.subject, client.id, permit.resource.identifier)
        if found is not None and all(name in found.live for name in scopes):
            return found
        given = Authorization(
            mint_authorization(self._token_bytes),
            permit.subject,
            client.id,
            permit.resource.identifier,
            now,
            tuple(ConsentedScope(name, now, permit.consent) for name in scopes),
        )
        event = Event(
            now,
            "authorization.granted",
            actor=permit.subject,
            subject=permit.subject,
            client=client.id,
            detail=f"{permit.consent}: {scopes}",
            origin=origin,
        )
        return await self._store.consent(given, event)

    async def _refresh_token(
        self,
        client: Client,
        permit: Permit,
        scopes: ScopeSet,
        authorization: Authorization | None,
        event: Event,
        basis: Basis,
        now: float,
    ) -> tuple[str | None, str | None]:
        """Rotate, or begin a family, or neither; the id of the family and its new token."""
        if permit.rotation is not None and permit.family is not None:
            check_rotated(await self._store.rotate(permit.rotation, event, basis=basis), permit.family)
            return permit.family.id, permit.successor
        # A refresh token outlives the request, so there has to be a consent that can be withdrawn. A
        # client that acts for itself just asks again (RFC 6749 section 4.4.3).
        may_refresh = permit.refreshable and GrantType.REFRESH_TOKEN in client.grants
        if authorization is None or permit.standing is None or not may_refresh:
            if not await self._store.record(event, basis=basis):
                raise _overtaken()
            return permit.begins or None, None
        lifetimes = self._settings.lifetimes
        token = opaque.mint(self._token_bytes)
        family = Family(
            permit.begins or mint_family(self._token_bytes),
            authorization.id,
            permit.subject,
            client.id,
            permit.resource.identifier,
            scopes,
            permit.authenticated_at if permit.authenticated_at is not None else now,
            now,
            now + lifetimes.refresh_absolute,
        )
        first = RefreshToken(
            opaque.digest(token), family.id, 1, now, min(now + lifetimes.refresh_idle, family.expires_at)
        )
        if not await self._store.open_family(family, first, event, basis=basis):
            raise _overtaken()
        return family.id, token


def _basis(client: Client, permit: Permit, authorization: Authorization | None, seen: int) -> Basis:
    """Everything that the tokens will hang on, for the store to look at once more."""
    keys = [permit.subject, client.id, permit.begins, *permit.rests_on]
    if authorization is not None:
        keys.append(authorization.id)
    if permit.family is not None:
        keys.append(permit.family.id)
    # A code, or an approved device, is the person's proof of some minutes ago. Their sessions ended with a
    # revocation since, so what was made in one of them must not begin anything new either.
    earlier = permit.grant in (GrantType.AUTHORIZATION_CODE, GrantType.DEVICE_CODE)
    return Basis(
        seen,
        tuple(sorted({key for key in keys if key})),
        permit.subject if earlier and permit.authenticated_at is not None else "",
        permit.authenticated_at or 0.0,
    )


def _overtaken() -> Refused:
    return Refused("invalid_grant", "What was presented has been revoked.", id="BW402")


def check_rotated(outcome: Rotated, family: Family) -> None:
    """Let an exchange pass that gave a successor.

    Raises:
        Refused: invalid_grant; BW406 if this very call found a replay. temporarily_unavailable (503) if something was
            withdrawn at this very moment: nothing was spent, and asking again gives what is left.
    """
    if outcome in (Rotated.FIRST_TIME, Rotated.RETRIED):
        return
    if outcome is Rotated.STALE:
        raise Refused(
            "temporarily_unavailable",
            "Something was withdrawn at this very moment; ask again.",
            status=503,
            id="BW402",
            detail=f"refresh token of family {family.id}: {outcome.value}",
            retry_after=1,
        )
    why = unusable(f"refresh token of family {family.id}: {outcome.value}", family)
    why.id = "BW406" if outcome is Rotated.REPLAYED else why.id
    why.journaled = True  # the store did, with what it revoked
    raise why


def unusable(detail: str, family: Family | None = None) -> Refused:
    """The answer to a refresh token that gives nothing, whatever the reason.

    Args:
        detail: the reason, for the log.
        family: the family that it is of, for the journal; None for an unknown one.
    """
    return Refused(
        "invalid_grant",
        "The refresh token is invalid, expired, spent, or was issued to another client.",
        id="BW402",
        detail=detail,
        subject=family.subject if family is not None else "",
        object=family.id if family is not None else "",
    )
