"""The FastAPI door under a hostile caller and a careless developer."""

import asyncio
import functools
import gc
import threading
import time
import weakref
from contextlib import asynccontextmanager
from typing import Annotated, Any

import httpx
import pytest
from either_side import HOSTILE_CREDENTIALS, at_once, octets_left_by, over_asgi, raw, said
from fastapi import APIRouter, Depends, FastAPI, Request, Security, WebSocket
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router

from bailiwick import Principal, any_of
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard, Ownership
from bailiwick.starlette import Guard as StarletteGuard

# -- routes that appear, change or are replaced ------------------------------------------------------------


def change_append(routes):
    routes.append(Route("/late", said))


def change_in_place(routes):
    routes[-1] = Route("/late", said)


def change_slice(routes):
    routes[-1:] = [Route("/late", said)]


def change_pop_and_append(routes):
    routes.pop()
    routes.append(Route("/late", said))


def change_insert(routes):
    routes.insert(0, Route("/late", said))


def change_iadd(routes):
    routes += [Route("/late", said)]


@pytest.mark.parametrize(
    "change",
    [change_append, change_in_place, change_slice, change_pop_and_append, change_insert, change_iadd],
)
def test_however_a_list_of_routes_is_changed_a_late_route_is_closed(app, guard, issuer, change):
    @app.get("/public", dependencies=[guard.public("test")])
    async def public():
        return "open"

    @app.get("/last", dependencies=[guard.public("test")])
    async def last():
        return "open"

    with TestClient(app) as client:
        assert client.get("/public").status_code == 200
        change(app.router.routes)

        assert client.get("/late").status_code == 403
        assert client.get("/late", headers=issuer.bearer("admin:*")).status_code == 403
        assert client.get("/public").status_code == 200


def test_a_list_of_routes_that_is_replaced_is_read_again(app, guard, issuer):
    @app.get("/public", dependencies=[guard.public("test")])
    async def public():
        return "open"

    with TestClient(app) as client:
        assert client.get("/public").status_code == 200
        app.router.routes = [*app.router.routes[:-1], Route("/late", said)]

        assert client.get("/late", headers=issuer.bearer("admin:*")).status_code == 403


def test_a_route_exchanged_for_its_equal_is_gated_too(guard, issuer):
    def found():
        return 1

    app = FastAPI()
    app.get("/x")(found)
    guard.protect(app, default=guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        app.router.routes[-1] = APIRoute("/x", found, methods=["GET"])
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=issuer.bearer("items")).status_code == 200


@pytest.mark.parametrize("kind", [Starlette, Router, FastAPI, APIRouter])
def test_a_late_route_of_a_mounted_application_is_closed(app, guard, issuer, kind):
    inner = kind()
    app.mount("/in", inner)

    with TestClient(app) as client:
        assert client.get("/in/late").status_code == 404
        routes = inner.router.routes if hasattr(inner, "router") else inner.routes
        routes.append(Route("/other", said))
        routes[-1] = Route("/late", said)

        assert client.get("/in/late", headers=issuer.bearer("admin:*")).status_code == 403


def test_a_late_mount_inside_a_mount_is_closed(app, guard, issuer):
    inner = Starlette()
    app.mount("/in", inner)

    with TestClient(app) as client:
        assert client.get("/in/x").status_code == 404
        inner.router.routes.append(Mount("/deep", routes=[Route("/late", said)]))

        assert client.get("/in/deep/late", headers=issuer.bearer("admin:*")).status_code == 403


def test_a_late_route_that_is_declared_wrongly_is_closed_and_the_others_go_on(app, guard, issuer, caplog):
    @app.get("/users", dependencies=[guard.requires("users:read")])
    async def users():
        return "users"

    with TestClient(app, raise_server_exceptions=False) as client:
        assert client.get("/users", headers=issuer.bearer("users:read")).status_code == 200

        router = APIRouter(dependencies=[guard.requires("items")])

        @router.get("/wrong", dependencies=[guard.public("both")])
        async def wrong():
            return "reached"

        app.include_router(router)

        for _ in range(3):  # the second time nothing has changed any more
            assert client.get("/wrong").status_code == 403
            assert client.get("/wrong", headers=issuer.bearer("admin:*")).status_code == 403
        assert client.get("/users", headers=issuer.bearer("users:read")).status_code == 200
    assert "GET /wrong is declared public" in caplog.text


