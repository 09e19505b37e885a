"""People: who they are when they log in, and what they may have.

A wrong password, an unknown name and a disabled person get the same answer after the same work,
so that nobody learns which names exist (CVE-2026-22746).
"""

from __future__ import annotations

import unicodedata
from enum import Enum
from typing import Final, Protocol

from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .attempts import Attempts, guessing
from .records import Account, Event, Origin, Standing, is_name_length, name_key
from .refusals import Refusals
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


def prepare_password(password: str) -> str | None:
    """Return one form for what looks the same on every keyboard (NFC, RFC 8265 section 4.2); None if it is too long.

    Args:
        password: as typed.
    """
    # Before it is normalised, which takes quadratic time on combining characters; and after, which may have made it longer.
    if len(password) > MAX_PASSWORD:
        return None
    prepared = unicodedata.normalize("NFC", password)
    return prepared if len(prepared) <= MAX_PASSWORD else None


class Accounts:
    """People who log in.

    Args:
        store: where they are kept.
        hasher: checks their passwords.
        attempts: counts wrong ones, whichever way they come: a page that counts is of no use beside a grant that
            does not.
        refusals: counts them in the journal.
    """

    def __init__(self, store: Store, hasher: PasswordHasher, attempts: Attempts, refusals: Refusals) -> None:
        self._store = store
        self._hasher = hasher
        self._attempts = attempts
        self._refusals = refusals

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
            Refused: invalid_grant (BW407), for whatever reason; slow_down (BW416) after too many wrong ones, whether
                or not there is somebody of that name.
            Unavailable: too many password checks are waiting.
        """
        # Nobody has a name that is too long: all of them are counted as one.
        key = name_key(name) if is_name_length(name) else ""
        async with guessing(self._attempts, "login", opaque.digest(key), origin.address, now):
            return await self._check(name, password, client, origin, now)

    async def _check(self, name: str, typed: str, client: str, origin: Origin, now: float) -> Standing:
        account = await self._store.account_named(name) if is_name_length(name) and "\0" not in name else None
        known = account.password if account is not None else None
        password = prepare_password(typed)
        if password is None:
            known, password = None, ""  # the same work, and nobody's password
        verdict = await self._hasher.verify(known, password)
        if account is None or verdict is Verdict.WRONG or account.disabled_at is not None:
            self._journal_failure(account.id if account else "", verdict, client, origin, now)
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407", journaled=True)
        checked = account.password
        if verdict is Verdict.RIGHT_BUT_WEAK and checked is not None:
            stronger = await self._hasher.hash(password)
            if await self._store.rehash(account.id, checked, stronger):
                checked = stronger
        standing = await self._store.standing(account.id)
        if standing is None or not await self._still_stands(standing.account, checked, password):
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407")
        return standing

    async def _still_stands(self, account: Account, checked: str | None, password: str) -> bool:
        """Whether nobody disabled the person or replaced the password while it was being checked.

        Hashing takes its time, and whoever knew the password of before must not come in on it. Another
        login may have strengthened the hash of the same password meanwhile; that is no reason to refuse.
        """
        if account.disabled_at is not None or account.password is None:
            return False
        return account.password == checked or await self._hasher.verify(account.password, password) is not Verdict.WRONG

    def _journal_failure(self, account: str, verdict: Verdict, client: str, origin: Origin, now: float) -> None:
        # An unknown name is not written down: it is often a password typed into the wrong field.
        detail = "unknown name" if not account else "disabled" if verdict is not Verdict.WRONG else "wrong password"
        self._refusals.note(
            Event(now, "login.failed", actor=client, subject=account, client=client, detail=detail, origin=origin)
        )
