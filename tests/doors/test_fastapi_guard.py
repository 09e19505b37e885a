"""The FastAPI door: requirements declared in FastAPI's ways are enforced, exactly and early."""

import asyncio
import contextlib
import logging
from typing import Annotated

import fastapi
import pytest
from either_side import listened_to
from fastapi import APIRouter, Body, Depends, FastAPI, Security, WebSocket
from fastapi.security import HTTPBearer, OAuth2PasswordBearer, SecurityScopes
from fastapi.testclient import TestClient
from promised_by_both import Door, Promises
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.staticfiles import StaticFiles
from starlette.testclient import WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from bailiwick import Principal, Requirement, ScopeSet, all_of, any_of
from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.fastapi import Guard, Ownership


def challenge(response):
    return response.headers.get("www-authenticate")


class TestWhatBothDoorsPromise(Promises):
    door = Door(FastAPI, Guard, Depends, Security, Body, StaticFiles, OAuth2PasswordBearer)


# -- ways to declare -----------------------------------------------------------------------------------


def test_security_scopes_on_a_parameter_mean_all_of_them(app, guard, issuer):
    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read", "posts:read"])]):
        return caller.subject

    client = TestClient(app)

    assert client.get("/users", headers=issuer.bearer("users:read posts:read")).json() == "alice"
    assert client.get("/users", headers=issuer.bearer("users:read")).status_code == 403
    assert client.get("/users", headers=issuer.bearer("posts:read")).status_code == 403


def test_a_default_value_declares_as_well_as_annotated_does(app, guard, issuer):
    @app.get("/old")
    async def old(caller: Principal = Security(guard, scopes=["users:read"])):
        return caller.subject

    @app.get("/older")
    def older(caller: Principal = guard.requires("users:read")):
        return caller.subject

    client = TestClient(app)

    for path in ("/old", "/older"):
        assert client.get(path, headers=issuer.bearer("users:read")).json() == "alice"
        assert client.get(path, headers=issuer.bearer("items")).status_code == 403
        assert client.get(path).status_code == 401


def test_requirements_of_app_router_include_route_and_parameter_add_up(catalog, guard, issuer):
    app = FastAPI(dependencies=[guard.requires("users:read")])
    guard.protect(app)
    router = APIRouter(dependencies=[guard.requires("posts:read")])

    @router.get("/all", dependencies=[guard.requires("items")])
    async def everything(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
        return caller.subject

    app.include_router(router, prefix="/in", dependencies=[guard.requires("posts:write")])
    client = TestClient(app)
    needed = ["users:read", "posts:write", "posts:read", "items", "me"]

    assert client.get("/in/all", headers=issuer.bearer(" ".join(needed))).status_code == 200
    for missing in needed:
        refused = client.get("/in/all", headers=issuer.bearer(" ".join(set(needed) - {missing})))
        assert refused.status_code == 403
        assert refused.json()["scope"].split() == needed


def test_one_token_is_verified_once_however_many_guards_the_tree_holds(guard, issuer):
    app = FastAPI(dependencies=[guard.requires("users:read")])
    guard.protect(app)

    async def current(caller: Annotated[Principal, Security(guard)]):
        return caller

    async def me(caller: Annotated[Principal, Security(current, scopes=["me"])]):
        return caller

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(
        a: Annotated[Principal, Security(me, scopes=["posts:read"])],
        b: Annotated[Principal, guard.requires("users:read")],
    ):
        return a is b

    response = TestClient(app).get("/x", headers=issuer.bearer("users:read items me posts:read"))

    assert response.json() is True
    assert issuer.asked == 1


def test_scopes_of_one_sibling_do_not_reach_the_other(app, guard, issuer):
    seen = []

    async def spy(security_scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
        seen.append(security_scopes.scopes)

    @app.get("/x")
    async def x(a: Annotated[None, Security(spy, scopes=["items"])], b: Annotated[None, Security(spy, scopes=["me"])]):
        return None

    TestClient(app).get("/x", headers=issuer.bearer("items me"))

    assert seen == [["items"], ["me"]]


def test_a_requirement_without_scopes_takes_any_valid_token(app, guard, issuer):
    @app.get("/me")
    async def me(caller: Annotated[Principal, guard.requires()]):
        return caller.subject

    client = TestClient(app)

    assert client.get("/me", headers=issuer.bearer("")).json() == "alice"
    assert client.get("/me").status_code == 401


def test_optional_means_no_token_is_fine_and_a_bad_token_never(app, guard, issuer):
    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional()]):
        return caller and caller.subject

    client = TestClient(app)

    assert client.get("/maybe").json() is None
    assert client.get("/maybe", headers=issuer.bearer("")).json() == "alice"
    assert client.get("/maybe").json() is None
    for bad in ("Bearer nonsense", "Bearer", "Bearer ", "Basic YTpi", "bearer a b"):
        assert client.get("/maybe", headers={"Authorization": bad}).status_code == 401, bad
    assert client.get("/maybe", headers=issuer.bearer("", lifetime=-100)).status_code == 401


