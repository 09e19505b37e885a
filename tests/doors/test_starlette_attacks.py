"""The Starlette door under a careless developer."""

import functools

import pytest
from either_side import Passing, asgi_said, at_once, said
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse
from starlette.routing import Host, Mount, Route, Router, WebSocketRoute
from starlette.testclient import TestClient

from bailiwick import Catalog
from bailiwick.errors import ConfigurationError
from bailiwick.starlette import Guard


def test_what_opens_a_base_class_opens_none_that_is_derived_from_it(guard):
    @guard.public("health")
    class Health(HTTPEndpoint):
        async def get(self, request):
            return PlainTextResponse("well")

    class Secrets(Health):
        async def get(self, request):
            return PlainTextResponse("secret")

    app = Starlette(routes=[Route("/health", Health), Route("/secrets", Secrets)])
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="/secrets") as refused, TestClient(app):
        pass
    assert "/health" not in refused.value.description


@pytest.mark.parametrize("where", ["app", "mount", "host", "router"])
def test_a_late_route_is_closed_wherever_it_is_added_and_the_others_go_on(guard, issuer, where, caplog):
    inner = Router(routes=[Route("/old", said)]) if where == "router" else Starlette(routes=[Route("/old", said)])
    app = {
        "app": lambda: inner,
        "mount": lambda: Starlette(routes=[Mount("/in", inner)]),
        "router": lambda: Starlette(routes=[Mount("/in", inner)]),
        "host": lambda: Starlette(routes=[Host("testserver", inner)]),
    }[where]()
    prefix = "/in" if where in {"mount", "router"} else ""
    guard.protect(app, mounts={f"{prefix}/old": guard.requires("items")})

    with TestClient(app) as client:
        assert client.get(f"{prefix}/old", headers=issuer.bearer("items")).status_code == 200
        (inner if where == "router" else inner.router).routes.append(Route("/late", said))

        for _ in range(3):
            assert client.get(f"{prefix}/late").status_code == 403
            assert client.get(f"{prefix}/late", headers=issuer.bearer("admin:*")).status_code == 403
            assert client.get(f"{prefix}/old", headers=issuer.bearer("items")).status_code == 200
            assert client.get(f"{prefix}/old").status_code == 401
    assert "/late" in caplog.text


def test_a_route_exchanged_for_its_equal_is_gated_too(guard, issuer):
    app = Starlette(routes=[Route("/x", said)])
    guard.protect(app, default=guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        app.router.routes[0] = Route("/x", said)
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=issuer.bearer("items")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda routes, route: routes.append(route),
        lambda routes, route: routes.extend([route]),
        lambda routes, route: routes.insert(0, route),
        lambda routes, route: routes.__setitem__(slice(0, 1), [route]),
        lambda routes, route: routes.__iadd__([route]),
        lambda routes, route: (routes.clear(), routes.append(route)),
    ],
    ids=["append", "extend", "insert", "slice", "+=", "clear"],
)
def test_a_route_is_seen_however_it_comes_into_the_list(guard, issuer, change):
    app = Starlette(routes=[Route("/old", said)])
    guard.protect(app, default=guard.requires("items"))

    with TestClient(app) as client:
        assert client.get("/late").status_code == 404
        change(app.routes, Route("/late", said))
        assert client.get("/late").status_code == 401
        assert client.get("/late", headers=issuer.bearer("items")).status_code == 200


@pytest.mark.parametrize(
    "change",
    [
        lambda routes: routes.reverse(),
        lambda routes: routes.sort(key=lambda route: route.path, reverse=True),
        lambda routes: routes.pop(0),
        lambda routes: routes.remove(routes[0]),
        lambda routes: routes.__delitem__(0),
        lambda routes: routes.__imul__(2),
    ],
    ids=["reverse", "sort", "pop", "remove", "del", "*="],
)
def test_the_plan_follows_the_list_of_routes(guard, change):
    app = Starlette(routes=[Route("/a", said), Route("/b", said)])
    guard.protect(app, default=guard.requires("items"))
    before = [route.path for route in guard.plan(app)]

    change(app.routes)

    after = [route.path for route in guard.plan(app)]
    assert after != before
    assert after == [route.path for route in app.routes]


