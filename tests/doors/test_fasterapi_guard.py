"""The FasterAPI door: requirements declared in FasterAPI's ways are enforced, exactly and early."""

import asyncio
import json
import logging
from typing import Annotated, TypeVar

import pytest
from either_side import client_of, listened_to, uploaded
from FasterAPI import (
    Body,
    CORSMiddleware,
    Depends,
    Faster,
    FasterRouter,
    HTTPException,
    JSONResponse,
    Request,
    StaticFiles,
    StreamingResponse,
)
from FasterAPI.openapi.generator import generate_openapi
from FasterAPI.security import OAuth2PasswordBearer
from promised_by_both import Door, Promises
from starlette.testclient import TestClient
from typing_extensions import TypeAliasType

from bailiwick import Principal, ScopeSet, all_of, any_of
from bailiwick.asgi import Resource
from bailiwick.errors import BailiwickError, ConfigurationError, InsufficientScope
from bailiwick.fasterapi import Guard, Ownership, Security, SecurityScopes, require_scope


def challenge(response):
    return response.headers.get("www-authenticate")


class TestWhatBothDoorsPromise(Promises):
    door = Door(Faster, Guard, Depends, Security, Body, StaticFiles, OAuth2PasswordBearer)


# -- ways to declare -----------------------------------------------------------------------------------


def test_require_scope_stands_wherever_a_dependency_can_be_declared(app, guard, issuer):
    @app.get("/depends")
    async def depends(_: dict = Depends(guard.require_scope("items"))):
        return _.subject

    @app.get("/default")
    def default(caller: Principal = guard.require_scope("items")):
        return caller.subject

    @app.get("/annotated")
    async def annotated(caller: Annotated[Principal, guard.require_scope("items")]):
        return caller.subject

    @app.get("/list", dependencies=[guard.require_scope("items")])
    async def listed():
        return "alice"

    @app.get("/wrapped", dependencies=[Depends(guard.require_scope("items"))])
    async def wrapped():
        return "alice"

    client = client_of(app)

    for path in ("/depends", "/default", "/annotated", "/list", "/wrapped"):
        assert client.get(path, headers=issuer.bearer("items")).text == "alice", path
        assert client.get(path, headers=issuer.bearer("me")).status_code == 403, path
        assert client.get(path).status_code == 401, path


def test_require_scope_needs_all_of_its_names(app, guard, issuer):
    @app.get("/both", dependencies=[guard.require_scope("items", "me")])
    async def both():
        return "in"

    client = client_of(app)

    assert client.get("/both", headers=issuer.bearer("items me")).text == "in"
    for lacking in ("items", "me", ""):
        assert client.get("/both", headers=issuer.bearer(lacking)).json()["scope"] == "items me"


def test_require_scope_without_a_guard_takes_the_one_that_protects_the_application(app, issuer):
    @app.get("/items")
    async def items(_: dict = Depends(require_scope("items"))):
        return _.subject

    @app.get("/list", dependencies=[require_scope("items")])
    async def listed():
        return "in"

    client = client_of(app)

    assert client.get("/items", headers=issuer.bearer("items")).text == "alice"
    assert client.get("/items", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/list").status_code == 401


def test_require_scope_in_an_application_that_nothing_protects_is_never_open(issuer, caplog):
    app = Faster()

    @app.get("/items")
    async def items(_: dict = Depends(require_scope("items"))):
        return "open"

    with caplog.at_level(logging.ERROR, "bailiwick.guard"):
        response = client_of(app).get("/items", headers=issuer.bearer("items"))

    assert response.status_code == 500
    assert "open" not in response.text
    assert "guard.protect(app)" in caplog.text


def test_require_scope_needs_a_name_and_names_a_typo(guard, app):
    for declared in (require_scope, guard.require_scope):
        with pytest.raises(ConfigurationError) as empty:
            declared()
        assert empty.value.id == "BW103"
    with pytest.raises(ConfigurationError, match=r"users:raed.*users:read"):
        guard.require_scope("users:raed")

    @app.get("/typo", dependencies=[require_scope("users:raed")])
    async def typo():
        return 1

    with pytest.raises(ConfigurationError, match=r"GET /typo.*users:raed.*users:read"):
        guard.plan(app)


def test_security_scopes_on_a_parameter_mean_all_of_them(app, guard, issuer):
    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read", "posts:read"])]):
        return caller.subject

    @app.get("/old")
    async def old(caller: Principal = Security(guard, scopes=["users:read", "posts:read"])):
        return caller.subject

    client = client_of(app)

    for path in ("/users", "/old"):
        assert client.get(path, headers=issuer.bearer("users:read posts:read")).text == "alice"
        assert client.get(path, headers=issuer.bearer("users:read")).status_code == 403
        assert client.get(path, headers=issuer.bearer("posts:read")).status_code == 403


def test_requirements_of_include_router_route_and_parameter_add_up(app, guard, issuer):
    router = FasterRouter(dependencies=[guard.requires("posts:read")])

    @router.get("/all", dependencies=[guard.requires("items")])
    async def everything(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
        return caller.subject

    app.include_router(router, prefix="/in", dependencies=[guard.requires("posts:write")])
    client = client_of(app)
    needed = ["posts:write", "posts:read", "items", "me"]

    assert client.get("/in/all", headers=issuer.bearer(" ".join(needed))).status_code == 200
    for missing in needed:
        refused = client.get("/in/all", headers=issuer.bearer(" ".join(set(needed) - {missing})))
        assert refused.status_code == 403
        assert refused.json()["scope"].split() == needed


def test_one_token_is_verified_once_however_many_guards_the_tree_holds(app, guard, issuer):
    async def current(caller: Annotated[Principal, Security(guard)]):
        return caller

    async def me(caller: Annotated[Principal, Security(current, scopes=["me"])]):
        return caller

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(
        a: Annotated[Principal, Security(me, scopes=["posts:read"])],
        b: Annotated[Principal, guard.requires("users:read")],
    ):
        return {"same": a is b}

    response = client_of(app).get("/x", headers=issuer.bearer("users:read items me posts:read"))

    assert response.json() == {"same": True}
    assert issuer.asked == 1


def test_a_requirement_without_scopes_takes_any_valid_token(app, guard, issuer):
    @app.get("/me")
    async def me(caller: Annotated[Principal, guard.requires()]):
        return caller.subject

    @app.get("/plain")
    async def plain(caller: Principal = Depends(guard)):
        return caller.subject

    client = client_of(app)

    for path in ("/me", "/plain"):
        assert client.get(path, headers=issuer.bearer("")).text == "alice"
        assert client.get(path).status_code == 401


def test_optional_means_no_token_is_fine_and_a_bad_token_never(app, guard, issuer):
    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional()]):
        return {"who": caller and caller.subject}

    client = client_of(app)

    assert client.get("/maybe").json() == {"who": None}
    assert client.get("/maybe", headers=issuer.bearer("")).json() == {"who": "alice"}
    assert client.get("/maybe").json() == {"who": None}
    for bad in ("Bearer nonsense", "Bearer", "Bearer ", "Basic YTpi", "bearer a b"):
        assert client.get("/maybe", headers={"Authorization": bad}).status_code == 401, bad
    assert client.get("/maybe", headers=issuer.bearer("", lifetime=-100)).status_code == 401


