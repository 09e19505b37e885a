"""The authorization server as one ASGI application, to serve alone or to mount beside an API.

    from bailiwick.server import AuthorizationServer

    server = AuthorizationServer(catalog, issuer="https://api.example.com/auth", store="authority.db")
    guard = Guard(catalog, server.verifier())
    server.mount_on(app)

This is the one place where the authority's rooms are wired together.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol, Self
from urllib.parse import urlsplit

from bailiwick.errors import BailiwickError, ConfigurationError, Refused
from bailiwick.scopes import Catalog
from bailiwick.tokens.clock import system_clock

try:
    from starlette.requests import Request
    from starlette.routing import Mount

    from bailiwick.authority import (
        BALANCED,
        STRICT,
        Authority,
        Lifetimes,
        MetadataDocuments,
        Registration,
        Settings,
        Store,
        Unfinished,
    )
    from bailiwick.authority.accounts import Verdict, prepare_password
    from bailiwick.authority.admin import Admin
    from bailiwick.authority.attempts import Attempts, CountedAttempts
    from bailiwick.authority.clients import ClientAuthenticator
    from bailiwick.authority.keys import Seal
    from bailiwick.authority.records import Resource
    from bailiwick.authority.request import Presented
    from bailiwick.machine.certificates import read_certificate
    from bailiwick.machine.passwords import Argon2Hasher
    from bailiwick.machine.sealing import KeyEncryptionKey
    from bailiwick.remote.client_metadata import MetadataFetcher
    from bailiwick.storage import MemoryStore, open_store
    from bailiwick.web.answers import refuse
    from bailiwick.web.app import ACTING, WELL_KNOWN, build_app

    from ._server.flusher import Flusher
    from ._server.upkeep import Upkeep
    from ._server.verifier import OwnVerifier
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        f"bailiwick.server needs {missing.name}: pip install 'bailiwick[server]'", name=missing.name
    ) from missing

__all__ = [
    "BALANCED",
    "STRICT",
    "Admin",
    "AuthorizationServer",
    "KeyEncryptionKey",
    "Lifetimes",
    "MetadataDocuments",
    "OwnVerifier",
    "Registration",
    "Resource",
    "Settings",
    "Unfinished",
]

log = logging.getLogger("bailiwick.server")

Conn = MutableMapping[str, Any]  # an ASGI connection scope; "scope" means an OAuth scope in this project
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# A store that forgets when the process ends; the name is SQLite's.
MEMORY: Final = ":memory:"


class Routed(Protocol):
    """An application that has a router: FastAPI, Starlette."""

    router: Any


class AuthorizationServer:
    """An OAuth 2 authorization server: an ASGI application, to serve alone or to mount.

    It opens its store when it is first needed, or when the application starts, whichever comes first.

    Args:
        catalog: the scopes that exist, and the roles that a new store begins with.
        issuer: its identifier, an https URL (http on loopback); its endpoints lie below it.
        store: the name of a SQLite file, ":memory:", or a `Store` that is open already.
        settings: lifetimes, resources and rules, for the same issuer; None for the balanced ones.
        audience: the identifier of the API that tokens are for; the issuer's origin if it is empty.
        seals: encrypt signing keys at rest, the first one those that are new, such as
            `KeyEncryptionKey.from_file(...)`; none: they lie in the store as they are.
        attempts: what counts wrong guesses, or the address of a Redis in which several processes count them together,
            such as "redis://localhost:6379/0" (needs `bailiwick[redis]`); None counts in this process's memory.
        now: the clock, in seconds since 1970-01-01 UTC.
        token_bytes: the source of randomness: a number of bytes in, that many random bytes out.

    Raises:
        ConfigurationError: the issuer is not one, the settings contradict the arguments or name a scope that the
            catalog does not know (BW102), the catalog has none (BW103), or what counts guesses in Redis is not installed.

    Source: RFC 6749, RFC 7009, RFC 7662, RFC 8414.
    """

    # What a guard that protects the surrounding application reads: this mount asks for credentials itself.
    public_reason: Final = "the authority checks its callers itself"

    def __init__(
        self,
        catalog: Catalog,
        *,
        issuer: str,
        store: str | Path | Store = MEMORY,
        settings: Settings | None = None,
        audience: str = "",
        seals: Sequence[Seal] = (),
        attempts: Attempts | str | None = None,
        now: Callable[[], float] = system_clock,
        token_bytes: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        if settings is None:
            settings = Settings(issuer, audience)
        elif settings.issuer != issuer or (audience and settings.audience != audience):
            raise ConfigurationError("The settings are for another issuer or audience than the server.")
        if not catalog.scopes:
            raise ConfigurationError("The catalog has no scopes, so that no token could ever be issued.", id="BW103")
        settings.check_scopes(catalog)
        self.catalog = catalog
        self.settings = settings
        self.issuer = issuer
        self.issuer_path = urlsplit(issuer).path
        self._source: str | Path | Store = MemoryStore() if store == MEMORY else store
        self._seals = tuple(seals)
        self._attempts = _shared(attempts) if isinstance(attempts, str) else attempts
        self._clock = now
        self._token_bytes = token_bytes
        self._hasher = Argon2Hasher()
        self._authority: Authority | None = None
        self._upkeep: Upkeep | None = None
        self._flusher: Flusher | None = None
        self._app: Any = None
        self._opening = asyncio.Lock()
        # Counts the requests that may have revoked something, so that verifiers in this process look again at once.
        self.acts = 0

    # -- its life ------------------------------------------------------------------------------

    async def open(self) -> Authority:
        """Open the store, and make what a new one lacks. A second time does nothing.

        Returns:
            The authority's acts and endpoints.

        Raises:
            StoreError: the store cannot be opened, or is newer than this code.
        """
        if self._authority is None:
            async with self._opening:
                if self._authority is None:
                    self._authority = await self._make()
                    self._upkeep = Upkeep(self._authority.store, self.settings, self._clock)
                    self._upkeep.start()
                    self._flusher = Flusher(self._authority.refusals)
                    self._flusher.start()
        return self._authority

    async def open_to_read(self) -> Authority:
        """Open the store so that nothing is written, for an operator who looks; no request is answered then.

        Returns:
            The authority, of which every act that would change something raises `StoreError`.

        Raises:
            StoreError: the store cannot be opened.
        """
        source = self._source
        store = await open_store(source, read_only=True) if isinstance(source, str | Path) else source
        self._authority = self._authority_over(store)
        return self._authority

    async def _make(self) -> Authority:
        owned = isinstance(self._source, str | Path)
        store = await open_store(self._source) if isinstance(self._source, str | Path) else self._source
        try:
            authority = self._authority_over(store)
            await authority.prepare()
            self._app = build_app(
                authority,
                self.issuer_path,
                page_key=await store.secret("pages", self._token_bytes(32)),
                browser_key=await store.secret("known browsers", self._token_bytes(32)),
                token_bytes=self._token_bytes,
                read_certificate=read_certificate,
            )
        except BaseException:
            if owned:
                await store.close()
            raise
        return authority

    def _authority_over(self, store: Store) -> Authority:
        policy = self.settings.metadata_documents
        return Authority.make(
            self.catalog,
            self.settings,
            store,
            self._hasher,
            clock=self._clock,
            token_bytes=self._token_bytes,
            attempts=self._attempts,
            seals=self._seals,
            fetcher=MetadataFetcher(loopback=policy.loopback) if policy is not None else None,
        )

    async def close(self) -> None:
        """Let go of the store, if it was opened here. A second time does nothing."""
        authority, self._authority, self._app = self._authority, None, None
        upkeep, self._upkeep = self._upkeep, None
        flusher, self._flusher = self._flusher, None
        if upkeep is not None:
            await upkeep.stop()
        if flusher is not None:
            await flusher.stop()
        if authority is not None and isinstance(self._source, str | Path):
            await authority.store.close()

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def admin(self, actor: str = "operator") -> Admin:
        """What an operator may do: people, clients, roles, withdrawals.

        Args:
            actor: who acts, for the journal, such as "operator:jane".
        """
        return (await self.open()).admin.acting_as(actor)

    async def knows_password(self, name: str, password: str) -> bool:
        """Whether that is a person's password, without logging them in.

        Args:
            name: the person's.
            password: as typed.
        """
        account = await (await self.open()).store.account_named(name)
        kept = account.password if account is not None else None
        prepared = prepare_password(password)
        if prepared is None:
            return False
        return await self._hasher.verify(kept, prepared) is not Verdict.WRONG

    async def knows_secret(self, client: str, secret: str) -> bool:
        """Whether that is a client's secret.

        Args:
            client: its id.
            secret: as it would show it.
        """
        authenticator = ClientAuthenticator((await self.open()).store, self._hasher, self.settings, CountedAttempts())
        try:
            await authenticator.authenticate(Presented(client, secret), now=self._clock())
        except Refused:
            return False
        return True

    def verifier(self, *, audience: str | None = None) -> OwnVerifier:
        """What verifies this server's access tokens in the same process, revocations included.

        Args:
            audience: the API that guards with it; None for the default one.

        Raises:
            ConfigurationError: the settings know no such resource.
        """
        return OwnVerifier(self, audience if audience is not None else self.settings.audience)

    # -- its place -------------------------------------------------------------------------------

    def mount_on(self, app: Routed) -> None:
        """Put the server into an application, below the issuer's path, and its metadata at the application's root.

        The application's lifespan opens and closes it.

        Args:
            app: a FastAPI or Starlette application.

        Raises:
            ConfigurationError: the issuer has no path, so the server would hide the application.
        """
        if not self.issuer_path:
            raise ConfigurationError(
                f"The issuer {self.issuer!r} has no path; to be mounted it needs one, such as {self.issuer}/auth."
            )
        router = app.router
        router.routes.append(Mount(self.issuer_path, app=self))
        # RFC 8414 section 3.1 puts the well-known segment between host and path, outside of the mount.
        router.routes.append(Mount(WELL_KNOWN, app=_RootMetadata(self)))
        inner = router.lifespan_context

        @asynccontextmanager
        async def opened(started: Any) -> AsyncIterator[Any]:
            async with self, inner(started) as state:
                yield state

        router.lifespan_context = opened

    async def __call__(self, conn: Conn, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application."""
        if conn["type"] == "lifespan":
            await self._live(receive, send)
            return
        try:
            await self.open()
        except BailiwickError as why:
            if conn["type"] != "http":
                raise
            await refuse(Request(conn), why)(conn, receive, send)
            return
        try:
            await self._app(self._relative(conn), receive, send)
        finally:
            if conn.get("method") in ACTING:
                self.acts += 1

    def _relative(self, conn: Conn) -> Conn:
        """The connection with the issuer's path counted as the mount point, where it is served alone."""
        root, path = conn.get("root_path", ""), conn["path"]
        rest = path.removeprefix(root)
        if not self.issuer_path or root.endswith(self.issuer_path) or not rest.startswith(self.issuer_path + "/"):
            return conn
        return {**conn, "root_path": root + self.issuer_path, "path": root + rest}

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self.open()
                except BailiwickError as why:
                    log.error("The authorization server cannot start: %s", why)  # noqa: TRY400 - the message says it
                    await send({"type": "lifespan.startup.failed", "message": str(why)})
                    return
                await send({"type": "lifespan.startup.complete"})
            elif message["type"] == "lifespan.shutdown":
                await self.close()
                await send({"type": "lifespan.shutdown.complete"})
                return


