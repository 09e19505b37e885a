"""An issuer with a real key, a catalog, and a guard and an application that have nothing else, for every door's tests."""

import time
from importlib import import_module

import pytest

from bailiwick import Catalog, Scope
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

ISSUER = "https://as.example"
AUDIENCE = "https://api.example"


class Issuer:
    """Signs what it is told to, and counts how often its verifier is asked."""

    def __init__(self):
        self.key = SigningKey.generate("ES256")
        self.signer = Signer(self.key)
        self.inner = JWTVerifier(Keyring.from_keys(self.key), issuer=ISSUER, audience=AUDIENCE, cache_size=0)
        self.asked = 0

    async def verify(self, token):
        self.asked += 1
        return await self.inner.verify(token)

    def token(self, scope="", sub="alice", *, lifetime=600, **claims):
        now = int(time.time())
        made = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": sub,
            "client_id": "test-client",
            "iat": now,
            "exp": now + lifetime,
            "jti": f"j-{sub}-{scope}",
            "scope": scope,
        }
        return self.signer.sign(made | claims)

    def bearer(self, scope="", sub="alice", **claims):
        return {"Authorization": f"Bearer {self.token(scope, sub, **claims)}"}

    def cached(self, **options):
        return JWTVerifier(Keyring.from_keys(self.key), issuer=ISSUER, audience=AUDIENCE, **options)


@pytest.fixture(scope="session")
def issuer_key():
    return Issuer()


@pytest.fixture
def issuer(issuer_key):
    issuer_key.asked = 0
    return issuer_key


def door_of(request):
    """The door that a file tests, as its name says: test_fastapi_..., test_fasterapi_... or test_starlette_..."""
    return request.path.stem.split("_")[1]


@pytest.fixture
def guard(request, catalog, issuer):
    return import_module(f"bailiwick.{door_of(request)}").Guard(catalog, issuer)


@pytest.fixture
def app(request, guard):
    """An application of the door's framework, protected."""
    if door_of(request) == "fasterapi":
        from FasterAPI import Faster as Application
    else:
        from fastapi import FastAPI as Application
    app = Application()
    guard.protect(app)
    return app


@pytest.fixture
def heard():
    """What `on_decision` hears, where a guard is made with `heard.append`."""
    return []


@pytest.fixture
def catalog():
    return Catalog(
        [
            Scope("users:read", "Read users"),
            Scope("users:write", "Change users", implies=["users:read"]),
            Scope("users:delete", "Delete users"),
            Scope("posts:read", "Read posts"),
            Scope("posts:write", "Write posts"),
            Scope("posts:admin", "Change anybody's posts"),
            Scope("items", "Items"),
            Scope("me", "Oneself"),
            Scope("admin:*", "Everything"),
        ],
        superuser="admin:*",
    )
