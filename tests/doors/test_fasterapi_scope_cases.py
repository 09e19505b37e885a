"""Recorded dependency trees, built on real FasterAPI: the same calls, in the same order, with the same scopes.

`cases/scope_cases.json` says what FastAPI 0.165.0 was observed to do. FasterAPI alone fills no scopes; behind the
door each case runs as recorded, unless it stands in `INEXPRESSIBLE`, with the reason, or in `DIFFERENT`, with the
reason and what happens instead.
"""

import copy
import dataclasses
import functools
import json
from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
from FasterAPI import Body, Depends, Faster, FasterRouter, HTTPException, OAuth2PasswordBearer, Request, WebSocket
from FasterAPI.security import APIKeyHeader
from starlette.testclient import TestClient, WebSocketDenialResponse

from bailiwick import Catalog
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Guard, Security, SecurityScopes

DOCUMENT = json.loads((Path(__file__).parents[1] / "cases" / "scope_cases.json").read_text(encoding="utf-8"))
CASES = {case["id"]: case for case in DOCUMENT["cases"]}

_APP = "Faster takes no dependencies= for the whole application"
_OVERRIDES = "FasterAPI has no dependency_overrides"
_LIFETIME = "FasterAPI's markers have no lifetime"
_SCHEME = "FasterAPI has no such security scheme"
_SOCKET = "app.websocket() takes no dependencies="
_QUERY = "a plain parameter is no query parameter in FasterAPI: nothing fills it, and the request ends with 500"

INEXPRESSIBLE = {
    **dict.fromkeys(("A22", "A24", "B23", "C19", "D01", "D02", "D04", "F03"), _APP),
    **dict.fromkeys(("A12", "C32", "C39", "C40", "C41", "C42"), _OVERRIDES),
    **dict.fromkeys(("C30", "C31", "C37"), _LIFETIME),
    **dict.fromkeys(("A14", "A15", "A16", "A17", "A18", "A26", "A27", "D09", "D21", "F11"), _SCHEME),
    "F02": _SOCKET,
    **dict.fromkeys(("F09", "G05", "G06", "G07"), _QUERY),
}


@dataclasses.dataclass(frozen=True)
class Difference:
    """Why it ends otherwise, and how: a refusal at start with this id, or these calls and this answer."""

    reason: str
    refused: str | None = None
    status: int = 200
    log: list[Any] | None = None
    body: Any = None


_REPEATED = "a scope that two levels name reaches the leaf once: a challenge of `a a` says nothing more"
_GRAMMAR = "no token could carry a scope with a space in it, or one outside ASCII (RFC 6749 section 3.3)"
_BODY = "a body parameter that stands first is read first in FasterAPI, and the errors are FasterAPI's own"
_HEADER = "FasterAPI's own scheme reads the header otherwise"
_ENDPOINT = ["endpoint", "endpoint", None]


def ran(*calls):
    """A log of calls, up to the endpoint."""
    return [*(["call", name, seen] for name, seen in calls), _ENDPOINT]


DIFFERENT = {
    **{case: Difference(_GRAMMAR, refused="BW101") for case in ("B18", "B20")},
    "B31": Difference("a generator is spent by its first reader, and the guard would ask for nothing", refused="BW104"),
    "D25": Difference("a string is read letter by letter by whoever takes it for a list", refused="BW104"),
    "E17": Difference("nobody can tell what is behind *args and **kwargs", refused="BW122"),
    "B09": Difference(_REPEATED, log=ran(("l3", ["a"]), ("l2", ["a"]), ("l1", ["a"]))),
    "B11": Difference(_REPEATED, log=ran(*((name, ["a"]) for name in ("l5", "l4", "l3", "l2", "l1")))),
    "B12": Difference(_REPEATED, log=ran(("l3", ["a", "b", "c"]), ("l2", ["a", "b", "c"]), ("l1", ["a", "b"]))),
    "C05": Difference(_REPEATED, log=ran(("c", ["a"]), ("m", None))),
    "B28": Difference("`SecurityScopes | None` is handed its scopes", log=ran(("leaf", ["a"]))),
    "C10": Difference("use_cache=False is honoured wherever it is declared", log=ran(("c", ["a"]), ("c", ["a"]))),
    "E16": Difference(
        "what functools.partial has bound is no parameter: the caller cannot overwrite it from the query",
        log=ran(("c", ["a"])),
        body={
            "values": {"c": {"node": "c", "n": 1, "scopes": ["a"], "scope_str": "a", "deps": {"bound": "bound-value"}}}
        },
    ),
    "E22": Difference(
        "a coroutine that a plain function hands back is awaited; left alone, the guard in it never runs",
        status=403,
        log=[["call", "c", ["a"]]],
        body={"detail": "raised by c"},
    ),
    "G02": Difference(_BODY, status=422, log=[]),
    "G03": Difference(_BODY, status=422, log=[]),
    "G08": Difference(_HEADER, status=401, log=[["call", "scheme", None]], body={"detail": "Not authenticated"}),
    "G11": Difference(_HEADER, status=401, log=[["call", "scheme", None]], body={"detail": "Not authenticated"}),
    "G12": Difference(_HEADER, log=ran(("scheme", None)), body={"values": {"scheme": "second"}}),
}

