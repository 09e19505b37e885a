"""One JWK: what it is for, which algorithm it is bound to, and the object that verifies with it.

The algorithm follows from the key's own type and is settled here, when the key is loaded; no token
ever chooses it.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from bailiwick.errors import ConfigurationError

from .encoding import Malformed, decode, encode, write_json
from .strength import check_coordinates, check_rsa, check_secret

__all__ = [
    "ALGORITHMS",
    "MAX_KID",
    "PRIVATE",
    "Algorithm",
    "Foreign",
    "JoseKey",
    "Key",
    "algorithm_named",
    "check_kid",
    "from_secret",
    "import_key",
    "load",
]

JoseKey = RSAKey | ECKey | OKPKey | OctKey
_KINDS: Final[Mapping[str, Callable[[dict[str, Any]], JoseKey]]] = {
    "RSA": RSAKey.import_key,
    "EC": ECKey.import_key,
    "OKP": OKPKey.import_key,
    "oct": OctKey.import_key,
}


@dataclass(frozen=True, slots=True)
class Algorithm:
    """A signature algorithm and the one type of key that it takes (RFC 7518 section 3.1, RFC 8037, RFC 9864)."""

    name: str
    kty: str
    crv: str | None = None
    secret_bytes: int = 0


ALGORITHMS: Final[Mapping[str, Algorithm]] = {
    algorithm.name: algorithm
    for algorithm in (
        Algorithm("ES256", "EC", "P-256"),
        Algorithm("ES384", "EC", "P-384"),
        Algorithm("ES512", "EC", "P-521"),
        Algorithm("RS256", "RSA"),
        Algorithm("RS384", "RSA"),
        Algorithm("RS512", "RSA"),
        Algorithm("PS256", "RSA"),
        Algorithm("PS384", "RSA"),
        Algorithm("PS512", "RSA"),
        Algorithm("EdDSA", "OKP", "Ed25519"),
        Algorithm("Ed25519", "OKP", "Ed25519"),
        # "A key of the same size as the hash output or larger MUST be used" (RFC 7518 section 3.2).
        Algorithm("HS256", "oct", secret_bytes=32),
        Algorithm("HS384", "oct", secret_bytes=48),
        Algorithm("HS512", "oct", secret_bytes=64),
    )
}
# What a key without an `alg` is bound to. For RSA a keyring may be told otherwise.
_BY_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}
# The members that identify a key (RFC 7638 section 3.2), and those that must stay at home (RFC 7518 section 6).
_PUBLIC: Final = {"RSA": ("e", "kty", "n"), "EC": ("crv", "kty", "x", "y"), "OKP": ("crv", "kty", "x"), "oct": ()}
PRIVATE: Final = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
MAX_KID: Final = 256


class Foreign(Exception):  # no fault: a key for another purpose than ours
    """The key is not for signatures that we know; RFC 7517 section 5 has such keys ignored."""


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """A key that verifies signatures of one algorithm. Its repr shows no key material.

    Args:
        kid: its name, or None.
        alg: the one algorithm that it verifies.
        jose: the library's object for it.
        members: what makes the key, as a JWK has it; for a secret the secret itself.
    """

    kid: str | None
    alg: str
    jose: JoseKey = field(repr=False)
    members: Mapping[str, str] = field(repr=False)

    def verify(self, message: bytes, signature: bytes) -> bool:
        """Whether `signature` was made over `message` by this key's private half.

        Args:
            message: the signing input, the first two segments with the dot between them.
            signature: the octets of the third segment.
        """
        try:
            return JWSRegistry.algorithms[self.alg].verify(message, signature, self.jose)
        except (JoseError, ValueError):
            # Not every malformed signature is an InvalidSignature to the libraries below.
            return False

    @property
    def symmetric(self) -> bool:
        """Whether whoever can verify can also sign."""
        return ALGORITHMS[self.alg].kty == "oct"

    @property
    def thumbprint(self) -> str:
        """What tells this key from others: the RFC 7638 thumbprint; for a secret a MAC, from which nothing follows."""
        if self.symmetric:
            return encode(hmac.digest(decode(self.members["k"]), b"bailiwick kid v1", "sha256")[:16])
        return encode(hashlib.sha256(write_json(dict(sorted(self.members.items())))).digest())

    def to_jwk(self) -> dict[str, str]:
        """The public key as a JWK (RFC 7517), for publication.

        Raises:
            ConfigurationError: the key is a secret, which has no public half.
        """
        if self.symmetric:
            raise ConfigurationError("A symmetric key has no public half and is never published.", id="BW111")
        return {**self.members, **({"kid": self.kid} if self.kid is not None else {}), "alg": self.alg, "use": "sig"}


def algorithm_named(name: str) -> Algorithm:
    """The algorithm of that name.

    Raises:
        ConfigurationError: there is none.
    """
    algorithm = ALGORITHMS.get(name) if isinstance(name, str) else None
    if algorithm is None:
        raise ConfigurationError(f"{name!a} is not a known algorithm; known are {', '.join(ALGORITHMS)}.", id="BW110")
    return algorithm


def from_secret(secret: bytes, algorithm: Algorithm, kid: str | None) -> Key:
    """A shared secret as the key that verifies.

    Raises:
        ConfigurationError: it is short, well known, or a public key.
    """
    check_secret(secret, algorithm.name, algorithm.secret_bytes)
    members = {"k": encode(secret)}
    return Key(kid, algorithm.name, import_key("oct", members), members)


def load(jwk: Mapping[str, Any], *, operation: str, rsa_algorithm: str = "RS256") -> Key:
    """One JWK as the key that verifies.

    Args:
        jwk: its members; private ones are left where they are.
        operation: "verify" or "sign": what `key_ops`, where it is given, must allow.
        rsa_algorithm: what an RSA key without `alg` is bound to.

    Raises:
        Foreign: it is for another purpose.
        ConfigurationError: it is malformed, contradicts itself or is too weak.
    """
    kty = _text(jwk, "kty")
    if kty not in _PUBLIC:
        raise Foreign(f"the key type {kty!a:.40} is unknown")
    kid = check_kid(jwk["kid"]) if jwk.get("kid") is not None else None
    _check_purpose(jwk, operation)
    crv = _text(jwk, "crv") if kty in {"EC", "OKP"} else None
    if crv is not None and crv not in _BY_CURVE:
        raise Foreign(f"the curve {crv!a:.40} is unknown")
    alg = _text(jwk, "alg") if jwk.get("alg") is not None else _default(kty, crv, rsa_algorithm)
    algorithm = ALGORITHMS.get(alg)
    if algorithm is None:
        raise Foreign(f"the algorithm {alg!a:.40} is unknown")
    if algorithm.kty != kty or algorithm.crv != crv:
        raise ConfigurationError(f"A key of type {crv or kty} cannot be used with {alg}.", id="BW110")
    if kty == "oct":
        secret = _octets(jwk, "k")
        return from_secret(secret, algorithm, kid)
    if kty == "RSA":
        check_rsa(_octets(jwk, "n"), _octets(jwk, "e"))
    else:
        check_coordinates(algorithm.crv or "", *(_octets(jwk, name) for name in _PUBLIC[kty] if name in {"x", "y"}))
    members = {name: _text(jwk, name) for name in _PUBLIC[kty]}
    return Key(kid, alg, import_key(kty, members), members)


def _default(kty: str, crv: str | None, rsa_algorithm: str) -> str:
    if crv is not None:
        return _BY_CURVE[crv]
    return rsa_algorithm if kty == "RSA" else "HS256"


def import_key(kty: str, members: Mapping[str, Any]) -> JoseKey:
    """The library's own object for a key.

    Args:
        kty: the key type.
        members: those that make the key, private ones if it is to sign. `use` and the like stay out.

    Raises:
        ConfigurationError: they make no key.
    """
    try:
        return _KINDS[kty]({**members, "kty": kty})
    except (JoseError, ValueError, TypeError, UnsupportedAlgorithm):
        # A point that is not on its curve, primes that do not make the modulus, and the like. The
        # cause is dropped, because it may quote the key.
        raise ConfigurationError(f"The {kty} key is malformed.", id="BW110") from None


def _text(jwk: Mapping[str, Any], name: str) -> str:
    value = jwk.get(name)
    if not isinstance(value, str):
        raise ConfigurationError(f'The key\'s "{name}" is missing or not text.', id="BW110")
    return value


def _octets(jwk: Mapping[str, Any], name: str) -> bytes:
    try:
        return decode(_text(jwk, name))
    except Malformed as bad:
        raise ConfigurationError(f'The key\'s "{name}" is {bad}.', id="BW110") from None


def check_kid(kid: object) -> str:
    """Return `kid` if it can name a key.

    Raises:
        ConfigurationError: it is not text, empty, or longer than 256 characters.
    """
    if not isinstance(kid, str) or not 0 < len(kid) <= MAX_KID:
        raise ConfigurationError(f"A key id is a text of 1 to {MAX_KID} characters.", id="BW110")
    return kid


def _check_purpose(jwk: Mapping[str, Any], operation: str) -> None:
    use, operations = jwk.get("use"), jwk.get("key_ops")
    if use is not None and use != "sig":
        raise Foreign("its use is not signatures")  # RFC 7517 section 4.2
    if operations is None:
        return
    if not isinstance(operations, list | tuple) or not all(isinstance(one, str) for one in operations):
        raise ConfigurationError('The key\'s "key_ops" is not a list of texts.', id="BW110")
    if operation not in operations:
        raise Foreign(f"its operations do not include {operation}")  # RFC 7517 section 4.3
