"""Makes what FasterAPI calls in place of a handler: it decides from the headers, then runs the handler or answers the refusal."""

import math
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import anyio
import anyio.lowlevel

from bailiwick.errors import BailiwickError
from bailiwick.frameworks.fasterapi.compat import (
    BackgroundTasks,
    HTTPException,
    Request,
    RequestValidationError,
    WebSocket,
    answer_to,
    apply_model,
    asgi_of,
    connection_of,
    drop_tasks,
    is_connecting,
    send_answer,
    take_over,
)
from bailiwick.frameworks.fasterapi.dependency_runner import NO_STACK, RouteRunner, SocketRunner
from bailiwick.frameworks.fasterapi.error_handlers import sent
from bailiwick.frameworks.fasterapi.fast_path import FAST_PATH, RAISED, Answering, Deliver
from bailiwick.graph import Access, RoutePlan
from bailiwick.guard.decision import NeedsAwait, decide
from bailiwick.guard.gate import Gate
from bailiwick.guard.guard import Guard
from bailiwick.guard.token_deadline import POLICY_VIOLATION, expired
from bailiwick.scopes import Principal

__all__ = ["make_guarded_handler", "make_public_handler", "make_socket_handler"]

Refuse = Callable[[BailiwickError], Any]


class ExpiringResponse:
    """Ends a response when the caller's token expires; one that has not begun by then becomes a refusal."""

    def __init__(self, answer: Any, deadline: float, guard: Any) -> None:
        self._answer = answer
        self._deadline = deadline
        self._guard = guard

    async def to_asgi(self, send: Any) -> None:
        """Send it, for as long as the token is good."""
        begun = False
        window = anyio.CancelScope(deadline=self._deadline)

        async def watched(message: Any) -> None:
            nonlocal begun
            if anyio.current_time() >= window.deadline:
                # A response that never waits for anything has no other moment in which it could be ended.
                window.cancel()
                await anyio.lowlevel.checkpoint()
                raise _TokenExpired  # where the response shields itself
            begun = True
            await send(message)
            if message["type"] == "http.response.body" and not message.get("more_body", False):
                window.deadline = math.inf  # all was sent in time; what the response does now is its own affair

        try:
            with window:
                await self._answer.to_asgi(watched)
        except _TokenExpired:
            pass
        if window.cancel_called and not begun:
            # FasterAPI asks no exception handler any more: this is the answer whichever there are.
            error = expired()
            self._guard.note(error)
            await sent(self._guard.challenge.answer(error)).to_asgi(send)


class _TokenExpired(Exception):
    """Says that the token has expired, so that nothing more is sent."""


class CleanupResponse:
    """Sends an answer, runs its background tasks, and only then leaves the dependencies that yielded.

    A stream reads from what they opened, and a task works with it.
    """

    def __init__(self, answer: Any, tasks: Any, stack: AsyncExitStack, deliver: Deliver) -> None:
        self._answer = answer
        self._tasks = tasks
        self._stack = stack
        self._deliver = deliver

    async def to_asgi(self, send: Any) -> None:
        """Send it, run the tasks, leave the dependencies, which are told what went wrong."""
        async with self._stack:
            try:
                await self._deliver(send, self._answer)
                await self._tasks.run()
            finally:
                drop_tasks(self._tasks)


def _add_cleanup(answer: Answering, deliver: Deliver) -> Answering:
    """Give each request a stack of its own for the dependencies that yield."""

    async def left(conn: Any, request: Any, tasks: Any, _stack: AsyncExitStack) -> Any:
        async with AsyncExitStack() as stack:
            value = await answer(conn, request, tasks, stack)
            return CleanupResponse(value, tasks, stack.pop_all(), deliver)
        raise RuntimeError("A dependency with yield swallowed an exception and did not raise another.")

    return left


def make_guarded_handler(
    guard: Any, route: RoutePlan, handler: Any, run: RouteRunner, refuse: Refuse, metadata: Mapping[str, Any]
) -> Any:
    """Put an HTTP handler behind its gate.

    FasterAPI has matched the route by then, and neither the body nor a dependency has been touched.

    Args:
        guard: who decides.
        route: the entry of the plan.
        handler: the endpoint, for its name.
        run: how the endpoint is run.
        refuse: makes the answer of a refusal.
        metadata: what FasterAPI keeps of the route.
    """
    closes, call = route.close_on_expiry, run.call

    def answer(conn: Any, request: Any, tasks: Any, stack: AsyncExitStack) -> Awaitable[Any]:
        # No coroutine itself, as in `Gate.enter`: nearly every request needs no more than this.
        outcome = decide(guard, route, conn)
        if isinstance(outcome, Principal) and not closes:
            return call(request, tasks, outcome, stack)
        return go_on(outcome, request, tasks, stack)

    async def go_on(outcome: Any, request: Any, tasks: Any, stack: AsyncExitStack) -> Any:
        if isinstance(outcome, NeedsAwait):
            outcome = await outcome.finish()
        if isinstance(outcome, BailiwickError):
            return refuse(outcome)
        if not closes or outcome is None or outcome.expires_at is None:
            return await call(request, tasks, outcome, stack)
        left = outcome.expires_at - guard.now()
        return await _run_until_expiry(left, partial(call, request, tasks, outcome, stack), guard)

    return _make_handler(handler, answer, run, metadata)


