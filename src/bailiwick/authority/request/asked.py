"""What is asked of the token endpoint: each grant type's own part of the form, and what all of them share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from bailiwick.authority.records import GrantType, Origin
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet

from .form import Form
from .presented import Certificate, Presented

__all__ = ["ClientAsked", "CodeAsked", "DeviceAsked", "ExchangeAsked", "PasswordAsked", "RefreshAsked", "TokenRequest"]


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
