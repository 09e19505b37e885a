"""What the claims of an access token must say (RFC 9068 section 4), and the Principal that they prove.

It looks only at claims whose signature was verified. Nothing is coerced: a claim of another type than
the RFC gives it is a refusal, because a library that treats `exp: 0` as "unset" or `iss: ["a"]` as
"a" answers a question that nobody asked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

from bailiwick.errors import ConfigurationError, InvalidScope, InvalidToken
from bailiwick.scopes import Principal, ScopeSet

__all__ = ["ALWAYS_REQUIRED", "RFC_9068", "ClaimRules"]

# "The following claims ... REQUIRED: iss, exp, aud, sub, client_id, iat, jti" (RFC 9068 section 2.2).
RFC_9068: Final = ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")
# Without these there is nobody to identify, nobody who vouches, or no end to it: no setting turns them off.
ALWAYS_REQUIRED: Final = ("iss", "exp", "aud", "sub")

# 9999-12-31T23:59:59Z, the last second that the calendar of most libraries has. What lies beyond is a
# mistake, such as milliseconds for seconds, or an attack on whoever computes with it.
LATEST: Final = 253_402_300_799
# "usually no more than a few minutes" (RFC 7519 section 4.1.4).
MAX_LEEWAY: Final = 300.0
# Control characters, and the surrogate and non-character ranges, in a name: PostgreSQL's text cannot hold
# NUL, and a log line can be split by the others.
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
SHOWN: Final = 200


class ClaimRules:
    """The rules that one verifier applies to claims.

    Args: those of `JWTVerifier`, which documents them.

    Raises:
        ConfigurationError: one of them is empty, of the wrong type or out of range.
    """

    def __init__(
        self,
        *,
        issuer: str,
        audience: str | Sequence[str],
        leeway: float,
        scope_claim: str,
        client_claim: str,
        types: Collection[str] | None,
        required: Collection[str],
    ) -> None:
        self.issuer = _name("issuer", issuer)
        self.audience = _names("audience", [audience] if isinstance(audience, str) else audience)
        if not _is_number(leeway) or not 0 <= leeway <= MAX_LEEWAY:
            raise ConfigurationError(f"leeway is a number of seconds from 0 to {MAX_LEEWAY:.0f}.")
        self.leeway = float(leeway)
        self.scope_claim = _name("scope_claim", scope_claim)
        self.client_claim = _name("client_claim", client_claim)
        self.types = None if types is None else frozenset(map(_media_type, _names("types", types)))
        self.required = tuple(dict.fromkeys((*ALWAYS_REQUIRED, *_names("required", required, empty=True))))

    def check_type(self, typ: str | None) -> None:
        """Refuse a token of another kind, such as an ID token or a logout token (RFC 8725 section 3.11).

        Args:
            typ: the `typ` of the header, or None.

        Raises:
            InvalidToken: it is none of the types that are taken.
        """
        if self.types is not None and (typ is None or _media_type(typ) not in self.types):
            raise InvalidToken(
                "The token is not an access token.", detail=f"The token's typ is {_shown(typ)}.", id="BW205"
            )

    def read(self, claims: Mapping[str, Any], now: float) -> Principal:
        """Check every claim and say who calls.

        Args:
            claims: the verified claims.
            now: the time, in seconds since 1970-01-01 UTC.

        Raises:
            InvalidToken: a claim is missing, of the wrong form, or says that the token is not for us or not for now.
        """
        for name in self.required:
            if claims.get(name) is None:
                raise InvalidToken(f'The token lacks the claim "{name}".', id="BW210")
        self._check_issuer(claims["iss"])
        audience = self._check_audience(claims["aud"])
        expires_at = self._check_times(claims, now)
        subject = _identifier(claims, "sub")
        client_id = _identifier(claims, self.client_claim) if self.client_claim in claims else None
        token_id = _identifier(claims, "jti") if "jti" in claims else None
        if "cnf" in claims:
            # Presented as a bearer token, a bound token is a stolen one (RFC 9449 section 7.2, RFC 8705 section 3).
            raise InvalidToken("The token is bound to a key, which nobody has proved to hold.", id="BW216")
        return Principal(
            subject,
            self._scopes(claims),
            client_id=client_id,
            issuer=self.issuer,
            audience=audience,
            expires_at=expires_at,
            token_id=token_id,
            claims=_frozen(claims),
        )

    def _check_issuer(self, issuer: object) -> None:
        # Text against text, whole: a `str` is also a sequence, and `in` finds parts of it (CVE-2024-53861).
        if not isinstance(issuer, str) or issuer != self.issuer:
            raise InvalidToken(
                "The token was issued by someone else.",
                detail=f"iss is {_shown(issuer)}, expected {self.issuer!r}.",
                id="BW206",
            )

    def _check_audience(self, value: object) -> tuple[str, ...]:
        audience = [value] if isinstance(value, str) else value
        if not isinstance(audience, list) or not all(isinstance(one, str) and one for one in audience):
            raise InvalidToken('The claim "aud" is neither text nor a list of texts.', id="BW210")
        if not any(expected in audience for expected in self.audience):
            raise InvalidToken(
                "The token is meant for another audience.",
                detail=f"aud is {_shown(value)}, expected {' or '.join(map(repr, self.audience))}.",
                id="BW207",
            )
        return tuple(audience)

    def _check_times(self, claims: Mapping[str, Any], now: float) -> float:
        expires_at = _date(claims, "exp")
        # "on or after which the JWT MUST NOT be accepted" (RFC 7519 section 4.1.4).
        if now >= expires_at + self.leeway:
            raise InvalidToken("The token has expired.", detail=f"exp was {now - expires_at:.0f} s ago.", id="BW208")
        if "nbf" in claims and now < _date(claims, "nbf") - self.leeway:
            raise InvalidToken("The token is not valid yet.", id="BW209")
        if "iat" in claims and now < _date(claims, "iat") - self.leeway:
            raise InvalidToken("The token was issued in the future.", id="BW209")
        return expires_at

    def _scopes(self, claims: Mapping[str, Any]) -> ScopeSet:
        # One claim, the one that is configured: uniting several lets whoever controls the weakest of
        # them decide. A token without it proves who calls, and holds no scopes.
        if self.scope_claim not in claims:
            return ScopeSet()
        try:
            return ScopeSet.from_claim(claims[self.scope_claim])
        except InvalidScope as bad:
            raise InvalidToken(
                "The token's scope claim has the wrong form.", detail=bad.description, id="BW211"
            ) from None


def _date(claims: Mapping[str, Any], name: str) -> float:
    """A NumericDate (RFC 7519 section 2): a number, and neither `true` nor text that looks like one."""
    value = claims[name]
    if not _is_number(value) or not 0 <= value <= LATEST:
        raise InvalidToken(f'The claim "{name}" is not a time in seconds since 1970.', id="BW210")
    return float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _identifier(claims: Mapping[str, Any], name: str) -> str:
    value = claims[name]
    if not isinstance(value, str) or not value or _CONTROL.search(value):
        raise InvalidToken(f'The claim "{name}" is not a text without control characters.', id="BW210")
    return value


def _media_type(typ: str) -> str:
    # "at+jwt" and "application/at+jwt" are the same type, in whatever case (RFC 7515 section 4.1.9, RFC 9068 section 4).
    return typ.lower().removeprefix("application/")


def _frozen(value: Any) -> Any:
    """The claims, unchangeable all the way down: one cached Principal answers many requests."""
    if isinstance(value, Mapping):
        return MappingProxyType({name: _frozen(inner) for name, inner in value.items()})
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    return value


def _shown(value: object) -> str:
    text = ascii(value)
    return text if len(text) <= SHOWN else text[:SHOWN] + "..."


def _name(setting: str, value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"{setting} must be a text that is not empty.")
    return value


def _names(setting: str, values: Collection[str], *, empty: bool = False) -> tuple[str, ...]:
    if isinstance(values, str | bytes) or not isinstance(values, Collection):
        raise ConfigurationError(f"{setting} takes a list of texts, not {type(values).__name__}.")
    if not values and not empty:
        raise ConfigurationError(f"{setting} must not be empty.")
    return tuple(_name(setting, value) for value in values)
