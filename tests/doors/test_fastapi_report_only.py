"""`protect(report_only=True)` says what would happen, and lets it not happen. Of FastAPI's door and of Starlette's."""

import pytest
from either_side import said
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.starlette import Guard as StarletteGuard


@pytest.fixture(params=["starlette", "fastapi"])
def reported(request, catalog, issuer):
    def make(*routes, **how):
        if request.param == "starlette":
            guard, app = StarletteGuard(catalog, issuer), Starlette(routes=list(routes))
        else:
            guard, app = FastAPIGuard(catalog, issuer), FastAPI(routes=list(routes), openapi_url=None)
        guard.protect(app, report_only=True, **{name: settled(guard) for name, settled in how.items()})
        return app

    return make


def test_what_would_be_refused_is_logged_and_answered_as_before(reported, issuer, caplog):
    app = reported(Route("/x", said), default=lambda guard: guard.requires("items"))
    with TestClient(app) as client:
        for headers, status in (({}, "401 BW200"), (issuer.bearer("me"), "403 BW300")):
            caplog.clear()
            assert client.get("/x", headers=headers).text == "reached"
            assert f"GET|HEAD /x would be refused: {status}" in caplog.text
        caplog.clear()
        assert client.get("/x", headers=issuer.bearer("items")).text == "reached"
        assert "refused" not in caplog.text


def test_what_is_not_settled_is_listed_at_the_start_which_goes_on(reported, caplog):
    app = reported(Route("/x", said), Mount("/in", Starlette(routes=[Route("/y", said)])))
    with TestClient(app) as client:
        assert "would not start" in caplog.text
        assert "/x" in caplog.text
        assert "/in/y" in caplog.text
        assert client.get("/x").text == "reached"
        assert client.get("/in/y").text == "reached"
        assert "GET|HEAD /in/y would be refused: 403 BW303" in caplog.text


def test_what_a_route_declares_itself_enforces_itself(guard, issuer):
    app = FastAPI()
    app.get("/x", dependencies=[guard.requires("items")])(lambda: "reached")
    guard.protect(app, report_only=True)
    with TestClient(app) as client:
        assert client.get("/x").status_code == 401
        assert client.get("/x", headers=issuer.bearer("items")).status_code == 200
