"""Routes that several protected applications serve: each application decides about what came in by it, in whatever way."""

import gc
import weakref
from contextlib import asynccontextmanager

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard


class Hiding:
    """Middleware that does not show what it wraps."""

    def __init__(self, wrapped):
        self._wrapped = wrapped

    async def __call__(self, conn, receive, send):
        await self._wrapped(conn, receive, send)


class Showing:
    """Middleware of the usual kind."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, conn, receive, send):
        await self.app(conn, receive, send)


class Fixed(Hiding):
    """Middleware that shows what it wraps, and lets nobody exchange it."""

    @property
    def app(self):
        return self._wrapped


def house():
    """An application with one route and one WebSocket."""
    app = FastAPI()

    @app.get("/x")
    async def x():
        return "reached"

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()
        await socket.send_text("reached")
        await socket.close()

    return app


@pytest.fixture
def guards(catalog, issuer):
    return Guard(catalog, issuer), Guard(catalog, issuer)


def asks_for(scope, app, path, issuer):
    """Insist that a path asks for this scope, and for no other."""
    client = TestClient(app)
    assert client.get(path).status_code == 401
    for one in ("items", "me"):
        answer = client.get(path, headers=issuer.bearer(one))
        assert answer.status_code == (200 if one == scope else 403), (path, one)


def socket_asks_for(scope, app, path, issuer):
    client = TestClient(app)
    with client.websocket_connect(path, headers=issuer.bearer(scope)) as socket:
        assert socket.receive_text() == "reached"
    other = {"items": "me", "me": "items"}[scope]
    for headers in ({}, issuer.bearer(other)):
        with pytest.raises(WebSocketDisconnect), client.websocket_connect(path, headers=headers):
            pass


def test_a_protected_application_in_a_protected_one_keeps_its_own_rule_for_what_both_mount(guards, issuer):
    shared, inner, outer = house(), FastAPI(), FastAPI()
    inner.mount("/s", shared)
    outer.mount("/s", shared)
    outer.mount("/in", inner)
    guards[0].protect(outer, default=guards[0].requires("items"))
    guards[1].protect(inner, default=guards[1].requires("me"))
    for _ in range(2):
        asks_for("items", outer, "/s/x", issuer)
        asks_for("me", outer, "/in/s/x", issuer)
        asks_for("me", inner, "/s/x", issuer)
        socket_asks_for("items", outer, "/s/ws", issuer)
        socket_asks_for("me", outer, "/in/s/ws", issuer)


def test_what_is_shared_after_it_was_served_answers_to_each(guards, issuer):
    shared, first, second = house(), FastAPI(), FastAPI()
    first.mount("/s", shared)
    guards[0].protect(first, default=guards[0].requires("items"))
    asks_for("items", first, "/s/x", issuer)
    guards[1].protect(second, default=guards[1].requires("me"))
    second.mount("/late", shared)
    asks_for("me", second, "/late/x", issuer)
    asks_for("items", first, "/s/x", issuer)
    socket_asks_for("me", second, "/late/ws", issuer)
    socket_asks_for("items", first, "/s/ws", issuer)


@pytest.mark.parametrize("middleware", [Hiding, Showing, Fixed])
@pytest.mark.parametrize("when", ["before", "after", "once it was read"])
def test_middleware_on_routers_hides_from_nobody_by_which_application_a_request_came_in(
    guards, issuer, middleware, when
):
    shared, first, second = house(), FastAPI(), FastAPI()
    first.mount("/s", shared)
    second.mount("/s", shared)

    def wrap():
        for app in (first, second, shared):
            app.router.middleware_stack = middleware(app.router.middleware_stack)

    if when == "before":
        wrap()
    guards[0].protect(first, default=guards[0].requires("items"))
    if when == "once it was read":
        guards[0].plan(first)
    if when != "before":
        wrap()
    guards[1].protect(second, default=guards[1].requires("me"))
    for _ in range(2):
        asks_for("items", first, "/s/x", issuer)
        asks_for("me", second, "/s/x", issuer)


@pytest.mark.parametrize("shared_first", [False, True])
def test_a_router_put_in_the_place_of_another_is_named_for_its_application_too(guards, issuer, shared_first):
    shared, first, second = house(), FastAPI(), FastAPI()
    second.mount("/s", shared)
    guards[0].protect(first, default=guards[0].requires("items"))
    guards[1].protect(second, default=guards[1].requires("me"))
    if shared_first:
        first.mount("/s", shared)
        guards[0].plan(first)
        guards[1].plan(second)
    first.router = APIRouter(dependency_overrides_provider=first)
    first.mount("/again", shared)
    for _ in range(2):
        asks_for("items", first, "/again/x", issuer)
        asks_for("me", second, "/s/x", issuer)


def test_routers_that_two_applications_exchange_before_they_are_read_are_guarded_by_their_new_ones(guards, issuer):
    first, second = house(), house()
    guards[0].protect(first, default=guards[0].requires("items"))
    guards[1].protect(second, default=guards[1].requires("me"))
    first.router, second.router = second.router, first.router
    for _ in range(2):
        asks_for("items", first, "/x", issuer)
        asks_for("me", second, "/x", issuer)


def test_a_mounted_application_that_is_protected_later_decides_for_itself_wherever_it_is_mounted(guards, issuer):
    shared, outer = house(), FastAPI()
    outer.mount("/s", shared)
    guards[0].protect(outer, default=guards[0].requires("items"))
    asks_for("items", outer, "/s/x", issuer)
    guards[1].protect(shared, default=guards[1].requires("me"))

    (entry,) = [one for one in guards[0].plan(outer) if one.path == "/s/x"]
    assert str(entry.requirement) == "me"
    asks_for("me", shared, "/x", issuer)
    asks_for("me", outer, "/s/x", issuer)


def test_routers_that_two_applications_exchange_after_their_plans_were_made_are_guarded_by_their_new_ones(
    guards, issuer
):
    first, second = house(), house()
    guards[0].protect(first, default=guards[0].requires("items"))
    guards[1].protect(second, default=guards[1].requires("me"))
    guards[0].plan(first)
    guards[1].plan(second)
    first.router, second.router = second.router, first.router
    for _ in range(2):
        asks_for("items", first, "/x", issuer)
        asks_for("me", second, "/x", issuer)


def test_one_router_for_two_protected_applications_is_refused(guards):
    first, second = house(), FastAPI()
    second.router = first.router
    guards[0].protect(first, default=guards[0].requires("items"))
    with pytest.raises(ConfigurationError, match="another protected application's"):
        guards[1].protect(second, default=guards[1].requires("me"))


def test_the_router_of_a_protected_application_goes_by_that_applications_guard_and_the_plan_says_so(guards, issuer):
    outer, inner = FastAPI(), house()
    guards[0].protect(outer, default=guards[0].requires("items"))
    guards[1].protect(inner, default=guards[1].requires("me"))
    outer.mount("/s", inner.router)

    (entry,) = [one for one in guards[0].plan(outer) if one.path == "/s/x"]
    assert str(entry.requirement) == "me"
    asks_for("me", outer, "/s/x", issuer)


def test_a_router_that_outlives_its_protected_application_stays_closed(guards):
    app = FastAPI()
    app.router = router = APIRouter()
    router.get("/x")(lambda: "reached")
    guards[0].protect(app, default=guards[0].requires("items"))

    @asynccontextmanager
    async def own(_started):
        yield

    router.lifespan_context = own
    left = weakref.ref(app)
    del app
    gc.collect()
    outer = FastAPI()
    outer.mount("/m", router)

    assert TestClient(outer).get("/m/x").status_code == 401
    assert left() is not None  # the router keeps what decides about it


@pytest.mark.parametrize("acr", ["", None, False, 0])
def test_an_acr_that_says_nothing_is_not_taken_for_none_at_all(guards, acr):
    try:
        need = guards[0].requires("items", acr=acr)
    except (TypeError, ConfigurationError):
        return
    assert need.dependency.step_up is not None
