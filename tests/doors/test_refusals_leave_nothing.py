"""A flood of refusals leaves nothing behind that only the garbage collector would find.

An exception that is handed on as a value keeps the frames that it came through, and they keep it: each refusal would
then leave a circle, and the collector would run during every few requests of a flood.
"""

import asyncio
import gc

import pytest
from either_side import over_asgi
from test_one_contract import DOORS, bearer, requests_of

from bailiwick.tokens import JWTVerifier, Keyring

REQUESTS = 50


@pytest.mark.parametrize("door", [one for one, (_, _, protected) in DOORS.items() if protected])
def test_a_refused_request_leaves_no_circles(catalog, issuer, door):
    kind, build, protected = DOORS[door]
    verifier = JWTVerifier(
        Keyring.from_keys(issuer.key), issuer="https://as.example", audience="https://api.example", cache_size=64
    )
    app = build(kind(catalog, verifier), protected)
    left = {}

    for name, (headers, query, status) in requests_of(issuer).items():
        for _ in range(3):
            assert over_asgi(app, "/x", headers, query_string=query)[0] == status
        # What asyncio itself leaves behind for each loop is measured beside it, with a request that is let through.
        gc.collect()
        gc.disable()
        try:
            for _ in range(REQUESTS):
                over_asgi(app, "/x", headers, query_string=query)
            left[name] = gc.collect() / REQUESTS
        finally:
            gc.enable()

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
