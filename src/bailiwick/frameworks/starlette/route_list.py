"""A router's list of routes, which tells of its changes."""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Self, SupportsIndex

from starlette.routing import BaseRoute

from bailiwick.frameworks.starlette.pending_routes import Follower, close

__all__ = ["Listeners", "WatchedRoutes", "watched_routes"]


def watched_routes(router: Any, heard: Callable[[], None]) -> "WatchedRoutes":
    """The list of a router's routes, which tells of its changes from now on.

    Args:
        router: a router of Starlette's kind.
        heard: a bound method that is called after each change; it must be quick.
    """
    routes = router.routes
    if not isinstance(routes, WatchedRoutes):
        routes = router.routes = WatchedRoutes(routes)
    routes.listen(heard)
    return routes


class Listeners:
    """Bound methods that are told of changes, each for as long as its object lives.

    A method is added again with every reading, while other threads add routes. It is never missing in between: a route that
    is added at that moment would be closed by nobody, and nobody would hear of it.
    """

    __slots__ = ("_methods",)

    def __init__(self) -> None:
        self._methods: list[weakref.WeakMethod[Callable[[], None]]] = []

    def __iter__(self) -> Iterator[Callable[[], None]]:
        for one in self._methods:
            method = one()
            if method is not None:
                yield method

    def add(self, changed: Callable[[], None]) -> None:
        """Tell a method, too, if it is not told yet.

        Args:
            changed: the method.
        """
        with _LISTENING:  # of two that come at once, neither takes the other's place
            alive = [one for one in self._methods if one() is not None]
            if all(one() != changed for one in alive):
                self._methods = [*alive, weakref.WeakMethod(changed)]


_LISTENING: Final = threading.Lock()  # not of each one's own: routers are copied, and locks cannot be


class WatchedRoutes(list[BaseRoute]):
    """A router's list of routes that tells of each change.

    Comparing it for each request would take longer the more routes there are, and routes are compared by their
    paths and endpoints: one exchanged for its equal, in front of which no gate stands, would not be seen.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        super().__init__(routes)
        self._listeners = Listeners()

    def listen(self, changed: Callable[[], None]) -> None:
        """Call a bound method after each change, for as long as its object lives.

        Args:
            changed: the method; a router may be mounted in several applications, and each must hear of it.
        """
        self._listeners.add(changed)

    def _close(self, *routes: BaseRoute) -> None:
        heard = [getattr(one, "__self__", None) for one in self._listeners]
        followers = [one for one in heard if isinstance(one, Follower) and one.in_force]
        if followers:
            close(routes, followers)

    def _tell(self) -> None:
        for changed in self._listeners:
            changed()

    def append(self, route: BaseRoute, /) -> None:
        """Add a route."""
        self._close(route)
        super().append(route)
        self._tell()

    def extend(self, routes: Iterable[BaseRoute], /) -> None:
        """Add routes, all or none: who is still making them, or fails to, leaves nothing unheard behind."""
        added = list(routes)
        self._close(*added)
        super().extend(added)
        self._tell()

    def insert(self, index: SupportsIndex, route: BaseRoute, /) -> None:
        """Put a route in front of another."""
        self._close(route)
        super().insert(index, route)
        self._tell()

    def remove(self, route: BaseRoute, /) -> None:
        """Take a route out."""
        super().remove(route)
        self._tell()

    def pop(self, index: SupportsIndex = -1, /) -> BaseRoute:
        """Take a route out and return it."""
        route = super().pop(index)
        self._tell()
        return route

    def clear(self) -> None:
        """Take all routes out."""
        super().clear()
        self._tell()

    def reverse(self) -> None:
        """Try the routes in the opposite order."""
        super().reverse()
        self._tell()

    def sort(self, **how: Any) -> None:
        """Try the routes in another order."""
        try:
            super().sort(**how)
        finally:
            self._tell()  # what fails half-way has changed the order too

    def __setitem__(self, index: Any, value: Any) -> None:
        if isinstance(index, slice):
            value = list(value)
        self._close(*(value if isinstance(index, slice) else [value]))
        super().__setitem__(index, value)
        self._tell()

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        super().__delitem__(index)
        self._tell()

    def __iadd__(self, routes: Iterable[BaseRoute]) -> Self:  # type: ignore[misc,override]  # as list does
        added = list(routes)
        self._close(*added)
        super().__iadd__(added)
        self._tell()
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        super().__imul__(times)
        self._tell()
        return self

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """A copy is a plain list: nobody watches what is done with it."""
        return list, (list(self),)
