"""Token exchange (RFC 8693): a token that was received, for a smaller one.

An API that calls another API does not pass its caller's token on. It exchanges it, for a subset of
the scopes, for the one API that it calls, and says if it likes who acts. The exchanged token hangs
on everything that the first one hangs on: authorization, family and end.

Which API it may be for: the one that the first token is for, always. Another one only if somebody said so, for
otherwise a client that a person let use one API would reach all of them. With a token that rests on the client's own
authorization it is the person who says so, by a live authorization for that API, as refresh and authorize demand
(RFC 9700 section 4.14.2); with a token that another client got, the operator, by the client's `exchange_targets`.

Who may exchange what: a confidential client that is allowed this grant, and only tokens that were
meant for it, which are those issued to it and those for a resource whose tokens it may introspect. A
token that merely fell into a client's hands is not its to exchange (section 5, and the audience check of
section 2.1: "the authorization server ... MUST perform the appropriate validation procedures").
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bailiwick.authority.issue import ACCESS_TOKEN_TYPE, Permit
from bailiwick.authority.records import ACCOUNT_PREFIX, EVERY_RESOURCE, Authorization, Client, GrantType, Resource
from bailiwick.authority.request import ExchangeAsked, TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import Store
from bailiwick.authority.worth import Living, Worth
from bailiwick.errors import Refused

from .base import standing_of

__all__ = ["MAX_ACTORS", "TokenExchangeGrant"]

# RFC 7519 and RFC 8693 section 3: an access token here is a JWT, so its bearer may call it either.
_TYPES: Final = (ACCESS_TOKEN_TYPE, "urn:ietf:params:oauth:token-type:jwt")
# How long a chain of services may get. The claim grows with each, and beyond the first they are history
# that decides nothing (section 4.1).
MAX_ACTORS: Final = 4
# The same for a token that is handed on and on: it names each token before it, and travels in a header.
MAX_HANDED_ON: Final = 16


class TokenExchangeGrant:
    """RFC 8693, for access tokens of this authority.

    Args:
        settings: knows the resources.
        store: what is true at this moment.
        worth: tells what the presented tokens are worth.
    """

    type = GrantType.TOKEN_EXCHANGE

    def __init__(self, settings: Settings, store: Store, worth: Worth) -> None:
        self._settings = settings
        self._store = store
        self._worth = worth

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Check the tokens that are presented; what is not understood is refused, never left out (CVE-2026-9704)."""
        asked = request.asked
        assert isinstance(asked, ExchangeAsked)  # noqa: S101 - the reader of this grant type made it
        if client.public:
            raise Refused("unauthorized_client", "A public client cannot exchange tokens.", id="BW403")
        _check_types(asked)
        subject = await self._subject(asked.subject_token, client, now)
        actor = await self._actor(asked.actor_token, client, now) if asked.actor_token is not None else None
        rests = (*subject.keys, *(actor.keys if actor is not None else ()))
        if len(set(rests)) > MAX_HANDED_ON:
            raise _bad("This token has been handed on too often.")
        resource = self._target(request, asked, subject)
        standing = authorization = None
        if subject.principal.subject.startswith(ACCOUNT_PREFIX):
            standing = await standing_of(self._store, subject.principal.subject)
            authorization = await self._store.authorization(subject.authorization or "")
            if authorization is None:
                raise _bad("The subject_token's authorization is gone.")
        if resource != subject.resource:
            authorization = await self._reaching(resource, client, subject, authorization)
        return Permit(
            self.type,
            subject=subject.principal.subject,
            resource=resource,
            standing=standing,
            authorization=authorization,
            # What is left of the token's scopes, so that no exchange brings back what was taken away since.
            presented=subject.scopes,
            authenticated_at=_number(subject.principal.claims.get("auth_time")),
            begins=subject.family,
            ends=min(subject.expires_at, actor.expires_at) if actor is not None else subject.expires_at,
            actor=_chain(subject, actor),
            refreshable=False,
            rests_on=rests,
        )

    async def _subject(self, token: str, client: Client, now: float) -> Living:
        living = await self._worth.of(token, now)
        if living is None:
            raise _bad("The subject_token is invalid, expired or revoked.")
        meant = EVERY_RESOURCE in client.introspects or any(
            one in client.introspects for one in living.principal.audience
        )
        if living.client != client.id and not meant:
            raise _bad("The subject_token is neither the client's own nor meant for it.")
        return living

    async def _actor(self, token: str, client: Client, now: float) -> Living:
        living = await self._worth.of(token, now)
        # Somebody else's token would let the client say that somebody else acts.
        if living is None or living.client != client.id:
            raise _bad("The actor_token is invalid, expired, revoked, or another client's.")
        return living

    async def _reaching(
        self, resource: Resource, client: Client, subject: Living, authorization: Authorization | None
    ) -> Authorization | None:
        """The consent that a token for another resource than the presented one's rests on; None for a client's own.

        Raises:
            Refused: invalid_target (BW410): neither the person nor the operator ever said that the client may reach it.
        """
        own = subject.principal.subject if authorization is None else authorization.client
        if own != client.id:
            if resource.identifier not in client.exchange_targets:
                raise _out_of_reach(f"{resource.identifier!r} is not in the exchange_targets of client {client.id}")
            return authorization
        if authorization is None:
            # It acts for itself and may ask for any resource directly, if it may ask at all.
            if GrantType.CLIENT_CREDENTIALS not in client.grants:
                raise _out_of_reach(f"client {client.id} may not act for itself")
            return None
        given = await self._store.authorization_of(authorization.subject, client.id, resource.identifier)
        if given is None or not given.live:
            raise _out_of_reach(
                f"{authorization.subject} lets client {client.id} do nothing at {resource.identifier!r}"
            )
        return given

    def _target(self, request: TokenRequest, asked: ExchangeAsked, subject: Living) -> Resource:
        # `audience` names by a logical name what `resource` names by its address (section 2.1); here they are the same.
        named = dict.fromkeys([*([request.resource] if request.resource is not None else []), *asked.audience])
        if not named:
            return subject.resource
        found = self._settings.resource(next(iter(named))) if len(named) == 1 else None
        if found is None:
            raise Refused("invalid_target", "A token is exchanged for one known resource.", id="BW410")
        return found


