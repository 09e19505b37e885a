"""Runs the dependencies of one request: which, in which order, each how often, and when they are left.

Everything that does not depend on the request is settled once, in a `Program`: which runs share a value,
what is handed to whom, how each callable is run. A request then walks a flat list.

It is pure: it owns no thread, no event loop and no exit stack; the adapter hands these in.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager, AsyncExitStack
from contextlib import asynccontextmanager as _asynccontextmanager
from contextlib import contextmanager as _contextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from types import AsyncGeneratorType, GeneratorType, MappingProxyType, TracebackType
from typing import Any, Final

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.graph.dependant import Behaviour, CacheKey, Call, Dependant, Parameter, describe, key_of

__all__ = ["OMIT", "CallSync", "Program", "Provide", "Solved", "Unmet"]


class _Omit(Enum):
    OMIT = "leave the parameter to its default"


OMIT: Final = _Omit.OMIT


@dataclass(frozen=True, slots=True)
class Unmet:
    """What `provide` answers for a parameter that the request does not fill.

    The dependency, and all that rests on it, is not run; its neighbours are, so that one of them can still
    refuse the caller. A door answers with the collected errors if nobody did.

    Args:
        error: what the door wants to say about it.
    """

    error: object


Provide = Callable[[Parameter], object]
CallSync = Callable[[Callable[[], Any]], Awaitable[Any]]

_NO_OVERRIDES: Final[Mapping[Hashable, Call]] = MappingProxyType({})


@dataclass(slots=True, eq=False)  # frozen would cost a microsecond per request
class Solved:
    """What one request's dependencies gave.

    Attributes:
        arguments: for the target, by name; of the roots, those that a parameter takes.
        values: of the roots, in order; None for one that could not run.
        errors: what `provide` could not fill; unless it is empty, the target must not be called.
    """

    arguments: dict[str, Any]
    values: tuple[Any, ...]
    errors: tuple[object, ...]
    _slots: list[Any] = field(repr=False)
    _keys: Mapping[CacheKey, int] = field(repr=False)

    @property
    def cache(self) -> dict[CacheKey, Any]:
        """The shared values by cache key: for each key the first that was made."""
        return {key: self._slots[slot] for key, slot in self._keys.items()}


class _Step:
    """One run of one callable: what it is handed, and where its value goes."""

    __slots__ = (
        "await_only",
        "blocking",
        "call",
        "function_lifetime",
        "inputs",
        "is_taken",
        "may_await",
        "nobody_takes_it",
        "parameters",
        "positional",
        "scopes",
        "scopes_parameters",
        "scopes_type",
        "yields",
    )

    def __init__(self, runs: Dependant, place: Dependant, inputs: tuple[tuple[str, int], ...]) -> None:
        self.call = runs.call
        self.inputs = inputs
        self.parameters = runs.parameters
        self.scopes = runs.oauth_scopes
        self.scopes_parameters = runs.scopes_parameters
        self.scopes_type = runs.scopes_type
        self.await_only = runs.behaviour is Behaviour.COROUTINE and not runs.yields
        self.blocking = runs.behaviour in (Behaviour.BLOCKING, Behaviour.CONSTRUCTOR)
        # The instance of a class is the value, even where it happens to be awaitable (a pool of connections).
        self.may_await = runs.behaviour is not Behaviour.CONSTRUCTOR
        self.yields = runs.yields
        self.positional = tuple((one.name, one.default) for one in runs.parameters if one.positional_only)
        self.function_lifetime = place.lifetime == "function"
        self.nobody_takes_it = place.name is None and not runs.yields
        self.is_taken = place.name is not None  # here, or where the value is shared

    def fill(self, slots: list[Any], provide: Provide, errors: list[object]) -> dict[str, Any]:
        """The arguments; what `provide` cannot fill is missing and told in `errors`."""
        arguments: dict[str, Any] = {}
        for name, slot in self.inputs:
            arguments[name] = slots[slot]
        for name in self.scopes_parameters:
            # A list of its own: a dependency that appends to it must not change what another is asked for.
            arguments[name] = self.scopes_type(list(self.scopes))
        for parameter in self.parameters:
            value = provide(parameter)
            if value is OMIT:
                continue
            if isinstance(value, Unmet):
                errors.append(value.error)
            else:
                arguments[parameter.name] = value
        return arguments

    def bind(self, arguments: dict[str, Any]) -> Call:
        """The callable, with its positional-only parameters bound."""
        given = [arguments.pop(name, default) for name, default in self.positional]
        return partial(self.call, *given)


class Program:
    """The runs of one route's dependencies, settled once and used for every request.

    Args:
        roots: what runs first, in order: the dependencies of the application, its routers and the route.
        target: the endpoint, whose own dependencies run after them. It is not called here; its arguments are made.
        overrides: what to run in place of what, as tests declare it. A stand-in is handed all scopes
            of the place where it stands, and shares values as the original would.
        reader: reads the stand-ins; needed where there are overrides.

    Raises:
        ConfigurationError: a stand-in cannot be read, or depends on what it stands for.
        ValueError: there are overrides, but no reader.
    """

    __slots__ = ("_keys", "_names", "_overrides", "_reader", "_roots", "_steps", "_target")

    def __init__(
        self,
        roots: Iterable[Dependant],
        target: Dependant | None = None,
        *,
        overrides: Mapping[Hashable, Call] = _NO_OVERRIDES,
        reader: Reader | None = None,
    ) -> None:
        if overrides and reader is None:
            raise ValueError("Overrides have signatures that must be read: hand in a reader.")
        self._overrides = overrides
        self._reader = reader
        self._steps: list[_Step] = []
        self._keys: dict[CacheKey, int] = {}
        placed = [(root, self._place(root, ())) for root in roots]
        self._roots = tuple(slot for _, slot in placed)
        self._names = tuple((root.name, slot) for root, slot in placed if root.name is not None)
        self._target = None if target is None else _Step(target, target, self._inputs(target, ()))

    def __len__(self) -> int:
        """How many runs a request takes."""
        return len(self._steps)

    def _inputs(self, dependant: Dependant, replaced: tuple[Call, ...]) -> tuple[tuple[str, int], ...]:
        return tuple((child.name or "", self._place(child, replaced)) for child in dependant.dependencies)

    def _place(self, dependant: Dependant, replaced: tuple[Call, ...]) -> int:
        """The slot that will hold the value; children first, as they run first.

        The children are placed even where the value itself is shared: one of them may be declared with
        `use_cache=False`, and runs then once more.
        """
        runs = dependant
        if self._overrides:
            runs, replaced = self._stand_in(dependant, replaced)
        inputs = self._inputs(runs, replaced)
        key = dependant.cache_key
        if dependant.use_cache and key in self._keys:
            shared = self._keys[key]
            self._steps[shared].is_taken = self._steps[shared].is_taken or dependant.name is not None
            return shared
        slot = len(self._steps)
        self._steps.append(_Step(runs, dependant, inputs))
        self._keys.setdefault(key, slot)
        return slot

    def _stand_in(self, dependant: Dependant, replaced: tuple[Call, ...]) -> tuple[Dependant, tuple[Call, ...]]:
        call = self._overrides.get(key_of(dependant.call))
        if call is None or self._reader is None:
            return dependant, replaced
        if any(one is call for one in replaced):
            raise ConfigurationError(
                f"{describe(call)} stands in for {describe(dependant.call)} and depends on it.", id="BW122"
            )
        stand_in = self._reader.read(
            call,
            name=dependant.name,
            parent_oauth_scopes=dependant.oauth_scopes,
            use_cache=dependant.use_cache,
            lifetime=dependant.lifetime,
        )
        return stand_in, (*replaced, call)

    async def run(
        self,
        provide: Provide,
        *,
        request_stack: AsyncExitStack,
        function_stack: AsyncExitStack | None = None,
        call_sync: CallSync | None = None,
    ) -> Solved:
        """Run the dependencies of one request.

        Args:
            provide: the value of a parameter that is no dependency; `OMIT` leaves its default, `Unmet` says
                that the request does not fill it. What needs awaiting (a body) is read beforehand.
            request_stack: left after the response; dependencies that yield are entered here.
            function_stack: left when the endpoint returns, before `request_stack`; None to use that one.
            call_sync: runs a blocking callable, in a thread say; None to run it in place.

        Raises:
            ConfigurationError: a dependency whose value nobody takes returned a generator, which nobody would run.
            Exception: whatever a dependency raises; nothing after it runs.
        """
        function_stack = request_stack if function_stack is None else function_stack
        slots: list[Any] = []
        errors: list[object] = []
        failed: set[int] = set()
        for step in self._steps:
            known = len(errors)
            arguments = step.fill(slots, provide, errors)
            if errors and (len(errors) != known or any(slot in failed for _, slot in step.inputs)):
                failed.add(len(slots))
                slots.append(None)
                continue
            call = step.bind(arguments) if step.positional else step.call
            if step.await_only:
                value = await call(**arguments)
                if type(value) not in _PLAIN and _is_to_be_awaited(value, is_taken=step.is_taken):
                    value = await value  # an async wrapper that forgot to await what it wraps
            else:
                if call_sync is None or not step.blocking:
                    value = call(**arguments)
                else:
                    value = await call_sync(partial(call, **arguments))
                if step.may_await and type(value) not in _PLAIN and _is_to_be_awaited(value, is_taken=step.is_taken):
                    value = await value
                if step.yields:
                    value = await _enter(value, function_stack if step.function_lifetime else request_stack, call_sync)
                elif step.nobody_takes_it and isinstance(value, GeneratorType | AsyncGeneratorType):
                    raise ConfigurationError(
                        f"{describe(step.call)} returned a generator that nobody would run. "
                        "Make it yield itself, or put functools.wraps on the wrapper.",
                        id="BW123",
                    )
            slots.append(value)
        arguments = {name: slots[slot] for name, slot in self._names}
        if self._target is not None:
            arguments |= self._target.fill(slots, provide, errors)
        return Solved(arguments, tuple([slots[slot] for slot in self._roots]), tuple(errors), slots, self._keys)


# What most dependencies return, known not to be awaitable without looking.
_PLAIN: Final = frozenset({bool, bytes, dict, float, int, list, set, str, tuple, type(None)})


def _is_to_be_awaited(value: object, *, is_taken: bool) -> bool:
    """Whether the value is yet to come: a coroutine that somebody made and did not await.

    Left alone, the guard in it would never run. Other things can be awaited too (a task, a pool of connections), and
    are the value where somebody takes it; where nobody does, one of them may be a guard's last step.
    """
    kind = type(value)
    if hasattr(kind, "cr_await"):  # Python's coroutines, and those of compiled modules
        return True
    # inspect.isawaitable asks an abstract base class, which costs more than all the rest of a step.
    if isinstance(value, GeneratorType):
        return inspect.isawaitable(value)
    return not is_taken and hasattr(kind, "__await__")


@_contextmanager
def _left_later(generator: GeneratorType[Any, Any, Any]) -> Any:
    yield from generator


def _itself(generator: AsyncGeneratorType[Any, Any]) -> AsyncGeneratorType[Any, Any]:
    return generator


_left_later_async = _asynccontextmanager(_itself)


class _Threaded(AbstractAsyncContextManager[Any, bool | None]):
    """A blocking context manager, entered and left where blocking calls run."""

    def __init__(self, inner: AbstractContextManager[Any], call_sync: CallSync) -> None:
        self._inner = inner
        self._call_sync = call_sync

    async def __aenter__(self) -> Any:
        return await self._call_sync(self._inner.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        left: bool | None = await self._call_sync(partial(self._inner.__exit__, kind, error, trace))
        return left


async def _enter(value: object, stack: AsyncExitStack, call_sync: CallSync | None) -> Any:
    """Run a generator up to its yield, and the rest of it when the stack is left."""
    if isinstance(value, AsyncGeneratorType):
        return await stack.enter_async_context(_left_later_async(value))
    if isinstance(value, GeneratorType):
        inner = _left_later(value)
        if call_sync is None:
            return stack.enter_context(inner)
        return await stack.enter_async_context(_Threaded(inner, call_sync))
    return value  # a wrapper ran the generator to its value itself
