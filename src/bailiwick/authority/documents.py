"""Clients that describe themselves: a client id that is the https address of a document about the client.

Source: draft-ietf-oauth-client-id-metadata-document. Off unless the settings have a policy for it. The document is
fetched by somebody else, behind a protocol; here is decided which addresses may be, and what is believed of an answer.
Nobody vouches for such a client: it is as a client that registered itself, with the same checks and never more than
the policy's ceiling. It is kept in the store from the moment when a person lets it do something, not before, so that
requests alone fill nothing.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import replace
from typing import Final, Protocol
from urllib.parse import urlsplit

from bailiwick.errors import BailiwickError, ConfigurationError, Refused
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.tokens.encoding import Malformed, read_json

from .attempts import FREE_TOGETHER, Attempts, network_of
from .records import Client, ClientAuth, Event, Origin
from .register import Told, blank_client, read_told
from .settings import MetadataDocuments, Settings
from .store import Store

__all__ = ["ClientDocuments", "Fetched", "Fetcher", "why_no_document"]

MAX_CLIENT_ID: Final = 512
# Documents that are remembered at once; beyond it the one that was asked for longest ago goes.
REMEMBERED: Final = 1_000

# RFC 3986, less what parsers read differently: no user, no query, no fragment, no backslash, no percent in the host.
_PLACE: Final = re.compile(r"(https?)://([a-z0-9.-]+|\[::1\])(?::([1-9][0-9]{0,4}))?(/[A-Za-z0-9._~!$&'()*+,;=:@%/-]+)")
_LABEL: Final = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
# A name has two labels at least, and its last one begins with a letter and is not hexadecimal with 0x: what ends in a
# number is read as an IPv4 address by some (decimal, octal, hexadecimal; one to four parts).
_NAME: Final = re.compile(rf"(?:{_LABEL}\.)+(?!0x)[a-z](?:[a-z0-9-]{{0,61}}[a-z0-9])?")
_DOTS: Final = re.compile(r"/(?:\.|%2e){1,2}(?:/|$)", re.IGNORECASE)
_LOOPBACK: Final = ("127.0.0.1", "[::1]", "localhost")
MAX_PORT: Final = 65535

# No secret can be shared with somebody whose document everybody reads.
_METHODS: Final = {"none": ClientAuth.NONE, "private_key_jwt": ClientAuth.PRIVATE_KEY_JWT}
_SECRETS: Final = ("client_secret", "client_secret_expires_at", "registration_access_token")


class Fetched(Protocol):
    """A document as it came."""

    @property
    def body(self) -> bytes:
        """Its octets, bounded in number."""

    @property
    def fresh_for(self) -> float | None:
        """Seconds for which its server lets it be kept; None if it does not say."""


class Fetcher(Protocol):
    """Fetches documents, and goes nowhere but to public addresses."""

    async def fetch(self, url: str) -> Fetched:
        """Fetch a document.

        Raises:
            BailiwickError: it could not be had, for whatever reason.
        """


def why_no_document(url: str, policy: MetadataDocuments) -> str:
    """Why a client id is not the address of a document that may be fetched; "" if it is.

    Args:
        url: the client id.
        policy: which hosts are let in, and whether loopback is.
    """
    found = _PLACE.fullmatch(url) if len(url) <= MAX_CLIENT_ID else None
    if found is None:
        return "it is no plain https address with a path, or too long"
    scheme, host, port, path = found.groups()
    if _DOTS.search(path):
        return "its path holds a dot segment"
    if policy.loopback and host in _LOOPBACK:
        return "" if port is None or int(port) <= MAX_PORT else "its port is none"
    if scheme != "https":
        return "it is not https"
    if port is not None and not policy.loopback:
        return "it names a port"
    if not _NAME.fullmatch(host) or host == "localhost" or host.endswith((".localhost", ".local", ".internal")):
        return "its host is no public name"
    if policy.hosts and host not in policy.hosts:
        return "its host is not one of those that are let in"
    return ""


class ClientDocuments:
    """Finds clients, those that describe themselves included.

    Args:
        catalog: the scopes that exist.
        settings: the policy; without one only the store is asked.
        store: keeps clients that somebody let do something.
        fetcher: fetches documents; None where the settings have no policy.
        attempts: counts fetches that led to nothing.

    Raises:
        ConfigurationError: there is a policy, and nothing that fetches.
    """

    def __init__(
        self, catalog: Catalog, settings: Settings, store: Store, fetcher: Fetcher | None, attempts: Attempts
    ) -> None:
        if settings.metadata_documents is not None and fetcher is None:
            raise ConfigurationError("Client id metadata documents need something that fetches them.")
        self._catalog = catalog
        self._policy = settings.metadata_documents
        self._store = store
        self._fetcher = fetcher
        self._attempts = attempts
        self._known: OrderedDict[str, tuple[Told, float]] = OrderedDict()

    async def find(self, id: str, *, origin: Origin, now: float) -> Client | None:
        """The client of that id, as its document says it now where it has one.

        Args:
            id: as a request has it; untrusted.
            origin: from where the request came, for limits.
            now: seconds since the epoch.

        Returns:
            None if there is none.

        Raises:
            Refused: invalid_client (BW422): its document cannot be had, or says what may not be;
                slow_down (BW416): too many such requests failed.
            StoreError: the store cannot answer.
        """
        if "\0" in id or len(id) > MAX_CLIENT_ID:
            return None
        kept = await self._store.client(id)
        # What an operator made by hand, or closed, is not put right by a document.
        own = kept is not None and (not kept.registered or kept.disabled_at is not None)
        if own or self._policy is None or not _is_url(id):
            return kept
        told = await self._told(id, self._policy, origin, now)
        return self._merged(id, told, kept, now)

    async def authenticating(self, id: str, *, origin: Origin, now: float) -> Client | None:
        """The client of that id where it proves itself: what is kept will do if its document cannot be had.

        Arguments as for `find`. Only one that signs is looked at anew, for its keys may have changed.
        """
        kept = await self._store.client(id) if "\0" not in id else None
        if (
            self._policy is None
            or not _is_url(id)
            or (kept is not None and kept.auth is not ClientAuth.PRIVATE_KEY_JWT)
        ):
            return kept
        try:
            return await self.find(id, origin=origin, now=now)
        except Refused:
            return kept

    async def keep(self, client: Client, *, origin: Origin, now: float) -> None:
        """Keep a client that a person lets do something, as it describes itself now.

        Args:
            client: as `find` gave it.
            origin: from where, for the journal.
            now: seconds since the epoch.
        """
        if self._policy is None or not client.described:
            return
        kept = await self._store.client(client.id)
        if kept == client:
            return
        what = "client.described" if kept is None else "client.changed"
        event = Event(now, what, actor=client.id, client=client.id, detail=str(client.ceiling), origin=origin)
        if kept is None:
            await self._store.add(client, event)
        elif kept.disabled_at is None and kept.registered:
            # If somebody else was faster, theirs stands: an operator's word, or the same document.
            await self._store.change(replace(client, version=kept.version), event)

    # -- what documents say ----------------------------------------------------------------------------

    async def _told(self, id: str, policy: MetadataDocuments, origin: Origin, now: float) -> Told:
        known = self._known.get(id)
        if known is not None and now < known[1]:
            self._known.move_to_end(id)
            return known[0]
        if why := why_no_document(id, policy):
            raise _unfit(f"client id {id[:200]!a}: {why}")
        fetched, told = await self._fetch(id, policy, origin, now)
        asked = fetched.fresh_for if fetched.fresh_for is not None else policy.min_age
        self._known[id] = told, now + min(max(asked, policy.min_age), policy.max_age)
        self._known.move_to_end(id)
        while len(self._known) > REMEMBERED:
            self._known.popitem(last=False)
        return told

    async def _fetch(self, id: str, policy: MetadataDocuments, origin: Origin, now: float) -> tuple[Fetched, Told]:
        assert self._fetcher is not None  # noqa: S101 - seen to when this object was made
        here = [f"document:{network_of(origin.address)}"] if origin.address else []
        there = [f"document:{urlsplit(id).netloc}"]
        await self._attempts.check(here, now)
        await self._attempts.check(there, now, free=FREE_TOGETHER)
        # Counted before it is known to fail: requests that come all at once are counted all the same.
        await self._attempts.failed([*here, *there], now)
        try:
            fetched = await self._fetcher.fetch(id)
            told = self._read(id, fetched.body, policy)
        except BailiwickError as bad:
            # One answer for whatever is wrong: a person who is not the operator learns nothing of our network.
            raise _unfit(f"client id {id[:200]!a}: {bad.detail}") from bad
        await self._attempts.succeeded([*here, *there])
        return fetched, told

    def _read(self, id: str, body: bytes, policy: MetadataDocuments) -> Told:
        try:
            document = read_json(body)
        except Malformed as bad:
            raise _unfit("the document is no JSON") from bad
        if not isinstance(document, dict):
            raise _unfit("the document is no JSON object")
        # Simple string comparison (RFC 3986 section 6.2.1): a document tells of the address that it lies at.
        if document.get("client_id") != id:
            raise _unfit("the document tells of another client_id")
        if any(name in document for name in _SECRETS):
            raise _unfit("the document holds a secret")
        return read_told(self._catalog, document, policy.registration, policy.ceiling, _METHODS, "none")

    def _merged(self, id: str, told: Told, kept: Client | None, now: float) -> Client:
        client = told.onto(kept if kept is not None else blank_client(id, now))
        if kept is None:
            return client
        # What an operator took away does not come back with the next look.
        held = self._catalog.hold(kept.ceiling)
        left = [name for name in client.ceiling if self._catalog.covers(held, name)]
        return replace(client, ceiling=ScopeSet(left))


def _is_url(id: str) -> bool:
    return id.startswith(("https://", "http://"))


def _unfit(detail: str) -> Refused:
    return Refused(
        "invalid_client", "The client's metadata document cannot be had, or is unfit.", id="BW422", detail=detail
    )
