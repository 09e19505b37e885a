"""Form in, typed request out: once, at the edge. Past this file nobody reads a form.

A repeated parameter is refused, an unknown one ignored, an empty one was not sent (RFC 6749
sections 3.1 and 3.2), and a client authenticates in one way at a time (section 2.3).
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Self
from urllib.parse import unquote_to_bytes

from bailiwick.errors import InvalidScope, InvalidToken, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.tokens.jws import read as read_jws
from bailiwick.tokens.jws import read_claims

from .records import GrantType, Origin

__all__ = [
    "ASSERTION_TYPE",
    "Certificate",
    "ClientAsked",
    "CodeAsked",
    "DeviceAsked",
    "ExchangeAsked",
    "Form",
    "IntrospectionRequest",
    "PasswordAsked",
    "Presented",
    "RefreshAsked",
    "RevocationRequest",
    "TokenRequest",
    "read_form",
    "refused_scope",
    "wire_text",
]

# The largest body is 64 KiB and the web room sees to it; these bound what one part of it may be.
MAX_FIELDS: Final = 64
MAX_VALUE: Final = 16_384
MAX_NAME: Final = 128

# RFC 8707 section 2 and RFC 8693 section 2.1 let these, and only these, be repeated.
REPEATABLE: Final = frozenset({"resource", "audience"})

_PLUS: Final = b"+"

# RFC 7523 section 2.2: the one type of assertion by which a client can say who it is.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def wire_text(text: str) -> str:
    """Make a text fit for `error_description`.

    Characters outside %x20-21 / %x23-5B / %x5D-7E become question marks: RFC 6749 section 5.2.
    """
    return "".join(c if c in " !" or "\x23" <= c <= "\x5b" or "\x5d" <= c <= "\x7e" else "?" for c in text)


def refused_scope(bad: InvalidScope) -> Refused:
    """A scope that cannot be read or granted, as the authority answers it."""
    return Refused("invalid_scope", wire_text(bad.description), id="BW405", detail=bad.detail)


def _malformed(description: str, *, detail: str | None = None) -> Refused:
    return Refused("invalid_request", wire_text(description), id="BW400", detail=detail)


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
        raise _malformed(f"The form has more than {MAX_FIELDS} fields.")
    pairs = []
    for part in parts:
        name, _, value = part.partition(b"=")
        if part:
            pairs.append((_decode(name), _decode(value)))
    return pairs


def _decode(raw: bytes) -> str:
    try:
        return unquote_to_bytes(raw.replace(_PLUS, b" ")).decode("utf-8")
    except UnicodeDecodeError as bad:
        # Latin-1 guessed for UTF-8 would turn one name into another.
        raise _malformed("The form is not UTF-8.") from bad


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
                raise _malformed(f"The request has more than {MAX_FIELDS} parameters.")
            if len(name) > MAX_NAME or len(value) > MAX_VALUE:
                raise _malformed("A parameter is too long.")
            if "\0" in name or "\0" in value:
                # No parameter of OAuth may hold one, and PostgreSQL cannot store one.
                raise _malformed("A parameter holds a NUL character.")
            if name in values and name not in REPEATABLE:
                raise _malformed(f"The parameter {name[:40]} is repeated.")
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
            raise _malformed(f"The parameter {name} is missing.")
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


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a client's TLS certificate says, as verified by the proxy in front (RFC 8705 section 2.1).

    Args:
        subject_dn: the subject's distinguished name, in the form of RFC 4514.
        san: the alternative names, each as `san_dns=...`, `san_uri=...`, `san_ip=...` or `san_email=...`.
        thumbprint: SHA-256 of the certificate's DER in base64url, as `x5t#S256` has it; "" if unknown.
    """

    subject_dn: str = ""
    san: frozenset[str] = frozenset()
    thumbprint: str = ""

    def says(self, wanted: str) -> bool:
        """Whether it says what a client's record asks for, compared as text."""
        said = {*self.san, f"subject_dn={self.subject_dn}", f"x5t#S256={self.thumbprint}"}
        return wanted.partition("=")[2] != "" and wanted in said