def _shared(address: str) -> Attempts:
    # An extra: most authorities are one process, and need no Redis.
    try:
        from bailiwick.machine.shared_attempts import SharedAttempts
    except ModuleNotFoundError as missing:
        package = (missing.name or "").partition(".")[0]
        # Not the address, which may hold a password.
        raise ConfigurationError(
            f"attempts names Redis, and the package {package} is not installed: pip install 'bailiwick[redis]'"
        ) from missing
    return SharedAttempts(address)


class _RootMetadata:
    """The metadata at the root of the application that the server is mounted on, for this issuer's path only."""

    public_reason: Final = "metadata for clients (RFC 8414)"

    def __init__(self, server: AuthorizationServer) -> None:
        self._server = server

    async def __call__(self, conn: Conn, receive: Receive, send: Send) -> None:
        # The mount has taken the well-known path; what is left names the issuer. The server's own
        # table has this very route, so the path is handed on whole.
        root = conn.get("root_path", "").removesuffix(WELL_KNOWN)
        if conn["path"] != root + WELL_KNOWN + self._server.issuer_path:
            unknown = Refused("invalid_request", "There is no such issuer here.", status=404, id="BW400")
            await refuse(Request(conn), unknown)(conn, receive, send)
            return
        await self._server({**conn, "root_path": root}, receive, send)
