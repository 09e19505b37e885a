"""The private key that signs, and the keyring by which the tokens of one issuer are verified.

What a key may do is settled when it is loaded, and never by a token: an RSA key verifies RSA
signatures and nothing else, so the question "which algorithm does the token want?" cannot turn a
public key into an HMAC secret (CVE-2022-29217). Keys that prove nothing are refused before the
first token arrives. It reads key documents but fetches none.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, Protocol, runtime_checkable

from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry

from bailiwick.errors import ConfigurationError

from .encoding import Malformed, read_json
from .jwk import ALGORITHMS, PRIVATE, Foreign, JoseKey, Key, algorithm_named, check_kid, from_secret, import_key, load
from .strength import MIN_RSA_BITS, check_variety

__all__ = ["KeySource", "Keyring", "SigningKey"]

log = logging.getLogger("bailiwick.tokens")

MAX_KEYS: Final = 256


@runtime_checkable
class KeySource(Protocol):
    """Where a verifier gets the keys of its issuer from: a `Keyring`, a JWKS address, an authority."""

    async def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """The keys that may have signed a token.

        Args:
            kid: the name that the token gives, if it gives one. Untrusted: a look-up key and nothing else.
            alg: the algorithm that the token gives; only keys that are bound to it may be returned.

        Returns:
            The candidates, few; none if no key fits.

        Raises:
            Unavailable: the keys cannot be reached, and nothing usable is known.
        """
        ...


class SigningKey:
    """A private key with its algorithm and its name. Its repr shows no key material.

    Made by `generate`, `from_jwk` or `from_secret`.

    Attributes:
        kid: its name; by default the RFC 7638 thumbprint.
        alg: its algorithm, such as "ES256".
        key: the half that verifies.
    """

    __slots__ = ("_jose", "alg", "key", "kid")
    kid: str
    alg: str
    key: Key

    def __init__(self, jose: JoseKey, key: Key) -> None:
        named = key if key.kid is not None else replace(key, kid=key.thumbprint)
        self._jose = jose
        self.key = named
        self.alg = named.alg
        self.kid = named.kid or named.thumbprint

    @classmethod
    def generate(cls, alg: str = "ES256", *, kid: str | None = None) -> SigningKey:
        """Make a new key from the system's randomness.

        Args:
            alg: the algorithm: ES256, ES384, ES512, RS256 to RS512, PS256 to PS512, EdDSA, Ed25519, HS256 to HS512.
            kid: its name; by default the RFC 7638 thumbprint.

        Raises:
            ConfigurationError: the algorithm is unknown, or the name is empty or too long.
        """
        algorithm = algorithm_named(alg)
        jose: JoseKey
        if algorithm.kty == "RSA":
            jose = RSAKey.generate_key(MIN_RSA_BITS)
        elif algorithm.kty == "EC":
            jose = ECKey.generate_key(algorithm.crv)
        elif algorithm.kty == "OKP":
            jose = OKPKey.generate_key("Ed25519")
        else:
            jose = OctKey.generate_key(algorithm.secret_bytes * 8)
        jwk: dict[str, Any] = {**jose.as_dict(private=True), "kty": algorithm.kty, "alg": alg}
        return cls.from_jwk(jwk if kid is None else {**jwk, "kid": kid})

    @classmethod
    def from_jwk(cls, jwk: Mapping[str, Any]) -> SigningKey:
        """Read a private JWK.

        Args:
            jwk: the members of RFC 7517 and 7518; `alg` binds the algorithm, `kid` names the key.

        Raises:
            ConfigurationError: it is not private, too weak, malformed, for another use, or its halves do not belong together.
        """
        try:
            key = load(jwk, operation="sign")
        except Foreign as foreign:
            raise ConfigurationError(f"The key cannot sign: {foreign}.", id="BW110") from None
        if key.symmetric:
            return cls(key.jose, key)
        if not isinstance(jwk.get("d"), str):
            raise ConfigurationError("The key has no private half, so it cannot sign.", id="BW110")
        private = {name: value for name, value in jwk.items() if name in {*key.members, *PRIVATE}}
        jose = import_key(ALGORITHMS[key.alg].kty, private)
        made = cls(jose, key)
        # Otherwise every token would be signed happily, and refused everywhere.
        if not key.verify(b"bailiwick", made.sign(b"bailiwick")):
            raise ConfigurationError("The private half of the key does not belong to its public half.", id="BW110")
        return made

    @classmethod
    def from_secret(cls, text: str | bytes, *, algorithm: str = "HS256", kid: str | None = None) -> SigningKey:
        """A secret that signs; only for the case in which one process both issues and verifies.

        Args:
            text: the secret, at least as many octets as the hash has (32 for HS256).
            algorithm: HS256, HS384 or HS512.
            kid: its name; by default one that is derived from the secret by a MAC.

        Raises:
            ConfigurationError: the secret is short, well known, or the text of a public key.
        """
        key = _typed_secret(text, algorithm, kid)
        return cls(key.jose, key)

    def sign(self, message: bytes) -> bytes:
        """The signature over `message`, as the third segment of a JWS carries it."""
        return JWSRegistry.algorithms[self.alg].sign(message, self._jose)

    def to_jwk(self, *, private: bool = False) -> dict[str, str]:
        """The key as a JWK.

        Args:
            private: with the private members, to be stored where only the authority reads.

        Raises:
            ConfigurationError: the public half of a symmetric key is asked for; there is none.
        """
        public = {"kid": self.kid, "alg": self.alg, "use": "sig"}
        if not private:
            return self.key.to_jwk()
        members = {name: str(value) for name, value in self._jose.as_dict(private=True).items()}
        return {**members, "kty": ALGORITHMS[self.alg].kty, **public}

    def __repr__(self) -> str:
        return f"<SigningKey kid={self.kid!r} alg={self.alg!r}>"


class Keyring:
    """The keys by which the tokens of one issuer are verified. Immutable.

    Symmetric and asymmetric keys never meet in one keyring: where they do, a public key is one mistake
    away from being a secret (CVE-2026-48526).

    Args:
        keys: the keys.

    Raises:
        ConfigurationError: none, too many, both kinds, or one name for different keys.
    """

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys: tuple[Key, ...] = _distinct(keys)
        if not self.keys:
            raise ConfigurationError("A keyring needs at least one key that verifies signatures.", id="BW110")
        if len({key.symmetric for key in self.keys}) > 1:
            raise ConfigurationError("Symmetric and asymmetric keys are mixed in one keyring.", id="BW111")
        self.algorithms: frozenset[str] = frozenset(key.alg for key in self.keys)
        self._named: dict[tuple[str, str], tuple[Key, ...]] = {}
        self._nameless: dict[str, tuple[Key, ...]] = {}
        for alg in self.algorithms:
            fitting = tuple(key for key in self.keys if key.alg == alg)
            self._nameless[alg] = tuple(key for key in fitting if key.kid is None)
            for name in {key.kid for key in fitting if key.kid is not None}:
                self._named[name, alg] = tuple(key for key in fitting if key.kid == name)

    @classmethod
    def from_jwks(
        cls,
        document: str | bytes | Mapping[str, Any],
        *,
        published: bool = False,
        rsa_algorithm: str = "RS256",
    ) -> Keyring:
        """Read a JWK set.

        Keys for another purpose (`use` "enc", `key_ops` without "verify", an unknown type, curve or
        algorithm) are skipped with a warning. Keys that are dangerous or malformed are refused, or
        skipped as well where somebody else published the document and cannot be told to correct it.

        Args:
            document: the text of the set, or its members.
            published: somebody else published it (`jwks_uri`): a bad key is skipped with a warning, a symmetric
                key is never taken (it is no secret any more), nor are keys that share one name and algorithm.
            rsa_algorithm: what RSA keys without an `alg` are bound to.

        Raises:
            ConfigurationError: it is no JWK set, holds a bad key (unless `published`), or no usable one.

        Source: RFC 7517 section 5; RFC 8725 sections 3.1, 3.2, 3.5.
        """
        if algorithm_named(rsa_algorithm).kty != "RSA":
            raise ConfigurationError(f"{rsa_algorithm} is not an algorithm for RSA keys.", id="BW110")
        keys: list[Key] = []
        for position, jwk in enumerate(_jwks(document)):
            try:
                key = load(jwk, operation="verify", rsa_algorithm=rsa_algorithm)
            except Foreign as foreign:
                log.warning("JWK %d is skipped: %s", position, foreign)
                continue
            except ConfigurationError as bad:
                if not published:
                    raise ConfigurationError(f"JWK {position}: {bad.description}", id=bad.id) from None
                log.warning("JWK %d is skipped: %s", position, bad.description)
                continue
            if published and key.symmetric:
                log.warning("JWK %d is skipped: a secret in a published set is no secret", position)
                continue
            if not key.symmetric and PRIVATE & jwk.keys():
                log.warning("JWK %d carries its private half; only the public half is kept", position)
            keys.append(key)
        return cls(_unambiguous(keys) if published else keys)

    @classmethod
    def from_secret(cls, text: str | bytes, *, algorithm: str = "HS256", kid: str | None = None) -> Keyring:
        """A keyring of one shared secret: only where one process both issues and verifies.

        Args:
            text: the secret, at least as many octets as the hash has (32 for HS256).
            algorithm: HS256, HS384 or HS512.
            kid: its name; without one it is tried for every token of its algorithm.

        Raises:
            ConfigurationError: the secret is short, well known, or the text of a public key.

        Source: RFC 7518 section 3.2; RFC 8725 section 3.5.
        """
        return cls([_typed_secret(text, algorithm, kid)])

    @classmethod
    def from_keys(cls, *keys: SigningKey) -> Keyring:
        """The keyring that verifies what these keys sign.

        Raises:
            ConfigurationError: none, both kinds, or one name for different keys.
        """
        return cls(key.key for key in keys)

    def public_jwks(self) -> dict[str, list[dict[str, str]]]:
        """The JWK set to publish: never a private member, never a symmetric key."""
        return {"keys": [key.to_jwk() for key in self.keys if not key.symmetric]}

    def find_now(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """The keys that may have signed a token.

        Args:
            kid: the name that the token gives, compared as it is; None if it gives none, and then every
                key of the algorithm may have.
            alg: the algorithm that the token gives.

        Returns:
            The keys of that name and algorithm; if there is none, those of the algorithm that have no name.
        """
        if kid is None:
            return tuple(key for key in self.keys if key.alg == alg)
        return self._named.get((kid, alg)) or self._nameless.get(alg, ())

    async def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """`find_now`, in the form that sources which have to fetch need as well."""
        return self.find_now(kid, alg)

    def __repr__(self) -> str:
        return f"<Keyring {', '.join(f'{key.kid!r} {key.alg}' for key in self.keys)}>"


def _distinct(keys: Iterable[Key]) -> tuple[Key, ...]:
    """The keys, each once; a name that stands for two different keys is refused."""
    seen: dict[tuple[str | None, str, str], Key] = {}
    material: dict[str, str] = {}
    for key in keys:
        mark = key.thumbprint
        if key.kid is not None and material.setdefault(key.kid, mark) != mark:
            raise ConfigurationError(f"Two different keys are named {key.kid!r}.", id="BW110")
        seen.setdefault((key.kid, key.alg, mark), key)
        if len(seen) > MAX_KEYS:
            raise ConfigurationError(f"A keyring holds at most {MAX_KEYS} keys.", id="BW110")
    return tuple(seen.values())


def _unambiguous(keys: list[Key]) -> list[Key]:
    """The keys whose names stand for one key only."""
    material: dict[str, set[str]] = {}
    for key in keys:
        if key.kid is not None:
            material.setdefault(key.kid, set()).add(key.thumbprint)
    for kid in (kid for kid, marks in material.items() if len(marks) > 1):
        log.warning("The keys named %a are skipped: the name stands for different keys", kid)
    return [key for key in keys if key.kid is None or len(material[key.kid]) == 1]


def _jwks(document: str | bytes | Mapping[str, Any]) -> list[Mapping[str, Any]]:
    if isinstance(document, str | bytes):
        try:
            document = read_json(document.encode() if isinstance(document, str) else document)
        except (Malformed, UnicodeEncodeError) as bad:
            raise ConfigurationError(f"The JWK set cannot be read: {bad}.", id="BW110") from None
    keys = document.get("keys") if isinstance(document, Mapping) else None
    if not isinstance(keys, list | tuple) or not all(isinstance(jwk, Mapping) for jwk in keys):
        raise ConfigurationError('A JWK set is an object with a list of keys as "keys".', id="BW110")
    if len(keys) > MAX_KEYS:
        raise ConfigurationError(f"A JWK set may hold at most {MAX_KEYS} keys.", id="BW110")
    return list(keys)


def _typed_secret(text: str | bytes, alg: str, kid: str | None) -> Key:
    algorithm = algorithm_named(alg)
    if algorithm.kty != "oct":
        raise ConfigurationError(f"{alg} takes a key pair, not a secret.", id="BW110")
    if not isinstance(text, str | bytes):
        raise ConfigurationError(f"A secret is text or octets, not {type(text).__name__}.", id="BW110")
    secret = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    key = from_secret(secret, algorithm, None if kid is None else check_kid(kid))
    check_variety(secret)
    return key
