"""Identifiers: names that cannot be guessed, but are not secrets."""

from __future__ import annotations

import base64
from collections.abc import Callable

from .records import ACCOUNT_PREFIX

__all__ = ["TokenBytes", "mint_account", "mint_authorization", "mint_client", "mint_family", "mint_token_id"]

TokenBytes = Callable[[int], bytes]


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

    Args:
        token_bytes: the source of randomness.
        family: the family that it comes of; it stands before a dot, so that whoever follows the
            revocation feed can tell that the token went with its family.
    """
    return _mint(f"{family}." if family else "", token_bytes)
