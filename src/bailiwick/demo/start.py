"""The first start of the demo, and every later one: its folder, people, clients and passwords."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fastapi import FastAPI

from bailiwick.errors import StoreError
from bailiwick.fastapi import Guard
from bailiwick.graph.plan import Plan
from bailiwick.server import Admin, AuthorizationServer, Settings

from .api import build_api
from .domain import CATALOG, CLIENTS, DOCS_CLIENT, PEOPLE, DemoClient
from .rows import Rows

__all__ = ["Demo", "open_demo"]

SERVICE = next(client.client_id for client in CLIENTS if client.confidential)

# Swagger UI shows it above each flow, and begins all of them with the client of its own.
HOW_TO_LOG_IN = (
    f"People: log in as alice, erin or root, client_id {DOCS_CLIENT}, no secret. "
    f"A program (client credentials): client_id {SERVICE} and the secret printed at the first start."
)

# 72 bits: beyond guessing over HTTP, and short enough to be typed. A program's secret need not be typed.
PASSWORD_BYTES = 9
SECRET_BYTES = 24


@dataclass(frozen=True, slots=True)
class Demo:
    """The demo, ready to be served.

    Attributes:
        app: the API with its authority mounted.
        plan: what every route needs, as it is enforced.
        passwords: by name, those that this process knows: made just now, or given to it.
        secret: of demo-service, if this process knows it.
        first_start: whether people and keys were made just now.
    """

    app: FastAPI
    plan: Plan
    passwords: Mapping[str, str] = field(repr=False)
    secret: str | None = field(repr=False)
    first_start: bool


@asynccontextmanager
async def open_demo(data: Path, base: str, *, password: str | None, secret: str | None) -> AsyncIterator[Demo]:
    """Open the demo's data, making what is not there, and let go of it at the end.

    Args:
        data: the folder of its two SQLite files.
        base: the address that it is served at, without a slash at its end.
        password: for all three people; None to make one each when they are new.
        secret: of demo-service; None to make one when it is new.

    Raises:
        StoreError: the folder or a file cannot be used; nothing was written.
    """
    made = _make_folder(data)
    rows = Rows(data / "demo.db")
    server = AuthorizationServer(
        CATALOG,
        issuer=f"{base}/auth",
        store=data / "authority.db",
        # Whoever sets a password for a demo on their own machine may choose a short one.
        settings=Settings(f"{base}/auth", password_min_length=1),
    )
    try:
        await rows.check()
        keeper = _Keeper(server, await server.admin("demo"))
        people, passwords = await keeper.people(password)
        service_secret = await keeper.clients(secret)
        await rows.open({one.name: (one.full_name, people[one.name]) for one in PEOPLE})
        app, plan = _assemble(server, rows)
        yield Demo(app, plan, passwords, service_secret, first_start=keeper.made_people)
    finally:
        await rows.close()
        await server.close()
        _remove_if_empty(made)


def _assemble(server: AuthorizationServer, rows: Rows) -> tuple[FastAPI, Plan]:
    guard = Guard(
        CATALOG,
        server.verifier(),
        realm="demo",
        client_credentials_flow=True,
        description=HOW_TO_LOG_IN,
    )
    app = build_api(guard, rows)
    server.mount_on(app)
    guard.protect(app)
    return app, guard.plan(app)


class _Keeper:
    """Brings people and clients to what the demo needs, and leaves alone what is right already."""

    def __init__(self, server: AuthorizationServer, admin: Admin) -> None:
        self._server = server
        self._admin = admin
        self.made_people = False

    async def people(self, password: str | None) -> tuple[dict[str, str], dict[str, str]]:
        """Everybody's id, and the passwords that are known."""
        ids = {account.name: account.id for account in await self._admin.accounts()}
        known = {}
        for person in PEOPLE:
            if person.name not in ids:
                known[person.name] = password or secrets.token_urlsafe(PASSWORD_BYTES)
                self.made_people = True
                made = await self._admin.create_account(person.name, known[person.name], roles=[person.role])
                ids[person.name] = made.id
            elif password:
                known[person.name] = password
                # Only if it is another one: a new password ends what the person was logged in to.
                if not await self._server.knows_password(person.name, password):
                    await self._admin.set_password(person.name, password)
        return ids, known

    async def clients(self, secret: str | None) -> str | None:
        """The clients; the secret of demo-service if it is known."""
        have = {client.id for client in await self._admin.clients()}
        known = None
        for client in CLIENTS:
            if client.client_id not in have:
                known = await self._create(client, secret) or known
        if secret and SERVICE in have:
            known = secret
            if not await self._server.knows_secret(SERVICE, secret):
                await self._admin.set_client_secret(SERVICE, secret)
        return known

    async def _create(self, client: DemoClient, secret: str | None) -> str | None:
        made = await self._admin.create_client(
            client.client_id,
            name=client.title,
            public=not client.confidential,
            grants=client.grants,
            scopes=client.scopes,
            default=client.default,
            redirects=client.redirect_uris,
            first_party=True,
            introspects=client.may_introspect,
            secret=(secret or secrets.token_urlsafe(SECRET_BYTES)) if client.confidential else None,
        )
        return made.secret


def _make_folder(data: Path) -> Path | None:
    """The folder, if it was made here."""
    if data.is_dir():
        return None
    try:
        data.mkdir(parents=True, mode=0o700)  # keys and digests lie in it
    except OSError as bad:
        raise StoreError(
            f"The folder {str(data)!r} cannot be made: {bad.strerror or bad}. Choose another with --data.", id="BW502"
        ) from bad
    return data


def _remove_if_empty(folder: Path | None) -> None:
    """Leave no trace of a start that came to nothing."""
    if folder is not None and not any(folder.iterdir()):
        folder.rmdir()