def test_a_route_that_takes_the_place_of_another_is_read(guard, issuer):
    @guard.public("test")
    async def old(request):
        return PlainTextResponse("old")

    app = Starlette(routes=[Route("/old", old)])
    guard.protect(app)

    with TestClient(app) as client:
        assert client.get("/old").status_code == 200

        async def other(request):
            return PlainTextResponse("reached")

        app.router.routes[0] = Route("/new", other)
        assert client.get("/new").status_code == 403
        app.router.routes = [Route("/newer", other)]
        assert client.get("/newer").status_code == 403


def test_routes_that_the_lifespan_adds_are_part_of_the_start(guard):
    from contextlib import asynccontextmanager

    @asynccontextmanager
    async def lifespan(app):
        app.router.routes.append(Route("/late", said))
        yield

    app = Starlette(lifespan=lifespan)
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="/late"), TestClient(app):
        pass


def test_the_fallback_of_a_router_is_a_reachable_route(guard, issuer):
    app = Starlette(routes=[Mount("/in", Router(default=asgi_said))])
    guard.protect(app)
    with pytest.raises(ConfigurationError, match="fallback"), TestClient(app):
        pass

    settled = Starlette(routes=[Mount("/in", Router(default=asgi_said))])
    guard.protect(settled, default=guard.requires("items"))
    client = TestClient(settled)
    assert client.get("/in/x").status_code == 401
    assert client.get("/in/x", headers=issuer.bearer("items")).text == "reached"
    assert client.get("/elsewhere").status_code == 404


def test_partials_and_methods_are_endpoints_too(guard, issuer):
    class Pages:
        async def page(self, request):
            return PlainTextResponse("page")

        async def open(self, request):
            return PlainTextResponse("open")

    async def worded(request, word):
        return PlainTextResponse(word)

    pages = Pages()
    app = Starlette(
        routes=[
            Route("/partial", guard.requires("items")(functools.partial(worded, word="partial"))),
            Route("/method", guard.requires("items")(pages.page)),
            Route("/open", guard.public("test")(pages.open)),
            Route("/open-partial", guard.public("test")(functools.partial(worded, word="open"))),
        ]
    )
    guard.protect(app)
    client = TestClient(app)

    assert client.get("/partial").status_code == client.get("/method").status_code == 401
    assert client.get("/partial", headers=issuer.bearer("items")).text == "partial"
    assert client.get("/method", headers=issuer.bearer("items")).text == "page"
    assert client.get("/open").text == client.get("/open-partial").text == "open"


def test_what_another_guard_declares_settles_nothing_here(guard, issuer):
    # Its rule is compiled against its own catalog, whose bits mean other scopes.
    other = Guard(Catalog(["users:write", "items"]), issuer)

    with pytest.raises(ConfigurationError, match="another guard"):
        guard.protect(Starlette(), default=other.requires("items"))


def test_a_path_that_settles_nothing_is_a_typing_mistake(guard):
    app = Starlette(routes=[Mount("/files", PlainTextResponse("reached"))])
    guard.protect(app, mounts={"/fiels": guard.requires("items")}, default=guard.public("test"))

    with pytest.raises(ConfigurationError, match="/fiels"), TestClient(app):
        pass


def test_the_path_of_a_mount_may_end_in_a_slash(guard, issuer):
    app = Starlette(routes=[Mount("/files", PlainTextResponse("reached"))])
    guard.protect(app, mounts={"/files/": guard.requires("items")}, default=guard.public("test"))

    assert TestClient(app).get("/files/x").status_code == 401


def test_one_application_is_protected_once(guard):
    app = Starlette()
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="already"):
        guard.protect(app)


def test_routes_shared_by_two_applications_answer_to_each(guard, issuer):
    shared = [Route("/x", said)]
    first, second = Starlette(routes=shared), Starlette(routes=shared)
    guard.protect(first, default=guard.requires("me"))
    guard.protect(second, default=guard.requires("admin:*"))

    with TestClient(first) as client:
        assert client.get("/x", headers=issuer.bearer("me")).status_code == 200
        with TestClient(second) as other:
            assert other.get("/x", headers=issuer.bearer("me")).status_code == 403
            assert other.get("/x", headers=issuer.bearer("admin:*")).status_code == 200
        assert client.get("/x", headers=issuer.bearer("me")).status_code == 200


