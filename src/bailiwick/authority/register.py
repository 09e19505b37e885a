"""Registration: programs that make themselves known (RFC 7591) and keep their entry (RFC 7592).

Off unless the settings say who may. Everything that a client says about itself is only said: the
ceiling comes from the policy, whatever is asked; nothing it names is ever fetched; and a change goes
through the very checks of a first registration (CVE-2026-15572, CVE-2026-16102, CVE-2026-22752).
"""

from __future__ import annotations

import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bailiwick.errors import ConfigurationError, InvalidScope, Refused
from bailiwick.scopes import Catalog, Ceilings, ScopeSet
from bailiwick.scopes import issue as formula
from bailiwick.tokens import opaque
from bailiwick.tokens.encoding import Malformed, read_json

from .assertion import check_number_of_keys, client_keys
from .attempts import Attempts, network_of
from .clients import digest_secret
from .ids import TokenBytes, mint_client
from .records import Client, ClientAuth, Event, GrantType, Origin, Revocation, Revoked
from .redirects import why_unfit
from .request import wire_text
from .settings import Registration, Settings
from .store import Registered, Store

__all__ = [
    "RegisteredClient",
    "RegistrationEndpoint",
    "RegistrationRequest",
    "Told",
    "blank_client",
    "read_told",
]

MAX_REDIRECTS: Final = 20
MAX_CLIENT_NAME: Final = 200
# Where anybody may register, this part of the quota is the most that one network can fill in a rush: what it registers
# beyond comes so slowly that the quota's clients have made room before.
SHARE: Final = 4
# When the quota is used up, clients that nobody used for so many seconds after they registered make room; the others
# have all of `unused_client`. A program that registers asks a person right afterwards.
SPARED: Final = 60 * 60
# Seconds between two attempts to make room, which is work for the store.
ROOM_EVERY: Final = 60

_METHODS: Final[Mapping[str, ClientAuth]] = {
    "none": ClientAuth.NONE,
    "client_secret_basic": ClientAuth.SECRET,
    "client_secret_post": ClientAuth.SECRET,
    "private_key_jwt": ClientAuth.PRIVATE_KEY_JWT,
}
# RFC 7592 section 2.2: what only this server says, and a client must not send back.
_OURS: Final = (
    "registration_access_token",
    "registration_client_uri",
    "client_secret_expires_at",
    "client_id_issued_at",
)


@dataclass(frozen=True, slots=True)
class RegistrationRequest:
    """A registration, a look at one, or a change of one.

    Args:
        metadata: what the client says of itself; empty where nothing is sent.
        bearer: the initial or the registration access token, None if none was shown.
        origin: from where.
    """

    metadata: Mapping[str, Any] = field(default_factory=dict)
    bearer: str | None = field(default=None, repr=False)
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls, body: bytes | None, *, authorization: Sequence[str] = (), origin: Origin | None = None
    ) -> RegistrationRequest:
        """Read a request.

        Args:
            body: a JSON object, already bounded in size; None for GET and DELETE.
            authorization: the values of every `Authorization` header field.
            origin: from where the request came.

        Raises:
            Refused: invalid_client_metadata if the body is no JSON object; invalid_request for two headers.
        """
        bearer = _bearer_of(authorization)
        metadata: object = {}
        if body is not None:
            try:
                metadata = read_json(body)
            except Malformed as bad:
                raise _unfit("The body is not a JSON object.") from bad
            if not isinstance(metadata, dict):
                raise _unfit("The body is not a JSON object.")
        assert isinstance(metadata, dict)  # noqa: S101 - either way
        return cls(metadata, bearer, origin or Origin())


def _bearer_of(authorization: Sequence[str]) -> str | None:
    if len(authorization) > 1:
        raise Refused("invalid_request", "The Authorization header is repeated.", id="BW400")
    scheme, _, token = authorization[0].strip(" \t").partition(" ") if authorization else ("", "", "")
    return token.strip(" ") if scheme.lower() == "bearer" else None


