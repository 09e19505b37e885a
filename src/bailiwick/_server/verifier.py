"""The verifier of an API in the server's own process: signatures by its keys, revocations by its store."""

from __future__ import annotations

from typing import Final, Protocol
from urllib.parse import urlsplit

from bailiwick.authority import Authority, Settings
from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.scopes import Principal
from bailiwick.tokens import JWTVerifier, Revocations

__all__ = ["OwnVerifier", "Watched"]

# Seconds for which a guard in this process relies on what it knows about revocations. Another
# process that shares the store may have revoked something meanwhile.
FOLLOWED_FOR: Final = 1.0
# With so many revocations in memory, or twice as many as there were the last time, all are read anew: most of them may
# have given their place to a few (`MOST_LINES`), and were only kept because they had been heard of.
ROOM: Final = 1_000


class Watched(Protocol):
    """What the verifier needs of a server."""

    issuer: str
    settings: Settings
    acts: int  # counts the requests that may have revoked something

    async def open(self) -> Authority:
        """Open the store, if it is not open yet."""


class OwnVerifier:
    """Verifies the tokens of a server in the same process, and knows what was revoked.

    A revocation that was asked of the server in this process counts at once; one by an operator, or by
    another process that shares the store, within a second. So does a signing key that was replaced at once.

    Args:
        server: whose tokens.
        audience: the identifier of the API that guards with it.

    Attributes:
        token_url: where the server's token endpoint is; a guard's OpenAPI document says so by itself then.
        authorization_url: the same of its authorization endpoint.

    Raises:
        ConfigurationError: the server's settings know no such resource.
    """

    def __init__(self, server: Watched, audience: str) -> None:
        if server.settings.resource(audience) is None:
            raise ConfigurationError(f"The server issues no tokens for the audience {audience!r}.", id="BW130")
        self.issuer = server.issuer
        self.audience = audience
        # A server with a path is mounted beside the API: then that holds under whatever name a browser knows this machine.
        base = urlsplit(server.issuer).path or server.issuer
        self.token_url, self.authorization_url = f"{base}/token", f"{base}/authorize"
        self._server = server
        self._authority: Authority | None = None
        self._jwt: JWTVerifier | None = None
        self._revoked = Revocations()
        self._seen = 0
        self._room = ROOM
        self._read_at = float("-inf")
        self._acts = -1
        self._dropped = 0

    async def verify(self, token: str) -> Principal:
        """Who calls, as the token proves, with the scopes that were not withdrawn since.

        Args:
            token: the text that was presented, without "Bearer".

        Raises:
            InvalidToken: it proves nothing, or was revoked.
            StoreError: the store cannot say what was revoked.
        """
        authority = await self._server.open()
        if authority is not self._authority or self._jwt is None:
            # First use, or the server was closed and opened again.
            self._jwt = JWTVerifier(authority.keys, issuer=self.issuer, audience=self.audience, now=authority.clock)
            self._authority, self._revoked, self._seen = authority, Revocations(), 0
            self._read_at, self._dropped = float("-inf"), authority.keys.dropped
        await self._follow(authority)
        return self._revoked.apply(await self._jwt.verify(token))

    def verify_cached(self, token: str) -> Principal | None:
        """As `JWTVerifier.verify_cached` has it, and None as well where revocations have to be read first."""
        jwt = self._at_hand()
        known = jwt.verify_cached(token) if jwt is not None else None
        return self._unrevoked(known) if known is not None else None

    def verify_now(self, credentials: bytes) -> Principal | InvalidToken | None:
        """As `JWTVerifier.verify_now` has it, and None as well where revocations have to be read first."""
        jwt = self._at_hand()
        told = jwt.verify_now(credentials) if jwt is not None else None
        return self._unrevoked(told) if isinstance(told, Principal) else told

    def _at_hand(self) -> JWTVerifier | None:
        authority = self._authority
        return self._jwt if authority is not None and self._is_fresh(authority) else None

    def _unrevoked(self, principal: Principal) -> Principal | None:
        try:
            return self._revoked.apply(principal)
        except InvalidToken:
            return None  # `verify` says why

    def _is_fresh(self, authority: Authority) -> bool:
        return self._acts == self._server.acts and 0 <= authority.clock() - self._read_at < FOLLOWED_FOR

    async def _follow(self, authority: Authority) -> None:
        if self._is_fresh(authority):
            return
        now, acts = authority.clock(), self._server.acts
        if (dropped := await authority.keys.look()) != self._dropped and self._jwt is not None:
            self._jwt.forget()
            self._dropped = dropped
        # Most requests to the authority revoke nothing: one look by an index tells, and no thread has to scan.
        newest, known, seen = await authority.store.last_revocation(), self._revoked, self._seen
        if newest != seen:
            whole = len(known) >= self._room
            if whole:
                known, seen = Revocations(), 0
            for line in await authority.store.revocations(after=seen, now=now):
                known.add(line.kind.value, line.key, at=line.at, until=line.until, number=line.number, scope=line.scope)
                newest = max(newest, line.number)
            self._revoked, self._seen = known, newest
            if whole:
                self._room = max(ROOM, 2 * len(known))
        self._revoked.forget_before(now)
        self._read_at, self._acts = now, acts