EXPRESSIBLE = [case for case in CASES if case not in INEXPRESSIBLE]


class SubScopes(SecurityScopes):
    pass


def plain(value):
    return getattr(value, "_value", value)


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
    "async_instance": "class C:\n  async def __call__({sig}):\n" + RETURN + "obj = C()\n",
    "agen_instance": "class C:\n  async def __call__({sig}):\n" + YIELD + "obj = C()\n",
    "method": "class C:\n  def m({sig}):\n" + RETURN + "inst = C()\nobj = inst.m\n",
    "async_method": "class C:\n  async def m({sig}):\n" + RETURN + "inst = C()\nobj = inst.m\n",
    "staticmethod": "class C:\n  @staticmethod\n  async def m({sig}):\n" + RETURN + "obj = C.m\n",
    "classmethod": "class C:\n  @classmethod\n  async def m(cls, {sig}):\n" + RETURN + "obj = C.m\n",
    "partial": "def f({sig}):\n" + RETURN + "obj = functools.partial(f, 'bound-value')\n",
    "partial_kw": "def f({sig}):\n" + RETURN + "obj = functools.partial(f, bound='bound-value')\n",
    "wrapped_no_wraps": "def f({sig}):\n" + RETURN + "def obj(*args, **kwargs):\n    return f(*args, **kwargs)\n",
    "returns_coroutine": "def obj({sig}):\n  async def f():\n    " + RETURN + "  return f()\n",
}