def test_a_route_that_is_added_while_another_thread_compiles_is_closed(app, guard, issuer):
    for number in range(300):
        app.add_api_route(f"/r{number}", lambda: "open", dependencies=[guard.public("test")])
    reached = []
    with TestClient(app) as client:
        assert client.get("/r0").status_code == 200
        for turn in range(4):
            app.router.routes.insert(0, Route(f"/late{turn}", said))
            wait = threading.Barrier(6)

            def ask(path=f"/late{turn}", wait=wait):
                wait.wait()
                reached.extend(over_asgi(app, path)[0] for _ in range(3))

            threads = [threading.Thread(target=ask) for _ in range(6)]
            for one in threads:
                one.start()
            for one in threads:
                one.join()

    assert set(reached) == {403}


def test_many_threads_at_the_first_request_find_no_open_moment(guard):
    app = FastAPI()
    guard.protect(app, default=guard.requires("items"))
    for number in range(200):
        app.add_api_route(f"/r{number}", lambda: "reached")

    assert at_once(app, [f"/r{number * 20}" for number in range(8)]) == [401] * 8


def test_routes_that_the_lifespan_adds_are_part_of_the_start(guard):
    @asynccontextmanager
    async def lifespan(app):
        app.add_api_route("/late", lambda: "reached")
        yield

    app = FastAPI(lifespan=lifespan)
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="GET /late"), TestClient(app):
        pass


def test_a_startup_that_builds_a_routes_application_anew_does_not_take_its_gate_away(guard, issuer):
    # As pagination and tracing libraries do.
    @asynccontextmanager
    async def lifespan(app):
        for route in app.routes:
            if isinstance(route, APIRoute):
                route.app = APIRoute(route.path, route.endpoint, methods=route.methods).app
        yield

    app = FastAPI(lifespan=lifespan)
    guard.protect(app, default=guard.requires("items"))

    @app.get("/x")
    async def x():
        return "reached"

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=issuer.bearer("me")).status_code == 403
        assert client.get("/x", headers=issuer.bearer("items")).status_code == 200


def test_a_dependency_that_the_startup_adds_to_every_route_runs(guard, issuer):
    from fastapi.dependencies.utils import get_parameterless_sub_dependant

    ran = []

    def audit():
        ran.append("audit")

    @asynccontextmanager
    async def lifespan(app):
        for route in app.routes:
            if isinstance(route, APIRoute):
                route.dependant.dependencies.insert(
                    0, get_parameterless_sub_dependant(depends=Depends(audit), path=route.path_format)
                )
        yield

    app = FastAPI(lifespan=lifespan)
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    with TestClient(app) as client:
        assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"
    assert ran == ["audit"]


# -- what a router can reach besides its routes ---------------------------------------------------------------


@pytest.mark.parametrize("where", ["app", "mounted", "router"])
def test_the_fallback_of_a_router_is_a_reachable_route(guard, issuer, where):
    async def fallback(conn, receive, send):
        await PlainTextResponse("reached")(conn, receive, send)

    app = FastAPI()
    if where == "app":
        app.router.default = fallback
    elif where == "mounted":
        inner = Starlette()
        inner.router.default = fallback
        app.mount("/in", inner)
    else:
        app.mount("/in", Router(default=fallback))
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="fallback"), TestClient(app):
        pass

    settled = FastAPI()
    settled.router.default = fallback
    guard.protect(settled, default=guard.requires("items"))
    client = TestClient(settled)
    assert client.get("/anything").status_code == 401
    assert client.get("/anything", headers=issuer.bearer("items")).text == "reached"


def test_routes_behind_a_host_are_guarded_by_their_declarations(app, guard, issuer):
    inner = FastAPI()

    @inner.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "reached"

    app.router.routes.append(Host("inner.example", inner))
    client = TestClient(app, base_url="http://inner.example")

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).json() == "reached"


def test_an_application_that_two_protected_ones_mount_answers_to_each_in_its_own(catalog, guard, issuer):
    shared = Starlette(routes=[Route("/x", said)])
    outside, inside = FastAPI(), FastAPI()
    outside.mount("/shared", shared)
    inside.mount("/shared", shared)
    guard.protect(outside, default=guard.requires("items"))
    guard.protect(inside, default=guard.public("inside the house"))
    out, within = TestClient(outside), TestClient(inside)

    for _ in range(2):
        assert out.get("/shared/x").status_code == 401
        assert within.get("/shared/x").status_code == 200
        assert out.get("/shared/x", headers=issuer.bearer("me")).status_code == 403
        assert out.get("/shared/x", headers=issuer.bearer("items")).status_code == 200


