"""What the gate has settled need not run again: a dependency tree without the guard in it."""

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from bailiwick.asgi import Public
from bailiwick.scopes import Principal

from .declarations import Need
from .internals import Dependant, with_children

__all__ = ["Pruning"]


class Pruning:
    """Takes out of a dependency tree what the gate has settled, and lets the guard supply its values directly.

    A function that was given the caller by the solver is called through a thin wrapper that adds the
    caller. FastAPI's rules about caching stay: one wrapper for each function, and a function that
    was run once for each set of scopes still is.
    """

    def __init__(self, guard: Any) -> None:
        self.guard = guard
        self._wrappers: dict[Any, Any] = {}

    def prune(self, root: Dependant) -> Dependant | None:
        """The tree without the guard, or None if the guard is not in it."""
        pruned = self._prune(root, is_root=True)
        return None if pruned is root else pruned

    def _prune(self, node: Dependant, *, is_root: bool = False) -> Dependant:
        kept: list[Dependant] = []
        supplied: dict[str, Callable[[Principal | None], Any]] = {}
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
        scopes_name = node.security_scopes_param_name
        if not is_root and scopes_name is None:
            # The guard below made this node "use scopes", which is part of its cache key.
            changes["security_scopes_param_name"] = "bailiwick_scopes"
        changes["call"] = self._wrapper(node.call, supplied, drop="bailiwick_scopes" if changes else None)
        return with_children(node, kept, **changes)

    def _supply(self, call: Any) -> Callable[[Principal | None], Any] | None:
        if call is self.guard or (isinstance(call, Need) and call.guard is self.guard):
            if isinstance(call, Need) and call.owner is not None:
                return lambda caller: call.supply(caller) if caller is not None else None
            return _itself
        if isinstance(call, Public):
            return _nothing
        return None

    def _wrapper(self, call: Any, supplied: dict[str, Any], drop: str | None) -> Any:
        key = (call, tuple(supplied), drop)
        if key not in self._wrappers:
            self._wrappers[key] = _supplying(call, tuple(supplied.items()), self.guard, drop)
        return self._wrappers[key]


def _itself(caller: Principal | None) -> Principal | None:
    return caller


def _nothing(_caller: Principal | None) -> None:
    return None


def _supplying(call: Any, supplied: Iterable[tuple[str, Any]], guard: Any, drop: str | None) -> Any:
    """A callable of the same kind as `call` that adds what the guard supplies."""
    current = guard.current
    supplied = tuple(supplied)

    def fill(values: dict[str, Any]) -> None:
        caller = current.get()
        for name, supply in supplied:
            values[name] = supply(caller)
        if drop is not None:
            values.pop(drop, None)

    plain = _innermost(call)
    if inspect.isasyncgenfunction(plain):
        made = _async_generator(call, fill)
    elif inspect.isgeneratorfunction(plain):
        made = _generator(call, fill)
    elif inspect.iscoroutinefunction(plain):
        simple = len(supplied) == 1 and supplied[0][1] is _itself and drop is None
        made = _injecting(call, supplied[0][0], current) if simple else _coroutine(call, fill)
    else:
        made = _function(call, fill)
    functools.update_wrapper(made, plain)
    # FastAPI looks through __wrapped__ to tell coroutines and generators apart; ours is of the same
    # kind, and must itself be what is called.
    del made.__wrapped__
    return made


def _innermost(call: Any) -> Any:
    """The function that decides of which kind a callable is."""
    if not (inspect.isroutine(call) or inspect.isclass(call) or isinstance(call, functools.partial)):
        call = call.__call__
    while isinstance(call, functools.partial):
        call = call.func
    return inspect.unwrap(call)


def _injecting(call: Any, name: str, current: Any) -> Any:
    """The common case, without a further call: one parameter that receives the caller."""

    async def wrapped(**values: Any) -> Any:
        values[name] = current.get()
        return await call(**values)

    return wrapped


def _coroutine(call: Any, fill: Callable[[dict[str, Any]], None]) -> Any:
    async def wrapped(**values: Any) -> Any:
        fill(values)
        return await call(**values)

    return wrapped


def _function(call: Any, fill: Callable[[dict[str, Any]], None]) -> Any:
    def wrapped(**values: Any) -> Any:
        fill(values)
        return call(**values)

    return wrapped


def _generator(call: Any, fill: Callable[[dict[str, Any]], None]) -> Any:
    def wrapped(**values: Any) -> Any:
        fill(values)
        return (yield from call(**values))

    return wrapped


def _async_generator(call: Any, fill: Callable[[dict[str, Any]], None]) -> Any:
    # There is no `yield from` for async generators: what is thrown in at the yield is passed on by hand.
    async def wrapped(**values: Any) -> Any:
        fill(values)
        generator = call(**values)
        value = await anext(generator)
        try:
            yield value
        except GeneratorExit:
            await generator.aclose()
            raise
        except BaseException as error:  # noqa: BLE001 - whatever it is, it belongs to the generator
            try:
                await generator.athrow(error)
            except StopAsyncIteration:
                return
        else:
            try:
                await anext(generator)
            except StopAsyncIteration:
                return
        await generator.aclose()
        raise RuntimeError("A dependency with yield yielded more than once.")

    return wrapped
