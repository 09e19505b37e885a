"""Two guards in one application: the OpenAPI document says what each of them needs, or the application does not start."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Security
from fastapi.openapi.utils import get_openapi
from fastapi.security import APIKeyHeader, HTTPBearer
from fastapi.testclient import TestClient

from bailiwick import Principal, all_of, any_of
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard


@pytest.fixture
def guard(catalog, issuer):
    return Guard(catalog, issuer, token_url="https://one.example/token")


@pytest.fixture
def other(catalog, issuer):
    return Guard(catalog, issuer, scheme_name="two", token_url="https://two.example/token")


async def handler():
    return "reached"


def security(app, path="/x"):
    return app.openapi()["paths"][path]["get"]["security"]


def test_any_of_of_another_guard_is_written_as_alternatives(app, guard, other):
    app.add_api_route("/x", handler, dependencies=[guard.requires("items"), other.requires(any_of("me", "users:read"))])

    assert security(app) == [{"oauth2": ["items"], "two": ["me"]}, {"oauth2": ["items"], "two": ["users:read"]}]


def test_alternatives_of_both_guards_are_multiplied(app, guard, other):
    app.add_api_route(
        "/x",
        handler,
        dependencies=[
            guard.requires(any_of("items", all_of("me", "users:read"))),
            other.requires(any_of("posts:read", "posts:write")),
        ],
    )

    assert security(app) == [
        {"oauth2": ["items"], "two": ["posts:read"]},
        {"oauth2": ["items"], "two": ["posts:write"]},
        {"oauth2": ["me", "users:read"], "two": ["posts:read"]},
        {"oauth2": ["me", "users:read"], "two": ["posts:write"]},
    ]


def test_every_place_that_needs_another_guard_adds_up(app, guard, other):
    async def current(caller: Annotated[Principal, Security(other, scopes=["me"])]):
        return caller

    @app.get("/x", dependencies=[guard.requires("items"), other.requires("posts:read")])
    async def x(caller: Annotated[Principal, Security(current, scopes=["users:read"])]):
        return caller.subject

    assert security(app) == [{"oauth2": ["items"], "two": ["posts:read", "users:read", "me"]}]


def test_an_optional_caller_of_another_guard_is_an_alternative_and_its_scheme_is_described(app, guard, other):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(caller: Annotated[Principal | None, other.optional("me")]):
        return caller and caller.subject

    assert security(app) == [{"oauth2": ["items"], "two": ["me"]}, {"oauth2": ["items"]}]
    assert set(app.openapi()["components"]["securitySchemes"]) == {"oauth2", "two"}


def test_another_guard_on_a_public_route_is_described_too(app, guard, other):
    app.add_api_route(
        "/x", handler, dependencies=[guard.public("its own guard"), other.requires(any_of("items", "me"))]
    )

    assert security(app) == [{"two": ["items"]}, {"two": ["me"]}]


def test_public_belongs_to_no_guard_and_settles_a_route_whichever_made_it(app, guard, other):
    app.add_api_route("/x", handler, dependencies=[other.public("liveness probe")])

    assert TestClient(app).get("/x").json() == "reached"
    assert [route.public for route in guard.plan(app) if route.path == "/x"] == ["liveness probe"]


def test_each_guard_is_described_by_its_own_flows(app, guard, other):
    app.add_api_route("/x", handler, dependencies=[guard.requires("items"), other.requires("me")])

    schemes = app.openapi()["components"]["securitySchemes"]
    urls = {name: scheme["flows"]["password"]["tokenUrl"] for name, scheme in schemes.items()}
    assert urls == {"oauth2": "https://one.example/token", "two": "https://two.example/token"}


def test_another_scheme_is_needed_beside_an_anonymous_caller_as_well(app, guard):
    key = APIKeyHeader(name="X-Key", scheme_name="key")
    app.add_api_route("/x", handler, dependencies=[guard.optional("items"), Depends(key)])

    assert security(app) == [{"oauth2": ["items"], "key": []}, {"key": []}]


def test_the_document_describes_the_scheme_as_the_guard_was_made_also_where_the_application_writes_another(guard):
    app = FastAPI()
    guard.protect(app)
    app.add_api_route("/x", handler, dependencies=[guard.requires("items")])

    def custom():
        if not app.openapi_schema:
            app.openapi_schema = get_openapi(title="Mine", version="7", routes=app.routes)
            app.openapi_schema["components"]["securitySchemes"]["oauth2"] = {"type": "http", "scheme": "basic"}
        return app.openapi_schema

    app.openapi = custom
    document = TestClient(app).get("/openapi.json").json()

    assert document["components"]["securitySchemes"]["oauth2"]["type"] == "oauth2"


@pytest.mark.parametrize("where", ["one route", "two routes", "included", "mounted", "optional"])
def test_two_guards_of_one_name_fail_the_start_because_openapi_can_describe_but_one(app, guard, catalog, issuer, where):
    same = Guard(catalog, issuer, token_url="https://two.example/token")
    inner = FastAPI()
    if where == "one route":
        app.add_api_route("/x", handler, dependencies=[guard.requires("items"), same.requires("me")])
    elif where == "two routes":
        app.add_api_route("/y", handler, dependencies=[guard.requires("items")])
        app.add_api_route("/x", handler, dependencies=[guard.public("its own guard"), same.requires("me")])
    elif where == "optional":
        app.add_api_route("/x", handler, dependencies=[guard.requires("items"), same.optional()])
    else:
        inner.add_api_route("/x", handler, dependencies=[guard.requires("items"), Security(same, scopes=["me"])])
        if where == "included":
            app.include_router(inner.router)
        else:
            app.mount("/in", inner)

    with pytest.raises(ConfigurationError, match="'oauth2'") as refused, TestClient(app):
        pass
    assert refused.value.id == "BW106"
    assert f"{__file__}:" in refused.value.description


def test_two_other_guards_of_one_name_fail_the_start_too(app, guard, other, catalog, issuer):
    third = Guard(catalog, issuer, scheme_name="two")
    app.add_api_route("/x", handler, dependencies=[guard.requires("items"), other.requires("me")])
    app.add_api_route("/y", handler, dependencies=[guard.requires("items"), third.requires("me")])

    with pytest.raises(ConfigurationError, match=r"GET /y.*'two'"):
        guard.plan(app)


def test_another_scheme_with_the_guards_name_fails_the_start(app, guard):
    app.add_api_route("/x", handler, dependencies=[guard.requires("items"), Depends(HTTPBearer(scheme_name="oauth2"))])

    with pytest.raises(ConfigurationError, match="'oauth2'"):
        guard.plan(app)


def test_two_guards_of_one_name_are_fine_where_no_document_names_them(guard, catalog, issuer):
    same = Guard(catalog, issuer)
    undescribed = FastAPI(openapi_url=None)
    guard.protect(undescribed)
    undescribed.add_api_route("/x", handler, dependencies=[guard.requires("items"), same.requires("me")])
    client = TestClient(undescribed)
    assert client.get("/x", headers=issuer.bearer("items me")).status_code == 200
    assert client.get("/x", headers=issuer.bearer("items")).status_code == 403

    unlisted = FastAPI()
    guard.protect(unlisted)
    unlisted.add_api_route(
        "/x", handler, dependencies=[guard.requires("items"), same.requires("me")], include_in_schema=False
    )
    assert "/x" not in TestClient(unlisted).get("/openapi.json").json()["paths"]


def test_a_scope_that_another_guard_does_not_know_fails_the_start(app, guard, other):
    app.add_api_route("/x", handler, dependencies=[guard.requires("items"), Security(other, scopes=["itmes"])])

    with pytest.raises(ConfigurationError, match=r"GET /x.*'itmes'.*Did you mean 'items'"):
        guard.plan(app)
