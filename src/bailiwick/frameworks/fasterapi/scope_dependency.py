"""What a route can declare, as dependencies of FasterAPI: a requirement, ownership, nested scopes.

Each also enforces itself where nothing protects the application: FasterAPI then runs it, and it must
never find less to check than was written.
"""

import logging
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from bailiwick.errors import BailiwickError, ConfigurationError, InvalidScope
from bailiwick.frameworks.fasterapi.compat import BackgroundTasks, Depends, PlainSecurityScopes, Request
from bailiwick.graph.dependant import describe, key_of
from bailiwick.guard.dependencies import NeedBase
from bailiwick.scopes import Requirement, ScopeSet

__all__ = ["Need", "Security", "SecurityScopes"]

log = logging.getLogger("bailiwick.guard")


class SecurityScopes(PlainSecurityScopes):  # type: ignore[misc]  # FasterAPI ships no types
    """The scopes that a dependency is asked for: those of everything above it, outermost first, then its own.

    FasterAPI's class of this name stays empty; a parameter annotated with either is filled by this door.

    Args:
        scopes: the names, each once.

    Attributes:
        scopes: the names; the list is the receiver's own.
        scope_str: the names joined by spaces.

    Source: RFC 6749 section 3.3 for the joined form.
    """

    __slots__ = ()

    scopes: list[str]
    scope_str: str

    def __init__(self, scopes: list[str] | None = None) -> None:
        super().__init__(scopes)


class Need(NeedBase, Depends):  # type: ignore[misc]  # FasterAPI ships no types
    """A requirement; made by `guard.requires` and `require_scope`. Equal by value.

    It is a marker and the dependency that it marks at once, so that it stands as a default, in
    `Annotated`, in `dependencies=[...]` and inside `Depends(...)`.
    """

    def __init__(self, guard: Any, requirement: Requirement | None, **more: Any) -> None:
        Depends.__init__(self, self)
        self._declare(guard, requirement, **more)

    async def __call__(self, request: Request, security_scopes: SecurityScopes | None = None) -> Any:
        """What FasterAPI runs where no gate decided before.

        Raises:
            HTTPException: the refusal.
            ConfigurationError: `require_scope` was used in an application that no guard protects.
        """
        guard = self.guard
        if guard is None:
            # FasterAPI answers 500 to what it does not know, and tells nobody why.
            wrong = f"{self!r} belongs to no guard. Call guard.protect(app), or write guard.require_scope(...)."
            log.error(wrong)
            raise ConfigurationError(wrong)
        conn = request._scope  # noqa: SLF001 - FasterAPI has no public name for it
        if self.optional and not any(name == b"authorization" for name, _ in conn["headers"]):
            return None
        try:
            return self.check(await guard.authorize(conn, security_scopes.scopes if security_scopes else ()))
        except BailiwickError as error:
            raise guard.as_http(error) from error


class Security(Depends):  # type: ignore[misc]  # FasterAPI ships no types
    """Depend on something with scopes: they reach it, and everything below it, as `SecurityScopes`.

    Args:
        dependency: what is depended on: a guard, or a callable with a guard or `SecurityScopes` below
            it; None for the class in the parameter's annotation, which takes a protected application.
        scopes: the scopes, all of which are needed; None where only the dependency's own count.
        use_cache: whether a value made for the same scopes in the same request may be shared.

    Raises:
        ConfigurationError: the scopes are a string, an empty list, no list, or no scopes.
    """

    __slots__ = ("scopes", "target")

    def __init__(self, dependency: Any = None, *, scopes: Iterable[str] | None = None, use_cache: bool = True) -> None:
        self.target = dependency
        self.scopes = None if scopes is None else _checked(scopes)
        # FasterAPI would drop the scopes: what it is told to run delivers them.
        super().__init__(Standalone(self), use_cache=use_cache)

    def __repr__(self) -> str:
        named = "..." if self.target is None else describe(self.target)
        return f"Security({named}, scopes={list(self.scopes or ())!r})"


def _checked(scopes: Iterable[str]) -> tuple[str, ...]:
    """The scopes as they may be declared (rule 7: neither empty nor a text)."""
    if isinstance(scopes, str | bytes) or not isinstance(scopes, Sequence | AbstractSet):
        raise ConfigurationError(
            f"Security(scopes=...) takes a list of scopes, not a {type(scopes).__name__}: "
            "a text is read letter by letter, and an iterator only once.",
            id="BW104",
        )
    if not scopes:
        raise ConfigurationError(
            "Security(scopes=[]) is empty: leave scopes out where any valid token will do.", id="BW103"
        )
    try:
        ScopeSet(scopes)
    except InvalidScope as bad:
        raise ConfigurationError(f"Security(scopes=...): {bad.description}", id=bad.id) from bad
    return tuple(sorted(scopes)) if isinstance(scopes, AbstractSet) else tuple(scopes)


class Standalone:
    """What FasterAPI runs for a `Security` in an application that nothing protects: its tree, solved by us.

    Equal for the same callable and the same scopes, so that FasterAPI shares a value for each set of scopes.
    """

    def __init__(self, marker: Security) -> None:
        self._marker = marker
        self._tree: Any = None

    def _value(self) -> tuple[Any, frozenset[str]]:
        return key_of(self._marker.target), frozenset(self._marker.scopes or ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Standalone) and self._value() == other._value()

    def __hash__(self) -> int:
        return hash(self._value())

    @property
    def __name__(self) -> str:
        return repr(self._marker)

    async def __call__(self, request: Request, tasks: BackgroundTasks) -> Any:
        """The value of the dependency, with the scopes delivered.

        Raises:
            HTTPException: the refusal.
            ConfigurationError: the tree cannot be read, or holds a generator, which nobody would leave.
        """
        if self._tree is None:
            from bailiwick.frameworks.fasterapi.dependency_runner import Subtree

            self._tree = Subtree(self._marker)
        return await self._tree.run(request, tasks)
