"""What the authority remembers: frozen records, as every store gives and takes them.

A record is a fact at one moment. Nothing here changes; a store answers with a new one. Times are
seconds since the epoch. No record holds a token, a password or a secret in the clear, only
digests, and those stay out of `repr`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Final

from bailiwick.scopes import ScopeSet

__all__ = [
    "ACCOUNT_PREFIX",
    "EVERY_RESOURCE",
    "MAX_NAME",
    "MOST_LINES",
    "Account",
    "Authorization",
    "Client",
    "ClientAuth",
    "Code",
    "ConsentedScope",
    "DeviceCode",
    "DeviceState",
    "Event",
    "Family",
    "GrantType",
    "KeyState",
    "Origin",
    "PushedRequest",
    "RefreshToken",
    "Resource",
    "Revocation",
    "Revoked",
    "RoleRecord",
    "Session",
    "Standing",
    "StoredKey",
    "is_name_length",
    "name_key",
]

# People's ids begin with this and clients' ids may not, so that a client that acts for itself (its
# `sub` is its client id, RFC 9068 section 2.2) can never be taken for a person: RFC 9700 section 4.15.
ACCOUNT_PREFIX: Final = "usr_"

# In `Client.introspects`: whatever resources the authority has, now or later.
EVERY_RESOURCE: Final = "*"


# Of a person's name, in characters as typed. Normalisation sorts combining characters in quadratic time (insertion sort in
# CPython): no text may reach it before its length was looked at.
MAX_NAME: Final = 256


def is_name_length(name: str) -> bool:
    """Whether a text has a length that a person's name can have; ask before anything else is done with it."""
    return 0 < len(name) <= MAX_NAME


def name_key(name: str) -> str:
    """Return what makes two spellings the same name: compatibility forms and case are folded.

    `Alice`, `alice` and a full-width spelling of it are one person, so that nobody can register
    a look-alike of another's name (RFC 8265 section 3.3).

    Args:
        name: as typed.

    Raises:
        ValueError: it is longer than a name can be, so that folding it could take very long.
    """
    if len(name) > MAX_NAME:
        raise ValueError("The name is longer than a name can be.")
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


class GrantType(Enum):
    """The grant types that the authority knows, by their wire names."""

    PASSWORD = "password"  # noqa: S105 - the wire name (RFC 6749 section 4.3), not a password
    CLIENT_CREDENTIALS = "client_credentials"
    REFRESH_TOKEN = "refresh_token"  # noqa: S105 - the wire name (RFC 6749 section 6)
    AUTHORIZATION_CODE = "authorization_code"
    DEVICE_CODE = "urn:ietf:params:oauth:grant-type:device_code"
    TOKEN_EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - the wire name (RFC 8693)


class ClientAuth(Enum):
    """How a client proves who it is."""

    NONE = "none"
    SECRET = "client_secret"  # noqa: S105 - a name: by Basic or in the body, one of them at a time
    PRIVATE_KEY_JWT = "private_key_jwt"  # signs an assertion with its own key (RFC 7523 section 2.2)
    TLS = "tls_client_auth"  # shows a certificate to the proxy in front (RFC 8705 section 2)


@dataclass(frozen=True, slots=True)
class Origin:
    """From where a request came, for the journal and for limits.

    Args:
        address: the peer's address, as the trusted-proxy setting found it.
        agent: what the peer says it is; not trusted, cut to a bounded length when stored.
    """

    address: str = ""
    agent: str = ""


