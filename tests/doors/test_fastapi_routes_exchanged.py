"""What a protected application serves is exchanged underneath it: lists, routers, fallbacks, routes of other kinds.

Both doors read routes in the same way, so each test is of both, and of every release that the matrix tries.
"""

import asyncio
import contextlib
import copy
import sys
import threading
import time

import pytest
from either_side import asgi_said, over_asgi, said
from fastapi import APIRouter, FastAPI, routing
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Match, Mount, Route, Router, request_response
from starlette.testclient import TestClient

from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.guard.route_list import RouteList
from bailiwick.starlette import Guard as StarletteGuard

INCLUDED = "_IncludedRouter"  # what FastAPI puts into the list since 0.137; before, routes are declared again


def handler():
    return "reached"


class Door:
    def __init__(self, name, guard):
        self.name = name
        self.guard = guard

    def app(self, *routes, **options):
        if self.name == "starlette":
            return Starlette(routes=list(routes), **options)
        return FastAPI(routes=list(routes), openapi_url=None, **options)

    def router(self, *routes):
        return (Router if self.name == "starlette" else APIRouter)(routes=list(routes))


@pytest.fixture(params=["starlette", "fastapi"])
def door(request, catalog, issuer):
    kind = StarletteGuard if request.param == "starlette" else FastAPIGuard
    return Door(request.param, kind(catalog, issuer))


@pytest.fixture
def starlette_guard(catalog, issuer):
    return StarletteGuard(catalog, issuer)


# --- lists ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["extend", "+="])
def test_who_fails_to_add_routes_adds_none_that_nobody_hears_of(door, how):
    app = door.app(Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))

    def broken():
        yield Route("/b", said)
        raise RuntimeError("the second one cannot be made")

    def add():
        if how == "extend":
            app.router.routes.extend(broken())
        else:
            app.router.routes += broken()

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        with pytest.raises(RuntimeError):
            add()
        assert client.get("/b").status_code == 404
        app.router.routes.append(Route("/b", said))
        assert client.get("/b").status_code == 401


def test_an_order_that_fails_half_way_is_heard(door):
    app = door.app(Route("/b", said), Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))

    def key(route):
        if route.path == "/a":
            raise RuntimeError("no key")
        return route.path

    with TestClient(app) as client:
        before = door.guard.plan(app)
        with pytest.raises(RuntimeError):
            app.router.routes.sort(key=key)
        assert client.get("/a").status_code == 401
        assert door.guard.plan(app) is not before


def test_a_copy_of_the_list_is_a_list_and_may_take_its_place(door, issuer):
    app = door.app(Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))
    for copied in (copy.copy(app.router.routes), copy.deepcopy(app.router.routes)):
        assert type(copied) is list
        assert [route.path for route in copied] == ["/a"]

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        app.router.routes = copy.copy(app.router.routes)
        app.router.routes.append(Route("/b", said))
        assert client.get("/b").status_code == 401
        assert client.get("/b", headers=issuer.bearer("items")).status_code == 200


def test_a_list_that_an_included_router_exchanges_leaves_nothing_open(guard, issuer):
    app, outer, inner = FastAPI(openapi_url=None), APIRouter(), APIRouter()
    inner.add_api_route("/deep", handler)
    outer.include_router(inner)
    outer.add_api_route("/a", handler)
    app.include_router(outer)
    guard.protect(app, default=guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        assert client.get("/deep").status_code == 401
        # FastAPI builds anew what is included, because it counts fewer changes than before.
        outer.routes = [route for route in outer.routes if type(route).__name__ != INCLUDED]
        assert client.get("/a").status_code == 401
        more = APIRouter()
        for path in ("/x", "/y", "/z"):
            more.add_api_route(path, handler)
        between = APIRouter()
        between.include_router(more)
        outer.routes = [*outer.routes, *between.routes]
        for path in ("/a", "/x", "/y", "/z"):
            assert client.get(path).status_code in {401, 404}
        assert client.get("/a", headers=issuer.bearer("items")).status_code == 200


# --- routers, and what stands behind them -----------------------------------------------------------


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_router_in_the_place_of_the_applications_own_is_protected(door, issuer, when):
    app = door.app()
    door.guard.protect(app, default=door.guard.requires("items"))
    if when == "before the start":
        app.router = door.router(Route("/x", said))

    with TestClient(app) as client:
        if when == "while it runs":
            app.router = door.router(Route("/x", said))
            app.middleware_stack = None  # Starlette builds it anew, as after a late add_middleware
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=issuer.bearer("items")).status_code == 200


