"""Dependencies that take nothing of the request but the caller: run without FastAPI's solver, in its order.

Chains of such functions are what nested `Security` is made of. FastAPI walks the tree anew for each
request; what it will run, and what it will take from its cache, is known when the application
starts. A tree in which anything else occurs is left to FastAPI as a whole, so that nothing changes places.
"""

from collections.abc import Awaitable, Callable
from typing import Any, Final

from bailiwick.frameworks.fastapi.compat import Dependant, cache_key_of, is_plain_dependency, runs_in_a_thread
from bailiwick.frameworks.fastapi.generated_calls import Call, Supply, written_out

__all__ = ["VALUES", "Chain", "read_chain"]

VALUES: Final = "bailiwick.values"  # where a chain leaves what it found, in the connection scope


Handler = Callable[[Any], Awaitable[Any]]


class Chain:
    """What the dependencies of one route come to.

    Args:
        run: makes every call, and leaves what the route's parameters are filled with in the connection scope.
    """

    def __init__(self, run: Callable[[Any], Awaitable[None]]) -> None:
        self.run = run

    def before(self, handler: Handler) -> Handler:
        """The route's handler, with these calls made first.

        Args:
            handler: FastAPI's, over a tree that has no dependencies left.
        """
        run = self.run

        async def handled(request: Any) -> Any:
            await run(request)
            return await handler(request)

        return handled


class _Reader:
    """Walks a tree as FastAPI's solver would, and notes what it would do."""

    def __init__(self, supply: Callable[[Any], Supply | None]) -> None:
        self._supply = supply
        self._cached: dict[Any, int] = {}
        self.calls: list[Call] = []

    def children(self, node: Dependant) -> tuple[tuple[tuple[str, int], ...], tuple[tuple[str, Supply], ...]] | None:
        """Where the parameters of a node come from, or None if the tree is not so plain."""
        results: dict[str, int] = {}
        supplied: dict[str, Supply] = {}
        for child in node.dependencies:
            supply = self._supply(child.call)
            if supply is not None:
                if child.name is not None:
                    supplied[child.name] = supply
                continue
            index = self._step(child)
            if index is None:
                return None
            if child.name is not None:
                results[child.name] = index
        return tuple(results.items()), tuple(supplied.items())

    def _step(self, node: Dependant) -> int | None:
        if node.call is None or not is_plain_dependency(node):
            return None
        # FastAPI solves what a function depends on before it asks whether it has the function's own result.
        arguments = self.children(node)
        if arguments is None:
            return None
        key = cache_key_of(node)
        known = self._cached.get(key)
        if node.use_cache and known is not None:
            return known
        connection = (node.request_param_name, node.http_connection_param_name)
        self.calls.append(
            Call(
                node.call,
                runs_in_a_thread(node),
                *arguments,
                tuple(name for name in connection if name is not None),
                node.security_scopes_param_name,
                tuple(dict.fromkeys(node.own_oauth_scopes or ()))
                if not node.parent_oauth_scopes
                else _aggregated(node),
            )
        )
        index = len(self.calls) - 1
        self._cached.setdefault(key, index)
        return index


def _aggregated(node: Dependant) -> tuple[str, ...]:
    # Duplicates among the parents stay, as FastAPI leaves them: handlers can see them.
    scopes = list(node.parent_oauth_scopes or ())
    for scope in node.own_oauth_scopes or ():
        if scope not in scopes:
            scopes.append(scope)
    return tuple(scopes)


def read_chain(root: Dependant, supply: Callable[[Any], Supply | None], key: str) -> Chain | None:
    """The chain of a route, or None if its dependencies are not all plain.

    Args:
        root: FastAPI's tree of the route.
        supply: what the guard gives in place of a call, or None if that call is not the guard's.
        key: where the gate leaves the caller in the connection scope.
    """
    # FastAPI reads and parses a body before it runs dependencies; the chain would come first.
    if root.body_params:
        return None
    reader = _Reader(supply)
    arguments = reader.children(root)
    if arguments is None or not reader.calls:
        return None
    return Chain(written_out(reader.calls, *arguments, key=key, values=VALUES))