def test_optional_with_a_scope_refuses_whoever_presents_a_token_without_it(app, guard, issuer):
    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional("items")]):
        return caller and caller.subject

    client = TestClient(app)

    assert client.get("/maybe").json() is None
    assert client.get("/maybe", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/maybe", headers=issuer.bearer("items")).json() == "alice"


def test_a_misspelt_scope_in_a_handler_is_a_fault_of_ours_and_not_a_refusal(app, guard, issuer):
    @app.get("/x")
    async def x(caller: Annotated[Principal, guard.requires()]):
        caller.require("posts:wirte")

    response = TestClient(app, raise_server_exceptions=False).get("/x", headers=issuer.bearer("admin:*"))

    assert response.status_code == 500
    assert "posts" not in response.text


def test_owners_change_their_own_and_admins_everything(app, guard, issuer):
    posts = {1: "alice", 2: "bob"}

    @app.put("/posts/{id}")
    async def edit(id: int, caller: Annotated[Ownership, guard.owner_or("posts:admin", own="posts:write")]):
        caller.check(posts[id])
        return caller.caller.subject

    client = TestClient(app)

    assert client.put("/posts/1", headers=issuer.bearer("posts:write")).json() == "alice"
    refused = client.put("/posts/2", headers=issuer.bearer("posts:write"))
    assert refused.status_code == 403
    assert refused.json()["scope"] == "posts:admin"
    assert client.put("/posts/2", headers=issuer.bearer("posts:admin")).status_code == 200
    assert client.put("/posts/1", headers=issuer.bearer("posts:read")).status_code == 403


def test_an_exception_reaches_the_generator_that_was_given_the_caller(app, guard, issuer):
    seen = []

    async def session(caller: Annotated[Principal, guard.requires()]):
        try:
            yield caller
        except ValueError as error:
            seen.append(str(error))
            raise

    @app.get("/x")
    async def x(caller: Annotated[Principal, Depends(session)]):
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        TestClient(app).get("/x", headers=issuer.bearer(""))

    assert seen == ["broken"]


def test_without_protect_the_guard_still_answers_exactly(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = FastAPI()

    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]):
        caller.require("posts:write")

    @app.get("/any", dependencies=[guard.requires(any_of("items", "me"))])
    async def any_route():
        return 1

    client = TestClient(app)

    assert client.get("/users").json() == {"detail": "Authentication is required.", "id": "BW200"}
    assert challenge(client.get("/users")) == 'Bearer realm="api"'
    assert client.get("/users", headers=issuer.bearer("items")).json()["scope"] == "users:read"
    assert client.get("/users", headers=issuer.bearer("users:read")).json()["scope"] == "posts:write"
    assert client.get("/any", headers=issuer.bearer("me")).json() == 1
    assert client.get("/any", headers=issuer.bearer("users:read")).json()["scope"] == "items"


# -- closed by default -----------------------------------------------------------------------------------


def test_the_start_fails_with_one_error_that_names_every_unsettled_route(guard, tmp_path):
    app = FastAPI()
    guard.protect(app, docs=None)
    router = APIRouter(prefix="/r")

    @router.get("/included")
    async def included():
        return 1

    @app.get("/open")
    async def open_route():
        return 1

    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await websocket.accept()

    async def plain(request):
        return PlainTextResponse("x")

    sub = FastAPI()

    @sub.get("/inner")
    async def inner():
        return 1

    app.include_router(router)
    app.add_route("/plain", plain)
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.mount("/sub", sub)

    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass

    text = str(failed.value)
    for label in ("GET /r/included", "GET /open", "WS /ws", "GET|HEAD /plain", "MOUNT /static", "GET /sub/inner"):
        assert label in text
    assert "GET|HEAD /docs" in text
    assert "GET|HEAD /openapi.json" in text
    assert f"{__file__}:" in text
    assert failed.value.id == "BW120"


