"""What an operator may do. The command line and the console both call this, and nothing else.

Every act is journaled with the operator's name. Secrets are handed out once, when they are made,
and only their digests stay.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeVar

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.tokens import jws, opaque

from .accounts import MAX_PASSWORD, PasswordHasher, prepare_password
from .assertion import client_keys
from .clients import digest_secret, is_strong_secret
from .ids import TokenBytes, mint_account, mint_authorization, mint_client
from .records import (
    ACCOUNT_PREFIX,
    EVERY_RESOURCE,
    Account,
    Authorization,
    Client,
    ClientAuth,
    ConsentedScope,
    Event,
    Family,
    GrantType,
    Origin,
    Revocation,
    Revoked,
    RoleRecord,
)
from .redirects import why_unfit
from .settings import Settings
from .store import Store

__all__ = ["Admin", "NewClient"]

# A client id is a path segment, a form value and half of a Basic header; these letters need no escape in any.
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,100}")
# An act that somebody else's change made void is tried again, this often at most.
TRIES: Final = 5

_Record = TypeVar("_Record", Account, Client, RoleRecord)


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client, and its secret: shown once, kept nowhere.

    Args:
        client: the record.
        secret: what it must show, None for a public client.
    """

    client: Client
    secret: str | None = field(default=None, repr=False)


