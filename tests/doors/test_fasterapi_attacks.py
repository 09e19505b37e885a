"""The FasterAPI door under a hostile caller and a careless developer."""

import asyncio
import functools
import itertools
import threading
import time
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from either_side import HOSTILE_CREDENTIALS, asgi_said, at_once, client_of, octets_left_by, over_asgi, raw
from FasterAPI import Depends, Faster, FasterRouter, Query, Request, StreamingResponse, WebSocket
from FasterAPI.openapi.generator import generate_openapi
from starlette.testclient import TestClient

from bailiwick import Principal, any_of
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Guard, Security, require_scope


async def said():
    return "reached"


def started(app):
    with TestClient(app):
        pass


# -- settings that are misspelt ---------------------------------------------------------------------------


def test_a_misspelt_on_expiry_is_refused_and_not_ignored(guard):
    with pytest.raises(ConfigurationError, match="on_expiry"):
        guard.requires("items", on_expiry="Close")


@pytest.mark.parametrize("age", ["60", -1, 1.5, True, float("nan")])
def test_an_age_that_is_no_number_of_seconds_is_refused_where_it_is_written(guard, age):
    with pytest.raises(ConfigurationError, match="max_age"):
        guard.requires("items", max_age=age)


@pytest.mark.parametrize("at", ["now", None, True, [], -1e30, 4e9])
def test_a_time_of_authentication_that_is_none_or_has_not_come_is_too_old(app, guard, issuer, at):
    app.get("/x", dependencies=[guard.requires("items", max_age=60)])(said)
    client = client_of(app)

    assert client.get("/x", headers=issuer.bearer("items", auth_time=at)).status_code == 401
    assert client.get("/x", headers=issuer.bearer("items", auth_time=int(time.time()))).status_code == 200


@pytest.mark.parametrize("where", ["docs", "default", "mounts"])
def test_what_another_guard_declares_settles_nothing_here(guard, catalog, issuer, where):
    other = Guard(catalog, issuer)
    settled = other.requires("items")

    with pytest.raises(ConfigurationError, match="another guard"):
        guard.protect(Faster(), **{where: {"/x": settled} if where == "mounts" else settled})


def test_require_scope_without_a_guard_settles_what_it_is_given_for(guard, issuer):
    app = Faster()
    guard.protect(app, default=require_scope("items"))
    app.get("/x")(said)

    assert client_of(app).get("/x", headers=issuer.bearer("me")).status_code == 403
    assert client_of(app).get("/x", headers=issuer.bearer("items")).status_code == 200


def test_a_path_that_settles_nothing_is_a_typing_mistake_and_fails_the_start(guard):
    for asked in (started, guard.plan):
        app = Faster()
        app.mount("/files", asgi_said)
        guard.protect(app, mounts={"/fiels": guard.requires("items")}, default=guard.public("test"))

        with pytest.raises(ConfigurationError, match="/fiels"):
            asked(app)


def test_a_path_that_settles_nothing_serves_nothing_without_a_lifespan(guard):
    app = Faster()
    app.mount("/files", asgi_said)
    guard.protect(app, mounts={"/fiels": guard.requires("items")}, default=guard.public("test"))

    for _ in range(2):
        answer = client_of(app).get("/files/x")
        assert answer.status_code == 500
        assert "reached" not in answer.text


def test_a_path_inside_a_mounted_application_that_settles_nothing_is_a_typing_mistake(guard):
    inner = Faster()
    inner.get("/x")(said)
    app = Faster()
    app.mount("/in", inner)
    guard.protect(app, mounts={"/in/x": guard.requires("items"), "/in/y": guard.requires("me")})

    with pytest.raises(ConfigurationError, match="/in/y") as refused:
        started(app)
    assert "/in/x" not in refused.value.description


@pytest.mark.parametrize("written", ["/files/", "/files", "files"])
@pytest.mark.parametrize("served", ["/files", "/files/"])
def test_the_path_of_a_mount_may_be_written_with_slashes_or_without(guard, issuer, written, served):
    app = Faster()
    app.mount(served, asgi_said)
    guard.protect(app, mounts={written: guard.requires("items")}, default=guard.public("test"))
    client = client_of(app)

    assert client.get("/files/x").status_code == 401
    assert client.get("/files/x", headers=issuer.bearer("items")).text == "reached"


