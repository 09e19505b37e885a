"""Touches what FasterAPI does not promise, in one place; `FRAMEWORK_HOOKS` lists it. The package ships no types.

FasterAPI resolves a handler's parameters from specifications that it compiles at registration. The door
compiles the same specifications, from signatures that it has read itself, and lets FasterAPI's own
functions fill them: what a path, a query, a form or a body gives stays what it was.
"""

import enum
import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Annotated, Any, Final

import FasterAPI  # type: ignore[import-untyped]
from FasterAPI import dependencies as resolving
from FasterAPI.app import Faster, _apply_response_model, _send_response  # type: ignore[import-untyped]
from FasterAPI.background import BackgroundTasks  # type: ignore[import-untyped]
from FasterAPI.dependencies import Depends  # type: ignore[import-untyped]
from FasterAPI.exceptions import (  # type: ignore[import-untyped]
    HTTPException,
    RequestValidationError,
    _default_http_exception_handler,
    _default_validation_exception_handler,
)
from FasterAPI.request import Request  # type: ignore[import-untyped]
from FasterAPI.router import RadixRouter, _split  # type: ignore[import-untyped]
from FasterAPI.security import (  # type: ignore[import-untyped]
    HTTPBasic,
    OAuth2PasswordBearer,
    _APIKeyBase,
)
from FasterAPI.security import SecurityScopes as PlainSecurityScopes
from FasterAPI.websocket import WebSocket, WebSocketState  # type: ignore[import-untyped]

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.dependency_solver import OMIT
from bailiwick.graph import Parameter
from bailiwick.guard.framework_hooks import FrameworkHook

__all__ = [
    "FRAMEWORK_HOOKS",
    "BackgroundTasks",
    "Depends",
    "Faster",
    "HTTPException",
    "PlainSecurityScopes",
    "RadixRouter",
    "Request",
    "RequestValidationError",
    "Router",
    "WebSocket",
    "WebSocketState",
    "address_of",
    "answer_to",
    "answers_by_its_routes",
    "asgi_of",
    "awaited",
    "check_version",
    "connection_of",
    "documentation_paths",
    "drop_tasks",
    "fill",
    "forget_document",
    "has_tasks",
    "is_connecting",
    "is_documentation",
    "is_scheme",
    "make_protected_class",
    "may_refuse",
    "mounts_of",
    "path_key",
    "router_of",
    "served_by",
    "sockets_of",
    "specs_of",
    "stop_entering",
    "take_over",
    "use_router",
]

# What is used here that the framework does not promise, for docs/reference/framework-hooks.md.
FRAMEWORK_HOOKS: Final = (
    FrameworkHook(
        "`Faster.__class__`, with `_asgi_app`, `_handle_lifespan`, `_handle_http`, `websocket`, `mount` overridden",
        "patched",
        "0.2.14 and later",
        reason="The application has slots and no hooks.",
        without="Nothing is protected before the start, and what is added later has no gate.",
        test="test_fasterapi_guard.py::test_what_is_added_while_the_application_runs_is_closed_unless_it_is_declared",
    ),
    FrameworkHook(
        "`Faster._router`, `RadixRouter.root`, `router._split`",
        "patched",
        "0.2.14 and later",
        reason="The router has no list of routes and no hook.",
        without="Routes have no gates.",
        test="test_fasterapi_guard.py::test_x31_after_the_start_a_guarded_route_is_not_replaced_by_an_open_one",
    ),
    FrameworkHook(
        "`Faster._ws_routes`, `Faster._mounts`",
        "patched",
        "0.2.14 and later",
        reason="They have no public names.",
        without="WebSockets and mounts have no gates.",
        test="test_fasterapi_sockets.py::test_an_undeclared_websocket_stops_the_start_and_a_late_one_is_closed",
    ),
    FrameworkHook(
        "`Faster._openapi_cache`",
        "patched",
        "0.2.14 and later",
        reason="FasterAPI writes its document once and has no hook.",
        without="The document says nothing of scopes.",
        test="test_fasterapi_guard.py::test_whoever_generates_the_document_is_given_the_security_and_a_late_route_is_in_the_next",
    ),
    FrameworkHook(
        "`Faster._handle_exc`, `_default_http_exception_handler`, `_default_validation_exception_handler`",
        "read",
        "0.2.14 and later",
        reason="What a WebSocket's dependency raises has to be answered as FasterAPI answers it.",
        without="A WebSocket is refused in other words than a request.",
        test="test_fasterapi_sockets.py::test_a_refusal_of_another_dependency_is_a_denial_as_well",
    ),
    FrameworkHook(
        "`dependencies.compile_handler`, `_resolve_*`, `_coerce_path_value`, `_KIND_*`",
        "read",
        "0.2.14 and later",
        reason="Parameters have to be filled as FasterAPI fills them.",
        without="Handlers are given other values than without a guard.",
        test="test_fasterapi_guard.py::test_every_kind_of_parameter_is_filled_as_fasterapi_fills_it",
    ),
    FrameworkHook(
        "`_apply_response_model`, `_send_response`, `BackgroundTasks._tasks`",
        "read",
        "0.2.14 and later",
        reason="The fast path passes FasterAPI's own by, and has to answer as it does.",
        without="Models, status codes or background tasks get lost.",
        test="test_fasterapi_guard.py::test_response_models_status_codes_and_background_tasks_stay_what_they_are",
    ),
    FrameworkHook(
        "`Request._scope`, `Request.__slots__`",
        "read",
        "0.2.14 and later",
        reason="A request has no public name for its connection.",
        without="Nobody's credentials are found.",
        test="test_fasterapi_guard.py::test_the_caller_is_found_on_the_request",
    ),
    FrameworkHook(
        "`WebSocket._scope`, `_receive`, `_send`, `_state`",
        "read",
        "0.2.14 and later",
        reason="A WebSocket has no public names for them.",
        without="WebSockets cannot be refused or closed.",
        test="test_fasterapi_sockets.py::test_x20_a_websocket_is_refused_before_it_is_accepted_and_given_its_caller",
    ),
    FrameworkHook(
        "`security._APIKeyBase`",
        "read",
        "0.2.14 and later",
        reason="Security schemes have no public base class.",
        without="A route with an API key beside the guard is documented without it.",
        test="test_fasterapi_guard.py::test_openapi_keeps_what_the_developer_wrote_for_another_scheme",
    ),
)

