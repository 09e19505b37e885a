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
import logging
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any, Final, TypeVar

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Host, Mount, Route, Router, WebSocketRoute, request_response, websocket_session

from . import asgi
from ._asgi.declared import Public, as_requirement, closes_on_expiry, step_up_of
from ._asgi.gate import Gate
from .errors import BailiwickError, ConfigurationError
from .graph import Access, Kind, Plan, RoutePlan, combine
from .scopes import Requirement

__all__ = ["Fallback", "Guard", "answer_errors", "answer_here", "declared_by", "fallback_of"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

log = logging.getLogger("bailiwick.guard")

# Where a decorated endpoint keeps what it declared.
MARK = "__bailiwick__"
NOT_DECLARED: Final = RoutePlan("", (), Kind.HTTP, "", "", Access.UNDECLARED)


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

    def public(self, reason: str) -> "_PublicMark":
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
        decorate.guard = self  # type: ignore[attr-defined]  # read where it settles a group
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
        if app in PROTECTED:
            raise ConfigurationError("This application is protected already.")
        for where, value in [("default", default), *(mounts or {}).items()]:
            if value is not None and not isinstance(getattr(value, MARK, None), RoutePlan):
                raise ConfigurationError(f"{where} takes guard.requires(...) or guard.public(...).")
            if getattr(value, "guard", self) is not self:
                raise ConfigurationError(f"{where} was made by another guard; its tokens would not be verified here.")
        if self.resource is not None:
            app.router.routes.insert(0, Route(self.resource.metadata_path, self._metadata_of(app)))
        _Protection(self, app, mounts or {}, default).install()

    def plan(self, app: Starlette) -> Plan:
        """What every reachable route of an application needs; of one that is not protected, what it declares.

        Args:
            app: the application.

        Raises:
            ConfigurationError: a route of a protected application is not settled.
        """
        found = PROTECTED.get(app)
        protection = found() if found is not None else None
        if protection is not None:
            return protection.settle()
        return Plan(tuple(entry for entry, _ in _Walk({}, None).entries(app, "")))

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


class _Protection:
    """One application under one guard: settled at start, and again if its routes change."""

    def __init__(self, guard: Guard, app: Starlette, mounts: Mapping[str, Any], default: Any) -> None:
        self.guard = guard
        self.app = app
        self.mounts = {path.rstrip("/") or "/": value for path, value in mounts.items() if value is not None}
        self.default = default
        self._plan: Plan | None = None
        # Each router that was walked, its list of routes, and what was in it.
        self._routers: list[tuple[Any, list[Any], list[Any]]] = []
        self._lock = threading.RLock()

    def install(self) -> None:
        """Hook the start and the entrance of the application."""
        app, router = self.app, self.app.router
        PROTECTED[app] = weakref.ref(self)  # the router's entrance keeps it
        answer_errors(app, BailiwickError, self.guard.handle_error)
        lifespan, inner = router.lifespan_context, router.middleware_stack

        @asynccontextmanager
        async def checked_first(started: Any) -> AsyncIterator[Any]:
            if self._plan is None:
                walk = _Walk(self.mounts, self.default)
                Plan(tuple(entry for entry, _ in walk.entries(app, ""))).check()
            async with lifespan(started) as state:
                self.settle()  # what starts up may have added routes
                yield state

        def entrance(conn: Any, receive: Any, send: Any) -> Any:
            if self._changed_since() and conn["type"] != "lifespan":
                self.settle()
            return inner(conn, receive, send)

        router.lifespan_context = checked_first
        router.middleware_stack = entrance  # type: ignore[assignment]  # Starlette's own types are wider

    def settle(self) -> Plan:
        """Read every route, insist that each is settled, and put gates where none stands yet.

        Raises:
            ConfigurationError: a route is not settled; but one that was added later is closed.
        """
        if self._plan is not None and not self._changed_since():
            return self._plan
        with self._lock:
            if self._plan is not None and not self._changed_since():
                return self._plan  # another thread was first
            walk = _Walk(self.mounts, self.default)
            found = list(walk.entries(self.app, ""))
            plan = Plan(tuple(entry for entry, _ in found))
            if self._plan is None:
                plan.check()
                if walk.unused:
                    raise ConfigurationError(
                        f"mounts= settles paths at which nothing is served: {', '.join(sorted(walk.unused))}."
                    )
            elif plan.undeclared:
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            for inner in walk.applications:
                answer_errors(inner, BailiwickError, self.guard.handle_error)
            for entry, route in found:
                if route is not None:
                    self._gate(entry, route)
            self._plan = plan
            self._routers = walk.routers
            return plan

    def _changed_since(self) -> bool:
        if self._plan is None:
            return True
        for router, routes, known in self._routers:  # noqa: SIM110 - asked for each request; a generator would cost more
            # Not only how many: a route may have been exchanged for another.
            if router.routes is not routes or routes != known:
                return True
        return False

    def _gate(self, entry: RoutePlan, route: Any) -> None:
        standing = route.app
        if isinstance(standing, _Settled):
            other = standing.protection()
            if other is not None and other is not self:
                if other.guard is self.guard and standing.route == entry:
                    return
                raise ConfigurationError(
                    f"{entry.label} is served by two protected applications that settle it differently; build it for each."
                )
            standing = standing.app
        route.app = _Settled(self, entry, standing)


class _PublicMark:
    """`guard.public(reason)`: a decorator that marks an endpoint and changes nothing about it."""

    def __init__(self, reason: str) -> None:
        setattr(self, MARK, RoutePlan("", (), Kind.HTTP, "", "", Access.PUBLIC, reason=Public(reason).reason))

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        mark = replace(getattr(self, MARK), name=_name(endpoint), source=_source(endpoint))
        marked: Any = endpoint
        if inspect.ismethod(endpoint):  # nothing can be written on a method; a partial stands for it
            marked = partial(endpoint)
        setattr(marked, MARK, mark)
        result: Endpoint = marked
        return result


class _EndpointGate(Gate):
    """A gate in front of one endpoint; in-handler checks are answered as exactly as its own refusals."""

    __slots__ = ()

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        answer_here(conn, BailiwickError, self.guard.handle_error)  # type: ignore[attr-defined]  # made by Guard above
        await Gate.__call__(self, conn, receive, send)


class _Settled(_EndpointGate):
    """A gate that `protect` put in front of a route, for one application."""

    __slots__ = ("protection",)

    def __init__(self, protection: _Protection, route: RoutePlan, app: Any) -> None:
        super().__init__(protection.guard, route, app)
        self.protection = weakref.ref(protection)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        if self.route.access is Access.PUBLIC:  # stands here only to be recognised
            await self.app(conn, receive, send)
        else:
            await _EndpointGate.__call__(self, conn, receive, send)


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


def answer_errors(app: Any, error_class: type[Exception], handler: Callable[..., Any]) -> None:
    """Let an application answer errors of one kind, unless it does so itself; also if it is running already.

    Args:
        app: a Starlette application; anything else is left alone.
        error_class: the class of errors.
        handler: the exception handler.
    """
    if not isinstance(app, Starlette):
        return
    if any(isinstance(key, type) and issubclass(key, error_class) for key in app.exception_handlers):
        return
    app.add_exception_handler(error_class, handler)
    layer: Any = app.middleware_stack
    while layer is not None and not isinstance(layer, ExceptionMiddleware):
        layer = getattr(layer, "app", None)
    if layer is not None:
        layer.add_exception_handler(error_class, handler)


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
    plain = endpoint
    while isinstance(plain, partial):
        plain = plain.func
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        return _EndpointGate(guard, plan, endpoint)  # a class, or any other ASGI application
    over_http = _EndpointGate(guard, plan, request_response(endpoint))
    over_socket = _EndpointGate(guard, plan, websocket_session(endpoint))

    # A function, so that Route still gives it the method GET; what it returns is called as a response is.
    async def guarded(conn: Any) -> Any:
        if conn.scope["type"] == "websocket":
            return await over_socket(conn.scope, conn._receive, conn._send)  # noqa: SLF001 - the gate makes its own
        return over_http

    update_wrapper(guarded, plain)
    both = plan
    if earlier is not None and earlier.requirement is not None:
        needed = [one for one in (earlier.requirement, plan.requirement) if one is not None]
        requirement, rule = combine(needed, guard.catalog, where=plan.name)
        both = replace(plan, requirement=requirement, rule=rule)
    setattr(guarded, MARK, both)
    return guarded


class _Walk:
    """Reads every route that can be reached, and how it is settled.

    Attributes:
        routers: each router on the way, its list of routes, and what is in it.
        applications: the mounted Starlette applications.
        unused: the paths of `mounts=` at which nothing was found.
    """

    def __init__(self, mounts: Mapping[str, Any], default: Any) -> None:
        self.mounts = mounts
        self.default = default
        self.routers: list[tuple[Any, list[Any], list[Any]]] = []
        self.applications: list[Starlette] = []
        self.unused = set(mounts)

    def entries(self, app: Any, prefix: str) -> Iterator[tuple[RoutePlan, Any | None]]:
        """Each route's entry, and the route itself where a gate is still to be put in front of it."""
        router = getattr(app, "router", app)
        self.routers.append((router, router.routes, list(router.routes)))
        if isinstance(app, Starlette):
            self.applications.append(app)
        fallback = fallback_of(router)
        for route in [*router.routes, *([fallback] if fallback is not None else [])]:
            path = prefix + getattr(route, "path", "")
            if isinstance(route, Mount | Host):
                yield from self._mounted(route, path)
            else:
                yield self._entry(route, path)

    def _entry(self, route: BaseRoute, path: str) -> tuple[RoutePlan, Any | None]:
        declared = None if isinstance(getattr(route, "app", None), _Settled) else declared_by(route)
        todo = declared is None
        if declared is None:
            declared = self._settled(path, self.default)
        else:
            self.unused.discard(_key(path))
        endpoint = getattr(route, "endpoint", route)
        kind = Kind.MOUNT if isinstance(route, Fallback) else Kind.HTTP
        return (
            replace(
                declared or NOT_DECLARED,
                path=path or "/",
                methods=tuple(sorted(getattr(route, "methods", None) or ())),
                kind=Kind.WEBSOCKET if isinstance(route, WebSocketRoute) else kind,
                name=getattr(route, "name", "") or _name(endpoint),
                source=_source(endpoint),
            ),
            route if todo else None,
        )

    def _settled(self, path: str, otherwise: Any) -> RoutePlan | None:
        """What `mounts=` says about a path."""
        self.unused.discard(_key(path))
        found: RoutePlan | None = getattr(self.mounts.get(_key(path), otherwise), MARK, None)
        return found

    def _mounted(self, route: Any, path: str) -> Iterator[tuple[RoutePlan, Any | None]]:
        standing = route.app
        settled = self._settled(path, None)
        if isinstance(standing, _Settled):
            standing = standing.app
        inner = getattr(route, "_base_app", None) or standing
        if isinstance(inner, _Settled):
            inner = inner.app
        if isinstance(standing, Gate):
            yield replace(standing.route, path=path, kind=Kind.MOUNT), None
            return
        if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
            settled = RoutePlan("", (), Kind.MOUNT, "", "", Access.PUBLIC, reason=reason)
        if settled is None and isinstance(inner, Starlette | Router):
            yield from self.entries(inner, path)
            return
        if isinstance(inner, Starlette):
            self.applications.append(inner)
        if settled is None:
            settled = getattr(self.default, MARK, None) or NOT_DECLARED
        yield replace(settled, path=path, kind=Kind.MOUNT, name=_name(inner), source=""), route


def _key(path: str) -> str:
    return path.rstrip("/") or "/"


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


def _name(endpoint: Any) -> str:
    return getattr(endpoint, "__name__", type(endpoint).__name__)


def _source(endpoint: Any) -> str:
    try:
        plain = inspect.unwrap(endpoint)
        return f"{inspect.getsourcefile(plain)}:{inspect.getsourcelines(plain)[1]}"
    except (TypeError, OSError):
        return ""


# Which applications are protected.
PROTECTED: Final["weakref.WeakKeyDictionary[Starlette, weakref.ref[_Protection]]"] = weakref.WeakKeyDictionary()
