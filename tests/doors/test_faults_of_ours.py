"""What the developer of an API did wrong is answered 500 by every door: it tells a caller nothing of scopes."""

from typing import Annotated

import pytest
from either_side import over_asgi
from fastapi import FastAPI
from FasterAPI import Faster
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from bailiwick import Principal
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.fasterapi import Guard as FasterAPIGuard
from bailiwick.starlette import Guard as StarletteGuard

METHODS = ("has", "require")


def fastapi(guard, method, protected):
    app = FastAPI(openapi_url=None)
    if protected:
        guard.protect(app)

    @app.get("/x")
    async def x(caller: Annotated[Principal, guard.requires()]):
        getattr(caller, method)("posts:raed")

    return app


def fasterapi(guard, method, protected):
    app = Faster(openapi_url=None)
    if protected:
        guard.protect(app)
    else:
        app.add_exception_handler(BailiwickError, guard.handle_error)

    @app.get("/x")
    async def x(caller: Annotated[Principal, guard.requires()]):
        getattr(caller, method)("posts:raed")

    return app


def starlette(guard, method, protected):
    @guard.requires()
    async def x(request):
        getattr(guard.caller(request.scope), method)("posts:raed")

    app = Starlette(routes=[Route("/x", x)])
    if protected:
        guard.protect(app)
    return app


DOORS = {
    "fastapi": (FastAPIGuard, fastapi),
    "fasterapi": (FasterAPIGuard, fasterapi),
    "starlette": (StarletteGuard, starlette),
}


@pytest.mark.parametrize("disclose", [True, False])
@pytest.mark.parametrize("protected", [True, False], ids=["protected", "unprotected"])
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("door", DOORS)
def test_a_misspelt_scope_in_a_handler_is_500_and_names_no_scope(
    catalog, issuer, door, method, protected, disclose, caplog
):
    kind, build = DOORS[door]
    app = build(kind(catalog, issuer, disclose_scopes=disclose), method, protected)

    token = issuer.token("admin:*").encode()
    status, headers, body = over_asgi(app, "/x", [(b"authorization", b"Bearer " + token)])

    assert status == 500
    shown = (body + repr(headers).encode()).decode()
    for hidden in ("posts", "raed", "users", "admin", "Did you mean"):
        assert hidden not in shown
    logged = [one for one in caplog.records if one.levelname == "ERROR"]
    assert any("Did you mean 'posts:read'" in one.getMessage() for one in logged)


@pytest.mark.parametrize("method", METHODS)
def test_a_misspelt_scope_behind_a_wrapped_application_is_the_servers_to_answer(catalog, issuer, method):
    guard = PlainGuard(catalog, issuer)

    async def x(conn, receive, send):
        getattr(guard.caller(conn), method)("posts:raed")
        await PlainTextResponse("reached")(conn, receive, send)

    with pytest.raises(ConfigurationError, match="Did you mean 'posts:read'"):
        TestClient(guard.wrap(x)).get("/x", headers=issuer.bearer("admin:*"))
