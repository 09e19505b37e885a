"""The examples printed in RFC 7515 and RFC 8037 verify, sign and fail as printed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import JWTVerifier, Keyring, SigningKey
from bailiwick.tokens.jws import read

DATA = Path(__file__).parent / "data"
EXAMPLES = {one["id"]: one for one in json.loads((DATA / "rfc_examples.json").read_text("utf-8"))["jws"]}
SIGNED = [name for name, one in EXAMPLES.items() if one.get("jwk")]


@pytest.mark.parametrize("name", SIGNED)
def test_a_printed_signature_verifies(name):
    example = EXAMPLES[name]
    envelope = read(example["compact"])
    keys = Keyring.from_jwks({"keys": [example["jwk"]]}).find_now(envelope.kid, envelope.alg)
    assert [key.verify(envelope.signing_input, envelope.signature) for key in keys] == [True]
    assert not keys[0].verify(envelope.signing_input + b"x", envelope.signature)


def test_the_unsecured_example_is_refused_whatever_the_keys():
    unsecured = [one for name, one in EXAMPLES.items() if name not in SIGNED]
    assert [one["id"] for one in unsecured] == ["RFC7515-A.5"]
    keys = Keyring.from_keys(SigningKey.generate())
    with pytest.raises(InvalidToken):
        asyncio.run(JWTVerifier(keys, issuer="joe", audience="x", types=None).verify(unsecured[0]["compact"]))


def test_the_thumbprint_of_rfc_8037_a_3_is_computed():
    key = SigningKey.from_jwk(
        {
            "kty": "OKP",
            "crv": "Ed25519",
            "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A",
            "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        }
    )
    assert key.kid == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"
    # RFC 8037 A.4: Ed25519 signatures are deterministic, so signing gives the printed text.
    example = EXAMPLES["RFC8037-A.4"]
    envelope = read(example["compact"])
    assert key.sign(envelope.signing_input) == envelope.signature


def test_an_ed25519_key_whose_halves_do_not_belong_together_is_refused():
    with pytest.raises(ConfigurationError):
        SigningKey.from_jwk(
            {
                "kty": "OKP",
                "crv": "Ed25519",
                "d": SigningKey.generate("EdDSA").to_jwk(private=True)["d"],
                "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            }
        )
