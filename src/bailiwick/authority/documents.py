"""Clients that describe themselves: a client id that is the https address of a document about the client.

Source: draft-ietf-oauth-client-id-metadata-document. Off unless the settings have a policy for it. The document is
fetched by somebody else, behind a protocol; here is decided which addresses may be, and what is believed of an answer.
Nobody vouches for such a client: it is as a client that registered itself, with the same checks and never more than
the policy's ceiling. It is kept in the store from the moment when a person lets it do something, not before, so that
requests alone fill nothing. What is kept stands in for a document that cannot be had, where the client proves itself and
only there; never for a document that says what may not be.
"""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from dataclasses import dataclass, replace
from typing import Final, Protocol, TypeVar
from urllib.parse import urlsplit

from bailiwick.errors import BailiwickError, ConfigurationError, InvalidScope, InvalidToken, Refused
from bailiwick.scopes import Catalog, Ceilings, ScopeSet
from bailiwick.scopes import issue as formula
from bailiwick.tokens.encoding import Malformed, read_json

from .attempts import FREE_TOGETHER, Attempts, network_of
from .records import Client, ClientAuth, Event, Origin
from .register import Told, blank_client, read_told
from .request import Assertion, Presented
from .settings import MetadataDocuments, Settings
from .store import Store

__all__ = ["ClientDocuments", "Fetched", "Fetcher", "why_no_document"]

MAX_CLIENT_ID: Final = 512
# Documents that are remembered at once; beyond it the one that was asked for longest ago goes.
REMEMBERED: Final = 1_000
# Seconds after which a fresh document is looked at again for a signature by a key that it does not hold: who changes
# keys need not wait for a day, and who invents names of keys makes us go there once a minute.
EARLY: Final = 60
# Seconds for which a document that could not be had is left alone where something else will do: a client's users would
# wait for its dead server at each refresh.
LATER: Final = 60

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
# What of a client's record its document says; the rest is ours.
_SAID: Final = ("name", "auth", "grants", "redirects", "jwks")

_Value = TypeVar("_Value")


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


@dataclass(frozen=True, slots=True)
class _Known:
    """What a document said when it was last looked at.

    Args:
        told: what it said.
        at: when, seconds since the epoch.
        until: when it has to be looked at again.
    """

    told: Told
    at: float
    until: float


class _Unfit(Refused):
    """A document, or an address of one, that says what may not be: nothing else will do in its place."""


