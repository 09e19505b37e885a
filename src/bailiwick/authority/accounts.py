"""People: who they are when they log in, and what they may have.

A wrong password, an unknown name and a disabled person get the same answer after the same work,
so that nobody learns which names exist (CVE-2026-22746).
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, Protocol

from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .attempts import Attempts, guessing, guessing_under, may_guess, network_of
from .records import Account, Event, Origin, Standing, is_name_length, name_key
from .refusals import Refusals
from .request import Disconnected
from .store import Store

__all__ = ["Accounts", "Caller", "PasswordHasher", "Recognise", "Verdict", "prepare_password"]

# Argon2id reads any length, but nobody's password is a book: bounds the work that a request can ask for.
MAX_PASSWORD: Final = 1024


class Verdict(Enum):
    """What a password hasher says about a password."""

    RIGHT = "right"
    RIGHT_BUT_WEAK = "right, but its hash was made with weaker parameters than today's"
    WRONG = "wrong"


# Names the browser that logged in to an account before, by what its cookie holds; None for any other browser. It is asked
# about no account too, and does the same work.
Recognise = Callable[[Account | None], str | None]


@dataclass(frozen=True, slots=True)
class Caller:
    """Names on whose behalf a password is checked, so that checks are shared out fairly among callers.

    Args:
        name: whose password it is, or a digest of the name.
        network: from where, as `attempts.network_of` has it.
        disconnected: returns once the caller has hung up; None where nobody can tell.
    """

    name: str
    network: str
    disconnected: Disconnected | None = field(default=None, compare=False, repr=False)


class PasswordHasher(Protocol):
    """Makes and checks hashes of passwords, off the event loop and bounded.

    Both raise `Unavailable` (BW504) when too many others are waiting. Without a caller it is the operator's act.
    """

    async def hash(self, password: str, caller: Caller | None = None) -> str:
        """Make a hash that says how it was made."""

    async def verify(self, hash: str | None, password: str, caller: Caller | None = None) -> Verdict:
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


@dataclass(frozen=True, slots=True)
class _KnownBrowser:
    """Names under which the guesses of a browser that logged in before are counted.

    Args:
        browser: its own.
        account: that of all such browsers of the account, so that many cookies are not many times the guesses.
    """

    browser: str
    account: str


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

    async def log_in(
        self,
        name: str,
        password: str,
        *,
        client: str,
        origin: Origin,
        now: float,
        recognise: Recognise | None = None,
        disconnected: Disconnected | None = None,
    ) -> Standing:
        """Check a name and a password.

        Args:
            name: as typed.
            password: as typed.
            client: through which client, for the journal.
            origin: from where, for the journal.
            now: seconds since the epoch.
            recognise: names the browser, if it logged in to an account before; None where there is no browser.
            disconnected: returns once whoever asks has hung up; None where nobody can tell.

        Returns:
            The person, with what they may have right now.

        Raises:
            Refused: invalid_grant (BW407), for whatever reason; slow_down (BW416) after too many wrong ones, whether
                or not there is somebody of that name.
            Unavailable: too many password checks are waiting.
        """
        # Nobody has a name that is too long: all of them are counted as one.
        whose, network = opaque.digest(name_key(name) if is_name_length(name) else ""), network_of(origin.address)
        known = await self._known_browser(name, recognise, now) if recognise is not None else None
        if known is not None:
            # Strangers' guesses do not keep out a browser that was let in before, and their flood is not its own.
            caller = Caller(known.account, network, disconnected)
            guess = guessing_under(self._attempts, [known.browser], [known.account], now)
        else:
            caller = Caller(whose, network, disconnected)
            guess = guessing(self._attempts, "login", whose, origin.address, now)
        async with guess:
            return await self._check(name, password, client, origin, now, caller)

    async def _known_browser(self, name: str, recognise: Recognise, now: float) -> _KnownBrowser | None:
        """The names under which a browser's own guesses are counted; None once it has used them up."""
        account = await self._account(name)
        browser = recognise(account)
        if account is None or browser is None:
            return None
        known = _KnownBrowser(f"login:browser {browser}", f"login:browsers of {account.id}")
        try:
            await may_guess(self._attempts, [known.browser], [known.account], now)
        except Refused:
            # Whoever stole the cookie is a stranger again, and so is its owner.
            return None
        return known

    async def _account(self, name: str) -> Account | None:
        return await self._store.account_named(name) if is_name_length(name) and "\0" not in name else None

    async def _check(self, name: str, typed: str, client: str, origin: Origin, now: float, caller: Caller) -> Standing:
        account = await self._account(name)
        known = account.password if account is not None else None
        password = prepare_password(typed)
        if password is None:
            known, password = None, ""  # the same work, and nobody's password
        verdict = await self._hasher.verify(known, password, caller)
        if account is None or verdict is Verdict.WRONG or account.disabled_at is not None:
            self._journal_failure(account.id if account else "", verdict, client, origin, now)
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407", journaled=True)
        checked = account.password
        if verdict is Verdict.RIGHT_BUT_WEAK and checked is not None:
            stronger = await self._hasher.hash(password, caller)
            if await self._store.rehash(account.id, checked, stronger):
                checked = stronger
        standing = await self._store.standing(account.id)
        if standing is None or not await self._still_stands(standing.account, checked, password, caller):
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407")
        return standing

    async def _still_stands(self, account: Account, checked: str | None, password: str, caller: Caller) -> bool:
        """Whether nobody disabled the person or replaced the password while it was being checked.

        Hashing takes its time, and whoever knew the password of before must not come in on it. Another
        login may have strengthened the hash of the same password meanwhile; that is no reason to refuse.
        """
        if account.disabled_at is not None or account.password is None:
            return False
        if account.password == checked:
            return True
        return await self._hasher.verify(account.password, password, caller) is not Verdict.WRONG

    def _journal_failure(self, account: str, verdict: Verdict, client: str, origin: Origin, now: float) -> None:
        # An unknown name is not written down: it is often a password typed into the wrong field.
        detail = "unknown name" if not account else "disabled" if verdict is not Verdict.WRONG else "wrong password"
        self._refusals.note(
            Event(now, "login.failed", actor=client, subject=account, client=client, detail=detail, origin=origin)
        )
