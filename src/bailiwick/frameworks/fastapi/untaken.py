"""A request without the query, or the cookies, that its route does not take: what nobody takes is not parsed.

FastAPI's solver parses both for each request, whether or not anything in the tree asks for them, and that takes it longer than the
gate in front needs to decide.
"""

from collections.abc import Awaitable, Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.datastructures import QueryParams
from starlette.requests import Request

from bailiwick.frameworks.fastapi.compat import ROUTING, SOLVER, TELEMETRY

__all__ = ["Untaken", "without"]

Handler = Callable[[Any], Awaitable[Any]]


class Untaken(Request):
    """The same request, to whoever does not read all of it."""


class _NoQuery(Untaken):
    query_params = QueryParams()


class _NoCookies(Untaken):
    cookies: Mapping[str, str] = MappingProxyType({})  # type: ignore[assignment]  # a property, of a dict, in Starlette


class _Neither(_NoQuery, _NoCookies):
    pass


_VIEWS: Final = {
    frozenset({"query_params"}): _NoQuery,
    frozenset({"cookies"}): _NoCookies,
    frozenset({"query_params", "cookies"}): _Neither,
}
_new: Final = object.__new__


def without(untaken: Collection[str]) -> Callable[[Handler], Handler]:
    """What is put around a route's handler, so that it is shown a request without what it does not take.

    Args:
        untaken: "query_params", "cookies", or both; see `compat.untaken_in`.
    """
    view_of: Any = _VIEWS[frozenset(untaken)]

    def around(handler: Handler) -> Handler:
        solver = ROUTING.get(SOLVER)

        async def handled(request: Any) -> Any:
            # Somebody looks on since the route was built, by telemetry or in the solver's place, and is shown the request. Or it is
            # of a class that was put in the place of Starlette's, and reads bodies in its own way: a view would read them in Starlette's.
            if TELEMETRY in request.scope or ROUTING.get(SOLVER) is not solver or type(request) is not Request:
                return await handler(request)
            view = _new(view_of)
            # One dictionary for both: a body that is read by one of them has been read.
            view.__dict__ = request.__dict__
            return await handler(view)

        return handled

    return around
