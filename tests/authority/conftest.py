"""An authority over a memory store, with a clock that tests can turn."""

import base64
import json
import secrets

import pytest
from argon2 import Parameters, Type

from bailiwick.authority import Authority, IntrospectionRequest, RevocationRequest, Settings, TokenRequest
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import BailiwickError
from bailiwick.machine.passwords import Argon2Hasher
from bailiwick.scopes import Catalog, Scope, ScopeSet
from bailiwick.storage import MemoryStore

ISSUER = "https://auth.example.com"
API = "https://api.example.com"
FILES = "https://files.example.com"
# Real Argon2id, but as cheap as it goes.
CHEAP = Parameters(type=Type.ID, version=19, salt_len=8, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)

CATALOG = Catalog(
    [
        Scope("users:read", "See people"),
        Scope("users:write", "Change people", implies=["users:read"]),
        Scope("users:delete", "Delete people"),
        Scope("posts:read", "See posts"),
        Scope("posts:write", "Write posts"),
        Scope("files:read", "See files"),
        Scope("admin:*", "Everything"),
    ],
    roles={"reader": ["users:read", "posts:read"], "editor": ["posts:*", "users:read"], "admin": ["admin:*"]},
    superuser="admin:*",
)


class World:
    """An authority, who uses it, and the time of day."""

    issuer, api, files, catalog = ISSUER, API, FILES, CATALOG

    def __init__(self, store=None, settings=None, catalog=CATALOG, hasher=None):
        self.now = 1_800_000_000.0
        self.store = store if store is not None else MemoryStore()
        self.settings = settings or Settings(
            ISSUER, API, (Resource(API), Resource(FILES, ScopeSet(["files:*"])))
        )  # fmt: skip
        self.hasher = hasher or Argon2Hasher(CHEAP)
        self.authority = Authority.make(
            catalog, self.settings, self.store, self.hasher, clock=lambda: self.now, token_bytes=secrets.token_bytes
        )
        self.admin = self.authority.admin.acting_as("operator:jane", Origin("192.0.2.9", "console"))
        self.secrets = {}
        self.people = {}

    async def furnish(self):
        await self.authority.prepare()
        for name, roles in (("alice", ["reader"]), ("erin", ["editor"]), ("root", ["admin"])):
            self.people[name] = await self.admin.create_account(name, f"{name}'s password", roles=roles)
        everything = ["users:*", "posts:*", "files:*", "admin:*"]
        person = ["password", "refresh_token"]
        await self.admin.create_client("app", public=True, grants=person, scopes=everything, first_party=True)
        await self.admin.create_client("other", public=True, grants=person, scopes=everything, first_party=True)
        made = await self.admin.create_client(
            "service", grants=["client_credentials"], scopes=["users:read", "posts:*"], introspects=True
        )
        self.secrets["service"] = made.secret
        made = await self.admin.create_client("web", grants=person, scopes=everything, first_party=True)
        self.secrets["web"] = made.secret
        return self

    def read(self, form, **more):
        return TokenRequest.read(list(form.items()) if isinstance(form, dict) else form, **more)

    async def ask(self, **form):
        origin = Origin("192.0.2.1", "client/1")
        return await self.authority.token.answer(self.read(form, origin=origin), now=self.now)

    async def log_in(self, name="alice", client="app", **form):
        given = {"grant_type": "password", "username": name, "password": f"{name}'s password", "client_id": client}
        if client in self.secrets:
            given["client_secret"] = self.secrets[client]
        return await self.ask(**given | form)

    async def refresh(self, token, client="app", **form):
        token = token if isinstance(token, str) else token.refresh_token
        return await self.ask(grant_type="refresh_token", refresh_token=token, client_id=client, **form)

    async def serve(self, **form):
        given = {"grant_type": "client_credentials", "client_id": "service", "client_secret": self.secrets["service"]}
        return await self.ask(**given | form)

    async def introspect(self, token, client="service", secret=None):
        form = {"token": token, "client_id": client, "client_secret": secret or self.secrets.get(client, "")}
        request = IntrospectionRequest.read(form.items())
        return await self.authority.introspection.answer(request, now=self.now)

    async def revoke(self, token, client="app", secret="", **more):
        form = {"token": token, "client_id": client, "client_secret": secret} | more
        await self.authority.revocation.answer(RevocationRequest.read(form.items()), now=self.now)

    async def lines(self, what=None):
        found = reversed(await self.store.journal(limit=10_000))
        return [line for line in found if what is None or line.what == what]

    @staticmethod
    def claims(tokens):
        token = tokens if isinstance(tokens, str) else tokens.access_token
        body = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    @staticmethod
    async def refused(awaitable):
        """The code and the id with which something is refused."""
        with pytest.raises(BailiwickError) as caught:
            await awaitable
        return caught.value.code, caught.value.id


@pytest.fixture
def make_world():
    return World


@pytest.fixture
async def world():
    return await World().furnish()
