"""The start of an application fails with one error, which lists everything that is wrong with file and line."""

import re
from typing import Annotated

import pytest
from fastapi import APIRouter, FastAPI, Query, Security, WebSocket
from fastapi.testclient import TestClient
from starlette.responses import PlainTextResponse

from bailiwick import Principal
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard


async def handler():
    return "reached"


def failed_start(app):
    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass
    return failed.value


def failed_plan(guard, app):
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    return failed.value


def line_about(label, error):
    return next(line for line in error.description.splitlines() if line.strip().startswith(label))


def test_one_error_names_every_wrong_declaration_beside_every_unsettled_route(guard):
    app = FastAPI()
    guard.protect(app, mounts={"/nowhere": guard.public("a typing mistake")})
    router = APIRouter(prefix="/in", dependencies=[guard.requires("items")])
    inner = FastAPI()

    app.add_api_route("/unsettled", handler)
    app.add_api_route("/first", handler, dependencies=[Security(guard, scopes=["users:raed"])])
    app.add_api_route("/second", handler, dependencies=[Security(guard, scopes=["posts:raed"])])
    router.add_api_route("/public", handler, dependencies=[guard.public("no, it is not")])
    inner.add_api_route("/inner", handler, dependencies=[Security(guard, scopes=["itmes"])])

    @app.get("/hidden")
    async def hidden(caller: Annotated[str, Security(guard, scopes=["items"]), Query()] = ""):
        return caller

    @app.websocket("/ws")
    async def ws(socket: WebSocket, caller: Annotated[Principal, Security(guard, scopes=["ploughs"])]):
        await socket.accept()

    app.include_router(router)
    app.mount("/sub", inner)

    for error in (failed_start(app), failed_plan(guard, app)):
        wrong = ("GET /first", "GET /second", "GET /in/public", "GET /sub/inner", "GET /hidden", "WS /ws")
        for label in (*wrong, "GET /unsettled"):
            assert re.search(rf"\(\w+, {re.escape(__file__)}:\d+\)", line_about(label, error)), label
        assert "Did you mean 'users:read'" in line_about("GET /first", error)
        assert "Did you mean 'posts:read'" in line_about("GET /second", error)
        assert error.id == "BW100"  # there are several causes
    assert "/nowhere" in failed_plan(guard, app).description
    assert len(error.description.splitlines()) == 1 + len(wrong) + 1 + 3


def test_several_mistakes_of_one_kind_keep_their_id(guard):
    app = FastAPI()
    guard.protect(app)
    for path in ("/first", "/second"):
        app.add_api_route(path, handler, dependencies=[Security(guard, scopes=["users:raed"])])

    error = failed_start(app)

    assert error.id == "BW102"
    assert error.description.startswith("2 declarations are wrong:\n")


def test_one_route_names_each_of_its_misspelt_scopes(guard):
    app = FastAPI()
    guard.protect(app)
    app.add_api_route("/x", handler, dependencies=[Security(guard, scopes=["users:raed", "posts:raed", "items"])])

    error = failed_start(app)

    assert error.id == "BW102"
    for expected in ("GET /x", "'users:raed'", "'users:read'", "'posts:raed'", "'posts:read'", f"{__file__}:"):
        assert expected in error.description
    assert "'items'" not in error.description


def test_levels_that_exclude_each_other_name_the_route_file_and_line(guard):
    app = FastAPI(dependencies=[guard.requires(acr="gold")])
    guard.protect(app)
    app.add_api_route("/x", handler, dependencies=[guard.requires("items", acr="silver")])
    app.add_api_route("/y", handler, dependencies=[guard.requires("items", acr="bronze")])

    error = failed_start(app)

    for label in ("GET /x: ", "GET /y: "):
        assert "exclude each other" in line_about(label, error)
        assert f"{__file__}:" in line_about(label, error)


def test_what_is_wrong_in_a_mounted_protected_application_is_listed_too(catalog, issuer, guard):
    app, inner, its = FastAPI(), FastAPI(), Guard(catalog, issuer)
    guard.protect(app)
    its.protect(inner)
    inner.add_api_route("/inner", handler)
    app.mount("/sub", inner)
    app.add_api_route("/first", handler, dependencies=[Security(guard, scopes=["users:raed"])])

    error = failed_start(app)

    assert "GET /first" in error.description
    assert "MOUNT /sub" in error.description
    assert "GET /inner" in error.description


def test_a_mistake_in_a_mount_that_mounts_settles_is_not_told_as_an_unused_path(guard):
    app = FastAPI()
    guard.protect(app, mounts={"/x": guard.public("one of two")})
    app.add_api_route("/x", handler, dependencies=[Security(guard, scopes=["users:raed"])])

    assert "nothing is served" not in failed_plan(guard, app).description


def test_an_application_that_failed_to_start_serves_nothing(guard, issuer):
    app = FastAPI()
    guard.protect(app)
    app.add_api_route("/good", handler, dependencies=[guard.requires("items")])
    app.add_api_route("/first", handler, dependencies=[Security(guard, scopes=["users:raed"])])
    app.add_route("/plain", lambda _request: PlainTextResponse("reached"))
    failed_start(app)
    client = TestClient(app)

    for path in ("/good", "/first", "/plain"):
        assert client.get(path, headers=issuer.bearer("admin:*")).status_code == 500
