"""How pages are written: what they say, and the headers that go with every one of them.

Nothing on a page comes from elsewhere and nothing runs in it; whatever a client, a person or an
address says is escaped by the templates, all of it, always.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from bailiwick.authority.device import DeviceConsent
from bailiwick.authority.outcome import NeedsConsent, Redirect
from bailiwick.authority.records import Account, Client
from bailiwick.authority.redirects import is_https
from bailiwick.errors import BailiwickError, StoreError

from .answers import STORE_RETRY, note
from .assets import Assets

__all__ = ["Pages", "source_of"]

# RFC 9700 sections 4.16 (clickjacking) and 4.2.4 (referrers); a page that shows who is logged in, or
# carries a sealed request, is nobody's to keep. X-Frame-Options is for browsers without frame-ancestors.
HEADERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "cache-control": "no-store",
        "pragma": "no-cache",
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "x-frame-options": "DENY",
    }
)
POLICY: Final = (
    "default-src 'none'; style-src 'self'; img-src 'self'; form-action {form_action}; "
    "frame-ancestors 'none'; base-uri 'none'"
)
SCRIPT: Final = "; script-src 'self'"

# The host part of a CSP source (CSP 3 section 2.3.1): names, IPv4 addresses, a port. It has no IPv6.
_HOST_SOURCE: Final = re.compile(r"[a-z0-9.-]+(:[0-9]{1,5})?", re.IGNORECASE)
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*", re.IGNORECASE)

LOST: Final = "Look at the address once more, or go back to where you came from."
AGAIN: Final = "Go back to the application that brought you here, and start again."
# By stable id: what the person in front can do about it.
WHAT_TO_DO: Final[Mapping[str, str]] = MappingProxyType(
    {
        "BW407": "Go back and type your name and your password again.",
        "BW408": AGAIN,
        "BW412": "Nothing was allowed. Go back to the application if you did not mean that.",
        "BW415": "Let your device show a new code, and type that one.",
        "BW416": "Wait a while, then try again.",
        "BW418": "Nothing was sent anywhere. The link that brought you here is wrong or out of date: tell the makers "
        "of the application, and do not try to repair it yourself.",
        "BW419": "Go back to the application and start again, in one window. If it happens each time, let your "
        "browser keep cookies for this site.",
        "BW421": AGAIN,
    }
)


class Pages:
    """The authority's pages.

    Args:
        issuer: the authority's identifier; its host is shown on each page, so that people see where they are.
        base: the path under which the endpoints lie, without a slash at its end.
        assets: what the pages refer to.
    """

    def __init__(self, issuer: str, base: str, assets: Assets) -> None:
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("bailiwick.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals.update(place=urlsplit(issuer).netloc, base=base, asset=assets.path)
        self._templates.filters.update(called=_called)

    def login(
        self,
        *,
        flow: str,
        proof: str,
        client: Client | None,
        device: bool,
        fresh: bool,
        name: str,
        problem: BailiwickError | None = None,
        leads_to: str | None = None,
    ) -> Response:
        """Ask who is there.

        Args:
            flow: the sealed request that waits.
            proof: the form's anti-forgery token.
            client: who wants to know; None if only this authority does.
            device: a device is to be connected afterwards.
            fresh: they are logged in, and have to prove it again.
            name: what the field begins with.
            problem: why the last attempt was refused.
            leads_to: the redirect URI that may follow at once.
        """
        page = self._write(
            "login.html",
            status=problem.status if problem is not None else 200,
            leads_to=leads_to,
            flow=flow,
            proof=proof,
            client=client,
            device=device,
            fresh=fresh,
            name=name,
            problem=_sentence(problem) if problem is not None else None,
            wrong=problem is not None and problem.id == "BW407",
        )
        return _with_retry(page, problem)

    def consent(self, asked: NeedsConsent, *, flow: str, proof: str) -> Response:
        """Ask what a client may do.

        Args:
            asked: the questions.
            flow: the sealed request.
            proof: the form's anti-forgery token.
        """
        return self._write(
            "consent.html",
            leads_to=asked.request.redirect,
            flow=flow,
            proof=proof,
            client=asked.client,
            account=asked.account,
            resource=asked.resource.identifier,
            agenda=asked.agenda,
            goes_to=_place_of(asked.request.redirect),
            local=not is_https(asked.request.redirect),
        )

    def device_code(
        self, account: Account, *, proof: str, code: str, problem: BailiwickError | None = None
    ) -> Response:
        """Ask for the code on a device's screen.

        Args:
            account: who is asked.
            proof: the form's anti-forgery token.
            code: what the field begins with.
            problem: why the last attempt was refused.
        """
        page = self._write(
            "device_code.html",
            status=problem.status if problem is not None else 200,
            account=account,
            proof=proof,
            code=code,
            problem=_sentence(problem) if problem is not None else None,
        )
        return _with_retry(page, problem)

    def device_consent(self, asked: DeviceConsent, *, flow: str, proof: str) -> Response:
        """Ask what a device may do; arguments as for `consent`."""
        return self._write(
            "device_consent.html",
            flow=flow,
            proof=proof,
            client=asked.client,
            account=asked.account,
            resource=asked.resource.identifier,
            agenda=asked.agenda,
        )

    def device_done(self, *, approved: bool) -> Response:
        """Tell that the device learns of it."""
        return self._write("device_done.html", approved=approved)

    def logout(self, account: Account, *, proof: str) -> Response:
        """Ask whether to log out."""
        return self._write("logout.html", account=account, proof=proof)

    def said(self, title: str, sentence: str, link: tuple[str, str] | None = None) -> Response:
        """Tell something.

        Args:
            title: in a few words.
            sentence: in a few more.
            link: where to go on, as a path below the issuer and its words.
        """
        return self._write("said.html", title=title, sentence=sentence, link=link)

    def send(self, redirect: Redirect) -> Response:
        """Bring the browser back to the client.

        303 makes it a GET whatever it was before; 307 would hand the password on to the client
        (RFC 9700 section 4.12).

        Args:
            redirect: where to, and with what.
        """
        if redirect.mode is redirect.mode.QUERY:
            return RedirectResponse(redirect.location, status_code=303, headers=dict(HEADERS))
        return self._write(
            "send.html",
            leads_to=redirect.uri,
            script=True,
            uri=redirect.uri,
            params=redirect.params,
            goes_to=_place_of(redirect.uri),
        )

    def error(self, request: Request, why: BailiwickError) -> Response:
        """Tell what is wrong, with its stable id and what can be done about it. The detail goes to the log.

        Args:
            request: what was asked.
            why: what is wrong.
        """
        note(request, why)
        ours = why.status >= 500
        page = self._write(
            "error.html",
            status=why.status,
            title="This did not work" if ours else "This cannot go on",
            description=_sentence(why),
            what_to_do=_what_to_do(why),
            id=why.id,
            code=why.code,
        )
        return _with_retry(page, why)

    def _write(
        self, template: str, *, status: int = 200, leads_to: str | None = None, script: bool = False, **words: Any
    ) -> Response:
        # Chromium holds the redirects that follow a form against form-action as well.
        targets = ["'self'", *([source_of(leads_to)] if leads_to is not None else [])]
        policy = POLICY.format(form_action=" ".join(filter(None, targets))) + (SCRIPT if script else "")
        html = self._templates.get_template(template).render(**words)
        return HTMLResponse(html, status_code=status, headers={**HEADERS, "content-security-policy": policy})


def source_of(uri: str) -> str:
    """A redirect URI as a source of `form-action`: its origin, or its scheme where CSP knows no such origin.

    Args:
        uri: one of the client's registered ones.
    """
    scheme, _, rest = uri.partition(":")
    if _SCHEME.fullmatch(scheme) is None:
        return ""
    host = urlsplit(uri).netloc if rest.startswith("//") else ""
    if scheme in {"http", "https"} and _HOST_SOURCE.fullmatch(host):
        return f"{scheme}://{host}"
    return f"{scheme}:"


def _called(client: Client) -> str:
    """By what people know a client: its name, where somebody vouches for that; who describes themselves is their host.

    Anybody can call themselves your bank. Only your bank can put a document on its host.
    """
    return urlsplit(client.id).netloc if client.described else client.name


def _place_of(uri: str) -> str:
    """How a person is told where they go: the host; for an app on their own machine, its scheme."""
    parts = urlsplit(uri)
    if parts.hostname in {"127.0.0.1", "::1"}:
        return "the application on this computer"
    return parts.hostname or f"{parts.scheme}:"


def _sentence(why: BailiwickError) -> str:
    if isinstance(why, StoreError):
        return "The service cannot reach its data just now."
    wait = getattr(why, "retry_after", None)
    return f"{why.description} Try again in {_span(wait)}." if wait and why.id == "BW416" else why.description


def _what_to_do(why: BailiwickError) -> str:
    if why.status >= 500:
        return "Wait a moment, then load the page again."
    return WHAT_TO_DO.get(why.id, LOST if why.status in {404, 405} else AGAIN)


def _span(seconds: int) -> str:
    return f"{seconds} seconds" if seconds <= 90 else f"{-(-seconds // 60)} minutes"


def _with_retry(page: Response, why: BailiwickError | None) -> Response:
    wait = STORE_RETRY if isinstance(why, StoreError) else getattr(why, "retry_after", None)
    if wait is not None:
        page.headers["retry-after"] = str(wait)
    return page
