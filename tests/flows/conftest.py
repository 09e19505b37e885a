"""A real server on a free port: an API with its authority mounted, over SQLite, as somebody would run it."""

import asyncio
import socket
import threading
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Security

from bailiwick import Catalog, Principal, Role, Scope
from bailiwick.fastapi import Guard
from bailiwick.server import AuthorizationServer

CATALOG = Catalog(
    [
        Scope("notes:read", "Read notes"),
        Scope("notes:write", "Write notes"),
        Scope("notes:share", "Share notes"),
        Scope("admin:*", "Everything"),
    ],
    roles=[Role("reader", ["notes:read"]), Role("writer", ["notes:*"]), Role("admin", ["admin:*"])],
    superuser="admin:*",
)
PASSWORD = "correct horse battery staple"
SECRET = "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"


class Served(threading.Thread):
    """uvicorn in a thread of its own, and a way to run coroutines in its loop."""

    def __init__(self, app, port=0):
        super().__init__(daemon=True)
        self.sock = socket.create_server(("127.0.0.1", port))
        self.base = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self._make = app
        self._is_up = threading.Event()
        self._failed = None

    def run(self):
        async def main():
            self.loop = asyncio.get_running_loop()
            config = uvicorn.Config(self._make(self.base), log_level="error", lifespan="on")
            self.server = uvicorn.Server(config)
            startup = self.server.startup

            async def announced(sockets=None):
                await startup(sockets)
                self._is_up.set()

            self.server.startup = announced
            await self.server.serve(sockets=[self.sock])

        try:
            asyncio.run(main())
        except BaseException as error:  # noqa: BLE001 - told to whoever waits in __enter__
            self._failed = error
        finally:
            self._is_up.set()

    def __enter__(self):
        self.start()
        assert self._is_up.wait(30)
        assert self._failed is None, self._failed
        return self

    def __exit__(self, *_):
        self.server.should_exit = True
        self.join(30)
        self.sock.close()

    def ask(self, coroutine):
        """Run a coroutine in the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)


class Live:
    """The served authority as its clients see it."""

    def __init__(self, served, server):
        self.served, self.server = served, server
        self.base, self.issuer = served.base, served.base + "/auth"
        self.http = httpx.Client(base_url=served.base, timeout=30)

    def token(self, auth=None, headers=None, **form):
        return self.http.post("/auth/token", data=form, auth=auth, headers=headers)

    def log_in(self, name="ada", password=PASSWORD, **form):
        return self.token(grant_type="password", client_id="cli", username=name, password=password, **form)

    def refresh(self, token, client_id="cli", **form):
        return self.token(grant_type="refresh_token", client_id=client_id, refresh_token=token, **form)

    def introspect(self, token, **form):
        return self.http.post("/auth/introspect", data={"token": token, **form}, auth=("service", SECRET))

    def revoke(self, token, client_id="cli", **form):
        return self.http.post("/auth/revoke", data={"token": token, "client_id": client_id, **form})

    def call(self, method, path, token):
        return self.http.request(method, path, headers={"authorization": f"Bearer {token}"})

    def admin(self, act):
        """Let an operator act: `live.admin(lambda admin: admin.disable_account("ada"))`."""

        async def acting():
            return await act(await self.server.admin("operator:test"))

        return self.served.ask(acting())


def build(server):
    guard = Guard(CATALOG, server.verifier(), token_url="/auth/token")

    @asynccontextmanager
    async def people(app):
        admin = await server.admin("operator:test")
        for name, role in (("ada", "reader"), ("wim", "writer"), ("root", "admin")):
            await admin.create_account(name, PASSWORD, roles=[role])
        await admin.create_client(
            "cli",
            public=True,
            grants=["password", "refresh_token"],
            scopes=["admin:*"],
            default=["notes:*"],
            first_party=True,
        )
        await admin.create_client(
            "other", public=True, grants=["password", "refresh_token"], scopes=["notes:*"], first_party=True
        )
        await admin.create_client(
            "service", grants=["client_credentials"], scopes=["notes:*"], secret=SECRET, introspects=True
        )
        await admin.create_client(
            "nosy", grants=["client_credentials"], scopes=["notes:read"], secret="9b8a7e6d4c3b2a19080f7e6d5c5f1d0c"
        )
        yield

    app = FastAPI(lifespan=people)

    @app.get("/notes")
    async def read(caller: Annotated[Principal, Security(guard, scopes=["notes:read"])]):
        return {"caller": caller.subject, "scopes": list(caller.scopes)}

    @app.post("/notes", dependencies=[Security(guard, scopes=["notes:write"])])
    async def write():
        return "written"

    server.mount_on(app)
    guard.protect(app)
    return app


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    made = []

    def make(base):
        store = tmp_path_factory.mktemp("authority") / "authority.db"
        made.append(AuthorizationServer(CATALOG, issuer=f"{base}/auth", store=store))
        return build(made[0])

    with Served(make) as served:
        live = Live(served, made[0])
        with live.http:
            yield live


@pytest.fixture(autouse=True)
def forgotten_guesses(request):
    """The server serves a whole file of tests; what one of them guessed wrongly must not keep the next one waiting."""
    if "live" in request.fixturenames:
        live = request.getfixturevalue("live")

        async def forget():
            vars((await live.server.open()).attempts)["_wrong"].clear()

        live.served.ask(forget())
