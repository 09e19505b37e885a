"""The authority's endpoints: HTTP in, one act of the authority, HTTP out."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from starlette.requests import Request
from starlette.responses import Response

from bailiwick.authority import (
    Authority,
    DeviceRequest,
    IntrospectionRequest,
    PushingRequest,
    RegistrationRequest,
    RevocationRequest,
    TokenRequest,
)
from bailiwick.authority.feed import FEED_TYPE
from bailiwick.authority.keys import PUBLISHED_FOR
from bailiwick.authority.records import Origin
from bailiwick.authority.request import Certificate, Form, Presented
from bailiwick.errors import Refused

from .answers import NO_STORE, answer
from .followers import Followers
from .form import read_form, read_json
from .openapi import openapi

__all__ = ["NAMED", "Endpoints", "disconnected", "origin_of"]

# Keys and metadata are public and change rarely.
PUBLIC: Final = {"cache-control": f"public, max-age={PUBLISHED_FOR}"}

# A follower of the feed may wait this many seconds for news: less than the minute after which proxies give up.
LONGEST_WAIT: Final = 30
# What uvicorn says when it ends a request because the process has to end.
SHUTDOWN: Final = "graceful shutdown"
# Numbers of the feed have fewer digits, here and in a database.
MAX_DIGITS: Final = 18

# RFC 9440 section 2.1: the client's certificate as a structured field, DER in base64 between colons.
CLIENT_CERT: Final = "client-cert"
MAX_CERTIFICATE: Final = 16_384

# Where, in an ASGI connection, the client stands that a request names; untrusted, for the journal.
NAMED: Final = "bailiwick.client"

CertificateReader = Callable[[bytes], Certificate]

_Asked = TypeVar("_Asked", TokenRequest, RevocationRequest, IntrospectionRequest, DeviceRequest, PushingRequest)


class Endpoints:
    """What the authority answers over HTTP.

    Args:
        authority: decides.
        read_certificate: reads a client's certificate from its DER.

    Attributes:
        followers: those who wait for news of the revocation feed.
    """

    def __init__(self, authority: Authority, read_certificate: CertificateReader) -> None:
        self._authority = authority
        self._read_certificate = read_certificate
        self.followers = Followers(authority.feed.newest)

    async def token(self, request: Request) -> Response:
        """`POST /token` (RFC 6749 section 3.2)."""
        asked = await self._read(TokenRequest.read, request)
        tokens = await self._authority.token.answer(asked, now=self._authority.clock())
        return answer(tokens.as_json())

    async def revoke(self, request: Request) -> Response:
        """`POST /revoke` (RFC 7009): an empty 200, whatever the token was."""
        asked = await self._read(RevocationRequest.read, request)
        await self._authority.revocation.answer(asked, now=self._authority.clock())
        return answer({})

    async def introspect(self, request: Request) -> Response:
        """`POST /introspect` (RFC 7662)."""
        asked = await self._read(IntrospectionRequest.read, request)
        return answer(await self._authority.introspection.answer(asked, now=self._authority.clock()))

    async def device_authorization(self, request: Request) -> Response:
        """`POST /device_authorization` (RFC 8628 section 3.1)."""
        asked = await self._read(DeviceRequest.read, request)
        begun = await self._authority.device.answer(asked, now=self._authority.clock())
        return answer(begun.as_json())

    async def push(self, request: Request) -> Response:
        """`POST /par` (RFC 9126 section 2)."""
        asked = await self._read(PushingRequest.read, request)
        pushed = await self._authority.pushed.answer(asked, now=self._authority.clock())
        return answer(pushed.as_json(), 201)

    async def register(self, request: Request) -> Response:
        """`POST /register` (RFC 7591 section 3)."""
        endpoint = self._authority.registration
        endpoint.check_may_register(_authorization(request))
        asked = self._registration(request, await read_json(request))
        made = await endpoint.answer(asked, now=self._authority.clock())
        return answer(made.as_json(), 201)

    async def registration(self, request: Request) -> Response:
        """`GET|PUT|DELETE /register/{client_id}` (RFC 7592 section 2)."""
        client, endpoint = request.path_params["client_id"], self._authority.registration
        request.scope[NAMED] = client
        if request.method == "PUT":
            await endpoint.check_may_change(client, _authorization(request))
        asked = self._registration(request, await read_json(request) if request.method == "PUT" else None)
        if request.method == "DELETE":
            await endpoint.close(client, asked, now=self._authority.clock())
            return Response(status_code=204, headers=dict(NO_STORE))
        if request.method == "PUT":
            changed = await endpoint.change(client, asked, now=self._authority.clock())
            return answer(changed.as_json())
        return answer((await endpoint.look(client, asked)).as_json())

    async def _read(self, read: Callable[..., _Asked], request: Request) -> _Asked:
        """A form that a client sent, with all by which it says who it is."""
        asked = read(
            await read_form(request),
            authorization=_authorization(request),
            origin=origin_of(request),
            certificate=self._certificate(request),
        )
        request.scope[NAMED] = asked.presented.client
        # A secret or a password that is hashed slowly waits for its turn.
        return replace(asked, presented=replace(asked.presented, disconnected=lambda: disconnected(request)))

    def _certificate(self, request: Request) -> Certificate | None:
        """The client's certificate, where the settings say that a proxy in front tells the truth about it.

        Anybody could send the header; such a proxy takes away what clients send (RFC 9440 section 4).
        """
        sent = request.headers.getlist(CLIENT_CERT)
        if not sent or not self._authority.settings.client_certificates:
            return None
        field = sent[0].strip(" \t")
        unreadable = Refused("invalid_client", "The client's certificate cannot be read.", status=401, id="BW401")
        if len(sent) > 1 or len(field) > MAX_CERTIFICATE or len(field) < 2 or field[0] + field[-1] != "::":
            raise unreadable
        try:
            der = base64.b64decode(field[1:-1], validate=True)
        except (binascii.Error, ValueError) as bad:
            raise unreadable from bad
        return self._read_certificate(der)

    @staticmethod
    def _registration(request: Request, body: bytes | None) -> RegistrationRequest:
        return RegistrationRequest.read(body, authorization=_authorization(request), origin=origin_of(request))

    async def revocations(self, request: Request) -> Response:
        """`GET /revocations?after=7&limit=1000&wait=20`: the lines of the feed after that number, signed.

        With `If-None-Match`, and as many seconds to `wait`, a follower is answered when there is news, or
        304 when the time is over.
        """
        feed, clock = self._authority.feed, self._authority.clock
        follower = await feed.authenticate(self._presented(request), now=clock())
        after, limit = _number(request, "after"), _number(request, "limit")
        wait = min(_number(request, "wait"), LONGEST_WAIT)
        known = request.headers.get("if-none-match")
        headers = {"cache-control": "no-cache"}
        if known is not None:
            newest = await feed.newest()
            same = feed.etag(after, newest, limit) == known
            name = follower.id if follower is not None else ""
            if same and not await self._has_news(request, name, newest, wait):
                return Response(status_code=304, headers={**headers, "etag": known})
        document = await feed.document(after, clock(), limit)
        headers |= {"etag": document.etag, "content-type": f"application/{FEED_TYPE}"}
        return Response(document.token, headers=headers)

    @staticmethod
    def _presented(request: Request) -> Presented | None:
        """Who follows, by the Authorization header alone: a query stands in logs and histories, and GET has no body."""
        authorization = _authorization(request)
        return Presented.read(Form(()), authorization, origin=origin_of(request)) if authorization else None

    async def _has_news(self, request: Request, client: str, newest: int, wait: int) -> bool:
        """Whether there is news within this many seconds, for a follower that is not gone meanwhile."""
        try:
            # One that went away would otherwise keep a place, and the server from ending, until its time is over.
            return wait > 0 and await self.followers.wait(client, newest, wait, partial(disconnected, request))
        except asyncio.CancelledError as why:
            # The process has to end, and its patience with open requests is over: a follower that is told "no news"
            # asks the next process, while one that is told of a fault would log it. Any other cancellation is for
            # whoever asked for it, such as a caller in this very process, and must not be lost.
            if SHUTDOWN not in str(why):
                raise
            return False

    async def jwks(self, _request: Request) -> Response:
        """`GET /jwks.json` (RFC 7517)."""
        return answer(await self._authority.jwks(), headers=PUBLIC)

    async def metadata(self, _request: Request) -> Response:
        """`GET /.well-known/oauth-authorization-server` (RFC 8414)."""
        return answer(await self._authority.metadata(), headers=PUBLIC)

    async def openapi(self, _request: Request) -> Response:
        """`GET /openapi.json`: these endpoints, described (OpenAPI 3.1)."""
        return answer(openapi(self._authority.settings, self._authority.catalog), headers=PUBLIC)

    async def health(self, _request: Request) -> Response:
        """`GET /health`: the process answers."""
        return answer({"status": "ok"})

    async def ready(self, _request: Request) -> Response:
        """`GET /ready`: the store answers too; 503 if it does not."""
        await self._authority.store.check()
        return answer({"status": "ready"})


def origin_of(request: Request) -> Origin:
    """From where a request came, for the journal.

    Forwarded headers are not read here: `Proxies` has replaced the peer's address by what a trusted proxy
    says, and anybody else could write what they like.
    """
    address = request.client.host if request.client is not None else ""
    return Origin(address, request.headers.get("user-agent", ""))


async def disconnected(request: Request) -> None:
    """Return once whoever sent a request, whose body was read, has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _number(request: Request, name: str) -> int:
    """A number in the query; 0 if there is none.

    Raises:
        Refused: invalid_request, if it is something else.
    """
    given = request.query_params.getlist(name)
    if not given:
        return 0
    if len(given) > 1 or not (given[0].isascii() and given[0].isdigit() and len(given[0]) <= MAX_DIGITS):
        raise Refused("invalid_request", f"{name} is one number.", id="BW400")
    return int(given[0])


def _authorization(request: Request) -> list[str]:
    return request.headers.getlist("authorization")
