"""Everything of FasterAPI's internals that its door touches, in one place. The package ships no types.

FasterAPI resolves a handler's parameters from specifications that it compiles at registration. The door
compiles the same specifications, from signatures that it has read itself, and lets FasterAPI's own
functions fill them: what a path, a query, a form or a body gives stays what it was.
"""

import enum
import inspect
from collections.abc import Iterator, Sequence
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

__all__ = [
    "BackgroundTasks",
    "Depends",
    "Faster",
    "HTTPException",
    "PlainSecurityScopes",
    "RadixRouter",
    "Request",
    "RequestValidationError",
    "WebSocket",
    "WebSocketState",
    "address_of",
    "answer_to",
    "answers_by_its_routes",
    "awaited",
    "check_version",
    "documentation_paths",
    "fill",
    "is_documentation",
    "is_scheme",
    "may_refuse",
    "path_key",
    "served_by",
    "specs_of",
    "take_over",
]

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
    """What FasterAPI makes of some parameters, whatever the form of the callable that takes them.

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
    """The value of a parameter that is not read from the body; `OMIT` where the request gives none."""
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
    """Where the radix tree keeps a route: of two routes with one address the later one is served."""
    segments = ("*" if one[0] == "{" and one[-1] == "}" else one for one in _split(path))
    return (method.upper(), *segments)


def path_key(path: str) -> str:
    """A path as the router sees it, to which slashes before, after and between mean nothing."""
    return "/" + "/".join(_split(path))


def served_by(router: Any) -> Iterator[tuple[str, str, Any]]:
    """Method, path and handler of all that a router serves, whether or not the application lists it."""
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
    """Where an application serves its OpenAPI document and its pages."""
    return {path for path in (app.openapi_url, app.docs_url, app.redoc_url) if path is not None}


def is_documentation(app: Any, path: str, handler: Any) -> bool:
    """Whether a route is FasterAPI's own documentation, and not the application's at the same path."""
    made_by = str(getattr(handler, "__qualname__", ""))
    return path in documentation_paths(app) and made_by.startswith("Faster._setup_openapi_routes.")


def take_over(request: Any, read: Any) -> None:
    """Make of a request one that was read already: body, form and all else that was made of it are there, without being read again.

    Args:
        request: a new one.
        read: the same request, of which more is known.
    """
    for name in Request.__slots__:
        setattr(request, name, getattr(read, name))


async def answer_to(app: Any, request: Any, error: Exception) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
    """The application's answer to an `HTTPException` or `RequestValidationError`: status, body, headers."""
    kind, default = HTTPException, _default_http_exception_handler
    if isinstance(error, RequestValidationError):
        kind, default = RequestValidationError, _default_validation_exception_handler
    answer: tuple[int, bytes, list[tuple[bytes, bytes]]] = await app._handle_exc(  # noqa: SLF001
        request, error, kind, default
    )
    return answer
