"""Follows an authority's revocation feed, so that an API in another process knows what no longer holds.

    feed = RevocationFeed("https://auth.example.com", keys=keyring, client_id="reports", client_secret=secret)
    verifier = JWTVerifier(keyring, issuer="https://auth.example.com", audience=..., checks=(feed.check,))

    @asynccontextmanager
    async def lifespan(app):
        async with feed:
            yield

One request at a time waits at the authority until there is news. What arrives is believed for its
signature and not for its way: only a signed document proves how old our knowledge is, and "304 Not
Modified", which anybody on the way could say, proves nothing.

A feed of whatever length is read, a page at a time. Each page is signed and names the number after which it goes on, and
a line never gets a number below one that was told: so the page after which there are no more proves that everything is
known up to the moment at which it was asked for.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from base64 import b64encode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote_plus

import httpx

from bailiwick.errors import BailiwickError, ConfigurationError, InvalidToken, Unavailable
from bailiwick.scopes import Principal
from bailiwick.tokens import ALGORITHMS, KeySource, Revocations
from bailiwick.tokens.clock import system_clock
from bailiwick.tokens.jws import read, read_claims
from bailiwick.tokens.revoked import KINDS

__all__ = ["RevocationFeed"]

log = logging.getLogger("bailiwick.remote")

FEED_TYPE: Final = "revocations+jwt"
# Lines of a page, and what an answer may have at most: a line has some 140 bytes as base64url, and 3 KB at most.
PAGE: Final = 2_000
MAX_BYTES: Final = 8 * 1024 * 1024
# Beyond so many lines the log is told, once. A line takes some 450 bytes, and twice that while all are loaded anew.
MAX_LINES: Final = 100_000
# Everything is loaded anew when this many times as long has passed as that took: whatever the feed's length, a tenth of
# the time is spent on it at most, at either end.
REST: Final = 10
# By how many seconds the clocks may differ, and so how old a document may be that somebody kept back: as
# much as verifiers forgive by default.
MAX_SKEW: Final = 30
# How long one request waits for news at most: less than the minute after which proxies give up.
LONGEST_WAIT: Final = 20
# Seconds between two requests where the authority does not let us wait; a withdrawal is to be known within one.
LOOK_EVERY: Final = 0.5
# After a failure: the first pause and the longest, in seconds; each is twice the one before, and up to half as
# much again, so that a thousand followers do not come back in the same moment.
FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 10.0
# Keys of one name and algorithm that a document is tried against.
MAX_CANDIDATES: Final = 8


class Unfit(Exception):
    """An answer of the feed that cannot be believed or used, and why. It never leaves this file."""


@dataclass(frozen=True, slots=True)
class Document:
    """A document of the feed whose signature was verified; a page of it, where `newest` is above `last`."""

    after: int
    last: int
    newest: int
    lines: tuple[tuple[int, str, str, float, float, str], ...]  # number, kind, key, at, until, scope


class RevocationFeed:
    """What was revoked at an authority, followed from another process.

    `check` goes into `JWTVerifier(checks=(feed.check,))`: it refuses tokens that were revoked (401, BW213), and takes
    from the others the scopes that were withdrawn. Entered with `async with`, it follows until it is left.

    Args:
        issuer: the authority's identifier; documents of anybody else are not believed.
        keys: its keys, such as those that verify its tokens.
        url: where the feed lies; `/revocations` below the issuer by default.
        max_age: for how many seconds what is known may be relied on without another signed document, at least 3.
        stale: what happens afterwards: "closed" refuses every token (503, BW505), "open" lets those through of which
            nothing bad is known. Either is written into the log once.
        timeout: seconds in which the authority has to begin an answer, the time not counted for which it was
            asked to wait.
        client_id: the client by which this follower says who it is; one that may follow (`bailiwick client add NAME
            --follows-revocations`). Empty where the authority's feed is public, or `http` says who asks.
        client_secret: its secret.
        max_bytes: the longest answer that is read, in bytes; a page that is longer is asked for in smaller ones.
        max_lines: with more living revocations than this a warning is logged, once. They are kept all the same, about 450
            bytes each, and twice that while all are loaded anew.
        http: the client that asks, for proxies and certificates of one's own; it stays the caller's to close. Redirects
            are never followed with it.
        now: the clock, in seconds since 1970-01-01 UTC.
        monotonic: a clock that never goes back, in seconds; ages are measured with it.

    Raises:
        ConfigurationError: an address is not https (http is for loopback), a setting is out of range, or there is one of
            client_id and client_secret without the other.
    """

    def __init__(
        self,
        issuer: str,
        *,
        keys: KeySource,
        url: str | None = None,
        max_age: float = 60.0,
        stale: Literal["closed", "open"] = "closed",
        timeout: float = 5.0,
        client_id: str = "",
        client_secret: str = "",
        max_bytes: int = MAX_BYTES,
        max_lines: int = MAX_LINES,
        http: httpx.AsyncClient | None = None,
        now: Callable[[], float] = system_clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        given: object = keys
        if isinstance(given, str | bytes) or not isinstance(given, KeySource):
            raise ConfigurationError(f"keys must be a Keyring or another KeySource, not {type(keys).__name__}.")
        if stale not in ("closed", "open"):
            raise ConfigurationError(f'stale is "closed" or "open", not {stale!r}.')
        if not max_age >= 3 or not timeout > 0 or max_bytes < 1 or max_lines < 1:
            raise ConfigurationError("max_age is at least 3 seconds; timeout, max_bytes and max_lines are positive.")
        if bool(client_id) != bool(client_secret):
            raise ConfigurationError("client_id and client_secret of a revocation feed go together.")
        self.issuer = issuer
        self.url = _checked(url if url is not None else f"{issuer}/revocations")
        self.max_age = max_age
        self.stale: Literal["closed", "open"] = stale
        self._keys = keys
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._max_lines = max_lines
        self._page = PAGE
        self._authorization = _basic(client_id, client_secret) if client_id else None
        self._given_http = http
        self._http: httpx.AsyncClient | None = None
        self._now = now
        self._monotonic = monotonic
        self._revocations = Revocations()
        self._last = 0
        # The mark of the last answer, and the question that it belongs to.
        self._mark = (-1, "")
        self._proved_at = float("-inf")
        self._whole_at = float("-inf")
        self._loading = 0.0
        # What was loaded of the whole when that broke off, and up to which number.
        self._begun: tuple[Revocations, int] | None = None
        self._said_stale = self._said_many = False
        self._asking: asyncio.Task[bool] | None = None
        self._following: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<RevocationFeed {self.url!r}: {len(self._revocations)} revocations, {self.age:.0f} s old>"

    @property
    def age(self) -> float:
        """Seconds since our knowledge was proved to be whole; infinite before the first time."""
        return self._monotonic() - self._proved_at

    # -- the check ------------------------------------------------------------------------------

    def check(self, principal: Principal) -> Principal | None:
        """Whether a token still holds, and with which scopes: for `JWTVerifier(checks=...)`.

        Args:
            principal: as the token proves.

        Returns:
            The principal with the scopes that are left; None if nothing was taken from him.

        Raises:
            InvalidToken: the token was revoked (BW213), or is of another issuer (BW206).
            Unavailable: what is known is too old to tell, and `stale` is "closed" (BW505).
        """
        if self._monotonic() - self._proved_at > self.max_age:
            self._check_stale()
        if principal.issuer != self.issuer:
            # Wired to the wrong verifier it would say "not revoked" of everything.
            raise InvalidToken("The token was issued by someone else.", detail="another issuer's feed", id="BW206")
        left = self._revocations.apply(principal)
        return None if left is principal else left

    def _check_stale(self) -> None:
        if not self._said_stale:
            self._said_stale = True
            log.error(
                "The revocation feed %s was not heard of for more than %g seconds: %s. [BW505]",
                self.url,
                self.max_age,
                "every token is refused" if self.stale == "closed" else "tokens pass although they may be revoked",
            )
        if self.stale == "closed":
            raise Unavailable(
                "It cannot be told at this moment whether the token was revoked.",
                detail=f"The revocation feed {self.url} is older than {self.max_age:g} seconds.",
                id="BW505",
                retry_after=max(1, round(LONGEST_PAUSE)),
            )

    # -- its life -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Ask once, and follow from now on. An authority that cannot be reached keeps nobody from starting."""
        if self._following is not None:
            raise RuntimeError("The feed is followed already.")
        if self._given_http is None:
            self._http = httpx.AsyncClient(follow_redirects=False, limits=httpx.Limits(max_connections=2))
        await self.refresh()
        self._following = asyncio.create_task(self._follow(), name="bailiwick revocation feed")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in (self._following, self._asking):
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
        self._following = self._asking = None
        opened, self._http = self._http, None
        if opened is not None:
            await opened.aclose()

    async def refresh(self) -> bool:
        """Fetch everything anew, at once. Whoever asks meanwhile shares the answer.

        Returns:
            Whether it could be had; what was known before is kept if not.
        """
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._tried(self._load()))
        return await asyncio.shield(self._asking)

    async def _follow(self) -> None:
        pause = FIRST_PAUSE
        while True:
            began = self._monotonic()
            # A third of the bound: two requests may fail before anything is refused. It is fetched whole, because
            # that heals numbers that a database gave once more; less often where that takes long.
            due = began - self._whole_at >= max(self.max_age / 3, REST * self._loading)
            loaded = due and await self.refresh()
            # Whatever keeps the whole from arriving, what is known goes on to be followed.
            done = loaded or ((not due or self.age < float("inf")) and await self._tried(self._wait_for_news()))
            if not done:
                await asyncio.sleep(pause * random.uniform(1, 1.5))  # noqa: S311 - spreads requests, guards nothing
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            pause = FIRST_PAUSE
            # An authority with too many followers answers at once instead of letting us wait.
            if not loaded:
                await asyncio.sleep(max(0.0, LOOK_EVERY - (self._monotonic() - began)))

    async def _tried(self, asking: Awaitable[None]) -> bool:
        try:
            await asking
        except (httpx.HTTPError, OSError, Unfit, BailiwickError) as why:
            log.warning("The revocation feed %s could not be followed: %s", self.url, str(why) or type(why).__name__)
            return False
        except Exception:
            # A follower that dies of a surprise would be too old for ever; one that tries again may recover.
            log.exception("The revocation feed %s could not be followed.", self.url)
            return False
        if self._said_stale and self.age <= self.max_age:
            self._said_stale = False
            log.info("The revocation feed %s is followed again.", self.url)
        return True

    # -- what is asked --------------------------------------------------------------------------

    async def _load(self) -> None:
        """Everything that matters, in place of what was known, which goes on to be followed meanwhile."""
        began = self._monotonic()
        # If the last attempt broke off, it goes on where that was: otherwise a line that breaks now and then would never
        # bring all of a long feed.
        known, last = self._begun or (Revocations(), 0)
        while True:
            asked_at, before = self._monotonic(), self._last
            document = await self._page_after(last)
            if document.newest < last:
                known, last = Revocations(), 0  # the numbers began anew
                continue
            self._add(document, known)
            last = document.last
            self._begun = known, last
            # While this was asked, the follower may have heard of more: that must not be forgotten for a moment either.
            if document.newest <= last and not last < self._last != before:
                break
            if LOOK_EVERY <= self.age < float("inf"):
                await self._look()
        self._begun = None
        known.forget_before(self._now())
        self._revocations, self._last = known, last
        self._proved_at = max(self._proved_at, asked_at)
        self._whole_at, self._loading = asked_at, self._monotonic() - began

    async def _wait_for_news(self) -> None:
        """What is new, as soon as there is something; or a signed word that there is nothing, when that is due."""
        left = self.max_age / 3 - self.age
        if left <= 0:
            await self._look()
            return
        asked_at = self._monotonic()
        document = await self._ask(after=self._last, wait=max(1, min(LONGEST_WAIT, int(left))))
        self._revocations.forget_before(self._now())
        if document is not None and not self._take(document, asked_at):
            await self._look()

    async def _look(self) -> None:
        """What is new at this moment, page after page."""
        while True:
            asked_at = self._monotonic()
            if self._take(await self._page_after(self._last), asked_at):
                return

    def _take(self, document: Document, asked_at: float) -> bool:
        """Remember what is new; whether that is all."""
        if document.newest < self._last:
            # A database that was brought back gives numbers anew: it is not known which of its lines are news.
            self._whole_at = float("-inf")
            return True
        self._add(document, self._revocations)
        self._last = document.last
        if document.newest > document.last:
            return False
        self._proved_at = max(self._proved_at, asked_at)
        return True

    def _add(self, document: Document, known: Revocations) -> None:
        now = self._now()
        for number, kind, key, at, until, scope in document.lines:
            if until > now:
                known.add(kind, key, at=at, until=until, number=number, scope=scope)
        if len(known) > self._max_lines and not self._said_many:
            self._said_many = True
            log.warning(
                "The revocation feed %s tells of more than %d revocations; they take some 450 bytes each.",
                self.url,
                self._max_lines,
            )

    async def _page_after(self, after: int) -> Document:
        document = await self._ask(after=after)
        if document is None:
            raise Unfit("it answered 304 to a question without conditions")
        return document

    async def _ask(self, *, after: int, wait: int = 0) -> Document | None:
        """One request: what it answers, verified; None if it says that there is no news."""
        http = self._given_http or self._http
        if http is None:
            raise Unfit("nobody follows it; enter it with `async with`")
        headers = {"accept": f"application/{FEED_TYPE}", "accept-encoding": "identity"}
        if self._authorization is not None:
            headers["authorization"] = self._authorization
        marked_after, mark = self._mark
        known = wait > 0 and mark != "" and marked_after == after
        if known:
            headers["if-none-match"] = mark
        params = {"after": after, "limit": self._page} | ({"wait": wait} if wait else {})
        # Not the time for which it holds its answer back, but that without which nothing comes any more.
        patience = httpx.Timeout(self._timeout, read=self._timeout + wait)
        # And never longer, however slowly it drips.
        async with (
            asyncio.timeout(2 * self._timeout + wait),
            http.stream(
                "GET", self.url, params=params, headers=headers, timeout=patience, follow_redirects=False
            ) as response,
        ):
            if response.status_code == 304 and known:
                return None
            text = await self._text(response)
            mark = response.headers.get("etag", "")
        document = await self._read(text, after)
        self._mark = (after, mark)
        return document

    async def _text(self, response: httpx.Response) -> str:
        """The body of an answer that has the right form, never more of it than `max_bytes`."""
        # A redirect is none: whoever may send us elsewhere may as well choose what we hear.
        if response.status_code in (401, 403):
            raise Unfit(f"it answered {response.status_code}: name a client that may follow it, and its secret")
        if response.status_code != 200:
            raise Unfit(f"it answered {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise Unfit("its answer is compressed")
        if response.headers.get("content-type", "").partition(";")[0].strip() != f"application/{FEED_TYPE}":
            raise Unfit("its answer is of another type")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                # Long names; the next attempt asks for less at once.
                self._page = max(1, self._page // 2)
                raise Unfit(f"its answer is longer than {self._max_bytes} bytes")
        try:
            return body.decode("ascii")
        except UnicodeDecodeError:
            raise Unfit("its answer is no signed document") from None

    async def _read(self, text: str, after: int) -> Document:
        """The document, if the issuer signed it, just now, and for this question."""
        envelope = read(text, max_bytes=self._max_bytes)
        # An access token is signed by the same keys (RFC 8725 section 3.11).
        if envelope.typ is None or envelope.typ.lower().removeprefix("application/") != FEED_TYPE:
            raise Unfit("what it signed is something else")
        if envelope.alg not in ALGORITHMS:
            raise Unfit("its algorithm is unknown")
        keys = (await self._keys.find(envelope.kid, envelope.alg))[:MAX_CANDIDATES]
        if not any(key.alg == envelope.alg and key.verify(envelope.signing_input, envelope.signature) for key in keys):
            raise Unfit("its signature does not verify")
        claims = read_claims(envelope.payload)
        if claims.get("iss") != self.issuer:
            raise Unfit("it was signed by another issuer")
        now, made, ends = self._now(), _number(claims, "iat"), _number(claims, "exp")
        # Kept back by somebody on the way, it would hide what was revoked since.
        if not abs(now - made) <= MAX_SKEW or now >= ends:
            raise Unfit("it is too old, or of the future")
        last = claims.get("last")
        # An authority that knows of no pages tells everything at once.
        newest = claims.get("newest", last)
        if claims.get("after") != after or type(last) is not int or type(newest) is not int or last < after:
            raise Unfit("it answers another question")
        if newest > last == after:
            raise Unfit("it says that there is more, and tells nothing")
        lines = claims.get("lines")
        if not isinstance(lines, list):
            raise Unfit("its lines are missing")
        return Document(after, last, newest, tuple(_line(line) for line in lines))


def _line(line: Any) -> tuple[int, str, str, float, float, str]:
    """A line of the document. One that is not understood spoils it: what it revokes would go on to be let through."""
    if not isinstance(line, list) or len(line) != 6:
        raise Unfit("a line has another form")
    number, kind, key, at, until, scope = line
    texts = isinstance(key, str) and isinstance(scope, str)
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (at, until))
    if type(number) is not int or kind not in KINDS or not texts or not numbers or bool(scope) != (kind == "scope"):
        raise Unfit("a line is of a kind that is not known here")
    return number, kind, key, float(at), float(until), scope


def _basic(client_id: str, client_secret: str) -> str:
    """What an Authorization header says of a client: each half form-encoded first (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return "Basic " + b64encode(pair.encode("ascii")).decode("ascii")


def _number(claims: dict[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f'its "{name}" is not a number')
    return float(value)


def _checked(url: str) -> str:
    """The address, if nobody on the way can read or change what it answers."""
    try:
        parts = httpx.URL(url)
    except (httpx.InvalidURL, TypeError) as bad:
        raise ConfigurationError(f"The address of the revocation feed is not a URL: {url!r}.") from bad
    if parts.scheme != "https" and not (parts.scheme == "http" and _is_loopback(parts.host)):
        raise ConfigurationError(f"The revocation feed {url!r} must be https (http is for loopback only).")
    if not parts.host or parts.userinfo or parts.query or parts.fragment:
        raise ConfigurationError(f"The revocation feed {url!r} must have a host, and no user, query or fragment.")
    return url


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
