"""Takes the guard out of a copy of a route's dependency tree: its gate has decided already, and FastAPI need not run it again.

Figures: an injected caller costs FastAPI's solver one more node, and the guard's decision a second time. Without the guard in the tree a route that takes the
caller ran at 0.83 to 0.87 of the open route's speed, and one with nested dependencies at 0.55, or at 0.80 with `compiled_dependencies`
(in process, December 2026).
"""

import functools
import inspect
from collections.abc import Callable
from contextlib import aclosing
from typing import Any, Final

from bailiwick.frameworks.fastapi.compat import Dependant, kind_of, with_children
from bailiwick.frameworks.fastapi.compiled_dependencies import (
    VALUES,
    CompiledDependencies,
    Supply,
    compile_dependencies,
    give_caller,
)
from bailiwick.frameworks.fastapi.scope_dependency import ScopeDependency
from bailiwick.guard.policy import Public
from bailiwick.scopes import Principal

__all__ = ["DependencyPruner"]

# The names under which a wrapper is given what it needs give_caller; no function has parameters of such names.
CONNECTION: Final = "bailiwick:connection"
SCOPES: Final = "bailiwick:scopes"

Fill = Callable[[dict[str, Any]], None]


class DependencyPruner:
    """Takes out of a dependency tree what the gate has settled, and lets the guard supply its values directly.

    A function that was given the caller by the solver is called through a thin wrapper that adds the
    caller. FastAPI's rules about caching stay: one wrapper for each function, and a function that
    was run once for each set of scopes still is.
    """

    def __init__(self, guard: Any) -> None:
        self.guard = guard
        self._key: str = guard.caller_key
        self._wrappers: dict[Any, Any] = {}

    def prune(self, root: Dependant, *, compiled: bool = True) -> tuple[Dependant | None, CompiledDependencies | None]:
        """Return the tree without the guard, or None if the guard is not in it; and, where all dependencies can be compiled,
        what runs in the place of all of them.

        Args:
            root: FastAPI's tree of the route.
            compiled: whether anything may run before the route's handler is called.
        """
        calls = compile_dependencies(root, self._supply, self._key) if compiled else None
        pruned = self._prune(root, is_root=True)
        if pruned is root:
            return None, None
        if calls is None:
            return pruned, None
        return self._filled(root, [], _take_compiled), calls

    def _prune(self, node: Dependant, *, is_root: bool = False) -> Dependant:
        kept: list[Dependant] = []
        supplied: dict[str, Supply] = {}
        changed = False
        for child in node.dependencies:
            supply = self._supply(child.call)
            if supply is None:
                new = self._prune(child)
                changed = changed or new is not child
                kept.append(new)
            else:
                changed = True
                if child.name is not None:
                    supplied[child.name] = supply
        if not changed:
            return node
        if not supplied:
            return with_children(node, kept)
        changes: dict[str, Any] = {}
        if not is_root and node.security_scopes_param_name is None:
            # The guard below made this node "use scopes", which is part of its cache key.
            changes["security_scopes_param_name"] = SCOPES
        take = _supplied(tuple(supplied.items()), self._key)
        if is_root:  # alone of its kind; and FastAPI takes handlers that cannot be hashed, unlike dependencies
            return _connected(node, kept, _filling(node, take, drop=False, is_root=True), changes)
        key = (node.call, tuple(supplied), node.http_connection_param_name, *changes)
        if key not in self._wrappers:
            self._wrappers[key] = _filling(node, take, drop=bool(changes), is_root=False)
        return _connected(node, kept, self._wrappers[key], changes)

    def _filled(self, root: Dependant, kept: list[Dependant], take: "Take") -> Dependant:
        return _connected(root, kept, _filling(root, take, drop=False, is_root=True), {})

    def _supply(self, call: Any) -> Supply | None:
        if call is self.guard or (isinstance(call, ScopeDependency) and call.guard is self.guard):
            if isinstance(call, ScopeDependency) and call.owner is not None:
                return lambda caller: call.supply(caller) if caller is not None else None
            return give_caller
        if isinstance(call, Public):
            return _nothing
        return None