def _check_types(asked: ExchangeAsked) -> None:
    if asked.subject_type not in _TYPES:
        raise _bad("The subject_token_type is not supported; only access tokens are exchanged.")
    # Section 2.1: "REQUIRED when the actor_token parameter is present ... MUST NOT be included" otherwise.
    if (asked.actor_token is None) != (asked.actor_type is None):
        raise _bad("actor_token and actor_token_type go together.")
    if asked.actor_type is not None and asked.actor_type not in _TYPES:
        raise _bad("The actor_token_type is not supported.")
    if asked.requested_type not in (None, *_TYPES):
        raise _bad("The requested_token_type is not supported; only access tokens are issued.")


def _chain(subject: Living, actor: Living | None) -> Mapping[str, Any] | None:
    """Who acts, and within it who acted before (section 4.1); nobody can shorten the chain."""
    before = subject.principal.claims.get("act")
    history = _plain(before) if isinstance(before, Mapping) else None
    if actor is None:
        return history
    acting: dict[str, Any] = {"sub": actor.principal.subject, "client_id": actor.client}
    if history is not None:
        acting["act"] = history
    if _length(acting) > MAX_ACTORS:
        raise _bad(f"More than {MAX_ACTORS} actors have handed this token on.")
    return acting


def _plain(claim: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _plain(value) if isinstance(value, Mapping) else value for name, value in claim.items()}


def _length(chain: Mapping[str, Any]) -> int:
    inner = chain.get("act")
    return 1 + (_length(inner) if isinstance(inner, Mapping) else 0)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _out_of_reach(detail: str) -> Refused:
    return Refused("invalid_target", "The token cannot be exchanged for this resource.", id="BW410", detail=detail)


def _bad(description: str) -> Refused:
    # Section 2.2.2: whatever is wrong with a token that is presented is invalid_request.
    return Refused("invalid_request", description, id="BW402")