def test_a_server_without_lifespan_serves_nothing_of_an_unsettled_application(guard):
    app = FastAPI()
    guard.protect(app)

    @app.get("/open")
    async def open_route():
        return "secret"

    response = TestClient(app, raise_server_exceptions=False).get("/open")

    assert response.status_code == 500
    assert "secret" not in response.text


def test_routes_of_a_mounted_application_are_guarded_by_their_own_declarations(app, guard, issuer):
    sub = FastAPI()

    @sub.get("/inner", dependencies=[guard.requires("items")])
    async def inner():
        return "inner"

    app.mount("/sub", sub)
    client = TestClient(app)

    assert client.get("/sub/inner").status_code == 401
    assert client.get("/sub/inner", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/sub/inner", headers=issuer.bearer("items")).json() == "inner"
    assert "/sub/inner" in {route.path for route in guard.plan(app)}


def test_a_route_added_while_the_application_runs_is_closed_and_the_others_go_on(app, guard, issuer, caplog):
    router = APIRouter()

    @router.get("/first", dependencies=[guard.requires("items")])
    async def first():
        return 1

    app.include_router(router)
    client = TestClient(app)
    assert client.get("/first", headers=issuer.bearer("items")).status_code == 200

    @app.get("/late")
    async def late():
        return "open"

    @router.get("/later")
    async def later():
        return "open"

    @app.get("/guarded-late", dependencies=[guard.requires("items")])
    async def guarded_late():
        return "in"

    with caplog.at_level(logging.ERROR, "bailiwick.guard"):
        for path in ("/late", "/later"):
            response = client.get(path, headers=issuer.bearer("admin:*"))
            assert response.status_code in {403, 404}, path
            assert "open" not in response.text
    assert client.get("/first", headers=issuer.bearer("items")).status_code == 200
    assert client.get("/guarded-late", headers=issuer.bearer("items")).json() == "in"
    assert client.get("/guarded-late").status_code == 401
    assert "/late" in caplog.text


def test_public_beside_an_inherited_requirement_is_refused_at_start(guard):
    app = FastAPI(dependencies=[guard.requires("users:read")])
    guard.protect(app)

    @app.get("/health", dependencies=[guard.public("liveness probe")])
    async def health():
        return 1

    with pytest.raises(ConfigurationError, match=r"declared public.*inherits"):
        guard.plan(app)


def test_public_needs_a_reason(guard):
    for empty in ("", "   ", None):
        with pytest.raises(ConfigurationError, match="reason"):
            guard.public(empty)


def test_an_unknown_scope_fails_at_declaration_and_names_the_nearest(guard):
    with pytest.raises(ConfigurationError, match=r"users:raed.*users:read"):
        guard.requires("users:raed")


def test_an_unknown_scope_in_security_fails_at_start_and_names_the_route(app, guard):
    @app.get("/typo")
    async def typo(caller: Annotated[Principal, Security(guard, scopes=["users:raed"])]):
        return 1

    with pytest.raises(ConfigurationError, match=r"GET /typo.*users:raed.*users:read"):
        guard.plan(app)


def test_a_string_for_a_list_fails_at_start(app, guard):
    @app.get("/letters")
    async def letters(caller: Annotated[Principal, Security(guard, scopes="items")]):
        return 1

    with pytest.raises(ConfigurationError, match="GET /letters"):
        guard.plan(app)


def test_an_empty_list_of_scopes_fails_where_it_is_written(guard):
    with pytest.raises(ConfigurationError):
        all_of()
    with pytest.raises(ConfigurationError):
        any_of()
    with pytest.raises(ConfigurationError):
        guard.requires([])


def test_scopes_that_nothing_would_look_at_are_refused(app, guard):
    async def not_a_guard():
        return "anyone"

    @app.get("/inert", dependencies=[guard.requires("items")])
    async def inert(who: Annotated[str, Security(not_a_guard, scopes=["users:read"])]):
        return who

    with pytest.raises(ConfigurationError, match="looks at them") as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"


PEP_563 = """
from __future__ import annotations
from typing import Annotated
from fastapi import Depends, Security

def build(app, guard, default):
    local_guard = guard
    if default:
        @app.get("/hidden")
        async def hidden(caller: Annotated[object, Security(local_guard, scopes=["items"])] = None):
            return "open"
    else:
        @app.get("/hidden")
        async def hidden(caller: Annotated[object, Security(local_guard, scopes=["items"])]):
            return "open"
"""


@pytest.mark.parametrize("default", [True, False])
def test_fastapi_13056_a_guard_hidden_by_a_string_annotation_is_found_and_refused(guard, default):
    app = FastAPI()
    guard.protect(app, default=guard.public("nothing is settled by the route itself"))
    namespace = {}
    exec(compile(PEP_563, "pep563.py", "exec", dont_inherit=True), namespace)
    try:
        namespace["build"](app, guard, default)
    except NameError:
        # FastAPI 0.123 cannot read the handler at all, and says so: such a route is not served.
        assert fastapi.__version__.startswith("0.123.")
        assert not any(getattr(route, "path", "") == "/hidden" for route in app.routes)
        return

    with pytest.raises(ConfigurationError, match=r"/hidden.*caller") as failed:
        guard.plan(app)
    assert failed.value.id == "BW121"


ALIASED = """
from __future__ import annotations
from typing import Annotated
from fastapi import Depends, Security

def build(app, guard):
    Boss = Annotated[object, Security(guard, scopes=["items"])]
    def below(caller: Boss = None): ...
    @app.get("/handler")
    async def handler(caller: Boss = None):
        return "open"
    @app.get("/below", dependencies=[Depends(below)])
    async def other():
        return "open"

def harmless(app, needed):
    from decimal import Decimal
    @app.get("/known")
    async def known(session: Decimal = Depends(needed)):
        return "known"
"""


def test_an_alias_that_only_a_local_scope_knows_may_be_a_guards_whatever_it_is_called(guard, issuer):
    app = FastAPI()
    guard.protect(app, default=guard.public("nothing is settled by the route itself"))
    namespace = {}
    exec(compile(ALIASED, "aliased.py", "exec", dont_inherit=True), namespace)
    with contextlib.suppress(NameError):  # FastAPI 0.123 cannot read such a handler, and does not serve it
        namespace["build"](app, guard)

    while any(route.path in {"/handler", "/below"} for route in app.routes):
        with pytest.raises(ConfigurationError, match=r"/(handler|below).*caller.*'Boss'") as failed:
            guard.plan(app)
        assert failed.value.id == "BW121"
        served = next(route for route in app.routes if route.path in {"/handler", "/below"})
        app.router.routes.remove(served)

    with contextlib.suppress(NameError):
        namespace["harmless"](app, lambda: 1)
        assert TestClient(app).get("/known").json() == "known"  # what the parameter depends on is seen, and runs


def test_one_application_is_protected_once(app, guard):
    with pytest.raises(ConfigurationError, match="already"):
        guard.protect(app)


def test_only_declarations_settle_groups(guard):
    for wrong in ("users:read", object(), Depends(lambda: None)):
        with pytest.raises(ConfigurationError, match="default"):
            guard.protect(FastAPI(), default=wrong)


def test_two_guards_with_different_issuers_do_not_take_over_each_others_caller(catalog, issuer):
    class Strangers:
        async def verify(self, token):
            return Principal("stranger", ScopeSet(["items"]))

    ours, theirs = Guard(catalog, issuer), Guard(catalog, Strangers(), scheme_name="other")
    app = FastAPI()
    ours.protect(app)

    @app.get("/x")
    async def x(a: Annotated[Principal, ours.requires("items")], b: Annotated[Principal, theirs.requires("items")]):
        return [a.subject, b.subject]

    client = TestClient(app)

    assert client.get("/x", headers=issuer.bearer("items")).json() == ["alice", "stranger"]
    assert client.get("/x", headers={"Authorization": "Bearer theirs"}).status_code == 401


def test_a_mounted_application_with_its_own_guard_keeps_it(app, guard, catalog, issuer):
    class Strangers:
        async def verify(self, token):
            return Principal("stranger", ScopeSet(["me"]))

    other = Guard(catalog, Strangers())
    sub = FastAPI()
    other.protect(sub)

    @sub.get("/inner")
    async def inner(caller: Annotated[Principal, other.requires("me")]):
        return caller.subject

    app.mount("/sub", sub)
    client = TestClient(app)

    assert client.get("/sub/inner", headers={"Authorization": "Bearer x"}).json() == "stranger"
    assert client.get("/sub/inner").status_code == 401


# -- refused early ------------------------------------------------------------------------------------


def test_malformed_json_of_an_anonymous_caller_is_401_and_not_422(app, guard, issuer):
    @app.post("/x")
    async def x(data: dict, caller: Annotated[Principal, guard.requires("items")]):
        return data

    client = TestClient(app)
    json = {"content-type": "application/json"}

    assert client.post("/x", content="{bad", headers=json).status_code == 401
    assert client.post("/x", content="{bad", headers=json | issuer.bearer("me")).status_code == 403
    assert client.post("/x", content="{bad", headers=json | issuer.bearer("items")).status_code == 422


def test_cve_2026_48710_the_decision_never_depends_on_how_a_host_or_path_is_written(app, guard, issuer):
    @app.get("/admin", dependencies=[guard.requires("admin:*")])
    async def admin():
        return "secret"

    @app.get("/{name}", dependencies=[guard.public("names")])
    async def name(name: str):
        return f"public {name}"

    client = TestClient(app)

    assert client.get("/admin", headers={"host": "x/health?"}).status_code == 401
    for path in ("/admin", "/%61dmin", "//admin", "/admin/", "/x/../admin", "/admin?x=/health", "/admin;x"):
        assert "secret" not in client.get(path).text, path


def test_cve_2024_40627_options_and_head_follow_their_route(app, guard, issuer):
    @app.api_route("/x", methods=["GET", "HEAD", "OPTIONS"], dependencies=[guard.requires("items")])
    async def x():
        return 1

    client = TestClient(app)

    for method in ("GET", "HEAD", "OPTIONS"):
        assert client.request(method, "/x").status_code == 401
        assert client.request(method, "/x", headers=issuer.bearer("items")).status_code == 200
    assert client.post("/x").status_code == 405


def test_a_cors_preflight_is_answered_by_the_cors_middleware(app, guard):
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["authorization"])

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    client = TestClient(app)
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}

    assert client.options("/x", headers=asked).status_code == 200
    refused = client.get("/x", headers={"Origin": "https://app.example"})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://app.example"


