"""The adapter of Starlette: its routes, what they declare, and where a gate is put."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute

from bailiwick.errors import BailiwickError
from bailiwick.frameworks.starlette.compat import (
    Served,
    enter_by,
    entrance_of,
    follow_router,
    original_app_of,
    settle_at_start,
)
from bailiwick.frameworks.starlette.endpoint_metadata import MARK, declared_at, gates_at, name_of
from bailiwick.frameworks.starlette.error_handlers import answer_errors
from bailiwick.frameworks.starlette.fallback import Fallback, fallback_of
from bailiwick.frameworks.starlette.mount_checks import answers_by_its_routes, is_plain_mount
from bailiwick.graph import Access, Kind, RoutePlan
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate
from bailiwick.guard.protection import Adapter, Protection, protection_of
from bailiwick.guard.route_gate import RouteGate, SharedRouteGate, route_gate_at
from bailiwick.guard.route_list import RouteList

__all__ = ["Place", "ReadingAdapter", "StarletteAdapter", "is_starlettes"]

NOTHING: Final = RoutePlan("", (), Kind.HTTP, "", "", Access.UNDECLARED)
# What passes every connection that it matched on to the route's `app`.
HAND_OVER: Final = frozenset(kind.handle for kind in (Route, WebSocketRoute, Mount, Host))

_GATING: Final = threading.RLock()  # one gate of a protection at a route, however many threads put it into lists


@dataclass(frozen=True, slots=True)
class Place:
    """One thing that a router serves.

    Attributes:
        route: what the router dispatches to.
        original: the route as it was declared; another one where FastAPI makes a route anew for an inclusion.
        path: the path inside the application, prefixes included.
        methods: the HTTP methods, sorted; empty if there are none.
    """

    route: Any
    original: Any
    path: str
    methods: tuple[str, ...] = ()

    @property
    def served(self) -> Any:
        """The route that connections are handed to."""
        return self.route if isinstance(self.route, BaseRoute) else self.original

    @property
    def endpoint(self) -> Any:
        """The handler, or what is mounted."""
        for holder in (self.route, self.original):
            endpoint = getattr(holder, "endpoint", None)
            if endpoint is None:
                endpoint = getattr(holder, "app", None)
            standing = route_gate_at(endpoint)
            endpoint = standing.full if standing is not None else endpoint
            if endpoint is not None:
                return endpoint
        return self.original

    @property
    def is_mount(self) -> bool:
        """Whether another application stands behind it."""
        return isinstance(self.original, Mount | Host)

    @property
    def kind(self) -> Kind:
        """What stands behind it."""
        if isinstance(self.original, WebSocketRoute):
            return Kind.WEBSOCKET
        return Kind.MOUNT if isinstance(self.original, Mount | Host | Fallback) else Kind.HTTP

    @property
    def name(self) -> str:
        """How the route is named by whoever wrote it."""
        return getattr(self.original, "name", None) or name_of(self.endpoint)

    @property
    def source(self) -> str:
        """ "file:line" of the endpoint, or ""."""
        return source_of(self.endpoint)

    def label(self, path: str) -> str:
        """The name of the route for messages."""
        other = "WS" if self.kind is Kind.WEBSOCKET else "MOUNT"
        return f"{'|'.join(self.methods) if self.kind is Kind.HTTP else other} {path or '/'}".lstrip()


class Declaration:
    """What an endpoint of Starlette declares, or what settles it."""

    __slots__ = ("route",)

    def __init__(self, route: RoutePlan = NOTHING) -> None:
        self.route = route

    @property
    def is_empty(self) -> bool:
        """Whether nothing settles the route."""
        return self.route.access is Access.UNDECLARED


class StarletteAdapter(Adapter):
    """Reads and gates the routes of a Starlette application.

    Attributes:
        frameworks: the packages whose applications can be read route by route.
    """

    frameworks: frozenset[str] = frozenset({"starlette"})

    # -- what is hooked ------------------------------------------------------------------------------

    def install(self, protection: Protection) -> None:
        """Hook the start and the entrance of the application, and close it."""
        app = protection.app

        def entered(router: Any) -> None:
            enter_by(router, protection)
            settle_at_start(router, protection)
            self.close(protection, router)

        follow_router(app, entered)
        self.answer_errors(protection, app)

    def close(self, protection: Protection, app: Any) -> Served:
        """Have a gate in front of whatever an application serves: what is there, and what comes."""
        router = getattr(app, "router", app)
        routes = router.routes
        if not isinstance(routes, RouteList):
            routes = RouteList(routes)
        routes.close_for(protection)
        if router.routes is not routes:
            router.routes = routes
        for beside in self.beside(router):
            self.put_gate(protection, beside)
        if app is not router:
            self.answer_errors(protection, app)
        return Served(app, router, routes, router.default, is_mounted=app is not protection.app)

    def beside(self, router: Any) -> Iterator[Any]:
        """What a router serves besides its list of routes.

        Args:
            router: the router.
        """
        fallback = fallback_of(router)
        if fallback is not None:
            yield fallback

    def answer_errors(self, protection: Protection, app: Any) -> None:
        """Have an application answer what is refused inside of it, unless it is protected by itself."""
        if protection_of(app) in {None, protection}:
            answer_errors(app, BailiwickError, protection.guard.handle_error)

    # -- routes and their gates -------------------------------------------------------------------------

    def places(self, app: Any) -> Iterator[Any]:
        """Everything that an application serves, in the order in which it tries it."""
        router = getattr(app, "router", app)
        for route in [*router.routes, *self.beside(router)]:
            yield self.place(route)

    def place(self, route: Any) -> Place:
        """One route as a place.

        Args:
            route: a route of Starlette's kind.
        """
        methods = tuple(sorted(getattr(route, "methods", None) or ()))
        return Place(route, route, getattr(route, "path", "") or "", methods)

    def put_gate(self, protection: Protection, route: Any) -> None:
        """Put a gate in front of a route, unless the protection's own stands there."""
        self.gate_at(protection, self.place(route))

    def gate_at(self, protection: Protection, place: Any) -> RouteGate:
        """The protection's gate at a place; it is put there if it is missing."""
        with _GATING:
            app = self.get_app(place)
            standing = route_gate_at(app)
            if standing is None:
                return self._put(place, self.make_gate(protection, place, app))
            if isinstance(standing, SharedRouteGate):
                known = standing.gate_of(protection)
                if known is None:
                    standing.add(known := self.make_gate(protection, place, standing.full))
                return known
            other = standing.protection()
            if other is protection:
                return standing
            gate = self.make_gate(protection, place, standing.full)
            if other is None:
                return self._put(place, gate)
            shared = SharedRouteGate(standing.full)
            shared.add(standing)
            shared.add(gate)
            self.set_app(place, shared.enter)
            return gate

    def _put(self, place: Any, gate: RouteGate) -> RouteGate:
        self.set_app(place, gate.enter)
        return gate

    def make_gate(self, protection: Protection, place: Any, full: Any) -> RouteGate:  # noqa: ARG002 - others look at it
        """A gate for a place.

        Args:
            protection: whose.
            place: where.
            full: what stands there, as the framework built it.
        """
        return RouteGate(protection, full)

    def get_app(self, place: Any) -> Any:
        """What a connection that matched a place is handed over to."""
        route = place.served
        if self.hands_over(place):
            return route.app
        return vars(route).get("handle") or partial(type(route).handle, route)

    def set_app(self, place: Any, app: Any) -> None:
        """Put something else there.

        The router has matched by then, so 404, 405 and redirects stay what they are, and the decision
        never depends on how a path was written (CVE-2026-48710).
        """
        route = place.served
        if self.hands_over(place):
            route.app = app
        else:
            route.handle = app

    def hands_over(self, place: Any) -> bool:
        """Whether a route passes every matched connection on to its `app`; others may do as they like."""
        route = place.served
        if isinstance(route, Fallback):
            return True
        return getattr(type(route), "handle", None) in HAND_OVER and "handle" not in vars(route)

    def own_gates(self, place: Any, gate: RouteGate) -> list[tuple[Gate | None, RoutePlan]]:
        """The gates that a route was put behind when it was declared, from the outside to the inside, each with its part."""
        if not self.hands_over(place):  # it need not come to the endpoint
            return []
        behind = getattr(place.served, "endpoint", None), gate.full
        declared = declared_at(*behind)
        if declared is None:
            return []
        gates = list(gates_at(*behind))
        if not gates:
            return [(None, declared)]
        return [(gates[0], declared), *((one, one.route) for one in gates[1:])]

    def mounted_at(self, place: Any, gate: RouteGate) -> tuple[Any, ...]:
        """What is mounted at a place: what is wrapped around it, and the application last."""
        outer = gate.full if self.hands_over(place) else place.served.app
        return outer, original_app_of(place.served) or outer

    def is_plain_mount(self, place: Any, layers: tuple[Any, ...]) -> bool:
        """Whether a mount hands what it matches over to its application, and nothing between them answers."""
        return is_plain_mount(place.served, layers[-1], layers[0])

    def is_readable(self, app: Any) -> bool:
        """Whether what is mounted answers by its list of routes, and in no other way."""
        return answers_by_its_routes(app, self.frameworks)

    def protection_of(self, app: Any) -> Protection | None:
        """The protection of what is mounted, or of the application whose router it is."""
        if isinstance(app, Router):
            entrance = entrance_of(app)
            return entrance.protection if entrance is not None else None
        return protection_of(app)

    # -- what is declared ---------------------------------------------------------------------------------

    def read(self, place: Any, where: str) -> Any:  # noqa: ARG002 - what declares something has a gate of its own
        """What a route declares: nothing, where no gate stands."""
        return Declaration()

    def nothing_declared(self) -> Any:
        """What a route declares that declares nothing."""
        return Declaration()

    def settle(self, declared: Any, value: Any) -> None:
        """Add what `mounts=` or `default=` say."""
        found = getattr(value, MARK, None)
        if isinstance(found, RoutePlan):
            declared.route = found
        elif value is not None:  # public, as the guard says it of what is mounted
            declared.route = replace(NOTHING, access=Access.PUBLIC, reason=value.reason)

    def entry(self, place: Any, path: str, declared: Any) -> RoutePlan:
        """The entry of the plan."""
        kind = place.kind
        route: RoutePlan = declared.route
        return replace(
            route,
            path=path or "/",
            methods=place.methods if kind is Kind.HTTP else (),
            kind=kind,
            name=place.name,
            source="" if place.is_mount else place.source,
        )


class ReadingAdapter(StarletteAdapter):
    """Reads the routes of an application that is not protected, and changes nothing about it."""

    def close(self, protection: Protection, app: Any) -> Served:  # noqa: ARG002 - nothing is closed
        """Nothing is closed."""
        router = getattr(app, "router", app)
        return Served(app, router, router.routes, router.default)

    def gate_at(self, protection: Protection, place: Any) -> RouteGate:
        """A gate that stands nowhere."""
        app = self.get_app(place)
        standing = route_gate_at(app)
        return RouteGate(protection, app if standing is None else standing.full)

    def answer_errors(self, protection: Protection, app: Any) -> None:
        """Nothing is changed."""


def is_starlettes(app: Any) -> bool:
    """Whether an application is Starlette's own: FastAPI's serves more than stands in the list of routes.

    Args:
        app: an application.
    """
    return isinstance(app, Starlette) and type(app.router).app is Router.app
