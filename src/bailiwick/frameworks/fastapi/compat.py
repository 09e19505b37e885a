"""Everything of FastAPI's internals that the FastAPI door touches, in one place.

FastAPI's public names are imported by the door itself. What stands here has changed between
releases, or has no public name; `make test-matrix` runs the door's tests on releases from 0.123.10 on.

* 0.137 made `app.routes` a tree: an included router is one entry, and each inclusion has its own
  "effective context" with its own `path` and `dependant` (0.137.2 has a walker for it). Before, an
  included route was declared again on whatever included it.
* 0.138 brought `app.frontend()`: routes that are tried after all others.
* 0.140 made `Dependant` a slotted dataclass without cached properties; before, a copy would have
  carried the cached values of the original.
* 0.142.1 builds the handler of an included route once for each inclusion, and keeps it as the
  context's `app`. From 0.137 to 0.142.0 it is built for each request, inside the route's `handle`.
"""

import contextvars
import copy
import dataclasses
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final

import fastapi
import pydantic
from fastapi import encoders, routing
from fastapi.dependencies import models, utils
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from starlette.requests import HTTPConnection, Request
from starlette.routing import BaseRoute, Host, Mount, Route, WebSocketRoute

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.starlette.adapter import Place as StarlettePlace
from bailiwick.frameworks.starlette.fallback import Fallback
from bailiwick.guard.framework_hooks import FrameworkHook
from bailiwick.guard.route_list import Owner, Owners, RouteList
from bailiwick.scopes import Principal, ScopeSet

__all__ = [
    "FRAMEWORK_HOOKS",
    "Dependant",
    "GatedContexts",
    "Place",
    "cache_key_of",
    "check_version",
    "fast_app",
    "frontend_list",
    "frontends_of",
    "gate_inclusion",
    "get_app",
    "hands_over",
    "has_own_handler",
    "is_documentation",
    "is_inclusion",
    "is_observed",
    "is_overridden",
    "is_plain_dependency",
    "kind_of",
    "list_parts",
    "overrides_of",
    "parameters_of",
    "place_of",
    "runs_in_a_thread",
    "serve_first",
    "served_by",
    "set_app",
    "solve_here",
    "with_children",
]

