"""Everything of FastAPI's internals that the FastAPI door touches, in one place.

FastAPI's public names are imported by the door itself. What stands here has changed between
releases, or has no public name; `make test-matrix` runs the door's tests on releases from 0.123.10 on.

* 0.137 made `app.routes` a tree: an included router is one entry, and each inclusion has its own
  "effective context" with its own `path`, `dependant` and `app` (0.137.2 has a walker for it).
* 0.140 made `Dependant` a slotted dataclass without cached properties; before, a copy would have
  carried the cached values of the original.
* 0.142 builds the handler of an included route once for each inclusion; between 0.137 and 0.141 it
  was built for each request.
"""

import contextvars
import copy
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import fastapi
from fastapi import routing
from fastapi.dependencies.models import Dependant
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute

from bailiwick.errors import ConfigurationError

__all__ = ["Dependant", "Place", "check_version", "fast_app", "places", "set_app", "with_children"]

ASGIApp = Callable[..., Any]

UNSUPPORTED: Final = {"0.137.0", "0.137.1"}
OLDEST: Final = (0, 123, 10)

_iter_contexts: Callable[..., Iterator[Any]] | None = getattr(routing, "iter_route_contexts", None)
_context_var: contextvars.ContextVar[Any] | None = getattr(routing, "_effective_route_context_var", None)
_with_body_limit: Callable[..., ASGIApp] | None = getattr(routing, "wrap_app_with_body_limit", None)


def check_version(version: str = fastapi.__version__) -> None:
    """Refuse a FastAPI on which routes cannot be walked.

    Raises:
        ConfigurationError: the version is older than 0.123.10, or 0.137.0 or 0.137.1.
    """
    numbers = tuple(int(part) for part in version.split(".")[:3] if part.isdigit())
    if numbers < OLDEST or version in UNSUPPORTED:
        raise ConfigurationError(
            f"FastAPI {version} is not supported: Bailiwick needs 0.123.10 or later, and neither 0.137.0 nor 0.137.1.",
            id="BW124",
        )


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """One route of a FastAPI application as the framework will really serve it.

    Attributes:
        route: what the router dispatches to: a route, or the effective context of an included one.
        original: the route as it was declared.
        path: the path inside this application, prefixes included.
        dependant: FastAPI's dependency tree of the route, or None if it has none.
    """

    route: Any
    original: BaseRoute
    path: str
    dependant: Dependant | None

    @property
    def endpoint(self) -> Any:
        """The handler, or what is mounted."""
        for holder in (self.route, self.original):
            endpoint = getattr(holder, "endpoint", None) or getattr(holder, "app", None)
            if endpoint is not None:
                return endpoint
        return self.original

    @property
    def is_mount(self) -> bool:
        """Whether another application stands behind it."""
        return isinstance(self.original, Mount | Host)

    @property
    def is_websocket(self) -> bool:
        """Whether it is a WebSocket route."""
        return isinstance(self.original, WebSocketRoute)

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods, sorted; empty if there are none."""
        return tuple(sorted(getattr(self.route, "methods", None) or getattr(self.original, "methods", None) or ()))

    @property
    def in_schema(self) -> bool:
        """Whether OpenAPI describes it."""
        return isinstance(self.original, routing.APIRoute) and bool(getattr(self.route, "include_in_schema", True))


def _place(route: Any, original: BaseRoute) -> Place:
    return Place(route, original, getattr(route, "path", "") or "", getattr(route, "dependant", None))


def places(router: Any) -> Iterator[Place]:
    """Every route that a router can reach, in the order in which it tries them.

    Args:
        router: `app.router`, or a plain Starlette router.
    """
    for route in router.routes:
        if _iter_contexts is None or type(route).__name__ != "_IncludedRouter":
            yield _place(route, route)
            continue
        for context in route.effective_route_contexts():
            served = context.starlette_route if context.starlette_route is not None else context
            yield _place(served, context.original_route)
    # app.frontend(): tried after everything else.
    low_priority = getattr(router, "_iter_low_priority_routes", None)
    for entry in low_priority() if low_priority is not None else ():
        original = getattr(entry, "original_route", entry)
        path = getattr(entry, "frontend_prefix", "") or "/"
        yield Place(entry, original, path, getattr(entry, "dependant", None))


def watch_changes(router: Any, changed: Callable[[], None]) -> None:
    """Call `changed` whenever a route is added to `router`, or to a router that it includes.

    Args:
        router: `app.router`.
        changed: what to call; it must be cheap.
    """
    mark = getattr(router, "_mark_routes_changed", None)
    if mark is not None and not hasattr(mark, "bailiwick_watches"):

        def marked() -> None:
            mark()
            changed()

        marked.bailiwick_watches = True  # type: ignore[attr-defined]
        router._mark_routes_changed = marked  # noqa: SLF001
    for route in router.routes:
        included = getattr(route, "original_router", None)
        if included is not None:
            watch_changes(included, changed)


def set_app(place: Place, wrap: Callable[[ASGIApp], ASGIApp]) -> None:
    """Put a gate where the router hands a matched connection over.

    The router has matched by then, so 404, 405 and redirects stay what they are, and the decision
    never depends on how a path was written (CVE-2026-48710).

    Args:
        place: the route.
        wrap: makes the gate from the application that it guards.
    """
    route = place.route
    if getattr(route, "app", None) is not None and not _is_frontend(place):
        route.app = wrap(route.app)
    else:
        route.handle = wrap(route.handle)


def _is_frontend(place: Place) -> bool:
    return type(place.original).__name__ == "_FrontendRouteGroup"


def with_children(dependant: Dependant, children: Sequence[Dependant], **changes: Any) -> Dependant:
    """A copy of a dependency tree's node with other children; nothing that was cached is carried over."""
    return dataclasses.replace(dependant, dependencies=list(children), **changes)


def fast_app(place: Place, dependant: Dependant) -> ASGIApp | None:
    """The route's application, built by FastAPI itself over another dependency tree.

    Args:
        place: an HTTP route of FastAPI.
        dependant: the tree to use.

    Returns:
        An ASGI application, or None for a route that is not FastAPI's own.
    """
    original = place.original
    if not isinstance(original, routing.APIRoute):
        return None
    clone = copy.copy(place.route)
    clone.dependant = dependant
    if place.route is original:
        handler = clone.get_route_handler()
    else:
        if _context_var is None:
            return None
        token = _context_var.set(clone)
        try:
            handler = original.get_route_handler()
        finally:
            _context_var.reset(token)
    app: ASGIApp = routing.request_response(handler)
    if _with_body_limit is not None:
        app = _with_body_limit(app, getattr(place.route, "max_body_size", None))
    return app


def overrides_of(place: Place) -> dict[Any, Any]:
    """The mapping that `app.dependency_overrides` is, for this route; it may be filled later."""
    provider = getattr(place.route, "dependency_overrides_provider", None)
    found: dict[Any, Any] | None = getattr(provider, "dependency_overrides", None)
    return found if found is not None else {}


def is_plain_route(place: Place) -> bool:
    """Whether it is a route of Starlette's kind, without a dependency tree."""
    return isinstance(place.original, Route | WebSocketRoute) and place.dependant is None