OLDEST: Final = (0, 2, 14)
# What the door hooks. Without one of these it would be in nobody's way.
HOOKS: Final = (
    "_add_route",
    "_asgi_app",
    "_handle_http",
    "_handle_lifespan",
    "_mounts",
    "_openapi_cache",
    "_router",
    "_ws_routes",
)

Spec = Any  # FasterAPI's description of one parameter: name, kind, annotation, default, marker

_AWAITED: Final = frozenset(
    {
        resolving._KIND_STRUCT,  # noqa: SLF001 - this file is where private names are allowed
        resolving._KIND_DATACLASS,  # noqa: SLF001
        resolving._KIND_FILE,  # noqa: SLF001
        resolving._KIND_FORM,  # noqa: SLF001
        resolving._KIND_BODY,  # noqa: SLF001
    }
)

resolve_all = resolving._resolve_from_specs  # noqa: SLF001
send_answer = _send_response
apply_model = _apply_response_model


# How a connection goes from an application to a route.
_ANSWERING: Final = ("__call__", "_asgi_app", "_build_middleware_chain", "_handle_http", "_handle_websocket")


def answers_by_its_routes(app: Any) -> bool:
    """Whether a FasterAPI application answers by its routes, and in no other way: by its own methods, behind its own middleware.

    Args:
        app: the application, as it is mounted.
    """
    for name in _ANSWERING:
        holder = next(one for one in type(app).__mro__ if name in vars(one))
        if holder.__module__.partition(".")[0] != "FasterAPI" or name in getattr(app, "__dict__", ()):
            return False
    return all(one["class"].__module__.partition(".")[0] == "FasterAPI" for one in app.middleware)


def check_version(version: str | None = None) -> None:
    """Refuse a FasterAPI whose routes could not be guarded.

    Args:
        version: of the package; None for the installed one.

    Raises:
        ConfigurationError: it is older than 0.2.14, or lacks what the door hooks.
    """
    found = str(FasterAPI.__version__) if version is None else version
    numbers = tuple(int(part) for part in found.split(".")[:3] if part.isdigit())
    if numbers < OLDEST:
        raise ConfigurationError(f"FasterAPI {found} is not supported: Bailiwick needs 0.2.14 or later.", id="BW124")
    lacking = [name for name in HOOKS if not hasattr(Faster, name)]
    if lacking:
        raise ConfigurationError(f"FasterAPI {found} is not supported: it has no {', '.join(lacking)}.", id="BW124")


def specs_of(parameters: Sequence[Parameter]) -> tuple[Spec, ...]:
    """Have FasterAPI read some parameters, whatever the form of the callable that takes them.

    FasterAPI's own reading loses the annotations of bound methods and partials; a plain function with
    the signature that we read is understood by it.
    """

    def stand_in() -> None:
        """Never called."""

    stand_in.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter(
                one.name,
                inspect.Parameter.KEYWORD_ONLY,
                default=one.default,
                annotation=Annotated[(one.annotation, *one.metadata)] if one.metadata else one.annotation,
            )
            for one in parameters
        ]
    )
    # Past its lru_cache, which would keep the stand-in and push out a handler.
    specs: tuple[Spec, ...] = resolving.compile_handler.__wrapped__(stand_in)[0]
    return specs


