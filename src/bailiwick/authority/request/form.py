"""Form in, parameters out: each at most once, and none longer or stranger than OAuth has them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import unquote_to_bytes

from bailiwick.errors import InvalidScope, Refused
from bailiwick.scopes import ScopeSet

__all__ = ["MAX_FIELDS", "MAX_VALUE", "Form", "malformed", "read_form", "refused_scope", "unquote_form", "wire_text"]

# The largest body is 64 KiB and the web room sees to it; these bound what one part of it may be.
MAX_FIELDS: Final = 64
MAX_VALUE: Final = 16_384
MAX_NAME: Final = 128

# RFC 8707 section 2 and RFC 8693 section 2.1 let these, and only these, be repeated.
REPEATABLE: Final = frozenset({"resource", "audience"})


def wire_text(text: str) -> str:
    """Make a text fit for `error_description`.

    Characters outside %x20-21 / %x23-5B / %x5D-7E become question marks: RFC 6749 section 5.2.
    """
    return "".join(c if c in " !" or "\x23" <= c <= "\x5b" or "\x5d" <= c <= "\x7e" else "?" for c in text)


def refused_scope(bad: InvalidScope) -> Refused:
    """A scope that cannot be read or granted, as the authority answers it."""
    return Refused("invalid_scope", wire_text(bad.description), id="BW405", detail=bad.detail)


def malformed(description: str) -> Refused:
    """A request that cannot be read, as the authority answers it."""
    return Refused("invalid_request", wire_text(description), id="BW400")


def read_form(body: bytes) -> list[tuple[str, str]]:
    """Read an `application/x-www-form-urlencoded` body: names and values in their order.

    Args:
        body: the raw body, already bounded in size.

    Raises:
        Refused: invalid_request, if it is not UTF-8 percent-encoded (RFC 6749 appendix B) or has too many fields.
    """
    if not body:
        return []
    parts = body.split(b"&")
    if len(parts) > MAX_FIELDS:
        raise malformed(f"The form has more than {MAX_FIELDS} fields.")
    pairs = []
    for part in parts:
        name, _, value = part.partition(b"=")
        if part:
            pairs.append((_decode(name), _decode(value)))
    return pairs


def unquote_form(raw: bytes) -> str:
    """One name or value of a form as text.

    Raises:
        UnicodeDecodeError: it is not UTF-8.
    """
    return unquote_to_bytes(raw.replace(b"+", b" ")).decode("utf-8")


def _decode(raw: bytes) -> str:
    try:
        return unquote_form(raw)
    except UnicodeDecodeError as bad:
        # Latin-1 guessed for UTF-8 would turn one name into another.
        raise malformed("The form is not UTF-8.") from bad


class Form:
    """The parameters of one request, each at most once.

    Args:
        pairs: names and values, decoded, in their order.

    Raises:
        Refused: invalid_request, if a parameter is repeated or too long, or holds a NUL.
    """

    __slots__ = ("_values",)

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        values: dict[str, list[str]] = {}
        for count, (name, value) in enumerate(pairs):
            if count >= MAX_FIELDS:
                raise malformed(f"The request has more than {MAX_FIELDS} parameters.")
            if len(name) > MAX_NAME or len(value) > MAX_VALUE:
                raise malformed("A parameter is too long.")
            if "\0" in name or "\0" in value:
                # No parameter of OAuth may hold one, and PostgreSQL cannot store one.
                raise malformed("A parameter holds a NUL character.")
            if name in values and name not in REPEATABLE:
                raise malformed(f"The parameter {name[:40]} is repeated.")
            values.setdefault(name, []).append(value)
        self._values: Mapping[str, list[str]] = values

    def get(self, name: str) -> str | None:
        """The value of a parameter; None if it was not sent, or sent empty."""
        for value in self._values.get(name, ()):
            return value or None
        return None

    def all(self, name: str) -> tuple[str, ...]:
        """Every value of a parameter that may be repeated."""
        return tuple(value for value in self._values.get(name, ()) if value)

    def need(self, name: str) -> str:
        """The value of a parameter.

        Raises:
            Refused: invalid_request, if it was not sent.
        """
        value = self.get(name)
        if value is None:
            raise malformed(f"The parameter {name} is missing.")
        return value

    def scope(self) -> ScopeSet | None:
        """The `scope` parameter; None if it was not sent.

        Raises:
            Refused: invalid_scope, if it breaks the grammar of RFC 6749 section 3.3.
        """
        text = self.get("scope")
        if text is None:
            return None
        try:
            return ScopeSet.parse(text)
        except InvalidScope as bad:
            raise refused_scope(bad) from bad

    def resource(self) -> str | None:
        """The one resource that the request names (RFC 8707).

        Raises:
            Refused: invalid_target, if it names several: a token here is for one resource.
        """
        named = dict.fromkeys(self.all("resource"))
        if len(named) > 1:
            raise Refused("invalid_target", "A token is issued for one resource at a time.", id="BW410")
        return next(iter(named), None)
