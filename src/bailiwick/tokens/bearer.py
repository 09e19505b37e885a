"""How a bearer token arrives in a request, and how a refusal leaves: RFC 6750, for every door alike.

It works on the raw header pairs of ASGI and knows no framework. A request that presents its
credentials twice is refused instead of letting the first one win, and nothing of a header is
repeated in an answer without being escaped.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from bailiwick.errors import (
    BailiwickError,
    InvalidToken,
    MissingCredentials,
    Refused,
    Unavailable,
)

__all__ = ["Answer", "Challenge", "StepUpNeeded", "bearer_token", "credentials_in", "token_of"]

#     b64token = 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"="        RFC 6750 section 2.1
B64TOKEN: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/="
SCHEME: Final = b"bearer"
BEARER: Final = b"Bearer "  # as nearly everybody writes it, in front of the token

Headers = Iterable[tuple[bytes, bytes]]


def credentials_in(headers: Headers, query_string: bytes = b"") -> bytes | Refused | None:
    """The credentials of a request: the value of its `Authorization` header.

    Args:
        headers: name and value pairs as ASGI gives them, names in lower case.
        query_string: the raw query, only to notice a token that was sent there as well.

    Returns:
        The value as it was sent; None without one; or the refusal of what was presented twice, or in two places
        (`invalid_request`, 400).

    Source: RFC 6750 section 2.
    """
    value: bytes | None = None
    for name, content in headers:
        if name == b"authorization":
            if value is not None:
                return Refused("invalid_request", "Credentials were presented more than once.", id="BW201")
            value = content
    if (
        query_string
        and value is not None
        and b"access_token=" in query_string
        and value.partition(b" ")[0].lower() == SCHEME
        and any(part.startswith(b"access_token=") for part in query_string.split(b"&"))
    ):
        return Refused("invalid_request", "Credentials were presented in two places.", id="BW201")
    return value


def bearer_token(headers: Headers, query_string: bytes = b"") -> str:
    """The bearer token of a request.

    Args:
        headers: name and value pairs as ASGI gives them, names in lower case.
        query_string: the raw query, only to notice a token that was sent there as well.

    Raises:
        MissingCredentials: there is no `Authorization` header, or it is of another scheme.
        Refused: credentials were presented twice, or in two places (`invalid_request`, 400).
        InvalidToken: the token is empty or not a b64token.

    Source: RFC 6750 sections 2 and 3.1.
    """
    credentials = credentials_in(headers, query_string)
    if isinstance(credentials, Refused):
        try:
            raise credentials
        finally:
            del credentials  # it knows this frame by now
    if credentials is None:
        raise MissingCredentials("Authentication is required.")
    return token_of(credentials)


def token_of(credentials: bytes) -> str:
    """The bearer token in the value of an `Authorization` header.

    Args:
        credentials: the value, as it was sent.

    Raises:
        MissingCredentials: it is of another scheme.
        InvalidToken: the token is empty or not a b64token.

    Source: RFC 6750 section 2.1; RFC 9110 section 11.1 (the scheme is case-insensitive).
    """
    scheme, _, rest = credentials.partition(b" ")
    if scheme.lower() != SCHEME:
        raise MissingCredentials("Authentication with a bearer token is required.")
    token = rest.strip(b" ")
    if not token:
        raise InvalidToken("The access token is empty.")
    if token.translate(None, B64TOKEN):
        raise InvalidToken("The access token is malformed.")
    return token.decode("ascii")


class StepUpNeeded(InvalidToken):
    """The token is good, but the authentication behind it is too weak or too old.

    Args:
        description: one sentence for the caller.
        acr: the authentication context classes that would do, best first.
        max_age: the greatest acceptable age of the authentication, in seconds.

    Source: RFC 9470 section 3.
    """

    code = "insufficient_user_authentication"
    default_id = "BW215"

    def __init__(self, description: str, *, acr: tuple[str, ...] = (), max_age: int | None = None) -> None:
        super().__init__(description)
        self.acr = acr
        self.max_age = max_age


@dataclass(frozen=True, slots=True)
class Answer:
    """A refusal, ready to be sent.

    Attributes:
        status: the HTTP status.
        headers: name and value pairs, names in lower case.
        body: JSON.
    """

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes

    @property
    def text_headers(self) -> dict[str, str]:
        """The headers as text, for frameworks that want them so; without the length of the body."""
        return {name.decode(): value.decode("latin-1") for name, value in self.headers if name != b"content-length"}


@dataclass(frozen=True, slots=True)
class Challenge:
    """What stays the same in every challenge of one API.

    Args:
        realm: the protection space, for `realm`.
        resource_metadata: URL of the protected resource metadata (RFC 9728 section 5.1), or None.
        disclose_scopes: whether a refusal says which scopes would have been needed.
    """

    realm: str = "api"
    resource_metadata: str | None = None
    disclose_scopes: bool = True

    def answer(self, error: BailiwickError) -> Answer:
        """The exact answer for a refusal (RFC 6750 section 3), or a plain 500 for anything else."""
        more: list[tuple[str, str]] = []
        if self.disclose_scopes and error.required:
            more.append(("scope", error.required))
        if isinstance(error, StepUpNeeded):
            if error.acr:
                more.append(("acr_values", " ".join(error.acr)))
            if error.max_age is not None:
                more.append(("max_age", str(error.max_age)))
        wait = error.retry_after if isinstance(error, Unavailable) else None
        known = error.status < 500 or wait is not None
        description = error.description if known else "Internal server error."
        return _answer(self, error.status, error.code, description, error.id, tuple(more), wait)


# Few refusals are worded differently, and many are sent: under a flood of bad tokens each is written once.
@lru_cache(maxsize=256)
def _answer(
    challenge: Challenge,
    status: int,
    code: str,
    description: str,
    name: str,
    more: tuple[tuple[str, str], ...],
    wait: float | None,
) -> Answer:
    headers: list[tuple[bytes, bytes]] = [(b"content-type", b"application/json")]
    if status in {400, 401, 403}:
        parts = [("realm", challenge.realm)]
        if code:
            parts += [("error", code), ("error_description", description)]
        parts += more
        if challenge.resource_metadata is not None:
            parts.append(("resource_metadata", challenge.resource_metadata))
        value = "Bearer " + ", ".join(f'{part}="{quoted(text)}"' for part, text in parts)
        headers.append((b"www-authenticate", value.encode("ascii")))
    if wait is not None:
        headers.append((b"retry-after", str(wait).encode()))
    headers.append((b"cache-control", b"no-store"))
    content = {"detail": description}
    if code:
        content["error"] = code
    content |= {part: text for part, text in more if part == "scope"}
    content["id"] = name
    body = json.dumps(content, separators=(",", ":")).encode()
    headers.append((b"content-length", str(len(body)).encode()))
    return Answer(status, tuple(headers), body)


def quoted(text: str) -> str:
    """Make text safe inside a quoted-string of `WWW-Authenticate`.

    error_description may not even hold an escaped quote (RFC 6750 section 3: %x20-21 / %x23-5B /
    %x5D-7E), so quotes become apostrophes, backslashes slashes, and all else that is not printable
    ASCII a question mark. A header can then be neither broken nor extended by what a caller sent.
    """
    swapped = text.replace('"', "'").replace("\\", "/")
    return "".join(char if " " <= char <= "~" else "?" for char in swapped)
