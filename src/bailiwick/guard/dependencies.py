"""What the doors have in common whose frameworks run dependencies: declaring a requirement as one of them."""

import logging
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any, ClassVar, Final, Generic, TypeVar

from bailiwick.errors import ConfigurationError
from bailiwick.graph import StepUp
from bailiwick.guard.guard import Guard
from bailiwick.guard.policy import OnExpiry, Public, as_requirement, check_step_up, closes_on_expiry, step_up_of
from bailiwick.scopes import Ownership, Principal, Requirement, Rule, all_of, any_of

__all__ = ["DOCUMENTATION", "DeclaringGuard", "ScopeDependencyBase", "endpoints_of", "is_uncalled"]

log = logging.getLogger("bailiwick.guard")

DOCUMENTATION: Final = "API documentation"
KEPT: Final = 4096


def endpoints_of(
    verifier: object, token_url: str | None, authorization_url: str | None
) -> tuple[str | None, str | None]:
    """Where clients get tokens, for the OpenAPI document.

    Args:
        verifier: says so of itself where it belongs to an authority in this process.
        token_url: what the guard was told, or None.
        authorization_url: what the guard was told, or None.
    """
    if token_url is not None or authorization_url is not None:
        return token_url, authorization_url
    said = getattr(verifier, "token_url", None), getattr(verifier, "authorization_url", None)
    return said if all(isinstance(one, str) for one in said) else (None, None)


_DECLARATIONS: Final = frozenset({"optional", "owner_or", "public", "require_scope", "requires"})


def is_uncalled(thing: Any) -> bool:
    """Whether something is `guard.requires` or one of its like itself, and not what it makes.

    Args:
        thing: what stands where a dependency belongs.
    """
    return isinstance(getattr(thing, "__self__", None), Guard) and getattr(thing, "__name__", "") in _DECLARATIONS


class ScopeDependencyBase:
    """A requirement as a dependency. Equal by value.

    Attributes:
        guard: whose it is.
        requirement: the scopes, or None where any valid token will do.
        optional: whether the caller may be anonymous.
        step_up: how strong and how recent the authentication must be (RFC 9470), or None.
        close_on_expiry: whether a long response ends with the token.
        owner: what is needed to touch what belongs to others, or None where that makes no difference.
    """

    guard: Any
    requirement: Requirement | None
    optional: bool
    step_up: StepUp | None
    close_on_expiry: bool
    owner: Requirement | None

    def _declare(
        self,
        guard: Any,
        requirement: Requirement | None,
        *,
        optional: bool = False,
        step_up: StepUp | None = None,
        close_on_expiry: bool = False,
        owner: Requirement | None = None,
    ) -> None:
        self.guard = guard
        self.requirement = requirement
        self.optional = optional
        self.step_up = step_up
        self.close_on_expiry = close_on_expiry
        self.owner = owner

    def _value(self) -> tuple[Any, ...]:
        return (self.guard, self.requirement, self.optional, self.step_up, self.close_on_expiry, self.owner)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ScopeDependencyBase) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    def __repr__(self) -> str:
        return f"{'optional' if self.optional else 'requires'}({self.requirement!r})"

    def check(self, caller: Principal) -> Principal | Ownership:
        """Insist on the requirement, and hand out what the handler asked for.

        Args:
            caller: who was verified.

        Raises:
            BailiwickError: the refusal.
        """
        if self.requirement is not None:
            caller.require(self.requirement)
        if self.step_up is not None:
            check_step_up(self.step_up, caller, self.guard.now())
        return self.supply(caller)

    def supply(self, caller: Principal) -> Principal | Ownership:
        """What the handler's parameter is given.

        Args:
            caller: who was let through.
        """
        return Ownership(caller, self.owner) if self.owner is not None else caller


Declaration = TypeVar("Declaration")