@pytest.mark.parametrize("written", ["/admin", "/admin/", "admin", "//admin"])
@pytest.mark.parametrize("served", ["/admin/", "/admin", "admin", "//admin"])
def test_a_route_is_settled_by_its_path_however_its_slashes_are_written(guard, written, served):
    app = Faster()
    app.get(served)(said)
    guard.protect(app, mounts={written: guard.requires("admin:*")}, default=guard.public("test"))

    assert client_of(app).get("/admin").status_code == 401
    assert client_of(app).get("/admin/").status_code == 401


def test_a_hook_that_would_never_be_awaited_is_refused(catalog, issuer):
    async def hook(decision):
        raise AssertionError

    for unheard in (hook, functools.partial(hook)):
        with pytest.raises(ConfigurationError, match="on_decision"):
            Guard(catalog, issuer, on_decision=unheard)


def test_a_hook_that_returns_something_to_await_denies(catalog, issuer):
    async def slow(decision):
        raise AssertionError

    guard = Guard(catalog, issuer.cached(), on_decision=lambda decision: slow(decision))  # noqa: PLW0108 - a hidden coroutine
    app = Faster()
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires("items")])(said)

    for _ in range(2):
        assert client_of(app).get("/x", headers=issuer.bearer("items")).status_code == 403


@pytest.mark.parametrize("name", ["verifier", "catalog", "on_decision", "on_expiry", "resource"])
def test_what_a_guard_decides_by_cannot_be_exchanged_behind_its_gates(guard, name):
    with pytest.raises(AttributeError, match=name):
        setattr(guard, name, None)


def test_what_is_open_is_no_decision_over_http_and_over_a_websocket(catalog, issuer):
    heard = []
    guard = Guard(catalog, issuer, on_decision=heard.append)
    app = Faster()
    guard.protect(app)
    app.get("/x", dependencies=[guard.public("test")])(said)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, _open: Annotated[None, guard.public("test")]):
        await websocket.accept()
        await websocket.send_text("open")
        await websocket.close()

    assert client_of(app).get("/x").text == "reached"
    with TestClient(app).websocket_connect("/ws") as socket:
        assert socket.receive_text() == "open"
    assert heard == []


# -- declarations that check nothing ----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["requires", "require_scope", "optional", "public", "owner_or", "module"])
@pytest.mark.parametrize("where", ["dependencies", "parameter", "nested"])
def test_a_declaration_that_was_not_called_is_refused(guard, name, where):
    uncalled = require_scope if name == "module" else getattr(guard, name)
    app = Faster()
    guard.protect(app, default=guard.public("test"))

    def below(value: Any = Depends(uncalled)):
        return value

    if where == "dependencies":
        app.get("/x", dependencies=[guard.requires("items"), Depends(uncalled)])(said)
    elif where == "parameter":

        @app.get("/x")
        async def x(caller: Any = Depends(uncalled)):
            return "reached"
    else:

        @app.get("/x")
        async def y(caller: Any = Depends(below)):
            return "reached"

    with pytest.raises(ConfigurationError, match=r"GET /x.*checks nothing"):
        started(app)


def test_a_list_of_dependencies_takes_nothing_but_dependencies(guard):
    for wrong in (
        [guard.requires],
        [guard],
        [said],
        guard.requires("items"),
        Depends(said),
        [Depends(Security(guard))],
    ):
        app = Faster()
        guard.protect(app, default=guard.public("test"))
        app.get("/x", dependencies=wrong)(said)

        with pytest.raises(ConfigurationError, match="GET /x"):
            started(app)
        assert client_of(app).get("/x").status_code == 500


def ignored_bare(guard):
    async def x(caller: Annotated[Principal | None, guard] = None):
        return "reached"

    return x


def ignored_default(guard):
    async def x(caller=guard):
        return "reached"

    return x


def ignored_union(guard):
    async def x(caller: Annotated[Principal, Security(guard, scopes=["items"])] | None = None):
        return "reached"

    return x


def ignored_inside(guard):
    async def x(callers: list[Annotated[Principal, guard.requires("items")]] = []):  # noqa: B006
        return "reached"

    return x


def ignored_beside(guard):
    async def x(caller: Annotated[Principal, Depends(said), guard]):
        return "reached"

    return x


def ignored_in_front_of_a_default(guard):
    async def x(caller: Annotated[Principal | None, guard] = Query(None)):
        return "reached"

    return x


