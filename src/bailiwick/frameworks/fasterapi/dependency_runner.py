"""Runs a route once its gate has admitted the caller: dependencies by our solver, parameters by FasterAPI.

What the gate has settled is pruned: the guard is no step of any program, and the caller is handed
over directly. A route that is left without dependencies does not meet the solver at all.
"""

import dataclasses
import inspect
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from functools import partial
from typing import Any, Final

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.compat import (
    BackgroundTasks,
    Request,
    Spec,
    WebSocket,
    awaited,
    fill,
    may_refuse,
    resolve_all,
    specs_of,
)
from bailiwick.frameworks.fasterapi.dependency_solver import OMIT, Program
from bailiwick.frameworks.fasterapi.dependency_tree import READER, is_ours
from bailiwick.frameworks.fasterapi.scope_dependency import ScopeDependency, SecurityMarker, SecurityScopes
from bailiwick.graph import Dependant, Parameter
from bailiwick.graph.dependant import Behaviour, Call, behaviour_of, describe
from bailiwick.graph.signature import read_signature
from bailiwick.guard.policy import Public
from bailiwick.scopes import Principal

__all__ = ["NO_STACK", "RouteRunner", "SocketRunner", "SubtreeRunner", "make_runner"]

Supply = Callable[[Principal | None], Any]
Filler = Callable[["RequestValues"], object]


@dataclasses.dataclass(frozen=True, slots=True)
class RouteRunner:
    """Runs the dependencies and the handler of an HTTP route.

    Attributes:
        call: given request, background tasks, caller and a stack, it gives the handler's answer; the dependencies that
            yield are entered on the stack.
        is_plain: it needs neither the request nor the background tasks.
        yields: it needs the stack.
    """

    call: Callable[[Any, Any, Principal | None, AsyncExitStack], Awaitable[Any]]
    is_plain: bool = False
    yields: bool = False


# For programs in which nothing yields: never entered, and so never to be left.
NO_STACK: Final = AsyncExitStack()


class RequestValues:
    """Fills parameters from one request."""

    __slots__ = ("caller", "fillers", "request", "socket", "tasks")

    def __init__(
        self, fillers: dict[Parameter, Filler], request: Any, tasks: Any, caller: Principal | None, socket: Any = None
    ) -> None:
        self.fillers = fillers
        self.request = request
        self.tasks = tasks
        self.caller = caller
        self.socket = socket

    def __call__(self, parameter: Parameter) -> object:
        return self.fillers[parameter](self)


class BodyParameter:
    """Reads a parameter from the body, as a step of its own: it is awaited in its place, and not before."""

    def __init__(self, spec: Spec) -> None:
        self._spec = (spec,)
        self._name = spec.name

    async def __call__(self, request: Request) -> Any:
        """FasterAPI's value, or its validation error."""
        values = await resolve_all(self._spec, request, request.path_params, {}, None)
        return values[self._name]


class CheckedParameter:
    """Fills a parameter for which FasterAPI may refuse the request, as a step of its own: nothing that stands after it runs before."""

    def __init__(self, spec: Spec) -> None:
        self._spec = spec

    def __call__(self, request: Request) -> Any:
        """FasterAPI's value, or its validation error.

        Raises:
            TypeError: nothing fills it, so that nothing can be called with it.
        """
        value = fill(self._spec, request, None)
        if value is OMIT:
            raise TypeError(f"missing a required argument: {self._spec.name!r}")
        return value


class FromRequest:
    """Makes an instance by the `from_request` of its class, to which FasterAPI hands the request by position, and nothing else.

    Equal for the same class: a request makes it once.
    """

    def __init__(self, kind: Any) -> None:
        self._kind = kind

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FromRequest) and self._kind is other._kind

    def __hash__(self) -> int:
        return id(self._kind)

    async def __call__(self, request: Request) -> Any:
        """What the class makes of the request."""
        return await self._kind.from_request(request)


