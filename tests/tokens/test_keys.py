"""Keys: what is taken, what is refused, and what never shows."""

from __future__ import annotations

import asyncio
import copy
import json
import logging
import pickle
import secrets

import pytest
from joserfc.jwk import OKPKey

from bailiwick.errors import ConfigurationError
from bailiwick.tokens import ALGORITHMS, Key, Keyring, KeySource, Signer, SigningKey
from bailiwick.tokens.encoding import decode, encode
from bailiwick.tokens.strength import estimate_bits

SLOW = [alg for alg in ALGORITHMS if alg[:2] in {"RS", "PS"}][1:]


@pytest.mark.parametrize("alg", ALGORITHMS)
def test_every_algorithm_signs_and_verifies_and_survives_storage(world, alg):
    key = SigningKey.generate(alg)
    kept = SigningKey.from_jwk(json.loads(json.dumps(key.to_jwk(private=True))))
    assert (kept.kid, kept.alg) == (key.kid, alg)
    token = Signer(kept).sign(world.claims())
    assert asyncio.run(world.verifier(Keyring.from_keys(key)).verify(token)).subject == "user-1"


@pytest.mark.parametrize("alg", ["ES256", "RS256", "EdDSA", "HS256"])
def test_no_key_material_shows_anywhere(alg):
    key = SigningKey.generate(alg, kid="k")
    private = key.to_jwk(private=True)
    secrets = [private[name] for name in ("d", "k", "p", "q") if name in private]
    assert secrets
    shown = (
        f"{key!r} {key} {key.key!r} {Signer(key)!r} {Keyring.from_keys(key)!r} {Keyring.from_keys(key).public_jwks()}"
    )
    assert not [secret for secret in secrets if secret in shown]


def test_the_default_name_is_the_thumbprint_of_rfc_7638():
    # The example of RFC 7638 section 3.1.
    jwk = {
        "kty": "RSA",
        "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajr"
        "n1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
        "e": "AQAB",
        "alg": "RS256",
        "kid": "2011-04-29",
    }
    (key,) = Keyring.from_jwks({"keys": [jwk]}).keys
    assert key.thumbprint == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_the_default_name_of_a_secret_is_not_its_hash():
    key = SigningKey.generate("HS256")
    jwk = key.to_jwk(private=True)
    assert key.kid == SigningKey.from_jwk(jwk).kid
    assert len(decode(key.kid)) == 16


@pytest.mark.parametrize("kid", ["", "x" * 257, 1, ["k"]])
def test_a_bad_name_is_refused(kid):
    with pytest.raises(ConfigurationError):
        SigningKey.generate(kid=kid)


def test_an_unknown_algorithm_is_refused_and_the_known_ones_are_named():
    for alg in ("ES256K", "HS1", "", None, ["ES256"]):
        with pytest.raises(ConfigurationError) as refused:
            SigningKey.generate(alg)  # type: ignore[arg-type]
        assert "ES256, " in refused.value.description


def test_a_public_key_cannot_sign(es256):
    with pytest.raises(ConfigurationError, match="no private half"):
        SigningKey.from_jwk(es256.to_jwk())


@pytest.mark.parametrize("change", [{"use": "enc"}, {"key_ops": ["verify"]}, {"alg": "ECDH-ES"}, {"kty": "XYZ"}])
def test_a_key_for_another_purpose_cannot_sign(es256, change):
    with pytest.raises(ConfigurationError, match="cannot sign"):
        SigningKey.from_jwk({**es256.to_jwk(private=True), **change})


def test_a_private_half_of_another_key_is_refused(es256):
    other = SigningKey.generate("ES256").to_jwk(private=True)
    with pytest.raises(ConfigurationError):
        SigningKey.from_jwk({**es256.to_jwk(private=True), "d": other["d"]})
    ours, theirs = (SigningKey.generate("RS256").to_jwk(private=True) for _ in range(2))
    with pytest.raises(ConfigurationError):
        SigningKey.from_jwk({**ours, "n": theirs["n"]})


def test_a_private_rsa_key_without_its_primes_still_signs():
    key = SigningKey.generate("RS256")
    jwk = {name: value for name, value in key.to_jwk(private=True).items() if name not in {"p", "q", "dp", "dq", "qi"}}
    assert key.key.verify(b"message", SigningKey.from_jwk(jwk).sign(b"message"))


def test_a_secret_has_no_public_half():
    key = SigningKey.generate("HS256")
    with pytest.raises(ConfigurationError) as refused:
        key.to_jwk()
    assert refused.value.id == "BW111"
    assert Keyring.from_keys(key).public_jwks() == {"keys": []}


