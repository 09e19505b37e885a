"""An authority over a memory store, with a clock that tests can turn."""

import base64
import json
import secrets

import pytest
from argon2 import Parameters, Type

from bailiwick.authority import (
    Authority,
    DeviceRequest,
    IntrospectionRequest,
    PushingRequest,
    RevocationRequest,
    Settings,
    TokenRequest,
)
from bailiwick.authority.consent import Decision, LoggedIn
from bailiwick.authority.outcome import NeedsConsent
from bailiwick.authority.pkce import challenge_of
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
        await self.authority.refusals.flush()
        found = reversed(await self.store.journal(limit=10_000))
        return [line for line in found if what is None or line.what == what]

    @staticmethod
    def claims(tokens):
        token = tokens if isinstance(tokens, str) else tokens.access_token
        body = token.split(".")[1]
        return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))

    @staticmethod
    def header(tokens):
        head = tokens.access_token.split(".")[0]
        return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))

    @staticmethod
    async def refused(awaitable):
        """The code and the id with which something is refused."""
        with pytest.raises(BailiwickError) as caught:
            await awaitable
        return caught.value.code, caught.value.id


class Flows(World):
    """The same authority with clients of every kind, and people who decide in browsers."""

    verifier = "v" * 43
    redirects = {  # noqa: RUF012 - never changed
        "spa": "https://spa.example.com/cb",
        "native": "http://127.0.0.1/cb",
        "site": "https://site.example.com/cb",
        "own": "https://own.example.com/cb",
    }

    async def furnish(self):
        await super().furnish()
        everything = ["users:*", "posts:*", "files:*", "admin:*"]
        code = ["authorization_code", "refresh_token"]
        for name, public, first in (
            ("spa", True, False),
            ("native", True, False),
            ("site", False, False),
            ("own", False, True),
        ):
            made = await self.admin.create_client(
                name, public=public, grants=code, scopes=everything, first_party=first, redirects=[self.redirects[name]]
            )
            if made.secret:
                self.secrets[name] = made.secret
        await self.admin.create_client(
            "tv",
            public=True,
            grants=["urn:ietf:params:oauth:grant-type:device_code", "refresh_token"],
            scopes=everything,
        )
        made = await self.admin.create_client(
            "gateway",
            grants=["urn:ietf:params:oauth:grant-type:token-exchange", "client_credentials"],
            scopes=["users:*", "posts:*"],
            introspects=[self.api],
            exchange_targets=[self.files],
        )
        self.secrets["gateway"] = made.secret
        return self

    def proof(self, client):
        return {"client_id": client} | ({"client_secret": self.secrets[client]} if client in self.secrets else {})

    def session(self, name="alice", ago=0.0):
        return LoggedIn(self.people[name].id, self.now - ago)

    def query(self, client="spa", **more):
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": self.redirects.get(client, "https://x.example.com/"),
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            "state": "a state",
            "scope": "users:read posts:read",
        } | more
        return [(name, value) for name, value in asked.items() if value is not None]

    async def authorize(self, client="spa", session="alice", **more):
        pairs = more.pop("pairs", None) or self.query(client, **more)
        session = self.session(session) if isinstance(session, str) else session
        return await self.authority.authorization.begin(pairs, session, origin=Origin("192.0.2.7"), now=self.now)

    async def decide(self, asked, chosen=None, session="alice", approved=True):
        session = self.session(session) if isinstance(session, str) else session
        names = asked.agenda.asked if chosen is None else ScopeSet(chosen)
        return await self.authority.authorization.decide(
            asked.request, session, Decision(approved, names), origin=Origin("192.0.2.7"), now=self.now
        )

    async def code(self, client="spa", session="alice", chosen=None, **more):
        outcome = await self.authorize(client, session, **more)
        if isinstance(outcome, NeedsConsent):
            outcome = await self.decide(outcome, chosen, session)
        return dict(outcome.params)["code"]

    async def redeem(self, code, client="spa", **more):
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": self.redirects.get(client),
            "code_verifier": self.verifier,
        }
        form = form | self.proof(client) | more
        return await self.ask(**{name: value for name, value in form.items() if value is not None})

    async def begin_device(self, client="tv", **form):
        request = DeviceRequest.read((self.proof(client) | form).items(), origin=Origin("192.0.2.5"))
        return await self.authority.device.answer(request, now=self.now)

    async def enter(self, typed, session="alice", address="192.0.2.7"):
        return await self.authority.device.enter(typed, self.session(session), origin=Origin(address), now=self.now)

    async def settle(self, consent, chosen=None, session="alice", approved=True):
        names = consent.agenda.asked if chosen is None else ScopeSet(chosen)
        return await self.authority.device.decide(
            consent.ticket,
            self.session(session),
            Decision(approved, names),
            origin=Origin("192.0.2.7", "browser/1"),
            now=self.now,
        )

    async def poll(self, device, client="tv", **more):
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": device.device_code}
        return await self.ask(**form | self.proof(client) | more)

    async def exchange(self, token, client="gateway", **more):
        form = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token if isinstance(token, str) else token.access_token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        form = form | self.proof(client) | more
        return await self.ask(**{name: value for name, value in form.items() if value is not None})

    async def push(self, client="site", pairs=None, **more):
        pairs = pairs if pairs is not None else self.query(client, **more)
        proof = [pair for pair in self.proof(client).items() if pair[0] not in dict(pairs)]
        request = PushingRequest.read([*pairs, *proof], origin=Origin("192.0.2.5"))
        return await self.authority.pushed.answer(request, now=self.now)


@pytest.fixture
def make_flows():
    return Flows


@pytest.fixture
async def flows():
    return await Flows().furnish()


@pytest.fixture
def make_world():
    return World


@pytest.fixture
async def world():
    return await World().furnish()
