"""An issuer, an API and a clock for the tests of tokens."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from bailiwick.scopes import Principal
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

DATA = Path(__file__).parent / "data"
ISSUER = "https://as.example"
AUDIENCE = "https://api.example"
START = 1_800_000_000.0


@dataclass
class World:
    """One issuer with one key, the verifiers that trust it, and a clock that stands still until it is moved."""

    key: SigningKey = field(default_factory=lambda: SigningKey.generate("ES256", kid="k-1"))
    time: float = START

    def now(self) -> float:
        return self.time

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Good claims with changes; a change to `...` leaves the claim out."""
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "user-1",
            "client_id": "client-1",
            "iat": int(START),
            "exp": int(START) + 600,
            "jti": "j-1",
            "scope": "read write",
        }
        return {name: value for name, value in {**good, **changes}.items() if value is not ...}

    def token(self, *, typ: str = "at+jwt", **changes: Any) -> str:
        return Signer(self.key).sign(self.claims(**changes), typ=typ)

    def verifier(self, keys: Any = None, **settings: Any) -> JWTVerifier:
        settings = {"issuer": ISSUER, "audience": AUDIENCE, "now": self.now, **settings}
        return JWTVerifier(Keyring.from_keys(self.key) if keys is None else keys, **settings)

    def verify(self, token: str, **settings: Any) -> Principal:
        return asyncio.run(self.verifier(**settings).verify(token))


@pytest.fixture(scope="session")
def es256() -> SigningKey:
    return SigningKey.generate("ES256", kid="k-1")


@pytest.fixture
def world(es256: SigningKey) -> World:
    return World(es256)


@pytest.fixture(scope="session")
def load_data():
    def load(name: str) -> Any:
        return json.loads((DATA / name).read_text("utf-8"))

    return load
