"""Browser sessions: which person is logged in at the browser that asks.

The browser holds 256 random bits in a cookie, the store only their digest. A browser that nobody is
logged in at holds such a value as well, so that its forms can be bound to it; at login it gets a
new one, whatever it held before (session fixation, RFC 9700 section 4.7 and OWASP ASVS 3.2.1).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bailiwick.authority.consent import LoggedIn
from bailiwick.authority.records import Account, Event, Origin, Session
from bailiwick.authority.settings import Lifetimes
from bailiwick.authority.store import CLOCK_SKEW, Store
from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .cookies import read_cookie

__all__ = ["Browser", "Sessions"]

# The prefix makes browsers insist on Secure, Path=/ and no Domain: no neighbouring host can plant the
# cookie (RFC 6265bis section 4.1.3.2). They know no such cookie over http, which is for loopback only.
COOKIE: Final = "__Host-bailiwick"
COOKIE_ON_LOOPBACK: Final = "bailiwick"

# A session's idle end moves once in so many seconds, and not with each request: it is a write.
MOVED_EVERY: Final = 60


@dataclass(frozen=True, slots=True)
class Browser:
    """The browser that asks.

    Args:
        value: what its cookie holds, or will hold.
        kept: it sent that cookie; otherwise the answer has to set it.
        session: who is logged in at it; None if nobody is.
    """

    value: str = field(repr=False)
    kept: bool
    session: Session | None = None

    @property
    def logged_in(self) -> LoggedIn | None:
        """Who is logged in, in the authority's words."""
        if self.session is None:
            return None
        return LoggedIn(self.session.subject, self.session.authenticated_at)


class Sessions:
    """Begins, finds and ends sessions.

    Args:
        store: keeps them.
        lifetimes: how long they last.
        https: the authority is served over https; otherwise it is on loopback.
        token_bytes: the source of randomness.
    """

    def __init__(self, store: Store, lifetimes: Lifetimes, *, https: bool, token_bytes: Callable[[int], bytes]) -> None:
        self._store = store
        self._lifetimes = lifetimes
        self._https = https
        self._cookie = COOKIE if https else COOKIE_ON_LOOPBACK
        self._token_bytes = token_bytes

    async def of(self, request: Request, *, now: float) -> Browser:
        """The browser that sent a request.

        Args:
            request: as it came.
            now: seconds since the epoch.
        """
        value = self._read(request)
        if value is None:
            return Browser(self._mint(), kept=False)
        digest = opaque.digest(value)
        session = await self._store.session(digest, now)
        if session is not None and session.idle_until > now + self._lifetimes.session_idle + CLOCK_SKEW:
            session = None  # Silent since before the clock was set back, for nobody knows how long.
        if session is not None:
            idle_until = min(now + self._lifetimes.session_idle, session.expires_at)
            if idle_until - session.idle_until >= MOVED_EVERY:
                await self._store.prolong_session(digest, idle_until)
        return Browser(value, kept=True, session=session)

    async def open(self, browser: Browser, account: Account, *, origin: Origin, now: float) -> Browser:
        """Log a person in: the browser gets a new value, and what it held is worth nothing any more.

        Args:
            browser: where they are.
            account: who they are, as they were when they proved it.
            origin: from where, for the journal.
            now: seconds since the epoch.

        Raises:
            Refused: invalid_grant (BW407): their account was changed or disabled at that very moment.
        """
        value = self._mint()
        session = Session(
            digest=opaque.digest(value),
            subject=account.id,
            authenticated_at=now,
            idle_until=now + self._lifetimes.session_idle,
            expires_at=now + self._lifetimes.session,
        )
        event = Event(now, "session.opened", actor=account.id, subject=account.id, origin=origin)
        if not await self._store.open_session(session, event, account=account, instead_of=opaque.digest(browser.value)):
            raise Refused("invalid_grant", "The name or the password is wrong.", id="BW407")
        return Browser(value, kept=False, session=session)

    async def close(self, browser: Browser, *, origin: Origin, now: float) -> None:
        """Log whoever is there out."""
        if browser.session is not None:
            subject = browser.session.subject
            event = Event(now, "session.closed", actor=subject, subject=subject, origin=origin)
            await self._store.close_session(browser.session.digest, event)

    def remember(self, browser: Browser, response: Response) -> Response:
        """Let the browser keep its value, if it does not hold it yet.

        There is no Max-Age: the browser forgets it when it is closed, and the store decides anyway.
        """
        if not browser.kept:
            response.set_cookie(
                self._cookie, browser.value, path="/", secure=self._https, httponly=True, samesite="lax"
            )
        return response

    def forget(self, response: Response) -> Response:
        """Let the browser drop its value."""
        response.delete_cookie(self._cookie, path="/", secure=self._https, httponly=True, samesite="lax")
        return response

    def _mint(self) -> str:
        return opaque.mint(self._token_bytes, opaque.Kind.SESSION)

    def _read(self, request: Request) -> str | None:
        """The cookie's value; None if it is none of ours."""
        value = read_cookie(request, self._cookie)
        return value if value is not None and opaque.is_well_formed(value, opaque.Kind.SESSION) else None