@dataclass(frozen=True, slots=True)
class Resource:
    """An API that tokens are meant for (RFC 8707): its audience, and the scopes it knows.

    Args:
        identifier: an absolute URI without fragment, or any text where only one API exists.
        scopes: what may be issued for it, wildcards allowed; None for the whole catalog.
    """

    identifier: str
    scopes: ScopeSet | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """A program that may ask for tokens.

    Args:
        id: the public name of it.
        name: how people know it.
        auth: how it authenticates; `ClientAuth.NONE` makes it a public client.
        secret: digest of its secret (`sha256:` and hex, or an Argon2id hash), None if it has none.
        grants: the grant types that it may use.
        redirects: exact redirect URIs.
        ceiling: the scopes it may ever get, wildcards allowed.
        default: the scopes it gets when it asks for none by name; None: all of its ceiling.
        first_party: it belongs to the operator, so that consent may be skipped.
        introspects: the resources whose tokens it may introspect (RFC 7662); `EVERY_RESOURCE` stands for all.
        created_at: seconds since the epoch.
        disabled_at: seconds since the epoch, None while it may act.
        version: counts the changes, so that two operators cannot overwrite each other.
        required: scopes of its ceiling that it is of no use without; a person cannot untick them.
        jwks: its public keys as a JWK set in JSON, where it signs assertions; "" otherwise.
        tls: what its certificate must say, as `subject_dn=...`, `san_dns=...`, `san_uri=...`, `san_ip=...`,
            `san_email=...` or `x5t#S256=...`; "" where it shows none.
        registered: it registered itself (RFC 7591), so that nobody vouches for what it says.
        registration: digest of the token by which it manages its own registration (RFC 7592), None if it has none.
        exchange_targets: the resources that it may exchange other clients' tokens for (RFC 8693), besides the one that
            such a token is for already.
        follows_revocations: it may read the revocation feed.
    """

    id: str
    name: str
    auth: ClientAuth
    grants: frozenset[GrantType]
    ceiling: ScopeSet
    created_at: float
    secret: str | None = field(default=None, repr=False)
    default: ScopeSet | None = None
    redirects: tuple[str, ...] = ()
    first_party: bool = False
    introspects: frozenset[str] = frozenset()
    disabled_at: float | None = None
    version: int = 1
    required: ScopeSet = field(default_factory=ScopeSet)
    jwks: str = field(default="", repr=False)
    tls: str = ""
    registered: bool = False
    registration: str | None = field(default=None, repr=False)
    exchange_targets: frozenset[str] = frozenset()
    follows_revocations: bool = False

    @property
    def described(self) -> bool:
        """Whether its id is the address of a document in which it describes itself."""
        return self.registered and "://" in self.id

    @property
    def public(self) -> bool:
        """Whether it cannot keep a secret (RFC 6749 section 2.1)."""
        return self.auth is ClientAuth.NONE


@dataclass(frozen=True, slots=True)
class Account:
    """A person.

    Args:
        id: opaque, begins with `usr_`; the `sub` of tokens.
        name: what they log in with.
        password: an Argon2id hash, or None if they cannot log in by password.
        roles: names of roles.
        grants: scopes given directly, wildcards allowed.
        created_at: seconds since the epoch.
        disabled_at: seconds since the epoch, None while they may act.
        version: counts the changes.
    """

    id: str
    name: str
    created_at: float
    password: str | None = field(default=None, repr=False)
    roles: frozenset[str] = frozenset()
    grants: ScopeSet = field(default_factory=ScopeSet)
    disabled_at: float | None = None
    version: int = 1


@dataclass(frozen=True, slots=True)
class RoleRecord:
    """A role as the store has it; the catalog's roles seed it once, operators change it later.

    Args:
        name: such as "editor".
        scopes: what it holds, wildcards allowed.
        version: counts the changes.
    """

    name: str
    scopes: ScopeSet
    version: int = 1


@dataclass(frozen=True, slots=True)
class Standing:
    """What a person may have right now: read at every issuance, never remembered.

    Args:
        account: the person.
        scopes: of all their roles together with their direct grants, wildcards not expanded.
    """

    account: Account
    scopes: ScopeSet


@dataclass(frozen=True, slots=True)
class ConsentedScope:
    """One scope of an authorization: since when, by what, and whether it was withdrawn.

    Args:
        scope: its name.
        granted_at: seconds since the epoch.
        via: what gave it, such as "password" or "consent".
        withdrawn_at: seconds since the epoch, None while it is live.
        withdrawn_by: "person" or "operator". What a person took back the person may give again;
            what an operator took back stays so until an operator gives it back.
    """

    scope: str
    granted_at: float
    via: str
    withdrawn_at: float | None = None
    withdrawn_by: str | None = None


@dataclass(frozen=True, slots=True)
class Authorization:
    """The lasting record that a person lets a client use a resource, with a row for each scope.

    Args:
        id: opaque, begins with `atz_`; the `authz` claim.
        subject: the person's id.
        client: the client's id.
        resource: the resource's identifier.
        created_at: seconds since the epoch.
        rows: every scope that was ever consented to.
    """

    id: str
    subject: str
    client: str
    resource: str
    created_at: float
    rows: tuple[ConsentedScope, ...] = ()

    @property
    def live(self) -> ScopeSet:
        """The scopes that are consented to and not withdrawn."""
        return ScopeSet([row.scope for row in self.rows if row.withdrawn_at is None])


