"""Clients: programs that ask for tokens, and how they prove who they are."""

from __future__ import annotations

import hmac
from dataclasses import replace
from typing import Final, Protocol

from bailiwick.errors import Refused
from bailiwick.tokens import opaque
from bailiwick.tokens.strength import estimate_bits

from .accounts import Caller, PasswordHasher, Verdict
from .assertion import ClientAssertions
from .attempts import Attempts, guessing, network_of
from .records import Client, ClientAuth, Event
from .request import Presented
from .settings import Settings
from .store import Store

__all__ = ["ClientAuthenticator", "digest_secret", "is_strong_secret", "was_strong"]

_SHA256: Final = "sha256:"
# What an unknown client's secret is compared with; no secret has this digest.
_NOBODY: Final = _SHA256 + "0" * 64
# Bits that nobody guesses (RFC 6749 section 10.10: 2^-128 at most). A secret of fewer was chosen by a person: it is
# hashed slowly, like a password, and guesses at it are counted.
STRONG_SECRET: Final = 128


def is_strong_secret(secret: str) -> bool:
    """Whether there is nothing to guess at a secret, so that it is kept as a plain digest."""
    return opaque.is_well_formed(secret, opaque.Kind.CLIENT_SECRET) or estimate_bits(secret) >= STRONG_SECRET


def digest_secret(secret: str) -> str:
    """What is kept of a strong secret."""
    return _SHA256 + opaque.digest(secret)


def was_strong(kept: str) -> bool:
    """Whether what is kept of a secret is that of a strong one; of others there is a slow hash."""
    return kept.startswith(_SHA256)


class Finder(Protocol):
    """Finds clients of which the store alone may not know everything."""

    async def authenticating(self, presented: Presented, *, now: float) -> Client | None:
        """The client that a request names, where it proves itself."""


class ClientAuthenticator:
    """Finds out which client is asking.

    Args:
        store: where clients are kept.
        hasher: checks secrets that people chose.
        settings: the issuer that assertions are meant for, and whether certificates are believed.
        attempts: counts wrong guesses at secrets that people chose.
        documents: finds clients that describe themselves too; None: there are none.
    """

    def __init__(
        self,
        store: Store,
        hasher: PasswordHasher,
        settings: Settings,
        attempts: Attempts,
        documents: Finder | None = None,
    ) -> None:
        self._store = store
        self._hasher = hasher
        self._assertions = ClientAssertions(settings, store)
        self._trusts_certificates = settings.client_certificates
        self._attempts = attempts
        self._documents = documents

    async def authenticate(self, presented: Presented, *, now: float) -> Client:
        """Check what a client shows.

        Args:
            presented: its name, and its secret, assertion or certificate if it has one.
            now: seconds since the epoch.

        Returns:
            The client; a public one is only as sure as its name (RFC 6749 section 2.1).

        Raises:
            Refused: invalid_client (BW401), with status 401; slow_down (BW416) after too many wrong guesses at a
                secret that can be guessed.
        """
        if self._documents is not None:
            client = await self._documents.authenticating(presented, now=now)
        else:
            client = await self._store.client(presented.client)
        if client is None or client.secret is None or presented.secret is None:
            return await self._check(client, presented, now)
        if was_strong(client.secret):
            proven = await self._check(client, presented, now)
            return proven if is_strong_secret(presented.secret) else await self._hash_slowly(proven, presented, now)
        async with guessing(self._attempts, "client", client.id, presented.origin.address, now):
            return await self._check(client, presented, now)

    async def _hash_slowly(self, client: Client, presented: Presented, now: float) -> Client:
        """Keep a secret as a password from now on that somebody chose when secrets went by their length."""
        slow = replace(client, secret=await self._hasher.hash(presented.secret or "", _caller(presented)))
        event = Event(now, "client.secret_rehashed", client.id, client=client.id, origin=presented.origin)
        # If somebody else was faster, theirs stands: an operator's word, or the same.
        await self._store.change(slow, event)
        return client

    async def _check(self, client: Client | None, presented: Presented, now: float) -> Client:
        proven = await self._proves(client, presented, now)
        if client is None or not proven or client.disabled_at is not None:
            raise Refused(
                "invalid_client",
                "The client is unknown, or could not prove who it is.",
                status=401,
                id="BW401",
                detail=f"client {presented.client[:80]!a}: {_reason(client, presented)}",
            )
        return client

    async def _proves(self, client: Client | None, presented: Presented, now: float) -> bool:
        # Each client has one method, and showing something else besides is no proof: RFC 6749 section 2.3.
        if client is not None and client.auth is ClientAuth.NONE:
            # A public client that shows a secret believes that it is another one.
            return presented.secret is None and presented.assertion is None
        if client is not None and client.auth is ClientAuth.PRIVATE_KEY_JWT:
            return presented.assertion is not None and await self._assertions.prove(client, presented.assertion, now)
        if client is not None and client.auth is ClientAuth.TLS:
            shown = presented.certificate if self._trusts_certificates else None
            alone = presented.secret is None and presented.assertion is None
            return alone and shown is not None and shown.says(client.tls)
        if presented.secret is None:
            return False
        kept = client.secret if client is not None and client.secret is not None else _NOBODY
        if kept.startswith(_SHA256):
            return hmac.compare_digest(kept, digest_secret(presented.secret))
        return await self._hasher.verify(kept, presented.secret, _caller(presented)) is not Verdict.WRONG


def _caller(presented: Presented) -> Caller:
    return Caller(f"client {presented.client}", network_of(presented.origin.address), presented.disconnected)


def _reason(client: Client | None, presented: Presented) -> str:
    if client is None:
        return "unknown"
    if client.disabled_at is not None:
        return "disabled"
    if client.auth is ClientAuth.NONE:
        return "public, but showed a secret"
    if client.auth is not ClientAuth.SECRET:
        return f"did not prove itself by {client.auth.value}"
    return "showed no secret" if presented.secret is None else "showed a wrong secret"
