"""How a client says who it is: by the header, the body, an assertion or a certificate, one of them at a time.

Nothing is believed here; `clients` verifies it.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from bailiwick.authority.records import Origin
from bailiwick.errors import InvalidToken, Refused
from bailiwick.tokens.jws import Envelope, read, read_claims

from .form import MAX_VALUE, Form, malformed, unquote_form

__all__ = ["ASSERTION_TYPE", "Assertion", "Certificate", "Disconnected", "Presented"]

# Returns once whoever sent the request has hung up.
Disconnected = Callable[[], Awaitable[None]]

# RFC 7523 section 2.2: the one type of assertion by which a client can say who it is.
ASSERTION_TYPE: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Of an assertion's claims, in characters: a name twice, an audience, a `jti` and times. They are read before the signature is
# verified where nothing but they says who signed (RFC 7521 section 4.2 has client_id as optional).
MAX_CLAIMS: Final = 8192


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


class Assertion:
    """A JWT by which a client says who it is (RFC 7523 section 2.2), each part of it read once. Nothing of it is verified.

    Args:
        text: a compact JWS; untrusted.
    """

    __slots__ = ("_claims", "_envelope", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._envelope: Envelope | None = None
        self._claims: Mapping[str, Any] | None = None

    @property
    def envelope(self) -> Envelope:
        """Its parts.

        Raises:
            InvalidToken: it is no compact JWS.
        """
        if self._envelope is None:
            self._envelope = read(self._text)
        return self._envelope

    @property
    def claims(self) -> Mapping[str, Any]:
        """What it claims.

        Raises:
            InvalidToken: it is no compact JWS, or its claims cannot be read.
        """
        if self._claims is None:
            self._claims = read_claims(self.envelope.payload, max_bytes=MAX_CLAIMS)
        return self._claims

    def __repr__(self) -> str:
        return "Assertion()"


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
        disconnected: returns once it has hung up; None where nobody can tell.
    """

    client: str
    secret: str | None = field(default=None, repr=False)
    basic: bool = False
    assertion: Assertion | None = field(default=None, repr=False)
    certificate: Certificate | None = None
    origin: Origin = field(default_factory=Origin)
    disconnected: Disconnected | None = field(default=None, compare=False, repr=False)

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
            raise malformed("The Authorization header is repeated.")
        came = origin or Origin()
        in_body, secret, assertion = form.get("client_id"), form.get("client_secret"), form.get("client_assertion")
        # RFC 6749 section 2.3: "The client MUST NOT use more than one authentication method in each request."
        if sum((bool(authorization), secret is not None, assertion is not None)) > 1:
            raise malformed("The client authenticates in two ways at once.")
        if assertion is not None:
            signed = Assertion(assertion)
            if form.get("client_assertion_type") != ASSERTION_TYPE:
                raise malformed("The client_assertion_type is not supported.")
            return cls(in_body or _subject_of(signed), assertion=signed, certificate=certificate, origin=came)
        if not authorization:
            if in_body is None:
                raise Refused("invalid_client", "The client did not say who it is.", status=401, id="BW401")
            return cls(in_body, secret, certificate=certificate, origin=came)
        client, basic_secret = _read_basic(authorization[0])
        if in_body is not None and in_body != client:
            raise malformed("The client gives two different names for itself.")
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
        return unquote_form(client), unquote_form(secret)
    except UnicodeDecodeError as bad:
        raise refusal from bad


def _subject_of(assertion: Assertion) -> str:
    """Whom an assertion names, not yet believed: it only tells with whose keys it is to be verified."""
    try:
        named = assertion.claims.get("sub")
    except InvalidToken:
        named = None
    if not isinstance(named, str) or not named:
        raise Refused("invalid_client", "The client's assertion cannot be read.", status=401, id="BW401")
    return named