def test_a_plain_route_that_two_guards_protect_answers_to_each(catalog, issuer):
    route = Route("/x", said)
    first, second = Guard(catalog, issuer), Guard(catalog, issuer)
    one, two = FastAPI(routes=[route]), FastAPI(routes=[route])
    first.protect(one, default=first.requires("items"))
    second.protect(two, default=second.requires("me"))
    a, b = TestClient(one), TestClient(two)

    for _ in range(2):
        assert a.get("/x", headers=issuer.bearer("me")).status_code == 403
        assert b.get("/x", headers=issuer.bearer("me")).status_code == 200
        assert b.get("/x", headers=issuer.bearer("items")).status_code == 403
        assert a.get("/x", headers=issuer.bearer("items")).status_code == 200


def test_an_application_wrapped_by_hand_is_settled_also_as_a_route(app, guard, issuer):
    app.router.routes.append(Route("/x", guard.wrap(PlainTextResponse("reached"), "items")))
    client = TestClient(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).text == "reached"


def test_a_plain_route_that_the_starlette_door_guards_is_settled(app, guard, catalog, issuer):
    plain = StarletteGuard(catalog, issuer)

    @plain.requires("items")
    async def function(request):
        return PlainTextResponse("reached")

    @plain.requires("items")
    class Page(HTTPEndpoint):
        async def get(self, request):
            return PlainTextResponse("reached")

    @plain.public("test")
    async def public(request):
        return PlainTextResponse("reached")

    app.router.routes += [Route("/f", function), Route("/c", Page), Route("/p", public)]
    client = TestClient(app)

    assert client.get("/f").status_code == client.get("/c").status_code == 401
    assert client.get("/p").status_code == 200
    assert client.get("/f", headers=issuer.bearer("items")).text == "reached"
    assert client.get("/c", headers=issuer.bearer("items")).text == "reached"
    assert client.get("/c", headers=issuer.bearer("me")).status_code == 403


