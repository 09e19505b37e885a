"""Who calls, as proved by a verified token, and what he may do."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from bailiwick.errors import ConfigurationError, InsufficientScope

from .grammar import ScopeSet
from .requirement import Allowed, Denied, Requirement, all_of, decide

if TYPE_CHECKING:
    from .catalog import Catalog
    from .held import Held

__all__ = ["Principal", "with_scopes"]

NO_CLAIMS: Mapping[str, Any] = MappingProxyType({})


class Principal:
    """Names who calls, as a verified token proved it. Immutable; its repr, its JSON and its pickle hold no token and no claims.

    A FastAPI handler may return it, and is answered what `to_dict` says. It copies as itself. A pickle, as job queues and process
    pools make one, leaves the claims and the catalog out: call `under(catalog)` on what comes out of it, to ask `has`.

    Args:
        subject: the `sub` claim: the person, or the client that acts for itself.
        scopes: the scopes that the token carries, as written in it.
        client_id: the OAuth client through which he calls, or None if the token does not say.
        issuer: the `iss` claim.
        audience: the `aud` claim, as a tuple.
        expires_at: when the token ends, in seconds since 1970-01-01 UTC, or None.
        token_id: the `jti` claim, or None.
        claims: every claim of the token, read-only.
        catalog: the catalog that decides what is covered; a guard supplies its own.
    """

    __slots__ = (
        "_bound",
        "_catalog",
        "_held",
        "audience",
        "claims",
        "client_id",
        "expires_at",
        "issuer",
        "scopes",
        "subject",
        "token_id",
    )
    subject: str
    scopes: ScopeSet
    client_id: str | None
    issuer: str
    audience: tuple[str, ...]
    expires_at: float | None
    token_id: str | None
    claims: Mapping[str, Any]
    _catalog: Catalog | None
    _held: Held | None
    _bound: Principal | None

    def __init__(
        self,
        subject: str,
        scopes: ScopeSet,
        *,
        client_id: str | None = None,
        issuer: str = "",
        audience: tuple[str, ...] = (),
        expires_at: float | None = None,
        token_id: str | None = None,
        claims: Mapping[str, Any] = NO_CLAIMS,
        catalog: Catalog | None = None,
    ) -> None:
        put = object.__setattr__
        put(self, "subject", subject)
        put(self, "scopes", scopes)
        put(self, "client_id", client_id)
        put(self, "issuer", issuer)
        put(self, "audience", audience)
        put(self, "expires_at", expires_at)
        put(self, "token_id", token_id)
        put(self, "claims", claims if isinstance(claims, MappingProxyType) else MappingProxyType(dict(claims)))
        put(self, "_catalog", catalog)
        put(self, "_held", catalog.hold(scopes) if catalog is not None else None)
        put(self, "_bound", None)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("A Principal cannot be changed.")

    def __repr__(self) -> str:
        return f"<Principal {self.subject!r} via {self.client_id!r}: {str(self.scopes)!r}>"

    def to_dict(self) -> dict[str, Any]:
        """Return what is safe to show, as JSON has it: who he is and what he may do.

        Claims are left out, which may hold whatever an issuer knows of a person, and so is the token's id: some
        issuers take the opaque token itself for it.
        """
        return {
            "subject": self.subject,
            "scopes": list(self.scopes),
            "client_id": self.client_id,
            "issuer": self.issuer,
            "audience": list(self.audience),
            "expires_at": self.expires_at,
        }

    def __copy__(self) -> Principal:
        return self

    def __deepcopy__(self, _memo: object) -> Principal:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        known = (self.client_id, self.issuer, self.audience, self.expires_at, self.token_id)
        return _unpickled, (type(self), self.subject, self.scopes, *known)

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Any) -> dict[str, Any]:
        # Only a Principal is one: what comes from a request must never become one, whatever a handler's annotation says.
        return {
            "type": "is-instance",
            "cls": cls,
            "serialization": {
                "type": "function-plain",
                "function": cls.to_dict,
                "return_schema": handler.generate_schema(dict[str, Any]),
            },
        }

    def under(self, catalog: Catalog) -> Principal:
        """The same caller, with `catalog` deciding what his scopes cover.

        The answer is remembered on this object: a verifier's cache hands out one Principal for each
        token, and its scopes are compiled to a mask once, however many requests follow.
        """
        if self._catalog is catalog:
            return self
        bound = self._bound
        if bound is not None and bound._catalog is catalog:  # noqa: SLF001 - another Principal's
            return bound
        bound = with_scopes(self, self.scopes, catalog)
        object.__setattr__(self, "_bound", bound)
        return bound

    @property
    def held(self) -> Held:
        """The compiled scopes.

        Raises:
            RuntimeError: no catalog is known; use `under(catalog)`.
        """
        if self._held is None:
            raise RuntimeError("This Principal has no catalog yet; use principal.under(catalog).")
        return self._held

    def has(self, *needed: str | Requirement) -> bool:
        """Whether he may: all of the scopes or requirements given.

        Args:
            needed: scope names, or requirements. Wildcards, implications and the superuser count.

        Raises:
            ConfigurationError: nothing was given, or a name is not catalogued: a fault of the server, and not a refusal.
        """
        return bool(self._decide(all_of(*needed)))

    def require(self, *needed: str | Requirement) -> None:
        """Refuse with 403 unless he has all of the scopes or requirements given.

        Args:
            needed: scope names, or requirements.

        Raises:
            InsufficientScope: he does not.
            ConfigurationError: nothing was given, or a name is not catalogued.
        """
        decision = self._decide(all_of(*needed))
        if isinstance(decision, Denied):
            raise InsufficientScope(
                "The token's scopes are too few for this operation.",
                required=str(decision.required),
                detail=f"{self.subject!r} lacks {str(decision.missing)!r}",
            )

    def _decide(self, requirement: Requirement) -> Allowed | Denied:
        held, catalog = self.held, self._catalog
        if catalog is None:  # `held` has refused already
            raise RuntimeError
        for name in requirement.scopes:
            if name not in catalog:
                # Who called did nothing wrong, and is told nothing of the catalog: 500, and the nearest name in the log.
                raise ConfigurationError(
                    f"The scope {name!r} is not in the catalog.{catalog.nearest(name)}", id="BW102"
                )
        return decide(requirement, held, catalog)


def _unpickled(
    kind: type[Principal],
    subject: str,
    scopes: ScopeSet,
    client_id: str | None,
    issuer: str,
    audience: tuple[str, ...],
    expires_at: float | None,
    token_id: str | None,
) -> Principal:
    """What a pickled Principal becomes."""
    return kind(
        subject,
        scopes,
        client_id=client_id,
        issuer=issuer,
        audience=audience,
        expires_at=expires_at,
        token_id=token_id,
    )


def with_scopes(caller: Principal, scopes: ScopeSet, catalog: Catalog | None = None) -> Principal:
    """The same caller with other scopes.

    Args:
        caller: who calls.
        scopes: what is left to him.
        catalog: decides what they cover; None where none is known yet.
    """
    return Principal(
        caller.subject,
        scopes,
        client_id=caller.client_id,
        issuer=caller.issuer,
        audience=caller.audience,
        expires_at=caller.expires_at,
        token_id=caller.token_id,
        claims=caller.claims,
        catalog=catalog,
    )
