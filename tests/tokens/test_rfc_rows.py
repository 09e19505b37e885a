"""Rows of the RFCs' checklist that concern a single token and its verification."""

from __future__ import annotations

import asyncio

import pytest

from bailiwick.errors import InvalidToken
from bailiwick.tokens import SigningKey

BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def refusal(world, token: str, **settings) -> str:
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(world.verifier(**settings).verify(token))
    return refused.value.id


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA", "HS256"])
def test_r6749_71_no_character_of_a_token_can_be_another(world, algorithm):
    key = SigningKey.generate(algorithm, kid="k-1")
    world = type(world)(key)
    token = world.token()
    verifier = world.verifier()
    assert asyncio.run(verifier.verify(token)).subject == "user-1"
    for place, old in enumerate(token):
        # The neighbour in the alphabet too: at the end of a part it differs only in bits that no octet has.
        for new in {"." if old != "." else "A", *([BASE64URL[BASE64URL.index(old) ^ 1]] if old != "." else [])}:
            with pytest.raises(InvalidToken):
                asyncio.run(verifier.verify(token[:place] + new + token[place + 1 :]))
    for other in (token[:-1], token + "A", token + "=", token + ".", " " + token, token + "\n"):
        with pytest.raises(InvalidToken):
            asyncio.run(verifier.verify(other))


@pytest.mark.parametrize(
    "issuer",
    [
        "https://as.example/",
        "https://AS.example",
        "HTTPS://as.example",
        "https://as.example:443",
        ["https://as.example"],
    ],
)
def test_r9068_10_the_issuer_is_that_very_text(world, issuer):
    assert refusal(world, world.token(iss=issuer)) in {"BW206", "BW210"}


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("https://as.example/\u00e9", "https://as.example/e\u0301"),
        ("https://as.example/e\u0301", "https://as.example/\u00e9"),
        ("https://as.example/%C3%A9", "https://as.example/%c3%a9"),
        ("https://as.example/a", "https://as.example/%61"),
        ("https://as.example/\ufb01", "https://as.example/fi"),
    ],
)
def test_r8414_13_issuers_are_compared_by_code_points_and_nothing_is_normalised(world, ours, theirs):
    assert refusal(world, world.token(iss=theirs), issuer=ours) == "BW206"
    assert asyncio.run(world.verifier(issuer=ours).verify(world.token(iss=ours))).issuer == ours


@pytest.mark.parametrize(
    ("aud", "good"),
    [
        ("https://api.example", True),
        (["https://api.example"], True),
        (["https://other.example", "https://api.example"], True),
        (["https://other.example"], False),
        ("https://api.example/", False),
        ("https://api.exampl", False),
        ("https://api.example.evil", False),
        ([], False),
        (..., False),
        (7, False),
    ],
)
def test_r9068_11_the_audience_is_this_api_alone_or_among_others(world, aud, good):
    token = world.token(aud=aud)
    if good:
        assert asyncio.run(world.verifier().verify(token)).subject == "user-1"
    else:
        assert refusal(world, token) in {"BW207", "BW210"}


@pytest.mark.parametrize("typ", ["JWT", "id+jwt", "secevent+jwt", "dpop+jwt", "logout+jwt", "token-introspection+jwt"])
def test_r9068_09_a_token_of_another_kind_by_the_same_issuer_opens_nothing(world, typ):
    assert refusal(world, world.token(typ=typ)) == "BW205"
