"""What a router serves besides its routes, and hearing of it when its routes change."""

import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import MethodType
from typing import Any, Final, Self, SupportsIndex

from starlette.routing import BaseRoute, Router

from bailiwick._asgi.gate import standing_at

from .unread import Follower, Unread, close

__all__ = [
    "UNDER",
    "Changes",
    "Entrance",
    "Fallback",
    "Listeners",
    "Placed",
    "Reading",
    "entrance_of",
    "fallback_of",
    "follow_router",
    "is_readable",
    "watch_entrance",
    "watched_routes",
]

# The application, or None where a router is reached without one; its router; the list of its routes; and what the
# router serves where none matches.
Entered = tuple[Any, Any, "WatchedRoutes", Any]
# The same of an application that stands alone under its protection: whose changes, its own four, and the lists of the
# routers that it includes.
Alone = tuple["Changes", Any, Any, "WatchedRoutes", Any, tuple[tuple[Any, "WatchedRoutes"], ...]]
UNWATCHED: Final = object()  # in place of what a router serves otherwise, of one that is only included
UNDER: Final = "bailiwick.protection"  # where a connection names the protection that it came in through


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


def is_readable(app: Any) -> bool:
    """Whether what an application serves is what stands in its router's list; FastAPI serves more than that.

    Args:
        app: an application of Starlette's kind, or a router.
    """
    return getattr(type(getattr(app, "router", app)), "app", None) is Router.app


class Placed:
    """What a protection puts in front of something that is served."""

    __slots__ = ()


class Changes:
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
    return default if isinstance(standing_at(default), Placed) else read


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


class Entrance:
    """Stands directly in front of a router's matching, behind its middleware and that of its application.

    While a connection waits in there, routes may change: what was asked where it came in is out of date by then.

    Args:
        app: what matches.

    Attributes:
        protection: of the application whose router this is, or None. It lives as long as the router, which may
            outlive its application.
    """

    __slots__ = ("_alone", "_asked", "_names", "app", "protection")

    def __init__(self, app: Callable[..., Any]) -> None:
        self.app = app
        self._asked: list[weakref.ref[Changes]] = []
        self._alone: Alone | None = None
        self._names = False
        self.protection: Any = None

    def ask(self, changes: Changes) -> None:
        """Let these changes be followed before anything is matched.

        Args:
            changes: of one protected application; a router may be mounted in several.
        """
        left = [one for one in self._asked if one() not in {None, changes}]
        self._asked = [*left, weakref.ref(changes)]
        self._alone = None

    def name(self) -> None:
        """Have what comes in say by which protection it did."""
        self._names = True
        self._alone = None

    def settled(self, changes: Changes, entered: list[Entered]) -> None:
        """Note what has to be compared for each connection, where that is an application and the routers that it includes.

        Args:
            changes: whose routes were read.
            entered: what connections come in by.
        """
        app, router, routes, default = entered[0]
        included = tuple((one, listed) for _, one, listed, _ in entered[1:])
        plain = all(inner is None and served is UNWATCHED for inner, _, _, served in entered[1:])
        if plain and app is not None and default is not UNWATCHED and entrance_of(router) is self:
            self._alone = (changes, app, router, routes, default, included)
            # Looked at afterwards: another thread may be adding to it, and undoes this when it has.
            if self._names or [one() for one in self._asked] != [changes]:
                self._alone = None

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Follow what changed, and pass the connection on.

        This method stands in front of the router, as the router's own does: Python calls one in half the time that it
        takes to call an object. What nearly every connection needs is compared here, without another call.
        """
        alone = self._alone
        if alone is not None:
            changes, holder, router, routes, default, included = alone
            if (
                changes.latest is changes.read
                and holder.router is router
                and router.routes is routes
                and router.default is default
            ):
                for one, listed in included:
                    if one.routes is not listed:
                        break
                else:
                    app = self.app
                    return app(conn, receive, send)
        if conn["type"] != "lifespan":
            self._follow(conn)
        return self.app(conn, receive, send)

    def _follow(self, conn: Any) -> None:
        for one in self._asked:
            changes = one()
            if changes is not None and changes.pending():
                changes.keep_up()
        if self._names:
            conn[UNDER] = self.protection


def follow_router(app: Any, entered: Callable[[Any], None]) -> None:
    """Call `entered` with an application's router, and with each that takes its place before connections come in.

    Args:
        app: an application of Starlette's kind.
        entered: called once for each router.
    """
    entered(app.router)
    known = [weakref.ref(app.router)]
    build = app.build_middleware_stack

    def built() -> Any:
        router = app.router
        if all(one() is not router for one in known):
            known.append(weakref.ref(router))
            entered(router)
        return build()

    app.build_middleware_stack = built


def watch_entrance(router: Any, changes: Changes) -> Entrance | None:
    """See to it that whoever comes to a router finds what changed until then settled.

    Args:
        router: a router of Starlette's kind; of one that is entered in a way of its own nothing is changed.
        changes: of the protected application.

    Returns:
        What now stands in front of the router's matching, or None.
    """
    standing = entrance_of(router)
    if standing is not None:
        standing.ask(changes)
        return standing
    holder, name, layer = _innermost(router)
    if not (isinstance(layer, MethodType) and layer.__self__ is router):  # middleware that hides what it wraps
        holder, name = router, "middleware_stack"
        layer = getattr(holder, name, None)
    if layer is None:
        return None
    entrance = Entrance(layer)
    entrance.ask(changes)
    try:
        setattr(holder, name, entrance.enter)
    except AttributeError:  # middleware that cannot be changed
        entrance.app, router.middleware_stack = router.middleware_stack, entrance.enter
    return entrance


def _innermost(router: Any) -> tuple[Any, str, Any]:
    """The last layer in front of a router's matching that can be seen, and where it stands."""
    holder, name = router, "middleware_stack"
    layer = getattr(holder, name, None)
    while layer is not None and not isinstance(layer, MethodType):
        if not hasattr(layer, "app"):
            break
        holder, name, layer = layer, "app", layer.app
    return holder, name, layer


def entrance_of(router: Any) -> Entrance | None:
    """What stands in front of a router's matching, or None.

    Args:
        router: a router of Starlette's kind.
    """
    layer = _innermost(router)[2]
    return layer.__self__ if isinstance(layer, MethodType) and isinstance(layer.__self__, Entrance) else None


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
        followers: list[Follower] = [one for one in heard if isinstance(one, Changes) and one.in_force]
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