# What is used here that the framework does not promise, for docs/reference/framework-hooks.md.
FRAMEWORK_HOOKS: Final = (
    FrameworkHook(
        "`effective_candidates`, `effective_low_priority_routes` of an inclusion",
        "patched",
        "0.137.2 and later",
        reason="FastAPI makes the routes of an included router when it looks for a match.",
        without="Included routes have no gates.",
        test="test_fastapi_routes_exchanged.py::test_an_included_router_that_changes_after_a_connection_came_in_stays_closed",
    ),
    FrameworkHook(
        "`APIRouter._low_priority_routes`",
        "patched",
        "0.138 and later",
        reason="`app.frontend()` keeps what it serves apart from the list of routes.",
        without="A frontend has no gate.",
        test="test_fastapi_versions.py::test_a_frontend_is_gated_wherever_it_is_declared",
    ),
    FrameworkHook(
        "`APIRouter._mark_routes_changed`",
        "read",
        "0.137 and later",
        reason="Routers that include another are told of its changes by this method only.",
        without="The metadata of RFC 9728 is not served by an application that is included, and a start-up's changes of an included router have no effect.",
        test="test_fastapi_closed_from_protect.py::test_a_check_that_the_startup_puts_in_front_of_a_route_runs_also_where_it_is_included",
    ),
    FrameworkHook(
        "`handle` of an included route; `effective_route_context` on a connection",
        "patched",
        "0.137 to 0.142.0",
        reason="Until 0.142.1 FastAPI builds an included route for each request, inside of `handle`.",
        without="Each inclusion of one route has the gate of the last.",
        test="test_fastapi_versions.py::test_each_inclusion_of_one_router_has_a_gate_with_its_own_plan",
    ),
    FrameworkHook(
        "`encoders.encoders_by_class_tuples`",
        "patched",
        "0.123.10 and later",
        reason="`jsonable_encoder` takes an unknown object apart by `dict()`, and has no hook for a class.",
        without="`return caller` answers 500.",
        test="test_fastapi_caller_as_answer.py::test_the_caller_is_answered_without_claims_and_token",
    ),
    FrameworkHook(
        "`dependencies.models.Dependant`, its fields, `_get_cache_key`, `_is_*_callable`",
        "read",
        "0.123.10 and later",
        reason="FastAPI has no public name for a route's dependency tree.",
        without="Nothing that a route declares is found; the start fails.",
        test="test_fastapi_guard.py::test_requirements_of_app_router_include_route_and_parameter_add_up",
    ),
    FrameworkHook(
        "`APIRoute.get_route_handler` over another tree, `_effective_route_context_var`, `wrap_app_with_body_limit`, and what `request_response` closes over",
        "read",
        "0.123.10 and later",
        reason="What the gate has settled must not run again in FastAPI's solver.",
        without="Routes run in full behind their gates, more slowly.",
        test="test_fastapi_compiled_dependencies.py::test_three_deep_with_three_scope_sets_each_function_sees_its_own",
    ),
    FrameworkHook(
        "`dependencies.utils.get_typed_signature`",
        "read",
        "0.123.10 and later",
        reason="Annotations have to be understood as FastAPI understands them.",
        without="A guard is seen that FastAPI does not run, or the other way round.",
        test="test_fastapi_signatures.py::test_a_guard_that_fastapi_drops_is_refused_however_it_is_made",
    ),
    FrameworkHook(
        "`dependencies.utils.solve_dependencies`, `fastapi_inner_astack` on a connection",
        "read",
        "0.123.10 and later",
        reason="What a test puts in the place of the guard is a dependency, and has to run as one.",
        without="`dependency_overrides` of the guard have no effect on early refusals.",
        test="test_fastapi_overrides.py::test_what_stands_in_for_the_guard_is_run_as_a_dependency_for_optional_callers_too",
    ),
    FrameworkHook(
        "`fastapi.telemetry` on a connection; `routing.solve_dependencies`, `routing.run_endpoint_function`",
        "read",
        "0.165 and later; 0.123.10 and later",
        reason="Who observes FastAPI is to be shown the tree that the author wrote.",
        without="Traces show arguments that nobody wrote.",
        test="test_fastapi_observed.py::test_who_observes_fastapis_solver_sees_the_arguments_as_they_were_written",
    ),
    FrameworkHook(
        "code objects of `FastAPI.setup`",
        "read",
        "0.123.10 and later",
        reason="FastAPI's pages and document bear no mark.",
        without="A route at `/docs` that is none of FastAPI's is taken for documentation, or the pages are closed.",
        test="test_fastapi_paths_of_our_own.py::test_only_fastapis_own_documentation_is_public_and_not_what_else_stands_at_its_paths",
    ),
)

ASGIApp = Callable[..., Any]

TELEMETRY: Final = "fastapi.telemetry"  # on each connection of an application that is observed

UNSUPPORTED: Final = {(0, 137, 0), (0, 137, 1)}
OLDEST: Final = (0, 123, 10)
OLDEST_PYDANTIC: Final = 2

_context_var: contextvars.ContextVar[Any] | None = getattr(routing, "_effective_route_context_var", None)
_with_body_limit: Callable[..., ASGIApp] | None = getattr(routing, "wrap_app_with_body_limit", None)


def check_version(version: str | None = None) -> None:
    """Refuse a FastAPI on which routes cannot be walked, and a pydantic that cannot write a guarded application's OpenAPI document.

    Args:
        version: a version of FastAPI; None means the installed one.

    Raises:
        ConfigurationError: FastAPI is older than 0.123.10, or 0.137.0 or 0.137.1, or pydantic is older than 2.
    """
    version = fastapi.__version__ if version is None else version
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3])
    if numbers < OLDEST or numbers in UNSUPPORTED:
        raise ConfigurationError(
            f"FastAPI {version} is not supported: Bailiwick needs 0.123.10 or later, and neither 0.137.0 nor 0.137.1.",
            id="BW124",
        )
    if int(pydantic.VERSION.partition(".")[0]) < OLDEST_PYDANTIC:  # FastAPI 0.123 to 0.125 run on pydantic 1 too
        raise ConfigurationError(
            f"pydantic {pydantic.VERSION} is not supported: Bailiwick needs 2 or later. pip install 'pydantic>=2'",
            id="BW124",
        )