def ignored_leading(guard):
    async def current(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller

    async def x(caller: Annotated[Principal, Depends(current)] | None = None):
        return "reached"

    return x


def ignored_below(guard):
    async def below(caller: Annotated[Principal, guard] = None):
        return caller

    async def x(caller: Annotated[Any, Depends(below)]):
        return "reached"

    return x


def ignored_type(guard):
    async def x(caller: Annotated[Principal, Security] = None):
        return "reached"

    return x


@pytest.mark.parametrize(
    "form",
    [
        ignored_bare,
        ignored_default,
        ignored_union,
        ignored_inside,
        ignored_beside,
        ignored_in_front_of_a_default,
        ignored_leading,
        ignored_below,
        ignored_type,
    ],
)
def test_a_guard_that_stands_where_nobody_looks_is_refused(guard, form):
    app = Faster()
    guard.protect(app, default=guard.public("test"))
    app.get("/x")(form(guard))

    with pytest.raises(ConfigurationError, match="GET /x") as refused:
        started(app)
    assert refused.value.id in {"BW122", "BW123"}


def test_scopes_that_nothing_looks_at_are_refused_also_where_a_default_guards_the_route(guard):
    async def current_user():
        return "somebody"

    app = Faster()
    guard.protect(app, default=guard.requires("me"))

    @app.get("/x")
    async def x(user: Annotated[str, Security(current_user, scopes=["users:delete"])]):
        return user

    with pytest.raises(ConfigurationError, match="current_user"):
        started(app)


def test_a_public_statement_without_a_reason_is_refused(guard):
    for empty in ("", " ", None):
        with pytest.raises(ConfigurationError, match="reason"):
            guard.public(empty)


# -- routes that appear, change or are replaced -----------------------------------------------------------


@pytest.mark.parametrize("how", ["router", "list"])
def test_a_route_that_is_served_and_not_listed_is_found_in_the_router(guard, issuer, how):
    app = Faster()
    guard.protect(app, default=guard.public("test"))
    if how == "router":
        app._router.add_route("OPTIONS", "/x/{id}", said)
    else:
        app.get("/x/{id}", dependencies=[guard.requires("items")])(said)
        app.routes[-1] = app.routes[-1] | {"path": "/y"}

    with pytest.raises(ConfigurationError, match=r"/x/\{id\}"):
        started(app)
    assert "reached" not in client_of(app).request("OPTIONS" if how == "router" else "GET", "/x/1").text


def test_a_route_that_the_router_serves_before_it_is_protected_is_found(guard):
    app = Faster()
    app._router.add_route("GET", "/hidden", said)
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="GET /hidden"):
        started(app)


@pytest.mark.parametrize("kind", ["context", "handlers"])
def test_routes_that_the_lifespan_adds_are_part_of_the_start(guard, issuer, kind):
    def add(app):
        app.get("/settled", dependencies=[guard.requires("items")])(said)
        if app.title == "wrong":
            app.get("/late")(said)

    for title in ("right", "wrong"):
        if kind == "context":

            @asynccontextmanager
            async def lifespan(app):
                add(app)
                yield

            app = Faster(title=title, lifespan=lifespan)
        else:
            app = Faster(title=title)
            app.on_startup(lambda app=app: add(app))
        guard.protect(app)
        if title == "wrong":
            with pytest.raises(ConfigurationError, match="GET /late"):
                started(app)
        else:
            with TestClient(app) as client:
                assert client.get("/settled").status_code == 401
                assert client.get("/settled", headers=issuer.bearer("items")).text == "reached"


def test_the_failure_of_a_late_check_is_told_to_the_server_in_the_protocols_words(guard):
    app = Faster()
    app.on_startup(lambda: app.get("/late")(said))
    guard.protect(app)
    told = []

    async def receive():
        return {"type": "lifespan.shutdown" if told else "lifespan.startup"}

    async def send(message):
        told.append(message)

    with pytest.raises(ConfigurationError, match="GET /late"):
        asyncio.run(app({"type": "lifespan"}, receive, send))

    assert [message["type"] for message in told] == ["lifespan.startup.failed"]
    assert "GET /late" in told[0]["message"]


