"""The applications that are measured. All answer `GET /profile` with the same 20 bytes of JSON."""

from typing import Annotated

from fastapi import FastAPI, Security
from fastapi.security import SecurityScopes

from bailiwick import Catalog, Principal
from bailiwick.fastapi import Guard
from bench import tokens

PATH = "/profile"
NAMES = [*tokens.HELD.split(), *(f"r{n // 4}:{('read', 'edit', 'drop', 'list')[n % 4]}" for n in range(9_995))]


def guard_for(app: FastAPI, scopes: int = 100, **settings) -> Guard:
    """A guard with so many catalogued scopes."""
    guard = Guard(Catalog(NAMES[:scopes]), tokens.verifier(**settings))
    guard.protect(app)
    return guard


def open_fastapi() -> FastAPI:
    app = FastAPI()

    @app.get(PATH)
    async def profile():
        return {"username": "alice"}

    return app


def declared(**settings) -> FastAPI:
    app = FastAPI()
    guard = guard_for(app, **settings)

    @app.get(PATH, dependencies=[guard.requires("users:read")])
    async def profile():
        return {"username": "alice"}

    return app


def ten_thousand() -> FastAPI:
    """As `declared`, with ten thousand catalogued scopes."""
    return declared(scopes=10_000)


def injected() -> FastAPI:
    app = FastAPI()
    guard = guard_for(app)

    @app.get(PATH)
    async def profile(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]):
        return {"username": caller.subject}

    return app


def nested() -> FastAPI:
    """Document 3's tree: three functions deep, three sets of scopes, and each function sees its own."""
    app = FastAPI()
    guard = guard_for(app)

    async def get_current_user(security_scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
        return {"user": caller.subject, "scopes": security_scopes.scopes}

    async def get_user_me(current_user: Annotated[dict, Security(get_current_user, scopes=["me"])]):
        return current_user

    @app.get(PATH)
    async def profile(
        reader: Annotated[dict, Security(get_current_user, scopes=["users:read"])],
        user_me: Annotated[dict, Security(get_user_me, scopes=["items"])],
    ):
        return {"username": user_me["user"]}

    return app


def scopes_tutorial() -> FastAPI:
    from bench.documents.scopes_tutorial import make

    return make()


def internals_page() -> FastAPI:
    from bench.documents.internals_page import make

    return make()


def pyjwt_tutorial() -> FastAPI:
    from bench.documents.pyjwt_tutorial import make

    return make()


def open_fasterapi():
    from FasterAPI import Faster

    app = Faster()

    @app.get(PATH)
    async def profile():
        return {"username": "alice"}

    return app


def fasterapi_page():
    from bench.documents.fasterapi_page import make

    return make()


def fasterapi_declared():
    from FasterAPI import Depends, Faster

    from bailiwick.fasterapi import Guard as FasterGuard

    app = Faster()
    guard = FasterGuard(Catalog(NAMES[:100]), tokens.verifier())
    guard.protect(app)

    @app.get(PATH)
    async def profile(_: dict = Depends(guard.require_scope("read:items"))):  # noqa: B008 - as the page has it
        return {"username": "alice"}

    return app