def test_published_keys_hold_public_members_only(es256):
    ring = Keyring.from_keys(es256, SigningKey.generate("RS256"), SigningKey.generate("EdDSA"))
    assert [set(jwk) for jwk in ring.public_jwks()["keys"]] == [
        {"kty", "crv", "x", "y", "kid", "alg", "use"},
        {"kty", "n", "e", "kid", "alg", "use"},
        {"kty", "crv", "x", "kid", "alg", "use"},
    ]
    assert Keyring.from_jwks(ring.public_jwks()).public_jwks() == ring.public_jwks()


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "secret",
        "x" * 31,
        "a" * 64,
        "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        "a-string-secret-at-least-256-bits-long",
        "a secret of at least 32 bytes, from your settings",
        "put-your-own-secret-of-enough-letters-here",
        "please-change-me-please-change-me-please",
        "your-super-secret-jwt-key-0123456789-abcdef",
        "django-insecure-2%k&1u7^x9q0z@w5e#r8t!y3",
    ],
)
def test_a_weak_or_well_known_secret_is_refused_and_not_repeated(secret):
    for load in (Keyring.from_secret, SigningKey.from_secret):
        with pytest.raises(ConfigurationError) as refused:
            load(secret)
        assert refused.value.id == "BW110"
        assert len(secret) < 7 or secret not in f"{refused.value} {refused.value.detail}"


@pytest.mark.parametrize(("alg", "least"), [("HS256", 32), ("HS384", 48), ("HS512", 64)])
def test_a_secret_is_at_least_as_long_as_the_hash(alg, least):
    secret = bytes(range(least))
    assert Keyring.from_secret(secret, algorithm=alg).algorithms == {alg}
    with pytest.raises(ConfigurationError):
        Keyring.from_secret(secret[:-1], algorithm=alg)


def test_a_secret_needs_an_hmac_algorithm_and_text_or_octets():
    for arguments in ({"algorithm": "RS256"}, {"algorithm": "none"}):
        with pytest.raises(ConfigurationError):
            Keyring.from_secret(bytes(range(64)), **arguments)
    with pytest.raises(ConfigurationError):
        Keyring.from_secret(12345)  # type: ignore[arg-type]


def test_a_secret_without_a_name_is_tried_for_every_name(world):
    signing = SigningKey.from_secret("correct horse battery staple 0123", kid="whatever")
    ring = Keyring.from_secret(b"correct horse battery staple 0123")
    token = Signer(signing).sign(world.claims())
    assert asyncio.run(world.verifier(ring).verify(token)).subject == "user-1"


@pytest.mark.parametrize(
    "document",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"keys": 1}',
        '{"keys": [1]}',
        '{"keys": []}',
        b"\xff",
        "\ud800",
        '{"keys":[],"keys":[]}',
        5,
    ],
)
def test_what_is_no_key_set_is_refused(document):
    with pytest.raises(ConfigurationError) as refused:
        Keyring.from_jwks(document)
    assert refused.value.id == "BW110"


def test_a_key_set_of_thousands_is_refused(es256):
    with pytest.raises(ConfigurationError):
        Keyring.from_jwks({"keys": [{**es256.to_jwk(), "kid": f"k-{n}"} for n in range(257)]})


def test_keys_for_other_purposes_are_skipped_with_a_warning(es256, caplog):
    jwk = es256.to_jwk()
    foreign = [
        {**jwk, "kid": "a", "use": "enc"},
        {**jwk, "kid": "b", "key_ops": ["deriveKey"]},
        {**jwk, "kid": "c", "alg": "ECDH-ES"},
        {**jwk, "kid": "d", "crv": "secp256k1"},
        {"kty": "AKP", "alg": "ML-DSA-44", "pub": "AAAA"},
        {"kty": "OKP", "crv": "X25519", "x": jwk["x"]},
    ]
    with caplog.at_level(logging.WARNING, "bailiwick.tokens"):
        ring = Keyring.from_jwks({"keys": [*foreign, jwk]})
    assert [key.kid for key in ring.keys] == ["k-1"]
    assert len(caplog.records) == len(foreign)


@pytest.mark.parametrize(
    "change",
    [
        {"kty": None},
        {"kty": 1},
        {"kty": "RSA"},
        {"alg": "ES384"},
        {"alg": "RS256"},
        {"alg": 1},
        {"crv": None},
        {"crv": "P-384"},
        {"x": None},
        {"x": "????"},
        {"x": "AAAA"},
        {"kid": 5},
        {"kid": ""},
        {"key_ops": "verify"},
        {"key_ops": [1]},
    ],
)
def test_a_malformed_or_contradictory_key_is_refused_or_where_published_skipped(es256, change):
    good = SigningKey.generate("ES256", kid="good").to_jwk()
    document = {"keys": [{**es256.to_jwk(), **change}, good]}
    with pytest.raises(ConfigurationError, match="JWK 0"):
        Keyring.from_jwks(document)
    assert [key.kid for key in Keyring.from_jwks(document, published=True).keys] == ["good"]


