"""The recorded behaviour of FastAPI stays what it is behind the guard: calls, order, scopes, values, answers.

Each case runs twice. Behind `protect`, it must do what was recorded. And with a guard in every node,
what the door prunes and supplies itself must be indistinguishable from what FastAPI's solver does.
"""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
from cases_on_fastapi import run_case

from bailiwick import Catalog
from bailiwick.fastapi import Guard

# E22 records a dependency whose coroutine FastAPI never awaits.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")

CASES = json.loads((Path(__file__).parents[1] / "cases" / "scope_cases.json").read_text())["cases"]
BY_ID = {case["id"]: case for case in CASES}

# With a guard in every node, what the nodes declare must be scopes of a catalog.
REFUSED_AT_START = {
    "B18": "a scope with a space in it breaks RFC 6749 section 3.3",
    "B20": "a scope outside ASCII breaks RFC 6749 section 3.3",
    "B31": "scopes that can be read only once are lost where the router is included, and the guard would ask for none",
}


# The cases were recorded on FastAPI 0.165.0 and Starlette 1.10. Where an older release of the frameworks
# does something else by itself, the case cannot run there: package, the first release that does what was
# recorded, cases, further cases of the second test (which presents no token to other schemes), why.
NOT_BEFORE = [
    (
        "starlette",
        "0.41.0",
        {"F05", "F06"},
        {"F04", "F11"},
        "it drops what an exception handler answers to a WebSocket: nothing is sent, and its TestClient waits for ever",
    ),
]


def numbers(text):
    return tuple(int(part) for part in re.findall(r"\d+", text)[:3])


def cases(*, tokenless):
    for case in CASES:
        marks = [
            pytest.mark.skip(reason=f"{package} before {first}: {reason}")
            for package, first, ids, more, reason in NOT_BEFORE
            if case["id"] in (ids | more if tokenless else ids) and numbers(version(package)) < numbers(first)
        ]
        yield pytest.param(case["id"], id=case["id"], marks=marks)


class Nobody:
    async def verify(self, token):
        raise AssertionError("no case presents a token of ours")


def scopes_in(part):
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "scopes" and isinstance(value, list | str):
                yield from value
            yield from scopes_in(value)
    elif isinstance(part, list):
        for one in part:
            yield from scopes_in(one)


def guard(case):
    names = {name: "" for name in scopes_in({**case, "observed": None}) if case["id"] not in REFUSED_AT_START}
    return Guard(Catalog(names or ["unused"]), Nobody(), scheme_name="guard")


def behaviour(observed):
    seen = {name: observed.get(name) for name in ("results", "log", "calls")}
    # Since Python 3.13 a TypeError about an argument goes on to suggest another.
    return {**seen, "build_error": re.sub(r"\. Did you mean '\w+'\?$", "", observed.get("build_error") or "")}


def documented(observed):
    return {name: observed.get(name) for name in ("openapi_security", "openapi_scheme_scopes", "openapi_parameters")}


@pytest.mark.parametrize("case_id", list(cases(tokenless=False)))
def test_behind_protect_a_case_does_what_was_recorded(case_id):
    case = BY_ID[case_id]
    ours = guard(case)
    observed = run_case(case, prepare=lambda app: ours.protect(app, default=ours.public("a recorded case")))

    assert behaviour(observed) == behaviour(case["observed"])
    assert documented(observed) == documented(case["observed"])


@pytest.mark.parametrize("case_id", list(cases(tokenless=True)))
def test_with_a_guard_in_every_node_pruning_changes_nothing(case_id):
    case = BY_ID[case_id]
    if any("authorization" in name.lower() for name, _ in case.get("request", {}).get("headers") or []):
        case = {**case, "request": {**case["request"], "headers": [("X-Key", "k")]}}
    ours = guard(case)

    through_the_solver = run_case(case, caller=ours.optional())
    pruned = run_case(
        case, caller=ours.optional(), prepare=lambda app: ours.protect(app, default=ours.public("a recorded case"))
    )

    if case_id in REFUSED_AT_START:
        assert {result["status"] for result in pruned["results"]} == {500}
        assert pruned["log"] == []
    else:
        assert behaviour(pruned) == behaviour(through_the_solver)
