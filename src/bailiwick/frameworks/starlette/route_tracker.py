"""Hearing of it when the routes of an application change, and reading them anew."""

import weakref
from collections.abc import Callable
from typing import Any

from bailiwick.frameworks.starlette.pending_routes import Follower, Unread
from bailiwick.frameworks.starlette.route_list import WatchedRoutes, watched_routes
from bailiwick.frameworks.starlette.router_middleware import UNWATCHED, Entered, Entrance, watch_entrance
from bailiwick.guard.gate import gate_behind

__all__ = ["Changes", "Placed", "Reading"]


class Placed:
    """What a protection puts in front of something that is served."""

    __slots__ = ()


class Changes(Follower):
    """Whether the routes of an application are still those that were read; asked for each request.

    Args:
        settle: a bound method that reads them anew.

    Attributes:
        latest: stands for the latest change.
        read: the latest change that was read; None before the first reading.
    """

    def __init__(self, settle: Callable[[], object]) -> None:
        self._settle = weakref.WeakMethod(settle)
        # A change is heard as a new object; what was read last is the one that was there before the reading began.
        self.latest = object()
        self.read: object = None
        self._entered: list[Entered] = []

    def heard(self) -> None:
        """Something has changed."""
        self.latest = object()

    def begin(self) -> "Reading":
        """Begin to read all routes; what changes from now on is not in it."""
        return Reading(self.latest, self)

    def finish(self, reading: "Reading") -> None:
        """What was read is in force.

        Args:
            reading: what `begin` returned.
        """
        self._entered = [
            (app, router, routes, _standing(router, default) if default is not UNWATCHED else default)
            for app, router, routes, default in reading.entered
        ]
        for done in reading.at_the_end:
            done()
        for entrance in reading.entrances:
            entrance.settled(self, self._entered)
        self.read = reading.began_at
        # What left the list meanwhile, and perhaps came back, may have been overlooked: it stays closed until it is read.
        if reading.unread and self.latest is reading.began_at:
            for one, routes in reading.unread:
                if any(route is one.route for route in routes):
                    one.read_by(self)

    @property
    def in_force(self) -> bool:
        """Whether routes were read before."""
        return self.read is not None

    def pending(self) -> bool:
        """Whether something changed since, or nothing was ever read."""
        if self.read is not self.latest:
            return True
        # Changes within a list are heard. A generator would cost more than this loop.
        for app, router, routes, default in self._entered:
            if router.routes is not routes:
                return True
            if default is not UNWATCHED and router.default is not default:
                return True
            if app is not None and app.router is not router:
                return True
        return False

    def keep_up(self) -> None:
        """Read the routes anew if something changed."""
        if self.pending():
            settle = self._settle()
            if settle is not None:
                settle()


def _standing(router: Any, read: Any) -> Any:
    """What stands for everything that no route matches: what was read, or what was put in front of it since."""
    default = router.default
    return default if isinstance(gate_behind(default), Placed) else read


class Reading:
    """One reading of all routes, and the routers that it came through.

    Args:
        began_at: the latest change before it.
        changes: what hears of a later one.

    Attributes:
        at_the_end: what is called when gates stand in front of everything that was read.
        entrances: of the routers that were read.
    """

    def __init__(self, began_at: object, changes: Changes) -> None:
        self.began_at = began_at
        self.changes = changes
        self.heard = changes.heard
        self.entered: list[Entered] = []
        self.at_the_end: list[Callable[[], None]] = []
        self.entrances: list[Entrance] = []
        self.unread: list[tuple[Unread, WatchedRoutes]] = []

    def add(self, app: Any) -> None:
        """Watch what connections come in by, before its routes are read.

        Args:
            app: an application of Starlette's kind, or a router that is one.
        """
        router = getattr(app, "router", app)
        self._add(None if router is app else app, router, getattr(router, "default", UNWATCHED))
        entrance = watch_entrance(router, self.changes)
        if entrance is not None:
            self.entrances.append(entrance)

    def add_list(self, router: Any) -> None:
        """Watch a router's list of routes only, as of one that is included by another.

        Args:
            router: a router of Starlette's kind.
        """
        self._add(None, router, UNWATCHED)

    def _add(self, app: Any, router: Any, default: Any) -> None:
        routes = watched_routes(router, self.heard)
        self.entered.append((app, router, routes, default))
        # Noted before the list is read: what comes later is not in what was read.
        self.unread += [(one, routes) for route in routes if isinstance(one := vars(route).get("handle"), Unread)]