def test_a_mount_that_the_lifespan_makes_may_be_settled_beforehand(guard, issuer):
    @asynccontextmanager
    async def lifespan(app):
        app.mount("/late", asgi_said)
        yield

    app = Faster(lifespan=lifespan)
    guard.protect(app, mounts={"/late": guard.requires("items")})

    with TestClient(app) as client:
        assert client.get("/late/x").status_code == 401
        assert client.get("/late/x", headers=issuer.bearer("items")).text == "reached"


def test_a_late_route_that_is_declared_wrongly_is_not_served_and_the_others_go_on(app, guard, issuer):
    app.get("/users", dependencies=[guard.requires("users:read")])(said)
    with TestClient(app) as client:
        router = FasterRouter(dependencies=[guard.requires("items")])
        router.get("/wrong", dependencies=[guard.public("both")])(said)
        for _ in range(2):
            with pytest.raises(ConfigurationError, match="GET /wrong"):
                app.include_router(router)
            with pytest.raises(ConfigurationError, match="GET /typo"):
                app.get("/typo", dependencies=[Security(guard, scopes=["itmes"])])(said)

        for path in ("/wrong", "/typo"):
            assert client.get(path, headers=issuer.bearer("admin:*")).status_code == 404
            assert path not in client.get("/openapi.json").json()["paths"]
        assert client.get("/users", headers=issuer.bearer("users:read")).status_code == 200
        assert client.get("/users").status_code == 401


@pytest.mark.parametrize("when", ["before the start", "after the start"])
def test_x31_a_guarded_websocket_is_not_replaced_by_an_open_one(app, guard, when):
    async def closed(websocket: WebSocket, caller: Principal = guard.requires("items")):
        raise AssertionError

    async def open_later(websocket: WebSocket, _open: None = guard.public("later")):
        raise AssertionError

    app.websocket("/ws")(closed)
    if when == "after the start":
        guard.plan(app)
        with pytest.raises(ConfigurationError, match="twice") as refused:
            app.websocket("/ws/")(open_later)
    else:
        app.websocket("/ws/")(open_later)
        with pytest.raises(ConfigurationError, match="twice") as refused:
            guard.plan(app)
    assert refused.value.id == "BW106"


def test_many_threads_at_the_first_request_find_no_open_moment(guard):
    app = Faster()
    guard.protect(app, default=guard.requires("items"))
    for number in range(200):
        app.get(f"/r{number}")(said)

    assert at_once(app, [f"/r{number * 20}" for number in range(8)]) == [401] * 8


@pytest.mark.parametrize("kind", ["route", "mount", "include"])
def test_what_is_added_while_another_thread_compiles_is_closed(guard, issuer, kind):
    app = Faster()
    adding = []

    class Mounted:
        """Its reason is asked for when all routes have been read; at that moment another thread adds one."""

        async def __call__(self, conn, receive, send):
            raise AssertionError

        @property
        def public_reason(self):
            if not adding:
                thread = threading.Thread(target=add)
                adding.append(thread)
                thread.start()
                thread.join(0.5)
            return "test"

    def add():
        if kind == "route":
            app.get("/late/x")(said)
        elif kind == "mount":
            app.mount("/late", asgi_said)
        else:
            router = FasterRouter(prefix="/late")
            router.get("/x")(said)
            app.include_router(router)

    app.mount("/here", Mounted())
    guard.protect(app)
    guard.plan(app)
    adding[0].join()

    assert over_asgi(app, "/late/x")[0] == 403
    assert over_asgi(app, "/late/x", issuer.bearer("admin:*"))[0] == 403


# -- what several applications share ----------------------------------------------------------------------


