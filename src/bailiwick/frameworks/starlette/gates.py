"""Gates in front of endpoints that are ASGI applications: those of a decorator, and those that `protect` puts there."""

import weakref
from functools import partial
from typing import Any, Final

from starlette.routing import Host, Mount, Route, WebSocketRoute

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.frameworks.starlette.error_handlers import answer_here
from bailiwick.frameworks.starlette.fallback import Fallback
from bailiwick.frameworks.starlette.pending_routes import own_handle
from bailiwick.frameworks.starlette.route_tracker import Placed
from bailiwick.graph import Access, RoutePlan
from bailiwick.guard.gate import Gate

__all__ = ["EndpointGate", "SettledGate", "gate_of", "gate_route"]


class EndpointGate(Gate):
    """A gate in front of one endpoint; in-handler checks are answered as exactly as its own refusals."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        # As a class is asked for its methods by whoever describes an API.
        if name.startswith("_") or name == "app":
            raise AttributeError(name)
        return getattr(self.app, name)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        """Decide, and call the endpoint or refuse."""
        answer_here(conn, BailiwickError, self.guard.handle_error)  # type: ignore[attr-defined]  # the guard is of this door
        await Gate.__call__(self, conn, receive, send)


class SettledGate(EndpointGate, Placed):
    """A gate that `protect` put in front of a route, for one application."""

    __slots__ = ("protection",)

    def __init__(self, protection: Any, route: RoutePlan, app: Any) -> None:
        super().__init__(protection.guard, route, app)
        self.protection = weakref.ref(protection)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        """Decide, and call the endpoint or refuse; a public one is called at once."""
        if self.route.access is Access.PUBLIC:  # stands here only to be recognised
            await self.app(conn, receive, send)
        else:
            await EndpointGate.__call__(self, conn, receive, send)


# What passes every connection that it matched on to the route's `app`.
_HAND_OVER: Final = frozenset(kind.handle for kind in (Route, WebSocketRoute, Mount, Host))


def _held_by(route: Any) -> str:
    """Where a gate stands: in front of the route's `app`; or of its `handle`, if that may do as it likes."""
    hands_over = getattr(type(route), "handle", None) in _HAND_OVER and own_handle(route) is None
    return "app" if hands_over or isinstance(route, Fallback) else "handle"


def gate_of(route: Any) -> SettledGate | None:
    """The gate that `protect` put in front of a route, or None.

    Args:
        route: a route of Starlette's kind.
    """
    for standing in (own_handle(route), getattr(route, "app", None)):
        if isinstance(standing, SettledGate):
            return standing
    return None


def gate_route(protection: Any, entry: RoutePlan, route: Any) -> None:
    """Put a protection's gate in front of a route.

    Args:
        protection: whose gate it is.
        entry: what the route needs.
        route: a route of Starlette's kind.

    Raises:
        ConfigurationError: another protected application, in which the route stands too, settles it differently.
    """
    standing = gate_of(route)
    if standing is not None:
        other = standing.protection()
        if other is not None and other is not protection:
            if other.guard is protection.guard and standing.route == entry:
                return
            raise ConfigurationError(
                f"{entry.label} is served by two protected applications that settle it differently; build it for each."
            )
        if own_handle(route) is standing:
            route.handle = SettledGate(protection, entry, standing.app)
        else:
            route.app = SettledGate(protection, entry, standing.app)
        return
    if _held_by(route) == "app":
        route.app = SettledGate(protection, entry, route.app)
    else:
        route.handle = SettledGate(protection, entry, own_handle(route) or partial(type(route).handle, route))