@dataclass(frozen=True, slots=True)
class RegisteredClient:
    """What a client is told of its registration (RFC 7591 section 3.2.1, RFC 7592 section 3).

    Args:
        client: the record.
        issuer: under which its own entry stands.
        method: the authentication method by the name that it registered with.
        secret: what it must show from now on; None if it has none, or had it before.
        token: the registration access token; None if nobody can change this entry.
    """

    client: Client
    issuer: str
    method: str
    secret: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)

    def as_json(self) -> dict[str, Any]:
        """The members of the JSON answer."""
        client = self.client
        grants = sorted(grant.value for grant in client.grants)
        body: dict[str, Any] = {
            "client_id": client.id,
            "client_id_issued_at": int(client.created_at),
            "client_name": client.name,
            "redirect_uris": list(client.redirects),
            "grant_types": grants,
            "response_types": ["code"] if GrantType.AUTHORIZATION_CODE in client.grants else [],
            "token_endpoint_auth_method": self.method,
            "scope": str(client.ceiling),
        }
        if client.jwks:
            body["jwks"] = json.loads(client.jwks)
        if self.secret is not None:
            body |= {"client_secret": self.secret, "client_secret_expires_at": 0}
        if self.token is not None:
            body |= {
                "registration_access_token": self.token,
                "registration_client_uri": f"{self.issuer}/register/{client.id}",
            }
        return body


