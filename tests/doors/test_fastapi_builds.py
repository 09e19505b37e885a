"""A route's handler is built once behind its gate, however often other routes change; libraries put theirs around it at each build."""

from functools import wraps
from typing import Annotated

import pytest
from fastapi import FastAPI, Security, routing
from fastapi.testclient import TestClient

from bailiwick import Principal
from bailiwick.fastapi import Guard


@pytest.fixture
def builds(monkeypatch):
    """The handlers that were built, by name; and each build wraps the handler, as sentry-sdk does it."""
    built = []
    plain = routing.get_request_handler

    def building(dependant, *rest, **more):
        call = dependant.call

        @wraps(call)
        def observed(*given, **values):
            observed_calls.append(call.__name__)
            return call(*given, **values)

        dependant.call = observed
        built.append(call.__name__)
        return plain(dependant, *rest, **more)

    observed_calls = building.calls = []
    monkeypatch.setattr(routing, "get_request_handler", building)
    building.built = built
    return building


def add_routes(target, guard):
    @target.get("/injected")
    def injected(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @target.get("/declared", dependencies=[guard.requires("items")])
    def declared():
        return "alice"

    @target.get("/public", dependencies=[guard.public("open")])
    def public():
        return "alice"


PATHS = ("injected", "declared", "public")


@pytest.mark.parametrize("shared", [False, True], ids=["one application", "two applications"])
def test_a_handler_is_built_once_and_not_again_when_other_routes_change(catalog, issuer, builds, shared):
    guard = Guard(catalog, issuer.cached())
    app = FastAPI()
    add_routes(app, guard)
    by_fastapi = builds.built.count("injected")
    apps = [app]
    guard.protect(app)
    if shared:
        apps.append(FastAPI(routes=app.routes))
        guard.protect(apps[1])

    def ask():
        for one in apps:
            with TestClient(one) as client:
                for path in PATHS:
                    assert client.get(f"/{path}", headers=issuer.bearer("items")).json() == "alice"

    ask()
    assert [builds.built.count(path) for path in PATHS] == [by_fastapi + len(apps)] * 3

    for number in range(3):
        app.get(f"/more{number}", dependencies=[guard.public("open")])(lambda: None)
        ask()
    assert [builds.built.count(path) for path in PATHS] == [by_fastapi + len(apps)] * 3


def test_what_is_put_around_a_handler_at_each_build_stands_there_as_often_as_without_a_guard(catalog, issuer, builds):
    guard = Guard(catalog, issuer.cached())
    app = FastAPI()
    add_routes(app, guard)
    with TestClient(app) as client:
        assert client.get("/public").json() == "alice"
    unguarded = len(builds.calls)
    guard.protect(app)
    with TestClient(app) as client:
        for path in PATHS:
            for _ in range(2):
                builds.calls.clear()
                assert client.get(f"/{path}", headers=issuer.bearer("items")).json() == "alice"
                assert len(builds.calls) == unguarded == 1
                app.get(f"/more{path}{len(app.routes)}", dependencies=[guard.public("open")])(lambda: None)


def test_a_tree_that_was_changed_in_place_is_built_anew_when_the_routes_are_read(catalog, issuer, builds):
    guard = Guard(catalog, issuer.cached())
    app = FastAPI()
    guard.protect(app)
    add_routes(app, guard)

    @app.get("/narrow", dependencies=[guard.requires("me")])
    def narrow():
        return "alice"

    seen = []
    with TestClient(app) as client:
        assert client.get("/declared", headers=issuer.bearer("items")).json() == "alice"
        route = next(one for one in app.routes if one.path == "/declared")
        other = next(one for one in app.routes if one.path == "/narrow")
        route.dependant.dependencies.extend(other.dependant.dependencies)
        other.dependant.call = lambda: seen.append("called") or "another"
        app.get("/more", dependencies=[guard.public("open")])(lambda: None)
        assert client.get("/more").status_code == 200
        assert client.get("/declared", headers=issuer.bearer("items")).status_code == 403
        assert client.get("/narrow", headers=issuer.bearer("me")).json() == "another"
    assert seen == ["called"]
