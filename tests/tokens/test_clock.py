"""A clock that a test puts in the place of `time.time` is the one that is asked, also by what was made before."""

import asyncio
import time

import pytest

from bailiwick import Catalog, InvalidToken, ScopeSet, asgi
from bailiwick.remote import RevocationFeed
from bailiwick.server import AuthorizationServer
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

SECRET, ISSUER, API = "9f1c7e5a3b8d2046e1f0a9c8b7d6e5f4a3b2c1d0", "https://as.example", "https://api.example"
KEYS = Keyring.from_secret(SECRET)
verifier = JWTVerifier(KEYS, issuer=ISSUER, audience=API)
guard = asgi.Guard(Catalog(["a"]), verifier)


def token():
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": API, "sub": "ada", "client_id": "web", "jti": "1", "scope": "a"}
    return Signer(SigningKey.from_secret(SECRET)).sign({**claims, "iat": now, "exp": now + 60})


@pytest.fixture
def a_year_later(monkeypatch):
    now = time.time() + 365 * 86400
    return lambda: monkeypatch.setattr(time, "time", lambda: now)


def test_a_token_has_expired_when_a_test_moves_the_clock(a_year_later):
    early = token()
    assert asyncio.run(verifier.verify(early)).scopes == ScopeSet(["a"])
    a_year_later()

    with pytest.raises(InvalidToken) as expired:
        asyncio.run(verifier.verify(early))
    assert expired.value.id == "BW208"
    assert asyncio.run(verifier.verify(token())).subject == "ada"


def test_the_gate_forgets_what_it_remembers_when_a_test_moves_the_clock(a_year_later):
    async def app(_conn, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def status(text):
        said = []

        async def send(message):
            said.append(message)

        conn = {"type": "http", "path": "/", "headers": [(b"authorization", b"Bearer " + text.encode())]}
        asyncio.run(guard.wrap(app, "a")(conn, None, send))
        return said[0]["status"]

    early = token()
    assert status(early) == status(early) == 200
    a_year_later()

    assert status(early) == 401
    assert status(token()) == 200


def test_guards_feeds_and_authorities_ask_the_same_clock(a_year_later):
    feed = RevocationFeed(ISSUER, keys=KEYS)
    server = AuthorizationServer(Catalog(["a"]), issuer=ISSUER)
    a_year_later()

    assert guard.now() == feed._now() == server._clock() == time.time()