def test_a_router_that_is_included_twice_is_guarded_by_each_inclusion(app, guard, issuer):
    shared = FasterRouter()
    shared.get("/x")(said)
    app.include_router(shared, prefix="/a", dependencies=[guard.requires("items")])
    app.include_router(shared, prefix="/b", dependencies=[guard.requires("me")])
    app.include_router(shared, prefix="/c", dependencies=[guard.public("test")])
    client = client_of(app)

    assert client.get("/a/x", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/b/x", headers=issuer.bearer("me")).status_code == 200
    assert client.get("/b/x", headers=issuer.bearer("items")).status_code == 403
    assert client.get("/c/x").status_code == 200


def test_a_router_that_two_protected_applications_include_answers_to_each(catalog, issuer):
    shared = FasterRouter()
    shared.get("/x")(said)
    first, second = Guard(catalog, issuer), Guard(catalog, issuer)
    one, two = Faster(), Faster()
    one.include_router(shared)
    two.include_router(shared)
    first.protect(one, default=first.requires("items"))
    second.protect(two, default=second.requires("me"))
    a, b = client_of(one), client_of(two)

    for _ in range(2):
        assert a.get("/x", headers=issuer.bearer("me")).status_code == 403
        assert b.get("/x", headers=issuer.bearer("me")).status_code == 200
        assert b.get("/x", headers=issuer.bearer("items")).status_code == 403


def test_an_application_that_two_protected_ones_mount_is_settled_alike_or_fails_the_start(catalog, guard, issuer):
    shared = Faster(openapi_url=None)
    shared.get("/x")(said)
    inside, outside, alike = Faster(), Faster(), Faster()
    for app in (inside, outside, alike):
        app.mount("/shared", shared)
    guard.protect(inside, default=guard.public("inside the house"))
    guard.protect(outside, default=guard.requires("items"))
    guard.protect(alike, default=guard.public("inside the house"))

    started(inside)
    started(alike)
    with pytest.raises(ConfigurationError, match="/shared"):
        started(outside)
    assert client_of(inside).get("/shared/x").status_code == 200
    assert "reached" not in client_of(outside).get("/shared/x").text


def test_an_application_that_was_made_from_a_protected_ones_class_is_not_protected(app, guard):
    app.get("/x", dependencies=[guard.requires("items")])(said)
    guard.plan(app)
    other = type(app)()
    other.get("/y")(said)

    with pytest.raises(ConfigurationError, match="not protected"):
        guard.plan(other)
    guard.protect(other)
    with pytest.raises(ConfigurationError, match="GET /y"):
        started(other)


def test_what_is_protected_by_one_guard_and_mounted_under_another_answers_to_its_own(catalog, issuer):
    first, second = Guard(catalog, issuer), Guard(catalog, issuer)
    inner, outer = Faster(), Faster()
    inner.get("/x", dependencies=[first.requires("items")])(said)
    inner.get("/y", dependencies=[second.requires("items")])(said)
    first.protect(inner)
    outer.mount("/in", inner)
    second.protect(outer)

    # What only another guard settles is not settled.
    with pytest.raises(ConfigurationError, match="/in/y"):
        started(outer)


# -- who calls: never somebody else -----------------------------------------------------------------------


@pytest.mark.parametrize("cached", [True, False])
def test_a_request_made_from_a_copied_connection_is_decided_by_its_own_token(catalog, issuer, cached):
    guard = Guard(catalog, issuer.cached() if cached else issuer)
    app = Faster()
    guard.protect(app)
    seen = []

    @app.post("/batch", dependencies=[guard.requires("me")])
    async def batch(request: Request):
        statuses = []

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        parts = ([], raw(issuer.bearer("me", sub="bob")), raw(issuer.bearer("items", sub="carol")))
        for path in ("/one", "/maybe", "/open"):
            for headers in parts:
                part = dict(request._scope) | {"path": path, "method": "GET", "headers": headers}
                await app(part, receive, send)
        return statuses

    @app.get("/one")
    async def one(caller: Annotated[Principal, guard.requires(any_of("me", "items"))]):
        seen.append(caller.subject)

    @app.get("/maybe")
    async def maybe(request: Request, caller: Annotated[Principal | None, guard.optional()]):
        seen.append((caller and caller.subject, (found := guard.caller(request)) and found.subject))

    @app.get("/open", dependencies=[guard.public("test")])
    async def public(request: Request):
        seen.append(guard.caller(request))

    answer = client_of(app).post("/batch", headers=issuer.bearer("me items"))

    assert answer.json() == [401, 200, 200, 200, 200, 200, 200, 200, 200]
    assert seen == ["bob", "carol", (None, None), ("bob", "bob"), ("carol", "carol"), None, None, None]


def test_concurrent_requests_never_see_each_others_caller(app, guard, issuer):
    async def nested(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        await asyncio.sleep(0)
        return caller.subject

    @app.get("/x")
    async def x(caller: Annotated[Principal, guard.requires()], below: Annotated[str, Depends(nested)]):
        await asyncio.sleep(0.001)
        return [caller.subject, below]

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(number):
                who = f"u{number % 7}"
                answer = await client.get("/x", headers=issuer.bearer("items", sub=who))
                return answer.json() == [who, who]

            return await asyncio.gather(*(ask(number) for number in range(120)))

    assert all(asyncio.run(main()))


def test_a_caller_cannot_name_himself_in_the_request(app, guard, issuer):
    @app.get("/x/{who}")
    async def x(who: str, caller: Annotated[Principal | None, guard.optional()] = None):
        return {"who": who, "caller": caller and caller.subject}

    answer = client_of(app).get("/x/1?caller=root&_caller=root&principal=root", headers={"caller": "root"})

    assert answer.json() == {"who": "1", "caller": None}


# -- when deciding goes wrong -----------------------------------------------------------------------------


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("wrong", [RuntimeError("s3cret"), KeyError("s3cret"), None])
def test_a_verifier_that_breaks_lets_nobody_in(catalog, protected, wrong):
    class Broken:
        async def verify(self, token):
            if wrong is not None:
                raise wrong

    class BrokenCache(Broken):
        def verify_cached(self, token):
            raise RuntimeError("s3cret")

    for verifier in (Broken(), BrokenCache()):
        guard = Guard(catalog, verifier)
        app = Faster()
        if protected:
            guard.protect(app)
        reached = []

        @app.get("/x", dependencies=[guard.requires("items")])
        async def x(reached=reached):
            reached.append(1)

        for _ in range(2):
            answer = client_of(app).get("/x", headers={"Authorization": "Bearer a.b.c"})
            assert answer.status_code == 500
            assert "s3cret" not in answer.text
        assert reached == []


@pytest.mark.parametrize("answers", ["a value", "a stream"])
def test_a_response_that_has_not_begun_when_the_token_expires_is_401(catalog, issuer, answers):
    clock = [time.time()]
    guard = Guard(catalog, issuer, now=lambda: clock[0])
    app = Faster()
    guard.protect(app)

    @app.get("/slow", dependencies=[guard.requires("items", on_expiry="close")])
    async def slow():
        async def lines():
            await asyncio.sleep(5)
            yield b"late"

        if answers == "a stream":
            return StreamingResponse(lines())
        return await asyncio.sleep(5)

    end = int(clock[0]) + 60
    headers = issuer.bearer("items", exp=end)
    clock[0] = end - 0.1
    begun = time.monotonic()
    answer = client_of(app).get("/slow", headers=headers)

    assert time.monotonic() - begun < 4
    if answers == "a value":
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    else:  # FasterAPI sends the headers of a stream at once
        assert answer.text == ""


def test_a_response_that_begins_only_after_the_token_expired_is_401(catalog, issuer):
    clock = [time.time()]
    guard = Guard(catalog, issuer, now=lambda: clock[0])
    app = Faster()
    guard.protect(app)

    class Slow:
        async def to_asgi(self, send):
            await asyncio.sleep(5)
            await send({"type": "http.response.start", "status": 200, "headers": []})

    app.get("/slow", dependencies=[guard.requires("items", on_expiry="close")])(Slow)
    end = int(clock[0]) + 60
    headers = issuer.bearer("items", exp=end)
    clock[0] = end - 0.1

    answer = client_of(app).get("/slow", headers=headers)

    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("sent", "status"), HOSTILE_CREDENTIALS)
@pytest.mark.parametrize("kind", ["cached", "not cached", "unprotected"])
def test_hostile_headers_are_answered_as_the_contract_says(catalog, issuer, sent, status, kind):
    guard = Guard(catalog, issuer.cached() if kind == "cached" else issuer)
    app = Faster()
    if kind != "unprotected":
        guard.protect(app)
    app.get("/x", dependencies=[guard.requires("items")])(said)
    app.get("/maybe", dependencies=[guard.optional()])(said)

    for path in ("/x", "/maybe"):
        answered, headers, body = over_asgi(app, path, [(b"authorization", one) for one in sent])
        assert answered == status
        headers = {name.lower(): value for name, value in headers.items()}
        assert b"\r" not in headers[b"www-authenticate"]
        assert b"\n" not in headers[b"www-authenticate"]
        assert b"Evil" not in body


@pytest.mark.parametrize(
    "query", [b"\xff\xfe", b"access_token", b"%00", b"x" * 1_000_000, b"access_token=a&access_token=b"]
)
def test_hostile_query_strings_change_nothing(app, guard, issuer, query):
    app.get("/x", dependencies=[guard.requires("items")])(said)

    assert over_asgi(app, "/x", query_string=query)[0] == 401
    status = over_asgi(app, "/x", issuer.bearer("items"), query_string=query)[0]
    assert status == (400 if query.startswith(b"access_token=") else 200)


@pytest.mark.parametrize("path", ["/x/", "//x", "///x//", "/x/*", "/*", "/X", "/x%2f", "/x\x00", "/./x"])
@pytest.mark.parametrize("method", ["GET", "get", "HEAD", "OPTIONS", "TRACE", "", "GET "])
def test_hostile_paths_and_methods_reach_nothing(app, guard, path, method):
    app.get("/x", dependencies=[guard.requires("items")])(said)
    app.get("/x/{id}", dependencies=[guard.requires("items")])(said)

    status, _, body = over_asgi(app, path, method=method)

    assert status in {401, 404}
    assert b"reached" not in body


# -- OpenAPI ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/x/", "/x/{id}", "//x", "x"])
def test_openapi_is_true_however_a_path_is_written(app, guard, path):
    app.get(path, dependencies=[guard.requires(any_of("items", "me"))])(said)
    started(app)

    (found,) = (one for one in generate_openapi(app)["paths"].values() if "openapi" not in one["get"].get("tags", ()))

    assert found["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me"]}]
    assert {"401", "403"} <= set(found["get"]["responses"])


