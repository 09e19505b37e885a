"""Everything that the adapters of Starlette's kind hook into: what connections come in by, and the start.

Starlette (0.40 and later) has no public place behind its own middleware and in front of a router's matching, nor one that is told when an
application is given another router.

Each use stands in `FRAMEWORK_HOOKS`, with its reason and the test that notices.
"""

import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import MethodType
from typing import Any, Final

from bailiwick.errors import ConfigurationError
from bailiwick.guard.framework_hooks import FrameworkHook
from bailiwick.guard.route_gate import UNDER

__all__ = [
    "FRAMEWORK_HOOKS",
    "RouterEntrance",
    "Served",
    "channels_of",
    "enter_by",
    "entrance_of",
    "follow_router",
    "lift_body_limit",
    "original_app_of",
    "settle_at_start",
    "use_channels",
]

# What is used here that the framework does not promise, for docs/reference/framework-hooks.md.
FRAMEWORK_HOOKS: Final = (
    FrameworkHook(
        "`Router.routes`, replaced by a list that puts gates",
        "patched",
        "0.40 and later",
        reason="There is no hook that is told of a route before it is served.",
        without="Routes that are added later are served without a gate.",
        test="test_fastapi_routes_exchanged.py::test_a_route_is_closed_before_another_thread_can_see_it",
    ),
    FrameworkHook(
        "`Route.app`, `Mount.app`, `Router.default`; `handle` of a route with a way of its own",
        "patched",
        "0.40 and later",
        reason="There is no hook between the match and the handler; middleware in front would match paths by itself (CVE-2026-48710).",
        without="No route has a gate.",
        test="test_fastapi_routes_exchanged.py::test_a_route_that_handles_by_itself_is_gated_before_it_does",
    ),
    FrameworkHook(
        "`Router.middleware_stack`",
        "patched",
        "0.40 and later",
        reason="There is no hook between the application's middleware and the matching.",
        without="A list of routes that is assigned later is served as it is.",
        test="test_fastapi_routes_exchanged.py::test_middleware_that_hides_what_it_wraps_hides_no_change",
    ),
    FrameworkHook(
        "`Starlette.build_middleware_stack`",
        "patched",
        "0.40 and later",
        reason="Nobody is told when an application is given another router.",
        without="A router that takes the place of another is served as it is.",
        test="test_fastapi_routes_exchanged.py::test_a_router_in_the_place_of_the_applications_own_is_protected",
    ),
    FrameworkHook(
        "`Router.lifespan_context`",
        "patched",
        "0.40 and later",
        reason="Start-up hooks run beside the application's own lifespan or not at all.",
        without="The start does not fail for a route that is not settled.",
        test="test_one_error.py::test_starlette_names_every_contradiction_beside_every_unsettled_route",
    ),
    FrameworkHook(
        "`starlette._body_limit_responder` on a connection",
        "patched",
        "1.8 and later",
        reason="The limit exchanges every answer to a large body for 413.",
        without="A client whose token has expired is told 413 and never refreshes.",
        test="test_fastapi_closed_from_protect.py::test_a_refusal_comes_before_the_limit_of_a_bodys_size",
    ),
    FrameworkHook(
        "`ExceptionMiddleware` in `Starlette.middleware_stack`; `starlette.exception_handlers` on a connection",
        "patched",
        "0.40 and later",
        reason="`add_exception_handler` has no effect once an application has served a request.",
        without="A refusal inside a handler is answered 500.",
        test="test_starlette_guard.py::test_optional_and_in_handler_checks_answer_exactly",
    ),
    FrameworkHook(
        "`WebSocket._receive`, `WebSocket._send`",
        "patched",
        "0.40 and later",
        reason="A decorator above the guard's keeps the WebSocket object that it was given.",
        without="A WebSocket behind a decorator is not closed when its token expires.",
        test="test_starlette_endpoints.py::test_a_decorator_above_the_guard_goes_on_with_the_same_websocket",
    ),
    FrameworkHook(
        "`Mount._base_app`",
        "read",
        "0.40 and later",
        reason="A mount shows only what `Mount(middleware=)` put around its application.",
        without="The routes of a mount with middleware are not found.",
        test="test_fastapi_closed_from_protect.py::test_what_answers_by_its_routes_is_read_route_by_route_also_behind_starlettes_own_middleware",
    ),
)


