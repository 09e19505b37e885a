"""What an authorization request asks for: its parameters read, and the request as it waits for a person."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from bailiwick.errors import InvalidScope, Refused
from bailiwick.scopes import ScopeSet

from . import pkce
from .request import Form

__all__ = [
    "AuthorizationRequest",
    "ResponseMode",
    "check_echoes",
    "hint_of",
    "max_age_of",
    "mode_of",
    "prompt_of",
    "state_of",
]

# What a client may want to have back; larger ones make the address too long for some browser or proxy.
MAX_STATE: Final = 2048
MAX_NONCE: Final = 2048
MAX_HINT: Final = 256
# A thousand years in seconds: more digits are no number of seconds.
MAX_AGE_DIGITS: Final = 11

# OpenID Connect Core section 3.1.2.1. To select an account is to log in again, as somebody else perhaps.
_PROMPTS: Final = {"none": "none", "login": "login", "select_account": "login", "consent": "consent"}


class ResponseMode(Enum):
    """How the answer travels through the browser; never in a fragment, which scripts and referrers see."""

    QUERY = "query"
    FORM_POST = "form_post"


@dataclass(frozen=True, slots=True)
class AuthorizationRequest:
    """An authorization request that was checked, waiting for a person.

    It goes through the browser while the person logs in and decides, sealed by the web room; so it is
    small, plain and checked again when it comes back.

    Args:
        client: the client's id.
        redirect: where the answer goes, as it stood in the request.
        redirect_given: whether the request named it, so that redemption must too (RFC 6749 section 4.1.3).
        mode: how the answer travels.
        state: the client's own, given back as it came; None if it sent none.
        challenge: the PKCE S256 challenge.
        scope: what was asked for; None for the client's default.
        resource: the identifier of the API that is meant.
        prompt: of "none", "login" and "consent".
        max_age: seconds for which an earlier login is good enough; None for however long a session lasts.
        hint: the name that the person will probably log in with; "" if the client knows none. Not to be trusted.
        asked_at: when the request came, seconds since the epoch: a later login is a fresh one.
    """

    client: str
    redirect: str
    redirect_given: bool
    mode: ResponseMode
    state: str | None = field(repr=False)
    challenge: str
    scope: ScopeSet | None
    resource: str
    prompt: frozenset[str]
    max_age: int | None
    hint: str
    asked_at: float

    def to_dict(self) -> dict[str, Any]:
        """The request as JSON has it, for sealing."""
        return {
            "client": self.client,
            "redirect": self.redirect,
            "redirect_given": self.redirect_given,
            "mode": self.mode.value,
            "state": self.state,
            "challenge": self.challenge,
            "scope": None if self.scope is None else str(self.scope),
            "resource": self.resource,
            "prompt": sorted(self.prompt),
            "max_age": self.max_age,
            "hint": self.hint,
            "asked_at": self.asked_at,
        }

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> AuthorizationRequest:
        """Read what `to_dict` wrote.

        Args:
            kept: its members; others are an error, as from another version.

        Raises:
            Refused: invalid_request, if it is anything else.
        """
        try:
            texts = [kept[name] for name in ("client", "redirect", "challenge", "resource", "hint")]
            state, scope, max_age, asked_at = kept["state"], kept["scope"], kept["max_age"], kept["asked_at"]
            right = (
                len(kept) == len(cls.__slots__)
                and all(isinstance(text, str) for text in texts)
                and (state is None or isinstance(state, str))
                and isinstance(kept["redirect_given"], bool)
                and (max_age is None or (type(max_age) is int and max_age >= 0))
                and type(asked_at) in (int, float)
                and math.isfinite(asked_at)
                and set(kept["prompt"]) <= set(_PROMPTS.values())
            )
            if not right:
                raise ValueError  # noqa: TRY301 - one answer for whatever is wrong
            client, redirect, challenge, resource, hint = texts
            return cls(
                client,
                redirect,
                kept["redirect_given"],
                ResponseMode(kept["mode"]),
                state,
                pkce.check_challenge(challenge, pkce.METHOD),
                None if scope is None else ScopeSet.parse(scope),
                resource,
                frozenset(kept["prompt"]),
                max_age,
                hint,
                asked_at,
            )
        except (KeyError, TypeError, ValueError, AttributeError, InvalidScope) as bad:
            raise Refused("invalid_request", "The pending request cannot be read; start again.", id="BW400") from bad


def mode_of(pairs: Sequence[tuple[str, str]]) -> ResponseMode | None:
    """The response mode; None if it is none of ours."""
    values = [value for name, value in pairs if name == "response_mode" and value]
    if not values:
        return ResponseMode.QUERY
    return next((mode for mode in ResponseMode if values == [mode.value]), None)


def state_of(pairs: Sequence[tuple[str, str]]) -> str | None:
    """The state to give back: as it came, and only if it is one and of a decent size."""
    values = [value for name, value in pairs if name == "state" and value]
    return values[0] if len(values) == 1 and _is_decent(values[0], MAX_STATE) else None


def _is_decent(text: str, longest: int) -> bool:
    return len(text) <= longest and text.isprintable()


def check_echoes(form: Form) -> None:
    """Refuse what the client wants to have back, if that is more than an address can carry.

    Raises:
        Refused: invalid_request.
    """
    for name, longest in (("state", MAX_STATE), ("nonce", MAX_NONCE)):
        if not _is_decent(form.get(name) or "", longest):
            raise Refused("invalid_request", f"The {name} is too long, or holds a control character.", id="BW400")


def prompt_of(form: Form) -> frozenset[str]:
    """What `prompt` asks for, of "none", "login" and "consent"; other values are ignored.

    Raises:
        Refused: invalid_request, if "none" goes with another.
    """
    named = frozenset((form.get("prompt") or "").split())
    if "none" in named and len(named) > 1:
        raise Refused("invalid_request", "prompt=none goes with no other value.", id="BW400")
    return frozenset(_PROMPTS[name] for name in named if name in _PROMPTS)


def max_age_of(form: Form) -> int | None:
    """The seconds of `max_age`; None if it was not sent.

    Raises:
        Refused: invalid_request, if it is no number of seconds.
    """
    text = form.get("max_age")
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_AGE_DIGITS):
        raise Refused("invalid_request", "max_age is a number of seconds.", id="BW400")
    return int(text)


def hint_of(form: Form) -> str:
    """The name that the person will probably log in with; "" for what is no name."""
    hint = form.get("login_hint") or ""
    return hint if _is_decent(hint, MAX_HINT) else ""
