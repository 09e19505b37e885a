"""Where people meet the authority: authorize, log in, consent, connect a device, log out.

Only a POST that proves to come from one of our own pages changes anything, and it is answered by a
303, so that nothing is sent twice by going back or loading again. What waits meanwhile travels in
the address, sealed for the one browser that it belongs to.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from bailiwick.authority import Authority, read_form
from bailiwick.authority.authorization_request import AuthorizationRequest
from bailiwick.authority.consent import Decision, LoggedIn
from bailiwick.authority.device import DeviceTicket
from bailiwick.authority.outcome import NeedsConsent, NeedsLogin, Outcome, Redirect, ShowError
from bailiwick.authority.records import Account, Client, Origin
from bailiwick.errors import BailiwickError, Refused
from bailiwick.scopes import ScopeSet

from .endpoints import NAMED, disconnected, origin_of
from .form import read_form as read_body
from .form import read_page
from .known_browsers import KnownBrowsers
from .pages import HEADERS, Pages
from .refusals import Refusals
from .seal import Seal
from .session import Browser, Sessions

__all__ = ["People"]

# What a query of ours cannot exceed; servers and proxies draw the line between 8 and 64 KiB.
MAX_QUERY: Final = 16_384
MAX_CODE: Final = 64

Page = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What goes on once somebody is logged in.

    Args:
        request: a client's request; None if none brought them here.
        device: the code that they want to type, "" for one that they have not seen; None if it is no device.
    """

    request: AuthorizationRequest | None = None
    device: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """As JSON has it, for sealing."""
        return {"request": self.request.to_dict() if self.request is not None else None, "device": self.device}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Waiting:
        """Read what `to_dict` wrote; the seal says that it was, though perhaps an older version of it."""
        request = kept.get("request")
        return cls(AuthorizationRequest.from_dict(request) if request is not None else None, kept.get("device"))


class Form:
    """What one of our own pages sent back.

    Args:
        pairs: names and values.
    """

    def __init__(self, pairs: Sequence[tuple[str, str]]) -> None:
        self._pairs = pairs

    def one(self, name: str) -> str:
        """A field's value, "" if it was not sent.

        Raises:
            Refused: invalid_request, if it was sent twice: our pages do not.
        """
        values = self.many(name)
        if len(values) > 1:
            raise Refused("invalid_request", "The form holds a field twice.", id="BW400")
        return values[0] if values else ""

    def many(self, name: str) -> list[str]:
        """Every value of a field."""
        return [value for given, value in self._pairs if given == name]


