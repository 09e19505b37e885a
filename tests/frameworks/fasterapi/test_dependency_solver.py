"""Every form of dependency really runs, is left in order, and what cannot be provided stops only what needs it."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import threading
from collections.abc import Awaitable, Callable, Generator
from contextlib import AsyncExitStack
from types import GeneratorType, coroutine
from typing import Annotated, Any
from unittest.mock import AsyncMock, Mock

import anyio.to_thread
import pytest

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.frameworks.fasterapi.dependency_solver import OMIT, Program, Solved, Unmet
from bailiwick.graph import Edge, Parameter, SecurityScopes


class Refusal(Exception):
    pass


READER = Reader(lambda one: one if isinstance(one, Edge) else None)
LAX = dataclasses.replace(READER, strict=False)


async def in_a_thread(call: Callable[[], Any]) -> Any:
    return await anyio.to_thread.run_sync(call)


RUNNERS = pytest.mark.parametrize(
    "call_sync", [pytest.param(None, id="in place"), pytest.param(in_a_thread, id="in a thread")]
)


def run(
    *roots: Edge,
    target: Callable[..., Any] | None = None,
    provide: Callable[[Parameter], object] = lambda _: OMIT,
    call_sync: Any = None,
    overrides: dict[Any, Any] | None = None,
    reader: Reader = READER,
    during: Callable[[Solved], None] = lambda _: None,
) -> Solved:
    async def once() -> Solved:
        async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
            program = Program(
                [reader.read_marker(edge) for edge in roots],
                None if target is None else reader.read(target),
                overrides=overrides or {},
                reader=reader,
            )
            solved = await program.run(
                provide, request_stack=request_stack, function_stack=function_stack, call_sync=call_sync
            )
            during(solved)
            return solved

    return asyncio.run(once())


# --- guards that other solvers never run ----------------------------------------------------------


async def refuse() -> None:
    raise Refusal


def refuse_in_a_generator() -> Generator[None]:
    raise Refusal
    yield


async def refuse_in_an_async_generator() -> Any:
    raise Refusal
    yield


@functools.wraps(refuse)
def wraps_a_coroutine(*args: Any, **kwargs: Any) -> Any:
    return refuse(*args, **kwargs)


@functools.wraps(refuse_in_a_generator)
def wraps_a_generator(*args: Any, **kwargs: Any) -> Any:
    return refuse_in_a_generator(*args, **kwargs)


@functools.wraps(refuse_in_an_async_generator)
def wraps_an_async_generator(*args: Any, **kwargs: Any) -> Any:
    return refuse_in_an_async_generator(*args, **kwargs)


@functools.wraps(refuse_in_a_generator)
async def an_async_wrapper_of_a_generator(*args: Any, **kwargs: Any) -> Any:
    return refuse_in_a_generator(*args, **kwargs)


async def forgets_to_await() -> Any:
    return refuse()


@coroutine
def coroutine_of_old() -> Any:
    yield from asyncio.sleep(0).__await__()
    raise Refusal


def a_future() -> Any:
    return asyncio.ensure_future(refuse())


class Guard:
    async def method(self) -> None:
        raise Refusal

    async def __call__(self) -> None:
        raise Refusal

    @classmethod
    async def of_class(cls) -> None:
        raise Refusal

    def generator(self) -> Generator[None]:
        raise Refusal
        yield

    part = functools.partialmethod(method)


class Nested:
    __call__ = Guard()


class Constructed:
    def __init__(self) -> None:
        raise Refusal


GUARDS: list[Any] = [
    refuse,
    refuse_in_a_generator,
    refuse_in_an_async_generator,
    wraps_a_coroutine,
    wraps_a_generator,
    wraps_an_async_generator,
    an_async_wrapper_of_a_generator,
    forgets_to_await,
    coroutine_of_old,
    Guard(),
    Guard().method,
    Guard.of_class,
    Guard().generator,
    Guard().part,
    Constructed,
    lambda: refuse(),  # noqa: PLW0108 - a wrapper that nothing marks as one
    lambda: Guard().method(),
]


@RUNNERS
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("guard", GUARDS, ids=lambda one: getattr(one, "__qualname__", type(one).__name__))
def test_a_guard_that_refuses_is_never_passed_by_whatever_its_form(guard: Any, partial: bool, call_sync: Any) -> None:
    call = functools.partial(guard) if partial else guard

    def endpoint(user: Any = Edge(call)) -> None: ...

    with pytest.raises(Refusal):
        run(Edge(call), call_sync=call_sync)
    with pytest.raises(Refusal):
        run(target=endpoint, call_sync=call_sync)


def test_an_object_whose_call_is_an_object_is_run_or_refused_at_start() -> None:
    with pytest.raises((Refusal, ConfigurationError)):
        run(Edge(Nested()))


def test_a_future_that_a_guard_hands_back_is_waited_for() -> None:
    with pytest.raises(Refusal):
        run(Edge(a_future))


def test_a_mock_that_stands_for_an_async_guard_is_awaited() -> None:
    with pytest.raises(Refusal):
        run(Edge(AsyncMock(side_effect=Refusal)), reader=LAX)
    assert run(Edge(Mock(return_value=3)), reader=LAX).values == (3,)


@RUNNERS
def test_a_generator_that_nobody_would_run_is_an_error_where_nobody_takes_it(call_sync: Any) -> None:
    def hides() -> Any:
        return refuse_in_a_generator()

    def hides_async() -> Any:
        return refuse_in_an_async_generator()

    for call in (hides, hides_async):
        with pytest.raises(ConfigurationError) as refusal:
            run(Edge(call), call_sync=call_sync)
        assert refusal.value.id == "BW123"


def test_a_generator_that_somebody_takes_is_a_value() -> None:
    def rows() -> Any:
        return (row for row in (1, 2))

    def endpoint(rows: Any = Edge(rows)) -> None: ...

    given = run(target=endpoint).arguments["rows"]
    assert isinstance(given, GeneratorType)
    assert list(given) == [1, 2]


def test_the_instance_of_a_class_is_the_value_even_if_it_could_be_awaited() -> None:
    class Pool:
        def __await__(self) -> Any:
            raise AssertionError
            yield

    assert isinstance(run(Edge(Pool)).values[0], Pool)


class Lazy:
    """As a connection to a database, or a request that is not sent yet: something that can be awaited, and is more."""

    def __await__(self) -> Any:
        raise AssertionError
        yield


def test_what_can_be_awaited_and_is_no_coroutine_is_a_value_where_somebody_takes_it() -> None:
    made = Lazy()

    async def later() -> Any:
        return made

    async def checked_early(task: Any = Edge(a_future)) -> None:
        with pytest.raises(Refusal):
            await task

    def endpoint(one: Any = Edge(lambda: made), other: Any = Edge(later)) -> None: ...

    arguments = run(target=endpoint).arguments
    assert (arguments["one"], arguments["other"]) == (made, made)
    run(Edge(checked_early))


def test_what_can_be_awaited_is_waited_for_where_nobody_takes_it_whoever_hands_it_back() -> None:
    async def later() -> Any:
        return a_future()

    with pytest.raises(Refusal):
        run(Edge(later))


def test_a_value_that_a_list_of_dependencies_and_a_parameter_share_is_taken() -> None:
    made = Lazy()

    def lazy() -> Any:
        return made

    def endpoint(one: Any = Edge(lazy)) -> None: ...

    assert run(Edge(lazy), target=endpoint).arguments == {"one": made}


def test_a_coroutine_of_a_compiled_module_is_awaited_as_any_other() -> None:
    class Compiled(Lazy):
        cr_await = None

        def __await__(self) -> Any:
            raise Refusal
            yield

    def endpoint(user: Any = Edge(lambda: Compiled())) -> None: ...  # noqa: PLW0108 - a class would be its own value

    with pytest.raises(Refusal):
        run(target=endpoint)


# --- what is handed to whom -----------------------------------------------------------------------


def test_each_run_is_handed_scopes_of_its_own() -> None:
    def greedy(ss: SecurityScopes) -> list[str]:
        ss.scopes.append("injected")
        return ss.scopes

    def sibling(ss: SecurityScopes) -> list[str]:
        return ss.scopes

    def endpoint(ss: SecurityScopes, a: Any = Edge(greedy, ["a"]), b: Any = Edge(sibling, ["a"])) -> None: ...

    program = Program([], READER.read(endpoint))

    async def once() -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            return (await program.run(lambda _: OMIT, request_stack=stack)).arguments

    for _ in range(2):
        seen = asyncio.run(once())
        assert (seen["a"], seen["b"], seen["ss"].scopes) == (["a", "injected"], ["a"], [])


def test_every_parameter_that_takes_scopes_is_filled() -> None:
    def leaf(one: SecurityScopes, *, two: SecurityScopes | None = None) -> Any:
        return one.scopes, two and two.scopes

    assert run(Edge(leaf, ["a"])).values == ((["a"], ["a"]),)


def test_positional_only_parameters_are_passed_by_position() -> None:
    def leaf(a: int, b: int = 2, /, c: int = 3) -> Any:
        return a, b, c

    given = {"a": 1, "c": 9}
    assert run(Edge(leaf), provide=lambda p: given.get(p.name, OMIT)).values == ((1, 2, 9),)


def test_an_omitted_parameter_keeps_its_default_and_a_bound_one_its_value() -> None:
    def leaf(q: str = "default", role: str = "user") -> Any:
        return q, role

    evil = functools.partial(leaf, role="bound")
    assert run(Edge(evil), provide=lambda p: "evil" if p.name == "role" else OMIT).values == (("default", "bound"),)


def test_values_come_in_the_order_of_the_roots_and_arguments_by_name() -> None:
    def one() -> int:
        return 1

    def endpoint(x: Any = Edge(lambda: 2), y: Any = Edge(one)) -> None: ...

    solved = run(Edge(one), Edge(lambda: 3), target=endpoint)
    assert (solved.values, solved.arguments) == ((1, 3), {"x": 2, "y": 1})
    assert solved.cache[one, (), ""] == 1
    assert len(solved.cache) == 3


def test_named_roots_are_arguments_for_a_door_that_calls_the_endpoint_itself() -> None:
    named = READER.read(lambda: 5, name="user")

    async def once() -> Solved:
        async with AsyncExitStack() as stack:
            return await Program([named]).run(lambda _: OMIT, request_stack=stack)

    assert asyncio.run(once()).arguments == {"user": 5}


# --- what the request does not fill ---------------------------------------------------------------


def test_what_rests_on_an_unfilled_parameter_does_not_run_and_its_neighbours_do() -> None:
    ran: list[str] = []

    def needs(q: str) -> None:
        ran.append("needs")

    def above(x: Any = Edge(needs)) -> None:
        ran.append("above")

    def neighbour() -> None:
        ran.append("neighbour")

    def endpoint(a: Any = Edge(above), b: Any = Edge(neighbour), z: int = 0) -> None: ...

    solved = run(target=endpoint, provide=lambda p: Unmet(f"no {p.name}"))
    assert (ran, solved.errors) == (["neighbour"], ("no q", "no z"))


def test_an_unfilled_parameter_is_told_once_however_many_rest_on_it() -> None:
    def needs(q: str) -> None: ...

    def endpoint(a: Any = Edge(needs), b: Any = Edge(needs)) -> None: ...

    assert run(target=endpoint, provide=lambda _: Unmet("no q")).errors == ("no q",)


def test_a_refusal_comes_before_the_complaint_about_an_earlier_parameter() -> None:
    def needs(q: str) -> None: ...

    with pytest.raises(Refusal):
        run(Edge(needs), Edge(refuse), provide=lambda _: Unmet("no q"))


# --- leaving --------------------------------------------------------------------------------------


def logged(log: list[str], name: str, below: Edge | None = None, *, is_async: bool = False) -> Any:
    def plain(x: Any = below) -> Any:
        log.append(f"enter {name}")
        try:
            yield name
        except Refusal:
            log.append(f"caught {name}")
            raise
        finally:
            log.append(f"leave {name}")

    async def asynchronous(x: Any = below) -> Any:
        for value in plain():
            yield value

    return asynchronous if is_async else plain


@RUNNERS
def test_generators_are_left_in_reverse_function_before_request(call_sync: Any) -> None:
    log: list[str] = []
    inner = Edge(logged(log, "inner"))
    outer = Edge(logged(log, "outer", inner, is_async=True))
    short = Edge(logged(log, "short"), lifetime="function")
    last = Edge(logged(log, "last"))
    solved = run(short, outer, last, call_sync=call_sync, during=lambda _: log.append("endpoint"))
    assert solved.values == ("short", "outer", "last")
    assert log == [
        "enter short",
        "enter inner",
        "enter outer",
        "enter last",
        "endpoint",
        "leave short",
        "leave last",
        "leave outer",
        "leave inner",
    ]


@RUNNERS
def test_an_exception_passes_through_the_generators_that_were_entered(call_sync: Any) -> None:
    log: list[str] = []
    with pytest.raises(Refusal):
        run(Edge(logged(log, "one")), Edge(refuse), Edge(logged(log, "two")), call_sync=call_sync)
    assert log == ["enter one", "caught one", "leave one"]


@RUNNERS
@pytest.mark.parametrize("is_async", [False, True])
def test_a_generator_that_yields_never_or_twice_is_an_error(call_sync: Any, is_async: bool) -> None:
    def times(count: int) -> Any:
        def plain() -> Any:
            yield from range(count)

        async def asynchronous() -> Any:
            for value in range(count):
                yield value

        return asynchronous if is_async else plain

    for count, message in ((0, "didn't yield"), (2, "didn't stop")):
        with pytest.raises(RuntimeError, match=message):
            run(Edge(times(count)), call_sync=call_sync)
    assert run(Edge(times(1)), call_sync=call_sync).values == (0,)


def test_without_a_function_stack_everything_lives_as_long_as_the_request() -> None:
    log: list[str] = []
    root = READER.read_marker(Edge(logged(log, "short"), lifetime="function"))

    async def once() -> None:
        async with AsyncExitStack() as stack:
            await Program([root]).run(lambda _: OMIT, request_stack=stack)
            log.append("endpoint")

    asyncio.run(once())
    assert log == ["enter short", "endpoint", "leave short"]


def test_blocking_code_runs_where_the_door_says_and_the_rest_on_the_loop() -> None:
    where: dict[str, bool] = {}
    loop_thread: list[int] = []

    def note(name: str) -> None:
        where[name] = threading.get_ident() == loop_thread[0]

    def blocking() -> None:
        note("blocking")

    class Made:
        def __init__(self) -> None:
            note("class")

    def generator() -> Any:
        note("generator")
        yield

    async def on_the_loop() -> None:
        note("async")

    @functools.wraps(on_the_loop)
    def wrapper() -> Awaitable[None]:
        note("wrapper of async")
        return on_the_loop()

    async def call_sync(call: Callable[[], Any]) -> Any:
        return await anyio.to_thread.run_sync(call)

    async def start() -> None:
        loop_thread.append(threading.get_ident())

    run(*map(Edge, (start, blocking, Made, generator, on_the_loop, wrapper)), call_sync=call_sync)
    assert where == {"blocking": False, "class": False, "generator": False, "async": True, "wrapper of async": True}


# --- sharing and overrides ------------------------------------------------------------------------


def counter() -> Any:
    runs = iter(range(100))

    def count() -> int:
        return next(runs)

    return count


def test_a_shared_value_is_made_once_and_an_unshared_child_of_it_each_time() -> None:
    child = counter()

    def shared(x: Any = Edge(child, use_cache=False)) -> int:
        return int(x)

    solved = run(Edge(shared), Edge(shared), Edge(child))
    assert solved.values == (0, 0, 0)
    assert run(Edge(child, use_cache=False), Edge(child)).values == (2, 2)


def test_a_stand_in_is_handed_all_scopes_of_the_place() -> None:
    def original() -> None: ...

    def stand_in(ss: SecurityScopes) -> list[str]:
        return ss.scopes

    def middle(x: Any = Edge(original, ["b"])) -> Any:
        return x

    assert run(Edge(middle, ["a"]), overrides={original: stand_in}).values == (["a", "b"],)


def test_a_stand_in_that_depends_on_what_it_stands_for_is_refused_not_followed() -> None:
    def original() -> None: ...

    def stand_in(x: Any = Edge(original)) -> None: ...

    with pytest.raises(ConfigurationError) as refusal:
        run(Edge(original), overrides={original: stand_in})
    assert refusal.value.id == "BW122"
    assert run(Edge(original), overrides={original: original}).values == (None,)


def test_an_equal_callable_is_overridden_and_an_unhashable_one_left_alone() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        key: str

        def __call__(self) -> str:
            return self.key

    @dataclasses.dataclass
    class Loose(Frozen.__base__):  # type: ignore[misc, name-defined]
        key: str

        def __call__(self) -> str:
            return self.key

    assert run(Edge(Frozen("a")), Edge(Loose("b")), overrides={Frozen("a"): lambda: "c"}).values == ("c", "b")


def test_overrides_without_a_reader_are_refused() -> None:
    with pytest.raises(ValueError, match="reader"):
        Program([], overrides={refuse: refuse})


def test_requests_that_share_a_program_share_nothing_else() -> None:
    async def identify(ss: SecurityScopes, who: str) -> str:
        await asyncio.sleep(0)
        return f"{who} {ss.scope_str}"

    def endpoint(a: Annotated[str, Edge(identify, ["a"])], b: Annotated[str, Edge(identify, ["b"])], who: str) -> None:
        assert identify

    program = Program([], READER.read(endpoint))

    async def request(who: str) -> dict[str, Any]:
        async with AsyncExitStack() as stack:
            return (await program.run(lambda _: who, request_stack=stack)).arguments

    async def many() -> list[dict[str, Any]]:
        return await asyncio.gather(*(request(str(index)) for index in range(50)))

    for index, seen in enumerate(asyncio.run(many())):
        assert seen == {"a": f"{index} a", "b": f"{index} b", "who": str(index)}
