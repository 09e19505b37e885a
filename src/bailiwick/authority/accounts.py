"""People: who they are when they log in, and what they may have.

A wrong password, an unknown name and a disabled person get the same answer after the same work,
so that nobody learns which names exist (CVE-2026-22746).
"""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import Final, Protocol

from bailiwick.errors import Refused

from .records import Event, Origin, Standing
from .store import Store

__all__ = ["Accounts", "PasswordHasher", "Verdict", "prepare_password"]

# Argon2id reads any length, but nobody's password is a book: bounds the work that a request can ask for.
MAX_PASSWORD: Final = 1024


class Verdict(Enum):
    """What a password hasher says about a password."""

    RIGHT = "right"
    RIGHT_BUT_WEAK = "right, but its hash was made with weaker parameters than today's"
    WRONG = "wrong"


class PasswordHasher(Protocol):
    """Makes and checks hashes of passwords, off the event loop and bounded.

    Both raise `Unavailable` (BW504) when too many others are waiting.
    """

    async def hash(self, password: str) -> str:
        """Make a hash that says how it was made."""

    async def verify(self, hash: str | None, password: str) -> Verdict:
        """Check a password; without a hash do the same work on a decoy and answer `WRONG`."""


def prepare_password(password: str) -> str:
    """One form for what looks the same on every keyboard: RFC 8265 section 4.2 (NFC)."""
    return unicodedata.normalize("NFC", password)


class Accounts:
    """People who log in.

    Args:
        store: where they are kept.
        hasher: checks their passwords.
    """

    def __init__(self, store: Store, hasher: PasswordHasher) -> None:
        self._store = store
        self._hasher = hasher

    async def log_in(self, name: str, password: str, *, client: str, origin: Origin, now: float) -> Standing:
        """Check a name and a password.

        Args:
            name: as typed.
            password: as typed.
            client: through which client, for the journal.
            origin: from where, for the journal.
            now: seconds since the epoch.

        Returns:
            The person, with what they may have right now.

        Raises:
            Refused: invalid_grant (BW407), for whatever reason.
            Unavailable: too many password checks are waiting.
        """
        password = prepare_password(password)
        account = await self._store.account_named(name) if _may_be_a_name(name) else None
        known = account.password if account is not None else None
        if len(password) > MAX_PASSWORD:
            known = None
            password = password[:MAX_PASSWORD]
        verdict = await self._hasher.verify(known, password)
        if account is None or verdict is Verdict.WRONG or account.disabled_at is not None:
            await self._journal_failure(account.id if account else "", verdict, client, origin, now)
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407")
        if verdict is Verdict.RIGHT_BUT_WEAK and account.password is not None:
            await self._store.rehash(account.id, account.password, await self._hasher.hash(password))
        standing = await self._store.standing(account.id)
        if standing is None or standing.account.disabled_at is not None or standing.account.password is None:
            # Disabled or deleted while the password was being checked.
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407")
        return standing

    async def _journal_failure(self, account: str, verdict: Verdict, client: str, origin: Origin, now: float) -> None:
        # An unknown name is not written down: it is often a password typed into the wrong field.
        detail = "unknown name" if not account else "disabled" if verdict is not Verdict.WRONG else "wrong password"
        await self._store.record(
            Event(now, "login.failed", actor=client, subject=account, client=client, detail=detail, origin=origin)
        )


def _may_be_a_name(name: str) -> bool:
    return 0 < len(name) <= 256 and "\0" not in name
