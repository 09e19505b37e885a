"""Scopes on something that looks at none: the guard's own only look like protection, another scheme's are documentation."""

import logging

import pytest
from fastapi import FastAPI, Security
from fastapi.security import OAuth2AuthorizationCodeBearer
from fastapi.testclient import TestClient

from bailiwick.errors import ConfigurationError

SCHEME = OAuth2AuthorizationCodeBearer(
    authorizationUrl="a", tokenUrl="t", scopes={"theirs": "", "items": ""}, auto_error=False
)


def settled(guard, how):
    return {
        "public": lambda: guard.public("a test"),
        "optional": guard.optional,
        "requires": guard.requires,
        "requires a scope": lambda: guard.requires("items"),
    }[how]()


@pytest.fixture
def app(guard):
    app = FastAPI()

    @app.get("/theirs", dependencies=[Security(SCHEME, scopes=["theirs", "other"])])
    def theirs():
        return "theirs"

    return app


@pytest.mark.parametrize("how", ["public", "optional", "requires", "requires a scope"])
def test_scopes_that_only_another_scheme_knows_are_documentation_however_a_route_is_settled(
    how, app, guard, issuer, caplog
):
    guard.protect(app, default=settled(guard, how))

    with caplog.at_level(logging.WARNING, "bailiwick.guard"), TestClient(app) as client:
        assert client.get("/theirs", headers=issuer.bearer("items")).json() == "theirs"
        assert client.get("/theirs").status_code == (401 if "requires" in how else 200)
    said = [one.getMessage() for one in caplog.records if "not checked" in one.getMessage()]
    assert bool(said) == ("requires" in how)


@pytest.mark.parametrize("scope", ["items", "itmes"])
def test_scopes_of_the_guards_catalog_that_nothing_looks_at_are_refused_with_what_to_write(scope, app, guard):
    @app.get("/ours", dependencies=[Security(SCHEME, scopes=["theirs", scope])])
    def ours():
        return "ours"

    guard.protect(app, default=guard.requires())
    with pytest.raises(ConfigurationError, match=r"GET /ours.*Security\(guard, scopes=.*openapi_extra") as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"