async def _run_until_expiry(left: float, call: Callable[[], Awaitable[Any]], guard: Any) -> Any:
    """Run a handler for so many seconds at most; its answer is sent for as long.

    Raises:
        InvalidToken: it is too late. Raised and not returned, so that dependencies undo what they have begun.
        Exception: whatever the handler raises in time.
    """
    if left <= 0:  # the verifier allows for clocks that differ
        raise expired()
    deadline = anyio.current_time() + left
    try:
        with anyio.CancelScope(deadline=deadline) as window:
            value = await call()
    except Exception as late:
        if anyio.current_time() < deadline:
            raise
        raise expired() from late
    # A handler that waits for nothing is not cancelled, and may be late all the same.
    if window.cancelled_caught or anyio.current_time() >= deadline:
        raise expired()
    return ExpiringResponse(value, deadline, guard) if hasattr(value, "to_asgi") else value


def make_public_handler(handler: Any, run: RouteRunner, metadata: Mapping[str, Any]) -> Any:
    """Make a public handler, whose dependencies our solver runs."""
    call = run.call

    def answer(_conn: Any, request: Any, tasks: Any, stack: AsyncExitStack) -> Awaitable[Any]:
        return call(request, tasks, None, stack)

    return _make_handler(handler, answer, run, metadata)


def _make_handler(handler: Any, answer: Answering, run: RouteRunner, metadata: Mapping[str, Any]) -> Any:
    """Make what the router keeps: a handler as FasterAPI calls it, and the fast path to the same answer."""
    deliver = _make_delivery(metadata)
    if run.yields:
        answer = _add_cleanup(answer, deliver)

    async def entry(request: Request, tasks: BackgroundTasks) -> Any:
        conn = connection_of(request)
        raised = conn.pop(RAISED, None)
        if raised is not None:
            error, read = raised
            if read is not None:  # exception handlers look at the body without reading it, and at the form
                take_over(request, read)
            raise error
        return await answer(conn, request, tasks, NO_STACK)

    # Not functools.wraps: FasterAPI would read the parameters of what is wrapped.
    for name in ("__module__", "__name__", "__qualname__", "__doc__"):
        setattr(entry, name, getattr(handler, name, None) or getattr(type(handler), name, None))
    setattr(entry, FAST_PATH, (answer, deliver, run.is_plain))
    return entry


def _make_delivery(metadata: Mapping[str, Any]) -> Deliver:
    """Make a function that sends a handler's value as FasterAPI does: by the route's model and status."""
    status = metadata.get("status_code", 200)
    model = metadata.get("response_model")
    include, exclude = metadata.get("response_model_include"), metadata.get("response_model_exclude")

    def deliver(send: Any, value: Any) -> Awaitable[None]:
        awaited: Awaitable[None] = send_answer(send, status, value)
        return awaited

    def by_model(send: Any, value: Any) -> Awaitable[None]:
        return deliver(send, value if hasattr(value, "to_asgi") else apply_model(value, model, include, exclude))

    return deliver if model is None else by_model


def make_socket_handler(guard: Any, route: RoutePlan, program: SocketRunner, app: Any) -> Any:
    """Put a WebSocket handler behind its gate: refused before it is accepted, closed when the token expires.

    Args:
        guard: who decides.
        route: the entry of the plan.
        program: how the handler is run.
        app: the application, whose exception handlers answer what dependencies raise.
    """

    async def connected(conn: Any, receive: Any, send: Any) -> None:
        socket, request = WebSocket(conn, receive, send), Request(conn, receive)
        try:
            await program.run(socket, request, guard.caller(conn))
        except BailiwickError as error:
            if is_connecting(socket):
                await guard.refuse(error, conn, receive, send)
                return
            guard.note(error)
            await socket.close(POLICY_VIOLATION, error.code or "unauthorized")
        except (HTTPException, RequestValidationError) as error:
            if not is_connecting(socket):
                raise
            await _deny_socket(await answer_to(app, request, error), conn, receive, send)

    # What is open is no decision, here as over HTTP.
    gate = Gate(guard, route, connected) if route.access is not Access.PUBLIC else connected

    async def entry(socket: Any) -> None:
        await gate(*asgi_of(socket))

    return entry


async def _deny_socket(
    answer: tuple[int, bytes, list[tuple[bytes, bytes]]], conn: Any, receive: Any, send: Any
) -> None:
    """Answer a WebSocket's handshake with an HTTP response, where the server can."""
    status, body, headers = answer
    await receive()  # websocket.connect
    if "websocket.http.response" not in (conn.get("extensions") or {}):
        await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": f"refused with {status}"})
        return
    await send({"type": "websocket.http.response.start", "status": status, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def caller_of(guard: Any, conn: Any) -> Principal | None:
    """Return the caller who was admitted on a request or a WebSocket of FasterAPI, or on an ASGI connection scope."""
    found: Principal | None = Guard.caller(guard, connection_of(conn))
    return found
