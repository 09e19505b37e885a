"""Letting an application that exists already answer the guard's errors."""

from collections.abc import Callable
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware

__all__ = ["answer_errors", "answer_here"]


def answer_errors(app: Any, error_class: type[Exception], handler: Callable[..., Any]) -> None:
    """Let an application answer errors of one kind, unless it does so itself; also if it is running already.

    Args:
        app: a Starlette application; anything else is left alone.
        error_class: the class of errors.
        handler: the exception handler.
    """
    if not isinstance(app, Starlette):
        return
    # Of several handlers Starlette picks the one for the nearest class: one for a kind of these errors answers no other kind.
    if error_class in app.exception_handlers:
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
