"""Laws: whatever is presented, the answer is a Principal or `InvalidToken`, and only the issuer's text is the former."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.errors import InvalidToken
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey
from bailiwick.tokens.encoding import encode

ISSUER, AUDIENCE, NOW = "https://as.example", "https://api.example", 1_800_000_000
ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
KEYS = {alg: SigningKey.generate(alg, kid="k-1") for alg in ("ES256", "RS256", "EdDSA", "HS256")}
CLAIMS = {
    "iss": ISSUER,
    "aud": AUDIENCE,
    "sub": "user-1",
    "client_id": "client-1",
    "iat": NOW,
    "exp": NOW + 600,
    "jti": "j-1",
    "scope": "read",
}
TOKENS = {alg: Signer(key).sign(CLAIMS) for alg, key in KEYS.items()}
VERIFIERS = {
    alg: JWTVerifier(Keyring.from_keys(key), issuer=ISSUER, audience=AUDIENCE, now=lambda: float(NOW), cache_size=4)
    for alg, key in KEYS.items()
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)


def is_invalid(alg: str, token: str) -> bool:
    """Whether the token is refused as invalid; another exception fails the test."""
    try:
        asyncio.run(VERIFIERS[alg].verify(token))
    except InvalidToken as refused:
        return refused.id.startswith("BW2")
    return False


@pytest.mark.parametrize("alg", KEYS)
def test_the_untouched_token_is_good(alg):
    assert not is_invalid(alg, TOKENS[alg])


@pytest.mark.parametrize("alg", KEYS)
@settings(max_examples=150)
@given(data=st.data())
def test_any_other_character_anywhere_makes_the_token_invalid(alg, data):
    token = TOKENS[alg]
    at = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(
        st.one_of(st.sampled_from(ALPHABET + ".=+/ "), st.characters()).filter(lambda one: one != token[at])
    )
    assert is_invalid(alg, token[:at] + letter + token[at + 1 :])


@pytest.mark.parametrize("alg", ["ES256", "HS256"])
def test_every_character_of_the_signature_counts(alg):
    token = TOKENS[alg]
    start = token.rindex(".") + 1
    for at in range(start, len(token)):
        other = ALPHABET[(ALPHABET.index(token[at]) + 1) % 64]
        assert is_invalid(alg, token[:at] + other + token[at + 1 :])


@settings(max_examples=100)
@given(data=st.data())
def test_cutting_or_adding_makes_the_token_invalid(data):
    token = TOKENS["ES256"]
    at = data.draw(st.integers(0, len(token) - 1))
    extra = data.draw(st.text(min_size=1, max_size=5))
    for changed in (token[:at], token[at + 1 :], token[:at] + extra + token[at:], token + extra, extra + token):
        assert changed == token or is_invalid("ES256", changed)


@settings(max_examples=200)
@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda raw: raw.decode("latin-1")))
def test_any_text_is_invalid(text):
    assert is_invalid("ES256", text)


@settings(max_examples=200)
@given(st.lists(st.binary(max_size=60), min_size=3, max_size=3))
def test_any_three_segments_are_invalid(parts):
    assert is_invalid("ES256", ".".join(map(encode, parts)))


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.dictionaries(st.sampled_from(["alg", "kid", "typ", "cty", "crit", "b64", "zip", "jwk", "x5c", "x"]), JSON),
    JSON
    | st.fixed_dictionaries({}, optional=dict.fromkeys([*CLAIMS, "nbf", "cnf"], JSON)).map(lambda c: {**CLAIMS, **c}),
)
def test_a_well_signed_token_with_any_header_and_claims_gets_an_answer_and_no_foreign_exception(header, claims):
    key = KEYS["EdDSA"]
    full = {"alg": "EdDSA", "kid": "k-1", "typ": "at+jwt", **header}
    message = f"{encode(json.dumps(full).encode())}.{encode(json.dumps(claims).encode())}"
    token = f"{message}.{encode(key.sign(message.encode()))}"
    if not is_invalid("EdDSA", token):
        assert claims["iss"] == ISSUER
        assert claims["aud"] == AUDIENCE or AUDIENCE in claims["aud"]
        assert "cnf" not in claims
        assert not {"crit", "b64", "zip", "jwk"} & header.keys()
        assert (full["alg"], full["typ"]) == ("EdDSA", "at+jwt")