def test_a_check_in_a_handler_of_a_mounted_application_is_answered_exactly(guard, issuer):
    async def page(request):
        guard.caller(request.scope).require("items")

    app = Starlette(routes=[Mount("/in", Starlette(routes=[Route("/x", page)]))])
    guard.protect(app, default=guard.requires())
    answer = TestClient(app).get("/in/x", headers=issuer.bearer("me"))

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_many_threads_at_the_first_request_find_no_open_moment(guard):
    app = Starlette(routes=[Route(f"/r{number}", said) for number in range(200)])
    guard.protect(app, default=guard.requires("items"))

    assert at_once(app, [f"/r{number * 20}" for number in range(8)]) == [401] * 8


def test_a_websocket_that_nobody_settled_fails_the_start(guard):
    async def socket(websocket):
        await websocket.accept()

    app = Starlette(routes=[WebSocketRoute("/ws", socket)])
    guard.protect(app)

    with pytest.raises(ConfigurationError, match="WS /ws"), TestClient(app):
        pass


def wrapped_twice(guard):
    return Mount("/files", guard.wrap(asgi_said, "items"))


def wrapped_behind_middleware(guard):
    return Mount("/files", guard.wrap(asgi_said, "items"), middleware=[Middleware(Passing)])


def wrapped_route(guard):
    return Route("/files", guard.wrap(asgi_said, "items"))


def decorated(guard):
    return Route("/files", guard.requires("items")(said))


def decorated_socket(guard):
    return WebSocketRoute("/files", guard.requires("items")(said))


@pytest.mark.parametrize(
    "route", [wrapped_twice, wrapped_behind_middleware, wrapped_route, decorated, decorated_socket]
)
@pytest.mark.parametrize("settled", [lambda guard: guard.requires("me"), lambda guard: guard.public("test")])
def test_what_is_settled_twice_fails_the_start_instead_of_losing_one_of_them(guard, route, settled):
    app = Starlette(routes=[route(guard)])
    guard.protect(app, mounts={"/files": settled(guard)})

    with pytest.raises(ConfigurationError, match="/files is settled twice") as refused, TestClient(app):
        pass
    assert "mounts=" in refused.value.description
    with pytest.raises(ConfigurationError, match="twice"):
        guard.plan(app)


def test_what_is_settled_twice_at_the_root_is_named_too(guard):
    app = Starlette(routes=[Mount("/", guard.wrap(asgi_said, "items"))])
    guard.protect(app, mounts={"/": guard.requires("me")})

    with pytest.raises(ConfigurationError, match=r"^/ is settled twice"):
        guard.plan(app)


@pytest.mark.parametrize("route", [wrapped_twice, wrapped_behind_middleware])
def test_what_is_settled_twice_while_the_application_runs_is_closed_and_the_others_go_on(guard, issuer, route, caplog):
    app = Starlette(routes=[Route("/old", said), Mount("/files", asgi_said)])
    guard.protect(app, default=guard.requires("items"), mounts={"/files": guard.requires("me")})

    with TestClient(app) as client:
        app.router.routes.insert(0, route(guard))
        for _ in range(2):
            app.router.routes.append(Route("/another", said))
            assert client.get("/files", headers=issuer.bearer("admin:*")).status_code == 403
            assert client.get("/old", headers=issuer.bearer("items")).status_code == 200
    assert "/files is settled twice" in caplog.text


def test_a_wrapped_mount_behind_middleware_is_settled(guard, issuer):
    app = Starlette(routes=[wrapped_behind_middleware(guard)])
    guard.protect(app)

    with TestClient(app) as client:
        assert client.get("/files/x").status_code == 401
        assert client.get("/files/x", headers=issuer.bearer("items")).text == "reached"
    assert [route.needs for route in guard.plan(app)] == ["items"]


@pytest.mark.parametrize("late", [False, True])
def test_one_route_that_two_mounts_settle_differently_is_not_decided_by_the_last_of_them(guard, issuer, late, caplog):
    inner = Router(routes=[Route("/x", said)])
    app = Starlette(routes=[Mount("/one", inner), Mount("/other", Router(routes=[Route("/x", said)]))])
    guard.protect(app, mounts={"/one/x": guard.requires("items"), "/other/x": guard.requires("me")})
    if not late:
        app.router.routes[1] = Mount("/other", inner)
        with pytest.raises(ConfigurationError, match=r"/one/x and .*/other/x"), TestClient(app):
            pass
        return

    with TestClient(app) as client:
        assert client.get("/one/x", headers=issuer.bearer("items")).status_code == 200
        app.router.routes[1] = Mount("/other", inner)
        for path in ("/one/x", "/other/x"):
            assert client.get(path, headers=issuer.bearer("me")).status_code == 403
    assert "/other/x are one route" in caplog.text
