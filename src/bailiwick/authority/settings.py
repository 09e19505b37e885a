"""Lifetimes and postures of the authority, each number with its source.

A setting that would be dangerous is refused when the authority is made, not noticed in production.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import urlsplit

from bailiwick.errors import ConfigurationError
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.scopes.grammar import shown

from .records import GrantType, Resource

__all__ = ["BALANCED", "STRICT", "Lifetimes", "MetadataDocuments", "Registration", "Settings", "Unfinished"]

MINUTE: Final = 60
HOUR: Final = 60 * MINUTE
DAY: Final = 24 * HOUR

# SHA-256 as tools print it, in the lower case that ours has.
DIGEST: Final = re.compile(r"[0-9a-f]{64}")

# The grants in which a person decides.
REGISTRABLE: Final = (GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN, GrantType.DEVICE_CODE)

# Seconds that a line of the revocation feed outlives the last token that it is about, for clocks that
# differ: twice the leeway that verifiers allow.
FEED_MARGIN: Final = 60


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things last, in seconds.

    Args:
        access: an access token; revocation reaches no further than this without a feed.
        refresh_idle: a refresh token that nobody uses (RFC 9700 section 4.14.2).
        refresh_absolute: a refresh family, however often it is used.
        refresh_grace: how long an honest retry of a refresh gets the same successor.
        code: an authorization code (RFC 6749 section 4.1.2 allows ten minutes; OpenID's FAPI 2 one).
        device: a device code and its user code (RFC 8628 section 6.1).
        device_interval: between two polls of a device (RFC 8628 section 3.2: 5 where nothing is said).
        pushed: a pushed authorization request (RFC 9126 section 2.2: 5 to 600).
        assertion: the furthest end of a client's signed assertion (RFC 7523 section 3), and so how long its
            `jti` is remembered.
        unused_client: a client that registered itself and that nobody ever let do anything.
        session: a person's login at one browser, whatever they do (NIST SP 800-63B section 4.2.3: 12 hours).
        session_idle: the same while the browser is silent (ibid.: 30 minutes).
        known_browser: how long after a login a browser's wrong passwords are counted apart from those of strangers.
        page: how long a page may lie open before its form is sent.
        key_pending: how long a new signing key is published before it signs.
        key_active: how long it signs.
        journal: how long lines of the journal are kept.
    """

    access: int = 10 * MINUTE
    refresh_idle: int = 14 * DAY
    refresh_absolute: int = 90 * DAY
    refresh_grace: int = 30
    code: int = MINUTE
    device: int = 10 * MINUTE
    device_interval: int = 5
    pushed: int = MINUTE
    assertion: int = HOUR
    unused_client: int = 7 * DAY
    session: int = 12 * HOUR
    session_idle: int = 30 * MINUTE
    known_browser: int = 180 * DAY
    page: int = 30 * MINUTE
    key_pending: int = DAY
    key_active: int = 90 * DAY
    journal: int = 400 * DAY

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < (0 if name == "refresh_grace" else 1):
                raise ConfigurationError(f"The lifetime {name} is a positive whole number of seconds, not {value!r}.")
        if self.refresh_grace > 5 * MINUTE:
            raise ConfigurationError(
                "refresh_grace above 300 seconds would let a stolen refresh token pass for a retry."
            )
        if not 5 <= self.pushed <= 10 * MINUTE:
            raise ConfigurationError("pushed is between 5 and 600 seconds (RFC 9126 section 2.2).")
        if self.code > 10 * MINUTE:
            raise ConfigurationError("code above 600 seconds is forbidden by RFC 6749 section 4.1.2.")


# What fits most: tokens of ten minutes, logins that last a fortnight of silence.
BALANCED: Final = Lifetimes()

