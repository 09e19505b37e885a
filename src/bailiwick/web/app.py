"""The authority's table of routes, whole."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from bailiwick.authority import Authority
from bailiwick.errors import BailiwickError, Refused

from .answers import refuse, unexpected
from .endpoints import Endpoints

__all__ = ["WELL_KNOWN", "build_app"]

Endpoint = Callable[[Request], Awaitable[Response]]

# RFC 8414 section 3: the well-known suffix, which stands between host and path of the issuer. It is
# answered below the issuer's path too, where many clients look for it.
WELL_KNOWN: Final = "/.well-known/oauth-authorization-server"


def build_app(authority: Authority, issuer_path: str) -> Starlette:
    """The ASGI application of an authority, its paths relative to the issuer.

    Args:
        authority: decides.
        issuer_path: the path of the issuer, "" if it has none.
    """
    at = Endpoints(authority)
    routes = [
        _route("/token", at.token, "POST"),
        _route("/revoke", at.revoke, "POST"),
        _route("/introspect", at.introspect, "POST"),
        _route("/jwks.json", at.jwks, "GET"),
        _route(WELL_KNOWN, at.metadata, "GET"),
        _route("/health", at.health, "GET"),
        _route("/ready", at.ready, "GET"),
    ]
    if issuer_path:
        routes.append(_route(WELL_KNOWN + issuer_path, at.metadata, "GET"))
    return Starlette(routes=routes, exception_handlers={HTTPException: _not_routed})


def _route(path: str, endpoint: Endpoint, method: str) -> Route:
    return Route(path, _answering(endpoint), methods=[method])


def _answering(endpoint: Endpoint) -> Endpoint:
    """The endpoint, with its refusals written as RFC 6749 has them and its faults kept off the wire."""

    async def answered(request: Request) -> Response:
        try:
            return await endpoint(request)
        except BailiwickError as why:
            return refuse(request, why)
        except Exception as fault:  # noqa: BLE001 - the last line of defence; logged with its traceback
            return unexpected(request, fault)

    return answered


async def _not_routed(request: Request, why: Exception) -> Response:
    """404 and 405, in the same form as every other answer."""
    status = getattr(why, "status_code", 404)
    text = "This method is not allowed here." if status == 405 else "There is nothing here."
    refused = refuse(request, Refused("invalid_request", text, status=status, id="BW417" if status == 405 else "BW400"))
    for name, value in (getattr(why, "headers", None) or {}).items():
        refused.headers[name] = value  # Allow: what the method should have been
    return refused
