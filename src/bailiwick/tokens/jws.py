"""The compact JWS: three segments in, a header and two byte strings out; and the way back.

The library below is asked for one thing only, whether a signature fits a key. The form of the token
is read here, because the library is generous where a verifier must not be: it takes lax base64,
UTF-16, repeated members and `crit` with registered names, and refuses header parameters that RFC
7515 section 4 says to ignore.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final, NamedTuple

from bailiwick.errors import ConfigurationError, InvalidToken

from .encoding import Malformed, decode_octets, encode, read_json, write_json
from .jwk import MAX_KID
from .keys import SigningKey

__all__ = ["MAX_BYTES", "MAX_HEADER", "Envelope", "Signer", "read", "read_claims", "read_octets"]

# A token travels in one header field; servers commonly take 8 to 16 KiB of it. Bounding the text before
# anything is decoded bounds everything after (CVE-2025-61920, CVE-2026-48525).
MAX_BYTES: Final = 16_384
# A header names an algorithm, a key and a type, in some 120 bytes; this one leaves room for certificate chains' thumbprints.
# It is parsed before the signature is looked at, so it is bounded more narrowly than the claims, which are parsed after it.
MAX_HEADER: Final = 2048  # bytes, decoded
# `typ` is a media type: two names of at most 127 characters (RFC 6838 section 4.2).
MAX_TYPE: Final = 255
# Of a header that is remembered, in characters; that of an ES256 access token has about 120.
MAX_KEPT: Final = 512

_MAX_HEADER_SEGMENT: Final = -(-MAX_HEADER * 4 // 3)  # as base64url without padding

# Parameters that change what is signed or how it is read, none of which an access token needs:
# `crit` announces an extension that must be understood (RFC 7515 section 4.1.11), `b64` un-encoded
# payloads (forbidden to JWTs by RFC 7797 section 7), `zip` compression (JWE only), `jwk` a key that the
# token brings along for its own verification (CVE-2018-0114, CVE-2026-27962).
# `jku`, `x5u`, `x5c` and `x5t` only point at keys; they are ignored, never followed.
_REFUSED: Final = ("crit", "b64", "zip", "jwk")


class Envelope(NamedTuple):
    """A token that has the right form; nothing about it is verified. Its repr shows none of it.

    Args:
        alg: the algorithm that it claims.
        kid: the name of the key that it claims, or None.
        typ: its type, or None.
        signing_input: the octets that are signed.
        payload: the second segment as it was written: it is decoded, by `read_claims`, once its signature is verified.
        signature: the octets of the third segment.
    """

    alg: str
    kid: str | None
    typ: str | None
    signing_input: bytes
    payload: bytes
    signature: bytes

    def __repr__(self) -> str:
        return "Envelope()"


def read(token: str, *, max_bytes: int = MAX_BYTES) -> Envelope:
    """Take a compact JWS apart.

    Args:
        token: the text that was presented.
        max_bytes: the longest text that is looked at.

    Raises:
        InvalidToken: it or its header is over-long, it is empty, not three segments, of which the first and the last are canonical
            base64url, its header is not one JSON object with fitting types, or uses a parameter that is refused.

    Source: RFC 7515 sections 3.1 and 5.2; RFC 8725 sections 2.4 and 3.7.
    """
    if not isinstance(token, str) or not token:
        raise InvalidToken("The token is empty.")
    if len(token) > max_bytes:
        raise InvalidToken("The token is too long.", detail=f"The token has more than {max_bytes} characters.")
    try:
        octets = token.encode("ascii")
    except UnicodeEncodeError:
        raise _not_canonical("not base64url") from None
    return read_octets(octets)


def read_octets(token: bytes) -> Envelope:
    """`read` of the octets of a header, whose length was looked at.

    Args:
        token: what was presented.

    Raises:
        InvalidToken: as `read`.
    """
    segments = token.split(b".")
    # An empty payload is a JWS, though no access token: `read_claims` refuses it.
    if len(segments) != 3 or not segments[0] or not segments[2]:
        raise InvalidToken("The token is not a compact JWS of three segments.")
    header, payload, last = segments
    if len(header) > _MAX_HEADER_SEGMENT:
        raise InvalidToken("The token's header is too long.", detail=f"The header has more than {MAX_HEADER} bytes.")
    try:
        signature = decode_octets(last)
        # An issuer's tokens have one header for each key; each is read once, and long ones are not kept.
        alg, kid, typ = _read_header(header) if len(header) <= MAX_KEPT else _read_header.__wrapped__(header)
        return Envelope(alg, kid, typ, token[: -len(last) - 1], payload, signature)
    except Malformed as bad:
        raise _not_canonical(bad) from None


def _not_canonical(why: object) -> InvalidToken:
    return InvalidToken("The token is not encoded in canonical base64url.", detail=f"A segment is {why}.")


@lru_cache(maxsize=128)
def _read_header(segment: bytes) -> tuple[str, str | None, str | None]:
    """The algorithm, the key's name and the type that a header gives; a refusal is not remembered.

    Raises:
        Malformed: it is not canonical base64url.
        InvalidToken: it is no JSON object with fitting types, or uses a parameter that is refused.
    """
    header = _read_object(decode_octets(segment), "header")
    for name in _REFUSED:
        if name in header:
            raise InvalidToken(f'The token\'s header uses "{name}", which is refused.', id="BW212")
    alg = header.get("alg")
    if not isinstance(alg, str):
        raise InvalidToken("The token's header names no algorithm.", id="BW204")
    kid = _optional_text(header, "kid", MAX_KID)
    typ = _optional_text(header, "typ", MAX_TYPE)
    cty = _optional_text(header, "cty", MAX_TYPE)
    if cty is not None and cty.lower() in {"jwt", "application/jwt"}:
        raise InvalidToken("The token holds another token, which is refused.", id="BW205")  # RFC 7519 section 5.2
    return alg, kid, typ


def read_claims(payload: bytes, *, max_bytes: int | None = None) -> dict[str, Any]:
    """The claims of a token whose signature was verified.

    Args:
        payload: the second segment, as `Envelope` has it.
        max_bytes: the longest one that is looked at; None where the length of the token bounds it.

    Raises:
        InvalidToken: it is over-long, not canonical base64url, or not one JSON object, read strictly.
    """
    if max_bytes is not None and len(payload) > max_bytes:
        raise InvalidToken("The token's claims are too long.", detail=f"They have more than {max_bytes} characters.")
    try:
        octets = decode_octets(payload)
    except Malformed as bad:
        raise _not_canonical(bad) from None
    return _read_object(octets, "payload")


def _read_object(raw: bytes, part: str) -> dict[str, Any]:
    try:
        value = read_json(raw)
    except Malformed as bad:
        raise InvalidToken(f"The token's {part} cannot be read.", detail=f"The token's {part}: {bad}.") from None
    if not isinstance(value, dict):
        raise InvalidToken(f"The token's {part} is not a JSON object.")
    return value


def _optional_text(header: Mapping[str, Any], name: str, limit: int) -> str | None:
    if name not in header:
        return None
    value = header[name]
    if not isinstance(value, str) or len(value) > limit:
        raise InvalidToken(f'The "{name}" in the token\'s header is not a text of at most {limit} characters.')
    return value


class Signer:
    """Signs claims with one key.

    Args:
        key: the private key; it settles the algorithm and the key id in the header.
    """

    __slots__ = ("key",)

    def __init__(self, key: SigningKey) -> None:
        if not isinstance(key, SigningKey):
            raise ConfigurationError(f"A signer needs a SigningKey, not {type(key).__name__}.", id="BW110")
        self.key = key

    def sign(self, claims: Mapping[str, Any], *, typ: str = "at+jwt") -> str:
        """A signed token.

        Args:
            claims: what it says, as JSON has it; times in seconds since 1970-01-01 UTC. It is signed as it
                is: whether it is right is the issuer's business.
            typ: what kind of token it is (RFC 9068 section 2.1 for the default).

        Raises:
            ValueError: a claim is NaN, infinite, or text with a lone surrogate.
            TypeError: a claim has no JSON form.
        """
        header = {"alg": self.key.alg, "typ": typ, "kid": self.key.kid}
        message = f"{encode(write_json(header))}.{encode(write_json(dict(claims)))}".encode("ascii")
        return f"{message.decode('ascii')}.{encode(self.key.sign(message))}"

    def __repr__(self) -> str:
        return f"<Signer {self.key!r}>"
