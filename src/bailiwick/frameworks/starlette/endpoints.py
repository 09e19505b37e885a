"""What stands for an endpoint that declares what it needs."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.websockets import WebSocket

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.frameworks.starlette.compat import channels_of, use_channels
from bailiwick.frameworks.starlette.endpoint_metadata import GATE, MARK, Endpoint, declared_at, name_of
from bailiwick.frameworks.starlette.error_handlers import answer_here, refusal, refuse_socket, response_of
from bailiwick.frameworks.starlette.gates import EndpointGate
from bailiwick.graph import Access, RoutePlan
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate, gate_around
from bailiwick.guard.policy import both_of
from bailiwick.scopes import Principal

__all__ = ["FunctionGate", "RequirementMark", "guarded_endpoint"]

log = logging.getLogger("bailiwick.guard")


class FunctionGate(Gate):
    """A gate in front of a function: it decides when Starlette calls the function with a request or a WebSocket.

    Attributes:
        function: what stands for the endpoint. Starlette, and decorators above, find in it what they would have found
            in the endpoint: the same name, the same arguments, and the endpoint's own response.
    """

    __slots__ = ("_run", "endpoint", "function")
    guard: Any

    def __init__(self, guard: Any, route: RoutePlan, endpoint: Any) -> None:
        super().__init__(guard, route, endpoint)
        self.endpoint = endpoint
        is_async = inspect.iscoroutinefunction(plain_of(endpoint))
        self._run: Callable[[Any], Awaitable[Any]] = endpoint if is_async else partial(run_in_threadpool, endpoint)

        async def guarded(conn: Any) -> Any:
            answer_here(conn.scope, BailiwickError, guard.handle_error)
            return await (self._over_socket(conn) if conn.scope["type"] == "websocket" else self._over_http(conn))

        update_wrapper(guarded, plain_of(endpoint))
        setattr(guarded, MARK, route)
        setattr(guarded, GATE, self)
        self.function = guarded

    async def _over_http(self, request: Request) -> Any:
        told = await self.decide(request.scope)
        if isinstance(told, BailiwickError):
            return await refusal(self.guard, told, request)
        if self.route.close_on_expiry and told is not None:
            return await self._until_expiry(told, request)
        return await self._run(request)

    async def _until_expiry(self, caller: Principal, request: Request) -> Any:
        """The endpoint's response, which ends when the token does; or the refusal if it comes too late for that."""
        said: list[Any] = []
        response: Any = None

        async def send(message: Any) -> None:
            said.append(message)

        async def answered(*_: Any) -> None:
            nonlocal response
            try:
                response = await self._run(request)
            except Exception as failed:
                if not deadline.is_over():
                    raise
                # The caller is told of the end; what else went wrong by then, or because of it, is for the log.
                if not isinstance(failed, HTTPException | BailiwickError):
                    log.exception("%s failed after its token had ended", self.route.label)

        deadline = self.watch(caller, request.scope, request.receive, send)
        await deadline.run(answered, request.scope)
        return response_of(said) if said else Lasting(response, self, caller)

    async def _over_socket(self, socket: WebSocket) -> None:
        told = await self.decide(socket.scope)
        if isinstance(told, BailiwickError):
            await refuse_socket(self.guard, told, socket)
            return
        watched = self.watch(told, socket.scope, *channels_of(socket))
        # The same object goes on, so that decorators above know what was said on it.
        use_channels(socket, watched.receive, watched.send)

        async def connected(*_: Any) -> None:
            await self.endpoint(socket)

        await watched.run(connected, socket.scope)


class Lasting:
    """A response that ends when its token does. To whoever handles it on its way out it is the response itself.

    Args:
        response: what the endpoint returned.
        gate: who let the caller through.
        caller: whose token it is.
    """

    __slots__ = ("_caller", "_gate", "_response")

    def __init__(self, response: Any, gate: Gate, caller: Principal) -> None:
        for name, value in (("_response", response), ("_gate", gate), ("_caller", caller)):
            object.__setattr__(self, name, value)

    @property  # type: ignore[misc]
    def __class__(self) -> type:
        return type(self._response)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._response, name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._response, name, value)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        """Send it."""
        await self._gate.watch(self._caller, conn, receive, send).run(self._response, conn)


def plain_of(endpoint: Any) -> Any:
    """What is called in the end: the function behind partials."""
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    return endpoint


def guarded_endpoint(guard: Any, plan: RoutePlan, endpoint: Any) -> Any:
    """The endpoint behind a gate, still of a kind that Starlette treats as it would have treated the endpoint.

    Args:
        guard: who decides.
        plan: what is declared.
        endpoint: a function, a class, or any other ASGI application; perhaps declared before.

    Raises:
        ConfigurationError: it is declared public, or is called with more than a request or a WebSocket.
    """
    earlier = declared_at(endpoint)
    if earlier is not None and earlier.access is Access.PUBLIC:
        raise ConfigurationError(f"{plan.name} is declared public ({earlier.reason}) and has a requirement as well.")
    plain = plain_of(endpoint)
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        return gate_around(endpoint, EndpointGate, guard, plan)
    _check_arguments(endpoint, plan.name)
    inner: FunctionGate | None = getattr(endpoint, GATE, None)
    if inner is not None and inner.guard is guard:
        plan = both_of(inner.route, plan, guard.catalog)
        # Between the two another decorator may stand, behind which the inner gate stays.
        endpoint = inner.endpoint if inner.function is endpoint else endpoint
    return FunctionGate(guard, plan, endpoint).function


def _check_arguments(endpoint: Any, name: str) -> None:
    needed = [
        one.name
        for one in inspect.signature(endpoint, follow_wrapped=False).parameters.values()
        if one.default is one.empty and one.kind in {one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD}
    ]
    if len(needed) > 1:
        raise ConfigurationError(
            f"{name}({', '.join(needed)}) is called with more than a request or a WebSocket, as the method of a class is. "
            "Decorate the class, or an endpoint function."
        )


class RequirementMark:
    """Puts an endpoint behind a gate: what `guard.requires(...)` and `guard.optional(...)` return; also for `default=` and `mounts=`.

    Args:
        guard: the guard that decides.
        plan: what is declared.
    """

    def __init__(self, guard: Any, plan: RoutePlan) -> None:
        self.guard = guard
        setattr(self, MARK, plan)

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Return the endpoint behind its gate, of the same kind."""
        plan = replace(getattr(self, MARK), name=name_of(endpoint), source=source_of(endpoint))
        guarded: Endpoint = guarded_endpoint(self.guard, plan, endpoint)
        return guarded