def test_the_start_of_an_application_with_another_router_fails_if_its_routes_are_not_settled(door):
    app = door.app()
    door.guard.protect(app)
    app.router = door.router(Route("/x", said))

    with pytest.raises(ConfigurationError, match="/x"), TestClient(app):
        pass


@pytest.mark.parametrize("when", ["before the start", "while it runs"])
def test_a_router_in_the_place_of_a_mounted_applications_own_is_protected(door, issuer, when):
    app, inner = door.app(), door.app()
    app.mount("/in", inner)
    door.guard.protect(app, default=door.guard.requires("items"))
    if when == "before the start":
        inner.router = door.router(Route("/x", said))

    with TestClient(app) as client:
        if when == "while it runs":
            inner.router = door.router(Route("/x", said))
            inner.middleware_stack = None
        assert client.get("/in/x").status_code == 401
        assert client.get("/in/x", headers=issuer.bearer("items")).status_code == 200


@pytest.mark.parametrize("where", ["", "/in"])
def test_a_fallback_that_comes_late_is_gated(door, issuer, where):
    app, inner = door.app(Route("/a", said)), door.app(Route("/a", said))
    app.mount("/in", inner)
    door.guard.protect(app, default=door.guard.requires("items"))

    with TestClient(app) as client:
        assert client.get(f"{where}/a").status_code == 401
        for _ in range(2):  # a second one takes the place of the gate in front of the first
            (inner if where else app).router.default = asgi_said
            for _ in range(3):
                assert client.get(f"{where}/nowhere").status_code == 401
                assert client.get(f"{where}/nowhere", headers=issuer.bearer("items")).status_code == 200
        plan = door.guard.plan(app)
        assert client.get(f"{where}/nowhere").status_code == 401
        assert door.guard.plan(app) is plan, "what did not change is not read again"


class Waits:
    """Middleware in which a connection waits, while something else happens."""

    meanwhile = None

    def __init__(self, app):
        self.app = app

    async def __call__(self, conn, receive, send):
        if conn["type"] == "http" and Waits.meanwhile is not None:
            Waits.meanwhile()
        await self.app(conn, receive, send)


@pytest.fixture
def meanwhile():
    def happens(what):
        Waits.meanwhile = what

    yield happens
    Waits.meanwhile = None


