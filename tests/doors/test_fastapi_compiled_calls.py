"""What is written out as one function makes the calls that were listed, with nobody's text in it."""

import asyncio
import traceback
from functools import partial

import pytest
from fastapi.security import SecurityScopes
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.frameworks.fastapi.compiled_dependencies import Call, give_caller, write_function
from bailiwick.scopes import Principal, ScopeSet

ADA = Principal("ada", ScopeSet(["a"]))


class Request:
    def __init__(self):
        self.scope = {"caller": ADA}


def run(calls, results=(), supplied=()):
    request = Request()
    made = write_function(calls, results, supplied, key="caller", values="found")
    asyncio.run(made(request))
    return request.scope["found"]


def call(function, *, in_thread=False, results=(), supplied=(), connection=(), scopes_name=None, scopes=()):
    return Call(function, in_thread, results, supplied, connection, scopes_name, scopes)


@given(
    st.lists(
        st.tuples(st.booleans(), st.lists(st.integers(0, 9), max_size=3), st.booleans(), st.booleans()),
        min_size=1,
        max_size=8,
    )
)
def test_calls_are_made_in_their_order_with_the_results_that_they_name(drawn):
    log, calls, expected = [], [], []

    def plain(number, names, **values):
        log.append(number)
        return number, tuple(sorted(values)), [values[name] for name in names]

    async def awaited(number, names, **values):
        return plain(number, names, **values)

    for number, (in_thread, wanted, caller, scoped) in enumerate(drawn):
        earlier = sorted({one % number for one in wanted}) if number else []
        names = [f"r{one}" for one in earlier]
        calls.append(
            call(
                partial(plain if in_thread else awaited, number, names),
                in_thread=in_thread,
                results=tuple((f"r{one}", one) for one in earlier),
                supplied=(("who", give_caller),) if caller else (),
                scopes_name="scopes" if scoped else None,
                scopes=("a", "b"),
            )
        )
        seen = names + ["who"] * caller + ["scopes"] * scoped
        expected.append((number, tuple(sorted(seen)), [expected[one] for one in earlier]))

    found = run(calls, [(f"x{number}", number) for number in range(len(calls))])
    assert log == list(range(len(calls)))
    assert found == {f"x{number}": one for number, one in enumerate(expected)}


def test_each_call_is_given_scopes_of_its_own():
    seen = []

    async def greedy(scopes):
        assert type(scopes) is SecurityScopes
        scopes.scopes.append("more")
        seen.append(scopes)

    written = write_function(
        [call(greedy, scopes_name="scopes", scopes=("a",))] * 2, [], [], key="caller", values="found"
    )
    for _ in range(2):
        asyncio.run(written(Request()))
    assert [one.scopes for one in seen] == [["a", "more"]] * 4
    assert [one.scope_str for one in seen] == ["a"] * 4


def test_what_is_supplied_is_made_of_the_caller_for_each_request():
    assert run([], supplied=[("name", lambda caller: caller.subject), ("who", give_caller)]) == {
        "name": "ada",
        "who": ADA,
    }


@pytest.mark.parametrize("name", ["a b", "x=1)\nimport os", "class", "", "a.b", "1"])
def test_a_name_that_python_would_not_read_is_refused(name):
    async def anything(**_):
        return None

    with pytest.raises(ValueError, match="no name of a parameter"):
        run([call(anything, supplied=((name, give_caller),))])


def test_names_that_stand_in_the_text_as_well_do_not_get_in_its_way():
    names = ("request", "conn", "caller", "KEY", "VALUES", "SecurityScopes", "run_in_threadpool", "result0", "given4")

    async def same(**values):
        return values

    found = run([call(same, supplied=tuple((name, give_caller) for name in names))] * 2, [("conn", 0), ("result1", 1)])
    assert found == {"conn": dict.fromkeys(names, ADA), "result1": dict.fromkeys(names, ADA)}


def test_an_error_says_where_it_came_from():
    async def broken():
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost") as failed:
        run([call(broken)])
    files = [frame.filename for frame in traceback.extract_tb(failed.value.__traceback__)]
    assert "<dependencies, compiled by bailiwick>" in files
    assert files[-1] == __file__