@dataclass(frozen=True, slots=True)
class Family:
    """A refresh token and all its successors.

    Args:
        id: opaque, begins with `fam_`; access tokens carry it at the front of their `jti`.
        authorization: the id of the authorization that it hangs on.
        subject: the person's id.
        client: the client's id.
        resource: the resource's identifier.
        scopes: the full scope, which a refresh may narrow for one access token and never widens.
        authenticated_at: when the person proved who they are, seconds since the epoch.
        created_at: seconds since the epoch.
        expires_at: the absolute end, seconds since the epoch.
        revoked_at: seconds since the epoch, None while it lives.
        reason: why it was revoked.
    """

    id: str
    authorization: str
    subject: str
    client: str
    resource: str
    scopes: ScopeSet
    authenticated_at: float
    created_at: float
    expires_at: float
    revoked_at: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """One generation of a family.

    Args:
        digest: SHA-256 of the token.
        family: the family's id.
        generation: 1 for the first one.
        issued_at: seconds since the epoch.
        expires_at: the idle end, seconds since the epoch.
        spent_at: when it was exchanged for its successor, None while it is the family's head.
    """

    digest: str = field(repr=False)
    family: str
    generation: int
    issued_at: float
    expires_at: float
    spent_at: float | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorization code (RFC 6749 section 4.1), bound to everything that it was asked with.

    Args:
        digest: SHA-256 of the code.
        authorization: the authorization's id.
        subject: the person's id.
        client: the client that asked.
        resource: the resource's identifier.
        redirect: the redirect URI of the request, as it stood there.
        redirect_given: whether the request named it, so that redemption must too (section 4.1.3).
        challenge: the PKCE S256 challenge (RFC 7636).
        scopes: what was asked for and consented to.
        authenticated_at: when the person proved who they are.
        issued_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        family: the id that the family which comes of it will have, so that a replay can revoke it
            even before it began.
        spent_at: when it was first presented, None until then.
    """

    digest: str = field(repr=False)
    authorization: str
    subject: str
    client: str
    resource: str
    redirect: str
    redirect_given: bool
    challenge: str
    scopes: ScopeSet
    authenticated_at: float
    issued_at: float
    expires_at: float
    family: str
    spent_at: float | None = None


class DeviceState(Enum):
    """Where a device's request stands (RFC 8628)."""

    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    SPENT = "spent"


@dataclass(frozen=True, slots=True)
class DeviceCode:
    """A device's request for tokens (RFC 8628), until a person decides on it at another screen.

    Args:
        digest: SHA-256 of the device code.
        user_code: SHA-256 of the normalised user code.
        client: the client's id.
        resource: the resource's identifier.
        scopes: what the device asked for; None: the client's default.
        issued_at: seconds since the epoch.
        expires_at: seconds since the epoch.
        interval: seconds between two polls.
        polled_at: the last poll, seconds since the epoch.
        state: pending until a person decides.
        subject: who decided.
        authorization: what the approval hangs on.
        authenticated_at: when that person proved who they are.
        network: by which it is counted, as a keyed digest; "" if the operator vouches for its client.
    """

    digest: str = field(repr=False)
    user_code: str = field(repr=False)
    client: str
    resource: str
    scopes: ScopeSet | None
    issued_at: float
    expires_at: float
    interval: int
    polled_at: float | None = None
    state: DeviceState = DeviceState.PENDING
    subject: str | None = None
    authorization: str | None = None
    authenticated_at: float | None = None
    network: str = ""


@dataclass(frozen=True, slots=True)
class PushedRequest:
    """An authorization request that the client pushed beforehand (RFC 9126).

    Args:
        digest: SHA-256 of the reference in `request_uri`.
        client: the client that pushed it.
        parameters: the request's parameters, name and value.
        expires_at: seconds since the epoch.
        network: by which it is counted, as a keyed digest; "" if the operator vouches for its client.
    """

    digest: str = field(repr=False)
    client: str
    parameters: tuple[tuple[str, str], ...]
    expires_at: float
    network: str = ""


@dataclass(frozen=True, slots=True)
class Session:
    """A person logged in at one browser.

    Args:
        digest: SHA-256 of what the browser's cookie holds.
        subject: the person's id.
        authenticated_at: when they proved who they are, seconds since the epoch.
        idle_until: the end if the browser stays silent, seconds since the epoch.
        expires_at: the end whatever happens, seconds since the epoch.
    """

    digest: str = field(repr=False)
    subject: str
    authenticated_at: float
    idle_until: float
    expires_at: float


