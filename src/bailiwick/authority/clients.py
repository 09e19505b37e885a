"""Clients: programs that ask for tokens, and how they prove who they are."""

from __future__ import annotations

import hmac
from typing import Final

from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .accounts import PasswordHasher, Verdict
from .records import Client, ClientAuth
from .request import Presented
from .store import Store

__all__ = ["ClientAuthenticator", "digest_secret", "is_strong_secret"]

_SHA256: Final = "sha256:"
# What an unknown client's secret is compared with; no secret has this digest.
_NOBODY: Final = _SHA256 + "0" * 64
# 32 hexadecimal digits are 128 bits. A shorter secret was chosen by a person and can be guessed, so
# it is hashed slowly, like a password.
STRONG_SECRET: Final = 32


def is_strong_secret(secret: str) -> bool:
    """Whether a secret is long enough to be kept as a plain digest."""
    return len(secret) >= STRONG_SECRET


def digest_secret(secret: str) -> str:
    """What is kept of a strong secret."""
    return _SHA256 + opaque.digest(secret)


class ClientAuthenticator:
    """Finds out which client is asking.

    Args:
        store: where clients are kept.
        hasher: checks secrets that people chose.
    """

    def __init__(self, store: Store, hasher: PasswordHasher) -> None:
        self._store = store
        self._hasher = hasher

    async def authenticate(self, presented: Presented) -> Client:
        """Check what a client shows.

        Args:
            presented: its name and, if it has one, its secret.

        Returns:
            The client; a public one is only as sure as its name (RFC 6749 section 2.1).

        Raises:
            Refused: invalid_client (BW401), with status 401.
        """
        client = await self._store.client(presented.client)
        proven = await self._proves(client, presented)
        if client is None or not proven or client.disabled_at is not None:
            raise Refused(
                "invalid_client",
                "The client is unknown, or could not prove who it is.",
                status=401,
                id="BW401",
                detail=f"client {presented.client[:80]!a}: {_reason(client, presented)}",
            )
        return client

    async def _proves(self, client: Client | None, presented: Presented) -> bool:
        if client is not None and client.auth is ClientAuth.NONE:
            # A public client that shows a secret believes that it is another one.
            return presented.secret is None
        if presented.secret is None:
            return False
        kept = client.secret if client is not None and client.secret is not None else _NOBODY
        if kept.startswith(_SHA256):
            return hmac.compare_digest(kept, digest_secret(presented.secret))
        return await self._hasher.verify(kept, presented.secret) is not Verdict.WRONG


def _reason(client: Client | None, presented: Presented) -> str:
    if client is None:
        return "unknown"
    if client.disabled_at is not None:
        return "disabled"
    if client.auth is ClientAuth.NONE:
        return "public, but showed a secret"
    return "showed no secret" if presented.secret is None else "showed a wrong secret"