def _register_encoders() -> None:
    """Let FastAPI answer a Principal with what is safe to show of it, and a ScopeSet with a list of its names.

    `jsonable_encoder` asks its tables, and then takes an unknown object apart by `dict()`: that fails, or makes
    {"a": "b"} of a scope "ab". The tables have no underscore and stand in every FastAPI, but are not documented.
    """
    encoders.encoders_by_class_tuples[Principal.to_dict] = (Principal,)
    encoders.encoders_by_class_tuples[_names_in] = (ScopeSet,)


def _names_in(scopes: ScopeSet) -> list[str]:
    return list(scopes)


_register_encoders()


@dataclasses.dataclass(frozen=True, slots=True)
class Place(StarlettePlace):
    """One route of a FastAPI application as the framework will really serve it.

    `route` is a route, or the effective context of an included one.

    Attributes:
        dependant: FastAPI's dependency tree of the route, or None if it has none.
        provider: the application whose `dependency_overrides` count here, or None.
    """

    dependant: Dependant | None = None
    provider: Any = None

    @property
    def is_websocket(self) -> bool:
        """Whether it is a WebSocket route."""
        return isinstance(self.original, WebSocketRoute)

    @property
    def documented(self) -> str:
        """The path as OpenAPI writes it, without convertors."""
        return getattr(self.route, "path_format", None) or self.path

    @property
    def in_schema(self) -> bool:
        """Whether OpenAPI describes it."""
        return isinstance(self.original, routing.APIRoute) and bool(getattr(self.route, "include_in_schema", True))


def place_of(found: Any, provider: Any = None) -> Place:
    """What a router serves, or what an inclusion lists, as a place.

    Args:
        found: a route, or the effective context of an included one.
        provider: the application whose `dependency_overrides` count where the route does not say so.
    """
    original = getattr(found, "original_route", found)
    route = getattr(found, "starlette_route", None) or found
    # A WebSocket route does not say whose overrides count; they are those of the router's application.
    provider = getattr(route, "dependency_overrides_provider", None) or provider
    path = getattr(route, "path", "") or ""
    if type(original).__name__ == "_FrontendRouteGroup":
        path = getattr(found, "frontend_prefix", "") or "/"
    methods = getattr(route, "methods", None) or getattr(original, "methods", None) or ()
    return Place(route, original, path, tuple(sorted(methods)), getattr(route, "dependant", None), provider)


# -- included routers (FastAPI 0.137 and later) -----------------------------------------------------------------


def is_inclusion(route: Any) -> bool:
    """Whether an entry of a list of routes is an included router.

    Args:
        route: the entry.
    """
    return hasattr(route, "effective_candidates")


def served_by(route: Any, provider: Any) -> Iterator[Place]:
    """What an entry of a list of routes serves: itself, or the routes of an included router.

    Args:
        route: the entry.
        provider: the application whose `dependency_overrides` count where a route does not say so.
    """
    if not is_inclusion(route):
        yield place_of(route, provider)
        return
    for candidate in route.effective_candidates():
        yield from served_by(candidate, provider)


def frontends_of(route: Any, provider: Any) -> Iterator[Place]:
    """What `router.frontend()` serves of an included router: it is tried after everything else.

    Args:
        route: an entry of a list of routes.
        provider: as for `served_by`.
    """
    for candidate in route.effective_low_priority_routes() if hasattr(route, "effective_low_priority_routes") else ():
        yield place_of(candidate, provider)