class Served:
    """What an application or a router serves from: its router, the list of routes, and what it serves otherwise.

    Args:
        app: an application of Starlette's kind, or a router.
        router: its router.
        routes: the list of routes, in which each has a gate.
        default: what is served where none matches.
        is_mounted: whether middleware and handlers of exceptions that come later would answer behind its gate.
    """

    __slots__ = ("app", "default", "handlers", "middleware", "router", "routes")

    def __init__(self, app: Any, router: Any, routes: Any, default: Any, *, is_mounted: bool = False) -> None:
        self.app: Any = None if app is router else app
        self.router = router
        self.routes = routes
        self.default = default
        self.middleware: int | None = len(app.user_middleware) if is_mounted and app is not router else None
        self.handlers = dict(app.exception_handlers) if is_mounted and app is not router else {}

    def is_current(self) -> bool:
        """Whether none of them was exchanged."""
        router = self.router
        return (
            router.routes is self.routes
            and router.default is self.default
            and (self.app is None or self.app.router is router)
            and (self.middleware is None or self._answers_as_before())
        )

    def _answers_as_before(self) -> bool:
        return len(self.app.user_middleware) == self.middleware and self.app.exception_handlers == self.handlers


class RouterEntrance:
    """Stands directly in front of a router's matching, and has what was exchanged settled before anything is matched.

    Args:
        app: what matches.

    Attributes:
        protection: of the application whose router this is. It lives as long as the router, which may outlive its application.
    """

    __slots__ = ("app", "protection")

    def __init__(self, app: Callable[..., Any], protection: Any) -> None:
        self.app = app
        self.protection = protection

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Compare identities, note by which application the connection came in, and pass it on.

        This method stands in front of the router, as the router's own does: Python calls one in half the time that it
        takes to call an object.
        """
        if conn["type"] != "lifespan":
            protection = self.protection
            served = protection.served
            if served is None:
                protection.settle()
            elif not served.is_current():
                protection.follow()
            conn[UNDER] = protection
        app = self.app
        return app(conn, receive, send)


def enter_by(router: Any, protection: Any) -> None:
    """Have connections come in to a router by the entrance of a protection.

    Args:
        router: a router of Starlette's kind.
        protection: of the application whose router it is.

    Raises:
        ConfigurationError: the router is another protected application's too.
    """
    standing = entrance_of(router)
    if standing is not None:
        other = standing.protection
        if other is not protection and other.app.router is router:
            raise ConfigurationError(
                "This application's router is another protected application's too; only one of their guards would be asked."
            )
        standing.protection = protection
        return
    holder, name, layer = _innermost(router)
    if not (isinstance(layer, MethodType) and layer.__self__ is router):  # middleware that hides what it wraps
        holder, name, layer = router, "middleware_stack", router.middleware_stack
    entrance = RouterEntrance(layer, protection)
    try:
        setattr(holder, name, entrance.enter)
    except AttributeError:  # middleware that cannot be changed
        entrance.app, router.middleware_stack = router.middleware_stack, entrance.enter


def _innermost(router: Any) -> tuple[Any, str, Any]:
    """The last layer in front of a router's matching that can be seen, and where it stands."""
    holder, name = router, "middleware_stack"
    layer = router.middleware_stack
    while not isinstance(layer, MethodType) and hasattr(layer, "app"):
        holder, name, layer = layer, "app", layer.app
    return holder, name, layer


def entrance_of(router: Any) -> RouterEntrance | None:
    """What stands in front of a router's matching, or None.

    Args:
        router: a router of Starlette's kind.
    """
    layer = _innermost(router)[2]
    return layer.__self__ if isinstance(layer, MethodType) and isinstance(layer.__self__, RouterEntrance) else None


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


def settle_at_start(router: Any, protection: Any) -> None:
    """Have the start fail if a route is not settled: before the application's own start-up, and after what that has changed.

    Args:
        router: a router of Starlette's kind.
        protection: of the application.
    """
    lifespan = router.lifespan_context

    @asynccontextmanager
    async def settled(started: Any) -> AsyncIterator[Any]:
        protection.check()
        async with lifespan(started) as state:
            protection.settle_started()
            yield state

    router.lifespan_context = settled


def lift_body_limit(conn: Any) -> None:
    """Have a refusal sent as it is, however large the body that nobody reads says it is.

    Args:
        conn: the ASGI connection scope.
    """
    responder = conn.get("starlette._body_limit_responder")
    if responder is not None:
        responder.content_length = None


def channels_of(socket: Any) -> tuple[Any, Any]:
    """Return the ASGI receive and send that a WebSocket object calls; it has no public name for them."""
    return socket._receive, socket._send  # noqa: SLF001


def use_channels(socket: Any, receive: Any, send: Any) -> None:
    """Have a WebSocket object call another receive and send: a decorator above the guard's keeps the object that it was given.

    Args:
        socket: a WebSocket of Starlette's.
        receive: ASGI receive.
        send: ASGI send.
    """
    socket._receive, socket._send = receive, send  # noqa: SLF001


def original_app_of(mount: Any) -> Any:
    """Return the application that a mount was given, without what `Mount(middleware=)` put around it; None if it is no mount."""
    return getattr(mount, "_base_app", None)