class DeclaringGuard(Guard, Generic[Declaration]):
    """Declares requirements as dependencies of a framework; `Declaration` is the framework's form of one."""

    # Whether any guard of this process was given an application: a second guard on a route need not be.
    _any_protects: ClassVar[bool] = False
    _has_warned = False

    @cached_property
    def _rules(self) -> dict[tuple[str, ...], Rule]:
        return {}

    @cached_property
    def _made(self) -> dict[tuple[Any, ...], Declaration]:
        return {}

    @abstractmethod
    def _declaration(
        self,
        requirement: Requirement | None,
        *,
        optional: bool = False,
        step_up: StepUp | None = None,
        close_on_expiry: bool = False,
        owner: Requirement | None = None,
    ) -> Declaration:
        """Return a requirement in the framework's form; the arguments are those of `ScopeDependencyBase`."""

    def _note_protection(self) -> None:
        DeclaringGuard._any_protects = True

    def _warn_unprotected(self) -> None:
        """Say once that nobody called `protect`: what declares nothing is open, and a refusal comes after the body is read."""
        if not (self._has_warned or DeclaringGuard._any_protects):
            self._has_warned = True
            log.warning(
                "no application was given to guard.protect(app): routes that declare nothing are open, and requests are refused "
                "only after their bodies were read"
            )

    def requires(
        self,
        *scopes: str | Requirement,
        acr: str | Sequence[str] = (),
        max_age: int | None = None,
        on_expiry: OnExpiry | None = None,
    ) -> Declaration:
        """What an operation needs: all of these scopes or requirements; none means any valid token.

        Use it in `dependencies=[...]` of whatever takes them, or for a parameter, which then
        receives the `Principal`: `caller: Annotated[Principal, guard.requires("users:read")]`.

        Args:
            scopes: scope names or requirements.
            acr: acceptable authentication context classes (RFC 9470).
            max_age: the greatest age of the authentication in seconds (RFC 9470).
            on_expiry: "close" ends a long response or stream when the token expires.

        Raises:
            ConfigurationError: a scope is not in the catalog, or an argument is misspelt.
        """
        plain = acr == () and max_age is None and on_expiry is None
        if not plain or not all(isinstance(one, str) for one in scopes):
            requirement = as_requirement(scopes, self.catalog, where="requires()")
            step_up = step_up_of(acr if isinstance(acr, str) else tuple(acr), max_age)
            return self._declaration(requirement, step_up=step_up, close_on_expiry=closes_on_expiry(on_expiry))
        # Few sets of scopes stand in front of many routes, and frameworks read each requirement that they have not met.
        made = self._made.get(scopes)
        if made is None:
            made = self._declaration(as_requirement(scopes, self.catalog, where="requires()"))
            if len(self._made) < KEPT:
                self._made[scopes] = made
        return made

    def optional(self, *scopes: str | Requirement) -> Declaration:
        """Where a caller may be anonymous: no token gives None, a bad token is always answered 401.

        Args:
            scopes: what a caller needs who does present a token.

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        return self._declaration(as_requirement(scopes, self.catalog, where="optional()"), optional=True)

    def owner_or(self, anyone: str | Requirement, *, own: str | Requirement) -> Declaration:
        """Own things with `own`, anybody's with `anyone`; the parameter receives an `Ownership`.

        Args:
            anyone: what is needed to touch what belongs to others, such as "posts:admin".
            own: what is needed to touch one's own, such as "posts:write".

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        wide, narrow = all_of(anyone), all_of(own)
        return self._declaration(as_requirement((any_of(narrow, wide),), self.catalog, where="owner_or()"), owner=wide)

    def _insist(self, caller: Principal, scopes: Sequence[str]) -> None:
        """Insist on the scopes of one `Security(guard, scopes=[...])`, those above it included.

        Raises:
            InsufficientScope: the caller has too few.
        """
        if not scopes:
            return
        known = tuple(scopes)
        rule = self._rules.get(known)
        if rule is None:
            rule = self.catalog.compile(all_of(*known), where="Security(scopes=...)")
            # Scopes stand in declarations, of which there are few; but nothing keeps others from making them.
            if len(self._rules) < KEPT:
                self._rules[known] = rule
        if not rule.allows(caller.held):
            caller.require(rule.requirement)

    def _settling(self, value: Any, where: str) -> Any:
        """What `docs=`, `mounts=` and `default=` take: the result of `requires`, `optional` or `public`.

        Raises:
            ConfigurationError: it is something else, or another guard's.
        """
        value = getattr(value, "dependency", value)
        if isinstance(value, ScopeDependencyBase) and value.guard not in {None, self}:
            raise ConfigurationError(f"{where} was made by another guard; its tokens would not be verified here.")
        if value is None or isinstance(value, ScopeDependencyBase | Public):
            return value
        raise ConfigurationError(
            f"{where} takes guard.requires(...), guard.optional(...) or guard.public(...), not a {type(value).__name__}."
        )
