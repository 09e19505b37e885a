"""What a router serves besides its routes, and hearing of it when its routes change."""

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Self, SupportsIndex

from starlette.routing import BaseRoute, Router

__all__ = ["Changes", "Fallback", "Reading", "fallback_of", "watched_routes"]


class Fallback(BaseRoute):
    """What a router serves where no route matches, if somebody put something there.

    Args:
        router: the router.
    """

    path = "/{fallback}"
    name = "fallback"

    def __init__(self, router: Any) -> None:
        self.router = router

    @property
    def app(self) -> Any:
        """What is served."""
        return self.router.default

    @app.setter
    def app(self, app: Any) -> None:
        self.router.default = app


def fallback_of(router: Any) -> Fallback | None:
    """What a router serves where no route matches; None if that is 404.

    Args:
        router: a router of Starlette's kind.
    """
    default = getattr(router, "default", None)
    if default is None or getattr(default, "__func__", None) is Router.not_found:
        return None
    return Fallback(router)


class Changes:
    """Whether the routes of an application are still those that were read; asked for each request."""

    def __init__(self) -> None:
        # A change is heard as a new object; what was read last is the one that was there before the reading began.
        self._latest = object()
        self._read: object = None
        self._routers: list[tuple[Any, Any]] = []

    def heard(self) -> None:
        """Something has changed."""
        self._latest = object()

    def begin(self) -> "Reading":
        """Begin to read all routes; what changes from now on is not in it."""
        return Reading(self._latest, self.heard)

    def finish(self, reading: "Reading") -> None:
        """What was read is in force.

        Args:
            reading: what `begin` returned.
        """
        self._routers, self._read = reading.routers, reading.began_at

    def pending(self) -> bool:
        """Whether something changed since, or nothing was ever read."""
        if self._read is not self._latest:
            return True
        for router, routes in self._routers:  # noqa: SIM110 - a generator would cost more
            if router.routes is not routes:  # changes within the list are heard
                return True
        return False


class Reading:
    """One reading of all routes, and the routers that it came through.

    Args:
        began_at: the latest change before it.
        heard: what is called after a later one.
    """

    def __init__(self, began_at: object, heard: Callable[[], None]) -> None:
        self.began_at = began_at
        self.heard = heard
        self.routers: list[tuple[Any, Any]] = []

    def add(self, router: Any) -> None:
        """Watch a router, before its routes are read.

        Args:
            router: a router of Starlette's kind.
        """
        self.routers.append((router, watched_routes(router, self.heard)))


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


class WatchedRoutes(list[BaseRoute]):
    """A router's list of routes that tells of each change.

    Comparing it for each request would take longer the more routes there are, and routes are compared by their
    paths and endpoints: one exchanged for its equal, in front of which no gate stands, would not be seen.
    """

    def __init__(self, routes: Iterable[BaseRoute]) -> None:
        super().__init__(routes)
        self._listeners: list[weakref.WeakMethod[Callable[[], None]]] = []

    def listen(self, changed: Callable[[], None]) -> None:
        """Call a bound method after each change, for as long as its object lives.

        Args:
            changed: the method; a router may be mounted in several applications, and each must hear of it.
        """
        self._listeners = [one for one in self._listeners if one() not in {None, changed}]
        self._listeners.append(weakref.WeakMethod(changed))

    def _tell(self) -> None:
        for one in self._listeners:
            changed = one()
            if changed is not None:
                changed()

    def append(self, route: BaseRoute, /) -> None:
        """Add a route."""
        super().append(route)
        self._tell()

    def extend(self, routes: Iterable[BaseRoute], /) -> None:
        """Add routes."""
        super().extend(routes)
        self._tell()

    def insert(self, index: SupportsIndex, route: BaseRoute, /) -> None:
        """Put a route in front of another."""
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
        super().sort(**how)
        self._tell()

    def __setitem__(self, index: Any, value: Any) -> None:
        super().__setitem__(index, value)
        self._tell()

    def __delitem__(self, index: SupportsIndex | slice) -> None:
        super().__delitem__(index)
        self._tell()

    def __iadd__(self, routes: Iterable[BaseRoute]) -> Self:  # type: ignore[misc,override]  # as list does
        super().__iadd__(routes)
        self._tell()
        return self

    def __imul__(self, times: SupportsIndex) -> Self:
        super().__imul__(times)
        self._tell()
        return self