class People:
    """The endpoints that answer with pages.

    Args:
        authority: decides.
        pages: writes.
        sessions: knows who is logged in.
        known: knows which browsers logged in before.
        seal: closes what travels through the browser.
        refusals: counts them in the journal.
        base: the path under which the endpoints lie, without a slash at its end.
    """

    def __init__(
        self,
        authority: Authority,
        pages: Pages,
        sessions: Sessions,
        known: KnownBrowsers,
        seal: Seal,
        refusals: Refusals,
        base: str,
    ) -> None:
        self._authority = authority
        self._pages = pages
        self._sessions = sessions
        self._known = known
        self._seal = seal
        self._refusals = refusals
        self._base = base

    # -- a client's request ------------------------------------------------------------------------

    async def authorize(self, request: Request) -> Response:
        """`GET|POST /authorize` (RFC 6749 section 3.1)."""
        if request.method == "POST":
            # Another site's POST brings no SameSite=Lax cookie; the GET that follows does.
            return self._go("/authorize", await read_body(request))
        now = self._authority.clock()
        browser = await self._sessions.of(request, now=now)
        pairs = _query(request)
        request.scope[NAMED] = next((value for name, value in pairs if name == "client_id"), "")
        outcome = await self._authority.authorization.begin(
            pairs, browser.logged_in, origin=origin_of(request), now=now
        )
        return self._follow(browser, outcome, now)

    def _follow(self, browser: Browser, outcome: Outcome, now: float) -> Response:
        """Answer as the authority decided."""
        match outcome:
            case ShowError():
                raise Refused(
                    outcome.code,
                    outcome.description,
                    status=outcome.status,
                    detail=outcome.detail,
                    id=outcome.id,
                    retry_after=outcome.retry_after,
                )
            case Redirect():
                response = self._pages.send(outcome)
            case NeedsLogin():
                response = self._go("/login", [("flow", self._close(browser, Waiting(outcome.request), now))])
            case NeedsConsent():
                response = self._go("/consent", [("flow", self._close(browser, Waiting(outcome.request), now))])
        return self._sessions.remember(browser, response)

    # -- logging in ----------------------------------------------------------------------------------

    async def login(self, request: Request) -> Response:
        """`GET|POST /login`."""
        now = self._authority.clock()
        browser = await self._sessions.of(request, now=now)
        if request.method == "POST":
            return await self._log_in(request, browser, now)
        flow = _single(_query(request), "flow")
        if flow:
            return await self._ask_who(browser, flow, now)
        if browser.session is None:
            return self._begin_login(browser, Waiting(), now)
        account = await self._account(browser.logged_in)
        return self._pages.said("You are logged in", f"You are {account.name}.", ("/logout", "Log out"))

    def _begin_login(self, browser: Browser, waiting: Waiting, now: float) -> Response:
        response = self._go("/login", [("flow", self._close(browser, waiting, now))])
        return self._sessions.remember(browser, response)

    async def _ask_who(
        self, browser: Browser, flow: str, now: float, *, name: str = "", problem: BailiwickError | None = None
    ) -> Response:
        waiting = self._open(browser, flow, now)
        asked = waiting.request
        known = await self._authority.store.account(browser.session.subject) if browser.session is not None else None
        return self._pages.login(
            flow=flow,
            proof=self._seal.proof("login", flow, browser=browser.value),
            client=await self._asking(asked, now) if asked is not None else None,
            device=waiting.device is not None,
            # Only where the request itself wants it; others came here to be somebody else.
            fresh=known is not None and asked is not None and _wants_fresh(asked),
            name=name or (asked.hint if asked is not None else ""),
            problem=problem,
            leads_to=asked.redirect if asked is not None else None,
        )

    async def _asking(self, asked: AuthorizationRequest, now: float) -> Client | None:
        """The client behind a request that was checked already, for its name."""
        try:
            return await self._authority.documents.find(asked.client, origin=Origin(), now=now)
        except Refused:
            return None  # its document went away meanwhile; what comes after the login says so

    async def _log_in(self, request: Request, browser: Browser, now: float) -> Response:
        form = await self._form(request)
        flow = form.one("flow")
        self._check(browser, form, "login", flow)
        waiting = self._open(browser, flow, now)
        request.scope[NAMED] = waiting.request.client if waiting.request is not None else ""
        name, password = form.one("name"), form.one("password")
        origin = origin_of(request)
        try:
            standing = await self._authority.accounts.log_in(
                name,
                password,
                client=waiting.request.client if waiting.request is not None else "",
                origin=origin,
                now=now,
                recognise=lambda account: self._known.recognise(request, account, now),
                disconnected=lambda: disconnected(request),
            )
            browser = await self._sessions.open(browser, standing.account, origin=origin, now=now)
        except Refused as why:
            await self._refusals.count_shown(request, why)
            return await self._ask_who(browser, flow, now, name=name, problem=why)
        response = await self._resume(request, browser, waiting, now)
        return self._known.remember(request, standing.account, response, now)

    async def _resume(self, request: Request, browser: Browser, waiting: Waiting, now: float) -> Response:
        if waiting.request is not None:
            outcome = await self._authority.authorization.resume(
                waiting.request, browser.logged_in, origin=origin_of(request), now=now
            )
            return self._follow(browser, outcome, now)
        if waiting.device is not None:
            code = [("user_code", waiting.device)] if waiting.device else []
            return self._sessions.remember(browser, self._go("/device", code))
        return self._sessions.remember(browser, self._go("/login"))

    # -- consent -------------------------------------------------------------------------------------

    async def consent(self, request: Request) -> Response:
        """`GET|POST /consent`."""
        now = self._authority.clock()
        browser = await self._sessions.of(request, now=now)
        endpoint, origin = self._authority.authorization, origin_of(request)
        if request.method == "POST":
            form = await self._form(request)
            flow = form.one("flow")
            self._check(browser, form, "consent", flow)
            outcome = await endpoint.decide(
                self._request(browser, flow, now), browser.logged_in, _decision(form), origin=origin, now=now
            )
            return self._follow(browser, outcome, now)
        flow = _single(_query(request), "flow")
        outcome = await endpoint.resume(self._request(browser, flow, now), browser.logged_in, origin=origin, now=now)
        if isinstance(outcome, NeedsConsent):
            return self._pages.consent(
                outcome, flow=flow, proof=self._seal.proof("consent", flow, browser=browser.value)
            )
        return self._follow(browser, outcome, now)

    def _request(self, browser: Browser, flow: str, now: float) -> AuthorizationRequest:
        waiting = self._open(browser, flow, now)
        if waiting.request is None:
            raise Refused("invalid_request", "There is no request to decide on.", id="BW400")
        return waiting.request

    # -- devices -------------------------------------------------------------------------------------

    async def device(self, request: Request) -> Response:
        """`GET|POST /device` (RFC 8628 section 3.3)."""
        now = self._authority.clock()
        browser = await self._sessions.of(request, now=now)
        if request.method == "POST":
            form = await self._form(request)
            flow = form.one("flow")
            self._check(browser, form, "device", flow)
            who = browser.logged_in
            if who is None:
                return self._begin_login(browser, Waiting(device=form.one("code")[:MAX_CODE]), now)
            if flow:
                return await self._decide_device(request, browser, who, form, flow, now)
            return await self._enter_code(request, browser, who, form.one("code"), now)
        pairs = _query(request)
        flow, code = _single(pairs, "flow"), _single(pairs, "user_code")[:MAX_CODE]
        who = browser.logged_in
        if who is None:
            return self._begin_login(browser, Waiting(device=code), now)
        if flow:
            return await self._show_device(browser, who, flow, now)
        return await self._ask_code(browser, who, code)

    async def _ask_code(
        self, browser: Browser, who: LoggedIn, code: str, problem: BailiwickError | None = None
    ) -> Response:
        return self._pages.device_code(
            await self._account(who),
            proof=self._seal.proof("device", "", browser=browser.value),
            code=code,
            problem=problem,
        )

    async def _enter_code(self, request: Request, browser: Browser, who: LoggedIn, typed: str, now: float) -> Response:
        try:
            asked = await self._authority.device.enter(typed, who, origin=origin_of(request), now=now)
        except Refused as why:
            await self._refusals.count_shown(request, why)
            return await self._ask_code(browser, who, typed[:MAX_CODE], why)
        return self._go("/device", [("flow", self._close_device(browser, {"ticket": asked.ticket.to_dict()}, now))])

    async def _show_device(self, browser: Browser, who: LoggedIn, flow: str, now: float) -> Response:
        kept = self._seal.open("device", flow, browser=browser.value, now=now)
        if "approved" in kept:
            return self._pages.device_done(approved=kept["approved"])
        asked = await self._authority.device.question(DeviceTicket.from_dict(kept.get("ticket", {})), who, now=now)
        return self._pages.device_consent(
            asked, flow=flow, proof=self._seal.proof("device", flow, browser=browser.value)
        )

    async def _decide_device(
        self, request: Request, browser: Browser, who: LoggedIn, form: Form, flow: str, now: float
    ) -> Response:
        kept = self._seal.open("device", flow, browser=browser.value, now=now)
        ticket = DeviceTicket.from_dict(kept.get("ticket", {}))
        approved = await self._authority.device.decide(ticket, who, _decision(form), origin=origin_of(request), now=now)
        return self._go("/device", [("flow", self._close_device(browser, {"approved": approved}, now))])

    # -- logging out ---------------------------------------------------------------------------------

    async def logout(self, request: Request) -> Response:
        """`GET|POST /logout`."""
        now = self._authority.clock()
        browser = await self._sessions.of(request, now=now)
        if request.method == "POST":
            self._check(browser, await self._form(request), "logout", "")
            await self._sessions.close(browser, origin=origin_of(request), now=now)
            return self._sessions.forget(self._go("/logout"))
        if browser.session is None:
            return self._pages.said("You are logged out", "Nobody is logged in at this browser.", ("/login", "Log in"))
        return self._pages.logout(
            await self._account(browser.logged_in), proof=self._seal.proof("logout", "", browser=browser.value)
        )

    # -- what they share -----------------------------------------------------------------------------

    async def _form(self, request: Request) -> Form:
        site = request.headers.get("sec-fetch-site", "same-origin")
        if site != "same-origin":
            # The browser itself says that another site sent this, whatever it holds.
            raise Refused("invalid_request", "This form was sent from another site.", status=403, id="BW419")
        return Form(await read_page(request))

    def _check(self, browser: Browser, form: Form, act: str, about: str) -> None:
        self._seal.check_proof(act, about, form.one("csrf"), browser=browser.value)

    def _close(self, browser: Browser, waiting: Waiting, now: float) -> str:
        until = now + self._authority.settings.lifetimes.page
        return self._seal.close("waiting", waiting.to_dict(), browser=browser.value, until=until)

    def _open(self, browser: Browser, flow: str, now: float) -> Waiting:
        return Waiting.from_dict(self._seal.open("waiting", flow, browser=browser.value, now=now))

    def _close_device(self, browser: Browser, content: Mapping[str, Any], now: float) -> str:
        until = now + self._authority.settings.lifetimes.page
        return self._seal.close("device", content, browser=browser.value, until=until)

    async def _account(self, who: LoggedIn | None) -> Account:
        account = await self._authority.store.account(who.subject) if who is not None else None
        if account is None:
            raise Refused("access_denied", "You may not act any more.", status=403, id="BW412")
        return account

    def _go(self, path: str, query: Sequence[tuple[str, str]] = ()) -> Response:
        """Send the browser on, as a GET."""
        asked = f"?{urlencode(query)}" if query else ""
        if len(asked) > MAX_QUERY:
            raise Refused("invalid_request", "The request is too long for an address; push it (RFC 9126).", id="BW400")
        return RedirectResponse(f"{self._base}{path}{asked}", status_code=303, headers=dict(HEADERS))


def _query(request: Request) -> list[tuple[str, str]]:
    """The query, read as forms are."""
    raw: bytes = request.scope.get("query_string", b"")
    if len(raw) > MAX_QUERY:
        raise Refused("invalid_request", "The address is too long.", id="BW400")
    return read_form(raw)


def _single(pairs: Sequence[tuple[str, str]], name: str) -> str:
    return Form(pairs).one(name)


def _decision(form: Form) -> Decision:
    return Decision(form.one("decision") == "allow", ScopeSet(form.many("scope")))


def _wants_fresh(request: AuthorizationRequest) -> bool:
    return "login" in request.prompt or request.max_age is not None
