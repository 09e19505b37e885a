"""On Starlette and FasterAPI too, the start fails with one error that lists everything that is wrong, with file and line."""

import re

import pytest
from FasterAPI import Faster
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from bailiwick import fasterapi, starlette
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Security


def failed_start(app):
    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass
    return failed.value


def line_about(label, error):
    return next(line for line in error.description.splitlines() if line.strip().startswith(label))


async def handler():
    return "reached"


@pytest.fixture
def faster(catalog, issuer):
    app, guard = Faster(), fasterapi.Guard(catalog, issuer)
    guard.protect(app, mounts={"/twice": guard.requires("items"), "/sub/deep": guard.public("no")})
    return app, guard


def test_fasterapi_names_every_wrong_declaration_beside_every_unsettled_route(faster):
    app, guard = faster
    app.get("/unsettled")(handler)
    app.get("/first", dependencies=[Security(guard, scopes=["users:raed"])])(handler)
    app.get("/second", dependencies=[Security(guard, scopes=["posts:raed"])])(handler)
    app.get("/public", dependencies=[guard.public("no"), guard.requires("items")])(handler)
    app.get("/alone", dependencies=[guard.requires("items")])(handler)
    app.get("/alone", dependencies=[guard.requires("me")])(handler)

    @app.websocket("/ws")
    async def socket(ws, caller=Security(guard, scopes=["ploughs"])):
        await ws.accept()

    async def anything(conn, receive, send):
        await PlainTextResponse("inside")(conn, receive, send)

    app.mount("/twice", guard.wrap(anything, "items"))
    error = failed_start(app)
    for label in ("GET /first", "GET /second", "GET /public", "GET /alone", "WS /ws", "GET /unsettled"):
        assert re.search(rf"\(\w+, {re.escape(__file__)}:\d+\)", line_about(label, error)), label
    assert "/twice is settled twice" in line_about("MOUNT /twice", error)
    assert "Did you mean 'users:read'" in line_about("GET /first", error)
    assert error.id == "BW100"  # there are several causes
    assert len(error.description.splitlines()) == 1 + 6 + 1 + 1 + 1
    assert failed_start(app).description == error.description  # nothing of it was put in place


def test_fasterapi_lists_what_is_wrong_in_a_mounted_application_too(faster):
    app, guard = faster
    inner = Faster()
    app.get("/first", dependencies=[Security(guard, scopes=["users:raed"])])(handler)
    inner.get("/second", dependencies=[Security(guard, scopes=["posts:raed"])])(handler)
    inner.get("/third", dependencies=[Security(guard, scopes=["itmes"])])(handler)
    app.mount("/sub", inner)
    error = failed_start(app)
    assert error.id == "BW102"
    for label in ("GET /first", "GET /second", "GET /third"):
        assert __file__ in line_about(label, error), label


def test_starlette_names_every_contradiction_beside_every_unsettled_route(catalog, issuer):
    guard = starlette.Guard(catalog, issuer)

    async def one(request):
        return PlainTextResponse("one")

    shared, wrapped = Route("/shared", one), guard.wrap(PlainTextResponse("inside"), "items")
    routes = [
        Route("/unsettled", one),
        Mount("/a", routes=[shared]),
        Mount("/b", routes=[shared]),
        Mount("/twice", wrapped),
    ]
    app = Starlette(routes=routes)
    settled = {path: guard.requires("items") for path in ("/a/shared", "/twice", "/nowhere")}
    guard.protect(app, mounts=settled | {"/b/shared": guard.public("open")})
    error = failed_start(app)
    assert "GET|HEAD /a/shared and GET|HEAD /b/shared are one route" in error.description
    assert "/twice is settled twice" in error.description
    assert __file__ in line_about("GET|HEAD /unsettled", error)
    # What is wrong is not called unsettled as well.
    assert "1 reachable route(s)" in error.description
    assert error.description.count("/b/shared") == 1

    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert "settles paths at which nothing is served: /nowhere" in failed.value.description
    assert "/twice is settled twice" in failed.value.description