def test_a_route_class_that_handles_by_itself_is_gated_before_it_does(guard, issuer):
    class Own(APIRoute):
        async def handle(self, scope, receive, send):
            await PlainTextResponse("reached")(scope, receive, send)

    app = FastAPI()
    app.router.route_class = Own
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "never"

    client = TestClient(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/x", headers=issuer.bearer("items")).text == "reached"


def test_what_a_route_class_wraps_around_its_application_still_runs(guard, issuer):
    passed = []

    class Limited(APIRoute):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            inner = self.app

            async def limited(scope, receive, send):
                passed.append(scope["path"])
                await inner(scope, receive, send)

            self.app = limited

    app = FastAPI()
    app.router.route_class = Limited
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    client = TestClient(app)

    assert client.get("/x").status_code == 401
    assert passed == []
    assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"
    assert passed == ["/x"]


# -- handlers of every form ------------------------------------------------------------------------------------


def test_an_async_decorator_over_a_plain_handler_is_still_awaited(app, guard, issuer):
    def cached(function):
        @functools.wraps(function)
        async def wrapper(*args, **values):
            return function(*args, **values)

        return wrapper

    @app.get("/x")
    @cached
    def x(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @cached
    def below(caller: Annotated[Principal, Security(guard, scopes=["items"])], request: Request):
        return caller.subject + request.url.path

    @app.get("/y")
    async def y(who: Annotated[str, Depends(below)], q: str = ""):
        return who

    client = TestClient(app)

    assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"
    assert client.get("/y", headers=issuer.bearer("items")).json() == "alice/y"


def test_partials_of_callable_objects_are_run_as_fastapi_runs_them(app, guard, issuer):
    class Greeter:
        async def __call__(self, word: str, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return f"{word} {caller.subject}"

    app.add_api_route("/x", functools.partial(Greeter(), word="hello"))
    client = TestClient(app)

    assert client.get("/x", headers=issuer.bearer("items")).json() == "hello alice"
    assert client.get("/x").status_code == 401


@pytest.mark.parametrize("form", ["async", "sync"])
def test_a_handler_that_streams_what_it_yields_is_given_the_caller(app, guard, issuer, form):
    if form == "async":

        async def lines(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            for number in range(3):
                yield f"{caller.subject} {number}\n"
    else:

        def lines(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            for number in range(3):
                yield f"{caller.subject} {number}\n"

    open_app = FastAPI()
    open_app.get("/x", response_class=StreamingResponse)(lambda: (yield "works\n"))
    if TestClient(open_app).get("/x").text != "works\n":
        pytest.skip("this FastAPI streams no generators")
    app.get("/x", response_class=StreamingResponse)(lines)
    client = TestClient(app)

    assert client.get("/x").status_code == 401
    answer = client.get("/x", headers=issuer.bearer("items"))
    assert answer.text == "alice 0\nalice 1\nalice 2\n"


def test_a_stream_that_is_not_read_to_its_end_closes_the_handlers_generator(app, guard, issuer):
    closed = []

    async def lines(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        try:
            for number in range(1000):
                yield f"{caller.subject} {number}\n"
                if number == 2:
                    raise RuntimeError("broken off")
        finally:
            closed.append(True)

    open_app = FastAPI()
    open_app.get("/x", response_class=StreamingResponse)(lambda: (yield "works\n"))
    if TestClient(open_app).get("/x").text != "works\n":
        pytest.skip("this FastAPI streams no generators")
    app.get("/x", response_class=StreamingResponse)(lines)

    TestClient(app, raise_server_exceptions=False).get("/x", headers=issuer.bearer("items"))

    assert closed == [True]


# -- who calls: never somebody else -----------------------------------------------------------------------------


def test_a_request_made_from_a_copied_connection_is_decided_by_its_own_token(app, guard, issuer):
    # A batch endpoint: it sends its parts through the application, each with its own headers.
    seen = []

    @app.post("/batch", dependencies=[guard.requires("me")])
    async def batch(request: Request):
        statuses = []

        async def send(message):
            if message["type"] == "http.response.start":
                statuses.append(message["status"])

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        for headers in ([], raw(issuer.bearer("me", sub="bob")), raw(issuer.bearer("items", sub="carol"))):
            part = dict(request.scope) | {"path": "/one", "raw_path": b"/one", "method": "GET", "headers": headers}
            await app(part, receive, send)
        return statuses

    @app.get("/one")
    async def one(caller: Annotated[Principal, guard.requires(any_of("me", "items"))]):
        seen.append(caller.subject)

    answer = TestClient(app).post("/batch", headers=issuer.bearer("me items"))

    assert answer.json() == [401, 200, 200]
    assert seen == ["bob", "carol"]


def test_concurrent_requests_never_see_each_others_caller(app, guard, issuer):
    async def nested(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        await asyncio.sleep(0)
        return caller.subject

    @app.get("/async")
    async def from_async(caller: Annotated[Principal, guard.requires()], below: Annotated[str, Depends(nested)]):
        await asyncio.sleep(0.001)
        return [caller.subject, below]

    @app.get("/sync")
    def from_thread(caller: Annotated[Principal, guard.requires()], below: Annotated[str, Depends(nested)]):
        time.sleep(0.001)
        return [caller.subject, below]

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

            async def ask(number):
                who = f"u{number % 7}"
                path = "/async" if number % 2 else "/sync"
                answer = await client.get(path, headers=issuer.bearer("items", sub=who))
                return answer.json() == [who, who]

            return await asyncio.gather(*(ask(number) for number in range(120)))

    assert all(asyncio.run(main()))


def test_the_caller_of_one_request_is_gone_in_the_next(app, guard, issuer):
    @app.get("/maybe")
    async def maybe(caller: Annotated[Principal | None, guard.optional()]):
        return caller and caller.subject

    with TestClient(app) as client:
        assert client.get("/maybe", headers=issuer.bearer("")).json() == "alice"
        assert client.get("/maybe").json() is None


# -- settings that are misspelt or changed -------------------------------------------------------------------------


def test_a_misspelt_on_expiry_is_refused_and_not_ignored(guard):
    with pytest.raises(ConfigurationError, match="on_expiry"):
        guard.requires("items", on_expiry="Close")
    with pytest.raises(ConfigurationError, match="on_expiry"):
        guard.wrap(said, "items", on_expiry="closed")


@pytest.mark.parametrize("age", ["60", -1, 1.5, True])
def test_an_age_that_is_no_number_of_seconds_is_refused_where_it_is_written(guard, age):
    with pytest.raises(ConfigurationError, match="max_age"):
        guard.requires("items", max_age=age)


def test_the_path_of_a_mount_may_end_in_a_slash(guard, issuer):
    app = FastAPI()
    app.mount("/files", PlainTextResponse("reached"))
    guard.protect(app, mounts={"/files/": guard.requires("items")}, default=guard.public("test"))
    client = TestClient(app)

    assert client.get("/files/x").status_code == 401
    assert client.get("/files/x", headers=issuer.bearer("items")).text == "reached"


def test_a_path_that_settles_nothing_is_a_typing_mistake_and_fails_the_start(guard):
    app = FastAPI()
    app.mount("/files", PlainTextResponse("reached"))
    guard.protect(app, mounts={"/fiels": guard.requires("items")}, default=guard.public("test"))

    with pytest.raises(ConfigurationError, match="/fiels"), TestClient(app):
        pass


def test_a_mount_that_the_lifespan_makes_may_be_settled_beforehand(guard, issuer):
    @asynccontextmanager
    async def lifespan(app):
        app.mount("/late", PlainTextResponse("reached"))
        yield

    app = FastAPI(lifespan=lifespan)
    guard.protect(app, mounts={"/late": guard.requires("items")})

    with TestClient(app) as client:
        assert client.get("/late/x").status_code == 401
        assert client.get("/late/x", headers=issuer.bearer("items")).text == "reached"


def test_a_hook_that_would_never_be_awaited_is_refused(catalog, issuer):
    async def hook(decision):
        raise AssertionError

    class Hook:
        async def __call__(self, decision):
            raise AssertionError

    for unheard in (hook, Hook(), functools.partial(hook)):
        with pytest.raises(ConfigurationError, match="on_decision"):
            Guard(catalog, issuer, on_decision=unheard)
    with pytest.raises(ConfigurationError, match="on_decision"):
        Guard(catalog, issuer, on_decision="log")


def test_a_hook_that_returns_something_to_await_denies(catalog, issuer):
    async def slow(decision):
        raise AssertionError

    guard = Guard(catalog, issuer, on_decision=lambda decision: slow(decision))  # noqa: PLW0108 - a hidden coroutine
    app = FastAPI()
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires("items")])(lambda: "reached")

    assert TestClient(app).get("/x", headers=issuer.bearer("items")).status_code == 403


@pytest.mark.parametrize("name", ["verifier", "catalog", "on_decision", "on_expiry", "resource"])
def test_what_a_guard_decides_by_cannot_be_exchanged_behind_its_gates(guard, name):
    with pytest.raises(AttributeError, match=name):
        setattr(guard, name, None)


def test_a_requirement_of_another_guard_settles_nothing_here(catalog, issuer, guard):
    other = Guard(catalog, issuer)
    with pytest.raises(ConfigurationError, match="another guard"):
        guard.protect(FastAPI(), default=other.requires("items"))


@pytest.mark.parametrize("name", ["requires", "optional", "public", "owner_or"])
def test_a_declaration_that_was_not_called_is_refused(app, guard, name):
    def start():
        @app.get("/x", dependencies=[guard.requires("items"), Depends(getattr(guard, name))])
        async def x():
            return "reached"

        with TestClient(app):
            pass

    # FastAPI refuses all but one at the declaration: it cannot make parameters of a request of theirs.
    with pytest.raises(ConfigurationError if name == "public" else Exception, match=r"guard\.public|Invalid args"):
        start()


def test_a_declaration_inside_depends_is_refused(app, guard):
    with pytest.raises(Exception, match=r"Depends|callable|dependency"):  # noqa: PT012 - wherever it is noticed

        @app.get("/x", dependencies=[Depends(guard.requires("items"))])
        async def x():
            return "reached"

        with TestClient(app):
            pass


def test_scopes_that_nothing_looks_at_are_refused_also_where_a_default_guards_the_route(guard):
    async def current_user():
        return "somebody"

    app = FastAPI()
    guard.protect(app, default=guard.requires("me"))

    @app.get("/x")
    async def x(user: Annotated[str, Security(current_user, scopes=["users:delete"])]):
        return user

    with pytest.raises(ConfigurationError, match="current_user"), TestClient(app):
        pass


# -- overrides ------------------------------------------------------------------------------------------------


def test_an_override_takes_only_its_own_requirement_with_it(app, guard, issuer):
    strict = guard.requires("posts:read", max_age=1)

    @app.get("/x", dependencies=[strict, guard.requires("items")])
    async def x():
        return "reached"

    client = TestClient(app)
    assert client.get("/x", headers=issuer.bearer("items posts:read")).status_code == 401
    app.dependency_overrides[strict.dependency] = lambda: None

    assert client.get("/x", headers=issuer.bearer("items")).status_code == 200
    assert client.get("/x", headers=issuer.bearer("posts:read")).status_code == 403
    assert client.get("/x").status_code == 401


def test_an_optional_caller_can_be_overridden_by_its_declaration(app, guard, issuer):
    maybe = guard.optional()

    @app.get("/x")
    async def x(caller: Annotated[Any, maybe]):
        return caller

    app.dependency_overrides[maybe.dependency] = lambda: "stand-in"
    client = TestClient(app)

    assert client.get("/x").json() == "stand-in"
    assert client.get("/x", headers={"Authorization": "Bearer nonsense"}).json() == "stand-in"


def test_a_stand_in_for_the_guard_is_handed_out_as_ownership_too(app, guard):
    @app.get("/posts/{owner}")
    async def post(owner: str, own: Annotated[Ownership, guard.owner_or("posts:admin", own="posts:write")]):
        own.check(owner)
        return own.caller.subject

    from bailiwick import ScopeSet

    app.dependency_overrides[guard] = lambda: Principal("alice", ScopeSet(["posts:write"]))
    client = TestClient(app)

    assert client.get("/posts/alice").json() == "alice"
    assert client.get("/posts/bob").status_code == 403


def test_overrides_that_are_taken_away_leave_nothing_open(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "reached"

    client = TestClient(app)
    for _ in range(3):
        app.dependency_overrides[guard] = lambda: None
        assert client.get("/x").status_code == 200
        app.dependency_overrides.clear()
        assert client.get("/x").status_code == 401
        app.dependency_overrides[said] = lambda: None
        assert client.get("/x").status_code == 401
        app.dependency_overrides = {}
        assert client.get("/x").status_code == 401


def test_a_new_dictionary_of_overrides_counts(app, guard):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "reached"

    client = TestClient(app)
    assert client.get("/x").status_code == 401
    app.dependency_overrides = {guard: lambda: None}
    assert client.get("/x").status_code == 200


# -- answers ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fastapi", "starlette"])
def test_a_check_in_a_handler_of_a_mounted_application_is_answered_exactly(app, guard, issuer, kind):
    if kind == "fastapi":
        inner = FastAPI()

        @inner.get("/x")
        async def x(caller: Annotated[Principal, guard.requires()]):
            caller.require("items")

    else:

        async def plain(request):
            guard.caller(request.scope).require("items")

        inner = Starlette(routes=[Route("/x", plain)])
        guard_all = {"/in/x": guard.requires()}
        app = FastAPI()
        guard.protect(app, mounts=guard_all)
    app.mount("/in", inner)

    answer = TestClient(app).get("/in/x", headers=issuer.bearer("me"))

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_a_response_that_has_not_begun_when_the_token_expires_is_401(catalog, issuer):
    clock = [time.time()]
    guard = Guard(catalog, issuer, now=lambda: clock[0])
    app = FastAPI()
    guard.protect(app)

    @app.get("/slow", dependencies=[guard.requires("items", on_expiry="close")])
    async def slow():
        await asyncio.sleep(5)

    headers = issuer.bearer("items", lifetime=60)
    clock[0] += 59.9
    started = time.monotonic()
    answer = TestClient(app).get("/slow", headers=headers)

    assert time.monotonic() - started < 4
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(("sent", "status"), HOSTILE_CREDENTIALS)
@pytest.mark.parametrize("cached", [True, False])
def test_hostile_headers_are_answered_as_the_contract_says(catalog, issuer, sent, status, cached):
    guard = Guard(catalog, issuer.cached() if cached else issuer)
    app = FastAPI()
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires("items")])(lambda: "reached")
    app.get("/maybe", dependencies=[guard.optional()])(lambda: "reached")

    for path in ("/x", "/maybe"):
        answered, headers, body = over_asgi(app, path, [(b"authorization", one) for one in sent])
        assert answered == status
        assert b"\r" not in headers[b"www-authenticate"]
        assert b"\n" not in headers[b"www-authenticate"]
        assert b"Evil" not in body


@pytest.mark.parametrize(
    "query", [b"\xff\xfe", b"access_token", b"%00", b"x" * 1_000_000, b"access_token=a&access_token=b"]
)
def test_hostile_query_strings_change_nothing(app, guard, issuer, query):
    app.get("/x", dependencies=[guard.requires("items")])(lambda: "reached")

    assert over_asgi(app, "/x", query_string=query)[0] == 401
    status = over_asgi(app, "/x", issuer.bearer("items"), query_string=query)[0]
    assert status == (400 if query.startswith(b"access_token=") else 200)


def test_an_unknown_type_of_connection_is_not_let_through(guard):
    reached = []

    async def anything(conn, receive, send):
        reached.append(conn["type"])

    async def nothing(*_):
        return {"type": "none"}

    gate = guard.wrap(anything, "items")
    with pytest.raises(RuntimeError, match="webtransport"):
        asyncio.run(gate({"type": "webtransport", "headers": [], "path": "/"}, nothing, nothing))
    assert reached == []


# -- OpenAPI ------------------------------------------------------------------------------------------------------


def test_openapi_is_true_for_paths_with_convertors(app, guard):
    @app.get("/files/{path:path}", dependencies=[guard.requires(any_of("items", "me"))])
    async def files(path: str):
        return path

    operation = app.openapi()["paths"]["/files/{path}"]["get"]

    assert operation["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me"]}]
    assert {"401", "403"} <= set(operation["responses"])


def test_openapi_is_true_where_the_application_writes_it_itself(guard):
    from fastapi.openapi.utils import get_openapi

    app = FastAPI()
    guard.protect(app)

    @app.get("/x", dependencies=[guard.requires(any_of("items", "me"))])
    async def x():
        return "reached"

    def custom():
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Mine", version="7", routes=app.routes)
        return app.openapi_schema

    app.openapi = custom
    with TestClient(app) as client:
        schema = client.get("/openapi.json").json()

    assert schema["info"]["title"] == "Mine"
    assert schema["paths"]["/x"]["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me"]}]


