"""Pushed authorization requests (RFC 9126): what a client wants, said where nobody can change it.

The client sends the parameters itself, authenticated, and the browser carries only a reference.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bailiwick.errors import Refused, StoreError
from bailiwick.tokens import opaque

from .authorize import PARAMETERS, REQUEST_URI, AuthorizationEndpoint
from .begun import Waiting, crowded
from .clients import ClientAuthenticator
from .ids import TokenBytes
from .records import Origin, PushedRequest
from .request import Certificate, Form, Presented
from .settings import Settings
from .store import Begun, Store

__all__ = ["MAX_PUSHED", "Pushed", "PushedRequestEndpoint", "PushingRequest"]

# Octets of names and values that are kept of a pushed request; what servers let the same request have in an address
# (8 KiB by default in nginx and Apache). With `unfinished.everybody` requests, strangers fill 80 MB and no more.
MAX_PUSHED: Final = 8_192


@dataclass(frozen=True, slots=True)
class PushingRequest:
    """A request to the pushed authorization request endpoint, read.

    Args:
        presented: who the client says it is.
        parameters: the authorization request, without the client's credentials.
        origin: from where.
    """

    presented: Presented
    parameters: tuple[tuple[str, str], ...] = field(repr=False)
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        authorization: Sequence[str] = (),
        origin: Origin | None = None,
        certificate: Certificate | None = None,
    ) -> PushingRequest:
        """Read a form; arguments as for `TokenRequest.read`.

        Raises:
            Refused: invalid_request or invalid_client; invalid_request with status 413 for a request that is too large
                to be kept (RFC 9126 section 2.3).
        """
        given = list(pairs)
        form = Form(given)
        presented = Presented.read(form, authorization, certificate, origin)
        if form.get("request_uri") is not None:
            # Section 2.1: a pushed request cannot itself refer to one.
            raise Refused("invalid_request", "A pushed request cannot hold a request_uri.", id="BW400")
        # Unknown parameters are ignored, so they are not kept either: how the client proved itself is no part of what
        # it asks, a secret sent to the wrong endpoint has no place in the store, and neither has padding.
        kept = [(name, value) for name, value in given if name in PARAMETERS and name != "client_id"]
        parameters = (("client_id", presented.client), *kept)
        if sum(len(text.encode("utf-8", "surrogatepass")) for pair in parameters for text in pair) > MAX_PUSHED:
            raise Refused(
                "invalid_request", f"A pushed request has at most {MAX_PUSHED} octets.", status=413, id="BW409"
            )
        return cls(presented, parameters, origin or Origin())


@dataclass(frozen=True, slots=True)
class Pushed:
    """What the endpoint answers, with status 201 (section 2.2).

    Args:
        request_uri: the reference, to be used once.
        expires_in: seconds.
    """

    request_uri: str = field(repr=False)
    expires_in: int

    def as_json(self) -> dict[str, Any]:
        """The members of the JSON answer."""
        return {"request_uri": self.request_uri, "expires_in": self.expires_in}


class PushedRequestEndpoint:
    """`POST /par`.

    Args:
        settings: how long a pushed request lasts.
        store: keeps it.
        clients: finds out who asks.
        authorization: checks the request as if it had come through a browser.
        token_bytes: the source of randomness.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clients: ClientAuthenticator,
        authorization: AuthorizationEndpoint,
        token_bytes: TokenBytes,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._authorization = authorization
        self._token_bytes = token_bytes
        self._waiting = Waiting(settings, store, token_bytes)

    async def answer(self, request: PushingRequest, *, now: float) -> Pushed:
        """Keep a request for the short time until the browser brings its reference.

        Args:
            request: the form, read.
            now: seconds since the epoch.

        Raises:
            Refused: the client is unknown, or the request is one that the authorization endpoint would refuse;
                slow_down (BW416, status 429): too many of its requests, or of its network's, were not brought back.
            StoreError: the store cannot answer.
        """
        client = await self._clients.authenticate(request.presented, now=now)
        await self._authorization.check(request.parameters, origin=request.origin, now=now)
        reference = opaque.mint(self._token_bytes, opaque.Kind.REQUEST)
        lifetime = self._settings.lifetimes.pushed
        network, room = await self._waiting.room(client, request.origin)
        kept = PushedRequest(opaque.digest(reference), client.id, request.parameters, now + lifetime, network)
        outcome = await self._store.push_request(kept, room, now)
        if outcome is Begun.FULL:
            raise crowded(lifetime, f"pushed requests of client {client.id!a}")
        if outcome is Begun.TAKEN:
            raise StoreError("No reference is free.", detail="a fresh reference was in use; is the randomness random?")
        return Pushed(REQUEST_URI + reference, lifetime)