class Built:
    """One case as an application, built of real callables that write down when they run."""

    def __init__(self, case, guard, caller=None):
        self.case = copy.deepcopy(case)
        self.guard = guard
        self.caller = caller
        self.log = []
        self.calls = {}
        self.nodes = {}
        self.spaces = {}

    def count(self, name, seen):
        self.calls[name] = self.calls.get(name, 0) + 1
        self.log.append(["call", name, seen])
        return self.calls[name]

    def record(self, name, scopes, handed):
        seen = None if scopes is None else list(scopes.scopes)
        made = {"node": name, "n": self.count(name, seen)}
        spec = self.case["nodes"][name]
        if any(one not in (seen or []) for one in spec.get("require_seen", [])):
            raise HTTPException(401, "required scope not among the scopes seen")
        if spec.get("raises"):
            headers = {"WWW-Authenticate": "Bearer"} if spec["raises"] == 401 else None
            raise HTTPException(spec["raises"], f"raised by {name}", headers)
        if scopes is not None:
            made |= {"scopes": seen, "scope_str": scopes.scope_str}
        if handed:
            made["deps"] = {key: plain(value) for key, value in handed.items()}
        return made

    def marker(self, edge):
        call = None if edge.get("infer") else self.node(edge["node"])
        use_cache = edge.get("use_cache", True)
        if edge.get("via", "Depends") == "Depends":
            return Depends(call, use_cache=use_cache)
        scopes = edge.get("scopes")
        as_type = {"tuple": tuple, "set": set, "generator": iter}.get(edge.get("scopes_as", "list"))
        return Security(call, scopes=as_type(scopes) if as_type and scopes else scopes, use_cache=use_cache)

    def signature(self, spec, space, lead):
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
        if self.caller is not None:
            space["CALLER"] = self.caller
            last.append("the_caller: Any = CALLER")
        return ", ".join(first + last), names

    def node(self, name):
        if name not in self.nodes:
            spec = self.case["nodes"][name]
            form = spec.get("form", "def")
            if form == "scheme":
                self.nodes[name] = self.scheme(name, spec)
            elif form == "alias":
                self.node(spec["of"])
                space = self.spaces[spec["of"]]
                self.nodes[name] = {
                    "instance": lambda: space["C"](spec["key"]),
                    "partial": lambda: functools.partial(space["f"], "bound-value"),
                    "same_method": lambda: space["inst"].m,
                    "other_method": lambda: space["C"]().m,
                }[spec["how"]]()
            else:
                self.nodes[name] = self.compiled(name, spec, form)
        return self.nodes[name]

    def scheme(self, name, spec):
        built = self
        kind = {"password": OAuth2PasswordBearer, "api_key_header": APIKeyHeader}[spec["kind"]]

        class Logged(kind):
            __slots__ = ()

            async def __call__(self, request: Request):
                built.count(name, None)
                return await super().__call__(request)

        first = "token" if spec["kind"] == "password" else "X-Key"
        return Logged(first, auto_error=spec.get("auto_error", True))

    def compiled(self, name, spec, form):
        space = {
            "SecurityScopes": SecurityScopes,
            "SubScopes": SubScopes,
            "Optional": Optional,
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
        handed = "{" + ", ".join(f"{one!r}: {one}" for one in names) + "}"
        source = SOURCES[form].format(
            sig=signature,
            body=f"record({name!r}, {'ss' if spec.get('scopes_param') else 'None'}, {handed})",
            name=name,
            seen="ss.scopes" if spec.get("scopes_param") else "None",
        )
        exec(compile(source, f"<node {name}>", "exec", dont_inherit=True), space)
        self.spaces[name] = space
        return space["obj"]

    @property
    def is_socket(self):
        return self.case["kind"] == "websocket"

    def endpoint(self):
        spec = self.case.get("endpoint", {})
        space = {
            "SecurityScopes": SecurityScopes,
            "Annotated": Annotated,
            "Any": Any,
            "Body": Body,
            "WebSocket": WebSocket,
            "plain": plain,
            "log": self.log,
        }
        lead = ["websocket: WebSocket"] if self.is_socket else []
        lead += ["body: Annotated[dict, Body()]"] if spec.get("body") else []
        signature, names = self.signature(spec, space, lead)
        handed = "{" + ", ".join(f"{one!r}: plain({one})" for one in names) + "}"
        scopes = ", 'scopes': ss.scopes" if spec.get("scopes_param") else ""
        answer = f"{{'values': {handed}{scopes}}}"
        note = "    log.append(['endpoint', 'endpoint', None])\n"
        if self.is_socket:
            source = (
                f"async def endpoint({signature}):\n{note}    await websocket.accept()\n"
                f"    await websocket.send_json({answer})\n    await websocket.close()\n"
            )
        else:
            source = f"def endpoint({signature}):\n{note}    return {answer}\n"
        exec(compile(source, "<endpoint>", "exec", dont_inherit=True), space)
        return space["endpoint"]

    def app(self):
        app = Faster()
        self.guard.protect(app, default=self.guard.public("a recorded case"))
        routers = self.case.get("routers", [])
        endpoint = self.endpoint()
        if self.is_socket:
            app.websocket("/x")(endpoint)
        else:
            declared = [self.marker(edge) for edge in self.case.get("route_dependencies", [])]
            target, included = app, []
            if routers:
                (only,) = routers  # FasterAPI's routers include no others
                target = FasterRouter(dependencies=[self.marker(edge) for edge in only.get("dependencies", [])])
                included = [self.marker(edge) for edge in only.get("include_dependencies", [])]
            method = self.case.get("request", {}).get("method", "GET").lower()
            getattr(target, method)("/x", dependencies=declared)(endpoint)
            if routers:
                app.include_router(target, dependencies=included)
        self.guard.plan(app)
        return app

    def run(self):
        client = TestClient(self.app(), raise_server_exceptions=False)
        results = [self.ask(client) for _ in range(self.case.get("requests", 1))]
        return json.loads(json.dumps({"results": results, "log": self.log, "calls": self.calls}))

    def ask(self, client):
        request = self.case.get("request", {})
        headers = [(name.encode(), value.encode("latin-1")) for name, value in request.get("headers") or []]
        if self.is_socket:
            try:
                with client.websocket_connect("/x", headers=dict(request.get("headers") or [])) as socket:
                    return {"accepted": True, "body": socket.receive_json()}
            except WebSocketDenialResponse as denial:
                return {"accepted": False, "denial_status": denial.status_code, "denial_body": denial.json()}
        answer = client.request(
            request.get("method", "GET"),
            "/x",
            headers=headers,
            params=request.get("query"),
            content=request.get("content"),
        )
        seen = {"status": answer.status_code, "body": answer.json()}
        if "www-authenticate" in answer.headers:
            seen["www_authenticate"] = answer.headers["www-authenticate"]
        return seen


class Nobody:
    async def verify(self, token):
        raise AssertionError("no case presents a token of ours")


def edges_of(case):
    """Every edge of a case, wherever it is declared."""
    edges = [edge for node in [*case["nodes"].values(), case.get("endpoint", {})] for edge in node.get("deps", [])]
    for router in case.get("routers", []):
        edges += router.get("dependencies", []) + router.get("include_dependencies", [])
    return edges + case.get("route_dependencies", []) + case.get("app_dependencies", [])


def new_guard():
    return Guard(Catalog(["unused"]), Nobody())


def guard_for(case):
    """A guard whose catalog knows the scopes of a case."""
    return Guard(
        Catalog(["unused", *{name: 1 for edge in edges_of(case) for name in edge.get("scopes") or ()}]), Nobody()
    )


def recorded(case):
    return {name: CASES[case]["observed"].get(name) for name in ("results", "log", "calls")}


@pytest.mark.parametrize("case", [case for case in EXPRESSIBLE if case not in DIFFERENT])
def test_behind_the_door_a_case_does_what_was_recorded(case):
    assert Built(CASES[case], new_guard()).run() == recorded(case)


@pytest.mark.parametrize("case", DIFFERENT)
def test_each_deliberate_difference_is_exactly_as_stated(case):
    expected, built = DIFFERENT[case], Built(CASES[case], new_guard())
    if expected.refused is not None:
        with pytest.raises(ConfigurationError) as refusal:
            built.run()
        assert refusal.value.id == expected.refused
        assert built.log == []
        return
    seen = built.run()
    assert seen["log"] == expected.log
    assert [result["status"] for result in seen["results"]] == [expected.status]
    if expected.body is not None:
        assert seen["results"][0]["body"] == expected.body
    assert seen != recorded(case), "no longer different: move it out of the table"


@pytest.mark.parametrize("case", [case for case in EXPRESSIBLE if DIFFERENT.get(case, Difference("")).refused is None])
def test_with_a_guard_in_every_node_pruning_changes_nothing(case):
    # A guard that does not protect the application runs in our solver like any dependency; the one that does is pruned.
    spec = copy.deepcopy(CASES[case])
    headers = spec.get("request", {}).get("headers")
    if headers:
        spec["request"]["headers"] = []
    ours, theirs = guard_for(spec), guard_for(spec)

    pruned = Built(spec, ours, caller=ours.optional()).run()
    through_the_solver = Built(spec, ours, caller=theirs.optional()).run()

    assert pruned == through_the_solver
    assert pruned["log"] or case in {"G02", "G03"}


def test_every_case_is_run_or_has_a_reason():
    assert len(CASES) == DOCUMENT["count"] == 119
    assert set(INEXPRESSIBLE) <= set(CASES)
    assert set(DIFFERENT) <= set(EXPRESSIBLE)
    assert all(INEXPRESSIBLE.values())
    assert all(one.reason for one in DIFFERENT.values())
    assert (len(EXPRESSIBLE), len(DIFFERENT), len(INEXPRESSIBLE)) == (87, 18, 32)


def uses(case, what):
    nodes = [*case["nodes"].values(), case.get("endpoint", {})]
    edges = edges_of(case)
    return {
        _APP: bool(case.get("app_dependencies")),
        _OVERRIDES: bool(case.get("overrides")),
        _LIFETIME: any(edge.get("scope") for edge in edges),
        _SCHEME: any(node.get("kind") not in {None, "password", "api_key_header"} for node in nodes),
        _SOCKET: case["kind"] == "websocket" and bool(case.get("route_dependencies") or case.get("routers")),
        _QUERY: any(node.get("params") for node in nodes),
    }[what]


def test_what_is_called_inexpressible_needs_what_fasterapi_lacks_and_nothing_else_does():
    for name, case in CASES.items():
        reasons = {what for what in (_APP, _OVERRIDES, _LIFETIME, _SCHEME, _SOCKET, _QUERY) if uses(case, what)}
        if name in INEXPRESSIBLE:
            assert INEXPRESSIBLE[name] in reasons, name
        else:
            assert not reasons, name


def test_fasterapi_lacks_what_the_reasons_say_it_lacks():
    import FasterAPI

    with pytest.raises(TypeError):
        Faster(dependencies=[])
    with pytest.raises(TypeError):
        Faster().websocket("/x", dependencies=[])
    with pytest.raises(TypeError):
        Depends(lambda: None, scope="function")
    assert not hasattr(Faster(), "dependency_overrides")
    for scheme in ("OAuth2", "OAuth2AuthorizationCodeBearer", "HTTPBearer", "OpenIdConnect"):
        assert not hasattr(FasterAPI, scheme)
        assert not hasattr(FasterAPI.security, scheme)
