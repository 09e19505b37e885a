"""A flood of refusals leaves nothing behind that only the garbage collector would find.

An exception that is handed on as a value keeps the frames that it came through, and they keep it: each refusal would
then leave a circle, and the collector would run during every few requests of a flood.
"""

import asyncio
import gc

import pytest
from test_one_contract import DOORS, bearer, requests_of

from bailiwick.tokens import JWTVerifier, Keyring

REQUESTS = 20


class OnlyVerify:
    """A verifier that can tell nothing at once."""

    def __init__(self, inner):
        self.inner = inner

    async def verify(self, token):
        return await self.inner.verify(token)


class Cached(OnlyVerify):
    """One that can tell what it has told before."""

    def verify_cached(self, token):
        return self.inner.verify_cached(token)


async def ask(app, headers, query):
    answer = []

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        answer.append(message)

    conn = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": "/x",
        "raw_path": b"/x",
        "root_path": "",
        "scheme": "http",
        "query_string": query,
        "headers": list(headers),
        "server": ("test", 80),
        "client": ("test", 1),
    }
    await app(conn, receive, send)
    return answer[0]["status"]


async def left_by_each(app, requests):
    """How many objects a request of each kind leaves to the collector."""
    left = {}
    gc.collect()
    gc.freeze()  # what was there before is not looked through again and again, which would take most of the time
    gc.disable()
    try:
        for name, (headers, query, status) in requests.items():
            for _ in range(3):
                assert await ask(app, headers, query) == status
            gc.collect()
            for _ in range(REQUESTS):
                await ask(app, headers, query)
            left[name] = gc.collect() / REQUESTS
    finally:
        gc.enable()
        gc.unfreeze()
    return left


@pytest.mark.parametrize("on_decision", [None, lambda _decision: None], ids=["", "heard"])
@pytest.mark.parametrize("kept", [lambda verifier: verifier, OnlyVerify, Cached], ids=["", "only verify", "cached"])
@pytest.mark.parametrize("door", DOORS)
def test_a_refused_request_leaves_no_circles(catalog, issuer, door, kept, on_decision):
    kind, build, protected = DOORS[door]
    verifier = JWTVerifier(
        Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example", cache_size=64
    )
    app = build(kind(catalog, kept(verifier), on_decision=on_decision), protected)
    left = asyncio.run(left_by_each(app, requests_of(issuer)))
    assert {name: number for name, number in left.items() if number > left["good"] + 1} == {}


@pytest.mark.parametrize("change", [{"exp": 1}, {"aud": "https://other.example"}, {"sub": ""}])
def test_a_refusal_that_is_handed_on_as_a_value_holds_no_frames(issuer, change):
    verifier = JWTVerifier(Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example")
    refusal = verifier.verify_now(bearer(issuer.token("items", **change))[0][1])
    assert refusal.__traceback__ is None
    assert refusal.__context__ is None


def test_the_refusal_that_all_forgeries_share_is_never_raised(issuer):
    verifier = JWTVerifier(Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example")
    good = issuer.token("items")
    header = bearer(f"{good[:-8]}AAAAAAAA")[0][1]
    shared = verifier.verify_now(header)
    assert verifier.verify_now(header) is shared
    with pytest.raises(type(shared)) as raised:
        asyncio.run(verifier.verify(header[7:].decode()))
    assert raised.value is not shared
    assert shared.__traceback__ is None
