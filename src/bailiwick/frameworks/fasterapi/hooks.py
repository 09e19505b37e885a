"""Where a protection is let into a FasterAPI application, which has slots and no place for hooks.

What is hooked has private names only. `compat.HOOKS` lists them, and a FasterAPI without one of them is refused.
"""

import functools
from typing import Any, Final

from bailiwick.frameworks.fasterapi.compat import Faster, RadixRouter
from bailiwick.frameworks.fasterapi.fast_path import straight_first

__all__ = ["Router", "hooked"]


class Router(RadixRouter):  # type: ignore[misc]  # FasterAPI ships no types
    """FasterAPI's router, which also gates what is added after the start; it matches as it always did."""

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


def hooked(kind: Any, protection: Any) -> type:
    """The class of an application, with what differs where it is protected.

    Args:
        kind: the application's class; FasterAPI's own or one derived from it.
        protection: of the application that is given the new class.
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
        Protected._handle_http = straight_first(kind._handle_http)  # noqa: SLF001
    Protected.__name__, Protected.__qualname__, Protected.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Protected
