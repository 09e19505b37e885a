"""A mounted FasterAPI application that answers outside its routes is one thing, to be settled with `mounts=`."""

import pytest
from FasterAPI import Faster
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from bailiwick.errors import ConfigurationError


async def secret(conn, receive, send):
    await PlainTextResponse("SECRET")(conn, receive, send)


class Own(Faster):
    async def __call__(self, conn, receive, send):
        if conn["type"] == "http" and conn["path"] == "/secret":
            await secret(conn, receive, send)
        else:
            await super().__call__(conn, receive, send)


class OwnHandling(Faster):
    async def _handle_http(self, conn, receive, send):
        await secret(conn, receive, send)


class Answers:
    def __init__(self, app):
        self.app = app

    async def __call__(self, conn, receive, send):
        await (secret if conn["type"] == "http" else self.app)(conn, receive, send)


def with_middleware():
    app = Faster(openapi_url=None)
    app.add_middleware(Answers)
    return app


ANSWERING = {
    "__call__": lambda: Own(openapi_url=None),
    "_handle_http": lambda: OwnHandling(openapi_url=None),
    "middleware": with_middleware,
}


@pytest.mark.parametrize("how", ANSWERING)
def test_what_is_mounted_and_answers_outside_its_routes_stops_the_start(guard, how):
    app = Faster(openapi_url=None)
    app.mount("/m", ANSWERING[how]())
    guard.protect(app)
    with pytest.raises(ConfigurationError, match="MOUNT /m") as refused, TestClient(app):
        pass
    assert refused.value.id == "BW120"


@pytest.mark.parametrize("how", ANSWERING)
def test_it_is_settled_as_one_thing(guard, issuer, how):
    app = Faster(openapi_url=None)
    app.mount("/m", ANSWERING[how]())
    guard.protect(app, mounts={"/m": guard.requires("items")})
    with TestClient(app) as client:
        assert client.get("/m/secret").status_code == 401
        assert client.get("/m/secret", headers=issuer.bearer("me")).status_code == 403
        assert client.get("/m/secret", headers=issuer.bearer("items")).text == "SECRET"


def test_a_class_that_adds_something_else_is_read_route_by_route(guard, issuer):
    class Named(Faster):
        def nickname(self):
            return "named"

    app, inner = Faster(openapi_url=None), Named(openapi_url=None)

    @inner.get("/x", dependencies=[guard.requires("items")])
    async def x():
        return "reached"

    app.mount("/m", inner)
    guard.protect(app)
    with TestClient(app) as client:
        assert client.get("/m/x").status_code == 401
        assert client.get("/m/x", headers=issuer.bearer("items")).status_code == 200
