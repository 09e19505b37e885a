"""How a refusal that is raised inside of an application is answered, and who answers it."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from bailiwick.errors import BailiwickError
from bailiwick.guard.guard import Guard
from bailiwick.guard.token_deadline import POLICY_VIOLATION, SOCKET, ConnectionState, State, received_connect

__all__ = ["answer", "answer_errors", "answer_here", "refusal", "refuse_socket", "response_of"]


async def answer(guard: Guard, error: Exception, conn: Request | WebSocket) -> Response | None:
    """Answer what was raised while a request or a WebSocket was handled.

    Args:
        guard: whose `refuse` says it.
        error: what was raised.
        conn: a `Request` or a `WebSocket`.

    Returns:
        What is still to be sent; None if that was done here.
    """
    if not isinstance(error, BailiwickError):
        raise error
    if isinstance(conn, WebSocket):
        await refuse_socket(guard, error, conn)
        return None
    return await refusal(guard, error, conn)


async def refusal(guard: Guard, error: BailiwickError, request: Request) -> Response:
    """What a guard says to refuse a request, as a response that others may still add to.

    Args:
        guard: whose `refuse` says it.
        error: why.
        request: what is refused.
    """
    said: list[Any] = []

    async def send(message: Any) -> None:
        said.append(message)

    await guard.refuse(error, request.scope, request.receive, send)
    return response_of(said)


def response_of(said: list[Any]) -> Response:
    """What was sent over HTTP, as a response.

    Args:
        said: all messages of one answer.
    """
    start = next(message for message in said if message["type"] == "http.response.start")
    response = Response(b"".join(message.get("body", b"") for message in said), status_code=start["status"])
    response.raw_headers = list(start.get("headers", ()))
    return response


async def refuse_socket(guard: Guard, error: BailiwickError, socket: WebSocket) -> None:
    """Refuse a WebSocket: by an answer to its handshake as long as it was not accepted, and by closing it afterwards.

    Args:
        guard: whose `refuse` answers the handshake.
        error: why.
        socket: the WebSocket.
    """
    said: ConnectionState | None = socket.scope.get(SOCKET)
    state = said.state if said is not None else State.NEW
    # Whoever answers errors for a whole application, or in front of a class, has a WebSocket object of its own that knows nothing.
    states = socket.client_state, socket.application_state
    if WebSocketState.DISCONNECTED in states or WebSocketState.RESPONSE in states:
        return
    if state in {State.COMPLETE, State.ANSWERING}:
        return
    if socket.application_state is WebSocketState.CONNECTED or state is State.ACCEPTED:
        guard.note(error)
        with suppress(WebSocketDisconnect, OSError):
            await socket.close(POLICY_VIOLATION, error.code or "unauthorized")
        return
    connected = socket.client_state is WebSocketState.CONNECTED or state is State.CONNECTED
    await guard.refuse(error, socket.scope, received_connect if connected else socket.receive, socket.send)


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