class Revoked(Enum):
    """What can be revoked; the names in the feed."""

    TOKEN = "token"  # noqa: S105 - a name
    FAMILY = "family"
    SCOPE = "scope"
    AUTHORIZATION = "authorization"
    SUBJECT = "subject"
    CLIENT = "client"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One line of the revocation feed: what no longer holds, although a token may still say so.

    Args:
        kind: what it is about.
        key: the token's `jti`, or the id of the family, authorization, subject or client.
        at: when it was revoked, seconds since the epoch.
        until: when the last of those tokens has expired anyway, seconds since the epoch.
        scope: the one scope, where `kind` is `Revoked.SCOPE`.
        by: "person", "operator", "client" or "authority".
        reason: a few words.
        number: its place in the feed; the store gives it. Tokens whose making began before it are meant.
        family: the family in which the line lies, "" if in none or the store has to look it up. It and the next two bound
            how many lines there are of one person; they are not told.
        authorization: the authorization in which it lies, in the same way.
        subject: whom the tokens are about, in the same way.
    """

    kind: Revoked
    key: str
    at: float
    until: float
    scope: str = ""
    by: str = "operator"
    reason: str = ""
    number: int = 0
    family: str = ""
    authorization: str = ""
    subject: str = ""

    @property
    def within(self) -> tuple[tuple[Revoked, str], ...]:
        """What the line lies in, narrowest first, as far as it is known."""
        places = (
            (Revoked.FAMILY, self.family),
            (Revoked.AUTHORIZATION, self.authorization),
            (Revoked.SUBJECT, self.subject),
        )
        return tuple((kind, key) for kind, key in places if key)

    def placed(self, *, family: str = "", authorization: str = "", subject: str = "") -> Revocation:
        """The same line with what it lies in filled in where it was not known.

        Args:
            family: the family, as the store found it.
            authorization: the authorization.
            subject: the person, or the client that acts for itself.
        """
        return replace(
            self,
            family=self.family or family,
            authorization=self.authorization or authorization,
            subject=self.subject or subject,
        )

    def gathered(self, kind: Revoked, key: str, *, at: float, until: float) -> Revocation:
        """The one line that takes the place of all lines within something.

        It tells which access tokens end, and ends nothing else: families and sessions go on, and whoever refreshes
        holds a token that is younger than the line.

        Args:
            kind: what they lie in.
            key: its id.
            at: the latest moment of any of them, seconds since the epoch.
            until: the latest end of any of them, seconds since the epoch.
        """
        return Revocation(
            kind,
            key,
            at,
            until,
            by="authority",
            reason="many revocations",
            family=self.family if kind is Revoked.FAMILY else "",
            authorization=self.authorization if kind is not Revoked.SUBJECT else "",
            subject=self.subject,
        )


# How many lines of the feed there may be within one family, authorization and subject, until one takes their place. A
# line has some 140 bytes, so that nobody makes the feed longer than 18 KB, whatever they do; an honest program revokes a
# few tokens of a family in the minutes that a line lasts. Of an authorization there are fewer than of a subject, so
# that what one client does to itself ends no token of another one.
MOST_LINES: Final[Mapping[Revoked, int]] = {Revoked.FAMILY: 16, Revoked.AUTHORIZATION: 32, Revoked.SUBJECT: 128}


class KeyState(Enum):
    """The life of a signing key. A retired one still verifies; a pending one is published already."""

    PENDING = "pending"
    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class StoredKey:
    """A signing key at rest.

    Args:
        kid: the key's id in tokens and in the JWKS.
        alg: its one algorithm.
        private: the private JWK as JSON, or its ciphertext where `sealed_with` names a key.
        created_at: seconds since the epoch.
        state: whether it signs.
        changed_at: since when it is in that state.
        sealed_with: which key-encryption key sealed it; "" if none did.
    """

    kid: str
    alg: str
    private: str = field(repr=False)
    created_at: float
    state: KeyState
    changed_at: float
    sealed_with: str = ""


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal: who did what, to what, from where. Never a secret.

    Args:
        at: seconds since the epoch.
        what: a dotted name such as "token.issued" or "client.disabled".
        actor: who acted: a person's or client's id, or "operator:" and a name.
        subject: the person it concerns, "" if none.
        client: the client it concerns, "" if none.
        object: the id of the authorization, family, token or role it concerns, "" if none.
        detail: a few words, such as the scopes.
        origin: from where.
        number: its place in the journal; the store gives it.
        every: seconds, 0 for a line of its own: within each such interval events that agree in `what`, `actor`,
            `subject`, `client` and `object` share one line, which keeps the detail and origin of the first.
        count: how many events the line tells of.
        until: when the last of them was, seconds since the epoch; 0 if there was only one.
    """

    at: float
    what: str
    actor: str
    subject: str = ""
    client: str = ""
    object: str = ""
    detail: str = ""
    origin: Origin = field(default_factory=Origin)
    number: int = 0
    every: int = 0
    count: int = 1
    until: float = 0.0