def test_optional_with_a_scope_refuses_whoever_presents_a_token_without_it(app, guard, issuer):
    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional("items")]):
        return {"who": caller and caller.subject}

    client = client_of(app)

    assert client.get("/maybe").json() == {"who": None}
    assert client.get("/maybe", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/maybe", headers=issuer.bearer("items")).json() == {"who": "alice"}


def test_owners_change_their_own_and_admins_everything(app, guard, issuer):
    posts = {"1": "alice", "2": "bob"}

    @app.put("/posts/{id}")
    async def edit(id: str, caller: Annotated[Ownership, guard.owner_or("posts:admin", own="posts:write")]):
        caller.check(posts[id])
        return caller.caller.subject

    client = client_of(app)

    assert client.put("/posts/1", headers=issuer.bearer("posts:write")).text == "alice"
    refused = client.put("/posts/2", headers=issuer.bearer("posts:write"))
    assert refused.status_code == 403
    assert (refused.json()["scope"], refused.json()["id"]) == ("posts:admin", "BW301")
    assert client.put("/posts/2", headers=issuer.bearer("posts:admin")).status_code == 200
    assert client.put("/posts/1", headers=issuer.bearer("posts:read")).status_code == 403


def test_the_caller_is_found_on_the_request(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(request: Request):
        return guard.caller(request).subject

    assert client_of(app).get("/x", headers=issuer.bearer("items")).text == "alice"


def test_requirements_of_the_same_meaning_are_equal_and_hashable(guard):
    one, other = guard.requires(any_of("items", "me")), guard.requires(any_of("me", "items"))

    assert one == other
    assert hash(one) == hash(other)
    assert one != guard.requires("items")
    assert guard.require_scope("items") == guard.requires("items")
    assert guard.require_scope("items") != require_scope("items")
    assert "items" in repr(one)


# -- FasterAPI's own parameters --------------------------------------------------------------------------


def test_every_kind_of_parameter_is_filled_as_fasterapi_fills_it(guard, issuer):
    from dataclasses import dataclass
    from enum import Enum

    import msgspec
    from FasterAPI import BackgroundTasks, Cookie, Header, Path, Query

    class Colour(Enum):
        RED = "red"

    class Item(msgspec.Struct):
        name: str

    @dataclass
    class Point:
        x: int

    ran = []

    def build(app, declared, dependency):
        extra = {"dependencies": declared}

        @app.get("/{colour}/{plain}", **extra)
        async def get(
            request: Request,
            tasks: BackgroundTasks,
            plain: str,
            colour: Colour = Path(),
            q: str = Query(default="none", alias="query"),
            user_agent: str = Header(default="?"),
            session: str | None = Cookie(default=None),
            unknown: int = 3,
            extra: str = Depends(dependency),
        ):
            tasks.add_task(ran.append, app)
            return [request.path, plain, colour.value, q, user_agent, session, unknown, extra]

        @app.post("/struct", **extra)
        async def struct(item: Item, extra: str = Depends(dependency)):
            return item

        @app.post("/point", **extra)
        async def point(item: Point):
            return {"x": item.x}

        @app.post("/body", **extra)
        async def body(data: dict = Body(), extra: str = Depends(dependency)):
            return data

    async def in_dependency(q: str | None = Query(default=None), x_key: str = Header(default="no key")):
        return f"{q} {x_key}"

    plain, ours = Faster(), Faster()
    guard.protect(ours)
    build(plain, [], in_dependency)
    build(ours, [guard.requires()], in_dependency)
    headers = issuer.bearer("") | {"user-agent": "test", "cookie": "session=s", "x-key": "k"}
    requests = [
        ("GET", "/red/a?query=b&q=c", None),
        ("GET", "/red/a", None),
        ("GET", "/blue/a", None),
        ("POST", "/struct", b'{"name": "n"}'),
        ("POST", "/struct", b'{"name": 1}'),
        ("POST", "/struct", b"{bad"),
        ("POST", "/point", b'{"x": 1, "y": 2}'),
        ("POST", "/point", b"[]"),
        ("POST", "/body", b'{"a": [1]}'),
        ("POST", "/body", b"{bad"),
    ]
    for method, path, content in requests:
        expected = client_of(plain).request(method, path, content=content, headers=headers)
        seen = client_of(ours).request(method, path, content=content, headers=headers)
        assert (seen.status_code, seen.text) == (expected.status_code, expected.text), path
    assert ran.count(plain) == ran.count(ours) == 2


def test_a_form_and_a_file_are_read_as_fasterapi_reads_them(app, guard, issuer):
    from FasterAPI import File, Form, UploadFile

    @app.post("/form")
    async def form(
        caller: Annotated[Principal, guard.requires("items")], name: str = Form(), upload: UploadFile = File()
    ):
        return {"name": name, "size": len(await upload.read()), "who": caller.subject}

    client = client_of(app)
    sent = {"data": {"name": "n"}, "files": {"upload": ("f.txt", b"12345")}}

    assert client.post("/form", **sent, headers=issuer.bearer("items")).json() == {
        "name": "n",
        "size": 5,
        "who": "alice",
    }
    assert client.post("/form", **sent).status_code == 401


def test_response_models_status_codes_and_background_tasks_stay_what_they_are(app, guard, issuer):
    import msgspec
    from FasterAPI import BackgroundTasks

    class Public(msgspec.Struct):
        name: str

    ran = []

    @app.post("/x", status_code=201, response_model=Public, dependencies=[guard.requires("items")])
    async def x(tasks: BackgroundTasks):
        tasks.add_task(ran.append, "later")
        return {"name": "n", "secret": "s"}

    response = client_of(app).post("/x", headers=issuer.bearer("items"))

    assert (response.status_code, response.json()) == (201, {"name": "n"})
    assert ran == ["later"]


# -- without protect -------------------------------------------------------------------------------------


def test_without_protect_what_is_declared_still_enforces_itself(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = Faster()

    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]):
        return caller.subject

    @app.get("/any", dependencies=[guard.requires(any_of("items", "me"))])
    async def any_route():
        return 1

    @app.get("/maybe")
    async def maybe(caller: Principal | None = guard.optional()):
        return {"who": caller and caller.subject}

    @app.get("/valid")
    async def valid(caller: Principal = Depends(guard)):
        return caller.subject

    client = client_of(app)

    assert challenge(client.get("/users")) == 'Bearer realm="api"'
    assert client.get("/users").status_code == 401
    refused = client.get("/users", headers=issuer.bearer("items"))
    assert refused.status_code == 403
    assert 'scope="users:read"' in challenge(refused)
    assert refused.headers["cache-control"] == "no-store"
    assert refused.headers.get_list("content-type") == ["application/json"]
    assert client.get("/users", headers=issuer.bearer("users:read")).text == "alice"
    assert client.get("/any", headers=issuer.bearer("me")).json() == 1
    assert client.get("/any", headers=issuer.bearer("users:read")).status_code == 403
    assert client.get("/maybe").json() == {"who": None}
    assert client.get("/maybe", headers={"Authorization": "Bearer x"}).status_code == 401
    assert client.get("/valid", headers=issuer.bearer("")).text == "alice"
    assert client.get("/valid").status_code == 401


def test_without_protect_nested_scopes_reach_the_guard_below_them(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = Faster()
    seen = []

    def spy(scopes: SecurityScopes):
        seen.append(scopes.scopes)
        return "spied"

    async def me(
        caller: Annotated[Principal, Security(guard, scopes=["me"])], spied: Annotated[str, Security(spy, scopes=["x"])]
    ):
        return caller.subject

    @app.get("/items")
    async def items(who: Annotated[str, Security(me, scopes=["items"])]):
        return who

    client = client_of(app)

    assert client.get("/items", headers=issuer.bearer("items me")).text == "alice"
    assert seen == [["items", "x"]]
    for lacking in ("items", "me"):
        refused = client.get("/items", headers=issuer.bearer(lacking))
        assert refused.status_code == 403
        assert 'scope="items me"' in challenge(refused)


def test_without_protect_a_value_is_shared_for_each_set_of_scopes(catalog, issuer):
    app = Faster()
    runs = []

    def leaf(scopes: SecurityScopes):
        runs.append(scopes.scope_str)
        return len(runs)

    @app.get("/x")
    async def x(
        a: Annotated[int, Security(leaf, scopes=["items", "me"])],
        b: Annotated[int, Security(leaf, scopes=["me", "items"])],
        c: Annotated[int, Security(leaf, scopes=["me"])],
        d: Annotated[int, Security(leaf, scopes=["me"], use_cache=False)],
    ):
        return [a, b, c, d]

    assert client_of(app).get("/x").json() == [1, 1, 2, 3]
    assert runs == ["items me", "me", "me"]


def test_without_protect_what_cannot_be_run_rightly_is_refused_and_not_let_in(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = Faster()

    def session(caller: Annotated[Principal, Security(guard)]):
        yield caller

    @app.get("/generator")
    async def generator(caller: Annotated[Principal, Security(session, scopes=["items"])]):
        return "open"

    @app.get("/unnamed")
    async def unnamed(caller: Annotated[Principal, Security(scopes=["items"])]):
        return "open"

    @app.get("/typo")
    async def typo(caller: Annotated[Principal, Security(guard, scopes=["itmes"])]):
        return "open"

    client = client_of(app)

    for path in ("/generator", "/unnamed", "/typo"):
        response = client.get(path, headers=issuer.bearer("admin:*"))
        assert response.status_code == 500, path
        assert "open" not in response.text


def test_without_protect_in_handler_checks_are_answered_once_the_handler_is_registered(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = Faster()
    app.add_exception_handler(BailiwickError, guard.handle_error)

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        caller.require("me")

    refused = client_of(app).get("/x", headers=issuer.bearer("items"))

    assert (refused.status_code, refused.json()["scope"]) == (403, "me")
    assert 'scope="me"' in challenge(refused)


def test_scopes_are_checked_where_they_are_written():
    def dependency(scopes: SecurityScopes):
        return scopes

    for wrong, cause in [("items", "BW104"), ([], "BW103"), (iter(["items"]), "BW104"), (["a b"], "BW101")]:
        with pytest.raises(ConfigurationError) as refused:
            Security(dependency, scopes=wrong)
        assert refused.value.id == cause


# -- closed by default -----------------------------------------------------------------------------------


def test_the_start_fails_with_one_error_that_names_every_unsettled_route(guard, tmp_path):
    app = Faster()
    guard.protect(app, docs=None)
    router = FasterRouter(prefix="/r")

    @router.get("/included")
    async def included():
        return 1

    @app.get("/open")
    async def open_route():
        return 1

    @app.get("/foreign", dependencies=[Depends(lambda: None)])
    async def foreign():
        return 1

    @app.websocket("/ws")
    async def ws(websocket):
        await websocket.accept()

    sub = Faster(openapi_url=None)

    @sub.get("/inner")
    async def inner():
        return 1

    app.include_router(router)
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.mount("/sub", sub)

    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass

    text = str(failed.value)
    for label in ("GET /r/included", "GET /open", "GET /foreign", "WS /ws", "MOUNT /static", "GET /sub/inner"):
        assert label in text
    assert "GET /docs" in text
    assert "GET /openapi.json" in text
    assert f"{__file__}:" in text
    assert failed.value.id == "BW120"


def test_the_failure_to_start_is_told_to_the_server_in_the_protocols_words(guard):
    app = Faster(lifespan=None)
    guard.protect(app)

    @app.get("/open")
    async def open_route():
        return 1

    sent = []

    async def receive():
        return {"type": "lifespan.startup"}

    async def send(message):
        sent.append(message)

    with pytest.raises(ConfigurationError):
        asyncio.run(app({"type": "lifespan"}, receive, send))

    assert [message["type"] for message in sent] == ["lifespan.startup.failed"]
    assert "GET /open" in sent[0]["message"]


@pytest.mark.parametrize("kind", ["context", "handlers"])
def test_the_applications_own_lifespan_runs_after_the_check(guard, kind):
    from contextlib import asynccontextmanager

    events = []

    @asynccontextmanager
    async def lifespan(app):
        events.append("up")
        yield
        events.append("down")

    app = Faster(lifespan=lifespan if kind == "context" else None)
    if kind == "handlers":
        app.on_startup(lambda: events.append("up"))
        app.on_shutdown(lambda: events.append("down"))
    guard.protect(app, default=guard.public("nothing here"))

    with TestClient(app):
        assert events == ["up"]
    assert events == ["up", "down"]


def test_a_server_without_lifespan_serves_nothing_of_an_unsettled_application(guard, tmp_path):
    (tmp_path / "a.txt").write_text("secret")
    app = Faster()
    guard.protect(app)

    @app.get("/open")
    async def open_route():
        return "secret"

    app.mount("/static", StaticFiles(directory=tmp_path))
    client = client_of(app)

    for path in ("/open", "/static/a.txt", "/open"):
        response = client.get(path)
        assert response.status_code == 500
        assert "secret" not in response.text


def test_behind_a_middleware_the_first_request_is_guarded_as_well(guard, issuer):
    app = Faster()
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"])
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "in"

    client = client_of(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).text == "in"


def test_an_application_of_a_derived_class_is_protected_and_keeps_what_it_adds(guard, issuer):
    class Ours(Faster):
        def __init__(self):
            super().__init__()
            self.name = "ours"

        def named(self):
            return self.name

    app = Ours()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return app.named()

    assert isinstance(app, Ours)
    assert client_of(app).get("/x").status_code == 401
    assert client_of(app).get("/x", headers=issuer.bearer("items")).text == "ours"


def test_two_applications_are_protected_apart(catalog, issuer, guard):
    other = Guard(catalog, issuer)
    one, two = Faster(), Faster()
    guard.protect(one)
    other.protect(two)
    free = Faster()

    @one.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    @two.get("/x", dependencies=[other.requires("me")])
    async def y():
        return 2

    @free.get("/x")
    async def z():
        return 3

    assert client_of(one).get("/x", headers=issuer.bearer("items")).json() == 1
    assert client_of(two).get("/x", headers=issuer.bearer("items")).status_code == 403
    assert client_of(free).get("/x").json() == 3
    with pytest.raises(ConfigurationError, match="not protected"):
        guard.plan(two)


def test_what_stands_at_the_path_of_the_documentation_is_not_documentation(guard):
    app = Faster(docs_url=None)
    guard.protect(app)
    app.docs_url = "/docs"

    @app.get("/docs")
    async def docs():
        return "secret"

    with pytest.raises(ConfigurationError, match="GET /docs"):
        guard.plan(app)


def test_routes_of_a_mounted_application_are_guarded_by_their_own_declarations(app, guard, issuer):
    sub = Faster(openapi_url=None)

    @sub.get("/inner", dependencies=[guard.requires("items")])
    async def inner():
        return "inner"

    app.mount("/sub", sub)
    client = client_of(app)

    assert client.get("/sub/inner").status_code == 401
    assert client.get("/sub/inner", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/sub/inner", headers=issuer.bearer("items")).text == "inner"
    assert "/sub/inner" in {route.path for route in guard.plan(app)}


def test_a_mounted_application_with_its_own_guard_keeps_it(app, guard, catalog, issuer):
    class Strangers:
        async def verify(self, token):
            return Principal("stranger", ScopeSet(["me"]))

    other = Guard(catalog, Strangers())
    sub = Faster(openapi_url=None)
    other.protect(sub)

    @sub.get("/inner")
    async def inner(caller: Annotated[Principal, other.requires("me")]):
        return caller.subject

    app.mount("/sub", sub)
    client = client_of(app)

    assert client.get("/sub/inner", headers={"Authorization": "Bearer x"}).text == "stranger"
    assert client.get("/sub/inner").status_code == 401
    assert "GET /sub/inner" in {route.label for route in guard.plan(app)}


@pytest.mark.parametrize("late", [False, True])
def test_a_mount_that_is_settled_by_wrap_and_by_mounts_is_refused(guard, issuer, tmp_path, late):
    (tmp_path / "a.txt").write_text("static")
    app = Faster()
    guard.protect(app, mounts={"files/": guard.requires("me")})

    @app.get("/files")
    async def files():
        return "settled by mounts= as well"

    if late:
        guard.plan(app)
        with pytest.raises(ConfigurationError, match=r"/files is settled twice: by guard.wrap\(...\) and by mounts="):
            app.mount("/files", guard.wrap(StaticFiles(directory=tmp_path), "items"))
        assert client_of(app).get("/files/a.txt").status_code == 404
    else:
        app.mount("/files", guard.wrap(StaticFiles(directory=tmp_path), "items"))
        with pytest.raises(ConfigurationError, match=r"/files is settled twice: by guard.wrap\(...\) and by mounts="):
            guard.plan(app)


@pytest.mark.parametrize("own", [False, True])
def test_what_a_mounted_application_adds_later_stands_in_the_plan_of_the_outer_one(catalog, issuer, own):
    guard = Guard(catalog, issuer, resource=Resource("https://api.example", ("https://as.example",)))
    outer, inner, innermost = Faster(), Faster(openapi_url=None), Faster(openapi_url=None)
    guard.protect(outer)
    if own:
        guard.protect(inner)
    outer.mount("/in", inner)
    with TestClient(outer) as client:
        first = guard.plan(outer)
        assert first.scopes == ()

        @inner.get("/late", dependencies=[guard.requires("items")])
        async def late():
            return "late"

        @inner.websocket("/socket")
        async def socket(websocket, caller: Principal = guard.requires("users:read")):
            await websocket.accept()

        @innermost.get("/deep", dependencies=[guard.requires("me")])
        async def deep():
            return "deep"

        inner.mount("/more", innermost)

        @innermost.get("/deepest", dependencies=[guard.requires("posts:read")])
        async def deepest():
            return "deepest"

        assert client.get("/in/late", headers=issuer.bearer("items")).text == "late"
        assert client.get("/in/more/deepest", headers=issuer.bearer("posts:read")).text == "deepest"
        assert client.get("/in/more/deepest").status_code == 401
        labels = [route.label for route in guard.plan(outer)]
        added = ["GET /in/late", "WS /in/socket", "GET /in/more/deep", "GET /in/more/deepest"]
        assert [label for label in labels if label in added] == added
        assert {route.label for route in first} <= set(labels)
        document = client.get("/.well-known/oauth-protected-resource").json()
        assert document["scopes_supported"] == ["items", "users:read", "me", "posts:read"]
        assert guard.plan(outer) is guard.plan(outer)


def test_a_route_behind_a_mount_is_guarded_where_a_doubled_slash_reaches_it(app, guard, issuer, tmp_path):
    (tmp_path / "x").write_text("mounted")

    @app.get("/m/x", dependencies=[guard.requires("items")])
    async def behind():
        return "behind"

    app.mount("/m", guard.wrap(StaticFiles(directory=tmp_path), "me"))
    client = client_of(app)

    for path in ("/m/x", "//m/x", "/m//x"):
        assert client.get(f"http://testserver{path}").status_code == 401, path
    assert client.get("http://testserver//m/x", headers=issuer.bearer("items")).text == "behind"
    assert client.get("/m/x", headers=issuer.bearer("items")).status_code == 403


def test_what_is_added_while_the_application_runs_is_closed_unless_it_is_declared(app, guard, issuer, caplog, tmp_path):
    (tmp_path / "a.txt").write_text("open")

    @app.get("/first", dependencies=[guard.requires("items")])
    async def first():
        return 1

    client = client_of(app)
    assert client.get("/first", headers=issuer.bearer("items")).status_code == 200
    router = FasterRouter()

    @router.get("/included-late")
    async def included_late():
        return "open"

    with caplog.at_level(logging.ERROR, "bailiwick.guard"):

        @app.get("/late")
        async def late():
            return "open"

        @app.get("/guarded-late")
        async def guarded_late(caller: Principal = guard.requires("items")):
            return caller.subject

        app.include_router(router)
        app.mount("/static-late", StaticFiles(directory=tmp_path))

    for path in ("/late", "/included-late", "/static-late/a.txt"):
        response = client.get(path, headers=issuer.bearer("admin:*"))
        assert (response.status_code, response.json()["id"]) == (403, "BW303"), path
        assert path.removesuffix("/a.txt") in caplog.text
    assert client.get("/first", headers=issuer.bearer("items")).status_code == 200
    assert client.get("/guarded-late", headers=issuer.bearer("items")).text == "alice"
    assert client.get("/guarded-late").status_code == 401
    assert "/guarded-late" in {route.path for route in guard.plan(app)}


def test_x31_a_path_that_is_registered_twice_and_settled_differently_is_refused(app, guard, issuer):
    @app.get("/x/{id}", dependencies=[guard.requires("items")])
    async def closed(id: str):
        return "closed"

    @app.get("//x/{other}/", dependencies=[guard.public("it wins, and nobody sees it")])
    async def open_later(other: str):
        return "open"

    with pytest.raises(ConfigurationError, match="twice") as refused:
        guard.plan(app)
    assert refused.value.id == "BW106"
    assert "open" not in client_of(app).get("/x/1").text


def test_x31_after_the_start_a_guarded_route_is_not_replaced_by_an_open_one(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def closed():
        return "closed"

    client = client_of(app)
    assert client.get("/x").status_code == 401

    for declared in ([guard.public("later")], None):
        with pytest.raises(ConfigurationError, match="twice"):
            app.get("/x", dependencies=declared)(closed)
    assert client.get("/x").status_code == 401


def test_a_path_that_is_registered_twice_and_settled_alike_stands_in_the_plan_once(app, guard, issuer):
    for answer in ("first", "second"):

        @app.get("/x", dependencies=[guard.requires("items")])
        async def x(answer=answer):
            return answer

    assert client_of(app).get("/x", headers=issuer.bearer("items")).text == "second"
    assert [route.label for route in guard.plan(app)].count("GET /x") == 1


def test_public_beside_an_inherited_requirement_is_refused_at_start(app, guard):
    router = FasterRouter(dependencies=[guard.requires("users:read")])

    @router.get("/health", dependencies=[guard.public("liveness probe")])
    async def health():
        return 1

    app.include_router(router)

    with pytest.raises(ConfigurationError, match=r"declared public.*inherits"):
        guard.plan(app)


def test_an_unknown_scope_fails_where_it_is_declared_or_at_start(app, guard):
    with pytest.raises(ConfigurationError, match=r"users:raed.*users:read"):
        guard.requires("users:raed")

    @app.get("/typo")
    async def typo(caller: Annotated[Principal, Security(guard, scopes=["users:raed"])]):
        return 1

    with pytest.raises(ConfigurationError, match=r"GET /typo.*users:raed.*users:read"):
        guard.plan(app)


def test_scopes_that_nothing_would_look_at_are_refused(app, guard):
    async def not_a_guard():
        return "anyone"

    @app.get("/inert")
    async def inert(who: Annotated[str, Security(not_a_guard, scopes=["users:read"])]):
        return who

    with pytest.raises(ConfigurationError, match="looks at them") as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"


PEP_563 = """
from __future__ import annotations
from typing import Annotated
from bailiwick.fasterapi import Security

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
def test_a_guard_hidden_by_a_string_annotation_is_found_and_refused(guard, default):
    app = Faster()
    guard.protect(app, default=guard.public("nothing is settled by the route itself"))
    namespace = {}
    exec(compile(PEP_563, "pep563.py", "exec", dont_inherit=True), namespace)
    namespace["build"](app, guard, default)

    with pytest.raises(ConfigurationError, match=r"/hidden.*caller") as failed:
        guard.plan(app)
    assert failed.value.id == "BW121"
    assert "open" not in client_of(app).get("/hidden").text


ALIASED = """
from __future__ import annotations
from typing import Annotated
from bailiwick.fasterapi import Security

def build(app, guard):
    Boss = Annotated[object, Security(guard, scopes=["items"])]
    @app.get("/hidden")
    async def hidden(caller: Boss = None):
        return "open"
"""


def test_an_alias_that_only_a_local_scope_knows_may_be_a_guards_whatever_it_is_called(guard):
    app = Faster()
    guard.protect(app, default=guard.public("nothing is settled by the route itself"))
    namespace = {}
    exec(compile(ALIASED, "aliased.py", "exec", dont_inherit=True), namespace)
    namespace["build"](app, guard)

    with pytest.raises(ConfigurationError, match=r"/hidden.*caller.*'Boss'") as failed:
        guard.plan(app)
    assert failed.value.id == "BW121"
    assert "open" not in client_of(app).get("/hidden").text


def test_a_guard_in_an_alias_is_run_or_refused(guard, issuer):
    any_type = TypeVar("any_type")
    caller = TypeAliasType("caller", Annotated[Principal, Security(guard, scopes=["items"])])
    guarded = TypeAliasType("guarded", Annotated[any_type, Security(guard, scopes=["items"])], type_params=(any_type,))
    several = TypeAliasType("several", list[caller])

    for annotation in (guarded[str], several):
        app = Faster()

        @app.get("/hidden")
        async def hidden(x: annotation = ()):
            return "open"

        guard.protect(app, default=guard.public("nothing is settled by the route itself"))
        with pytest.raises(ConfigurationError, match=r"/hidden.*never run") as failed:
            guard.plan(app)
        assert failed.value.id == "BW123"
        assert "open" not in client_of(app).get("/hidden").text

    app = Faster()

    @app.get("/run")
    async def run(x: caller):
        return x.subject

    guard.protect(app)
    assert client_of(app).get("/run").status_code == 401
    assert client_of(app).get("/run", headers=issuer.bearer("items")).text == "alice"


def test_one_application_is_protected_once_and_only_declarations_settle_groups(app, guard):
    with pytest.raises(ConfigurationError, match="already"):
        guard.protect(app)
    for wrong in ("users:read", object(), Depends(lambda: None)):
        with pytest.raises(ConfigurationError, match="default"):
            guard.protect(Faster(), default=wrong)
    with pytest.raises(ConfigurationError, match="FasterAPI application"):
        guard.protect(object())


def test_a_derived_guard_that_refuses_more_where_nobody_would_ask_it_is_refused(catalog, issuer):
    class Called(Guard):
        async def __call__(self, request: Request, security_scopes: SecurityScopes | None = None) -> Principal:
            raise HTTPException(status_code=403)

    class Authorizing(Guard):
        async def authorize(self, conn, scopes=()):
            raise InsufficientScope("Not today.")

    class Authenticating(Guard):
        async def authenticate(self, conn):
            raise InsufficientScope("Not today.")

    class Inheriting(Called):
        pass

    for kind, method in [(Called, "__call__"), (Inheriting, "__call__"), (Authorizing, "authorize")]:
        app = Faster()
        with pytest.raises(
            ConfigurationError, match=rf"{kind.__name__} overrides {method}\(\).*authenticate\(\) instead"
        ):
            kind(catalog, issuer).protect(app)
        assert type(app) is Faster

    app, guard = Faster(), Authenticating(catalog, issuer)
    guard.protect(app, default=guard.requires())
    app.get("/x")(lambda: "open")
    assert client_of(app).get("/x", headers=issuer.bearer("admin:*")).status_code == 403


def test_two_guards_with_different_issuers_do_not_take_over_each_others_caller(app, guard, catalog, issuer):
    class Strangers:
        async def verify(self, token):
            return Principal("stranger", ScopeSet(["items"]))

    theirs = Guard(catalog, Strangers(), scheme_name="other")

    @app.get("/x")
    async def x(a: Annotated[Principal, guard.requires("items")], b: Annotated[Principal, theirs.requires("items")]):
        return [a.subject, b.subject]

    @app.get("/y", dependencies=[guard.requires("items")])
    async def y(b: Annotated[Principal, Security(theirs, scopes=["me"])]):
        return b.subject

    client = client_of(app)

    assert client.get("/x", headers=issuer.bearer("items")).json() == ["alice", "stranger"]
    assert client.get("/x", headers={"Authorization": "Bearer theirs"}).status_code == 401
    refused = client.get("/y", headers=issuer.bearer("items"))
    assert refused.status_code == 403
    assert 'scope="me"' in challenge(refused)


# -- refused early ------------------------------------------------------------------------------------


def test_x12_malformed_json_of_an_anonymous_caller_is_401_and_not_422(app, guard, issuer):
    @app.post("/x")
    async def x(data: dict = Body(), caller: Principal = guard.requires("items")):
        return data

    client = client_of(app)

    assert client.post("/x", content="{bad").status_code == 401
    assert client.post("/x", content="{bad", headers=issuer.bearer("me")).status_code == 403
    assert client.post("/x", content="{bad", headers=issuer.bearer("items")).status_code == 422


def test_a_body_is_read_after_the_dependencies_that_stand_before_it(app, guard, issuer):
    async def refuses():
        raise HTTPException(status_code=409, detail="first")

    @app.post("/x", dependencies=[guard.requires("items")])
    async def x(first: None = Depends(refuses), data: dict = Body()):
        return data

    assert uploaded(app, "/x", issuer.bearer("items"), [b"{bad"]) == (409, 0, 0)


def test_the_decision_never_depends_on_how_a_path_is_written(app, guard, issuer):
    @app.get("/admin", dependencies=[guard.requires("admin:*")])
    async def admin():
        return "secret"

    @app.get("/{name}", dependencies=[guard.public("names")])
    async def name(name: str):
        return f"public {name}"

    client = client_of(app)

    for path in ("/admin", "/%61dmin", "//admin", "/admin/", "/x/../admin", "/admin?x=/health", "/admin;x", "/ADMIN"):
        assert "secret" not in client.get(f"http://testserver{path}").text, path
    for method in ("get", "Get", "GET"):
        assert uploaded(app, "/admin", method=method)[0] == 401


def test_head_and_options_never_reach_a_guarded_handler(app, guard, issuer):
    ran = []

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        ran.append(1)

    client = client_of(app)

    for method in ("HEAD", "OPTIONS", "TRACE", "POST"):
        assert client.request(method, "/x").status_code == 404
    assert ran == []


def test_a_head_route_is_guarded_like_any_other(app, guard, issuer):
    async def x():
        return 1

    for method in ("HEAD", "OPTIONS"):
        app._add_route(
            method,
            "/x",
            x,
            tags=[],
            summary="",
            response_model=None,
            status_code=200,
            deprecated=False,
            responses=None,
            dependencies=[guard.requires("items")],
        )
    client = client_of(app)

    for method in ("HEAD", "OPTIONS"):
        assert client.request(method, "/x").status_code == 401
        assert client.request(method, "/x", headers=issuer.bearer("items")).status_code == 200


def test_a_cors_preflight_is_answered_by_the_cors_middleware(app, guard):
    app.add_middleware(CORSMiddleware, allow_origins=["https://app.example"], allow_headers=["authorization"])

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    client = client_of(app)
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "GET"}

    assert client.options("/x", headers=asked).status_code in {200, 204}
    for _ in range(2):  # what a middleware adds to one refusal is not found in the next
        refused = client.get("/x", headers={"Origin": "https://app.example"})
        assert refused.status_code == 401
        assert refused.headers.get_list("access-control-allow-origin") == ["https://app.example"]


# -- answers ------------------------------------------------------------------------------------------


def test_answers_are_those_of_the_error_contract(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    client = client_of(app)

    nobody = client.get("/x")
    assert nobody.json() == {"detail": "Authentication is required.", "id": "BW200"}
    assert challenge(nobody) == 'Bearer realm="api"'
    assert nobody.headers["cache-control"] == "no-store"
    bad = client.get("/x", headers={"Authorization": "Bearer x"})
    assert (bad.status_code, bad.json()["error"]) == (401, "invalid_token")
    twice = client.get("/x", headers=[("Authorization", "Bearer a"), ("Authorization", "Bearer b")])
    assert (twice.status_code, twice.json()["error"]) == (400, "invalid_request")
    few = client.get("/x", headers=issuer.bearer("me"))
    assert (few.status_code, few.json()["scope"], few.json()["id"]) == (403, "items", "BW300")
    assert 'scope="items"' in challenge(few)
    lower = issuer.bearer("items")["Authorization"].replace("Bearer", "bearer")
    assert client.get("/x", headers={"Authorization": lower}).status_code == 200


def test_a_provider_that_cannot_be_reached_is_503_and_never_401(catalog):
    from bailiwick.errors import Unavailable

    class Down:
        async def verify(self, token):
            raise Unavailable("The keys cannot be reached.", retry_after=7)

    guard = Guard(catalog, Down())
    app = Faster()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    response = client_of(app).get("/x", headers={"Authorization": "Bearer x"})

    assert (response.status_code, response.headers["retry-after"]) == (503, "7")


def test_a_handler_for_httpexception_is_given_fasterapis_own_exception(app, guard, issuer):
    heard = []

    async def mine(request, error):
        heard.append(error)
        return error.status_code, json.dumps({"mine": error.detail}).encode(), [(b"x-mine", b"yes")]

    app.add_exception_handler(HTTPException, mine)

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        caller.require("me")

    client = client_of(app)

    for headers, status in [({}, 401), (issuer.bearer("users:read"), 403), (issuer.bearer("items"), 403)]:
        response = client.get("/x", headers=headers)
        assert response.status_code == status
        assert response.headers["x-mine"] == "yes"
        assert isinstance(heard[-1], HTTPException)
        assert heard[-1].headers["WWW-Authenticate"].startswith("Bearer ")
    assert heard[-1].error.required == "me"


@pytest.mark.parametrize("kind", [BailiwickError, InsufficientScope])
def test_a_handler_for_bailiwicks_errors_is_not_replaced(guard, issuer, kind):
    app = Faster()
    app.add_exception_handler(kind, lambda request, error: JSONResponse({"mine": error.code}, status_code=418))
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        caller.require("me")

    client = client_of(app)

    for scope in ("users:read", "items"):
        refused = client.get("/x", headers=issuer.bearer(scope))
        assert (refused.status_code, refused.json()) == (418, {"mine": "insufficient_scope"})
    assert client.get("/x").status_code == (418 if kind is BailiwickError else 401)


def test_a_handler_for_every_exception_does_not_swallow_a_refusal(app, guard, issuer):
    app.add_exception_handler(Exception, lambda request, error: JSONResponse({"oops": True}, status_code=500))

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        caller.require("me")

    client = client_of(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).status_code == 403


def test_a_remembered_token_is_decided_without_asking_the_verifier_again(catalog, issuer):
    guard = Guard(catalog, issuer.cached())
    app = Faster()
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Principal = guard.requires("items")):
        return caller.subject

    client = client_of(app)
    headers, poor = issuer.bearer("items"), issuer.bearer("me")

    for _ in range(3):
        assert client.get("/x", headers=headers).text == "alice"
        assert client.get("/x", headers=poor).status_code == 403
        assert client.get("/x").status_code == 401
    assert client.get("/x?access_token=1", headers=headers).status_code == 400


def test_six_hundred_routes_are_guarded_each_by_its_own(app, guard, issuer):
    # FasterAPI remembers 512 signatures.
    def add(number):
        @app.get(f"/r{number}", dependencies=[guard.requires("items" if number % 2 else "me")])
        async def route():
            return number

    for number in range(600):
        add(number)
    client = client_of(app)

    for number in (0, 1, 300, 598, 599):
        right, wrong = ("items", "me") if number % 2 else ("me", "items")
        assert client.get(f"/r{number}", headers=issuer.bearer(right)).json() == number
        assert client.get(f"/r{number}", headers=issuer.bearer(wrong)).status_code == 403


# -- step-up (RFC 9470), streams, metadata (RFC 9728) -------------------------------------------------------


def test_rfc_9470_a_weak_or_old_authentication_is_asked_to_step_up(app, guard, issuer):
    import time

    @app.get("/pay", dependencies=[guard.requires("items", acr=("gold", "silver"), max_age=300)])
    async def pay():
        return 1

    client = client_of(app)
    now = int(time.time())

    weak = client.get("/pay", headers=issuer.bearer("items", acr="bronze", auth_time=now))
    assert weak.status_code == 401
    assert 'error="insufficient_user_authentication"' in challenge(weak)
    assert 'acr_values="gold silver"' in challenge(weak)
    assert client.get("/pay", headers=issuer.bearer("items", acr="gold", auth_time=now - 400)).status_code == 401
    assert client.get("/pay", headers=issuer.bearer("me", acr="gold", auth_time=now)).status_code == 403
    assert client.get("/pay", headers=issuer.bearer("items", acr="silver", auth_time=now - 10)).status_code == 200


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


def test_rfc_9728_the_metadata_is_written_from_the_plan(catalog, issuer):
    guard = Guard(catalog, issuer, resource=Resource("https://api.example/v1", ("https://as.example",)))
    app = Faster()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    client = client_of(app)
    document = client.get("/.well-known/oauth-protected-resource/v1").json()

    assert document["resource"] == "https://api.example/v1"
    assert document["scopes_supported"] == ["items"]
    metadata = 'resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"'
    assert metadata in challenge(client.get("/x"))


# -- OpenAPI --------------------------------------------------------------------------------------------


def test_openapi_says_what_is_enforced(app, guard):
    @app.get("/all/{id}")
    async def all_route(id: str, caller: Annotated[Principal, Security(guard, scopes=["items", "me"])]):
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

    paths = client_of(app).get("/openapi.json").json()["paths"]

    assert paths["/all/{id}"]["get"]["security"] == [{"oauth2": ["items", "me"]}]
    assert [one["name"] for one in paths["/all/{id}"]["get"]["parameters"]] == ["id"]
    assert paths["/any"]["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me", "users:read"]}]
    assert paths["/maybe"]["get"]["security"] == [{"oauth2": []}, {}]
    assert "security" not in paths["/open"]["get"]
    assert {"401", "403"} <= paths["/all/{id}"]["get"]["responses"].keys()
    assert "403" not in paths["/maybe"]["get"]["responses"]
    assert "401" not in paths["/open"]["get"]["responses"]


def test_openapi_shows_no_guarded_route_open_however_its_path_is_written(app, guard):
    async def handler(id: str = "none"):
        return 1

    paths = ["", "noslash", "//doubled//", "/twice", "/twice/", "/{id}/param", "/{other}/param"]
    for path in paths:
        app.get(path, dependencies=[guard.requires("items")])(handler)
    client = client_of(app)
    assert client.get("/").status_code == client.get("/noslash").status_code == 401
    app.post("late", dependencies=[guard.requires("me")])(handler)

    document = client.get("/openapi.json").json()["paths"]

    for path in paths:
        assert document[path]["get"].get("security") == [{"oauth2": ["items"]}], path
    assert document["late"]["post"]["security"] == [{"oauth2": ["me"]}]


def test_openapi_keeps_what_the_developer_wrote_for_another_scheme(app, guard):
    extra = {"security": [{"gateway": []}], "responses": {"401": {"description": "mine"}}}

    @app.get("/both", dependencies=[guard.requires("items")], openapi_extra=extra)
    async def both():
        return 1

    operation = client_of(app).get("/openapi.json").json()["paths"]["/both"]["get"]

    assert operation["security"] == [{"oauth2": ["items"], "gateway": []}]
    assert operation["responses"]["401"] == {"description": "mine"}


def test_openapi_documents_the_flows_and_the_catalogued_scopes(catalog, issuer):
    guard = Guard(
        catalog,
        issuer,
        token_url="/auth/token",
        authorization_url="/auth/authorize",
        password_flow=True,
        client_credentials_flow=True,
        scheme_name="bailiwick",
        description="Bearer tokens",
    )
    app = Faster()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    document = client_of(app).get("/openapi.json").json()
    scheme = document["components"]["securitySchemes"]["bailiwick"]
    flows = scheme["flows"]

    assert scheme["description"] == "Bearer tokens"
    assert set(flows) == {"password", "authorizationCode", "clientCredentials"}
    assert flows["authorizationCode"]["authorizationUrl"] == "/auth/authorize"
    assert flows["password"]["tokenUrl"] == "/auth/token"
    assert flows["password"]["scopes"]["users:read"] == "Read users"
    assert len(flows["clientCredentials"]["scopes"]) == len(catalog)


def test_whoever_generates_the_document_is_given_the_security_and_a_late_route_is_in_the_next(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return 1

    document = generate_openapi(app)
    assert document["paths"]["/x"]["get"]["security"] == [{"oauth2": ["items"]}]
    assert generate_openapi(app) is document

    @app.get("/late", dependencies=[guard.requires("me")])
    async def late():
        return 1

    paths = client_of(app).get("/openapi.json").json()["paths"]
    assert paths["/late"]["get"]["security"] == [{"oauth2": ["me"]}]
    assert paths["/x"]["get"]["security"] == [{"oauth2": ["items"]}]


def test_an_old_fasterapi_is_refused():
    from bailiwick.frameworks.fasterapi import compat

    compat.check_version("0.2.14")
    compat.check_version("0.3.0")
    with pytest.raises(ConfigurationError) as refused:
        compat.check_version("0.2.13")
    assert refused.value.id == "BW124"