@dataclass(frozen=True, slots=True)
class Presented:
    """How a client says who it is.

    Args:
        client: the client id that it names.
        secret: its secret, None if it showed none.
        basic: it came in an `Authorization: Basic` header, so that a failure is answered with a challenge.
        assertion: a JWT that it signed (RFC 7523 section 2.2), None if it showed none.
        certificate: of its TLS connection, None where it has none or no proxy tells of it.
        origin: from where it says so.
    """

    client: str
    secret: str | None = field(default=None, repr=False)
    basic: bool = False
    assertion: str | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        form: Form,
        authorization: Sequence[str] = (),
        certificate: Certificate | None = None,
        origin: Origin | None = None,
    ) -> Presented:
        """Find the client's credentials: in the header or in the body, never in both.

        Args:
            form: the request's parameters.
            authorization: the values of every `Authorization` header field.
            certificate: of the TLS connection, where a trusted proxy tells of one.
            origin: from where the request came.

        Raises:
            Refused: invalid_request for two methods at once; invalid_client where none can be read.
        """
        if len(authorization) > 1:
            raise _malformed("The Authorization header is repeated.")
        came = origin or Origin()
        in_body, secret, assertion = form.get("client_id"), form.get("client_secret"), form.get("client_assertion")
        # RFC 6749 section 2.3: "The client MUST NOT use more than one authentication method in each request."
        if sum((bool(authorization), secret is not None, assertion is not None)) > 1:
            raise _malformed("The client authenticates in two ways at once.")
        if assertion is not None:
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise _malformed("The client_assertion_type is not supported.")
            return cls(in_body or _subject_of(assertion), assertion=assertion, certificate=certificate, origin=came)
        if not authorization:
            if in_body is None:
                raise Refused("invalid_client", "The client did not say who it is.", status=401, id="BW401")
            return cls(in_body, secret, certificate=certificate, origin=came)
        client, basic_secret = _read_basic(authorization[0])
        if in_body is not None and in_body != client:
            raise _malformed("The client gives two different names for itself.")
        return cls(client, basic_secret or None, basic=True, certificate=certificate, origin=came)


def _read_basic(header: str) -> tuple[str, str]:
    """Read `Basic` credentials (RFC 7617), each half form-encoded first (RFC 6749 section 2.3.1)."""
    scheme, _, encoded = header.strip(" \t").partition(" ")
    refusal = Refused("invalid_client", "The client's credentials cannot be read.", status=401, id="BW401")
    if scheme.lower() != "basic" or len(encoded) > MAX_VALUE:
        raise refusal
    try:
        raw = base64.b64decode(encoded.strip(" "), validate=True)
    except (binascii.Error, ValueError) as bad:
        raise refusal from bad
    client, colon, secret = raw.partition(b":")
    if not colon or not client:
        raise refusal
    try:
        return tuple(unquote_to_bytes(half.replace(_PLUS, b" ")).decode("utf-8") for half in (client, secret))  # type: ignore[return-value]
    except UnicodeDecodeError as bad:
        raise refusal from bad


def _subject_of(assertion: str) -> str:
    """Whom an assertion names, not yet believed: it only tells with whose keys it is to be verified."""
    try:
        named = read_claims(read_jws(assertion).payload).get("sub")
    except InvalidToken:
        named = None
    if not isinstance(named, str) or not named:
        raise Refused("invalid_client", "The client's assertion cannot be read.", status=401, id="BW401")
    return named


@dataclass(frozen=True, slots=True)
class PasswordAsked:
    """`grant_type=password` (RFC 6749 section 4.3)."""

    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientAsked:
    """`grant_type=client_credentials` (RFC 6749 section 4.4)."""


@dataclass(frozen=True, slots=True)
class RefreshAsked:
    """`grant_type=refresh_token` (RFC 6749 section 6)."""

    token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class CodeAsked:
    """`grant_type=authorization_code` (RFC 6749 section 4.1.3, RFC 7636 section 4.5)."""

    code: str = field(repr=False)
    verifier: str | None = field(repr=False)
    redirect: str | None