class RegistrationEndpoint:
    """`POST /register`, and `GET|PUT|DELETE /register/{client_id}`.

    Args:
        catalog: the scopes that exist.
        settings: who may register, and with what ceiling.
        store: keeps the clients.
        attempts: counts registrations by network, where anybody may register.
        token_bytes: the source of randomness.
    """

    def __init__(
        self, catalog: Catalog, settings: Settings, store: Store, attempts: Attempts, token_bytes: TokenBytes
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._attempts = attempts
        self._token_bytes = token_bytes
        self._room_made_at = float("-inf")

    def check_may_register(self, authorization: Sequence[str]) -> None:
        """Refuse whoever may not register at all, before anything that they say of themselves is read.

        Args:
            authorization: the values of every `Authorization` header field.

        Raises:
            Refused: 404 where registration is off; invalid_token (401) without the initial access token of the policy.
        """
        _check_initial_token(self._policy(), _bearer_of(authorization))

    async def check_may_change(self, client: str, authorization: Sequence[str]) -> None:
        """Refuse whoever may not change a registration, before anything that they say of themselves is read.

        Args:
            client: the client id.
            authorization: the values of every `Authorization` header field.

        Raises:
            Refused: 404 where registration is off; invalid_token (401) for a wrong registration access token.
        """
        self._policy()
        await self._own(client, _bearer_of(authorization))

    async def answer(self, request: RegistrationRequest, *, now: float) -> RegisteredClient:
        """Register a client.

        Args:
            request: what it says of itself.
            now: seconds since the epoch.

        Raises:
            Refused: invalid_token (401) without the initial access token that the policy asks for;
                invalid_redirect_uri, invalid_client_metadata, invalid_software_statement; slow_down (BW416): too many
                from this network; temporarily_unavailable (BW416): the quota is used up.
        """
        policy = self._policy()
        _check_initial_token(policy, request.bearer)
        told = read_told(self._catalog, request.metadata, policy, policy.ceiling)
        shared = policy.share_public and told.auth is ClientAuth.NONE
        secret = opaque.mint(self._token_bytes, opaque.Kind.CLIENT_SECRET) if told.auth is ClientAuth.SECRET else None
        token = None if shared else opaque.mint(self._token_bytes, opaque.Kind.REGISTRATION)
        identifier = told.fingerprint() if shared else mint_client(self._token_bytes)
        client = replace(
            told.onto(blank_client(identifier, now)),
            secret=digest_secret(secret) if secret is not None else None,
            registration=opaque.digest(token) if token is not None else None,
        )
        event = _event("client.registered", client, request.origin, now)
        counted = await self._count(policy, request.origin, now)
        outcome = await self._store.register(client, event, quota=policy.quota)
        if outcome is Registered.FULL and await self._make_room(now):
            outcome = await self._store.register(client, event, quota=policy.quota)
        if outcome is not Registered.DONE:
            # Nothing was added, so nothing is held against anybody.
            await self._attempts.succeeded(counted)
        if outcome is Registered.FULL:
            raise Refused(
                "temporarily_unavailable",
                "Too many registered clients are not in use yet. Try again in an hour, use the client_id that you have, "
                "or ask the operator of this server for one.",
                status=503,
                id="BW416",
                detail=f"{policy.quota} registered clients are unused, and none of them for longer than {SPARED} seconds",
                retry_after=SPARED,
            )
        if outcome is Registered.TAKEN:
            # Only a shared one can be there already: nobody else's id is 120 random bits.
            found = await self._store.client(client.id)
            if not shared or found is None or found.disabled_at is not None or not found.registered:
                raise _unfit("A client like this one was registered and is closed.")
            client = found
        return RegisteredClient(client, self._settings.issuer, told.method, secret, token)

    async def _count(self, policy: Registration, origin: Origin, now: float) -> list[str]:
        """Count a registration by network, and the names under which it was; none where only some may register."""
        if policy.initial_tokens or not origin.address:
            return []
        names = [f"register:{network_of(origin.address)}"]
        try:
            await self._attempts.check(names, now, free=max(1, policy.quota // SHARE))
        except Refused as why:
            raise Refused(
                "slow_down",
                "Too many clients registered from this address. Use the client_id that you have, or wait.",
                status=429,
                id="BW416",
                retry_after=why.retry_after,
            ) from why
        await self._attempts.failed(names, now)
        return names

    async def _make_room(self, now: float) -> bool:
        """Delete what has been of no use for a while, if there is any such client."""
        if 0 <= now - self._room_made_at < ROOM_EVERY:
            return False
        self._room_made_at = now
        before = len(await self._store.clients())
        await self._store.purge(now, unused_before=now - SPARED)
        gone = before - len(await self._store.clients())
        if gone <= 0:
            return False
        detail = f"{gone} that registered themselves and that nobody used, for others"
        await self._store.record(Event(now, "clients.dropped", "authority", detail=detail))
        return True

    async def look(self, client: str, request: RegistrationRequest) -> RegisteredClient:
        """Tell a client of its own registration (RFC 7592 section 2.1); its secret is kept as a digest and not told.

        Raises:
            Refused: invalid_token (401), whatever is wrong: the client may not exist at all.
        """
        self._policy()
        found = await self._own(client, request.bearer)
        return RegisteredClient(found, self._settings.issuer, _method_of(found), token=request.bearer)

    async def change(self, client: str, request: RegistrationRequest, *, now: float) -> RegisteredClient:
        """Put what a client says now in place of what it said (RFC 7592 section 2.2).

        The same checks as at first. Its ceiling can shrink and never grow: what an operator took away does
        not come back this way. How it proves itself stays as it is.

        Raises:
            Refused: as `answer` and `look`; slow_down (BW416): too many changes.
        """
        policy = self._policy()
        was = await self._own(client, request.bearer)
        if any(name in request.metadata for name in _OURS) or request.metadata.get("client_id") != was.id:
            raise _unfit("A change carries the client_id, and nothing that the server gave.")
        secret = request.metadata.get("client_secret")
        if secret is not None and (
            not isinstance(secret, str) or not hmac.compare_digest(was.secret or "", digest_secret(secret))
        ):
            raise _unfit("A client cannot choose its own secret.")
        told = read_told(self._catalog, request.metadata, policy, was.ceiling)
        if told.auth is not was.auth:
            raise _unfit("The authentication method cannot be changed; register anew.")
        # Each leaves a line in the journal for good, and whoever may register may do this as well.
        names = [f"register={was.id}"]
        await self._attempts.check(names, now)
        await self._attempts.failed(names, now)
        changed = told.onto(was)
        if not await self._store.change(changed, _event("client.changed", changed, request.origin, now)):
            raise Refused("invalid_request", "The registration was changed meanwhile; look again.", id="BW400")
        return RegisteredClient(changed, self._settings.issuer, told.method, token=request.bearer)

    async def close(self, client: str, request: RegistrationRequest, *, now: float) -> None:
        """End a registration and all that hangs on it (RFC 7592 section 2.3).

        Raises:
            Refused: as `look`.
        """
        self._policy()
        was = await self._own(client, request.bearer)
        revocation = Revocation(
            Revoked.CLIENT, was.id, now, self._settings.feed_until(now), by="client", reason="closed its registration"
        )
        closed = replace(was, disabled_at=now, registration=None)
        event = _event("client.closed", was, request.origin, now)
        if not await self._store.change(closed, event, revoking=revocation):
            raise Refused("invalid_request", "The registration was changed meanwhile; look again.", id="BW400")

    def _policy(self) -> Registration:
        if self._settings.registration is None:
            raise Refused("invalid_request", "Clients cannot register here.", status=404, id="BW400")
        return self._settings.registration

    async def _own(self, client: str, bearer: str | None) -> Client:
        found = await self._store.client(client) if "\0" not in client else None
        kept = found.registration if found is not None and found.registration is not None else "0" * 64
        proven = hmac.compare_digest(kept, opaque.digest(bearer or ""))
        if found is None or not proven or not found.registered or found.disabled_at is not None:
            raise _no_token("The registration access token is wrong.")
        return found


@dataclass(frozen=True, slots=True)
class Told:
    """What a client says of itself, checked."""

    name: str
    auth: ClientAuth
    method: str
    grants: frozenset[GrantType]
    redirects: tuple[str, ...]
    ceiling: ScopeSet
    jwks: str

    def onto(self, client: Client) -> Client:
        """The record with this in it, and nothing else of it changed."""
        return replace(
            client,
            name=self.name or client.id,
            auth=self.auth,
            grants=self.grants,
            redirects=self.redirects,
            ceiling=self.ceiling,
            jwks=self.jwks,
        )

    def fingerprint(self) -> str:
        """The id of the one client that says exactly this."""
        said = [self.name, sorted(one.value for one in self.grants), sorted(self.redirects), sorted(self.ceiling)]
        return f"cli_{opaque.digest(json.dumps(said))[:40]}"


def read_told(
    catalog: Catalog,
    metadata: Mapping[str, Any],
    policy: Registration,
    ceiling: ScopeSet,
    methods: Mapping[str, ClientAuth] = _METHODS,
    default: str = "client_secret_basic",
) -> Told:
    """Check what a client says of itself (RFC 7591 section 2), wherever it says it.

    Args:
        catalog: the scopes that exist.
        metadata: what it says.
        policy: what such a client may ever get.
        ceiling: what this one may, within the policy.
        methods: how it may prove itself.
        default: the method of one that names none.

    Raises:
        Refused: invalid_redirect_uri, invalid_client_metadata or invalid_software_statement.
    """
    if "software_statement" in metadata:
        raise Refused("invalid_software_statement", "No issuer of software statements is trusted.", id="BW400")
    grants = _grants(metadata, policy)
    method = metadata.get("token_endpoint_auth_method", default)
    if not isinstance(method, str) or method not in methods:
        raise _unfit("The token_endpoint_auth_method is not supported.")
    return Told(
        name=_name(metadata),
        auth=methods[method],
        method=method,
        grants=grants,
        redirects=_redirects(metadata, grants),
        ceiling=_scopes(catalog, metadata, policy, ceiling),
        jwks=_jwks(metadata, methods[method]),
    )


def _scopes(catalog: Catalog, metadata: Mapping[str, Any], policy: Registration, ceiling: ScopeSet) -> ScopeSet:
    named = metadata.get("scope")
    try:
        if named is not None and not isinstance(named, str):
            raise _unfit("scope is a text of scopes with blanks between.")
        # Unknown ones are left out, and the answer says what is left (RFC 7591 section 2): programs ask for
        # what other servers have, such as offline_access.
        wanted = None if not named else ScopeSet([n for n in ScopeSet.parse(named) if catalog.knows(n)])
        default = policy.default or policy.ceiling
        # The policy bounds every registration, also one that was made under another policy.
        return formula(catalog, wanted, default, Ceilings(client=policy.ceiling, presented=ceiling))
    except InvalidScope as bad:
        raise _unfit(wire_text(f"scope: {bad.description}")) from bad


def blank_client(identifier: str, now: float) -> Client:
    """A client that nobody vouches for, of which nothing is known yet.

    Args:
        identifier: its id.
        now: seconds since the epoch.
    """
    return Client(identifier, "", ClientAuth.NONE, frozenset(), ScopeSet(), now, registered=True)


def _method_of(client: Client) -> str:
    return next(name for name, auth in _METHODS.items() if auth is client.auth)


def _check_initial_token(policy: Registration, bearer: str | None) -> None:
    if not policy.initial_tokens:
        return
    shown = opaque.digest(bearer or "")
    # Every one is compared, so that the time does not tell which came close.
    if not any([hmac.compare_digest(kept, shown) for kept in policy.initial_tokens]):  # noqa: C419 - all of them
        raise _no_token(
            "Registration needs an initial access token." if bearer is None else "The initial access token is unknown."
        )


def _texts(metadata: Mapping[str, Any], name: str, default: list[str]) -> list[str]:
    value = metadata.get(name, default)
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value) or len(value) > MAX_REDIRECTS:
        raise _unfit(f"{name} is a list of at most {MAX_REDIRECTS} texts.")
    return list(dict.fromkeys(value))


def _grants(metadata: Mapping[str, Any], policy: Registration) -> frozenset[GrantType]:
    named = _texts(metadata, "grant_types", [GrantType.AUTHORIZATION_CODE.value])
    if not named or not set(named) <= set(policy.grants):
        raise _unfit(f"grant_types may hold {', '.join(policy.grants)}.")
    grants = frozenset(GrantType(name) for name in named)
    by_code = GrantType.AUTHORIZATION_CODE in grants
    # RFC 7591 section 2.1: "authorization_code" goes with "code", and the others with nothing.
    if _texts(metadata, "response_types", ["code"] if by_code else []) != (["code"] if by_code else []):
        raise _unfit("response_types and grant_types do not agree.")
    if grants == {GrantType.REFRESH_TOKEN}:
        raise _unfit("grant_types holds nothing that a refresh token could come of.")
    return grants


def _redirects(metadata: Mapping[str, Any], grants: frozenset[GrantType]) -> tuple[str, ...]:
    uris = metadata.get("redirect_uris", [])
    if not isinstance(uris, list) or not all(isinstance(uri, str) for uri in uris) or len(uris) > MAX_REDIRECTS:
        raise _bad_redirect(f"redirect_uris is a list of at most {MAX_REDIRECTS} texts.")
    for uri in uris:
        if why := why_unfit(uri):
            raise _bad_redirect(f"A redirect URI {why}.")
    if GrantType.AUTHORIZATION_CODE in grants and not uris:
        raise _bad_redirect("A client that uses authorization codes needs a redirect URI.")
    return tuple(dict.fromkeys(uris))


def _name(metadata: Mapping[str, Any]) -> str:
    name = metadata.get("client_name", "")
    # What turns the direction of writing, or has no width, makes one name look like another's.
    if not isinstance(name, str) or len(name) > MAX_CLIENT_NAME or not name.isprintable():
        raise _unfit(f"client_name is printable text of at most {MAX_CLIENT_NAME} characters.")
    return name.strip()


def _jwks(metadata: Mapping[str, Any], auth: ClientAuth) -> str:
    if "jwks_uri" in metadata:
        # A server that fetches what strangers name can be sent to its own neighbours.
        raise _unfit("jwks_uri is not supported; send the keys as jwks.")
    if auth is not ClientAuth.PRIVATE_KEY_JWT:
        return ""
    try:
        sent = json.dumps(metadata.get("jwks"))
        check_number_of_keys(sent)
        # Only the public halves are kept, whatever was sent.
        return json.dumps(client_keys(sent).public_jwks())
    except ConfigurationError as bad:
        raise _unfit(wire_text(f"jwks: {bad.description}")) from bad


def _event(what: str, client: Client, origin: Origin, now: float) -> Event:
    return Event(now, what, actor=client.id, client=client.id, detail=str(client.ceiling), origin=origin)


def _unfit(description: str) -> Refused:
    return Refused("invalid_client_metadata", wire_text(description), id="BW400")


def _bad_redirect(description: str) -> Refused:
    return Refused("invalid_redirect_uri", wire_text(description), id="BW400")


def _no_token(description: str) -> Refused:
    return Refused("invalid_token", description, status=401, id="BW401")
