"""The authorization code grant: what a person decided at the authorization endpoint, for tokens."""

from __future__ import annotations

from bailiwick.authority import pkce
from bailiwick.authority.issue import Permit
from bailiwick.authority.records import Client, Code, Event, GrantType
from bailiwick.authority.request import CodeAsked, TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import MINUTE, Redeemed, Store
from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .base import bound_resource, standing_of

__all__ = ["AuthorizationCodeGrant"]


class AuthorizationCodeGrant:
    """RFC 6749 section 4.1.3, with PKCE (RFC 7636) for every client.

    Args:
        settings: knows the resources.
        store: keeps the codes.
    """

    type = GrantType.AUTHORIZATION_CODE

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Spend the code, and check that everything it is bound to is here.

        It is spent first, whatever else is wrong (RFC 9700 section 4.5.3): whoever holds a stolen code gets
        one guess, and the real client's attempt afterwards shows that somebody was there.
        """
        asked = request.asked
        assert isinstance(asked, CodeAsked)  # noqa: S101 - the reader of this grant type made it
        code = await self._spend(asked, request, client, now)
        try:
            return await self._check(asked, request, client, code)
        except Refused as why:
            # Whoever spends a code in vain is a client with a fault or a thief: either is worth a line.
            line = Event(
                now, "code.refused", client.id, code.subject, client.id, code.family, why.detail, origin=request.origin
            )
            await self._store.record(line)
            why.journaled = True
            raise

    async def _check(self, asked: CodeAsked, request: TokenRequest, client: Client, code: Code) -> Permit:
        if code.client != client.id:
            raise _invalid(f"code of client {code.client}, presented by {client.id}")
        # "if the redirect_uri parameter was included in the authorization request ... their values MUST be
        # identical" (RFC 6749 section 4.1.3): as texts, port included.
        if asked.redirect != code.redirect and (code.redirect_given or asked.redirect is not None):
            raise _invalid("another redirect_uri than in the authorization request")
        pkce.check_verifier(asked.verifier, code.challenge)
        resource = bound_resource(self._settings, request, code.resource, "code")
        standing = await standing_of(self._store, code.subject)
        authorization = await self._store.authorization(code.authorization)
        if authorization is None:
            raise _invalid("the authorization is gone")
        return Permit(
            self.type,
            subject=code.subject,
            resource=resource,
            standing=standing,
            authorization=authorization,
            presented=code.scopes,
            authenticated_at=code.authenticated_at,
            begins=code.family,
        )

    async def _spend(self, asked: CodeAsked, request: TokenRequest, client: Client, now: float) -> Code:
        # Only what was minted as a code is looked up as one (CVE-2026-4282).
        if not opaque.is_well_formed(asked.code, opaque.Kind.CODE):
            raise _invalid("not of a code's form")
        # However often a spent one is shown, it is one line a minute with a count.
        event = Event(now, "code.redeemed", actor=client.id, client=client.id, origin=request.origin, every=MINUTE)
        outcome, code = await self._store.redeem_code(
            opaque.digest(asked.code), now, feed_until=self._settings.feed_until(now), event=event
        )
        if outcome is not Redeemed.FIRST_TIME or code is None:
            why = _invalid(f"code: {outcome.value}")
            why.journaled = outcome is Redeemed.AGAIN  # the store did, with what it revoked
            raise why
        return code


def _invalid(detail: str) -> Refused:
    return Refused(
        "invalid_grant",
        "The code is invalid, expired, spent, or was issued to another client.",
        id="BW402",
        detail=detail,
    )
