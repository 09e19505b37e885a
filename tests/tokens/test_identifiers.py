"""One test for each published vulnerability that concerns the verification of tokens, named after it.

What is fetched, what happens in browsers and what is stored have their own files: `test_published_flaws.py` of the
other rooms. `tests/flaws.toml` knows where each of them is.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import importlib.metadata
import json
import re
import time
import zlib
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from joserfc import jwe
from joserfc.jwk import OctKey, RSAKey

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey
from bailiwick.tokens.encoding import Malformed, encode, read_json


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"", *, alg: str = "sha256") -> str:
    """A token whose third segment is an HMAC with a key of the attacker's choice."""
    message = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{message}.{encode(hmac.digest(secret, message.encode(), alg))}"


def signed(key: SigningKey, header: dict[str, Any], claims: Any) -> str:
    """A token with any header, well signed."""
    payload = claims if isinstance(claims, bytes) else json.dumps(claims).encode()
    message = f"{encode(json.dumps(header).encode())}.{encode(payload)}"
    return f"{message}.{encode(key.sign(message.encode()))}"


def refusal(world, token: str, keys: Any = None) -> str:
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(world.verifier(keys).verify(token))
    return refused.value.id


PUBLIC_KEYS = {
    "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key(),
    "ec": ec.generate_private_key(ec.SECP256R1()).public_key(),
    "ed25519": ed25519.Ed25519PrivateKey.generate().public_key(),
}
FORMS = {
    "pem": lambda key: key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
    "der": lambda key: key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    "base64 of der": lambda key: base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)),
    "ssh": lambda key: key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
}


@pytest.mark.parametrize("kind", PUBLIC_KEYS)
@pytest.mark.parametrize("form", FORMS)
def test_cve_2022_29217_a_public_key_never_becomes_an_hmac_secret(kind, form):
    text = FORMS[form](PUBLIC_KEYS[kind])
    for spelling in (text, text + b"\n", b"\n " + text):
        with pytest.raises(ConfigurationError) as refused:
            Keyring.from_secret(spelling)
        assert refused.value.id == "BW110"
        assert encode(text) not in str(refused.value)
    with pytest.raises(ConfigurationError):
        Keyring.from_jwks({"keys": [{"kty": "oct", "k": encode(text)}]})


def test_cve_2022_29217_a_token_macced_with_the_public_key_is_refused(world):
    public = world.key.key.jose.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    token = forged({"alg": "HS256", "typ": "at+jwt", "kid": "k-1"}, world.claims(), public)
    assert refusal(world, token) == "BW204"


def test_cve_2026_48526_a_jwk_text_is_no_secret_and_families_never_mix(world):
    jwk = world.key.to_jwk()
    for text in (json.dumps(jwk), json.dumps({"keys": [jwk]}), json.dumps(jwk, indent=2)):
        with pytest.raises(ConfigurationError) as refused:
            Keyring.from_secret(text)
        assert refused.value.id == "BW110"
    secret = SigningKey.generate("HS256", kid="hs")
    for mix in (
        lambda: Keyring.from_keys(world.key, secret),
        lambda: Keyring.from_jwks({"keys": [jwk, secret.to_jwk(private=True)]}),
    ):
        with pytest.raises(ConfigurationError) as refused:
            mix()
        assert refused.value.id == "BW111"


def test_cve_2026_48525_an_over_long_token_is_refused_before_it_is_decoded(world):
    start = time.perf_counter()
    assert refusal(world, "A" * 50_000_000) == "BW202"
    assert refusal(world, world.token(padding="x" * 20_000)) == "BW202"
    assert time.perf_counter() - start < 1.0


def test_cve_2025_61920_a_header_of_megabytes_is_refused(world):
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k-1", "x": "y" * 3_000_000}
    assert refusal(world, signed(world.key, header, world.claims())) == "BW202"


@pytest.mark.parametrize("crit", [["exp"], ["x-policy"], [], ["alg"], "b64", [1], None, {"exp": 1}])
@pytest.mark.parametrize("identifier", ["CVE-2026-32597", "CVE-2025-59420"])
def test_cve_2026_32597_and_cve_2025_59420_crit_is_refused(world, crit, identifier):
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k-1", "crit": crit, "x-policy": identifier}
    assert refusal(world, signed(world.key, header, world.claims())) == "BW212"


@pytest.mark.parametrize("issuer", ["https://as.exampl", "as.example", "h", "", "https://as.example/", ["h"]])
def test_cve_2024_53861_the_issuer_is_never_a_part_of_another(world, issuer):
    assert refusal(world, world.token(iss=issuer)) == "BW206"


def test_cve_2024_53861_neither_the_audience_nor_a_scope_is_a_part_of_another(world):
    assert refusal(world, world.token(aud="api.example")) == "BW207"
    assert "admin" not in world.verify(world.token(scope="superadmin")).scopes


