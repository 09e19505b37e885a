"""Identifiers: names that cannot be guessed, but are not secrets."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable
from typing import Final

from .records import ACCOUNT_PREFIX

__all__ = [
    "TokenBytes",
    "family_of",
    "is_token_id",
    "mint_account",
    "mint_authorization",
    "mint_client",
    "mint_family",
    "mint_token_id",
]

TokenBytes = Callable[[int], bytes]

# Of a `jti`: 96 bits that nobody draws twice (2^48 tokens until it is likely), and 24 by which a slip is noticed.
RANDOM_BYTES: Final = 12
CHECK_BYTES: Final = 3
LETTERS: Final = 20


def _mint(prefix: str, token_bytes: TokenBytes) -> str:
    # 120 bits: more than RFC 9562 has in a UUID, in 20 letters of base64url and without padding.
    return prefix + base64.urlsafe_b64encode(token_bytes(15)).decode("ascii")


def mint_account(token_bytes: TokenBytes) -> str:
    """Make a person's id."""
    return _mint(ACCOUNT_PREFIX, token_bytes)


def mint_client(token_bytes: TokenBytes) -> str:
    """Make a client's id, where the operator chose none."""
    return _mint("cli_", token_bytes)


def mint_authorization(token_bytes: TokenBytes) -> str:
    """Make an authorization's id."""
    return _mint("atz_", token_bytes)


def mint_family(token_bytes: TokenBytes) -> str:
    """Make a refresh family's id."""
    return _mint("fam_", token_bytes)


def mint_token_id(token_bytes: TokenBytes, family: str | None = None) -> str:
    """Make an access token's `jti`.

    Its last letters follow from the others. Access tokens are not kept, so that nothing else could tell an operator that
    the id they typed is nobody's.

    Args:
        token_bytes: the source of randomness.
        family: the family that it comes of; it stands before a dot, so that whoever follows the
            revocation feed can tell that the token went with its family.
    """
    drawn = token_bytes(RANDOM_BYTES)
    before = f"{family}." if family else ""
    return before + base64.urlsafe_b64encode(drawn + _check_bytes(before, drawn)).decode("ascii")


def is_token_id(text: str) -> bool:
    """Whether a text can be the `jti` of an access token; one that was mistyped is not, but once in 16 million times."""
    before, dot, last = text.rpartition(".")
    if len(last) != LETTERS or not re.fullmatch(r"[A-Za-z0-9_-]*", last, re.ASCII):
        return False
    raw = base64.urlsafe_b64decode(last)
    return raw[RANDOM_BYTES:] == _check_bytes(before + dot, raw[:RANDOM_BYTES])


def family_of(token_id: str) -> str:
    """The family that a token's `jti` names, "" if it names none."""
    return token_id.rpartition(".")[0]


def _check_bytes(before: str, drawn: bytes) -> bytes:
    return hashlib.sha256(before.encode("utf-8", "surrogatepass") + drawn).digest()[:CHECK_BYTES]
