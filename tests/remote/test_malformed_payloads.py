"""A revocation feed whose payload nobody can read, signed well or not: it is not believed, and what was known stays."""

import logging
import time

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import Response
from starlette.routing import Route

from bailiwick.remote import RevocationFeed
from bailiwick.tokens import Keyring, SigningKey
from bailiwick.tokens.encoding import encode, write_json

pytestmark = pytest.mark.anyio

ISSUER = "https://auth.example.com"
KEY, STRANGER = SigningKey.generate("ES256", kid="k"), SigningKey.generate("ES256", kid="k")
MALFORMED = (
    "",
    "A",
    "e31",
    "e30=",
    "e30\0",
    encode(b"\xff"),
    encode(b"{"),
    encode(b"[]"),
    encode(b'{"iss":1,"iss":2}'),
)


def sign(payload, key=KEY):
    message = f"{encode(write_json({'alg': 'ES256', 'typ': 'revocations+jwt', 'kid': 'k'}))}.{payload}"
    return f"{message}.{encode(key.sign(message.encode()))}"


@pytest.mark.parametrize("key", [KEY, STRANGER], ids=["good signature", "forged"])
async def test_a_feed_that_cannot_be_read_is_not_believed_and_surprises_nobody(key, caplog):
    now = int(time.time())
    good = {"iss": ISSUER, "iat": now, "exp": now + 600, "after": 0, "last": 0, "lines": []}
    body = sign(encode(write_json(good)))

    async def revocations(_request):
        return Response(body, headers={"content-type": "application/revocations+jwt"})

    app = Starlette(routes=[Route("/revocations", revocations)])
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        feed = RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), http=http)
        assert await feed.refresh()
        for payload in MALFORMED:
            body = sign(payload, key)
            with caplog.at_level(logging.WARNING):
                caplog.clear()
                assert not await feed.refresh(), payload
            assert [(one.levelname, one.exc_info) for one in caplog.records] == [("WARNING", None)], payload
            assert body not in caplog.text
        body = sign(encode(write_json(good)))
        assert await feed.refresh()
