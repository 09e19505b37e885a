"""Opaque tokens: values that mean nothing, and that only the authority can look up.

Each carries 256 bits of randomness behind a prefix that names its kind, so that a value minted for
one feature is never looked up, let alone redeemed, as another (CVE-2026-4282). Only the digest of
the whole text is stored: whatever is cut off, appended or changed in case gives another digest, so
a truncated token is an unknown token (CVE-2026-27840).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from enum import StrEnum
from typing import Final

from bailiwick.errors import ConfigurationError

from .encoding import encode

__all__ = ["ENTROPY_BYTES", "Kind", "digest", "is_well_formed", "mint", "successor"]

# 256 bits: RFC 6749 section 10.10 asks for a guessing chance of at most 2^-128, better 2^-160.
ENTROPY_BYTES: Final = 32
# 32 octets are 43 characters of base64url; the last one carries four bits, so only 16 letters end a token.
_BODY: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


class Kind(StrEnum):
    """What an opaque value is good for; the text is its prefix."""

    REFRESH = "bwr_"
    CODE = "bwc_"
    DEVICE = "bwd_"
    ACCESS = "bwa_"
    SESSION = "bws_"
    REGISTRATION = "bwg_"
    REQUEST = "bwq_"
    CLIENT_SECRET = "bwk_"  # noqa: S105 - a prefix, not a secret


def mint(token_bytes: Callable[[int], bytes], kind: Kind = Kind.REFRESH) -> str:
    """Make a new opaque token of 256 bits.

    Args:
        token_bytes: the source of randomness, `secrets.token_bytes` outside of tests; it is asked for a
            number of octets.
        kind: what the token is good for.

    Raises:
        ConfigurationError: the source gave too few octets.
    """
    body = token_bytes(ENTROPY_BYTES)
    if len(body) != ENTROPY_BYTES:
        raise ConfigurationError(f"The source of randomness gave {len(body)} octets instead of {ENTROPY_BYTES}.")
    return kind + encode(body)


def is_well_formed(token: str, kind: Kind = Kind.REFRESH) -> bool:
    """Whether a text could be a token of this kind; it says nothing about whether it was ever issued.

    Args:
        token: what was presented.
        kind: what it has to be good for.
    """
    return token.startswith(kind) and _BODY.fullmatch(token, len(kind)) is not None


def digest(token: str) -> str:
    """What is stored in place of an opaque token: the SHA-256 of its whole text, 64 hexadecimal digits.

    A single fast hash is enough for 256 random bits: there is nothing to guess (which is why it is not
    good enough for passwords).

    Args:
        token: any text. Text that no token can be, lone surrogates included, has a digest too, that of no token.
    """
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def successor(secret: bytes, presented: str, *, family: str, generation: int, kind: Kind = Kind.REFRESH) -> str:
    """The token that follows `presented` in its family: the same one however often it is asked for.

    An honest client whose answer was lost asks again and gets the same successor, though only digests
    are stored. Besides the server's secret the presented token itself goes into the derivation, so that
    neither the stored digests nor the secret beside them are enough to compute anybody's token.

    Args:
        secret: the authority's own secret, at least 32 octets.
        presented: the refresh token that is being spent, its whole text.
        family: the id of the family.
        generation: the number of the successor in the family.
        kind: what the successor is good for.

    Raises:
        ConfigurationError: the secret is shorter than 32 octets.

    Source: RFC 9700 section 4.14.2 (rotation); RFC 2104 (HMAC).
    """
    if len(secret) < ENTROPY_BYTES:
        raise ConfigurationError("The secret that derives successors needs at least 32 octets.", id="BW110")
    # Each part is hashed or of fixed length, so that no two different inputs make the same message.
    message = b"".join(
        (
            b"bailiwick successor v1\0",
            kind.encode(),
            hashlib.sha256(family.encode("utf-8", "surrogatepass")).digest(),
            generation.to_bytes(8, "big"),
            hashlib.sha256(presented.encode("utf-8", "surrogatepass")).digest(),
        )
    )
    return kind + encode(hmac.digest(secret, message, "sha256"))
