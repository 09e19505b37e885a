"""Wycheproof's vectors for JWS and JWK, but for the labels that are known to be wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import Keyring
from bailiwick.tokens.encoding import Malformed, decode_octets
from bailiwick.tokens.jws import read

DATA = Path(__file__).parent / "data"
SIGNATURES = json.loads((DATA / "wycheproof_json_web_signature_test.json").read_text("utf-8"))
KEYS = json.loads((DATA / "wycheproof_json_web_key_test.json").read_text("utf-8"))
MISLABELLED = {
    # The very text of 357, which is valid.
    367: "valid",
    370: "valid",
    # A question mark in the base64url of the header or the payload.
    372: "invalid",
    373: "invalid",
    # The key is bound to PS256 and the header says PS384; the algorithm ES521 does not exist.
    346: "invalid",
    347: "invalid",
    350: "invalid",
    351: "invalid",
}


def verifies(keys: list[dict[str, Any]], jws: Any) -> bool:
    try:
        ring = Keyring.from_jwks({"keys": keys})
        envelope = read(jws, max_bytes=100_000)
        decode_octets(envelope.payload)  # as `read_claims` does after the signature; these payloads are no claims
    except (ConfigurationError, InvalidToken, Malformed):
        return False
    return any(
        key.verify(envelope.signing_input, envelope.signature) for key in ring.find_now(envelope.kid, envelope.alg)
    )


def vectors(suite: dict[str, Any]) -> list[Any]:
    found = []
    for group in suite["testGroups"]:
        keys = group.get("public") or group["private"]
        for test in group["tests"]:
            name = f"{test['tcId']} {group['comment']}: {test['comment']}"
            found.append(pytest.param(keys.get("keys", [keys]), test, id=name))
    return found


@pytest.mark.parametrize(("keys", "test"), vectors(SIGNATURES))
def test_a_signature_vector_gets_its_verdict(keys, test):
    expected = MISLABELLED.get(test["tcId"], test["result"])
    assert verifies(keys, test["jws"]) == (expected == "valid")


@pytest.mark.parametrize(("keys", "test"), vectors(KEYS))
def test_a_key_vector_gets_its_verdict(keys, test):
    assert verifies(keys, test["jws"]) == (test["result"] == "valid")


def test_the_suites_are_whole():
    assert (len(vectors(SIGNATURES)), len(vectors(KEYS))) == (401, 26)