def awaited(spec: Spec) -> bool:
    """Whether filling it reads the body."""
    return spec.kind in _AWAITED


def may_refuse(spec: Spec) -> bool:
    """Whether filling it may end the request, although it is not read from the body: what follows must wait for it."""
    if spec.kind in (resolving._KIND_PATH, resolving._KIND_COOKIE):  # noqa: SLF001
        return True
    of_path = spec.kind == resolving._KIND_FALLBACK  # noqa: SLF001
    return of_path and inspect.isclass(spec.annotation) and issubclass(spec.annotation, enum.Enum)


def fill(spec: Spec, request: Any, tasks: Any) -> Any:
    """Return the value of a parameter that is not read from the body; `OMIT` where the request gives none."""
    kind, name, marker = spec.kind, spec.name, spec.marker
    if kind == resolving._KIND_REQUEST:  # noqa: SLF001
        return request
    if kind == resolving._KIND_BG_TASKS:  # noqa: SLF001
        return tasks
    if kind == resolving._KIND_PATH:  # noqa: SLF001
        return resolving._resolve_path(name, request.path_params, marker, spec.annotation)  # noqa: SLF001
    if kind == resolving._KIND_QUERY:  # noqa: SLF001
        return resolving._resolve_query(name, request, marker)  # noqa: SLF001
    if kind == resolving._KIND_HEADER:  # noqa: SLF001
        return resolving._resolve_header(name, request, marker)  # noqa: SLF001
    if kind == resolving._KIND_COOKIE:  # noqa: SLF001
        return resolving._resolve_cookie(name, request, marker)  # noqa: SLF001
    if name in request.path_params:
        return resolving._coerce_path_value(request.path_params[name], spec.annotation, name)  # noqa: SLF001
    return OMIT if spec.default is inspect.Parameter.empty else spec.default


def address_of(method: str, path: str) -> tuple[str, ...]:
    """Return the place of a route in the radix tree: of two routes with one address the later one is served."""
    segments = ("*" if one[0] == "{" and one[-1] == "}" else one for one in _split(path))
    return (method.upper(), *segments)


def path_key(path: str) -> str:
    """Return a path as the router sees it, to which slashes before, after and between mean nothing."""
    return "/" + "/".join(_split(path))


def served_by(router: Any) -> Iterator[tuple[str, str, Any]]:
    """List method, path and handler of all that a router serves, whether or not the application lists it."""
    todo: list[tuple[str, Any]] = [("", router.root)]
    while todo:
        path, node = todo.pop()
        for method, (handler, _) in node.handlers.items():
            yield method, path or "/", handler
        for segment, child in node.children.items():
            todo.append((f"{path}/{{{child.param_name}}}" if child.is_param else f"{path}/{segment}", child))


def is_scheme(call: object) -> bool:
    """Whether it is one of FasterAPI's security schemes."""
    return isinstance(call, OAuth2PasswordBearer | HTTPBasic | _APIKeyBase)


def documentation_paths(app: Any) -> set[str]:
    """Return the paths of an application's OpenAPI document and pages."""
    return {path for path in (app.openapi_url, app.docs_url, app.redoc_url) if path is not None}


def is_documentation(app: Any, path: str, handler: Any) -> bool:
    """Whether a route is FasterAPI's own documentation, and not the application's at the same path."""
    made_by = str(getattr(handler, "__qualname__", ""))
    return path in documentation_paths(app) and made_by.startswith("Faster._setup_openapi_routes.")


def take_over(request: Any, read: Any) -> None:
    """Copy into a request what was read of it already: body, form and all else that was made of it are there, without being read again.

    Args:
        request: a new one.
        read: the same request, of which more is known.
    """
    for name in Request.__slots__:
        setattr(request, name, getattr(read, name))


async def answer_to(app: Any, request: Any, error: Exception) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """Return the application's answer to an `HTTPException` or `RequestValidationError`: status, body, headers."""
    kind, default = HTTPException, _default_http_exception_handler
    if isinstance(error, RequestValidationError):
        kind, default = RequestValidationError, _default_validation_exception_handler
    answer: tuple[int, bytes, list[tuple[bytes, bytes]]] = await app._handle_exc(  # noqa: SLF001
        request, error, kind, default
    )
    return answer


# -- what a protection hooks ----------------------------------------------------------------------------------


