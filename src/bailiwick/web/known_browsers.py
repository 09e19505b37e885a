"""Known browsers: those that logged in to an account before, whose guesses at its password are counted apart.

Strangers who guess at a name make everybody wait who gives that name, so that one guess per wait would keep a
person out for ever. A browser that was let in before holds a signed cookie, and is counted by it: OWASP,
"Slow Down Online Guessing Attacks with Device Cookies".
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bailiwick.authority.records import Account
from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .cookies import read_cookie
from .seal import Seal

__all__ = ["KnownBrowsers"]

# As the session's cookie (`session.COOKIE`): no neighbouring host can plant it.
COOKIE: Final = "__Host-bailiwick-known"
COOKIE_ON_LOOPBACK: Final = "bailiwick-known"
KIND: Final = "known browser"
# Accounts that one browser is known to: those of a family, or a person's own and the administrator's.
ACCOUNTS: Final = 4
# 128 bits: nobody meets the count of another browser by chance.
NONCE_BYTES: Final = 16


class KnownBrowsers:
    """Recognises the browsers of an account, and makes a browser one of them.

    The cookie holds a random number for each account, sealed with what only the authority knows: the account's id and
    the hash of its password. So it names nobody, serves for no other account, and is worth nothing after the password
    was changed. It lets nobody in: a thief of it has as few guesses as its owner.

    Args:
        key: 256 bits that only this authority knows, and uses for nothing else.
        lifetime: seconds for which a browser is known after it logged in.
        https: the authority is served over https; otherwise it is on loopback.
        token_bytes: the source of randomness.
    """

    def __init__(self, key: bytes, *, lifetime: int, https: bool, token_bytes: Callable[[int], bytes]) -> None:
        self._seal = Seal(key)
        self._lifetime = lifetime
        self._https = https
        self._cookie = COOKIE if https else COOKIE_ON_LOOPBACK
        self._token_bytes = token_bytes

    def recognise(self, request: Request, account: Account | None, now: float) -> str | None:
        """The number of the browser that sent a request, if it logged in to this account before.

        Args:
            request: as it came.
            account: whose password it is about to show; None: there is nobody of that name.
            now: seconds since the epoch.
        """
        return next((number for number in self._numbers(request, account, now) if number is not None), None)

    def remember(self, request: Request, account: Account, response: Response, now: float) -> Response:
        """Let the browser be known to an account, to which it has just logged in.

        Its number stays the same, so that earlier copies of the cookie share its count.

        Args:
            request: as it came.
            account: to whom it logged in.
            response: what the cookie is sent with.
            now: seconds since the epoch.
        """
        numbers = self._numbers(request, account, now)
        number = next((number for number in numbers if number is not None), None)
        others = [sealed for sealed, found in zip(self._sealed(request), numbers, strict=True) if found is None]
        mine = self._seal.close(
            KIND,
            {"number": number or self._token_bytes(NONCE_BYTES).hex()},
            browser=_whose(account),
            until=now + self._lifetime,
        )
        response.set_cookie(
            self._cookie,
            ".".join([mine, *others][:ACCOUNTS]),
            max_age=self._lifetime,
            path="/",
            secure=self._https,
            httponly=True,
            # It is wanted when our own page is sent back, and never when another site leads here.
            samesite="strict",
        )
        return response

    def _sealed(self, request: Request) -> list[str]:
        return (read_cookie(request, self._cookie) or "").split(".")[:ACCOUNTS]

    def _numbers(self, request: Request, account: Account | None, now: float) -> list[str | None]:
        """Of each part of the cookie, the number in it, if it was made for this account."""
        return [self._open(sealed, account, now) for sealed in self._sealed(request)]

    def _open(self, sealed: str, account: Account | None, now: float) -> str | None:
        try:
            number: str = self._seal.open(KIND, sealed, browser=_whose(account), now=now)["number"]
        except Refused:
            return None
        return number


def _whose(account: Account | None) -> str:
    # Nothing is ever sealed for nobody: looking for it only takes as long.
    return f"{account.id} {opaque.digest(account.password or '')}" if account is not None else ""
