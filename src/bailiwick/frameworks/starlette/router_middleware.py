"""What stands in front of a router's matching, where connections find settled what changed until then."""

import weakref
from collections.abc import Callable
from types import MethodType
from typing import Any, Final

from bailiwick.frameworks.starlette.route_list import WatchedRoutes

__all__ = ["UNDER", "UNWATCHED", "Entered", "Entrance", "entrance_of", "follow_router", "watch_entrance"]

# The application, or None where a router is reached without one; its router; the list of its routes; and what the
# router serves where none matches.
Entered = tuple[Any, Any, WatchedRoutes, Any]
# The same of an application that stands alone under its protection: whose changes, its own four, and the lists of the
# routers that it includes.
Alone = tuple[Any, Any, Any, WatchedRoutes, Any, tuple[tuple[Any, WatchedRoutes], ...]]
UNWATCHED: Final = object()  # in place of what a router serves otherwise, of one that is only included
UNDER: Final = "bailiwick.protection"  # where a connection names the protection that it came in through


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
        self._asked: list[weakref.ref[Any]] = []
        self._alone: Alone | None = None
        self._names = False
        self.protection: Any = None

    def ask(self, changes: Any) -> None:
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

    def settled(self, changes: Any, entered: list[Entered]) -> None:
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


def watch_entrance(router: Any, changes: Any) -> Entrance | None:
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