def test_openapi_of_a_mounted_application_is_true(app, guard):
    inner = FastAPI()

    @inner.get("/x", dependencies=[guard.requires(any_of("items", "me"))])
    async def x():
        return "reached"

    @app.get("/in/y", dependencies=[guard.requires("items")])
    async def y():
        return "reached"

    app.mount("/in", inner)
    with TestClient(app) as client:
        schema = client.get("/in/openapi.json").json()

    assert schema["paths"]["/x"]["get"]["security"] == [{"oauth2": ["items"]}, {"oauth2": ["me"]}]


def test_openapi_describes_the_route_that_answers(app, guard):
    @app.get("/in/x", dependencies=[guard.requires("items")])
    async def first():
        return "first"

    inner = FastAPI()
    inner.get("/x", dependencies=[guard.requires("me")])(lambda: "hidden behind the first")
    app.mount("/in", inner)

    assert app.openapi()["paths"]["/in/x"]["get"]["security"] == [{"oauth2": ["items"]}]


# -- nothing grows ----------------------------------------------------------------------------------------------


def test_an_application_that_is_no_longer_used_is_given_back(catalog, issuer):
    shared = APIRouter()
    guard = Guard(catalog, issuer)
    shared.get("/shared", dependencies=[guard.requires("items")])(lambda: "reached")
    mounted = Starlette(routes=[Route("/x", said)])

    def use():
        app = FastAPI()
        app.include_router(shared)
        app.mount("/in", mounted)
        guard.protect(app, default=guard.requires("me"))
        assert TestClient(app).get("/shared").status_code == 401
        assert TestClient(app).get("/in/x").status_code == 401
        return weakref.ref(app)

    left = [use() for _ in range(5)]
    gc.collect()

    assert [one() for one in left] == [None] * 5