class GatedContexts:
    """Stands in for a method by which an inclusion lists what it serves: each route has a gate before it is shown.

    FastAPI makes the routes of an included router when it looks for a match, and anew when that router has changed. (0.137 and later;
    tests/doors/test_fastapi_routes_exchanged.py, "an included router ...")

    Args:
        plain: FastAPI's method.
    """

    __slots__ = ("__weakref__", "_gated", "_plain", "owners")

    def __init__(self, plain: Callable[[], list[Any]]) -> None:
        self._plain: Any = plain
        self._gated: tuple[Any, Any] = (None, None)
        self.owners = Owners()

    def __call__(self) -> list[Any]:
        """What the inclusion serves."""
        listed: list[Any] = self._plain()
        known = self.owners.known
        gated, gated_for = self._gated
        if listed is not gated or known is not gated_for:
            for owner in self.owners:
                for one in listed:
                    owner.gate(one)
            self._gated = listed, known
            if gated is not None:
                for owner in self.owners:
                    owner.invalidate()
        return listed

    def build_anew(self) -> None:
        """Have FastAPI make the routes of the included router anew, when it is asked for them."""
        self._plain.__self__.original_router._mark_routes_changed()  # noqa: SLF001 - what FastAPI calls when routes are added


def gate_inclusion(inclusion: Any, owner: Owner) -> Iterator[GatedContexts]:
    """Have a gate in front of whatever an included router serves, before it can be seen.

    Args:
        inclusion: the entry of a list of routes.
        owner: whose gates.
    """
    for name in ("effective_candidates", "effective_low_priority_routes"):
        if hasattr(inclusion, name):
            listed = vars(inclusion).get(name)
            if not isinstance(listed, GatedContexts):
                listed = GatedContexts(getattr(inclusion, name))
                setattr(inclusion, name, listed)
            listed.owners.add(owner)
            yield listed


def frontend_list(router: Any) -> RouteList | None:
    """The list of what `router.frontend()` serves, in which each has a gate; None where FastAPI has no such thing (before 0.138).

    Args:
        router: `app.router`.
    """
    routes = getattr(router, "_low_priority_routes", None)
    if routes is not None and not isinstance(routes, RouteList):
        routes = router._low_priority_routes = RouteList(routes)  # noqa: SLF001
    return routes


def serve_first(router: Any, route: BaseRoute) -> None:
    """Add a route before all others.

    Args:
        router: `app.router`.
        route: the route.
    """
    router.routes.insert(0, route)
    mark = getattr(router, "_mark_routes_changed", None)  # the list does not tell those who include the router
    if mark is not None:
        mark()


# -- where a gate stands ------------------------------------------------------------------------------------------


def get_app(place: Place) -> ASGIApp:
    """What a connection that matched a place is handed over to; a gate, if one stands there.

    Args:
        place: the place.
    """
    route = place.route
    if getattr(route, "app", None) is not None and hands_over(place):
        return route.app  # type: ignore[no-any-return]
    handling = place.served
    handle: Any = vars(handling).get("handle") or partial(type(handling).handle, handling)
    if not isinstance(handle, _Handle):
        return handle  # type: ignore[no-any-return]
    return handle.gate if route is handling else getattr(route, "bailiwick_gate", handle.plain)


def set_app(place: Place, app: ASGIApp) -> None:
    """Put a gate where the router hands a matched connection over.

    The router has matched by then, so 404, 405 and redirects stay what they are, and the decision
    never depends on how a path was written (CVE-2026-48710).

    Args:
        place: the place.
        app: the gate.
    """
    route = place.route
    if getattr(route, "app", None) is not None and hands_over(place):
        route.app = app
        return
    # An included route on FastAPI up to 0.142.0, a frontend, a route that handles connections in a way of its own.
    handling = place.served
    handle: Any = vars(handling).get("handle") or partial(type(handling).handle, handling)
    if not isinstance(handle, _Handle):
        handle = _Handle(handling, handle)
        handling.handle = handle
    if route is handling:
        handle.gate = app
    else:
        route.bailiwick_gate = app