def test_cve_2024_33663_an_openssh_ecdsa_key_is_no_hmac_secret():
    text = FORMS["ssh"](PUBLIC_KEYS["ec"])
    assert text.startswith(b"ecdsa-sha2-nistp256 ")
    with pytest.raises(ConfigurationError):
        SigningKey.from_secret(text)


def test_cve_2024_33664_and_cve_2025_62706_a_compressed_token_is_never_inflated(world):
    bomb = zlib.compress(b" " * 10_000_000, 9)[2:-4]
    assert len(bomb) < 10_000
    header = {"alg": "ES256", "typ": "at+jwt", "kid": "k-1", "zip": "DEF"}
    assert refusal(world, signed(world.key, header, bomb)) == "BW212"
    jwe = {"alg": "dir", "enc": "A256GCM", "zip": "DEF"}
    assert refusal(world, f"{encode(json.dumps(jwe).encode())}..AAAA.{encode(bomb)}.AAAA") == "BW202"


def test_python_jose_414_a_der_key_is_no_hmac_secret():
    with pytest.raises(ConfigurationError):
        Keyring.from_secret(FORMS["der"](PUBLIC_KEYS["rsa"]))


def test_python_jose_414_a_der_key_that_ends_in_a_line_end_is_still_seen():
    keys = (ed25519.Ed25519PrivateKey.from_private_bytes(n.to_bytes(32, "big")).public_key() for n in range(10_000))
    texts = [text for text in map(FORMS["der"], keys) if text[-1:].isspace()][:5]
    assert len(texts) == 5
    for text in texts:
        for spelling in (text, text + b"\n", b" " + text + b"\r\n", base64.b64encode(text) + b"\n"):
            with pytest.raises(ConfigurationError):
                Keyring.from_secret(spelling)


def test_python_jose_419_no_setting_leaves_the_algorithm_to_the_token(world):
    rsa_keys = Keyring.from_keys(SigningKey.generate("RS256", kid="k-1"))
    for keys in (None, rsa_keys):
        for alg in ("HS256", "HS512", "none", "dir", "RS512", "PS256", "ES384"):
            token = forged({"alg": alg, "typ": "at+jwt", "kid": "k-1"}, world.claims(), b"k-1")
            assert refusal(world, token, keys) == "BW204"


def test_cve_2024_37568_each_key_verifies_its_own_algorithm_only(world):
    jwk = SigningKey.generate("RS256", kid="r").to_jwk(private=True)
    as_rs256, as_ps256 = SigningKey.from_jwk(jwk), SigningKey.from_jwk({**jwk, "alg": "PS256"})
    token = Signer(as_ps256).sign(world.claims())
    assert refusal(world, token, Keyring.from_keys(as_rs256)) == "BW204"
    assert asyncio.run(world.verifier(Keyring.from_keys(as_ps256)).verify(token)).subject == "user-1"


@pytest.mark.parametrize("named", [True, False])
def test_cve_2026_27962_and_cve_2018_0114_a_key_in_the_header_is_never_used(world, named):
    attacker = SigningKey.generate("ES256", kid="k-1" if named else "mallory")
    header = {"alg": "ES256", "typ": "at+jwt", "jwk": attacker.to_jwk(), **({"kid": "k-1"} if named else {})}
    assert refusal(world, signed(attacker, header, world.claims())) == "BW212"
    for parameter in ("jku", "x5u", "x5c"):
        header = {"alg": "ES256", "typ": "at+jwt", parameter: "https://mallory.example/keys"}
        assert refusal(world, signed(attacker, header, world.claims())) == "BW203"


@pytest.mark.parametrize("alg", ["none", "None", "NONE", "nOnE", "none ", ""])
@pytest.mark.parametrize("keys", ["asymmetric", "symmetric"])
def test_cve_2026_28802_none_is_no_algorithm(world, alg, keys):
    ring = None if keys == "asymmetric" else Keyring.from_keys(SigningKey.generate("HS256", kid="k-1"))
    header = {"alg": alg, "typ": "at+jwt", "kid": "k-1"}
    assert refusal(world, forged(header, world.claims()), ring) == "BW204"
    unsigned = forged(header, world.claims()).rpartition(".")[0] + "."
    assert refusal(world, unsigned, ring) == "BW202"
    with pytest.raises(ConfigurationError):
        SigningKey.generate("none")


def test_cve_2026_28490_rsa1_5_keys_verify_nothing(world):
    jwk = SigningKey.generate("RS256", kid="r").to_jwk()
    with pytest.raises(ConfigurationError):
        Keyring.from_jwks({"keys": [{**jwk, "alg": "RSA1_5", "use": "enc"}]})
    assert Keyring.from_jwks({"keys": [{**jwk, "alg": "RSA1_5"}, world.key.to_jwk()]}).algorithms == {"ES256"}


def test_cve_2026_28498_an_id_token_with_whatever_hash_binding_is_no_access_token(world):
    token = world.token(typ="JWT", nonce="n", at_hash=encode(hashlib.sha256(b"x").digest()[:16]))
    assert refusal(world, token) == "BW205"


