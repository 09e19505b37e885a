"""The authority's endpoints: HTTP in, one act of the authority, HTTP out."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bailiwick.authority import Authority, IntrospectionRequest, RevocationRequest, TokenRequest
from bailiwick.authority.records import Origin

from .answers import answer
from .form import read_form

__all__ = ["Endpoints"]

# Keys and metadata are public and change rarely. A new key is published a day before it signs, so
# that a copy of five minutes is never too old.
PUBLIC: Final = {"cache-control": "public, max-age=300"}


class Endpoints:
    """What the authority answers over HTTP.

    Args:
        authority: decides.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def token(self, request: Request) -> Response:
        """`POST /token` (RFC 6749 section 3.2)."""
        form = await read_form(request)
        asked = TokenRequest.read(form, authorization=_authorization(request), origin=origin_of(request))
        tokens = await self._authority.token.answer(asked, now=self._authority.clock())
        return answer(tokens.as_json())

    async def revoke(self, request: Request) -> Response:
        """`POST /revoke` (RFC 7009): an empty 200, whatever the token was."""
        form = await read_form(request)
        asked = RevocationRequest.read(form, authorization=_authorization(request), origin=origin_of(request))
        await self._authority.revocation.answer(asked, now=self._authority.clock())
        return answer({})

    async def introspect(self, request: Request) -> Response:
        """`POST /introspect` (RFC 7662)."""
        form = await read_form(request)
        asked = IntrospectionRequest.read(form, authorization=_authorization(request), origin=origin_of(request))
        return answer(await self._authority.introspection.answer(asked, now=self._authority.clock()))

    async def jwks(self, _request: Request) -> Response:
        """`GET /jwks.json` (RFC 7517)."""
        return answer(await self._authority.jwks(), headers=PUBLIC)

    async def metadata(self, _request: Request) -> Response:
        """`GET /.well-known/oauth-authorization-server` (RFC 8414)."""
        return answer(self._authority.metadata(), headers=PUBLIC)

    async def health(self, _request: Request) -> Response:
        """`GET /health`: the process answers."""
        return answer({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """`GET /ready`: the store answers too; 503 if it does not."""
        await self._authority.store.check()
        return answer({"status": "ready"})


def origin_of(request: Request) -> Origin:
    """From where a request came, for the journal.

    Forwarded headers are not read here: the server in front of the application replaces the peer's
    address by theirs where it trusts that peer, and anybody else could write what they like.
    """
    address = request.client.host if request.client is not None else ""
    return Origin(address, request.headers.get("user-agent", ""))


def _authorization(request: Request) -> list[str]:
    return request.headers.getlist("authorization")