def test_openapi_of_a_mounted_application_is_true(app, guard):
    inner = Faster()
    inner.get("/x", dependencies=[guard.requires(any_of("items", "me"))])(said)
    app.get("/in/y", dependencies=[guard.requires("items")])(said)
    app.mount("/in", inner)
    with TestClient(app) as client:
        schema = client.get("/in/openapi.json").json()

    assert schema["paths"]["/x"]["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me"]}]


# -- nothing grows, nothing shows -------------------------------------------------------------------------


def test_scopes_that_are_made_up_for_each_request_are_not_kept(catalog, issuer):
    guard = Guard(catalog, issuer)
    conn = {"type": "http", "headers": raw(issuer.bearer("admin:*"))}

    async def ask():
        for scopes in itertools.islice(itertools.product(catalog.scopes, repeat=4), 5_000):
            assert (await guard.authorize(conn, scopes)).subject == "alice"

    asyncio.run(ask())

    assert len(guard._rules) < 5_000


def test_a_conversation_of_many_requests_leaves_nothing_behind(catalog, issuer):
    guard = Guard(catalog, issuer.cached(cache_size=64))
    app = Faster()
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires(any_of("items", "me"))])(said)

    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional()]):
        return caller and caller.subject

    def ask(number):
        for path in ("/x", "/maybe", "/nowhere"):
            over_asgi(app, path, issuer.bearer("items", sub=f"u{number}"))
            over_asgi(app, path, [(b"authorization", b"Bearer a.b.%d" % number)])

    grown = octets_left_by(ask)

    assert grown < 100_000, f"{grown} octets for 600 requests"