def test_cve_2026_27932_pbes2_never_costs_an_iteration(world):
    header = {"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2_000_000_000, "p2s": "AAAA"}
    start = time.perf_counter()
    assert refusal(world, f"{encode(json.dumps(header).encode())}.AAAA.AAAA.AAAA.AAAA") == "BW202"
    assert refusal(world, f"{encode(json.dumps(header).encode())}.AAAA.AAAA") in {"BW204", "BW205"}
    assert time.perf_counter() - start < 1.0


def test_cve_2025_69196_and_ghsa_c2jp_c369_7pvx_a_token_for_another_resource_is_refused(world):
    assert refusal(world, world.token(aud="https://other.example")) == "BW207"
    assert refusal(world, world.token(aud=["https://other.example", "https://third.example"])) == "BW207"
    with pytest.raises(TypeError):
        JWTVerifier(Keyring.from_keys(world.key), issuer="https://as.example")  # type: ignore[call-arg]


def test_cve_2017_15361_a_key_of_the_faulty_generator_is_refused():
    primorial = 1
    for prime in (n for n in range(2, 168) if all(n % k for k in range(2, n))):
        primorial *= prime
    residue = pow(65_537, 12_345, primorial)
    modulus = residue + primorial * (2**2047 // primorial + 2)
    modulus += primorial if modulus % 2 == 0 else 0
    with pytest.raises(ConfigurationError) as refused:
        Keyring.from_jwks({"keys": [{"kty": "RSA", "e": "AQAB", "n": encode(modulus.to_bytes(256, "big"))}]})
    assert "CVE-2017-15361" in refused.value.description


def test_cve_2020_10735_a_number_of_a_million_digits_is_not_converted(world):
    for digits in (33, 5_000, 1_000_000):
        with pytest.raises(Malformed):
            read_json(b"1" * digits)
    payload = json.dumps(world.claims()).replace("1800000600", "1" * 4_000).encode()
    assert refusal(world, signed(world.key, {"alg": "ES256", "typ": "at+jwt", "kid": "k-1"}, payload)) == "BW202"


def test_cve_2026_48523_the_algorithm_is_the_keys_whatever_the_header_says(world):
    jwk = SigningKey.generate("RS256", kid="rs").to_jwk(private=True)
    rs256, ps256 = SigningKey.from_jwk(jwk), SigningKey.from_jwk({**jwk, "kid": "ps", "alg": "PS256"})
    # Both algorithms are taken; each for its own key.
    ring = Keyring.from_keys(rs256, ps256, world.key)
    for signer, named, alg in (
        (ps256, "ps", "RS256"),
        (ps256, "rs", "RS256"),
        (rs256, "ps", "PS256"),
        (rs256, "rs", "ES256"),
    ):
        header = {"alg": alg, "typ": "at+jwt", "kid": named}
        assert refusal(world, signed(signer, header, world.claims()), ring) in {"BW203", "BW204"}
    for key in (rs256, ps256):
        header = {"alg": key.key.alg, "typ": "at+jwt", "kid": key.kid}
        assert asyncio.run(world.verifier(ring).verify(signed(key, header, world.claims()))).subject == "user-1"


def test_cve_2022_39174_and_cve_2022_39175_what_is_encrypted_for_us_was_signed_by_nobody(world):
    rsa_key, secret = SigningKey.generate("RS256", kid="k-1"), SigningKey.generate("HS256", kid="k-1")
    public = RSAKey.import_key({name: rsa_key.to_jwk()[name] for name in ("kty", "n", "e")})
    shared = OctKey.import_key({"kty": "oct", "k": secret.to_jwk(private=True)["k"]})
    claims = json.dumps(world.claims())
    made = [
        (
            rsa_key,
            jwe.encrypt_compact({"alg": "RSA-OAEP", "enc": "A128GCM", "typ": "at+jwt", "kid": "k-1"}, claims, public),
        ),
        (
            secret,
            jwe.encrypt_compact({"alg": "A256KW", "enc": "A128GCM", "typ": "at+jwt", "kid": "k-1"}, claims, shared),
        ),
    ]
    for key, token in made:
        assert token.count(".") == 4
        assert refusal(world, token, Keyring.from_keys(key)) == "BW202"
        # Nor does a part of it pass for a signed one.
        for cut in (token.rsplit(".", 2)[0], token.split(".", 2)[2]):
            assert refusal(world, cut, Keyring.from_keys(key)) in {"BW202", "BW203", "BW204", "BW212"}


def test_fastapi_cloudauth_89_no_library_without_a_keeper_verifies_tokens():
    needed = {re.split(r"[^A-Za-z0-9_-]", one)[0].lower() for one in importlib.metadata.requires("bailiwick") or []}
    assert "joserfc" in needed
    assert not needed & {"python-jose", "jose", "pyjwt", "jwt", "jwcrypto"}
