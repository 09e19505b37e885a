"""Which keys prove nothing, however well they sign: the tests that a key passes when it is loaded.

Every one of them has been found in use: short RSA keys, the exponent 1, keys of a faulty generator,
points that are not on their curve, secrets copied from a tutorial, and public keys used as secrets.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import math
import re
import zlib
from collections.abc import Callable
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from bailiwick.errors import ConfigurationError

__all__ = ["MIN_RSA_BITS", "check_coordinates", "check_rsa", "check_secret", "check_variety", "estimate_bits"]

MIN_RSA_BITS: Final = 2048  # RFC 7518 section 3.3
MAX_RSA_BITS: Final = 16_384  # beyond it, checking a signature is a way to keep the processor busy
MIN_RSA_EXPONENT: Final = 65_537  # FIPS 186-5 section A.1.1: odd, and more than 2^16
MAX_RSA_EXPONENT: Final = 2**64

# The fingerprint of CVE-2017-15361 (ROCA): n is a power of 65537 modulo each of these primes. A sound
# key passes for one with a chance of about 2^-27.
_ROCA_PRIMES: Final = tuple(n for n in range(3, 168, 2) if all(n % k for k in range(3, n, 2)))

# Points of small order on edwards25519, by y: with one of them as public key, signatures exist that
# verify for every message.
_P25519: Final = 2**255 - 19
_ORDER_8: Final = (
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
)
_SMALL_ORDER: Final = frozenset({0, 1, _P25519 - 1, *(int.from_bytes(bytes.fromhex(y), "little") for y in _ORDER_8)})
_COORDINATE_BYTES: Final = {"P-256": 32, "P-384": 48, "P-521": 66, "Ed25519": 32}

# Secrets that everybody knows: they stand in tutorials, debuggers and project templates.
_KNOWN_SECRETS: Final = frozenset(
    {
        b"09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7",
        bytes.fromhex("09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"),
        b"a-string-secret-at-least-256-bits-long",
        b"a-valid-string-secret-that-is-at-least-384-bits-long",
        b"a-valid-string-secret-that-is-at-least-512-bits-long-which-is-very-long",
        b"your-256-bit-secret",
        b"your-384-bit-secret",
        b"your-512-bit-secret",
        b"secret",
        # Stood in our own README and how-to pages, and was copied from there.
        b"a secret of at least 32 bytes, from your settings",
    }
)
_PLACEHOLDER: Final = re.compile(
    rb"(?:change|replace)[ _-]?(?:me|this|it)\b|your[ _-]?(?:super[ _-]?)?(?:jwt[ _-]?)?secret|secret[ _-]?key[ _-]?here"
    rb"|django-insecure|keyboard cat"
    # What a page says of the secret, in its place.
    rb"|at[ _-]least[ _-]\d+[ _-]?(?:bytes|bits|octets|characters|chars)|from[ _-]your[ _-](?:settings|environment|config)"
    rb"|(?:insert|put|enter|paste)[ _-](?:your|a|the)[ _-]|\bexample[ _-]?secret\b|\bnot[ _-]?(?:so|very|a)[ _-]?secret\b",
    re.IGNORECASE,
)
_KEY_TEXT: Final = re.compile(
    rb"-----? ?BEGIN |\bssh-(?:rsa|dss|ed25519)[ @]|\becdsa-sha2-|\bsk-(?:ssh|ecdsa)-|\"(?:kty|keys)\"\s*:"
)
MIN_DISTINCT_OCTETS: Final = 8
# A word of a list of 2,048, as phrases for wallets are made of (BIP 39); prose has fewer bits for each.
_WORD_BITS: Final = 11.0
_WORD: Final = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{4,}")
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")
# What somebody may have drawn each character from.
_ALPHABETS: Final = ("[0-9]", "[a-z]", "[A-Z]")
_OTHER_CHARACTERS: Final = 33  # of printable ASCII


def check_rsa(modulus: bytes, exponent: bytes) -> None:
    """Refuse an RSA key that is too short, has a bad exponent, or comes from a faulty generator.

    Args:
        modulus: n, big-endian.
        exponent: e, big-endian.

    Raises:
        ConfigurationError: it is.
    """
    n, e = int.from_bytes(modulus, "big"), int.from_bytes(exponent, "big")
    if not MIN_RSA_BITS <= n.bit_length() <= MAX_RSA_BITS:
        raise ConfigurationError(
            f"An RSA key needs {MIN_RSA_BITS} to {MAX_RSA_BITS} bits; this one has {n.bit_length()}.", id="BW110"
        )
    if n % 2 == 0:
        raise ConfigurationError("The RSA modulus is even.", id="BW110")
    if e % 2 == 0 or not MIN_RSA_EXPONENT <= e < MAX_RSA_EXPONENT:
        raise ConfigurationError(
            "The RSA exponent must be odd, at least 65537 and below 2^64; with e = 1 every message is its own signature.",
            id="BW110",
        )
    if all(_is_power_of_65537(n % prime, prime) for prime in _ROCA_PRIMES):
        raise ConfigurationError("The RSA key comes from the faulty generator of CVE-2017-15361 (ROCA).", id="BW110")


def _is_power_of_65537(residue: int, prime: int) -> bool:
    power = 1
    for _ in range(prime):
        if power == residue:
            return True
        power = power * 65_537 % prime
    return False


def check_coordinates(crv: str, *coordinates: bytes) -> None:
    """Refuse coordinates of the wrong length (RFC 7518 section 6.2.1.2) and Ed25519 points of small order.

    Whether a point is on its curve is left to the library that imports it.

    Raises:
        ConfigurationError: they are.
    """
    if any(len(coordinate) != _COORDINATE_BYTES[crv] for coordinate in coordinates):
        raise ConfigurationError(f"A coordinate of the key has the wrong length for {crv}.", id="BW110")
    if crv == "Ed25519" and (int.from_bytes(coordinates[0], "little") & (2**255 - 1)) % _P25519 in _SMALL_ORDER:
        raise ConfigurationError("The Ed25519 key is a point of small order.", id="BW110")


def check_secret(secret: bytes, alg: str, least: int) -> None:
    """Refuse a secret that is short, that everybody knows, or that is a public key.

    Args:
        secret: the octets.
        alg: the algorithm, for the message.
        least: how many octets the algorithm needs.

    Raises:
        ConfigurationError: it is. The message never repeats it.
    """
    if secret in _KNOWN_SECRETS or _PLACEHOLDER.search(secret):
        raise ConfigurationError(
            "The secret is one that everybody knows; make one with `openssl rand -hex 32`.", id="BW110"
        )
    if len(secret) < least:
        raise ConfigurationError(
            f"{alg} needs a secret of at least {least} octets; this one has {len(secret)}.",
            id="BW110",
        )
    if _is_public(secret):
        raise ConfigurationError(
            "A public key, or another key's text, stands where a secret belongs; anybody could sign with it.",
            id="BW110",
        )


def check_variety(secret: bytes) -> None:
    """Refuse a secret that somebody typed by holding one key down. Not for generated ones, which may be anything.

    Raises:
        ConfigurationError: it holds fewer than eight different octets.
    """
    if len(set(secret)) < MIN_DISTINCT_OCTETS:
        raise ConfigurationError(
            "The secret repeats a few characters; make one with `openssl rand -hex 32`.", id="BW110"
        )


def estimate_bits(secret: str) -> float:
    """How hard a secret is to guess at most, in bits; for one of 128 bits or more there is nothing to guess.

    It errs on the low side: what looks like a word counts as one of a list, a word that comes again counts once, and
    nothing counts for more than the bits into which DEFLATE packs it, so that repeating adds little. Random hexadecimal
    digits, and base64 of 24 octets or more, are taken for what they are.

    Args:
        secret: printable ASCII.
    """
    if 0 < (period := (secret + secret).find(secret, 1)) < len(secret):
        # One text again and again: the text, and how often.
        return estimate_bits(secret[:period]) + math.log2(len(secret) / period)
    packed = 8.0 * len(zlib.compress(secret.encode("utf-8", "surrogatepass"), 9, wbits=-15))
    if _HEX.fullmatch(secret) and not secret.isdecimal():
        return min(4.0 * len(secret), packed)
    rest, _ = _WORD.subn("", secret)
    words = set(map(str.lower, _WORD.findall(secret)))
    drawn = sum(26 if "z" in alphabet.lower() else 10 for alphabet in _ALPHABETS if re.search(alphabet, secret))
    if not secret.isalnum():
        drawn += _OTHER_CHARACTERS
    # What stands between words is chosen once.
    count = sum(map(str.isalnum, rest)) + len({char for char in rest if not char.isalnum()})
    of_rest = count * math.log2(drawn or 1)
    return min(of_rest + sum(min(_WORD_BITS, math.log2(26) * len(word)) for word in words), packed)


def _is_public(secret: bytes) -> bool:
    """Whether the octets are a key or certificate in PEM, DER, SSH or JWK form, or base64 of one."""
    if _KEY_TEXT.search(secret):
        return True
    forms = [secret.strip(), _der(secret)]
    with contextlib.suppress(binascii.Error):  # not base64, so nothing is hidden in it
        forms.append(_der(base64.b64decode(b"".join(secret.split()), validate=True)))
    return any(_parses(loader, form) for form in forms for loader in _LOADERS)


def _der(raw: bytes) -> bytes:
    """The DER value at the beginning, as long as its header says.

    A line end that follows must not hide it; nor can one be stripped, because a key may end in the same octet.
    """
    raw = raw.lstrip()
    size = raw[1] if len(raw) > 1 else 0
    if size < 0x80:
        return raw[: 2 + size]
    more = size - 0x80
    return raw[: 2 + more + int.from_bytes(raw[2 : 2 + more], "big")]


_LOADERS: Final[tuple[Callable[[bytes], object], ...]] = (
    serialization.load_der_public_key,
    x509.load_der_x509_certificate,
    lambda raw: serialization.load_der_private_key(raw, None),
    serialization.load_pem_public_key,
    serialization.load_ssh_public_key,
)


def _parses(loader: Callable[[bytes], object], raw: bytes) -> bool:
    try:
        loader(raw)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return False
    return True