@pytest.mark.parametrize("whose", ["application", "router"])
def test_a_route_that_comes_while_a_request_waits_in_middleware_is_closed(door, meanwhile, whose):
    app = door.app()
    if whose == "application":
        inner = door.app(Route("/a", said))
        inner.add_middleware(Waits)
        routes = inner.router.routes
    else:
        inner = Router(routes=[Route("/a", said)], middleware=[Middleware(Waits)])
    app.mount("/in", inner)
    door.guard.protect(app, default=door.guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/in/a").status_code == 401
        routes = getattr(inner, "router", inner).routes
        meanwhile(lambda: routes.append(Route("/late", said)))
        assert client.get("/in/late").status_code == 401


def test_an_inclusion_that_changes_while_a_request_waits_leaves_nothing_open(guard, meanwhile):
    app, inner, included = FastAPI(openapi_url=None), FastAPI(openapi_url=None), APIRouter()
    included.add_api_route("/a", handler)
    inner.include_router(included)
    inner.add_middleware(Waits)
    app.mount("/in", inner)
    guard.protect(app, default=guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/in/a").status_code == 401
        # FastAPI builds all that is included anew when it matches, also what had a gate.
        meanwhile(lambda: included.add_api_route("/late", handler))
        assert client.get("/in/a").status_code == 401


def test_middleware_that_hides_what_it_wraps_hides_no_change(door, meanwhile):
    class Hides:
        __slots__ = ("_inner",)

        def __init__(self, app):
            self._inner = app

        async def __call__(self, conn, receive, send):
            await self._inner(conn, receive, send)

    app = door.app()
    inner = Router(routes=[Route("/a", said)], middleware=[Middleware(Hides)])
    app.mount("/in", inner)
    door.guard.protect(app, default=door.guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/in/a").status_code == 401
        inner.routes.append(Route("/late", said))
        assert client.get("/in/late").status_code == 401


def test_what_the_start_builds_anew_is_gated_also_if_the_plan_was_read_before(door, issuer):
    @contextlib.asynccontextmanager
    async def lifespan(app):
        for route in app.router.routes:
            if route.path == "/a":
                route.app = request_response(said)
        yield

    app = door.app(Route("/a", said), lifespan=lifespan)
    door.guard.protect(app, default=door.guard.requires("items"))
    assert [route.needs for route in door.guard.plan(app) if route.path == "/a"] == ["items"]

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        assert client.get("/a", headers=issuer.bearer("items")).status_code == 200


# --- routes of other kinds ----------------------------------------------------------------------------


class Handles(Route):
    async def handle(self, conn, receive, send):
        await asgi_said(conn, receive, send)


class Bare(BaseRoute):
    path = "/x"

    def matches(self, conn):
        return (Match.FULL if conn["path"] == self.path else Match.NONE), {}

    async def handle(self, conn, receive, send):
        await asgi_said(conn, receive, send)


def patched():
    route = Route("/x", said)
    route.handle = asgi_said
    return route


@pytest.mark.parametrize("make", [lambda: Handles("/x", said), Bare, patched], ids=["a class", "bare", "an instance"])
def test_a_route_that_handles_by_itself_is_gated_before_it_does(door, issuer, make):
    app = door.app(make())
    door.guard.protect(app, default=door.guard.requires("items"))

    for _ in range(2):
        with TestClient(app) as client:
            assert client.get("/x").status_code == 401
            assert client.get("/x", headers=issuer.bearer("posts:read")).status_code == 403
            assert client.get("/x", headers=issuer.bearer("items")).text == "reached"
            app.router.routes.append(Route("/late", said))  # all is read again, and no second gate put in front
            assert client.get("/x", headers=issuer.bearer("items")).text == "reached"


def test_a_mounted_fastapi_is_settled_as_a_whole_by_the_starlette_door(starlette_guard, issuer, tmp_path):
    (tmp_path / "index.html").write_text("reached")
    inner, included = FastAPI(openapi_url=None), APIRouter()
    included.add_api_route("/in", handler)
    inner.include_router(included)
    inner.add_api_route("/own", handler)
    paths = ["/own", "/in"]
    if hasattr(inner, "frontend"):  # served beside the list of routes
        inner.frontend("/front", directory=str(tmp_path))
        paths.append("/front/index.html")
    app = Starlette(routes=[Mount("/m", inner)])
    starlette_guard.protect(app, default=starlette_guard.requires("items"))

    with TestClient(app) as client:
        for path in paths:
            assert client.get("/m" + path).status_code == 401
            assert client.get("/m" + path, headers=issuer.bearer("items")).status_code == 200


def test_the_starlette_door_says_which_door_is_fastapis(starlette_guard):
    app = FastAPI()
    if type(app.router).app is Router.app:
        pytest.skip("this FastAPI serves what stands in its list, and nothing else")
    with pytest.raises(ConfigurationError, match=r"bailiwick\.fastapi"):
        starlette_guard.protect(app)


def test_what_stands_at_a_route_settles_no_other_that_is_made_from_it(guard, starlette_guard):
    shared = APIRouter()
    shared.add_route("/x", said)
    other = Starlette(routes=[Mount("/s", Router(routes=shared.routes))])
    starlette_guard.protect(other, default=starlette_guard.requires("items"))
    with TestClient(other) as client:
        assert client.get("/s/x").status_code == 401

    app = FastAPI(openapi_url=None)
    app.include_router(shared)  # since 0.137 with a route of its own, over the same endpoint
    guard.protect(app, default=guard.requires("users:read"))
    with TestClient(app) as client:
        assert client.get("/x").status_code == 401


def test_a_wrapping_that_an_inclusion_leaves_behind_settles_nothing(guard):
    included, route = APIRouter(), Route("/x", said)
    route.app = guard.wrap(route.app, "items")
    included.routes.append(route)
    app = FastAPI(openapi_url=None)
    app.include_router(included)
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="/x"), TestClient(app):
        pass


# --- threads ------------------------------------------------------------------------------------------


def test_a_route_is_closed_before_another_thread_can_see_it(door, issuer):
    app = door.app(Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))
    routes = app.router.routes

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        late = Route("/late", said)
        for owner in routes.owners:
            owner.gate(late)
        list.append(routes, late)  # the other thread has come as far as this, and has not said so yet
        for _ in range(2):
            assert client.get("/late").status_code == 401
            assert client.get("/late", headers=issuer.bearer("items")).status_code == 200
        assert "handle" not in vars(late), "what was read is as fast as any other"


def handled_by(route):
    """The status that a route answers with that somebody has matched."""
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(route.handle({"type": "http", "method": "GET", "path": route.path, "headers": []}, None, send))
    return [one["status"] for one in sent if one["type"] == "http.response.start"]


def test_a_route_that_left_the_list_before_it_was_read_stays_closed(door):
    app = door.app(Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/a").status_code == 401
        late = Route("/late", said)
        app.router.routes.append(late)
        app.router.routes.remove(late)  # a request that has matched it already gets no further
        assert client.get("/a").status_code == 401
        for _ in range(2):
            assert handled_by(late) == [403]


def test_routes_that_come_and_go_in_another_thread_are_never_open(door):
    app = door.app(Route("/a", said))
    door.guard.protect(app, default=door.guard.requires("items"))
    assert door.guard.plan(app)
    seen = set()
    ended = threading.Event()

    def come_and_go():
        for _ in range(150):
            app.router.routes.append(Route("/late", said))
            time.sleep(0.0003)
            app.router.routes.pop()
        ended.set()

    def ask():
        while not ended.is_set():
            seen.add(over_asgi(app, "/late")[0])

    with threads_that_take_turns_all_the_time():
        threads = [threading.Thread(target=come_and_go), threading.Thread(target=ask), threading.Thread(target=ask)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
    app.router.routes.append(Route("/late", said))
    assert over_asgi(app, "/late")[0] == 401
    assert seen <= {401, 403, 404}  # 403: it was matched, and gone before it was read


class Gating:
    """An owner of lists that counts the routes that it was given, and how often it was told of a change."""

    def __init__(self):
        self.gated = []
        self.told = 0

    def gate(self, route):
        self.gated.append(route)

    def invalidate(self):
        self.told += 1


@contextlib.contextmanager
def threads_that_take_turns_all_the_time():
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        yield
    finally:
        sys.setswitchinterval(switch)


def test_a_route_that_comes_while_another_protection_closes_the_list_is_gated_for_each():
    first = Gating()
    routes = RouteList([])
    routes.close_for(first)
    others = [Gating() for _ in range(50)]
    added = []

    def close():
        for other in others:
            routes.close_for(other)

    with threads_that_take_turns_all_the_time():
        closing = threading.Thread(target=close)
        closing.start()
        for _ in range(300):
            added.append(Route("/late", said))
            routes.append(added[-1])
        closing.join()
    assert {id(route) for route in first.gated} == {id(route) for route in added}
    assert first.told == len(added)
    for other in others:
        assert {id(route) for route in other.gated} == {id(route) for route in added}


def test_of_two_that_close_a_list_at_once_both_are_given_what_comes():
    with threads_that_take_turns_all_the_time():
        for _ in range(300):
            owners = [Gating(), Gating()]
            routes = RouteList([])
            together = threading.Barrier(2)

            def close(owner, together=together, routes=routes):
                together.wait()
                routes.close_for(owner)

            threads = [threading.Thread(target=close, args=[owner]) for owner in owners]
            for one in threads:
                one.start()
            for one in threads:
                one.join()
            routes.append(Route("/late", said))
            assert [len(owner.gated) for owner in owners] == [1, 1]


includes_live = pytest.mark.skipif(
    not hasattr(routing, INCLUDED),
    reason="FastAPI before 0.137 declares what it includes once, and serves no later change",
)


class Meanwhile(BaseRoute):
    """What another thread does after a connection has come in, and before its route is found."""

    path = "/meanwhile"

    def __init__(self):
        self.does = None

    def matches(self, conn):
        does, self.does = self.does, None
        if does is not None:
            does()
        return Match.NONE, {}


@pytest.fixture
def included(catalog, issuer):
    """An application that includes a router that includes another; `default=` alone settles what they serve."""
    inner, outer, app = APIRouter(), APIRouter(), FastAPI()
    inner.get("/inner")(handler)
    inner.add_route("/plain", said)
    outer.get("/outer")(handler)
    outer.include_router(inner)
    app.include_router(outer, prefix="/v1")
    meanwhile = Meanwhile()
    app.router.routes.insert(0, meanwhile)
    guard = FastAPIGuard(catalog, issuer)
    guard.protect(app, default=guard.requires("items"))
    return app, outer, inner, meanwhile


@includes_live
@pytest.mark.parametrize("path", ["/v1/outer", "/v1/inner", "/v1/plain"])
@pytest.mark.parametrize("which", ["outer", "inner"])
def test_an_included_router_that_changes_after_a_connection_came_in_stays_closed(included, issuer, path, which):
    app, outer, inner, meanwhile = included
    with TestClient(app) as client:
        assert client.get(path, headers=issuer.bearer("items")).status_code == 200
        for turn in range(3):
            changing = outer if which == "outer" else inner
            meanwhile.does = lambda name=f"/new{turn}", changing=changing: changing.get(name)(handler)
            assert client.get(path).status_code == 401
            assert meanwhile.does is None
            assert client.get(path, headers=issuer.bearer("items")).status_code == 200
            assert client.get(f"/v1/new{turn}").status_code == 401


@includes_live
def test_a_route_that_is_added_to_an_included_router_while_a_connection_looks_for_it_is_closed(included, issuer):
    app, outer, _, meanwhile = included
    with TestClient(app) as client:
        meanwhile.does = lambda: outer.get("/late")(handler)
        assert client.get("/v1/late").status_code == 401
        assert client.get("/v1/late", headers=issuer.bearer("items")).status_code == 200


@includes_live
def test_included_routers_change_from_threads_and_nothing_slips_through(included, issuer):
    app, outer, inner, _ = included
    over = threading.Event()
    seen: list[int] = []

    def change(router, name):
        for n in range(40):
            router.get(f"/{name}{n}")(handler)
        over.set()

    with TestClient(app) as client:
        threads = [
            threading.Thread(target=change, args=(router, name)) for router, name in ((outer, "o"), (inner, "i"))
        ]
        for thread in threads:
            thread.start()
        while not over.is_set() or len(seen) < 60:
            seen += [client.get(path).status_code for path in ("/v1/outer", "/v1/inner", "/v1/plain")]
        for thread in threads:
            thread.join()
        assert set(seen) == {401}
        assert client.get("/v1/i39", headers=issuer.bearer("items")).status_code == 200


@pytest.mark.skipif(not hasattr(FastAPI, "frontend"), reason="app.frontend() came with FastAPI 0.138")
def test_an_included_frontend_stays_closed_while_its_router_changes(included, issuer, tmp_path):
    app, outer, _, meanwhile = included
    (tmp_path / "page.html").write_text("reached")
    outer.frontend("/ui", directory=tmp_path)
    app.router.routes.append(app.router.routes.pop(0))  # meanwhile: frontends are tried after everything else
    with TestClient(app) as client:
        assert client.get("/v1/ui/page.html", headers=issuer.bearer("items")).text == "reached"
        meanwhile.does = lambda: outer.get("/late")(handler)
        assert client.get("/v1/ui/page.html").status_code == 401
        assert meanwhile.does is None
        assert client.get("/v1/ui/page.html", headers=issuer.bearer("items")).text == "reached"