@pytest.mark.parametrize(
    "x",
    [
        bytes(32),
        b"\x01" + bytes(31),
        b"\x01" + bytes(30) + b"\x80",
        bytes.fromhex("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"),
        bytes.fromhex("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"),
        bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"),
        bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
    ],
)
def test_an_ed25519_point_of_small_order_is_refused(x):
    with pytest.raises(ConfigurationError, match="small order"):
        Keyring.from_jwks({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": encode(x)}]})


def test_an_rsa_modulus_that_would_keep_the_processor_busy_is_refused():
    huge = encode(((1 << 20_000) + 1).to_bytes(2501, "big"))
    with pytest.raises(ConfigurationError, match="bits"):
        Keyring.from_jwks({"keys": [{"kty": "RSA", "e": "AQAB", "n": huge}]})


def test_an_rsa_key_without_an_algorithm_is_bound_to_the_one_that_is_set():
    jwk = {name: value for name, value in SigningKey.generate("RS256").to_jwk().items() if name != "alg"}
    assert Keyring.from_jwks({"keys": [jwk]}).algorithms == {"RS256"}
    assert Keyring.from_jwks({"keys": [jwk]}, rsa_algorithm="PS256").algorithms == {"PS256"}
    with pytest.raises(ConfigurationError):
        Keyring.from_jwks({"keys": [jwk]}, rsa_algorithm="ES256")


def test_one_name_stands_for_one_key():
    first, second = (SigningKey.generate("ES256", kid="same") for _ in range(2))
    with pytest.raises(ConfigurationError, match="'same'"):
        Keyring.from_keys(first, second)
    assert len(Keyring.from_keys(first, first).keys) == 1


def test_a_key_is_found_by_its_whole_name_and_its_algorithm(es256):
    other = SigningKey.generate("ES256", kid="k-2")
    ring = Keyring.from_keys(es256, other)
    assert isinstance(ring, KeySource)
    assert ring.find_now("k-1", "ES256") == (es256.key,)
    assert asyncio.run(ring.find("k-2", "ES256")) == (other.key,)
    assert ring.find_now(None, "ES256") == (es256.key, other.key)
    for kid, alg in (("k", "ES256"), ("K-1", "ES256"), ("k-1 ", "ES256"), ("k-1", "RS256"), (None, "HS256")):
        assert ring.find_now(kid, alg) == ()


def test_a_key_that_the_library_cannot_use_verifies_nothing():
    assert not Key("x", "EdDSA", OKPKey.generate_key("X25519"), {}).verify(b"message", bytes(64))


def test_a_keyring_of_thousands_is_refused(es256):
    jwk = es256.to_jwk(private=True)
    with pytest.raises(ConfigurationError, match="at most"):
        Keyring.from_keys(*(SigningKey.from_jwk({**jwk, "kid": f"k-{n}"}) for n in range(257)))


def test_nameless_keys_of_a_published_set_are_all_candidates():
    jwks = [SigningKey.generate("ES256").to_jwk() for _ in range(3)]
    ring = Keyring.from_jwks({"keys": [{**jwk, "kid": None} for jwk in jwks]}, published=True)
    assert len(ring.find_now(None, "ES256")) == len(ring.find_now("any", "ES256")) == 3


def test_an_empty_keyring_is_refused():
    with pytest.raises(ConfigurationError):
        Keyring.from_keys()


def test_a_copy_of_a_key_shows_no_more_than_the_key(es256):
    assert es256.to_jwk(private=True)["d"] not in repr(copy.copy(es256))
    with pytest.raises(TypeError):
        pickle.dumps(es256)


# -- how hard a chosen secret is to guess ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "secret",
    [
        "",
        "secret",
        "s" * 1024,
        "hunter2 " * 100,
        "0123456789" * 12,
        "Passw0rd!" * 5,
        "deadbeef" * 8,
        "correct horse battery staple, and some more words",
        "our-internal-billing-service-secret-2024",
        "correcthorsebatterystaplecorrecthorsebatterystaple",
    ],
)
def test_what_a_person_would_choose_has_fewer_than_128_bits_however_long_it_is(secret):
    assert estimate_bits(secret) < 128


@pytest.mark.parametrize(
    "make", [lambda: secrets.token_hex(16), lambda: secrets.token_hex(32), lambda: secrets.token_urlsafe(48)]
)
def test_what_a_generator_made_has_128_bits_or_more(make):
    assert all(estimate_bits(make()) >= 128 for _ in range(2_000))
