"""Gives FasterAPI a `Security`, which delivers its scopes also where no guard protects the application."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

from bailiwick.errors import ConfigurationError, InvalidScope
from bailiwick.frameworks.fasterapi.compat import BackgroundTasks, Request
from bailiwick.frameworks.fasterapi.dependency_runner import SubtreeRunner
from bailiwick.frameworks.fasterapi.scope_dependency import SecurityMarker
from bailiwick.graph.dependant import key_of
from bailiwick.scopes import ScopeSet

__all__ = ["Security"]


class Security(SecurityMarker):
    """Depend on something with scopes: they reach it, and everything below it, as `SecurityScopes`.

    Args:
        dependency: what is depended on: a guard, or a callable with a guard or `SecurityScopes` below
            it; None for the class in the parameter's annotation, which takes a protected application.
        scopes: the scopes, all of which are needed; None where only the dependency's own count.
        use_cache: whether a value made for the same scopes in the same request may be shared.

    Raises:
        ConfigurationError: the scopes are a string, an empty list, no list, or no scopes.
    """

    __slots__ = ()

    def __init__(self, dependency: Any = None, *, scopes: Iterable[str] | None = None, use_cache: bool = True) -> None:
        checked = None if scopes is None else _check_scopes(scopes)
        # FasterAPI would drop the scopes: what it is told to run delivers them.
        super().__init__(dependency, checked, StandaloneDependency(self), use_cache=use_cache)


def _check_scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    """Return the scopes as they may be declared (rule 7: neither empty nor a text)."""
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


class StandaloneDependency:
    """Runs a `Security` in an application that nothing protects: its tree, solved by us.

    Equal for the same callable and the same scopes, so that FasterAPI shares a value for each set of scopes.
    """

    def __init__(self, marker: SecurityMarker) -> None:
        self._marker = marker
        self._tree: Any = None

    def _value(self) -> tuple[Any, frozenset[str]]:
        return key_of(self._marker.target), frozenset(self._marker.scopes or ())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, StandaloneDependency) and self._value() == other._value()

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
            self._tree = SubtreeRunner(self._marker)
        return await self._tree.run(request, tasks)
