"""A request of which a route takes neither the query nor a cookie: what nobody takes is not parsed.

FastAPI's solver parses both for each request, whether or not anything in the tree asks for them, and that takes it longer than the
gate in front needs to decide.
"""

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.requests import Request

from .internals import ROUTING, SOLVER, TELEMETRY

__all__ = ["Untaken", "untaken"]


class Untaken(Request):
    """The same request, to whoever reads no query and no cookie."""

    query_params = QueryParams()
    cookies: Mapping[str, str] = MappingProxyType({})  # type: ignore[assignment]


_new: Final = object.__new__


def untaken(handler: Callable[[Any], Awaitable[Any]]) -> Callable[[Any], Awaitable[Any]]:
    """A route's handler that is shown no query and no cookie.

    Args:
        handler: FastAPI's, over a tree that takes neither; see `internals.takes_neither`.
    """
    solver = ROUTING.get(SOLVER)

    async def handled(request: Any) -> Any:
        # Somebody looks on since the route was built, by telemetry or in the solver's place, and is shown the request. Or it is
        # of a class that was put in the place of Starlette's, and reads bodies in its own way: a view would read them in Starlette's.
        if TELEMETRY in request.scope or ROUTING.get(SOLVER) is not solver or type(request) is not Request:
            return await handler(request)
        view = _new(Untaken)
        # One dictionary for both: a body that is read by one of them has been read.
        view.__dict__ = request.__dict__
        return await handler(view)

    return handled
