"""Proof Key for Code Exchange (RFC 7636): who redeems a code is who asked for it.

S256 only, for every client. With `plain` the challenge in the browser's address is the verifier, so
whoever reads the one has the other (section 7.2); where a challenge is optional, an attacker leaves
it out (CVE-2024-22258 for confidential clients, CVE-2025-4144, CVE-2023-48228).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Final

from bailiwick.errors import Refused
from bailiwick.tokens.encoding import encode

__all__ = ["METHOD", "challenge_of", "check_challenge", "check_verifier"]

METHOD: Final = "S256"

# "code-verifier = 43*128unreserved; unreserved = ALPHA / DIGIT / "-" / "." / "_" / "~"" (section 4.1).
_VERIFIER: Final = re.compile(r"[A-Za-z0-9._~-]{43,128}")
# BASE64URL(SHA256(...)) is 43 characters, whose last carries four bits: 16 letters can end it.
_CHALLENGE: Final = re.compile(r"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]")


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a verifier (section 4.2)."""
    return encode(hashlib.sha256(verifier.encode("ascii")).digest())


def check_challenge(challenge: str | None, method: str | None) -> str:
    """Refuse an authorization request that does not bind its code.

    Args:
        challenge: `code_challenge`, None if it was not sent.
        method: `code_challenge_method`, None if it was not sent, which means "plain" (section 4.3).

    Returns:
        The challenge.

    Raises:
        Refused: invalid_request (section 4.4.1).
    """
    if challenge is None:
        raise Refused("invalid_request", "A code_challenge is required (RFC 7636).", id="BW400")
    if method != METHOD:
        # Method names are compared as they are: "s256" is another one.
        raise Refused("invalid_request", "The code_challenge_method must be S256.", id="BW400")
    if not _CHALLENGE.fullmatch(challenge):
        raise Refused("invalid_request", "The code_challenge is not a SHA-256 in base64url.", id="BW400")
    return challenge


def check_verifier(verifier: str | None, challenge: str) -> None:
    """Refuse whoever redeems a code without knowing what it was asked with.

    Args:
        verifier: `code_verifier`, None if it was not sent.
        challenge: what the code is bound to; "" for a code that is bound to nothing, which no request redeems.

    Raises:
        Refused: invalid_grant (section 4.6); invalid_request for a verifier that breaks the grammar.
    """
    if not challenge:
        raise Refused("invalid_grant", "The code is not bound to a code_challenge.", id="BW402")
    if verifier is None:
        raise Refused("invalid_grant", "The code_verifier is missing.", id="BW402")
    if not _VERIFIER.fullmatch(verifier):
        raise Refused("invalid_request", "A code_verifier has 43 to 128 unreserved characters.", id="BW400")
    if not hmac.compare_digest(challenge_of(verifier), challenge):
        raise Refused("invalid_grant", "The code_verifier does not belong to the code_challenge.", id="BW402")
