"""A list of routes that has a gate put in front of each route before anybody can see it."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Protocol, Self, SupportsIndex

__all__ = ["Owner", "Owners", "RouteList"]


class Owner(Protocol):
    """What closes routes: a protection."""

    def gate(self, route: Any) -> None:
        """Put a gate in front of a route, unless its own stands there already."""
        ...

    def invalidate(self) -> None:
        """Read the routes anew before the plan is asked for again."""
        ...


class Owners:
    """The protections that close a list, each for as long as it lives: a router may be mounted in several applications.

    Attributes:
        known: refers to each; another tuple when one is added.
    """

    __slots__ = ("known",)

    def __init__(self) -> None:
        self.known: tuple[weakref.ref[Owner], ...] = ()

    def __iter__(self) -> Iterator[Owner]:
        return iter([owner for one in self.known if (owner := one()) is not None])

    def add(self, owner: Owner) -> bool:
        """Add one; False if it is known already.

        Args:
            owner: a protection.
        """
        with _CHANGING:  # of two that come at once, neither takes the other's place
            alive = tuple(one for one in self.known if one() is not None)
            if any(one() is owner for one in alive):
                return False
            self.known = (*alive, weakref.ref(owner))
            return True


# While a route is given its gates and put into a list, no protection begins to close that list, and the other way round. Not of each
# list's own: routers are copied, and locks cannot be.
_CHANGING: Final = threading.RLock()


class RouteList(list[Any]):
    """A router's list of routes: what is in it, and whatever is put into it, has a gate before it can be seen.

    Args:
        routes: what is in it.
    """

    def __init__(self, routes: Iterable[Any]) -> None:
        super().__init__(routes)
        self.owners = Owners()

    def close_for(self, owner: Owner) -> None:
        """Have a protection close what is in the list, and what comes.

        Args:
            owner: the protection.
        """
        with _CHANGING:
            if self.owners.add(owner):
                for route in self:
                    owner.gate(route)

    def _change(self, routes: Iterable[Any], change: Callable[..., Any], *how: Any, **more: Any) -> Any:
        """Put gates in front of routes, change the list, and tell of it."""
        try:
            with _CHANGING:
                for owner in self.owners:
                    for route in routes:
                        owner.gate(route)
                return change(*how, **more)
        finally:
            for owner in self.owners:
                owner.invalidate()  # what fails half-way, as a sort may, has changed something too

    def append(self, route: Any, /) -> None:
        """Add a route."""
        self._change([route], super().append, route)

    def extend(self, routes: Iterable[Any], /) -> None:
        """Add routes, all or none: who is still making them, or fails to, leaves nothing half done behind."""
        added = list(routes)
        self._change(added, super().extend, added)

    def insert(self, index: SupportsIndex, route: Any, /) -> None:
        """Put a route in front of another."""
        self._change([route], super().insert, index, route)

    def remove(self, route: Any, /) -> None:
        """Take a route out."""
        self._change([], super().remove, route)

    def pop(self, index: SupportsIndex = -1, /) -> Any:
        """Take a route out and return it."""
        return self._change([], super().pop, index)

    def clear(self) -> None:
        """Take all routes out."""
        self._change([], super().clear)

    def reverse(self) -> None:
        """Try the routes in the opposite order."""
        self._change([], super().reverse)

    def sort(self, **how: Any) -> None:
        """Try the routes in another order."""
        self._change([], super().sort, **how)

    def __setitem__(self, index: Any, value: Any) -> None:
        added = list(value) if isinstance(index, slice) else [value]
        self._change(added, super().__setitem__, index, added if isinstance(index, slice) else value)

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        self._change([], super().__delitem__, index)

    def __iadd__(self, routes: Iterable[Any]) -> Self:  # type: ignore[misc]  # as list does
        self.extend(routes)
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        self._change([], super().__imul__, times)
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """A copy is a plain list: nobody closes what is put into it."""
        return list, (list(self),)
