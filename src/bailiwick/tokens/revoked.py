"""Which tokens no longer hold, although they verify: what was revoked, as fast to ask as a dictionary.

Where the lines come from - the store beside the guard, or an authority's signed feed - is another
room's business.

Which tokens a line means is told by numbers. `iat` has whole seconds, and clocks differ: a token of the
very second of a revocation may be older or younger. So a token says how much of the feed there was when
its making began (`rev`), and lines with a higher number are later than the token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from bailiwick.errors import InvalidToken
from bailiwick.scopes import Principal, ScopeSet
from bailiwick.scopes.principal import with_scopes

__all__ = ["KINDS", "RESTS_ON", "SEEN", "Issued", "Revocations", "rests_on"]

# What can be revoked, as the feed names it. "scope" is one scope of an authorization.
KINDS: Final = ("token", "family", "scope", "authorization", "subject", "client")

# The claim of an access token that holds the number of the feed's newest line when its making began.
SEEN: Final = "rev"

# The claim of an exchanged token that holds the ids of what was presented for it, and of whose that was: tokens,
# people, clients. Each of them ends the exchanged token too (RFC 8693 section 5: a chain is as good as its start).
RESTS_ON: Final = "rests_on"


def rests_on(claims: Mapping[str, Any]) -> tuple[str, ...]:
    """What else a token hangs on, as it says itself; empty for one that was not exchanged."""
    named = claims.get(RESTS_ON)
    return tuple(one for one in named if isinstance(one, str)) if isinstance(named, list | tuple) else ()


@dataclass(frozen=True, slots=True)
class Issued:
    """When a token was issued, by the clock and by the feed.

    Args:
        at: its `iat`, seconds since the epoch.
        seen: its `rev`; None for one that does not say, as another issuer's.
    """

    at: float
    seen: int | None = None

    @classmethod
    def of(cls, principal: Principal) -> Issued:
        """When the token behind a principal was issued; one that does not say is older than everything."""
        at, seen = principal.claims.get("iat"), principal.claims.get(SEEN)
        if isinstance(at, bool) or not isinstance(at, int | float):
            at = float("-inf")
        return cls(at, seen if type(seen) is int else None)

    def before(self, at: float, number: int) -> bool:
        """Whether a line of the feed is later than the token, so that it means it.

        The number alone would do, but for a store that was brought back from a backup and gives its numbers
        anew: then a token of an earlier second is older all the same.

        Args:
            at: the line's moment, seconds since the epoch.
            number: its place in the feed.
        """
        if self.seen is None:
            return self.at <= at
        return self.seen < number or self.at < at // 1


class Revocations:
    """What was revoked at one issuer. A line that ends is forgotten; nothing else is.

    It may be asked in any thread while one other adds lines.
    """

    __slots__ = ("_at", "_scopes", "_until")

    def __init__(self) -> None:
        # By kind and key: the moment and the number; tokens issued before are meant.
        self._at: dict[str, dict[str, tuple[float, int]]] = {kind: {} for kind in KINDS if kind != "scope"}
        # By authorization: its withdrawn scopes, each with both.
        self._scopes: dict[str, dict[str, tuple[float, int]]] = {}
        self._until: dict[tuple[str, str, str], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, kind: str, key: str, *, at: float, until: float, number: int, scope: str = "") -> None:
        """Remember a line. Of two about the same the later one counts, in whatever order they come.

        Args:
            kind: one of `KINDS`.
            key: the token's `jti`, or the id of the family, authorization, subject or client.
            at: when it was revoked, seconds since the epoch.
            until: when the last token that is meant has expired anyway, seconds since the epoch.
            number: its place in the feed.
            scope: the one scope, where `kind` is "scope".
        """
        moments, name = (self._scopes.setdefault(key, {}), scope) if kind == "scope" else (self._at[kind], key)
        known_at, known_number = moments.get(name, (at, number))
        moments[name] = (max(at, known_at), max(number, known_number))
        line = (kind, key, scope)
        self._until[line] = max(until, self._until.get(line, until))

    def forget_before(self, now: float) -> None:
        """Drop the lines whose tokens have all expired.

        Args:
            now: seconds since the epoch.
        """
        for line in [line for line, until in self._until.items() if until <= now]:
            kind, key, scope = line
            del self._until[line]
            if kind != "scope":
                del self._at[kind][key]
                continue
            left = {name: at for name, at in self._scopes[key].items() if name != scope}
            # Replaced and not emptied: somebody may be reading it in another thread.
            if left:
                self._scopes[key] = left
            else:
                del self._scopes[key]

    def apply(self, principal: Principal) -> Principal:
        """The principal with what is left of his scopes; the same object if that is all.

        Args:
            principal: as his token proves.

        Raises:
            InvalidToken: the token was revoked, or what it hangs on (BW213).
        """
        if not self._until:
            return principal
        claims = principal.claims
        token_id, authorization = principal.token_id or "", claims.get("authz", "")
        issued: Issued | None = None
        for kind, key in (
            ("token", token_id),
            # A token's id begins with that of its family.
            ("family", token_id.rpartition(".")[0]),
            ("authorization", authorization),
            ("subject", principal.subject),
            ("client", principal.client_id or ""),
            *((kind, key) for key in rests_on(claims) for kind in self._at),
        ):
            moments = self._at[kind]
            if moments and isinstance(key, str):
                line = moments.get(key)
                if line is None:
                    continue
                issued = issued or Issued.of(principal)
                if issued.before(*line):
                    raise InvalidToken("The token was revoked.", detail=f"{kind} {key}", id="BW213")
        withdrawn = self._scopes.get(authorization) if isinstance(authorization, str) else None
        if not withdrawn:
            return principal
        issued = issued or Issued.of(principal)
        left = [name for name in principal.scopes if name not in withdrawn or not issued.before(*withdrawn[name])]
        return principal if len(left) == len(principal.scopes) else with_scopes(principal, ScopeSet(left))
