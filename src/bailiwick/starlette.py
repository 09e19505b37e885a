"""The guard for Starlette's routes, mounts and WebSockets.

from bailiwick.starlette import Guard

guard = Guard(catalog, verifier)

@guard.requires("reports:read")
async def report(request):
    caller = guard.caller(request.scope)
    ...

app = Starlette(routes=[Route("/report", report), Mount("/files", guard.wrap(StaticFiles(...), "files:read"))])
guard.protect(app)
"""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import update_wrapper
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute, request_response, websocket_session

from . import asgi
from .asgi import Gate, Public, as_requirement, closes_on_expiry, step_up_of
from .errors import BailiwickError, ConfigurationError
from .graph import Access, Kind, Plan, RoutePlan, combine
from .scopes import Requirement

__all__ = ["Guard", "declared_by"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

# Where a decorated endpoint keeps what it declared.
MARK = "__bailiwick__"


class Guard(asgi.Guard):
    """Guards Starlette endpoints, routes and whole applications.

    Takes what `bailiwick.asgi.Guard` takes.

    Source: RFC 6750 section 3.
    """

    def requires(
        self,
        *scopes: str | Requirement,
        acr: str | tuple[str, ...] = (),
        max_age: int | None = None,
        on_expiry: str | None = None,
    ) -> Callable[[Any], Any]:
        """Decorate an endpoint: a function (sync or async) or a class, for HTTP or WebSocket.

        Args:
            scopes: scope names or requirements, all of which are needed; none means any valid token.
            acr: acceptable authentication context classes (RFC 9470).
            max_age: the greatest age of the authentication in seconds (RFC 9470).
            on_expiry: "close" ends a long response when the token expires.

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        requirement = as_requirement(scopes, self.catalog, where="requires()")
        return self._decorator(
            Access.GUARDED,
            requirement,
            step_up=step_up_of(acr, max_age),
            close_on_expiry=closes_on_expiry(on_expiry),
        )

    def optional(self, *scopes: str | Requirement) -> Callable[[Any], Any]:
        """Decorate an endpoint for which a caller may be anonymous; a bad token is always answered 401.

        Args:
            scopes: what a caller needs who does present a token.
        """
        return self._decorator(Access.OPTIONAL, as_requirement(scopes, self.catalog, where="optional()"))

    def public(self, reason: str) -> Any:
        """State that an endpoint is open to everyone; also for `default=` and `mounts=` of `protect`.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return _PublicMark(reason)

    def _decorator(self, access: Access, requirement: Requirement | None, **more: Any) -> Callable[[Any], Any]:
        both, rule = combine([requirement] if requirement is not None else [], self.catalog, where="requires()")
        plan = RoutePlan("", (), Kind.HTTP, "", "", access, both, rule=rule, **more)

        def decorate(endpoint: Any) -> Any:
            return _guarded(self, replace(plan, name=_name(endpoint), source=_source(endpoint)), endpoint)

        setattr(decorate, MARK, plan)
        return decorate

    def protect(self, app: Starlette, *, mounts: Mapping[str, Any] | None = None, default: Any = None) -> None:
        """Close an application by default: its start fails if a reachable route is not settled.

        Args:
            app: the application; routes may be added before or after this call.
            mounts: what mounted applications need, by their path: `guard.requires(...)` or `guard.public(...)`.
            default: what a route needs that declares nothing.

        Raises:
            ConfigurationError: an argument is not a declaration.
        """
        for where, value in [("default", default), *(mounts or {}).items()]:
            if value is not None and not isinstance(getattr(value, MARK, None), RoutePlan):
                raise ConfigurationError(f"{where} takes guard.requires(...) or guard.public(...).")
        app.add_exception_handler(BailiwickError, self.handle_error)
        if self.resource is not None:
            app.router.routes.insert(0, Route(self.resource.metadata_path, self._metadata_of(app)))
        lifespan, inner = app.router.lifespan_context, app.router.middleware_stack
        known: list[int] = []

        @asynccontextmanager
        async def checked_first(started: Any) -> AsyncIterator[Any]:
            self._settle(app, mounts or {}, default)
            known[:] = [len(app.router.routes)]
            async with lifespan(started) as state:
                yield state

        async def entrance(conn: Any, receive: Any, send: Any) -> None:
            if conn["type"] != "lifespan" and known != [len(app.router.routes)]:
                self._settle(app, mounts or {}, default)
                known[:] = [len(app.router.routes)]
            await inner(conn, receive, send)

        app.router.lifespan_context = checked_first
        app.router.middleware_stack = entrance  # type: ignore[assignment]  # Starlette's own types are wider

    def plan(self, app: Starlette) -> Plan:
        """What every reachable route of an application declares.

        Args:
            app: the application.
        """
        return Plan(tuple(entry for entry, _ in _entries(app.router.routes, "", {}, None)))

    def _settle(self, app: Starlette, mounts: Mapping[str, Any], default: Any) -> Plan:
        found = list(_entries(app.router.routes, "", mounts, default))
        plan = Plan(tuple(entry for entry, _ in found)).check()
        for entry, route in found:
            if route is not None and entry.access is not Access.PUBLIC:
                route.app = _EndpointGate(self, entry, route.app)
        return plan

    def _metadata_of(self, app: Starlette) -> Callable[[Request], Response]:
        def metadata(_request: Request) -> Response:
            return JSONResponse(self.resource_document(self.plan(app)))

        endpoint: Callable[[Request], Response] = self.public("protected resource metadata (RFC 9728)")(metadata)
        return endpoint

    async def handle_error(self, _request: Request, error: Exception) -> Response:
        """The exception handler that answers Bailiwick's errors exactly.

        Args:
            error: a `BailiwickError`.
        """
        if not isinstance(error, BailiwickError):
            raise error
        answer = self.challenge.answer(error)
        return Response(answer.body, status_code=answer.status, headers=answer.text_headers)


class _PublicMark:
    """`guard.public(reason)`: a decorator that marks an endpoint and changes nothing about it."""

    def __init__(self, reason: str) -> None:
        setattr(self, MARK, RoutePlan("", (), Kind.HTTP, "", "", Access.PUBLIC, reason=Public(reason).reason))

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        setattr(endpoint, MARK, replace(getattr(self, MARK), name=_name(endpoint), source=_source(endpoint)))
        return endpoint


class _EndpointGate(Gate):
    """A gate in front of one endpoint; in-handler checks are answered as exactly as its own refusals."""

    __slots__ = ()

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        answer_here(conn, BailiwickError, self.guard.handle_error)  # type: ignore[attr-defined]  # made by Guard above
        await Gate.__call__(self, conn, receive, send)


def answer_here(conn: Any, error_class: type[Exception], handler: Callable[..., Any]) -> None:
    """Make one request answer errors of Bailiwick exactly, also in an application without `protect`.

    Starlette keeps its table of exception handlers on the connection; a handler that the
    application registered itself stays.

    Args:
        conn: the ASGI connection scope.
        error_class: the class of errors.
        handler: an exception handler.
    """
    table = conn.get("starlette.exception_handlers")
    if table is not None:
        table[0].setdefault(error_class, handler)


def _guarded(guard: Guard, plan: RoutePlan, endpoint: Any) -> Any:
    """The endpoint behind a gate, still of a kind that Starlette treats as it would have treated the endpoint."""
    earlier: RoutePlan | None = getattr(endpoint, MARK, None)
    if earlier is not None and earlier.access is Access.PUBLIC:
        raise ConfigurationError(f"{plan.name} is declared public ({earlier.reason}) and has a requirement as well.")
    if not (inspect.isfunction(endpoint) or inspect.ismethod(endpoint)):
        return _EndpointGate(guard, plan, endpoint)  # a class, or any other ASGI application
    over_http = _EndpointGate(guard, plan, request_response(endpoint))
    over_socket = _EndpointGate(guard, plan, websocket_session(endpoint))

    # A function, so that Route still gives it the method GET; what it returns is called as a response is.
    async def guarded(conn: Any) -> Any:
        if conn.scope["type"] == "websocket":
            return await over_socket(conn.scope, conn._receive, conn._send)  # noqa: SLF001 - the gate makes its own
        return over_http

    update_wrapper(guarded, endpoint)
    both = plan
    if earlier is not None and earlier.requirement is not None:
        needed = [one for one in (earlier.requirement, plan.requirement) if one is not None]
        requirement, rule = combine(needed, guard.catalog, where=plan.name)
        both = replace(plan, requirement=requirement, rule=rule)
    setattr(guarded, MARK, both)
    return guarded


def _entries(
    routes: Any, prefix: str, mounts: Mapping[str, Any], default: Any
) -> Iterator[tuple[RoutePlan, Any | None]]:
    """Each reachable route's entry, and the route itself where a gate is still to be put in front of it."""
    for route in routes:
        path = prefix + getattr(route, "path", "")
        if isinstance(route, Mount | Host):
            yield from _mounted(route, path, mounts, default)
            continue
        declared = declared_by(route)
        todo = declared is None
        if declared is None:
            declared = getattr(mounts.get(path, default), MARK, None)
        if declared is None:
            declared = RoutePlan("", (), Kind.HTTP, "", "", Access.UNDECLARED)
        endpoint = getattr(route, "endpoint", route)
        yield (
            replace(
                declared,
                path=path or "/",
                methods=tuple(sorted(getattr(route, "methods", None) or ())),
                kind=Kind.WEBSOCKET if isinstance(route, WebSocketRoute) else Kind.HTTP,
                name=getattr(route, "name", "") or _name(endpoint),
                source=_source(endpoint),
            ),
            route if todo else None,
        )


def declared_by(route: BaseRoute) -> RoutePlan | None:
    """What a route's endpoint declares itself: by a decorator of this door, or by `guard.wrap`; or None.

    Args:
        route: a route of Starlette's kind.
    """
    for holder in (getattr(route, "endpoint", None), getattr(route, "app", None)):
        if isinstance(holder, Gate):
            return holder.route
        # Of a class only its own mark counts: what opens a base class must not open all that are derived from it.
        found = vars(holder).get(MARK) if isinstance(holder, type) else getattr(holder, MARK, None)
        if isinstance(found, RoutePlan):
            return found
    return None


def _mounted(route: Any, path: str, mounts: Mapping[str, Any], default: Any) -> Iterator[tuple[RoutePlan, Any | None]]:
    inner = getattr(route, "_base_app", None) or route.app
    if isinstance(route.app, Gate):
        yield replace(route.app.route, path=path, kind=Kind.MOUNT), None
        return
    settled = getattr(mounts.get(path.rstrip("/")), MARK, None)
    if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
        settled = RoutePlan("", (), Kind.MOUNT, "", "", Access.PUBLIC, reason=reason)
    if settled is None and isinstance(inner, Starlette | Router):
        yield from _entries(inner.routes, path, mounts, default)
        return
    if settled is None:
        settled = getattr(default, MARK, None) or RoutePlan("", (), Kind.MOUNT, "", "", Access.UNDECLARED)
    yield replace(settled, path=path, kind=Kind.MOUNT, name=_name(inner), source=""), route


def _name(endpoint: Any) -> str:
    return getattr(endpoint, "__name__", type(endpoint).__name__)


def _source(endpoint: Any) -> str:
    try:
        plain = inspect.unwrap(endpoint)
        return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
    except (TypeError, OSError):
        return ""
