"""Which tokens no longer hold, although they verify: what was revoked, as fast to ask as a dictionary.

Where the lines come from - the store beside the guard, or an authority's signed feed - is another
room's business.
"""

from __future__ import annotations

from typing import Final

from bailiwick.errors import InvalidToken
from bailiwick.scopes import Principal, ScopeSet

__all__ = ["KINDS", "Revocations"]

# What can be revoked, as the feed names it. "scope" is one scope of an authorization.
KINDS: Final = ("token", "family", "scope", "authorization", "subject", "client")


class Revocations:
    """What was revoked at one issuer. A line that ends is forgotten; nothing else is.

    It may be asked in any thread while one other adds lines.
    """

    __slots__ = ("_at", "_scopes", "_until")

    def __init__(self) -> None:
        # By kind and key: tokens issued at or before this moment are meant.
        self._at: dict[str, dict[str, float]] = {kind: {} for kind in KINDS if kind != "scope"}
        # By authorization: its withdrawn scopes, each with that moment.
        self._scopes: dict[str, dict[str, float]] = {}
        self._until: dict[tuple[str, str, str], float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def add(self, kind: str, key: str, *, at: float, until: float, scope: str = "") -> None:
        """Remember a line. Of two about the same the later moment counts, in whatever order they come.

        Args:
            kind: one of `KINDS`.
            key: the token's `jti`, or the id of the family, authorization, subject or client.
            at: tokens issued at or before this moment are meant, seconds since the epoch.
            until: when the last of them has expired anyway, seconds since the epoch.
            scope: the one scope, where `kind` is "scope".
        """
        moments, name = (self._scopes.setdefault(key, {}), scope) if kind == "scope" else (self._at[kind], key)
        moments[name] = max(at, moments.get(name, at))
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
        issued, token_id, authorization = claims.get("iat", 0), principal.token_id or "", claims.get("authz", "")
        for kind, key in (
            ("token", token_id),
            # A token's id begins with that of its family.
            ("family", token_id.rpartition(".")[0]),
            ("authorization", authorization),
            ("subject", principal.subject),
            ("client", principal.client_id or ""),
        ):
            moments = self._at[kind]
            if moments and isinstance(key, str):
                at = moments.get(key)
                if at is not None and issued <= at:
                    raise InvalidToken("The token was revoked.", detail=f"{kind} {key}", id="BW213")
        withdrawn = self._scopes.get(authorization) if isinstance(authorization, str) else None
        if not withdrawn:
            return principal
        left = [name for name in principal.scopes if name not in withdrawn or issued > withdrawn[name]]
        return principal if len(left) == len(principal.scopes) else _narrowed(principal, ScopeSet(left))


def _narrowed(principal: Principal, scopes: ScopeSet) -> Principal:
    return Principal(
        principal.subject,
        scopes,
        client_id=principal.client_id,
        issuer=principal.issuer,
        audience=principal.audience,
        expires_at=principal.expires_at,
        token_id=principal.token_id,
        claims=principal.claims,
    )
