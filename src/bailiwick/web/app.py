"""The authority's table of routes, whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from bailiwick.authority import Authority
from bailiwick.errors import BailiwickError, Refused

from .answers import fault, refuse, unexpected
from .assets import Assets
from .endpoints import CertificateReader, Endpoints
from .known_browsers import KnownBrowsers
from .pages import Pages
from .people import People
from .proxies import Proxies
from .refusals import Refusals
from .seal import Seal
from .session import Sessions

__all__ = ["ACTING", "WELL_KNOWN", "build_app"]

Endpoint = Callable[[Request], Awaitable[Response]]

# The methods by which something can be revoked, closing a registration included.
ACTING: Final = ("POST", "PUT", "DELETE")
# RFC 8414 section 3: the well-known suffix, which stands between host and path of the issuer. It is
# answered below the issuer's path too, where many clients look for it.
WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"


def build_app(
    authority: Authority,
    issuer_path: str,
    *,
    page_key: bytes,
    browser_key: bytes,
    token_bytes: Callable[[int], bytes],
    read_certificate: CertificateReader,
) -> Starlette:
    """The ASGI application of an authority, its paths relative to the issuer.

    Args:
        authority: decides.
        issuer_path: the path of the issuer, "" if it has none.
        page_key: 256 bits that only this authority knows; what travels through browsers is sealed with it.
        browser_key: another 256 bits; the cookies of browsers that logged in before are sealed with it.
        token_bytes: the source of randomness.
        read_certificate: reads a client's certificate from its DER.
    """
    issuer = authority.settings.issuer
    assets = Assets(f"{issuer_path}/static")
    pages = Pages(issuer, issuer_path, assets)
    lifetimes, https = authority.settings.lifetimes, urlsplit(issuer).scheme == "https"
    sessions = Sessions(authority.store, lifetimes, https=https, token_bytes=token_bytes)
    known = KnownBrowsers(browser_key, lifetime=lifetimes.known_browser, https=https, token_bytes=token_bytes)
    at = Endpoints(authority, read_certificate)
    refusals = Refusals(authority)
    people = People(authority, pages, sessions, known, Seal(page_key), refusals, issuer_path)
    routes = [
        # what people see
        _page("/authorize", people.authorize, pages, refusals),
        _page("/login", people.login, pages, refusals),
        _page("/consent", people.consent, pages, refusals),
        _page("/device", people.device, pages, refusals),
        _page("/logout", people.logout, pages, refusals),
        _route("/static/{name}", assets.serve, refusals, "GET"),
        # what programs ask
        _route("/token", at.token, refusals, "POST"),
        _route("/device_authorization", at.device_authorization, refusals, "POST"),
        _route("/par", at.push, refusals, "POST"),
        _route("/revoke", at.revoke, refusals, "POST"),
        _route("/introspect", at.introspect, refusals, "POST"),
        _route("/register", at.register, refusals, "POST"),
        _route("/register/{client_id}", at.registration, refusals, "GET", "PUT", "DELETE"),
        _route("/revocations", at.revocations, refusals, "GET"),
        _route("/jwks.json", at.jwks, refusals, "GET"),
        _route(WELL_KNOWN, at.metadata, refusals, "GET"),
        _route("/openapi.json", at.openapi, refusals, "GET"),
        _route("/health", at.health, refusals, "GET"),
        _route("/ready", at.ready, refusals, "GET"),
    ]
    if issuer_path:
        routes.append(_route(WELL_KNOWN + issuer_path, at.metadata, refusals, "GET"))
    app = Starlette(
        routes=routes,
        middleware=[
            Middleware(Proxies, trusted=authority.settings.proxy_networks),
            Middleware(Waking, heard=at.followers.wake),
        ],
        exception_handlers={HTTPException: _not_routed(pages)},
    )
    # Starlette would answer a slash too many with a 307, which repeats a POST and the password in it, at an address
    # made of the request's Host header and of the scheme that a proxy in front may have changed.
    app.router.redirect_slashes = False
    return app


class Waking:
    """Tells of each request that may have revoked something, once it was answered.

    Args:
        app: what answers.
        heard: is told.
    """

    def __init__(self, app: ASGIApp, heard: Callable[[], None]) -> None:
        self._app = app
        self._heard = heard

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        try:
            await self._app(scope, receive, send)
        finally:
            if scope.get("method") in ACTING:
                self._heard()


def _route(path: str, endpoint: Endpoint, refusals: Refusals, *methods: str) -> Route:
    return Route(path, _answering(endpoint, refusals), methods=methods)


def _page(path: str, endpoint: Endpoint, pages: Pages, refusals: Refusals) -> Route:
    """A route for people: what goes wrong is told on a page. HEAD is not GET here, where GET may issue a code."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BailiwickError as why:
            await refusals.count(request, why)
            return pages.error(request, why)
        except Exception as why:  # noqa: BLE001 - the last line of defence; logged with its traceback
            return pages.error(request, fault(request, why))

    route = Route(path, answered, methods=["GET", "POST"])
    route.methods = {"GET", "POST"}
    return route


def _answering(endpoint: Endpoint, refusals: Refusals) -> Endpoint:
    """The endpoint, with its refusals written as RFC 6749 has them and its faults kept off the wire."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BailiwickError as why:
            await refusals.count(request, why)
            return refuse(request, why)
        except Exception as why:  # noqa: BLE001 - the last line of defence; logged with its traceback
            return unexpected(request, why)

    return answered


def _not_routed(pages: Pages) -> Callable[[Request, Exception], Awaitable[Response]]:
    """404 and 405, in the same form as every other answer: a page for people, JSON for programs."""

    async def answered(request: Request, why: Exception) -> Response:
        status = getattr(why, "status_code", 404)
        text = "This method is not allowed here." if status == 405 else "There is nothing here."
        unfit = Refused("invalid_request", text, status=status, id="BW417" if status == 405 else "BW400")
        refused = pages.error(request, unfit) if _is_for_people(request) else refuse(request, unfit)
        for name, value in (getattr(why, "headers", None) or {}).items():
            refused.headers[name] = value  # Allow: what the method should have been
        return refused

    return answered


def _is_for_people(request: Request) -> bool:
    """Whether a browser asks for a page: it names HTML (RFC 9110 section 12.5.1), and a program `*/*` or JSON."""
    wanted = {one.partition(";")[0].strip().lower() for one in ",".join(request.headers.getlist("accept")).split(",")}
    return "text/html" in wanted and "application/json" not in wanted