def hands_over(place: Place) -> bool:
    """Whether the route's `handle` is the framework's, and passes every matched connection to `app`.

    Args:
        place: the place.
    """
    if isinstance(place.original, Fallback):
        return True
    if not isinstance(place.route, BaseRoute) and not isinstance(place.original, routing.APIRoute):
        return True  # an included frontend: the router calls the context's `app` itself
    handling = place.served
    return type(handling).handle in _FRAMEWORKS and "handle" not in vars(handling)


_FRAMEWORKS: Final = frozenset(
    kind.handle for kind in (Route, WebSocketRoute, Mount, Host, routing.APIRoute, routing.APIWebSocketRoute)
)


class _Handle:
    """Stands in for a route's `handle`, and finds the gate of the inclusion through which the connection came.

    Each inclusion has a gate of its own, kept on its effective context: the same route may be included
    behind different requirements. FastAPI names the context on the connection when it has matched.
    """

    __slots__ = ("gate", "plain", "route")

    def __init__(self, route: BaseRoute, plain: ASGIApp) -> None:
        self.route = route
        self.plain = plain
        self.gate = plain

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        context = conn.get("fastapi", {}).get("effective_route_context")
        if context is None or context.original_route is not self.route:
            await self.gate(conn, receive, send)
            return
        methods = getattr(context, "methods", None)
        if methods and conn.get("method") not in methods:
            await self.plain(conn, receive, send)  # it answers 405, as it does in front of any other gate
            return
        # No gate: the inclusion belongs to an application that nobody protects.
        await getattr(context, "bailiwick_gate", self.plain)(conn, receive, send)


def parameters_of(call: Any) -> list[inspect.Parameter]:
    """The parameters of a callable as FastAPI reads them: annotations that are text are evaluated by what its module knows.

    FastAPI has no public name for it. Evaluated in another way, text would be refused that FastAPI understands, or a guard seen in
    it that FastAPI does not see; `tests/doors/test_fastapi_signatures.py` would notice.

    Args:
        call: a handler or a dependency.

    Raises:
        ConfigurationError: it has no signature that can be read.
    """
    try:
        return list(utils.get_typed_signature(call).parameters.values())
    except (TypeError, ValueError) as unreadable:
        raise ConfigurationError(f"{call!r} has no signature that can be read.", id="BW122") from unreadable


def with_children(dependant: Dependant, children: Sequence[Dependant], **changes: Any) -> Dependant:
    """A copy of a dependency tree's node with other children; nothing that was cached is carried over."""
    return dataclasses.replace(dependant, dependencies=list(children), **changes)


def list_parts(tree: Dependant) -> list[Any]:
    """List all that a dependency tree consists of, so that by comparing the objects a later change of it is seen.

    Args:
        tree: the root.
    """
    parts: list[Any] = []
    for one in dataclasses.fields(tree):
        value = getattr(tree, one.name)
        if one.name == "dependencies":
            parts += [len(value), *(part for child in value for part in list_parts(child))]
        elif isinstance(value, list):
            parts += [len(value), *value]
        else:
            parts.append(value)
    return parts


def fast_app(
    place: Place, full: ASGIApp, dependant: Dependant, around: Iterable[Callable[[Any], Any]] = ()
) -> ASGIApp | None:
    """The route's application, built by FastAPI itself over another dependency tree.

    Args:
        place: an HTTP route of FastAPI.
        full: the route's application as it stands, without a gate.
        dependant: the tree to use.
        around: what is put around the route's handler, the innermost first.

    Returns:
        An ASGI application, or None for a route that is not FastAPI's own, or that somebody wrapped or rebuilt.
    """
    original = place.original
    if not isinstance(original, routing.APIRoute) or type(original).handle is not routing.APIRoute.handle:
        return None
    handler = _handler(place, dependant)
    if handler is None or (getattr(place.route, "app", None) is not None and not _is_built_over(full, handler)):
        return None
    for wrap in around:
        handler = wrap(handler)
    app: ASGIApp = routing.request_response(handler)
    if _with_body_limit is not None:
        app = _with_body_limit(app, getattr(place.route, "max_body_size", None))
    return app