# Where a stolen token must be worth little: RFC 9700 section 2.2 asks for short lives, and FAPI 2.0
# for codes of at most a minute.
STRICT: Final = Lifetimes(
    access=5 * MINUTE,
    refresh_idle=12 * HOUR,
    refresh_absolute=7 * DAY,
    refresh_grace=10,
    code=30,
    device=5 * MINUTE,
    session_idle=15 * MINUTE,  # NIST SP 800-63B section 4.3.3
    page=10 * MINUTE,
)


def check_issuer(issuer: str) -> str:
    """Return the issuer identifier if it may be one.

    It is an https URL without query and fragment (RFC 8414 section 2); plain http only on loopback,
    where nobody can listen (RFC 8252 section 8.3).

    Raises:
        ConfigurationError: it is something else.
    """
    try:
        parts = urlsplit(issuer)
        host, _ = parts.hostname, parts.port
    except (ValueError, AttributeError, TypeError) as bad:
        raise ConfigurationError(f"The issuer {issuer!r} is not a URL.") from bad
    if not isinstance(issuer, str) or not host or parts.username is not None or "?" in issuer or "#" in issuer:
        raise ConfigurationError(f"The issuer {issuer!r} must be a URL with a host, without query and fragment.")
    if issuer.endswith("/") or not issuer.isascii() or not issuer.isprintable() or " " in issuer:
        raise ConfigurationError(f"The issuer {issuer!r} must be plain ASCII and not end in a slash.")
    if parts.scheme == "http" and _is_loopback(host):
        return issuer
    if parts.scheme != "https":
        raise ConfigurationError(f"The issuer {issuer!r} must begin with https:// (http only on loopback).")
    return issuer


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True, slots=True)
class Registration:
    """Who may register clients, and what such a client may ever get (RFC 7591).

    Args:
        ceiling: the scopes that a registered client can have, wildcards allowed.
        default: the scopes that it has if it registers without naming any; None: all of the ceiling.
        initial_tokens: SHA-256 digests of initial access tokens (section 3), 64 hex digits each; empty: anybody may
            register.
        quota: how many registered clients may exist that nobody has let do anything yet; when there are so many, those
            that are older than an hour make room. Where anybody may register, one network can fill a quarter of it
            at once.
        grants: the grant types that it may have, by their wire names.
        share_public: public clients with the same metadata are one client, which nobody can change or delete
            afterwards: a program that registers at every start then adds one row and not a thousand.
    """

    ceiling: ScopeSet
    default: ScopeSet | None = None
    initial_tokens: tuple[str, ...] = field(default=(), repr=False)
    quota: int = 100
    grants: tuple[str, ...] = (
        GrantType.AUTHORIZATION_CODE.value,
        GrantType.REFRESH_TOKEN.value,
        GrantType.DEVICE_CODE.value,
    )
    share_public: bool = False

    def __post_init__(self) -> None:
        if not self.ceiling:
            raise ConfigurationError("Registration needs a ceiling of at least one scope.", id="BW103")
        # Without a person in front nobody consents; such clients are the operator's to make.
        unfit = set(self.grants) - {one.value for one in REGISTRABLE}
        if unfit or not self.grants:
            raise ConfigurationError(f"Registered clients may not use {', '.join(sorted(unfit)) or 'no grant at all'}.")
        if self.quota < 1:
            raise ConfigurationError("The quota of registrations must be at least 1.")
        # A token in the clear, or a digest cut short, would let nobody register, and somebody look for the reason.
        digests = tuple(str(one).lower() for one in self.initial_tokens)
        if not all(DIGEST.fullmatch(one) for one in digests):
            raise ConfigurationError(
                "initial_tokens holds SHA-256 digests, 64 hex digits each: printf %s TOKEN | sha256sum"
            )
        object.__setattr__(self, "initial_tokens", digests)


