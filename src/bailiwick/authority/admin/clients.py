"""What an operator may do with clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from bailiwick.authority.accounts import MAX_PASSWORD
from bailiwick.authority.assertion import check_number_of_keys
from bailiwick.authority.clients import digest_secret, is_strong_secret
from bailiwick.authority.ids import mint_client
from bailiwick.authority.records import EVERY_RESOURCE, Client, ClientAuth, GrantType, Revoked
from bailiwick.errors import ConfigurationError
from bailiwick.tokens import opaque

from .contradictions import check_client, inconsistent
from .desk import TRIES, Desk, contended, counted

__all__ = ["Clients", "NewClient"]


@dataclass(frozen=True, slots=True)
class NewClient:
    """A client, and its secret: shown once, kept nowhere.

    Args:
        client: the record.
        secret: what it must show, None for a public client.
    """

    client: Client
    secret: str | None = field(default=None, repr=False)


class Clients(Desk):
    """Acts on clients."""

    async def create_client(
        self,
        id: str | None = None,
        *,
        name: str = "",
        public: bool = False,
        grants: Iterable[GrantType | str] = (),
        scopes: Iterable[str] = (),
        default: Iterable[str] | None = None,
        redirects: Iterable[str] = (),
        first_party: bool = False,
        introspects: bool | Iterable[str] = False,
        follows_revocations: bool = False,
        secret: str | None = None,
        required: Iterable[str] = (),
        jwks: str = "",
        tls: str = "",
        exchange_targets: Iterable[str] = (),
    ) -> NewClient:
        """Add a client.

        Args:
            id: its public name; None to have one made.
            name: how people know it; its id if empty.
            public: it cannot keep a secret.
            grants: the grant types that it may use; none for a client that only follows or introspects.
            scopes: its ceiling, wildcards allowed; none for such a client.
            default: what it gets when it asks for nothing by name; None: all of the ceiling.
            redirects: exact redirect URIs.
            first_party: it is the operator's own.
            introspects: True for tokens of every resource, or the identifiers of some.
            follows_revocations: it may read the revocation feed, for which it needs a secret that nobody chose.
            secret: chosen by the operator; None to have one of 256 bits made.
            required: scopes that it is of no use without; a person cannot untick them.
            jwks: its public keys as a JWK set in JSON, if it signs who it is (RFC 7523) and has no secret.
            tls: what its certificate says, such as "san_dns=billing.example.com", if it shows one (RFC 8705)
                and has no secret.
            exchange_targets: the identifiers of the resources that it may exchange other clients' tokens for, besides
                the one that such a token is for already.

        Raises:
            ConfigurationError: the id is taken, or the settings contradict each other (BW130).
        """
        identifier = id if id is not None else mint_client(self._token_bytes)
        ceiling = self._known(scopes, f"The client {identifier!r}")
        auth = _method(identifier, public, jwks, tls)
        # Here and not with the contradictions: a client from before there was a bound can still be changed, and disabled.
        check_number_of_keys(jwks)
        if secret is None and auth is ClientAuth.SECRET:
            secret = opaque.mint(self._token_bytes, opaque.Kind.CLIENT_SECRET)
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
            introspects=_introspected(introspects),
            follows_revocations=follows_revocations,
            required=self._known(required, f"The client {identifier!r}"),
            jwks=jwks,
            tls=tls,
            exchange_targets=frozenset(exchange_targets),
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

    async def set_exchange_targets(self, id: str, resources: Iterable[str]) -> Client:
        """Set the resources that a client may exchange other clients' tokens for; tokens follow at their next issuance.

        Args:
            id: which client.
            resources: their identifiers; none: only the resource that a token is for already.
        """
        targets = frozenset(resources)
        return await self._change_client(
            id,
            "client.exchange_targets_set",
            lambda c: replace(c, exchange_targets=targets),
            detail=" ".join(sorted(targets)),
        )

    async def set_client_follows_revocations(self, id: str, follows: bool) -> Client:
        """Let a client read the revocation feed, or no more."""
        return await self._change_client(
            id,
            "client.follows_set",
            lambda c: replace(c, follows_revocations=follows),
            detail="follows" if follows else "follows no more",
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

    async def _change_client(
        self, id: str, what: str, change: Callable[[Client], Client], *, detail: str = "", revoking: str = ""
    ) -> Client:
        for _ in range(TRIES):
            was = await self.client(id)
            check_client(change(was), self._settings)
            revocation = self._revocation(Revoked.CLIENT, was.id, revoking) if revoking else None
            event = self._event(what, client=was.id, detail=detail)
            if await self._store.change(change(was), event, revoking=revocation):
                return counted(change(was))
        raise contended(f"the client {id!r}")

    def check_secret(self, secret: str) -> None:
        """Refuse what cannot be a client's secret.

        Args:
            secret: as typed.

        Raises:
            ConfigurationError: it is empty, too long, or not printable ASCII (BW130).
        """
        if not secret or not secret.isprintable() or not secret.isascii() or len(secret) > MAX_PASSWORD:
            raise ConfigurationError("A client secret is printable ASCII (RFC 6749 appendix A.2).", id="BW130")

    async def _digest(self, secret: str) -> str:
        self.check_secret(secret)
        return digest_secret(secret) if is_strong_secret(secret) else await self._hasher.hash(secret)


def _introspected(introspects: bool | Iterable[str]) -> frozenset[str]:
    if isinstance(introspects, bool):
        return frozenset({EVERY_RESOURCE} if introspects else ())
    return frozenset(introspects)


def _method(client: str, public: bool, jwks: str, tls: str) -> ClientAuth:
    if sum((public, bool(jwks), bool(tls))) > 1:
        raise inconsistent(client, "it has more than one method of authentication (RFC 6749 section 2.3)")
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