class ClientDocuments:
    """Finds clients, those that describe themselves included.

    Args:
        catalog: the scopes that exist.
        settings: the policy; without one only the store is asked, and who describes themselves is unknown.
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
        self._known: OrderedDict[str, _Known] = OrderedDict()
        # Until when a document that could not be had is left alone.
        self._later: OrderedDict[str, float] = OrderedDict()

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
        kept = await self._kept(id)
        if not _describes_itself(id, kept):
            return kept
        policy = self._policy
        if policy is None:
            return None
        known = self._fresh(id, policy, now)
        told = known.told if known is not None else await self._look(id, policy, kept, origin, now)
        return self._merged(id, told, kept, now)

    async def authenticating(self, presented: Presented, *, now: float) -> Client | None:
        """The client that a request names, where it proves itself.

        One that signs is as its document says, so that a key that was taken out of it proves nothing any more; what is
        kept of it will do if the document cannot be had. A public one that is kept has nothing to be looked up.

        Args:
            presented: what the client shows; untrusted.
            now: seconds since the epoch.

        Returns:
            None if there is none.

        Raises:
            Refused: as for `find`.
            StoreError: the store cannot answer.
        """
        client_id, origin = presented.client, presented.origin
        kept = await self._kept(client_id)
        if not _describes_itself(client_id, kept):
            return kept
        policy = self._policy
        if policy is None:
            return None
        if kept is None:
            await self._count_stranger(origin, now)
        # A public one that signs all of a sudden has something new in its document, or is somebody else.
        if kept is not None and kept.auth is not ClientAuth.PRIVATE_KEY_JWT and presented.assertion is None:
            return self._within(kept, policy)
        told = await self._told_lately(presented, policy, kept, now)
        if told is None:
            return self._within(kept, policy) if kept is not None else None
        client = self._merged(client_id, told, kept, now)
        if kept is not None:
            # A key that was taken out of the document must not come back when this process begins anew.
            await self.keep(client, origin=origin, now=now)
        return client

    async def keep(self, client: Client, *, origin: Origin, now: float) -> None:
        """Keep a client that a person lets do something, as it describes itself now.

        Args:
            client: as `find` gave it.
            origin: from where, for the journal.
            now: seconds since the epoch.
        """
        policy = self._policy
        if policy is None or not client.described:
            return
        kept = await self._store.client(client.id)
        # The ceiling at rest is the policy's, less what an operator took away. What the document names of it is read
        # each time: a scope that it leaves out today may stand there again tomorrow.
        if kept is None:
            event = _event("client.described", client, str(client.ceiling), origin, now)
            await self._store.add(replace(client, ceiling=self._catalog.expand(policy.ceiling)), event)
        elif kept.registered and kept.disabled_at is None:
            said = replace(client, ceiling=kept.ceiling, version=kept.version)
            if changed := [name for name in _SAID if getattr(said, name) != getattr(kept, name)]:
                # If somebody else was faster, theirs stands: an operator's word, or the same document.
                await self._store.change(said, _event("client.changed", client, ", ".join(changed), origin, now))

    async def _count_stranger(self, origin: Origin, now: float) -> None:
        """Bound what clients that nobody let do anything yet can leave in the store: what they push, what they sign.

        Anybody can be any number of those, and right each time. Such a client does this once: then a person lets it in.
        """
        if not origin.address:
            return
        names = [f"stranger@{network_of(origin.address)}"]
        await self._attempts.check(names, now, free=FREE_TOGETHER)
        await self._attempts.failed(names, now)

    async def _kept(self, id: str) -> Client | None:
        return None if "\0" in id or len(id) > MAX_CLIENT_ID else await self._store.client(id)

    # -- what documents say ----------------------------------------------------------------------------

    def _fresh(self, id: str, policy: MetadataDocuments, now: float) -> _Known | None:
        """What is still known of a document."""
        if why := why_no_document(id, policy):
            raise _unfit(f"client id {id[:200]!a}: {why}")
        known = self._known.get(id)
        # Nor is one believed that was looked at in the future: the clock was set back, any time ago.
        if known is None or not known.at <= now < known.until:
            return None
        self._known.move_to_end(id)
        return known

    async def _told_lately(
        self, presented: Presented, policy: MetadataDocuments, kept: Client | None, now: float
    ) -> Told | None:
        """What the document of a client that signs says; None if it cannot be had, and what is kept has to do."""
        client_id = presented.client
        known = self._fresh(client_id, policy, now)
        instead = known.told if known is not None else None
        if known is not None and (now - known.at < EARLY or _holds(known.told.jwks, _kid_of(presented.assertion))):
            return instead
        will_do = known is not None or kept is not None
        if will_do and 0 < self._later.get(client_id, now) - now <= LATER:
            return instead
        try:
            return await self._look(client_id, policy, kept, presented.origin, now)
        except _Unfit:
            raise
        except Refused:
            if not will_do:
                raise
            _remember(self._later, client_id, now + LATER)
            return instead

    async def _look(self, id: str, policy: MetadataDocuments, kept: Client | None, origin: Origin, now: float) -> Told:
        """Fetch a document and read it."""
        assert self._fetcher is not None  # noqa: S101 - seen to when this object was made
        network = network_of(origin.address)
        if kept is not None or id in self._known:
            # By itself: otherwise a stranger who asks for many that do not exist, at the same host or from the same
            # office, would keep out a client that people use; or, while its server is down for a minute, for longer.
            here, wide = [], [f"document={id}@{network}"]
        else:
            here, wide = [f"document@{network}"] if network else [], [f"document:{urlsplit(id).netloc}"]
        await self._attempts.check(here, now)
        await self._attempts.check(wide, now, free=FREE_TOGETHER)
        # Counted before it is known to fail: requests that come all at once are counted all the same.
        await self._attempts.failed([*here, *wide], now)
        try:
            fetched = await self._fetcher.fetch(id)
            told = self._read(id, fetched.body, policy)
        except BailiwickError as bad:
            # One answer for whatever is wrong: a person who is not the operator learns nothing of our network.
            detail = f"client id {id[:200]!a}: {bad.detail}"
            if isinstance(bad, _Unfit):
                self._known.pop(id, None)
                raise _unfit(detail) from bad
            raise Refused("invalid_client", _SENTENCE, id="BW422", detail=detail) from bad
        await self._attempts.succeeded([*here, *wide])
        asked = fetched.fresh_for if fetched.fresh_for is not None else policy.min_age
        until = now + min(max(asked, policy.min_age), policy.max_age)
        _remember(self._known, id, _Known(told, now, until))
        self._later.pop(id, None)
        return told

    def _read(self, id: str, body: bytes, policy: MetadataDocuments) -> Told:
        try:
            document = read_json(body)
        except Malformed as bad:
            raise Refused("invalid_client", _SENTENCE, id="BW422", detail="the document is no JSON") from bad
        if not isinstance(document, dict):
            raise Refused("invalid_client", _SENTENCE, id="BW422", detail="the document is no JSON object")
        # Simple string comparison (RFC 3986 section 6.2.1): a document tells of the address that it lies at.
        if document.get("client_id") != id:
            raise _unfit("the document tells of another client_id")
        if any(name in document for name in _SECRETS):
            raise _unfit("the document holds a secret")
        if _holds_private_keys(document.get("jwks")):
            raise _unfit("the document holds a private or a shared key, which everybody has read by now")
        try:
            return read_told(self._catalog, document, policy.registration, policy.ceiling, _METHODS, "none")
        except Refused as bad:
            raise _unfit(bad.detail) from bad

    def _merged(self, id: str, told: Told, kept: Client | None, now: float) -> Client:
        if kept is None:
            return told.onto(blank_client(id, now))
        client = told.onto(kept)
        # What an operator took away does not come back with the next look.
        return replace(client, ceiling=self._of(told.ceiling, kept.ceiling), first_party=False)

    def _within(self, kept: Client, policy: MetadataDocuments) -> Client:
        """What is kept of a client, within the policy of today."""
        return replace(kept, ceiling=self._of(kept.ceiling, policy.ceiling), first_party=False)

    def _of(self, scopes: ScopeSet, bound: ScopeSet) -> ScopeSet:
        try:
            return formula(self._catalog, None, scopes, Ceilings(client=bound))
        except InvalidScope:
            return ScopeSet()


_SENTENCE: Final = "The client's metadata document cannot be had, or is unfit."


def _describes_itself(id: str, kept: Client | None) -> bool:
    """Whether a document has a say: what an operator made by hand, or closed, is not put right by one."""
    return id.startswith(("https://", "http://")) and (kept is None or (kept.registered and kept.disabled_at is None))


def _kid_of(assertion: Assertion | None) -> str | None:
    """The name of the key by which a client says that it signed; None if it says none."""
    try:
        return assertion.envelope.kid if assertion is not None else None
    except InvalidToken:
        return None


def _holds(jwks: str, kid: str | None) -> bool:
    """Whether keys hold the one of that name, or none is named."""
    return kid is None or (jwks != "" and any(key.get("kid") == kid for key in json.loads(jwks)["keys"]))


def _holds_private_keys(jwks: object) -> bool:
    """Whether a key set holds what only its owner may have (RFC 7517 section 9.3: d of all kinds but oct, its k)."""
    keys = jwks.get("keys") if isinstance(jwks, dict) else None
    return isinstance(keys, list) and any(isinstance(key, dict) and ("d" in key or "k" in key) for key in keys)


def _event(what: str, client: Client, detail: str, origin: Origin, now: float) -> Event:
    return Event(now, what, actor=client.id, client=client.id, detail=detail, origin=origin)


def _remember(memory: OrderedDict[str, _Value], name: str, value: _Value) -> None:
    memory[name] = value
    memory.move_to_end(name)
    while len(memory) > REMEMBERED:
        memory.popitem(last=False)


def _unfit(detail: str) -> _Unfit:
    return _Unfit("invalid_client", _SENTENCE, id="BW422", detail=detail)