def _handler(place: Place, dependant: Dependant) -> Any:
    """What FastAPI builds over a dependency tree for a route; None if this FastAPI cannot be asked for it."""
    original: Any = place.original
    clone = copy.copy(place.route)
    clone.dependant = dependant
    call = dependant.call
    try:
        if place.route is original:
            return clone.get_route_handler()
        if _context_var is None:
            return None
        token = _context_var.set(clone)
        try:
            return original.get_route_handler()
        finally:
            _context_var.reset(token)
    finally:
        # sentry-sdk and others wrap the call at each build, and did so when FastAPI built the route: once is enough.
        dependant.call = call


def has_own_handler(place: Place, full: ASGIApp) -> bool:
    """Whether a route's handler is FastAPI's, and nothing around it: route classes may map exceptions there, or make
    another request for what runs inside ("Custom Request and APIRoute class"), and libraries put theirs around it.

    The handler is looked up in what was built, not built again: see `_handler`.

    Args:
        place: the route.
        full: the route's application as it stands, without a gate.
    """
    original = place.original
    if (
        place.dependant is None
        or getattr(type(original), "get_route_handler", None) is not routing.APIRoute.get_route_handler
        or "get_route_handler" in vars(original)
    ):
        return False
    if getattr(place.route, "app", None) is None:
        # Included, on FastAPI 0.137 to 0.142.0: built for each request, and by nobody else's function.
        return _is_of(routing, vars(routing).get("get_request_handler"))
    handler = _handler_of(full)
    return _is_of(routing, handler) and handler.__code__.co_qualname == "get_request_handler.<locals>.app"


def _handler_of(app: Any) -> Any:
    """Return the handler over which FastAPI built an application; None if there is anything around or instead of it.

    Route classes put their own around `self.app`, and libraries build a route's application anew.
    """
    while type(app) in _LIMITS:
        app = app.app
    # Not a proxy of one, which would answer with the code of what it stands around; see `_is_of`.
    if type(app) is not FunctionType or app.__code__ is not _REQUEST_RESPONSE:
        return None
    cell = dict(zip(app.__code__.co_freevars, app.__closure__ or (), strict=True)).get("f")
    return cell.cell_contents if cell is not None else None


def _is_built_over(app: Any, handler: Any) -> bool:
    """Whether an application is what FastAPI builds over such a handler."""
    built = _handler_of(app)
    return type(built) is type(handler) and getattr(built, "__code__", None) is getattr(handler, "__code__", handler)


async def _no_response(_request: Any) -> Any:
    """A handler, to look at what FastAPI builds over one."""


def _limits() -> frozenset[type]:
    """What FastAPI puts around a route that has a limit for its body."""
    found: set[type] = set()
    if _with_body_limit is not None:
        app: Any = _with_body_limit(_no_response, 1)
        while app is not _no_response:
            found.add(type(app))
            app = app.app
    return frozenset(found)


_REQUEST_RESPONSE: Final = getattr(routing.request_response(_no_response), "__code__", None)
_LIMITS: Final = _limits()


_DOCUMENTATION: Final = frozenset(
    code for code in inspect.unwrap(fastapi.FastAPI.setup).__code__.co_consts if isinstance(code, CodeType)
)


class NoOverrides:
    """Stands in where nothing can be overridden."""

    dependency_overrides: Final[dict[Any, Any]] = {}


def overrides_of(place: Place) -> Any:
    """What has the mapping `dependency_overrides` for this route; a test may fill it later, or put another there."""
    return place.provider if hasattr(place.provider, "dependency_overrides") else NoOverrides


def is_documentation(place: Place) -> bool:
    """Whether it is one of the pages, or the document, that FastAPI made itself: not whatever else stands at their paths."""
    route = place.original
    if not isinstance(route, Route) or place.dependant is not None or not {"GET", "HEAD"}.issuperset(place.methods):
        return False
    return getattr(route.endpoint, "__code__", None) in _DOCUMENTATION