def test_a_guard_and_its_catalog_are_given_back(issuer):
    from bailiwick import Catalog

    # Without an application: FastAPI itself remembers 4,096 callables, guards among them.
    def use():
        catalog = Catalog(["items"])
        guard = Guard(catalog, issuer)
        conn = HTTPConnection({"type": "http", "headers": raw(issuer.bearer("items"))})
        assert asyncio.run(guard(conn, SecurityScopes(["items"]))).subject == "alice"
        return weakref.ref(guard), weakref.ref(catalog)

    left = [use() for _ in range(3)]
    gc.collect()

    assert [(guard(), catalog()) for guard, catalog in left] == [(None, None)] * 3


def test_a_conversation_of_many_requests_leaves_nothing_behind(catalog, issuer):
    guard = Guard(catalog, issuer.cached(cache_size=64))
    app = FastAPI()
    guard.protect(app)
    app.get("/x", dependencies=[guard.requires(any_of("items", "me"))])(lambda: "reached")
    app.get("/maybe")(lambda caller=guard.optional(): caller and caller.subject)

    def ask(number):
        for path in ("/x", "/maybe", "/nowhere"):
            over_asgi(app, path, issuer.bearer("items", sub=f"u{number}"))
            over_asgi(app, path, [(b"authorization", b"Bearer a.b.%d" % number)])
        app.dependency_overrides = {guard: nobody} if number % 2 else {}

    def nobody():
        return None

    grown = octets_left_by(ask)

    assert grown < 100_000, f"{grown} octets for 600 requests"