def _nothing(_caller: Principal | None) -> None:
    return None


Take = Callable[[dict[str, Any], Any], None]  # fills a function's arguments from the connection scope


def _take_compiled(values: dict[str, Any], conn: Any) -> None:
    values.update(conn[VALUES])


def _supplied(supplied: tuple[tuple[str, Supply], ...], key: str) -> Take:
    """Fills in what the guard supplies."""
    if len(supplied) == 1 and supplied[0][1] is give_caller:
        only = supplied[0][0]

        def take_one(values: dict[str, Any], conn: Any) -> None:
            values[only] = conn.get(key)

        return take_one

    def take(values: dict[str, Any], conn: Any) -> None:
        caller = conn.get(key)
        for name, supply in supplied:
            values[name] = supply(caller)

    return take


def _connected(node: Dependant, kept: list[Dependant], call: Any, changes: dict[str, Any]) -> Dependant:
    """The node with `call` in place of its own, which is also given the connection."""
    if node.http_connection_param_name is None:
        changes = {**changes, "http_connection_param_name": CONNECTION}
    return with_children(node, kept, call=call, **changes)


def _filling(node: Dependant, take: Take, *, drop: bool, is_root: bool) -> Any:
    """A callable of the same kind as the node's that adds what `take` knows."""
    own = node.http_connection_param_name

    def fill(values: dict[str, Any]) -> None:
        take(values, (values.pop(CONNECTION) if own is None else values[own]).scope)
        if drop:
            values.pop(SCOPES, None)

    call: Any = node.call
    # A decorator may make another kind of a function than the one below it: FastAPI's answer counts.
    kind = kind_of(node)
    if kind == "async generator":
        made = _async_stream(call, fill) if is_root else _async_generator(call, fill)
    elif kind == "generator":
        made = _generator(call, fill)
    elif kind == "coroutine":
        made = _coroutine(call, fill)
    else:
        made = _function(call, fill)
    plain = _innermost(call)
    # Not what is in its __dict__: of a class that would be its methods, of which FastAPI asks `__call__` what kind it is.
    functools.update_wrapper(made, plain, updated=())
    # FastAPI looks through __wrapped__ to tell coroutines and generators apart; ours is of the same
    # kind, and must give_caller be what is called.
    del made.__wrapped__
    return made


def _innermost(call: Any) -> Any:
    """The function that a callable comes down to, for its name and file."""
    if not (inspect.isroutine(call) or inspect.isclass(call) or isinstance(call, functools.partial)):
        call = call.__call__
    while isinstance(call, functools.partial):
        call = call.func
    return inspect.unwrap(call)


def _coroutine(call: Any, fill: Fill) -> Any:
    async def wrapped(**values: Any) -> Any:
        fill(values)
        return await call(**values)

    return wrapped


def _function(call: Any, fill: Fill) -> Any:
    def wrapped(**values: Any) -> Any:
        fill(values)
        return call(**values)

    return wrapped


def _generator(call: Any, fill: Fill) -> Any:
    def wrapped(**values: Any) -> Any:
        fill(values)
        return (yield from call(**values))

    return wrapped


def _async_stream(call: Any, fill: Fill) -> Any:
    # A handler that yields its answer: nothing is thrown in, but it may be broken off.
    async def wrapped(**values: Any) -> Any:
        fill(values)
        async with aclosing(call(**values)) as items:
            async for item in items:
                yield item

    return wrapped


def _async_generator(call: Any, fill: Fill) -> Any:
    # There is no `yield from` for async generators: what is thrown in at the yield is passed on by hand.
    async def wrapped(**values: Any) -> Any:
        fill(values)
        generator = call(**values)
        try:
            value = await anext(generator)
            # Once, if it is written as it should be; FastAPI says what is wrong with one that yields never or again.
            while True:
                try:
                    yield value
                except GeneratorExit:
                    await generator.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the generator
                    value = await generator.athrow(error)
                else:
                    value = await anext(generator)
        except StopAsyncIteration:
            return

    return wrapped