def is_observed(conn: Any) -> bool:
    """Whether somebody is shown what a handler is called with and how its dependencies run, which is to be what the route's
    author wrote: FastAPI's telemetry (0.165), which names itself also on connections that it leaves out; or a library
    that has put its own in the place of FastAPI's functions for it, as logfire does.

    Args:
        conn: the ASGI connection scope.
    """
    return TELEMETRY in conn or not (
        _is_of(utils, vars(routing).get("solve_dependencies")) and _is_of(routing, routing.run_endpoint_function)
    )


def _is_of(module: ModuleType, function: Any) -> bool:
    """Whether a function was written in a module: what stands in for it may say so, but sees other globals.

    A proxy, as wrapt makes them for New Relic and Datadog, answers in the name of the function behind it whatever is asked of it,
    even for its class. Only Python knows better.
    """
    return type(function) is FunctionType and function.__globals__ is vars(module)


def is_overridden(call: Any, conn: HTTPConnection) -> bool:
    """Whether a test has put something in the place of a dependency, for the application that serves a connection.

    Args:
        call: the dependency.
        conn: the connection.
    """
    return call in getattr(conn.scope.get("app"), "dependency_overrides", ())


async def solve_here(call: Any, scopes: Sequence[str], conn: HTTPConnection) -> Any:
    """Run what stands in for a dependency, as FastAPI would run it in this place.

    Args:
        call: the dependency that is overridden.
        scopes: those of the place.
        conn: the request or WebSocket, as dependencies are given it.

    Raises:
        RequestValidationError: what the dependency takes from the request is not there; of a WebSocket likewise.
    """
    path = "/".join(f"{{{name}}}" for name in conn.path_params)
    # Only the call is looked at: FastAPI reads the signature of what stands in for it.
    asked = Dependant(call=call, name="value", path=path, own_oauth_scopes=list(scopes))
    solved = await utils.solve_dependencies(
        request=conn,  # type: ignore[arg-type]
        dependant=Dependant(path=path, dependencies=[asked]),
        dependency_overrides_provider=conn.scope.get("app"),
        async_exit_stack=conn.scope["fastapi_inner_astack"],
        embed_body_fields=False,
    )
    if solved.errors:
        is_request = isinstance(conn, Request)
        raise (RequestValidationError if is_request else WebSocketRequestValidationError)(solved.errors)
    return solved.values["value"]


# What of a dependency a chain can supply; a node with anything else, known or new, is the solver's.
_PLAIN: Final = frozenset(
    {
        "call",
        "dependencies",
        "http_connection_param_name",
        "name",
        "own_oauth_scopes",
        "parent_oauth_scopes",
        "path",
        "request_param_name",
        "scope",
        "security_scopes_param_name",
        "use_cache",
    }
)


def _asks(name: str, node: Dependant) -> bool:
    # Properties of the node until 0.139, functions since.
    function = getattr(models, f"_{name}", None)
    return bool(function(node.call) if function is not None else getattr(node, name))


def kind_of(node: Dependant) -> str:
    """How FastAPI runs a dependency or handler: "coroutine", "generator", "async generator" or "function"."""
    if _asks("is_async_gen_callable", node):
        return "async generator"
    if _asks("is_gen_callable", node):
        return "generator"
    return "coroutine" if _asks("is_coroutine_callable", node) else "function"


def is_plain_dependency(node: Dependant) -> bool:
    """Whether a dependency takes nothing of a request that would have to be read, and leaves nothing to close."""
    if any(getattr(node, one.name) for one in dataclasses.fields(node) if one.name not in _PLAIN):
        return False
    return not (_asks("is_gen_callable", node) or _asks("is_async_gen_callable", node))


def runs_in_a_thread(node: Dependant) -> bool:
    """Whether FastAPI calls a dependency in a thread, because it is no coroutine function."""
    return not _asks("is_coroutine_callable", node)


def cache_key_of(node: Dependant) -> Any:
    """What FastAPI remembers the result of a dependency under, within one request."""
    function = getattr(models, "_get_cache_key", None)
    return function(dependant=node) if function is not None else node.cache_key  # type: ignore[attr-defined]
