"""base64url and JSON, read strictly: one text has one meaning, or none.

Python's decoders are generous: base64 skips foreign characters, and `json` takes NaN, repeated
members, UTF-16, lone surrogates and numbers of any length. Two parsers that read one token
differently are how a signed text comes to say two things, so everything that has two readings is
refused here, before anybody acts on it.
"""

from __future__ import annotations

import binascii
import json
import math
import re
from typing import Any, Final, NoReturn

__all__ = ["Malformed", "decode", "decode_octets", "encode", "read_json", "write_json"]

# Possessive, and with an end that may be missing: it matches at each quotation mark that it meets and gives nothing back. One
# that could fail would start anew at each quotation mark of an unterminated string, which takes quadratic time.
_STRINGS: Final = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)

# Real claims nest two or three deep (`cnf`, `act`, `address`); the decoder would go down until the stack ends.
MAX_DEPTH: Final = 32
# A 64-bit number has 20 digits. Converting decimal text takes quadratic time (CVE-2020-10735).
MAX_DIGITS: Final = 32


class Malformed(ValueError):
    """A text is not what its format allows. The message says why, and repeats nothing of the text."""


def encode(raw: bytes) -> str:
    """Octets as base64url without padding (RFC 7515 section 2)."""
    return binascii.b2a_base64(raw, newline=False).rstrip(b"=").translate(_TO_URL).decode("ascii")


def decode(text: str) -> bytes:
    """Octets from base64url without padding (RFC 7515 section 2).

    Raises:
        Malformed: as `decode_octets`.
    """
    try:
        octets = text.encode("ascii")
    except UnicodeEncodeError:  # which carries the text
        raise Malformed("not base64url") from None
    return decode_octets(octets)


def decode_octets(text: bytes) -> bytes:
    """`decode` of a text that came as octets.

    Raises:
        Malformed: a character outside the alphabet, padding or white space included; a length that no
            octets have; or bits set that belong to no octet, so that several texts would mean the same.
    """
    left = len(text) % 4
    if left == 1:
        raise Malformed("not base64url")
    try:
        raw = binascii.a2b_base64(text.translate(_FROM_URL) + b"=" * (-left % 4), strict_mode=True)
    except binascii.Error:
        raise Malformed("not base64url") from None
    if left and text[-1] not in (_ENDS_OF_ONE if left == 2 else _ENDS_OF_TWO):
        raise Malformed("not canonical base64url")
    return raw


# The last character stands for 6 bits, of which one octet leaves 4 unused and two octets leave 2: these
# are the characters in which they are zero.
_ENDS_OF_ONE: Final = frozenset(b"AQgw")
_ENDS_OF_TWO: Final = frozenset(b"AEIMQUYcgkosw048")
_TO_URL: Final = bytes.maketrans(b"+/", b"-_")
# The plain alphabet's own characters, and padding, become one that no decoder takes.
_FROM_URL: Final = bytes.maketrans(b"-_+/=", b"+/\0\0\0")


def read_json(raw: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        Malformed: another encoding, a byte order mark, a member named twice, NaN or an infinity, a number
            longer than 32 digits or beyond the floating-point range, a lone surrogate, more than 32 levels, or no JSON.

    Source: RFC 8259, with the choices of RFC 7493 (I-JSON).
    """
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("not UTF-8") from None
    _check_depth(text)
    try:
        value = _DECODER.decode(text)
    except Malformed:
        raise
    except ValueError:
        # The decoder's own error carries the whole text with it, into whichever log prints it.
        raise Malformed("not JSON") from None
    if "\\u" in text:
        # Strict UTF-8 holds no surrogates; only an escape can bring one in.
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise Malformed("a lone surrogate") from None
    return value


def write_json(value: Any) -> bytes:
    """A value as compact JSON in UTF-8.

    Raises:
        ValueError: NaN, an infinity, or text with a lone surrogate.
        TypeError: something that JSON has no form for.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return
    depth = 0
    for char in _STRINGS.sub("", text):
        if char in "[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise Malformed("nested too deep")
        elif char in "]}":
            depth -= 1


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise Malformed("a member is named twice")
    return members


def _integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise Malformed("a number is too long")
    return int(digits)


def _fraction(digits: str) -> float:
    if len(digits) > MAX_DIGITS:
        raise Malformed("a number is too long")
    number = float(digits)
    if not math.isfinite(number):
        raise Malformed("a number is too large")
    return number


def _constant(_name: str) -> NoReturn:
    raise Malformed("NaN or an infinity")


_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_members, parse_int=_integer, parse_float=_fraction, parse_constant=_constant
)