@pytest.mark.parametrize("protected", [True, False])
def test_no_token_and_no_claim_is_in_what_a_guard_shows_or_logs(catalog, issuer, caplog, protected):
    heard = []
    guard = Guard(catalog, issuer, on_decision=heard.append)
    app = Faster()
    if protected:
        guard.protect(app)

    @app.get("/x")
    async def x(
        caller: Annotated[Principal, Security(guard, scopes=["items"])],
        own: Any = guard.owner_or("posts:admin", own=any_of("items")),
    ):
        heard.extend([caller, own])
        return "reached"

    client = client_of(app)
    secret = "s3cret-claim"
    tokens = [issuer.token(scope, private=secret) for scope in ("items", "me")]
    with caplog.at_level("DEBUG"):
        answers = [client.get("/x", headers={"Authorization": f"Bearer {one}"}) for one in [*tokens, tokens[0] + "x"]]

    assert [one.status_code for one in answers] == [200, 403, 401]
    shown = "".join([repr(heard), repr(guard), repr(app), *(str(one.headers) + one.text for one in answers)])
    shown += "".join(str(one.error.__dict__) for one in heard if getattr(one, "error", None) is not None)
    for hidden in (secret, *tokens, *(one.rsplit(".", 1)[1] for one in tokens)):
        assert hidden not in shown
        assert hidden not in caplog.text
