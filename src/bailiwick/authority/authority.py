"""The authority as one object: its endpoints, made from one store, one clock and one source of randomness."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bailiwick.scopes import Catalog
from bailiwick.tokens import JWTVerifier

from .accounts import Accounts, PasswordHasher
from .admin import Admin
from .attempts import Attempts, CountedAttempts
from .authorize import AuthorizationEndpoint
from .clients import ClientAuthenticator
from .consent import Consents
from .device import DeviceEndpoint
from .documents import ClientDocuments, Fetcher
from .feed import RevocationFeed
from .grants import (
    AuthorizationCodeGrant,
    ClientCredentialsGrant,
    DeviceCodeGrant,
    Grant,
    PasswordGrant,
    RefreshGrant,
    TokenExchangeGrant,
)
from .ids import TokenBytes
from .introspect import IntrospectionEndpoint
from .issue import Issuer
from .keys import Seal, SigningKeys
from .metadata import MetadataEndpoint
from .par import PushedRequestEndpoint
from .refusals import Refusals
from .register import RegistrationEndpoint
from .revoke import RevocationEndpoint
from .settings import Settings
from .store import Store
from .token import TokenEndpoint
from .worth import Worth

__all__ = ["Authority"]


@dataclass(frozen=True, slots=True)
class Authority:
    """Everything that can be asked of an authority.

    Args:
        catalog: the scopes that exist.
        settings: names, lifetimes, resources.
        store: what is remembered.
        clock: tells seconds since the epoch; whoever calls an endpoint passes `now=authority.clock()`.
        keys: what signs.
        verifier: checks this authority's own access tokens, for any of its resources.
        token: `POST /token`.
        revocation: `POST /revoke`.
        introspection: `POST /introspect`.
        authorization: `GET|POST /authorize`.
        pushed: `POST /par`.
        device: `POST /device_authorization`, and the decisions of `/device`.
        registration: `POST /register`, and `GET|PUT|DELETE /register/{client_id}`.
        feed: `GET /revocations`.
        metadata_endpoint: `GET /.well-known/oauth-authorization-server`.
        documents: finds clients, also those that describe themselves.
        attempts: counts wrong guesses.
        refusals: counts refusals in the journal; whoever serves the authority flushes it.
        accounts: people who log in.
        consents: what people let clients do, and take back.
        admin: an operator's acts.
    """

    catalog: Catalog
    settings: Settings
    store: Store
    clock: Callable[[], float]
    keys: SigningKeys
    verifier: JWTVerifier
    token: TokenEndpoint
    revocation: RevocationEndpoint
    introspection: IntrospectionEndpoint
    authorization: AuthorizationEndpoint
    pushed: PushedRequestEndpoint
    device: DeviceEndpoint
    registration: RegistrationEndpoint
    feed: RevocationFeed
    metadata_endpoint: MetadataEndpoint
    documents: ClientDocuments
    attempts: Attempts
    refusals: Refusals
    accounts: Accounts
    consents: Consents
    admin: Admin

    @classmethod
    def make(
        cls,
        catalog: Catalog,
        settings: Settings,
        store: Store,
        hasher: PasswordHasher,
        *,
        clock: Callable[[], float],
        token_bytes: TokenBytes,
        attempts: Attempts | None = None,
        seals: Sequence[Seal] = (),
        fetcher: Fetcher | None = None,
    ) -> Authority:
        """Put an authority together.

        Args:
            catalog: the scopes that exist.
            settings: names, lifetimes, resources.
            store: what is remembered.
            hasher: checks passwords.
            clock: tells seconds since the epoch.
            token_bytes: the source of randomness, `secrets.token_bytes` outside of tests.
            attempts: counts wrong guesses; by default in this process's memory.
            seals: encrypt signing keys at rest; none: they lie in the store as they are.
            fetcher: fetches the documents of clients; needed where the settings have a policy for those.

        Raises:
            ConfigurationError: the settings speak of documents, and nothing fetches them.
        """
        keys = SigningKeys(store, settings, clock=clock, seals=seals)
        verifier = JWTVerifier(
            keys,
            issuer=settings.issuer,
            audience=[resource.identifier for resource in settings.resources],
            # A remembered answer would outlive a key that was replaced because it became known.
            cache_size=0,
            now=clock,
        )
        attempts = attempts or CountedAttempts()
        documents = ClientDocuments(catalog, settings, store, fetcher, attempts)
        clients = ClientAuthenticator(store, hasher, settings, attempts, documents)
        worth = Worth(catalog, settings, store, verifier)
        refusals = Refusals(store)
        accounts = Accounts(store, hasher, attempts, refusals)
        consents = Consents(catalog, settings, store, token_bytes)
        authorization = AuthorizationEndpoint(settings, store, consents, documents, token_bytes)
        grants: list[Grant] = [
            PasswordGrant(settings, accounts),
            ClientCredentialsGrant(settings),
            RefreshGrant(catalog, settings, store, token_bytes(32)),
            AuthorizationCodeGrant(settings, store),
            DeviceCodeGrant(settings, store),
            TokenExchangeGrant(settings, store, worth),
        ]
        issuer = Issuer(catalog, settings, store, keys, token_bytes)
        token = TokenEndpoint(clients, grants, issuer)
        return cls(
            catalog=catalog,
            settings=settings,
            store=store,
            clock=clock,
            keys=keys,
            verifier=verifier,
            token=token,
            revocation=RevocationEndpoint(settings, store, clients, verifier),
            introspection=IntrospectionEndpoint(settings, store, clients, worth, refusals),
            authorization=authorization,
            pushed=PushedRequestEndpoint(settings, store, clients, authorization, token_bytes),
            device=DeviceEndpoint(settings, store, clients, consents, attempts, refusals, token_bytes),
            registration=RegistrationEndpoint(catalog, settings, store, attempts, token_bytes),
            feed=RevocationFeed(settings, store, keys, clients),
            metadata_endpoint=MetadataEndpoint(settings, catalog, store, token.grant_types),
            documents=documents,
            attempts=attempts,
            refusals=refusals,
            accounts=accounts,
            consents=consents,
            admin=Admin(catalog, settings, store, hasher, refusals, token_bytes=token_bytes, clock=clock),
        )

    async def prepare(self) -> None:
        """Make what a new store lacks: the catalog's roles and the first signing key."""
        await self.admin.seed_roles()
        await self.keys.signer()

    async def metadata(self) -> dict[str, Any]:
        """What the authority says about itself (RFC 8414)."""
        return await self.metadata_endpoint.answer(now=self.clock())

    async def jwks(self) -> dict[str, Any]:
        """The keys that verify its tokens (RFC 7517)."""
        return await self.keys.jwks()