class Router(RadixRouter):  # type: ignore[misc]  # FasterAPI ships no types
    """Matches as FasterAPI's router does, and puts a gate in front of what is added after the start."""

    __slots__ = ("protection",)
    root: Any

    def __init__(self, protection: Any, router: Any) -> None:
        self.root = router.root
        self.protection = protection

    def add_route(self, method: str, path: str, handler: Any, metadata: dict[str, Any] | None = None) -> None:
        """Add a route, behind its gate if the application has started."""
        with self.protection.adding:
            if not self.protection.late_route(method, path, handler, metadata or {}):
                super().add_route(method, path, handler, metadata)


# The slot in which FasterAPI keeps the OpenAPI document that it generated.
_DOCUMENT: Final = Faster._openapi_cache  # noqa: SLF001


def make_protected_class(kind: Any, protection: Any, fast_path: Callable[[Any], Any]) -> type:
    """Make the class of a protected application: its own, with what differs.

    Args:
        kind: the application's class; FasterAPI's own or one derived from it.
        protection: of the application that is given the new class.
        fast_path: makes FasterAPI's way of handling a request a faster one.
    """

    class Protected(kind):  # type: ignore[misc]  # known only now
        __slots__ = ()
        bailiwick = protection

        async def _asgi_app(self, conn: Any, receive: Any, send: Any) -> None:
            # A server without a lifespan: compile before anything is matched. Taken away once that is done.
            if conn["type"] != "lifespan":
                protection.enter(self)
            await super()._asgi_app(conn, receive, send)

        @property
        def _openapi_cache(self) -> Any:
            return _DOCUMENT.__get__(self)

        @_openapi_cache.setter
        def _openapi_cache(self, document: Any) -> None:
            # FasterAPI generates a document once and keeps it: whoever asked for it is given this same object.
            protection.describe(self, document)
            _DOCUMENT.__set__(self, document)

        async def _handle_lifespan(self, conn: Any, receive: Any, send: Any) -> None:
            await protection.start(self, functools.partial(super()._handle_lifespan, conn), receive, send)

        def websocket(self, path: str) -> Any:
            """Register a WebSocket handler, behind its gate if the application has started."""
            add = super().websocket

            def decorator(handler: Any) -> Any:
                with protection.adding:
                    add(path)(protection.late_socket(self, path.rstrip("/") or "/", handler))
                return handler

            return decorator

        def mount(self, path: str, app: Any, name: str | None = None) -> None:
            """Mount an application, behind its gate if this one has started."""
            with protection.adding:
                super().mount(path, protection.late_mount(self, path, app), name)

    if kind._handle_http is Faster._handle_http:  # noqa: SLF001
        # An application that handles requests in its own way goes on doing so.
        Protected._handle_http = fast_path(kind._handle_http)  # noqa: SLF001
    Protected.__name__, Protected.__qualname__, Protected.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Protected


def use_router(app: Any, router: Any) -> None:
    """Have an application match by another router.

    Args:
        app: a FasterAPI application.
        router: a `Router`.
    """
    app._router = router  # noqa: SLF001


def router_of(app: Any) -> Any:
    """Return the router by which an application matches."""
    return app._router  # noqa: SLF001


def sockets_of(app: Any) -> dict[str, Any]:
    """Return an application's WebSocket handlers by path: its own table, which may be changed."""
    handlers: dict[str, Any] = app._ws_routes  # noqa: SLF001
    return handlers


def mounts_of(app: Any) -> list[tuple[str, Any]]:
    """Return what an application mounts, with its path: its own list, which may be changed."""
    mounts: list[tuple[str, Any]] = app._mounts  # noqa: SLF001
    return mounts


def stop_entering(app: Any) -> None:
    """Have connections come in to an application of a `make_protected_class` class by FasterAPI's own way: all is compiled, and it costs nothing.

    Args:
        app: the application.
    """
    del type(app)._asgi_app  # noqa: SLF001


def forget_document(app: Any) -> None:
    """Have an application write its OpenAPI document anew."""
    app._openapi_cache = None  # noqa: SLF001


# -- what FasterAPI's objects do not tell ---------------------------------------------------------------------


def connection_of(request: Any) -> Any:
    """Return the ASGI connection scope of a request or a WebSocket, or what is one itself."""
    return getattr(request, "_scope", request)


def asgi_of(socket: Any) -> tuple[Any, Any, Any]:
    """Return the connection scope, receive and send of a WebSocket."""
    return socket._scope, socket._receive, socket._send  # noqa: SLF001


def is_connecting(socket: Any) -> bool:
    """Whether a WebSocket was neither accepted nor refused."""
    return bool(socket._state == WebSocketState.CONNECTING)  # noqa: SLF001


def has_tasks(tasks: Any) -> bool:
    """Whether a handler has added background tasks."""
    return bool(tasks._tasks)  # noqa: SLF001


def drop_tasks(tasks: Any) -> None:
    """Forget background tasks that have run, which FasterAPI would run again."""
    tasks._tasks.clear()  # noqa: SLF001
