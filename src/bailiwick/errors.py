"""The error vocabulary: every refusal and every fault that Bailiwick can state.

Three texts for three readers. `code` is for programs (the RFC's word on the wire), `description`
for the caller, `detail` for the log of whoever runs the service. `id` is stable, and documented:
the same id always means the same cause, whatever the wording.

This room imports nothing; every other room may import it. Nothing here ever holds a token, a
password or a secret.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "IDS",
    "BailiwickError",
    "ConfigurationError",
    "InsufficientScope",
    "InvalidScope",
    "InvalidToken",
    "MissingCredentials",
    "Refused",
    "StoreError",
    "Unavailable",
]

IDS: Final[Mapping[str, str]] = MappingProxyType(
    {
        # BW1xx: the developer's or operator's configuration. Raised when the application starts.
        "BW100": "A setting or declaration is wrong.",
        "BW101": "A scope name breaks the grammar of RFC 6749 section 3.3.",
        "BW102": "A scope is required or listed that the catalog does not know.",
        "BW103": "A list of scopes is empty.",
        "BW104": "A string stands where a list of scopes belongs.",
        "BW105": "Implications between scopes form a cycle.",
        "BW106": "A name is declared twice.",
        "BW107": "A role names a scope that the catalog does not know.",
        "BW108": "A requirement has too many alternatives.",
        "BW110": "A key is too weak, of the wrong type, or unusable.",
        "BW111": "Keys of symmetric and asymmetric kind are mixed in one verifier.",
        "BW120": "Reachable routes have neither a requirement nor a reason to be public.",
        "BW121": "A parameter hides a guard behind an annotation that stayed a string.",
        "BW122": "A dependency tree cannot be read from its signatures.",
        "BW123": "A guard is declared in a form that the framework never runs.",
        "BW124": "The installed framework version is not supported.",
        "BW130": "A client, a person, a role or another thing that an operator named is unknown, or cannot be so.",
        # BW2xx: the access token that was presented.
        "BW200": "No credentials were presented.",
        "BW201": "Credentials were presented more than once, or in more than one place.",
        "BW202": "The token is empty, over-long or not a compact JWS.",
        "BW203": "The signature does not verify, or the key is unknown.",
        "BW204": "The algorithm is not the one that the key is bound to.",
        "BW205": "The token is not an access token (its type is another).",
        "BW206": "The token was issued by someone else.",
        "BW207": "The token is meant for another audience.",
        "BW208": "The token has expired.",
        "BW209": "The token is not valid yet, or was issued in the future.",
        "BW210": "A required claim is missing or has the wrong form.",
        "BW211": "The scope claim has the wrong form.",
        "BW212": "A header parameter is refused (crit, b64, zip, embedded keys).",
        "BW213": "The token was revoked.",
        "BW214": "The token is known to be inactive at its issuer.",
        "BW215": "The authentication behind the token is too weak or too old.",
        "BW216": "The token is bound to a key that its bearer did not prove to hold.",
        # BW3xx: who may do what.
        "BW300": "The token's scopes are too few.",
        "BW301": "The caller is not the owner, and holds no scope that would do instead.",
        "BW302": "A decision hook failed, so the request was denied.",
        "BW303": "The route is not part of the plan, so it is closed.",
        # BW4xx: answers of the authority (RFC 6749 section 5.2 and its kin).
        "BW400": "The request lacks a parameter, repeats one, or is malformed; or there is nothing at its address.",
        "BW401": "Client authentication failed.",
        "BW402": "The grant is invalid, expired, spent, or was issued to another client.",
        "BW403": "The client may not use this grant.",
        "BW404": "The grant type is not supported.",
        "BW405": "The requested scope is unknown, malformed, or nothing of it may be granted.",
        "BW406": "A refresh token was replayed; its family is revoked.",
        "BW407": "The name or the password is wrong.",
        "BW408": "The content type of the request is wrong.",
        "BW409": "The request body is too large.",
        "BW410": "The requested resource is unknown, or out of reach of what was presented (RFC 8707).",
        "BW411": "The caller may not introspect or revoke this token, or follow the revocation feed.",
        "BW412": "The resource owner or the server denied the request.",
        "BW413": "The authorization is pending; ask again later (RFC 8628).",
        "BW414": "Ask more slowly (RFC 8628).",
        "BW415": "The device code has expired (RFC 8628).",
        "BW416": "Too many failed attempts, or too many requests begun and not finished; wait before trying again.",
        "BW417": "The method is not allowed on this endpoint.",
        "BW418": "The client or its redirect URI is unknown; nothing was redirected.",
        "BW419": "The form's anti-forgery token is missing or belongs to another session.",
        "BW420": "The user must log in or consent first (prompt=none).",
        "BW421": "The page lay open too long before its form was sent.",
        "BW422": "The metadata document of a client cannot be had, or is unfit.",
        "BW423": "The request's body did not arrive in time.",
        # BW5xx: something that the service depends on.
        "BW500": "A server fault.",
        "BW501": "The issuer's keys or its introspection cannot be reached.",
        "BW502": "The store cannot be opened, written or read.",
        "BW503": "The store was written by a newer version.",
        "BW504": "Too many password checks are waiting.",
        "BW505": "The revocation feed is older than its bound.",
    }
)


class BailiwickError(Exception):
    """Anything that Bailiwick refuses, or cannot do.

    Args:
        description: one sentence for the caller; it may be sent over the wire.
        detail: what the operator's log should say; never sent. Defaults to `description`.
        id: the stable id of the cause, one of `IDS`.

    Attributes:
        code: the word on the wire (RFC 6749 section 5.2, RFC 6750 section 3.1), or "" if none.
        status: the HTTP status that belongs to it.
        required: the scopes that the operation needs, space-separated, where a challenge may name them; else "".
    """

    code: str = "server_error"
    status: int = 500
    required: str = ""
    default_id: ClassVar[str] = "BW500"

    def __init__(self, description: str, *, detail: str | None = None, id: str | None = None) -> None:
        super().__init__(description)
        self.description = description
        self.detail = detail if detail is not None else description
        self.id = id if id is not None else self.default_id

    def __str__(self) -> str:
        return f"{self.description} [{self.id}]"

    def __reduce__(self) -> tuple[Callable[..., BailiwickError], tuple[type[BailiwickError], str], dict[str, object]]:
        # Exception's own would call the class with the description alone, which `Refused` does not take;
        # an error crosses processes in pools and test runners.
        return (_restored, (type(self), self.description), self.__dict__)


def _restored(kind: type[BailiwickError], description: str) -> BailiwickError:
    return kind.__new__(kind, description)


class ConfigurationError(BailiwickError):
    """The application is declared or configured wrongly; it must not start."""

    code = "configuration_error"
    default_id = "BW100"


class InvalidScope(BailiwickError, ValueError):
    """A scope text breaks the grammar, or names what the catalog does not know (RFC 6749 3.3)."""

    code = "invalid_scope"
    status = 400
    default_id = "BW101"


class MissingCredentials(BailiwickError):
    """No credentials were presented: a challenge without an error code (RFC 6750 section 3.1)."""

    code = ""
    status = 401
    default_id = "BW200"


class InvalidToken(BailiwickError):
    """A token was presented and is not acceptable (RFC 6750 section 3.1)."""

    code = "invalid_token"
    status = 401
    default_id = "BW202"


class InsufficientScope(BailiwickError):
    """A good token that carries too few scopes (RFC 6750 section 3.1).

    Args:
        description: one sentence for the caller.
        required: all that the operation needs, space-separated; of several alternatives the smallest.
        detail: for the log.
        id: the stable id.
    """

    code = "insufficient_scope"
    status = 403
    default_id = "BW300"

    def __init__(
        self,
        description: str,
        *,
        required: str = "",
        detail: str | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(description, detail=detail, id=id)
        self.required = required


class Refused(BailiwickError):
    """An OAuth request that is answered with an error (RFC 6749 sections 4.1.2.1 and 5.2).

    Args:
        code: the error word of the RFC, such as "invalid_grant".
        description: one sentence for the caller.
        status: HTTP status; 400 unless the RFC says otherwise.
        detail: for the log.
        id: the stable id.
        retry_after: seconds until another try makes sense, where that is known.
        subject: the id of the person whom it concerns, for the journal; never sent.
        object: the id of the family or authorization that it concerns, for the journal; never sent.
        journaled: whoever raises it has written it into the journal already.
    """

    default_id = "BW400"

    def __init__(
        self,
        code: str,
        description: str,
        *,
        status: int = 400,
        detail: str | None = None,
        id: str | None = None,
        retry_after: int | None = None,
        subject: str = "",
        object: str = "",
        journaled: bool = False,
    ) -> None:
        super().__init__(description, detail=detail, id=id)
        self.code = code
        self.status = status
        self.retry_after = retry_after
        self.subject = subject
        self.object = object
        self.journaled = journaled


class Unavailable(BailiwickError):
    """Something needed for the answer cannot be reached: never "allowed", never 401.

    Args:
        description: one sentence for the caller.
        detail: for the log.
        id: the stable id.
        retry_after: seconds after which a retry makes sense.
    """

    code = "temporarily_unavailable"
    status = 503
    default_id = "BW501"

    def __init__(
        self, description: str, *, detail: str | None = None, id: str | None = None, retry_after: int = 5
    ) -> None:
        super().__init__(description, detail=detail, id=id)
        self.retry_after = retry_after


class StoreError(BailiwickError):
    """The store cannot be opened, read or written; the message says what to do about it."""

    code = "server_error"
    status = 503
    default_id = "BW502"