class TreeConverter:
    """Makes of a tree as it was read the tree that runs: without what the gate settles, parameters filled by FasterAPI."""

    def __init__(self, guard: Any, *, is_socket: bool = False, where: str = "") -> None:
        self.guard = guard
        self.is_socket = is_socket
        self.where = where
        self.fillers: dict[Parameter, Filler] = {}

    def convert(self, node: Dependant, *, is_target: bool = False) -> Dependant:
        """One node and all below it."""
        if not is_target and inspect.isclass(node.call) and hasattr(node.call, "from_request"):
            made = FromRequest(node.call)
            return dataclasses.replace(
                node, call=made, dependencies=(), parameters=(self._whole_request(made),), scopes_parameters=()
            )
        written = {one.name: one for one in read_signature(node.call, closures=False)}
        specs = {spec.name: spec for spec in specs_of(node.parameters)}
        children = {child.name: child for child in node.dependencies}
        own = {one.name: one for one in node.parameters}
        dependencies: list[Dependant] = []
        parameters: list[Parameter] = []
        pruned = False
        taker = _socket_parameter(node) if self.is_socket and is_target else None
        for name, parameter in written.items():
            if name in children:
                child = children[name]
                supply = supply_of(child.call, self.guard)
                if supply is None:
                    dependencies.append(self.convert(child))
                    continue
                pruned = pruned or child.uses_scopes
                by_position = parameter.kind is inspect.Parameter.POSITIONAL_ONLY
                taken = Parameter(name, Principal, inspect.Parameter.empty, (), by_position, node.call)
                self.fillers[taken] = _supply_from(supply)
                parameters.append(taken)
            elif name in own:
                spec = specs[name]
                if (taker is not None and name == taker.name) or (self.is_socket and own[name].annotation is WebSocket):
                    self.fillers[own[name]] = _give_socket
                elif awaited(spec):
                    dependencies.append(self._from_body(node, spec))
                    continue
                elif may_refuse(spec) and not own[name].positional_only:  # a step's value is passed by name
                    dependencies.append(self._step(node, name, CheckedParameter(spec)))
                    continue
                else:
                    self.fillers[own[name]] = _fill_from(spec)
                parameters.append(own[name])
        return dataclasses.replace(
            node,
            dependencies=tuple(dependencies),
            parameters=tuple(parameters),
            scopes_type=SecurityScopes,
            # The guard below made this node depend on scopes, which is part of its cache key.
            is_scheme=node.is_scheme or pruned,
        )

    def _from_body(self, node: Dependant, spec: Spec) -> Dependant:
        if self.is_socket:
            raise ConfigurationError(
                f"{self.where}: {describe(node.call)} reads {spec.name!r} from a body, and a WebSocket has none.",
                id="BW122",
            )
        return self._step(node, spec.name, BodyParameter(spec))

    def _step(self, node: Dependant, name: str, call: Call) -> Dependant:
        """A parameter of a node as a dependency of it: filled in its place among the others."""
        return Dependant(
            call=call,
            name=name,
            parent_oauth_scopes=node.oauth_scopes,
            use_cache=False,
            parameters=(self._whole_request(call),),
        )

    def _whole_request(self, owner: Call) -> Parameter:
        request = Parameter("request", Request, inspect.Parameter.empty, (), False, owner)
        self.fillers[request] = _give_request
        return request


def _give_socket(filling: RequestValues) -> object:
    return filling.socket


def _give_request(filling: RequestValues) -> object:
    return filling.request


def _fill_from(spec: Spec) -> Filler:
    return lambda filling: fill(spec, filling.request, filling.tasks)


def _supply_from(supply: Supply) -> Filler:
    return lambda filling: supply(filling.caller)


def _socket_parameter(target: Dependant) -> inspect.Parameter | None:
    """Find the parameter of a WebSocket handler that takes the connection: FasterAPI passes it first, whatever its name.

    One that is annotated with the connection's type takes it wherever it stands; None where there is neither.
    """
    written = read_signature(target.call, closures=False)
    annotated = {one.name for one in target.parameters if one.annotation is WebSocket}
    dependencies = {child.name for child in target.dependencies}.union(target.scopes_parameters)
    here = [one for one in written if one.name in annotated] or [
        one for one in written if one.kind in _TAKES_POSITION and one.name not in dependencies
    ]
    return here[0] if here else None


_TAKES_POSITION: Final = (
    inspect.Parameter.POSITIONAL_ONLY,
    inspect.Parameter.POSITIONAL_OR_KEYWORD,
    inspect.Parameter.VAR_POSITIONAL,
)


def _give_caller(caller: Principal | None) -> Principal | None:
    return caller


def _give_nothing(_caller: Principal | None) -> None:
    return None


def supply_of(call: Any, guard: Any) -> Supply | None:
    """Return what takes the place of a dependency that the gate settles; None for any other."""
    if isinstance(call, Public):
        return _give_nothing
    if not is_ours(call, guard):
        return None
    if isinstance(call, ScopeDependency) and call.owner is not None:
        return lambda caller: call.supply(caller) if caller is not None else None
    return _give_caller


def make_runner(handler: Any, roots: list[Dependant], target: Dependant, guard: Any) -> RouteRunner:
    """Make the runner of an HTTP route.

    Args:
        handler: the endpoint.
        roots: the trees of `dependencies=[...]`, outermost first.
        target: the tree of the endpoint.
        guard: whose dependencies are settled by the gate.

    Raises:
        ConfigurationError: a tree cannot be settled.
    """
    left = [root for root in roots if supply_of(root.call, guard) is None]
    supplies = [(child.name, supply_of(child.call, guard)) for child in target.dependencies]
    if left or target.scopes_parameters or any(supply is None for _, supply in supplies):
        return _run_program(handler, left, target, guard)
    named = tuple((str(name), supply) for name, supply in supplies if supply is not None)
    return _call_directly(handler, specs_of(target.parameters), named)


def _is_coroutine(handler: Any) -> bool:
    behaviour, _ = behaviour_of(handler)
    return behaviour is Behaviour.COROUTINE


