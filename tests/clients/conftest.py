"""A running server for clients that we did not write, and a browser of a few lines that fills in its forms."""

import asyncio
import html
import re
import socket
import threading
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, Security

from bailiwick import Catalog, Principal, Role, Scope, ScopeSet
from bailiwick.authority import Registration
from bailiwick.fastapi import Guard
from bailiwick.server import AuthorizationServer, Settings

CATALOG = Catalog(
    [Scope("notes:read", "Read notes"), Scope("notes:write", "Write notes"), Scope("notes:share", "Share notes")],
    roles=[Role("writer", ["notes:*"])],
)
PASSWORD = "correct horse battery staple"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"


class Served(threading.Thread):
    """uvicorn in a thread of its own, and a way to run coroutines in its loop."""

    def __init__(self, make):
        super().__init__(daemon=True)
        # The protocol is named so that asyncio sends small answers at once, as `bailiwick serve` does.
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.listen(128)
        self.base = f"http://127.0.0.1:{self.sock.getsockname()[1]}"
        self._make = make
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


class Browser:
    """Follows redirects and fills in forms, until it is sent to an address that is not the server's."""

    def __init__(self, name="ada", password=PASSWORD):
        self.name, self.password = name, password
        self.http = httpx.Client(timeout=30)
        self.pages = []

    def open(self, url, choose=None, allow=True):
        """Where a person ends who opens this address: logged in and consenting to what they choose, or to all."""
        origin = urlsplit(url).netloc
        page = self.http.get(url)
        for _ in range(10):
            if page.is_redirect:
                url = urljoin(str(page.url), page.headers["location"])
                if urlsplit(url).netloc != origin or urlsplit(url).path == "/callback":
                    return url
                page = self.http.get(url)
                continue
            assert page.status_code == 200, page.text
            self.pages.append(page.text)
            form = re.search(r"<form.*?</form>", page.text, re.DOTALL)
            # The page of a device that is done has no form, or one for nobody here.
            if form is None or not re.search(r'name="(password|decision|code)"', form[0]):
                return page.text
            page = self.submit(page, form[0], choose, allow)
        raise AssertionError(f"there is no end to {url}")

    def submit(self, page, form, choose, allow):
        fields = []
        for tag in re.findall(r"<input[^>]*>", form):
            said = {name: html.unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
            kind, name, value = said.get("type", "text"), said.get("name"), said.get("value", "")
            if name is None:
                continue
            if kind == "checkbox" and choose is not None and value not in choose:
                continue
            fields.append((name, {"name": self.name, "password": self.password}.get(name, value)))
        if 'name="decision"' in form:
            fields.append(("decision", "allow" if allow else "deny"))
        action = re.search(r'action="([^"]*)"', form)
        url = urljoin(str(page.url), html.unescape(action[1]) if action else "")
        body = httpx.QueryParams(fields)
        return self.http.post(url, content=str(body), headers={"content-type": "application/x-www-form-urlencoded"})


class Live:
    """The served authority as its clients see it."""

    secrets = {"site": "1d0c9b8a7e6d4c3b2a19080f7e6d5c5f", "service": "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"}  # noqa: RUF012 - never changed

    def __init__(self, served, server):
        self.served, self.server = served, server
        self.base, self.issuer = served.base, server.issuer
        self.http = httpx.Client(base_url=served.base, timeout=30)

    def admin(self, act):
        """Let an operator act: `live.admin(lambda admin: admin.disable_account("ada"))`."""

        async def acting():
            return await act(await self.server.admin("operator:test"))

        return self.served.ask(acting())

    def call(self, token, method="GET"):
        return self.http.request(method, "/notes", headers={"authorization": f"Bearer {token}"})

    def metadata(self):
        return self.http.get("/.well-known/oauth-authorization-server/auth").json()


def query_of(url):
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}


async def furnish(admin):
    """A person, and a client of each kind."""
    await admin.create_account("ada", PASSWORD, roles=["writer"])
    code, back = ["authorization_code", "refresh_token"], ["http://127.0.0.1/callback"]
    await admin.create_client("web", public=True, grants=code, scopes=["notes:*"], redirects=back)
    await admin.create_client("site", grants=code, scopes=["notes:*"], redirects=back, secret=Live.secrets["site"])
    await admin.create_client(
        "service",
        grants=["client_credentials"],
        scopes=["notes:read"],
        secret=Live.secrets["service"],
        introspects=True,
    )
    await admin.create_client("tv", public=True, grants=[DEVICE, "refresh_token"], scopes=["notes:*"])
    await admin.create_client(
        "cli", public=True, grants=["password", "refresh_token"], scopes=["notes:*"], first_party=True
    )


def build(server):
    guard = Guard(CATALOG, server.verifier(), token_url="/auth/token")

    @asynccontextmanager
    async def furnished(app):
        await furnish(await server.admin("operator:test"))
        yield

    app = FastAPI(lifespan=furnished)

    @app.get("/notes")
    async def read(caller: Annotated[Principal, Security(guard, scopes=["notes:read"])]):
        return {"caller": caller.subject, "client": caller.client_id, "scopes": list(caller.scopes)}

    @app.post("/notes", dependencies=[Security(guard, scopes=["notes:write"])])
    async def write():
        return "written"

    server.mount_on(app)
    guard.protect(app)
    return app


def served(folder, path, around):
    """A running server whose issuer has this path; `around` is what uvicorn gets of it."""
    made = []

    def make(base):
        issuer = base + path
        # Registration is open, which it is not by default: its endpoints are to be tried as well.
        settings = Settings(issuer, registration=Registration(ScopeSet(["notes:*"]), quota=100_000))
        made.append(AuthorizationServer(CATALOG, issuer=issuer, store=folder / "authority.db", settings=settings))
        return around(made[0])

    return Served(make), made


@pytest.fixture(scope="module")
def live(tmp_path_factory):
    """The authority mounted in an API."""
    thread, made = served(tmp_path_factory.mktemp("authority"), "/auth", build)
    with thread:
        live = Live(thread, made[0])
        with live.http:
            yield live


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The authority served by itself, below no path."""
    thread, made = served(tmp_path_factory.mktemp("alone"), "", lambda server: server)
    with thread:
        alone = Live(thread, made[0])
        alone.admin(furnish)
        with alone.http:
            yield alone


@pytest.fixture
def browser():
    browser = Browser()
    with browser.http:
        yield browser


@pytest.fixture(scope="session")
def new_browser():
    """A browser that nobody has used; whoever asks for it closes it."""
    return Browser


@pytest.fixture(scope="session")
def arrived():
    """The query of an address."""
    return query_of