@dataclass(frozen=True, slots=True)
class DeviceAsked:
    """`grant_type=urn:ietf:params:oauth:grant-type:device_code` (RFC 8628 section 3.4)."""

    code: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class ExchangeAsked:
    """`grant_type=urn:ietf:params:oauth:grant-type:token-exchange` (RFC 8693 section 2.1)."""

    subject_token: str = field(repr=False)
    subject_type: str
    actor_token: str | None = field(repr=False)
    actor_type: str | None
    requested_type: str | None
    audience: tuple[str, ...]


Asked = PasswordAsked | ClientAsked | RefreshAsked | CodeAsked | DeviceAsked | ExchangeAsked

# What each grant type needs of the form. A type that is not here does not exist.
_READERS: Final[Mapping[GrantType, Callable[[Form], Asked]]] = {
    GrantType.PASSWORD: lambda form: PasswordAsked(form.need("username"), form.need("password")),
    GrantType.CLIENT_CREDENTIALS: lambda _form: ClientAsked(),
    GrantType.REFRESH_TOKEN: lambda form: RefreshAsked(form.need("refresh_token")),
    GrantType.AUTHORIZATION_CODE: lambda form: CodeAsked(
        form.need("code"), form.get("code_verifier"), form.get("redirect_uri")
    ),
    GrantType.DEVICE_CODE: lambda form: DeviceAsked(form.need("device_code")),
    GrantType.TOKEN_EXCHANGE: lambda form: ExchangeAsked(
        form.need("subject_token"),
        form.need("subject_token_type"),
        form.get("actor_token"),
        form.get("actor_token_type"),
        form.get("requested_token_type"),
        form.all("audience"),
    ),
}


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """A request to the token endpoint, read.

    Args:
        presented: who the client says it is.
        grant: the grant type.
        asked: what that grant type needs.
        scope: the scopes asked for; None if the client did not say.
        resource: the resource asked for (RFC 8707); None for the default one.
        origin: from where.
    """

    presented: Presented
    grant: GrantType
    asked: Asked
    scope: ScopeSet | None = None
    resource: str | None = None
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        authorization: Sequence[str] = (),
        origin: Origin | None = None,
        certificate: Certificate | None = None,
    ) -> TokenRequest:
        """Read a form.

        Args:
            pairs: names and values, as `read_form` gives them.
            authorization: the values of every `Authorization` header field.
            origin: from where the request came.
            certificate: of the TLS connection, where a trusted proxy tells of one.

        Raises:
            Refused: invalid_request, invalid_client, invalid_scope, invalid_target or unsupported_grant_type.
        """
        form = Form(pairs)
        presented = Presented.read(form, authorization, certificate, origin)
        named = form.need("grant_type")
        try:
            grant = GrantType(named)
            reader = _READERS[grant]
        except (ValueError, KeyError) as bad:
            raise Refused(
                "unsupported_grant_type", "The grant type is not supported.", id="BW404", detail=f"{named[:80]!a}"
            ) from bad
        return cls(presented, grant, reader(form), form.scope(), form.resource(), origin or Origin())


@dataclass(frozen=True, slots=True)
class _AboutToken:
    presented: Presented
    token: str = field(repr=False)
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        authorization: Sequence[str] = (),
        origin: Origin | None = None,
        certificate: Certificate | None = None,
    ) -> Self:
        """Read a form; arguments as for `TokenRequest.read`.

        Raises:
            Refused: invalid_request or invalid_client.
        """
        form = Form(pairs)
        return cls(Presented.read(form, authorization, certificate, origin), form.need("token"), origin or Origin())


class RevocationRequest(_AboutToken):
    """A request to the revocation endpoint (RFC 7009). `token_type_hint` is not needed: a token's form tells its type.

    Args:
        presented: who the client says it is.
        token: what to revoke.
        origin: from where.
    """

    __slots__ = ()


class IntrospectionRequest(_AboutToken):
    """A request to the introspection endpoint (RFC 7662).

    Args:
        presented: who the client says it is.
        token: what to tell about.
        origin: from where.
    """

    __slots__ = ()