def test_a_handler_registered_by_the_application_is_not_replaced(catalog, issuer):
    app = FastAPI()

    @app.exception_handler(BailiwickError)
    async def mine(request, error):
        return PlainTextResponse(f"mine {error.code}", status_code=error.status)

    guard = Guard(catalog, issuer)
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Annotated[Principal, guard.requires("items")]):
        caller.require("me")

    assert TestClient(app).get("/x", headers=issuer.bearer("items")).text == "mine insufficient_scope"


def test_what_the_gate_refuses_is_answered_by_the_contract_and_not_by_the_applications_handler(catalog, issuer):
    app = FastAPI()

    @app.exception_handler(BailiwickError)
    async def mine(request, error):
        return PlainTextResponse("mine", status_code=418)

    guard = Guard(catalog, issuer)
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires("items")])(lambda: "reached")
    client = TestClient(app)

    assert client.get("/x").json() == {"detail": "Authentication is required.", "scope": "items", "id": "BW200"}
    assert client.get("/x", headers=issuer.bearer("me")).json()["error"] == "insufficient_scope"


# -- dependency_overrides -------------------------------------------------------------------------------


def test_overriding_the_guard_replaces_every_requirement_and_nothing_is_refused_early(app, guard):
    @app.get("/a")
    async def a(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @app.get("/b", dependencies=[guard.requires("me")])
    async def b(caller: Annotated[Principal, guard.requires(any_of("items", "me"))]):
        return caller.subject

    client = TestClient(app)
    app.dependency_overrides[guard] = lambda: Principal("stand-in", ScopeSet())

    assert client.get("/a").json() == "stand-in"
    assert client.get("/b").json() == "stand-in"
    app.dependency_overrides.clear()
    assert client.get("/a").status_code == 401


def test_an_override_that_takes_the_scopes_can_check_them(app, guard):
    @app.get("/a")
    async def a(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    seen = []

    def stand_in(security_scopes: SecurityScopes):
        seen.append(security_scopes.scopes)
        return Principal("stand-in", ScopeSet())

    app.dependency_overrides[guard] = stand_in

    assert TestClient(app).get("/a").json() == "stand-in"
    assert seen == [["items"]]


def test_a_requirement_is_overridden_by_an_equal_one(app, guard, issuer):
    @app.get("/a", dependencies=[guard.requires("users:read")])
    async def a(caller: Annotated[Principal, guard.requires("items")]):
        return caller.subject

    client = TestClient(app)
    equal = guard.requires("items").dependency
    app.dependency_overrides[equal] = lambda: Principal("stand-in", ScopeSet())

    assert client.get("/a").status_code == 401
    assert client.get("/a", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/a", headers=issuer.bearer("users:read")).json() == "stand-in"


def test_overriding_a_dependency_above_the_guard_takes_the_guard_with_it(app, guard, issuer):
    async def current(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @app.get("/a")
    async def a(who: Annotated[str, Depends(current)]):
        return who

    client = TestClient(app)
    app.dependency_overrides[current] = lambda: "stand-in"
    assert client.get("/a").json() == "stand-in"
    app.dependency_overrides.clear()
    assert client.get("/a").status_code == 401


def test_an_unrelated_override_leaves_early_refusal_and_injection_alone(app, guard, issuer):
    async def database():
        return "real"

    async def current(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @app.post("/a")
    async def a(data: dict, db: Annotated[str, Depends(database)], who: Annotated[str, Depends(current)]):
        return [db, who]

    app.dependency_overrides[database] = lambda: "fake"
    client = TestClient(app)

    assert client.post("/a", json={}, headers=issuer.bearer("items")).json() == ["fake", "alice"]
    assert client.post("/a", content="{bad", headers={"content-type": "application/json"}).status_code == 401


def test_requirements_of_the_same_meaning_are_equal_and_hashable(guard):
    one, other = guard.requires(any_of("items", "me")), guard.requires(any_of("me", "items"))

    assert one.dependency == other.dependency
    assert hash(one.dependency) == hash(other.dependency)
    assert one.dependency != guard.requires("items").dependency
    assert isinstance(one.dependency.requirement, Requirement)


# -- hooks and answers ----------------------------------------------------------------------------------


# -- OpenAPI --------------------------------------------------------------------------------------------


def test_openapi_says_what_is_enforced(app, guard):
    @app.get("/all")
    async def all_route(caller: Annotated[Principal, Security(guard, scopes=["items", "me"])]):
        return 1

    @app.get("/any", dependencies=[guard.requires(any_of("items", all_of("me", "users:read")))])
    async def any_route():
        return 1

    @app.get("/maybe", dependencies=[guard.optional()])
    async def maybe():
        return 1

    @app.get("/open", dependencies=[guard.public("why not")])
    async def open_route():
        return 1

    paths = TestClient(app).get("/openapi.json").json()["paths"]

    assert paths["/all"]["get"]["security"] == [{"oauth2": ["items", "me"]}]
    assert paths["/any"]["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me", "users:read"]}]
    assert paths["/maybe"]["get"]["security"] == [{"oauth2": []}, {}]
    assert "security" not in paths["/open"]["get"]
    assert {"401", "403"} <= paths["/all"]["get"]["responses"].keys()
    assert "403" not in paths["/maybe"]["get"]["responses"]
    assert "401" not in paths["/open"]["get"]["responses"]


def test_fastapi_2835_another_scheme_on_the_route_is_needed_as_well(app, guard):
    @app.get("/both", dependencies=[guard.requires("items"), Depends(HTTPBearer(scheme_name="gateway"))])
    async def both():
        return 1

    paths = TestClient(app).get("/openapi.json").json()["paths"]

    assert paths["/both"]["get"]["security"] == [{"oauth2": ["items"], "gateway": []}]


def test_openapi_documents_the_flows_and_the_catalogued_scopes(catalog, issuer):
    guard = Guard(
        catalog,
        issuer,
        token_url="/auth/token",
        authorization_url="/auth/authorize",
        password_flow=True,
        client_credentials_flow=True,
        scheme_name="bailiwick",
    )
    app = FastAPI()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    document = TestClient(app).get("/openapi.json").json()
    flows = document["components"]["securitySchemes"]["bailiwick"]["flows"]

    assert set(flows) == {"password", "authorizationCode", "clientCredentials"}
    assert flows["authorizationCode"]["authorizationUrl"] == "/auth/authorize"
    assert flows["password"]["tokenUrl"] == "/auth/token"
    assert flows["password"]["scopes"]["users:read"] == "Read users"
    assert len(flows["clientCredentials"]["scopes"]) == len(catalog)


# -- WebSockets and streams ---------------------------------------------------------------------------


def test_a_websocket_is_refused_before_it_is_accepted(app, guard, issuer):
    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await websocket.accept()
        await websocket.send_text(caller.subject)
        await websocket.close()

    client = TestClient(app)

    with client.websocket_connect("/ws", headers=issuer.bearer("items")) as socket:
        assert socket.receive_text() == "alice"
    for headers, status in [({}, 401), (issuer.bearer("me"), 403), ({"Authorization": "Bearer x"}, 401)]:
        with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect("/ws", headers=headers):
            pass
        assert denied.value.status_code == status
        assert denied.value.headers["www-authenticate"].startswith("Bearer ")


def test_a_websocket_that_outlives_its_token_is_closed_with_1008(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = FastAPI()
    guard.protect(app)
    cleaned = []

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await websocket.accept()
        try:
            while True:
                await websocket.receive_text()
        finally:
            cleaned.append(True)

    client = TestClient(app)

    with client.websocket_connect("/ws", headers=issuer.bearer("items", lifetime=2)) as socket:
        socket.send_text("hello")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008
    assert cleaned == [True]


def test_a_stream_ends_with_its_token_where_that_was_asked_for(app, guard, issuer):
    async def forever():
        while True:
            yield b"tick"
            await asyncio.sleep(0.05)

    @app.get("/short", dependencies=[guard.requires("items", on_expiry="close")])
    async def short():
        return StreamingResponse(forever())

    sent = [message for _, message in listened_to(app, "/short", issuer.bearer("items", lifetime=2))]

    assert sent[0]["status"] == 200
    assert len(sent) > 3


# -- step-up (RFC 9470) -----------------------------------------------------------------------------------


def test_rfc_9470_a_weak_or_old_authentication_is_asked_to_step_up(app, guard, issuer):
    import time

    @app.get("/pay", dependencies=[guard.requires("items", acr=("gold", "silver"), max_age=300)])
    async def pay():
        return 1

    client = TestClient(app)
    now = int(time.time())

    weak = client.get("/pay", headers=issuer.bearer("items", acr="bronze", auth_time=now))
    assert weak.status_code == 401
    assert 'error="insufficient_user_authentication"' in challenge(weak)
    assert 'acr_values="gold silver"' in challenge(weak)
    assert 'max_age="300"' in challenge(weak)
    assert client.get("/pay", headers=issuer.bearer("items", acr="gold", auth_time=now - 400)).status_code == 401
    assert client.get("/pay", headers=issuer.bearer("items", acr="gold", auth_time=now + 900)).status_code == 401
    assert client.get("/pay", headers=issuer.bearer("items", acr="gold")).status_code == 401
    assert client.get("/pay", headers=issuer.bearer("me", acr="gold", auth_time=now)).status_code == 403
    assert client.get("/pay", headers=issuer.bearer("items", acr="silver", auth_time=now - 10)).status_code == 200


def test_the_same_scopes_asked_for_twice_are_one_requirement_and_others_are_not(catalog, issuer):
    guard, other = Guard(catalog, issuer), Guard(catalog, issuer)

    assert guard.requires("items") is guard.requires("items")
    assert guard.requires("items") is not other.requires("items")
    assert guard.requires("items", max_age=60).dependency.step_up is not None
    assert guard.requires("items").dependency.step_up is None
    assert guard.requires("items", on_expiry="close").dependency.close_on_expiry
    assert not guard.requires("items").dependency.close_on_expiry
    # Their order goes into the challenge.
    assert str(guard.requires("items", "me").dependency.requirement.smallest) == "items me"
    assert str(guard.requires("me", "items").dependency.requirement.smallest) == "me items"
