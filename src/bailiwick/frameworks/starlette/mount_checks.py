"""Whether what is mounted answers by its list of routes, and in no other way: only then can its routes be read one by one.

A class that overrides how it answers, middleware, a handler of 404: each may answer what is in no list. What fails here is one thing, which
`mounts=` or `default=` settles as a whole.
"""

from collections.abc import Iterable
from types import MethodType
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.routing import BaseRoute, Router

from bailiwick.frameworks.starlette.compat import RouterEntrance

__all__ = ["answers_by_its_routes", "is_own", "is_plain_mount"]

# How a connection goes from an application to a route.
APPLICATION: Final = ("__call__", "build_middleware_stack")
ROUTER: Final = ("__call__", "app", "not_found", "handle", "matches")
MOUNT: Final = ("handle", "matches")
# What a router raises where no route matches: whoever handles it answers there.
UNMATCHED: Final = (404, 405, HTTPException)
# Middleware of Starlette that calls what an application gives it.
OPEN_ENDED: Final = (AuthenticationMiddleware, BaseHTTPMiddleware, BaseRoute, Router, Starlette)


def is_own(thing: Any, names: Iterable[str], frameworks: frozenset[str]) -> bool:
    """Whether an object answers by a framework's own methods.

    Args:
        thing: an application, a router or a route.
        names: the methods, as far as its class has them.
        frameworks: the packages.
    """
    for name in names:
        holder = next((one for one in type(thing).__mro__ if name in vars(one)), None)
        if holder is not None and holder.__module__.partition(".")[0] not in frameworks:
            return False
        if name in getattr(thing, "__dict__", ()):
            return False
    return True


def answers_by_its_routes(app: Any, frameworks: frozenset[str]) -> bool:
    """Whether an application or a router answers by its list of routes, and in no other way.

    Args:
        app: what is mounted.
        frameworks: the packages whose routes can be read.
    """
    if isinstance(app, Router):
        return _is_plain_router(app, frameworks)
    if not isinstance(app, Starlette) or not is_own(app, APPLICATION, frameworks):
        return False
    stack = app.middleware_stack
    return (
        _is_plain_router(app.router, frameworks)
        and all(_is_harmless(one.cls) for one in app.user_middleware)
        and (stack is None or _leads_to(stack, app.router))
        and all(_is_frameworks(app.exception_handlers.get(one)) for one in UNMATCHED)
    )


def _is_plain_router(router: Any, frameworks: frozenset[str]) -> bool:
    return (
        isinstance(router, Router) and is_own(router, ROUTER, frameworks) and _leads_to(router.middleware_stack, router)
    )


def is_plain_mount(route: Any, app: Any, outer: Any) -> bool:
    """Whether a mount hands what it matches over to its application, and nothing between them answers.

    Args:
        route: the mount, or a host.
        app: the application.
        outer: what the mount calls.
    """
    gated = {name: one for name in MOUNT if (one := vars(route).get(name)) is not None}
    return not gated and is_own(route, MOUNT, frozenset({"starlette", "fastapi"})) and _leads_to(outer, app)


def _leads_to(layer: Any, end: Any) -> bool:
    """Whether what is called passes on to something at last, through Starlette's own middleware only."""
    while layer is not end:
        if isinstance(layer, MethodType):
            if isinstance(layer.__self__, RouterEntrance):
                layer = layer.__self__.app
                continue
            return layer.__self__ is end
        if not _is_harmless(type(layer)):
            return False
        layer = layer.app
    return True


def _is_harmless(middleware: Any) -> bool:
    """Whether a class of middleware is Starlette's or FastAPI's own, and answers nothing by what it is given."""
    package = getattr(middleware, "__module__", "").partition(".")[0]
    return package in {"starlette", "fastapi"} and not issubclass(middleware, OPEN_ENDED)


def _is_frameworks(handler: Any) -> bool:
    return handler is None or getattr(handler, "__module__", "").partition(".")[0] in {"starlette", "fastapi"}
