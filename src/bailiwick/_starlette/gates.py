"""Gates in front of endpoints: those of a decorator, and those that `protect` puts there."""

import inspect
import weakref
from dataclasses import replace
from functools import partial, update_wrapper
from typing import Any

from starlette.routing import request_response, websocket_session

from bailiwick._asgi.gate import Gate
from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.graph import Access, RoutePlan, combine

from .answers import answer_here
from .marks import MARK

__all__ = ["EndpointGate", "SettledGate", "guarded_endpoint"]


class EndpointGate(Gate):
    """A gate in front of one endpoint; in-handler checks are answered as exactly as its own refusals."""

    __slots__ = ()

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        answer_here(conn, BailiwickError, self.guard.handle_error)  # type: ignore[attr-defined]  # the guard is of this door
        await Gate.__call__(self, conn, receive, send)


class SettledGate(EndpointGate):
    """A gate that `protect` put in front of a route, for one application."""

    __slots__ = ("protection",)

    def __init__(self, protection: Any, route: RoutePlan, app: Any) -> None:
        super().__init__(protection.guard, route, app)
        self.protection = weakref.ref(protection)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        if self.route.access is Access.PUBLIC:  # stands here only to be recognised
            await self.app(conn, receive, send)
        else:
            await EndpointGate.__call__(self, conn, receive, send)


def guarded_endpoint(guard: Any, plan: RoutePlan, endpoint: Any) -> Any:
    """The endpoint behind a gate, still of a kind that Starlette treats as it would have treated the endpoint."""
    earlier: RoutePlan | None = getattr(endpoint, MARK, None)
    if earlier is not None and earlier.access is Access.PUBLIC:
        raise ConfigurationError(f"{plan.name} is declared public ({earlier.reason}) and has a requirement as well.")
    plain = endpoint
    while isinstance(plain, partial):
        plain = plain.func
    if not (inspect.isfunction(plain) or inspect.ismethod(plain)):
        return EndpointGate(guard, plan, endpoint)  # a class, or any other ASGI application
    over_http = EndpointGate(guard, plan, request_response(endpoint))
    over_socket = EndpointGate(guard, plan, websocket_session(endpoint))

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