def _call_directly(handler: Any, specs: tuple[Spec, ...], supplies: tuple[tuple[str, Supply], ...]) -> RouteRunner:
    """Make a runner without dependencies: FasterAPI's parameters, and what the guard supplies."""
    if not specs and _is_coroutine(handler):
        if not supplies:

            def bare(_give_request: Any, _tasks: Any, _caller: Principal | None, _stack: AsyncExitStack) -> Any:
                return handler()

            return RouteRunner(bare, is_plain=True)
        if len(supplies) == 1 and supplies[0][1] is _give_caller:
            # The common case, without a loop and without a further coroutine.
            only = supplies[0][0]

            def injecting(_give_request: Any, _tasks: Any, caller: Principal | None, _stack: AsyncExitStack) -> Any:
                return handler(**{only: caller})

            return RouteRunner(injecting, is_plain=True)

    async def run(request: Any, tasks: Any, caller: Principal | None, _stack: AsyncExitStack) -> Any:
        values: dict[str, Any] = {}
        if specs:
            values = await resolve_all(specs, request, request.path_params, {}, tasks)
        for name, supply in supplies:
            values[name] = supply(caller)
        return await _answer(handler, values)

    return RouteRunner(run)


async def _answer(handler: Any, values: dict[str, Any]) -> Any:
    answer = handler(**values)
    # A partial or a bound method of an async handler is awaited as well; FasterAPI would try to encode the coroutine.
    return await answer if hasattr(type(answer), "__await__") else answer


def _run_program(handler: Any, roots: list[Dependant], target: Dependant, guard: Any) -> RouteRunner:
    converter = TreeConverter(guard)
    trees = [converter.convert(root) for root in roots]
    end = converter.convert(target, is_target=True)
    program, fillers = Program(trees, end), converter.fillers

    async def run(request: Any, tasks: Any, caller: Principal | None, stack: AsyncExitStack) -> Any:
        filling = RequestValues(fillers, request, tasks, caller)
        solved = await program.run(filling, request_stack=stack)
        return await _answer(handler, solved.arguments)

    return RouteRunner(run, yields=any(node.yields for tree in (*trees, *end.dependencies) for node in tree.walk()))


class SocketRunner:
    """Calls a WebSocket handler with its dependencies; FasterAPI hands it the connection alone.

    Args:
        handler: the endpoint.
        target: its tree.
        guard: whose dependencies are settled by the gate.
        where: the route's name for messages.

    Raises:
        ConfigurationError: something in the tree reads a body, or the handler takes no connection.
    """

    def __init__(self, handler: Any, target: Dependant, guard: Any, where: str) -> None:
        taker = _socket_parameter(target)
        if taker is None:
            raise ConfigurationError(
                f"{where}: {describe(handler)} has no parameter that takes the connection; FasterAPI passes it as the "
                "first one, by position.",
                id="BW122",
            )
        # Into *args: then what stands before it is passed by position as well.
        self._is_spread = taker.kind is inspect.Parameter.VAR_POSITIONAL
        by_position = _TAKES_POSITION[:2] if self._is_spread else _TAKES_POSITION[:1]
        self._by_position = [
            (one.name, one.default) for one in read_signature(handler, closures=False) if one.kind in by_position
        ]
        converter = TreeConverter(guard, is_socket=True, where=where)
        self._handler = handler
        self._program = Program([], converter.convert(target, is_target=True))
        self._fillers = converter.fillers

    async def run(self, socket: Any, request: Any, caller: Principal | None) -> None:
        """Run the dependencies, then the handler, then what was put off; then leave the dependencies that yielded."""
        tasks = BackgroundTasks()
        async with AsyncExitStack() as stack:
            filling = RequestValues(self._fillers, request, tasks, caller, socket)
            solved = await self._program.run(filling, request_stack=stack)
            given = self._given(solved.arguments)
            if self._is_spread:
                given.append(socket)
            await _answer(partial(self._handler, *given), solved.arguments)
            await tasks.run()

    def _given(self, arguments: dict[str, Any]) -> list[Any]:
        """Take out of the arguments what the handler takes by position."""
        given = [arguments.pop(name, default) for name, default in self._by_position]
        if any(one is inspect.Parameter.empty for one in given):
            raise TypeError(f"{describe(self._handler)} misses an argument that nothing fills.")
        return given


class SubtreeRunner:
    """Runs one `Security` in an application that nothing protects; its guards run as they stand.

    Raises:
        ConfigurationError: it names no callable, its tree cannot be read, or something in it yields.
    """

    def __init__(self, marker: SecurityMarker) -> None:
        converter = TreeConverter(None)
        root = converter.convert(READER.read_marker(marker))
        yielding = [node for node in root.walk() if node.yields]
        if yielding:
            raise ConfigurationError(
                f"{describe(yielding[0].call)} yields, and only in an application under guard.protect(app) is it left again.",
                id="BW123",
            )
        self._program = Program([root])
        self._fillers = converter.fillers

    async def run(self, request: Any, tasks: Any) -> Any:
        """The value."""
        filling = RequestValues(self._fillers, request, tasks, None)
        solved = await self._program.run(filling, request_stack=NO_STACK)
        return solved.values[0]
