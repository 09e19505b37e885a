"""Stores to test, and records to fill them with."""

import itertools

import pytest

from bailiwick.authority.records import (
    Account,
    Authorization,
    Client,
    ClientAuth,
    ConsentedScope,
    Event,
    Family,
    GrantType,
    RefreshToken,
    RoleRecord,
)
from bailiwick.authority.store import Rotation
from bailiwick.scopes import ScopeSet
from bailiwick.storage import MemoryStore, open_store


class Make:
    """Records with everything filled in; only what a test is about is named."""

    def __init__(self):
        self.numbers = itertools.count(1)

    def event(self, what="tested", at=100.0):
        return Event(at, what, "tester")

    def client(self, id="app", **fields):
        given = {"name": id, "auth": ClientAuth.NONE, "grants": frozenset({GrantType.PASSWORD})}
        return Client(**{"id": id, "ceiling": ScopeSet(["a", "b:*"]), "created_at": 1.0} | given | fields)

    def account(self, name="Alice", **fields):
        return Account(**{"id": f"usr_{name}", "name": name, "created_at": 1.0, "password": "hash 1"} | fields)

    def role(self, name="reader", scopes=("a",)):
        return RoleRecord(name, ScopeSet(scopes))

    def authorization(self, scopes=("a", "b"), *, id=None, subject="usr_alice", client="app", via="password", at=50.0):
        rows = tuple(ConsentedScope(scope, at, via) for scope in scopes)
        return Authorization(id or f"atz_{next(self.numbers)}", subject, client, "https://api", at, rows)

    def family(self, **fields):
        given = {
            "id": f"fam_{next(self.numbers)}",
            "authorization": "atz_1",
            "subject": "usr_alice",
            "client": "app",
            "resource": "https://api",
            "scopes": ScopeSet(["b", "a"]),
            "authenticated_at": 90.0,
            "created_at": 90.0,
            "expires_at": 10_000.0,
        }
        return Family(**given | fields)

    def token(self, family, digest="first", **fields):
        given = {"digest": digest, "family": family.id, "generation": 1, "issued_at": 90.0, "expires_at": 1_000.0}
        return RefreshToken(**given | fields)

    def rotation(self, digest="first", successor="second", now=100.0, **fields):
        given = {
            "digest": digest,
            "successor": successor,
            "client": "app",
            "now": now,
            "grace": 30.0,
            "expires_at": now + 900.0,
            "feed_until": now + 600.0,
        }
        return Rotation(**given | fields)


@pytest.fixture
def make():
    return Make()


@pytest.fixture(params=["memory", pytest.param("sqlite", marks=pytest.mark.slow)])
async def store(request, tmp_path):
    opened = MemoryStore() if request.param == "memory" else await open_store(tmp_path / "authority.db")
    yield opened
    await opened.close()