@dataclass(frozen=True, slots=True)
class MetadataDocuments:
    """Which clients may describe themselves in a document, whose https address is their id, and what such a one may get.

    Source: draft-ietf-oauth-client-id-metadata-document.

    Args:
        ceiling: the scopes that such a client can have, wildcards allowed.
        default: the scopes that it has if its document names none; None: all of the ceiling.
        hosts: the hosts whose documents are believed; empty: every public one.
        min_age: seconds for which a document is kept at least, whatever its server says.
        max_age: seconds after which it is fetched anew at the latest.
        loopback: for development only: documents may lie on this machine, by http too, and at any port.
    """

    ceiling: ScopeSet
    default: ScopeSet | None = None
    hosts: tuple[str, ...] = ()
    min_age: int = 5 * MINUTE
    max_age: int = DAY
    loopback: bool = False

    def __post_init__(self) -> None:
        hosts: object = self.hosts
        if isinstance(hosts, str):
            raise ConfigurationError("hosts is a list of host names.", id="BW104")
        if not 1 <= self.min_age <= self.max_age:
            raise ConfigurationError("min_age is at least 1 second, and max_age no less than it.")
        _ = self.registration

    @property
    def registration(self) -> Registration:
        """The same as a policy for clients that register themselves: those of documents are no better known."""
        grants = (GrantType.AUTHORIZATION_CODE.value, GrantType.REFRESH_TOKEN.value)
        return Registration(self.ceiling, self.default, grants=grants)


@dataclass(frozen=True, slots=True)
class Unfinished:
    """How many requests may wait for a person at once; of devices, and as many again of pushed ones.

    What a network is: an IPv4 address, or the /64 of an IPv6 one.

    Args:
        client: of one public client from one network; also of one that registered or described itself.
        network: of all such clients from one network.
        everybody: of all such clients from everywhere: whoever has many networks still does not fill the disk.
        confidential: of one confidential client that the operator made, from wherever.
    """

    client: int = 50
    network: int = 200
    everybody: int = 10_000
    confidential: int = 5_000

    def __post_init__(self) -> None:
        for name in self.__slots__:
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ConfigurationError(f"unfinished.{name} is a whole number of at least 1, not {value!r}.")
        if not self.client <= self.network <= self.everybody:
            raise ConfigurationError(
                "unfinished.client is a part of unfinished.network, which is a part of unfinished.everybody; none is more."
            )


