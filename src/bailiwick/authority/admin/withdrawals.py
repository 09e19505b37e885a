"""What an operator may do with what people let clients do, and with the tokens that came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bailiwick.authority.ids import family_of, mint_authorization
from bailiwick.authority.records import Authorization, ConsentedScope, Family, Revoked
from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import jws, opaque

from .people import People

__all__ = ["Withdrawals"]


class Withdrawals(People):
    """Acts on authorizations, refresh families and tokens."""

    async def authorizations(self, *, person: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """What people let clients do: of one person (by name), of one client, or all."""
        subject = await self._subject_of(person)
        return await self._store.authorizations(subject=subject, client=client)

    async def withdraw(self, authorization: str, scope: str | None = None) -> int:
        """Take back one scope of an authorization, or all of it; logging in again does not bring it back.

        Args:
            authorization: its id.
            scope: which one; None for the whole authorization.

        Returns:
            How many scopes and refresh families ended.

        Raises:
            ConfigurationError: there is no such authorization.
        """
        found = await self._authorization(authorization)
        kind = Revoked.AUTHORIZATION if scope is None else Revoked.SCOPE
        return await self._revoke(
            kind, found.id, scope=scope or "", subject=found.subject, client=found.client, detail=scope or "everything"
        )

    async def give_back(self, authorization: str, scopes: Iterable[str]) -> Authorization:
        """Undo an operator's withdrawal."""
        found = await self._authorization(authorization)
        now = self._clock()
        rows = tuple(ConsentedScope(name, now, "operator") for name in self._known(scopes, "The authorization"))
        event = self._event(
            "authorization.given_back",
            subject=found.subject,
            client=found.client,
            object=found.id,
            detail=" ".join(row.scope for row in rows),
        )
        return await self._store.consent(
            replace(found, id=mint_authorization(self._token_bytes), rows=rows), event, by="operator"
        )

    async def families(self, *, person: str | None = None, client: str | None = None) -> Sequence[Family]:
        """Living refresh families: of one person (by name), of one client, or all."""
        subject = await self._subject_of(person)
        return await self._store.families(subject=subject, client=client)

    async def revoke_presented(self, token: str) -> tuple[Revoked, str, int]:
        """Revoke a token that was found somewhere, by the token itself.

        A refresh token takes its family with it. Of an access token only the `jti` is read: whether it was
        ever good does not matter to somebody who wants it gone.

        Args:
            token: as it was found.

        Returns:
            What was revoked, its id, and how many families or tokens ended; 0 if they had ended before.

        Raises:
            ConfigurationError: it is no token of this authority. The text is not repeated.
        """
        if opaque.is_well_formed(token):
            found = await self._store.refresh_token(opaque.digest(token))
            if found is None:
                raise ConfigurationError("This refresh token is unknown here.", id="BW130")
            family = found[1].id
            return Revoked.FAMILY, family, await self.revoke_family(family)
        try:
            claims = jws.read_claims(jws.read(token).payload)
        except InvalidToken as bad:
            raise ConfigurationError(
                "This is no token: it is neither a refresh nor an access token.", id="BW130"
            ) from bad
        token_id = claims.get("jti")
        if claims.get("iss") != self._settings.issuer or not isinstance(token_id, str) or not token_id:
            raise ConfigurationError("This token was issued by somebody else, or has no id.", id="BW130")
        return Revoked.TOKEN, token_id, await self.revoke_token(token_id)

    async def revoke_family(self, family: str) -> int:
        """End one refresh family; 0 if it is unknown or had ended."""
        return await self._revoke(Revoked.FAMILY, family)

    async def revoke_token(self, token_id: str) -> int:
        """Refuse one access token from now on, by its `jti`; 0 if it, or its family, was revoked before.

        Access tokens are not kept: whether this one was ever issued, and still lives, nobody can tell.
        `ids.is_token_id` tells whether it can be one at all.
        """
        family = family_of(token_id)
        found = await self._store.family(family) if family else None
        if found is not None and found.revoked_at is not None:
            return 0
        return await self._revoke(Revoked.TOKEN, token_id)

    async def _authorization(self, id: str) -> Authorization:
        found = await self._store.authorization(id)
        if found is None:
            raise ConfigurationError(f"There is no authorization {id!r}.", id="BW130")
        return found