class Admin:
    """An operator's acts.

    Args:
        catalog: the scopes that exist.
        settings: lifetimes and rules.
        store: what is remembered.
        hasher: hashes passwords.
        token_bytes: the source of randomness.
        clock: tells seconds since the epoch.
        actor: who acts, for the journal, such as "operator:jane".
        origin: from where, for the journal.
    """

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        store: Store,
        hasher: PasswordHasher,
        *,
        token_bytes: TokenBytes,
        clock: Callable[[], float],
        actor: str = "operator",
        origin: Origin | None = None,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._hasher = hasher
        self._token_bytes = token_bytes
        self._clock = clock
        self._actor = actor
        self._origin = origin or Origin()

    def acting_as(self, actor: str, origin: Origin | None = None) -> Admin:
        """The same desk with another operator behind it."""
        return Admin(
            self._catalog,
            self._settings,
            self._store,
            self._hasher,
            token_bytes=self._token_bytes,
            clock=self._clock,
            actor=actor,
            origin=origin or self._origin,
        )

    # -- roles --------------------------------------------------------------------------------

    async def seed_roles(self) -> int:
        """Write the catalog's roles into a store that does not have them; those it has stay as they are.

        Returns:
            How many were new.
        """
        have = {role.name for role in await self._store.roles()}
        new = 0
        for role in self._catalog.roles.values():
            if role.name not in have:
                event = self._event("role.seeded", object=role.name, detail=str(role.scopes))
                new += await self._store.add(RoleRecord(role.name, role.scopes), event)
        return new

    async def set_role(self, name: str, scopes: Iterable[str]) -> RoleRecord:
        """Say what a role holds, new or known; whoever has it has that at their next issuance.

        Raises:
            ConfigurationError: an unknown scope (BW107), or none.
        """
        held = self._known(scopes, f"The role {name!r}")
        if not name or not held:
            raise ConfigurationError("A role needs a name and at least one scope.", id="BW130")
        for _ in range(TRIES):
            found = await self._role(name)
            event = self._event("role.set", object=name, detail=str(held))
            if found is None:
                if await self._store.add(RoleRecord(name, held), event):
                    return RoleRecord(name, held)
            elif await self._store.change(replace(found, scopes=held), event):
                return replace(found, scopes=held, version=found.version + 1)
        raise _contended(f"the role {name!r}")

    async def add_role(self, name: str, scopes: Iterable[str]) -> RoleRecord:
        """Make a role that did not exist.

        Raises:
            ConfigurationError: there is one of that name (BW106), an unknown scope, or none.
        """
        if await self._role(name) is not None:
            raise ConfigurationError(f"There is a role {name!r} already.", id="BW106")
        return await self.set_role(name, scopes)

    async def role(self, name: str) -> RoleRecord:
        """The role of that name.

        Raises:
            ConfigurationError: there is none.
        """
        found = await self._role(name)
        if found is None:
            raise _no_role(name, [role.name for role in await self._store.roles()])
        return found

    async def drop_role(self, name: str) -> None:
        """Delete a role and take it from everybody.

        Raises:
            ConfigurationError: there is none of that name, or the catalog declares it, whose roles every start
                makes anew.
        """
        if name in self._catalog.roles:
            raise ConfigurationError(
                f"The catalog declares the role {name!r}, so the next start would make it again; "
                "remove it from the catalog first, or take away its scopes.",
                id="BW130",
            )
        if not await self._store.drop_role(name, self._event("role.dropped", object=name)):
            raise ConfigurationError(f"There is no role {name!r}.", id="BW130")

    async def roles(self) -> Sequence[RoleRecord]:
        """Every role, by name."""
        return await self._store.roles()

    # -- people -------------------------------------------------------------------------------

    async def create_account(
        self, name: str, password: str | None, *, roles: Iterable[str] = (), grants: Iterable[str] = ()
    ) -> Account:
        """Add a person.

        Args:
            name: what they log in with; unlike every other name, whatever its case.
            password: None for somebody who cannot log in by password.
            roles: names of roles that exist.
            grants: scopes given directly.

        Raises:
            ConfigurationError: the name is taken, the password too short, a role or scope unknown.
        """
        if not name or len(name) > 256 or not name.isprintable() or name != name.strip():
            raise ConfigurationError("A person's name is printable text without blanks at its ends.", id="BW130")
        account = Account(
            mint_account(self._token_bytes),
            name,
            self._clock(),
            await self._hash(password) if password is not None else None,
            await self._known_roles(roles),
            self._known(grants, f"The person {name!r}"),
        )
        event = self._event("account.created", subject=account.id, detail=f"roles: {' '.join(sorted(account.roles))}")
        if not await self._store.add(account, event):
            raise ConfigurationError(f"The name {name!r} is taken.", id="BW106")
        return account

    async def accounts(self) -> Sequence[Account]:
        """Every person, by name."""
        return await self._store.accounts()

    async def account(self, name: str) -> Account:
        """The person of that name.

        Raises:
            ConfigurationError: there is none.
        """
        found = await self._store.account_named(name)
        if found is None:
            raise ConfigurationError(f"There is no person {name!r}.", id="BW130")
        return found

    async def set_password(self, name: str, password: str) -> Account:
        """Give a person a new password and end what they were logged in to (RFC 9700 section 4.14.2)."""
        hashed = await self._hash(password)
        return await self._change_account(
            name, "account.password_set", lambda a: replace(a, password=hashed), revoking="a new password"
        )

    async def give_role(self, name: str, role: str) -> Account:
        """Give a person a role."""
        (known,) = await self._known_roles([role])
        return await self._change_account(
            name, "account.role_given", lambda a: replace(a, roles=a.roles | {known}), detail=role
        )

    async def take_role(self, name: str, role: str) -> Account:
        """Take a role from a person; at the latest their next refresh notices."""
        return await self._change_account(
            name, "account.role_taken", lambda a: replace(a, roles=a.roles - {role}), detail=role
        )

    async def give(self, name: str, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> Account:
        """Give a person roles and direct scopes, all in one act.

        Raises:
            ConfigurationError: there is no such person, role or scope, or nothing was named.
        """
        known, given = await self._known_roles(roles), self._known(scopes, f"The person {name!r}")
        if not known and not given:
            raise ConfigurationError("Name at least one role or scope.", id="BW130")
        return await self._change_account(
            name,
            "account.given",
            lambda a: replace(a, roles=a.roles | known, grants=ScopeSet([*a.grants, *given])),
            detail=_words(known, given),
        )

    async def take(self, name: str, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> Account:
        """Take roles and direct scopes from a person, all in one act; at the latest their next refresh notices.

        Raises:
            ConfigurationError: there is no such person, nothing was named, or they have something of it not.
        """
        gone, taken = frozenset(roles), ScopeSet(scopes)
        if not gone and not taken:
            raise ConfigurationError("Name at least one role or scope.", id="BW130")

        def without(was: Account) -> Account:
            # Silence would let a misspelt name look as if the right were gone.
            if missing := sorted(gone - was.roles):
                raise ConfigurationError(f"{name!r} does not have the role {missing[0]!r}.", id="BW130")
            if absent := [scope for scope in taken if scope not in was.grants]:
                raise ConfigurationError(
                    f"{name!r} was not given the scope {absent[0]!r} directly; it may come from a role.", id="BW130"
                )
            left = ScopeSet([scope for scope in was.grants if scope not in taken])
            return replace(was, roles=was.roles - gone, grants=left)

        return await self._change_account(name, "account.taken", without, detail=_words(gone, taken))

    async def give_scopes(self, name: str, scopes: Iterable[str]) -> Account:
        """Give a person scopes directly."""
        given = self._known(scopes, f"The person {name!r}")
        return await self._change_account(
            name, "account.scopes_given", lambda a: replace(a, grants=ScopeSet([*a.grants, *given])), detail=str(given)
        )

    async def take_scopes(self, name: str, scopes: Iterable[str]) -> Account:
        """Take direct scopes from a person."""
        taken = ScopeSet(scopes)
        return await self._change_account(
            name,
            "account.scopes_taken",
            lambda a: replace(a, grants=ScopeSet([s for s in a.grants if s not in taken])),
            detail=str(taken),
        )

    async def disable_account(self, name: str) -> Account:
        """Let a person do nothing any more: no login, no refresh, no token."""
        now = self._clock()
        return await self._change_account(
            name, "account.disabled", lambda a: replace(a, disabled_at=now), revoking="disabled"
        )

    async def enable_account(self, name: str) -> Account:
        """Let a disabled person act again; they have to log in anew."""
        return await self._change_account(name, "account.enabled", lambda a: replace(a, disabled_at=None))

    async def revoke_account_tokens(self, name: str) -> int:
        """End everything that a person is logged in to; the number of refresh families that ended."""
        account = await self.account(name)
        return await self._revoke(Revoked.SUBJECT, account.id, subject=account.id)

    # -- clients ------------------------------------------------------------------------------

    async def create_client(
        self,
        id: str | None = None,
        *,
        name: str = "",
        public: bool = False,
        grants: Iterable[GrantType | str],
        scopes: Iterable[str],
        default: Iterable[str] | None = None,
        redirects: Iterable[str] = (),
        first_party: bool = False,
        introspects: bool | Iterable[str] = False,
        secret: str | None = None,
        required: Iterable[str] = (),
        jwks: str = "",
        tls: str = "",
    ) -> NewClient:
        """Add a client.

        Args:
            id: its public name; None to have one made.
            name: how people know it; its id if empty.
            public: it cannot keep a secret.
            grants: the grant types that it may use.
            scopes: its ceiling, wildcards allowed.
            default: what it gets when it asks for nothing by name; None: all of the ceiling.
            redirects: exact redirect URIs.
            first_party: it is the operator's own.
            introspects: True for tokens of every resource, or the identifiers of some.
            secret: chosen by the operator; None to have one of 256 bits made.
            required: scopes that it is of no use without; a person cannot untick them.
            jwks: its public keys as a JWK set in JSON, if it signs who it is (RFC 7523) and has no secret.
            tls: what its certificate says, such as "san_dns=billing.example.com", if it shows one (RFC 8705)
                and has no secret.

        Raises:
            ConfigurationError: the id is taken, or the settings contradict each other (BW130).
        """
        identifier = id if id is not None else mint_client(self._token_bytes)
        ceiling = self._known(scopes, f"The client {identifier!r}")
        auth = _method(identifier, public, jwks, tls)
        if secret is None and auth is ClientAuth.SECRET:
            secret = opaque.mint(self._token_bytes, opaque.Kind.CLIENT_SECRET)
        resources = (
            frozenset({EVERY_RESOURCE} if introspects else ())
            if isinstance(introspects, bool)
            else frozenset(introspects)
        )
        client = Client(
            id=identifier,
            name=name or identifier,
            auth=auth,
            grants=frozenset(_grant_type(grant) for grant in grants),
            ceiling=ceiling,
            created_at=self._clock(),
            secret=await self._digest(secret) if secret is not None else None,
            default=self._known(default, f"The client {identifier!r}") if default is not None else None,
            redirects=tuple(dict.fromkeys(redirects)),
            first_party=first_party,
            introspects=resources,
            required=self._known(required, f"The client {identifier!r}"),
            jwks=jwks,
            tls=tls,
        )
        check_client(client, self._settings)
        event = self._event("client.created", client=client.id, detail=str(ceiling))
        if not await self._store.add(client, event):
            raise ConfigurationError(f"The client id {identifier!r} is taken.", id="BW106")
        return NewClient(client, secret)

    async def clients(self) -> Sequence[Client]:
        """Every client, by id."""
        return await self._store.clients()

    async def client(self, id: str) -> Client:
        """The client of that id.

        Raises:
            ConfigurationError: there is none.
        """
        found = await self._store.client(id)
        if found is None:
            raise ConfigurationError(f"There is no client {id!r}.", id="BW130")
        return found

    async def set_client_secret(self, id: str, secret: str | None = None) -> NewClient:
        """Give a client another secret; the old one ends at once.

        Args:
            id: which client.
            secret: chosen by the operator; None to have one made.
        """
        shown = secret if secret is not None else opaque.mint(self._token_bytes, opaque.Kind.CLIENT_SECRET)
        digest = await self._digest(shown)
        client = await self._change_client(id, "client.secret_set", lambda c: replace(c, secret=digest))
        return NewClient(client, shown)

    async def set_client_scopes(self, id: str, scopes: Iterable[str]) -> Client:
        """Set a client's ceiling; its tokens follow at their next issuance."""
        ceiling = self._known(scopes, f"The client {id!r}")
        return await self._change_client(
            id, "client.scopes_set", lambda c: replace(c, ceiling=ceiling), detail=str(ceiling)
        )

    async def set_client_redirects(self, id: str, redirects: Iterable[str]) -> Client:
        """Set a client's redirect URIs; those that are not named end at once."""
        uris = tuple(dict.fromkeys(redirects))
        return await self._change_client(
            id, "client.redirects_set", lambda c: replace(c, redirects=uris), detail=" ".join(uris)
        )

    async def revoke_client_tokens(self, id: str) -> int:
        """End everything that a client holds, for whomever; the number of refresh families that ended."""
        client = await self.client(id)
        return await self._revoke(Revoked.CLIENT, client.id, client=client.id)

    async def disable_client(self, id: str) -> Client:
        """Let a client do nothing any more."""
        now = self._clock()
        return await self._change_client(
            id, "client.disabled", lambda c: replace(c, disabled_at=now), revoking="disabled"
        )

    async def enable_client(self, id: str) -> Client:
        """Let a disabled client act again."""
        return await self._change_client(id, "client.enabled", lambda c: replace(c, disabled_at=None))

    # -- authorizations and tokens ---------------------------------------------------------------

    async def authorizations(self, *, person: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """What people let clients do: of one person (by name), of one client, or all."""
        subject = (await self.account(person)).id if person is not None else None
        return await self._store.authorizations(subject=subject, client=client)

    async def withdraw(self, authorization: str, scope: str | None = None) -> int:
        """Take back one scope of an authorization, or all of it; logging in again does not bring it back.

        Args:
            authorization: its id.
            scope: which one; None for the whole authorization.

        Returns:
            How many scopes and refresh families ended.

        Raises:
            ConfigurationError: there is no such authorization.
        """
        found = await self._authorization(authorization)
        kind = Revoked.AUTHORIZATION if scope is None else Revoked.SCOPE
        return await self._revoke(
            kind, found.id, scope=scope or "", subject=found.subject, client=found.client, detail=scope or "everything"
        )

    async def give_back(self, authorization: str, scopes: Iterable[str]) -> Authorization:
        """Undo an operator's withdrawal."""
        found = await self._authorization(authorization)
        now = self._clock()
        rows = tuple(ConsentedScope(name, now, "operator") for name in self._known(scopes, "The authorization"))
        event = self._event(
            "authorization.given_back",
            subject=found.subject,
            client=found.client,
            object=found.id,
            detail=" ".join(row.scope for row in rows),
        )
        return await self._store.consent(
            replace(found, id=mint_authorization(self._token_bytes), rows=rows), event, by="operator"
        )

    async def families(self, *, person: str | None = None, client: str | None = None) -> Sequence[Family]:
        """Living refresh families: of one person (by name), of one client, or all."""
        subject = (await self.account(person)).id if person is not None else None
        return await self._store.families(subject=subject, client=client)

    async def revoke_presented(self, token: str) -> tuple[Revoked, str, int]:
        """Revoke a token that was found somewhere, by the token itself.

        A refresh token takes its family with it. Of an access token only the `jti` is read: whether it was
        ever good does not matter to somebody who wants it gone.

        Args:
            token: as it was found.

        Returns:
            What was revoked, its id, and how many families or tokens ended; 0 if they had ended before.

        Raises:
            ConfigurationError: it is no token of this authority. The text is not repeated.
        """
        if opaque.is_well_formed(token):
            found = await self._store.refresh_token(opaque.digest(token))
            if found is None:
                raise ConfigurationError("This refresh token is unknown here.", id="BW130")
            family = found[1].id
            return Revoked.FAMILY, family, await self.revoke_family(family)
        try:
            claims = jws.read_claims(jws.read(token).payload)
        except InvalidToken as bad:
            raise ConfigurationError(
                "This is no token: it is neither a refresh nor an access token.", id="BW130"
            ) from bad
        token_id = claims.get("jti")
        if claims.get("iss") != self._settings.issuer or not isinstance(token_id, str) or not token_id:
            raise ConfigurationError("This token was issued by somebody else, or has no id.", id="BW130")
        return Revoked.TOKEN, token_id, await self.revoke_token(token_id)

    async def revoke_family(self, family: str) -> int:
        """End one refresh family; 0 if it is unknown or had ended."""
        return await self._revoke(Revoked.FAMILY, family)

    async def revoke_token(self, token_id: str) -> int:
        """Revoke one access token by its `jti`; 0 if it was revoked before."""
        return await self._revoke(Revoked.TOKEN, token_id)

    async def journal(
        self,
        *,
        limit: int = 100,
        before: int | None = None,
        person: str | None = None,
        client: str | None = None,
    ) -> Sequence[Event]:
        """The newest lines of the journal, newest first."""
        subject = (await self.account(person)).id if person is not None else None
        return await self._store.journal(before=before, limit=limit, subject=subject, client=client)

    async def purge(self) -> int:
        """Delete what has expired; the number of rows."""
        now = self._clock()
        lifetimes = self._settings.lifetimes
        return await self._store.purge(
            now, journal_before=now - lifetimes.journal, unused_before=now - lifetimes.unused_client
        )

    # -- shared -------------------------------------------------------------------------------

    def _event(
        self,
        what: str,
        *,
        subject: str = "",
        client: str = "",
        object: str = "",
        detail: str = "",
    ) -> Event:
        return Event(self._clock(), what, self._actor, subject, client, object, detail, self._origin)

    def _revocation(self, kind: Revoked, key: str, reason: str, scope: str = "") -> Revocation:
        now = self._clock()
        return Revocation(kind, key, now, self._settings.feed_until(now), scope, "operator", reason)

    async def _revoke(
        self, kind: Revoked, key: str, *, scope: str = "", subject: str = "", client: str = "", detail: str = ""
    ) -> int:
        event = self._event(f"{kind.value}.revoked", subject=subject, client=client, object=key, detail=detail)
        return await self._store.revoke(self._revocation(kind, key, "revoked by an operator", scope), event)

    async def _role(self, name: str) -> RoleRecord | None:
        return next((role for role in await self._store.roles() if role.name == name), None)

    async def _authorization(self, id: str) -> Authorization:
        found = await self._store.authorization(id)
        if found is None:
            raise ConfigurationError(f"There is no authorization {id!r}.", id="BW130")
        return found

    async def _change_account(
        self, name: str, what: str, change: Callable[[Account], Account], *, detail: str = "", revoking: str = ""
    ) -> Account:
        for _ in range(TRIES):
            was = await self.account(name)
            revocation = self._revocation(Revoked.SUBJECT, was.id, revoking) if revoking else None
            event = self._event(what, subject=was.id, detail=detail)
            if await self._store.change(change(was), event, revoking=revocation):
                return _counted(change(was))
        raise _contended(f"the person {name!r}")

    async def _change_client(
        self, id: str, what: str, change: Callable[[Client], Client], *, detail: str = "", revoking: str = ""
    ) -> Client:
        for _ in range(TRIES):
            was = await self.client(id)
            check_client(change(was), self._settings)
            revocation = self._revocation(Revoked.CLIENT, was.id, revoking) if revoking else None
            event = self._event(what, client=was.id, detail=detail)
            if await self._store.change(change(was), event, revoking=revocation):
                return _counted(change(was))
        raise _contended(f"the client {id!r}")

    def _known(self, scopes: Iterable[str], whose: str) -> ScopeSet:
        named = ScopeSet(scopes)
        for name in named:
            if not self._catalog.knows(name):
                raise ConfigurationError(
                    f"{whose} names {name!r}, which the catalog does not know.{self._catalog.nearest(name)}", id="BW102"
                )
        return named

    async def _known_roles(self, roles: Iterable[str]) -> frozenset[str]:
        named = frozenset(roles)
        known = {role.name for role in await self._store.roles()}
        if unknown := sorted(named - known):
            raise _no_role(unknown[0], known)
        return named

    async def _hash(self, password: str) -> str:
        prepared = prepare_password(password)
        if len(prepared) < self._settings.password_min_length:
            raise ConfigurationError(
                f"A password needs at least {self._settings.password_min_length} characters.", id="BW130"
            )
        if len(prepared) > MAX_PASSWORD:
            raise ConfigurationError(f"A password has at most {MAX_PASSWORD} characters.", id="BW130")
        return await self._hasher.hash(prepared)

    async def _digest(self, secret: str) -> str:
        if not secret or not secret.isprintable() or not secret.isascii() or len(secret) > MAX_PASSWORD:
            raise ConfigurationError("A client secret is printable ASCII (RFC 6749 appendix A.2).", id="BW130")
        return digest_secret(secret) if is_strong_secret(secret) else await self._hasher.hash(secret)


def check_client(client: Client, settings: Settings) -> None:
    """Refuse a client that contradicts itself.

    Raises:
        ConfigurationError: BW130, naming the client and the contradiction.
    """
    contradictions = (
        # One that describes itself has the address of its document for an id.
        (
            not client.described and not CLIENT_ID.fullmatch(client.id),
            "its id may hold letters, digits and . _ ~ - only, at most 100",
        ),
        # RFC 9700 section 4.15: a client that acts for itself must not be taken for a person.
        (client.id.startswith(ACCOUNT_PREFIX), f"its id begins with {ACCOUNT_PREFIX!r}, as people's do"),
        (not client.ceiling, "it may get no scope at all"),
        (
            client.public and GrantType.CLIENT_CREDENTIALS in client.grants,
            "a public client cannot act for itself (RFC 6749 section 4.4)",
        ),
        (client.public and client.introspects, "a public client cannot introspect (RFC 7662 section 2.1)"),
        (client.public and client.secret is not None, "it is public, so it cannot have a secret"),
        (client.auth is ClientAuth.SECRET and client.secret is None, "it has no secret and is not public"),
        (
            client.auth is not ClientAuth.SECRET and client.secret is not None,
            "it has a secret and another method of authentication (RFC 6749 section 2.3)",
        ),
        (
            (client.auth is ClientAuth.PRIVATE_KEY_JWT) != bool(client.jwks)
            or (client.jwks and not _has_keys(client.jwks)),
            "it signs who it is with keys that are missing or of no use",
        ),
        (
            (client.auth is ClientAuth.TLS) != bool(client.tls) or (client.tls and not _is_certificate(client.tls)),
            "its certificate is named as subject_dn=, san_dns=, san_uri=, san_ip=, san_email= or x5t#S256=",
        ),
        (
            client.auth is ClientAuth.TLS and not settings.client_certificates,
            "it shows a certificate, and the setting client_certificates is off",
        ),
        (
            client.public and GrantType.TOKEN_EXCHANGE in client.grants,
            "a public client cannot exchange tokens (RFC 8693 section 2.1)",
        ),
        (
            GrantType.PASSWORD in client.grants and not client.first_party,
            "only the operator's own clients may take passwords (RFC 9700 section 2.4)",
        ),
        (
            GrantType.AUTHORIZATION_CODE in client.grants and not client.redirects,
            "it uses authorization codes and has no redirect URI (RFC 6749 section 3.1.2.2)",
        ),
    )
    for contradicts, why in contradictions:
        if contradicts:
            raise _inconsistent(client.id, why)
    for uri in client.redirects:
        check_redirect(client.id, uri)
    for identifier in client.introspects - {EVERY_RESOURCE}:
        if settings.resource(identifier) is None:
            raise _inconsistent(client.id, f"it introspects {identifier!r}, which is no resource here")


def check_redirect(client: str, uri: str) -> None:
    """Refuse a redirect URI that could not be compared exactly, or that would run code.

    Raises:
        ConfigurationError: BW130.
    """
    if why := why_unfit(uri):
        raise _inconsistent(client, f"the redirect URI {uri!r} {why}")


def _has_keys(jwks: str) -> bool:
    try:
        return bool(client_keys(jwks).keys)
    except ConfigurationError:
        return False


def _is_certificate(tls: str) -> bool:
    kind, _, value = tls.partition("=")
    return kind in ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email", "x5t#S256") and value != ""


def _method(client: str, public: bool, jwks: str, tls: str) -> ClientAuth:
    if sum((public, bool(jwks), bool(tls))) > 1:
        raise _inconsistent(client, "it has more than one method of authentication (RFC 6749 section 2.3)")
    if jwks:
        return ClientAuth.PRIVATE_KEY_JWT
    if tls:
        return ClientAuth.TLS
    return ClientAuth.NONE if public else ClientAuth.SECRET


def _grant_type(grant: GrantType | str) -> GrantType:
    try:
        return grant if isinstance(grant, GrantType) else GrantType(grant)
    except ValueError as bad:
        known = ", ".join(known.value for known in GrantType)
        raise ConfigurationError(f"There is no grant type {grant!r}. Known are: {known}.", id="BW130") from bad


def _inconsistent(client: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"The client {client!r} cannot be: {why}.", id="BW130")


def _contended(what: str) -> ConfigurationError:
    return ConfigurationError(f"Somebody else keeps changing {what}; nothing was changed.", id="BW130")


def _no_role(name: str, known: Iterable[str]) -> ConfigurationError:
    return ConfigurationError(
        f"There is no role {name!r}. Known are: {', '.join(sorted(known)) or 'none'}.", id="BW130"
    )


def _words(roles: Iterable[str], scopes: ScopeSet) -> str:
    return ", ".join(part for part in (f"roles: {' '.join(sorted(roles))}" if roles else "", str(scopes)) if part)


def _counted(record: _Record) -> _Record:
    return replace(record, version=record.version + 1)