@dataclass(frozen=True, slots=True)
class Settings:
    """What one authority is told when it is made.

    Args:
        issuer: its identifier, the URL under which its endpoints stand.
        audience: the identifier of the one API, if it is not the issuer's origin (`https://host`).
        resources: further APIs with their own scopes (RFC 8707); the one of `audience` comes first and is the default.
        lifetimes: how long things last.
        signing_algorithm: of access tokens: ES256, RS256, EdDSA, or HS256 where one process issues and verifies.
        issue_wildcards: put wildcards into tokens instead of what they stand for (scope rule 8).
        require_pushed: refuse authorization requests that were not pushed (RFC 9126 section 5).
        client_certificates: a proxy in front verifies clients' certificates and is trusted to say so (RFC 8705), in
            the header `Client-Cert` of RFC 9440, which it takes away from whatever clients send.
        registration: who may register clients; None: nobody.
        metadata_documents: clients whose id is the address of a document about them; None: there are none.
        unfinished: how many requests may wait for a person at once.
        trusted_proxies: addresses and networks, such as "10.0.0.0/8", whose `X-Forwarded-For` is believed, and then
            no one else's `Client-Cert`; by default nobody's. A server in front of the application that reads such
            headers by itself (uvicorn: `proxy_headers`) has to be told not to.
        public_revocations: anybody may read the revocation feed, and not only clients that may follow it. It names people,
            clients and authorizations by their ids, and when their tokens were revoked.
        purge_every: seconds between two purges of what has expired, more or less a quarter; 0 for never, where
            something else calls the store's `purge`.
        password_min_length: characters that a new password must have (NIST SP 800-63B section 5.1.1.2 says 8).

    Raises:
        ConfigurationError: a value that would be dangerous or makes no sense.
    """

    issuer: str
    audience: str = ""
    resources: tuple[Resource, ...] = ()
    lifetimes: Lifetimes = field(default_factory=lambda: BALANCED)
    signing_algorithm: str = "ES256"
    issue_wildcards: bool = False
    password_min_length: int = 8
    require_pushed: bool = False
    client_certificates: bool = False
    registration: Registration | None = None
    metadata_documents: MetadataDocuments | None = None
    purge_every: int = HOUR
    trusted_proxies: tuple[str, ...] = ()
    unfinished: Unfinished = field(default_factory=Unfinished)
    public_revocations: bool = False

    def __post_init__(self) -> None:
        check_issuer(self.issuer)
        names = [resource.identifier for resource in self.resources]
        if len(set(names)) != len(names) or "" in names:
            raise ConfigurationError("Two resources have the same identifier, or one has none.", id="BW106")
        if not self.audience:
            parts = urlsplit(self.issuer)
            object.__setattr__(self, "audience", names[0] if names else f"{parts.scheme}://{parts.netloc}")
        if self.audience not in names:
            object.__setattr__(self, "resources", (Resource(self.audience), *self.resources))
        if self.purge_every < 0:
            raise ConfigurationError("purge_every is a number of seconds, or 0 for never.")
        if self.password_min_length < 1:
            raise ConfigurationError("password_min_length must be at least 1.")
        # Read once here, so that a mistake fails the start.
        proxies: object = self.trusted_proxies
        if isinstance(proxies, str):
            raise ConfigurationError("trusted_proxies is a list of addresses and networks.", id="BW104")
        _ = self.proxy_networks

    def check_scopes(self, catalog: Catalog) -> None:
        """Insist that every scope that the settings name exists, or covers one that does.

        Args:
            catalog: the scopes that exist.

        Raises:
            ConfigurationError: one does not (BW102); the message names where it stands, and the nearest that exists.
        """
        for where, scopes in self._named_scopes():
            for name in scopes or ():
                if not catalog.knows(name):
                    raise ConfigurationError(
                        f"{where} names {shown(name)}, which is not in the catalog.{catalog.nearest(name)}", id="BW102"
                    )

    def _named_scopes(self) -> Iterator[tuple[str, ScopeSet | None]]:
        for resource in self.resources:
            yield f"The resource {resource.identifier!r}", resource.scopes
        for where, policy in (("registration", self.registration), ("metadata_documents", self.metadata_documents)):
            if policy is not None:
                yield f"{where}.ceiling", policy.ceiling
                yield f"{where}.default", policy.default

    @property
    def proxy_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of the trusted proxies.

        Raises:
            ConfigurationError: one is none, or is everybody.
        """
        networks = []
        for text in self.trusted_proxies:
            try:
                network = ip_network(text)
            except ValueError as bad:
                raise ConfigurationError(f"The trusted proxy {text!r} is no address and no network: {bad}.") from bad
            if network.prefixlen == 0:
                raise ConfigurationError(f"The trusted proxies {text!r} are everybody; name those that are yours.")
            networks.append(network)
        return tuple(networks)

    @property
    def default_resource(self) -> Resource:
        """The API that a token is for when the request names none."""
        return next(resource for resource in self.resources if resource.identifier == self.audience)

    def resource(self, identifier: str) -> Resource | None:
        """The API of that identifier; compared as text, nothing is normalised."""
        return next((resource for resource in self.resources if resource.identifier == identifier), None)

    def feed_until(self, now: float) -> float:
        """Until when the feed must tell of a revocation made now: no token that it is about lives longer."""
        return now + self.lifetimes.access + FEED_MARGIN

    def with_lifetimes(self, lifetimes: Lifetimes) -> Settings:
        """The same settings with other lifetimes."""
        return replace(self, lifetimes=lifetimes)