def test_no_token_and_no_claim_is_in_what_a_guard_shows_or_logs(catalog, issuer, caplog):
    heard = []
    guard = Guard(catalog, issuer, on_decision=heard.append)
    app = FastAPI()
    guard.protect(app)

    @app.get("/x")
    async def x(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        heard.append(caller)
        return "reached"

    client = TestClient(app)
    secret = "s3cret-claim"
    tokens = [issuer.token(scope, private=secret) for scope in ("items", "me")]
    with caplog.at_level("DEBUG"):
        answers = [client.get("/x", headers={"Authorization": f"Bearer {one}"}) for one in [*tokens, tokens[0] + "x"]]

    assert [one.status_code for one in answers] == [200, 403, 401]
    shown = "".join(
        [repr(heard), repr(guard), repr(guard.plan(app)), *(str(one.headers) + one.text for one in answers)]
    )
    shown += "".join(str(one.error.__dict__) for one in heard if getattr(one, "error", None) is not None)
    for hidden in (secret, *tokens, *(one.rsplit(".", 1)[1] for one in tokens)):
        assert hidden not in shown
        assert hidden not in caplog.text


def test_a_fast_path_is_taken_wherever_a_route_is_fastapis_own(app, guard):
    @app.get("/plain")
    async def plain(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    router = APIRouter()

    @router.get("/included")
    async def included(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    app.include_router(router)
    with TestClient(app):
        from bailiwick.guard.protection import protection_of

        gates = [
            getattr(place.route, "app", None) or getattr(place.route, "bailiwick_gate", None)
            for place in protection_of(app).adapter.places(app)
            if place.path in {"/plain", "/included"}
        ]

    assert len(gates) == 2
    assert all(gate.__self__.app is not gate.__self__.full for gate in gates)


@pytest.mark.parametrize(
    ("scopes", "id"),
    [([], "BW103"), ((), "BW103"), ("", "BW104"), ("items", "BW104"), (iter(["items"]), "BW104")],
    ids=["list", "tuple", "empty text", "text", "iterator"],
)
@pytest.mark.parametrize("where", ["parameter", "nested", "route", "router", "app", "websocket"])
def test_an_empty_list_or_a_text_in_place_of_scopes_stops_the_start(guard, scopes, id, where):
    wrong = Security(guard, scopes=scopes)
    app = FastAPI(dependencies=[wrong] if where == "app" else [])
    router = APIRouter(dependencies=[wrong] if where == "router" else [])

    def nested(caller: Annotated[Principal, wrong]):
        return caller

    if where == "parameter":

        @app.get("/x")
        def found(caller: Annotated[Principal, wrong]):
            return 1
    elif where == "nested":

        @app.get("/x")
        def found_below(caller: Annotated[Principal, Security(nested, scopes=["items"])]):
            return 1
    elif where == "websocket":

        @app.websocket("/x")
        async def talk(socket: WebSocket, caller: Annotated[Principal, wrong]):
            await socket.accept()
    else:

        @router.get("/x", dependencies=[wrong] if where == "route" else [])
        def found_plain():
            return 1

        app.include_router(router)
    guard.protect(app)

    with pytest.raises(ConfigurationError) as refused, TestClient(app):
        pass
    assert refused.value.id == id


def test_an_empty_list_for_something_else_than_a_guard_is_nobodys_business_here(guard, issuer):
    def clock():
        return 12

    app = FastAPI()

    @app.get("/x", dependencies=[guard.requires("items")])
    def found(time: Annotated[int, Security(clock, scopes=[])]):
        return time

    guard.protect(app)
    with TestClient(app) as client:
        assert client.get("/x", headers=issuer.bearer("items")).json() == 12


def test_what_three_protected_applications_serve_is_closed_to_who_comes_around_all_of_them(catalog, issuer):
    guard = Guard(catalog, issuer)
    mounted = Starlette(routes=[Route("/x", said)])
    applications = [FastAPI() for _ in range(3)]
    for app, needed in zip(applications, ("items", "me", "items"), strict=True):
        app.mount("/in", mounted)
        guard.protect(app, default=guard.requires(needed))
    for turn in range(2):  # the first connection to each finds the others' gates, the second its own
        for app, needed in zip(applications, ("items", "me", "items"), strict=True):
            client = TestClient(app)
            assert client.get("/in/x").status_code == 401, turn
            assert client.get("/in/x", headers=issuer.bearer(needed)).status_code == 200, turn
            other = "me" if needed == "items" else "items"
            assert client.get("/in/x", headers=issuer.bearer(other)).status_code == 403, turn

    around = TestClient(mounted, raise_server_exceptions=False).get("/x", headers=issuer.bearer("items me"))
    assert (around.status_code, around.headers.get("content-type")) == (500, "application/json")
    assert "BW303" in around.text
