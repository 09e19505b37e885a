"""A payload is decoded once its signature is verified: whoever cannot sign learns nothing of how it would be read."""

from __future__ import annotations

import asyncio

import pytest

from bailiwick.errors import InvalidToken
from bailiwick.tokens import SigningKey
from bailiwick.tokens.encoding import encode
from bailiwick.tokens.jws import read, read_claims

# What no reader may take for claims, as ASCII: it can be signed.
MALFORMED = {
    "nothing": "",
    "a length that no octets have": "A",
    "bits that belong to no octet": "e31",
    "padding": "e30=",
    "the plain alphabet": "e30+/w",
    "white space": "e30 ",
    "a line's end": "e30\n",
    "a NUL": "e30\0",
    "no UTF-8": encode(b"\xff\xfe"),
    "no JSON": encode(b"{"),
    "a list": encode(b"[]"),
    "a text": encode(b'"sub"'),
    "null": encode(b"null"),
    "a member named twice": encode(b'{"sub":"a","sub":"b"}'),
    "not a number": encode(b'{"exp":NaN}'),
    "a lone surrogate": encode(b'{"sub":"\\ud800"}'),
    "too deep": encode(b'{"a":' * 40 + b"1" + b"}" * 40),
    "a byte order mark": encode(b"\xef\xbb\xbf{}"),
}


def signed(world, payload, key=None):
    key = key or world.key
    header = world.token().split(".")[0]
    message = f"{header}.{payload}"
    return f"{message}.{encode(key.sign(message.encode('ascii')))}"


def refusal(verifier, token):
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    return refused.value


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_payload_is_refused_under_a_good_signature(world, what):
    verifier = world.verifier()
    token = signed(world, MALFORMED[what])
    first, second = refusal(verifier, token), refusal(verifier, token)
    assert first.id == second.id == "BW202"
    assert first.status == 401
    # Neither good nor forged: the next presentation is read as the first was.
    assert verifier.verify_cached(token) is None
    assert len(verifier._remembered) == len(verifier._forged) == 0


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_payload_looks_like_any_other_to_who_cannot_sign(world, what):
    verifier = world.verifier()
    stranger = SigningKey.generate("ES256", kid=world.key.kid)
    told = refusal(verifier, signed(world, MALFORMED[what], stranger))
    plain = refusal(verifier, signed(world, world.token().split(".")[1], stranger))
    assert (told.id, told.description, told.detail) == (plain.id, plain.description, plain.detail)
    assert told.id == "BW203"


@pytest.mark.parametrize("payload", ["é", "e30é", "\ud800", "e30\udfff", "\U0001d54f", "\u212a30"])
def test_a_payload_that_is_no_ascii_is_no_token(world, payload):
    header, _, signature = world.token().split(".")
    verifier = world.verifier()
    token = f"{header}.{payload}.{signature}"
    refused = refusal(verifier, token)
    assert refused.id == "BW202"
    assert payload not in f"{refused!r}{refused.description}{refused.detail}"
    assert len(verifier._forged) == 0


def test_the_octets_of_a_lone_surrogate_are_nobodys_token(world):
    verifier = world.verifier()
    token = world.token()
    asyncio.run(verifier.verify(token))
    for odd in (f"{token}\ud800", f"\ud800{token}", token.replace(".", "\udc2e", 1)):
        assert refusal(verifier, odd).id == "BW202"
        assert verifier.verify_cached(odd) is None
        assert verifier.verify_now(b"Bearer " + odd.encode("utf-8", "surrogatepass")) is None


def test_one_memory_answers_for_a_text_its_octets_and_a_text_of_another_class(world):
    class Text(str):
        __slots__ = ()

    verifier = world.verifier()
    token = world.token()
    caller = asyncio.run(verifier.verify(Text(token)))
    assert asyncio.run(verifier.verify(token)) is caller
    assert verifier.verify_cached(Text(token)) is caller
    assert verifier.verify_now(b"Bearer " + token.encode()) is caller
    assert len(verifier._remembered) == 1


def test_a_forgery_that_was_refused_as_a_text_is_refused_as_octets_too(world):
    verifier = world.verifier()
    forged = signed(world, world.token().split(".")[1], SigningKey.generate("ES256", kid=world.key.kid))
    assert refusal(verifier, forged).id == "BW203"
    assert verifier.verify_now(b"Bearer " + forged.encode()).id == "BW203"


def test_what_is_too_long_is_neither_hashed_nor_looked_up(world):
    token = world.token()
    verifier = world.verifier(max_bytes=len(token))
    assert asyncio.run(verifier.verify(token)).subject == "user-1"
    for longer in (f"{token}A", f"{token[:-1]}éé", "é" * len(token)):
        assert verifier.verify_cached(longer) is None
        assert refusal(verifier, longer).id == "BW202"
    assert len(verifier._remembered) == 1
    assert len(verifier._forged) == 0


def test_the_envelope_keeps_the_payload_as_it_was_written(world):
    token = signed(world, "e30=")
    envelope = read(token)
    assert envelope.payload == b"e30="
    assert envelope.signing_input == token.rpartition(".")[0].encode()
    assert "e30" not in repr(envelope)
    with pytest.raises(InvalidToken):
        read_claims(envelope.payload)
    assert read_claims(b"e30") == {}
