"""Recorded dependency trees, built in our graph: the same calls, in the same order, with the same scopes.

`cases/scope_cases.json` says what FastAPI 0.165.0 was observed to do. Each case runs here unless it stands in
`NOT_OURS`, with the reason; each that ends differently stands in `DIFFERENT`, with the reason and what we do.
"""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import functools
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Annotated, Any

import anyio.to_thread
import pytest

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.frameworks.fasterapi.dependency_solver import Program, Unmet
from bailiwick.graph import Dependant, Edge, Parameter, SecurityScopes

DOCUMENT = json.loads((Path(__file__).parents[2] / "cases" / "scope_cases.json").read_text(encoding="utf-8"))
CASES: dict[str, dict[str, Any]] = {case["id"]: case for case in DOCUMENT["cases"]}

_HEADER = "which form of Authorization header is a token is decided by a scheme, which a door brings"

NOT_OURS = {
    "A15": _HEADER,
    "A18": _HEADER,
    "A29": _HEADER,
    "C37": "an argument that one framework's marker refuses; an edge of ours has a lifetime and scopes",
    "G02": "reading a body is a door's work; here a body is one more parameter",
    "G08": _HEADER,
    "G09": _HEADER,
    "G11": _HEADER,
    "G12": _HEADER,
    "G13": _HEADER,
    "G16": _HEADER,
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """Why we do otherwise, and what we do: a refusal at start with this id, or these observations."""

    reason: str
    refused: str | None = None
    calls: dict[str, int] | None = None
    log: list[list[Any]] | None = None
    outcome: dict[str, Any] | None = None


_REPEATED = "a scope that two levels name reaches the leaf once: a challenge of `a a` says nothing more"
_ENDPOINT = ["endpoint", "endpoint", None]

DIFFERENT = {
    "B09": Difference(
        _REPEATED,
        calls={"l1": 1, "l2": 1, "l3": 1},
        log=[["call", "l3", ["a"]], ["call", "l2", ["a"]], ["call", "l1", ["a"]], _ENDPOINT],
    ),
    "B11": Difference(
        _REPEATED,
        calls={"l1": 1, "l2": 1, "l3": 1, "l4": 1, "l5": 1},
        log=[*(["call", name, ["a"]] for name in ("l5", "l4", "l3", "l2", "l1")), _ENDPOINT],
    ),
    "B12": Difference(
        _REPEATED,
        calls={"l1": 1, "l2": 1, "l3": 1},
        log=[["call", "l3", ["a", "b", "c"]], ["call", "l2", ["a", "b", "c"]], ["call", "l1", ["a", "b"]], _ENDPOINT],
    ),
    "C05": Difference(
        _REPEATED,
        calls={"c": 1, "m": 1},
        log=[["call", "c", ["a"]], ["call", "m", None], _ENDPOINT],
    ),
    "B18": Difference("a space separates scopes (RFC 6749 3.3): `a b` would be read as two", refused="BW101"),
    "B20": Difference("a scope is printable ASCII (RFC 6749 3.3): no token could carry this one", refused="BW101"),
    "B28": Difference(
        "a guard that takes `SecurityScopes | None` is handed its scopes, not refused by a message about pydantic",
        calls={"leaf": 1},
        log=[["call", "leaf", ["a"]], _ENDPOINT],
        outcome={
            "status": 200,
            "body": {"values": {"leaf": {"node": "leaf", "n": 1, "scopes": ["a"], "scope_str": "a"}}},
        },
    ),
    "B31": Difference(
        "a generator is spent by its first reader, and the guard would then ask for nothing", refused="BW104"
    ),
    "D25": Difference("`scopes='read'` is four scopes of one letter to whoever reads it as a list", refused="BW104"),
    "C10": Difference(
        "`use_cache=False` is honoured wherever it is declared; a door that reads for a framework that drops it "
        "leaves it out",
        calls={"c": 2},
        log=[["call", "c", ["a"]], ["call", "c", ["a"]], _ENDPOINT],
        outcome={"status": 200, "body": {"values": {}}},
    ),
    "E16": Difference(
        "what functools.partial has bound is no parameter: the caller cannot overwrite it from the query",
        calls={"c": 1},
        log=[["call", "c", ["a"]], _ENDPOINT],
        outcome={
            "status": 200,
            "body": {
                "values": {
                    "c": {"node": "c", "n": 1, "scopes": ["a"], "scope_str": "a", "deps": {"bound": "bound-value"}}
                }
            },
        },
    ),
    "E17": Difference(
        "nobody can tell what is behind *args and **kwargs: refused at start, not at each request", refused="BW122"
    ),
    "E22": Difference(
        "a coroutine that a plain function hands back is awaited; left alone, the guard in it never runs",
        calls={"c": 1},
        log=[["call", "c", ["a"]]],
        outcome={"status": 403, "detail": "raised by c"},
    ),
}

EXPRESSIBLE = [case for case in CASES if case not in NOT_OURS]


class Halt(Exception):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


class Request:
    """What the stand-ins for a framework's schemes look at."""

    def __init__(self, headers: list[list[str]]) -> None:
        self.headers = {name.lower(): value for name, value in headers}


@dataclasses.dataclass(frozen=True, eq=False)
class Depends:
    call: Any = None
    use_cache: bool = True
    lifetime: str | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Security(Depends):
    scopes: Any = None


def edge_of(marker: object) -> Edge | None:
    if isinstance(marker, Depends):
        return Edge(marker.call, getattr(marker, "scopes", None), marker.use_cache, marker.lifetime, marker)
    return None


class Scheme:
    """Hands on what stands behind the scheme word, or refuses."""

    def __init__(self, tree: Tree, name: str, spec: dict[str, Any]) -> None:
        self.tree, self.name, self.spec = tree, name, spec

    def __call__(self, request: Request) -> str | None:
        self.tree.count(self.name, None)
        kind = self.spec["kind"]
        value = request.headers.get("x-key" if kind == "api_key_header" else "authorization")
        if value is None:
            if self.spec.get("auto_error", True):
                raise Halt(401, "Not authenticated")
            return None
        return value if kind in ("api_key_header", "oauth2", "openid") else value.removeprefix("Bearer ")


READER = Reader(edge_of, is_scheme=lambda call: isinstance(call, Scheme))
LAX = dataclasses.replace(READER, strict=False)


def plain(value: Any) -> Any:
    return getattr(value, "_value", value)


class SubScopes(SecurityScopes):
    pass


METHODS = ("class", "instance", "async_instance", "gen_instance", "agen_instance", "method", "async_method")
DATACLASSES = ("frozen_instance", "unhashable_instance")
PARTIALS = ("partial", "async_partial", "partial_kw")

RETURN = "    return {body}\n"
YIELD = "    v = {body}\n    try:\n        yield v\n    finally:\n        log.append(['exit', {name!r}, {seen}])\n"

SOURCES = {
    "def": "def obj({sig}):\n" + RETURN,
    "async": "async def obj({sig}):\n" + RETURN,
    "gen": "def obj({sig}):\n" + YIELD,
    "agen": "async def obj({sig}):\n" + YIELD,
    "class": "class obj:\n  def __init__({sig}):\n    self._value = {body}\n",
    "instance": "class C:\n  def __call__({sig}):\n" + RETURN + "obj = C()\n",
    "async_instance": "class C:\n  async def __call__({sig}):\n" + RETURN + "obj = C()\n",
    "gen_instance": "class C:\n  def __call__({sig}):\n" + YIELD + "obj = C()\n",
    "agen_instance": "class C:\n  async def __call__({sig}):\n" + YIELD + "obj = C()\n",
    "method": "class C:\n  def m({sig}):\n" + RETURN + "inst = C()\nobj = inst.m\n",
    "async_method": "class C:\n  async def m({sig}):\n" + RETURN + "inst = C()\nobj = inst.m\n",
    "staticmethod": "class C:\n  @staticmethod\n  async def m({sig}):\n" + RETURN + "obj = C.m\n",
    "classmethod": "class C:\n  @classmethod\n  async def m(cls, {sig}):\n" + RETURN + "obj = C.m\n",
    "frozen_instance": "@dataclasses.dataclass(frozen=True)\nclass C:\n  key: str\n  def __call__({sig}):\n"
    + RETURN
    + "obj = C({key!r})\n",
    "unhashable_instance": "@dataclasses.dataclass\nclass C:\n  key: str\n  def __call__({sig}):\n"
    + RETURN
    + "obj = C({key!r})\n",
    "partial": "def f({sig}):\n" + RETURN + "obj = functools.partial(f, 'bound-value')\n",
    "async_partial": "async def f({sig}):\n" + RETURN + "obj = functools.partial(f, 'bound-value')\n",
    "partial_kw": "def f({sig}):\n" + RETURN + "obj = functools.partial(f, bound='bound-value')\n",
    "wrapped": "def f({sig}):\n" + RETURN + "@functools.wraps(f)\ndef obj(*a, **k):\n    return f(*a, **k)\n",
    "wrapped_async": "async def f({sig}):\n"
    + RETURN
    + "@functools.wraps(f)\ndef obj(*a, **k):\n    return f(*a, **k)\n",
    "wrapped_no_wraps": "def f({sig}):\n" + RETURN + "def obj(*args, **kwargs):\n    return f(*args, **kwargs)\n",
    "returns_coroutine": "def obj({sig}):\n  async def f():\n    " + RETURN + "  return f()\n",
}


class Tree:
    """One case, built of real callables that write down when they run."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.case = case
        self.log: list[list[Any]] = []
        self.calls: dict[str, int] = {}
        self.built: dict[str, Any] = {}
        self.spaces: dict[str, dict[str, Any]] = {}

    def count(self, name: str, seen: list[str] | None) -> int:
        self.calls[name] = self.calls.get(name, 0) + 1
        self.log.append(["call", name, seen])
        return self.calls[name]

    def record(self, name: str, scopes: SecurityScopes | None, handed: dict[str, Any]) -> dict[str, Any]:
        seen = None if scopes is None else list(scopes.scopes)
        made: dict[str, Any] = {"node": name, "n": self.count(name, seen)}
        spec = self.case["nodes"][name]
        if any(one not in (seen or []) for one in spec.get("require_seen", [])):
            raise Halt(401, "required scope not among the scopes seen")
        if spec.get("raises"):
            raise Halt(spec["raises"], f"raised by {name}")
        if scopes is not None:
            made |= {"scopes": seen, "scope_str": scopes.scope_str}
        if handed:
            made["deps"] = {key: plain(value) for key, value in handed.items()}
        return made

    def marker(self, edge: dict[str, Any]) -> Depends:
        call = None if edge.get("infer") else self.node(edge["node"])
        use_cache = edge.get("use_cache", True)
        if edge.get("via", "Depends") == "Depends":
            return Depends(call, use_cache, edge.get("scope"))
        scopes = edge.get("scopes")
        as_type = {"tuple": tuple, "set": set, "generator": iter}.get(edge.get("scopes_as", "list"))
        return Security(call, use_cache, edge.get("scope"), as_type(scopes) if as_type else scopes)

    def signature(self, spec: dict[str, Any], space: dict[str, Any], lead: list[str]) -> tuple[str, list[str]]:
        first, last, names = list(lead), [], []
        if spec.get("scopes_param"):
            first.append(f"ss: {spec.get('scopes_annotation', 'SecurityScopes')}")
        for index, edge in enumerate(spec.get("deps", [])):
            name = edge.get("name") or edge["node"]
            name += f"_{names.count(name) + 1}" if name in names else ""
            names.append(name)
            space[f"E{index}"] = self.marker(edge)
            if edge.get("infer"):
                space[f"T{index}"] = self.node(edge["node"])
                first.append(f"{name}: Annotated[T{index}, E{index}]")
            elif edge.get("style") == "annotated":
                first.append(f"{name}: Annotated[Any, E{index}]")
            else:
                last.append(f"{name}: Any = E{index}")
        for parameter in spec.get("params", []):
            first.append(f"{parameter['name']}: str")
            names.append(parameter["name"])
        return ", ".join(first + last), names

    def node(self, name: str) -> Any:
        if name in self.built:
            return self.built[name]
        spec = self.case["nodes"][name]
        form = spec.get("form", "def")
        if form == "scheme":
            self.built[name] = Scheme(self, name, spec)
        elif form == "alias":
            self.node(spec["of"])
            space = self.spaces[spec["of"]]
            self.built[name] = {
                "instance": lambda: space["C"](spec["key"]),
                "partial": lambda: functools.partial(space["f"], "bound-value"),
                "same_method": lambda: space["inst"].m,
                "other_method": lambda: space["C"]().m,
            }[spec["how"]]()
        else:
            self.built[name] = self.compiled(name, spec, form)
        return self.built[name]

    def compiled(self, name: str, spec: dict[str, Any], form: str) -> Any:
        space: dict[str, Any] = {
            "SecurityScopes": SecurityScopes,
            "SubScopes": SubScopes,
            "Optional": __import__("typing").Optional,
            "Annotated": Annotated,
            "Any": Any,
            "record": self.record,
            "log": self.log,
            "functools": functools,
            "dataclasses": dataclasses,
        }
        lead = ["self"] if form in METHODS + DATACLASSES else ["bound: str"] if form in PARTIALS else []
        signature, names = self.signature(spec, space, lead)
        if form in PARTIALS:
            names.append("bound")
        scopes = "ss" if spec.get("scopes_param") else "None"
        handed = "{" + ", ".join(f"{one!r}: {one}" for one in names) + "}"
        source = SOURCES[form].format(
            sig=signature,
            body=f"record({name!r}, {scopes}, {handed})",
            name=name,
            seen="ss.scopes" if spec.get("scopes_param") else "None",
            key=spec.get("key", "k"),
        )
        exec(compile(source, f"<node {name}>", "exec", dont_inherit=True), space)
        self.spaces[name] = space
        return space["obj"]

    def endpoint(self) -> Any:
        spec = self.case.get("endpoint", {})
        space: dict[str, Any] = {"SecurityScopes": SecurityScopes, "Annotated": Annotated, "Any": Any, "plain": plain}
        signature, names = self.signature(spec, space, ["body: dict"] if spec.get("body") else [])
        handed = "{" + ", ".join(f"{one!r}: plain({one})" for one in names) + "}"
        scopes = ", 'scopes': ss.scopes" if spec.get("scopes_param") else ""
        space["log"] = self.log
        source = f"def endpoint({signature}):\n    log.append({_ENDPOINT})\n    return {{'values': {handed}{scopes}}}\n"
        exec(compile(source, "<endpoint>", "exec", dont_inherit=True), space)
        return space["endpoint"]

    def roots(self) -> list[dict[str, Any]]:
        """What the application, the routers (outermost first) and the route declare, in the order of running."""
        edges = list(self.case.get("app_dependencies", []))
        for router in self.case.get("routers", []):
            edges += router.get("include_dependencies", []) + router.get("dependencies", [])
        return edges + self.case.get("route_dependencies", [])

    def program(self, reader: Reader) -> tuple[Program, Any]:
        roots = [reader.read_marker(self.marker(edge)) for edge in self.roots()]
        endpoint = self.endpoint()
        overrides = {self.node(old): self.node(new) for old, new in self.case.get("overrides", {}).items()}
        return Program(roots, reader.read(endpoint), overrides=overrides, reader=reader), endpoint

    def provide(self, parameter: Parameter) -> object:
        request = self.case.get("request", {})
        if parameter.annotation is Request:
            return Request(request.get("headers") or [])
        if parameter.name in request.get("query", {}):
            return request["query"][parameter.name]
        return Unmet(parameter.name)

    async def request(self, program: Program, endpoint: Any, call_sync: Any) -> dict[str, Any]:
        try:
            async with AsyncExitStack() as request_stack, AsyncExitStack() as function_stack:
                solved = await program.run(
                    self.provide, request_stack=request_stack, function_stack=function_stack, call_sync=call_sync
                )
                if solved.errors:
                    return {"status": 422, "missing": list(solved.errors)}
                return {"status": 200, "body": endpoint(**solved.arguments)}
        except Halt as halt:
            return {"status": halt.status, "detail": halt.detail}

    def run(self, reader: Reader, call_sync: Any) -> dict[str, Any]:
        program, endpoint = self.program(reader)

        async def requests() -> list[dict[str, Any]]:
            return [await self.request(program, endpoint, call_sync) for _ in range(self.case.get("requests", 1))]

        results = asyncio.run(requests())
        return {"results": results, "log": self.log, "calls": self.calls}


def recorded(case: dict[str, Any]) -> dict[str, Any]:
    """The observation, without what only HTTP, WebSocket and OpenAPI know."""
    observed = case["observed"]
    results = []
    for one in observed["results"]:
        if one.get("status") == 200 or one.get("accepted"):
            results.append({"status": 200, "body": one["body"]})
        elif one.get("status") == 422:
            results.append({"status": 422, "missing": [error["loc"][-1] for error in one["body"]["detail"]]})
        elif "close_code" in one:
            results.append({"status": 422, "missing": [error["loc"][-1] for error in one["close_reason"]]})
        elif "denial_status" in one:
            results.append({"status": one["denial_status"], "detail": one["denial_body"]["detail"]})
        else:
            results.append({"status": one["status"], "detail": one["body"]["detail"]})
    return {"results": results, "log": observed["log"], "calls": observed["calls"]}


async def in_a_thread(call: Any) -> Any:
    return await anyio.to_thread.run_sync(call)


RUNNERS = [pytest.param(None, id="in place"), pytest.param(in_a_thread, id="in a thread")]


@pytest.mark.parametrize("call_sync", RUNNERS)
@pytest.mark.parametrize("case", [case for case in EXPRESSIBLE if case not in DIFFERENT])
def test_a_recorded_tree_runs_as_it_was_recorded(case: str, call_sync: Any) -> None:
    assert Tree(copy.deepcopy(CASES[case])).run(READER, call_sync) == recorded(CASES[case])


@pytest.mark.parametrize("call_sync", RUNNERS)
@pytest.mark.parametrize("case", DIFFERENT)
def test_each_deliberate_difference_is_exactly_as_stated(case: str, call_sync: Any) -> None:
    ours, tree = DIFFERENT[case], Tree(copy.deepcopy(CASES[case]))
    if ours.refused is not None:
        with pytest.raises(ConfigurationError) as refusal:
            tree.run(READER, call_sync)
        assert refusal.value.id == ours.refused
        assert tree.log == []
        return
    seen = tree.run(READER, call_sync)
    assert (seen["log"], seen["calls"]) == (ours.log, ours.calls)
    if ours.outcome is not None:
        assert seen["results"] == [ours.outcome]
    if "results" in CASES[case]["observed"]:
        assert seen != recorded(CASES[case]), "no longer different: move it out of the table"


@pytest.mark.parametrize("case", ["B18", "B20", "D25"])
def test_a_lax_reader_sees_foreign_code_as_its_framework_does(case: str) -> None:
    assert Tree(copy.deepcopy(CASES[case])).run(LAX, None) == recorded(CASES[case])


def test_every_case_is_run_or_has_a_reason() -> None:
    assert len(CASES) == DOCUMENT["count"] == 119
    assert set(NOT_OURS) <= set(CASES)
    assert set(DIFFERENT) <= set(CASES)
    assert not set(NOT_OURS) & set(DIFFERENT)
    assert all(NOT_OURS.values())
    assert all(one.reason for one in DIFFERENT.values())
    assert (len(EXPRESSIBLE), len(DIFFERENT)) == (108, 13)


@pytest.mark.parametrize("form", sorted(SOURCES))
@pytest.mark.parametrize("call_sync", RUNNERS)
def test_a_guard_of_any_form_sees_its_scopes_and_can_refuse(form: str, call_sync: Any) -> None:
    for raises in (None, 403):
        case = {
            "nodes": {"guard": {"form": form, "scopes_param": True, "raises": raises}},
            "route_dependencies": [{"node": "guard", "via": "Security", "scopes": ["b", "a"]}],
        }
        if form == "wrapped_no_wraps":
            with pytest.raises(ConfigurationError):
                Tree(case).program(READER)
            continue
        seen = Tree(case).run(READER, call_sync)
        assert seen["calls"] == {"guard": 1}
        assert seen["log"][0] == ["call", "guard", ["b", "a"]]
        assert seen["results"][0]["status"] == (raises or 200)
        assert (_ENDPOINT in seen["log"]) is (raises is None)


def test_the_cases_hold_no_form_that_this_file_cannot_build() -> None:
    forms = {node.get("form", "def") for case in CASES.values() for node in case["nodes"].values()}
    assert forms <= {*SOURCES, "scheme", "alias"}
    assert isinstance(READER.read(lambda: None), Dependant)
