"""The authority's own pages, asked for as a browser asks, over ASGI."""

import base64
import hashlib
import html
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest

from bailiwick import Catalog, Role, Scope
from bailiwick.errors import Refused
from bailiwick.server import AuthorizationServer, Settings

CATALOG = Catalog(
    [
        Scope("notes:read", "Read your notes"),
        Scope("notes:write", "Write notes"),
        Scope("notes:share", "Share notes"),
    ],
    roles=[Role("writer", ["notes:*"]), Role("reader", ["notes:read"])],
)
PASSWORD = "correct horse battery staple"
VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
REDIRECT = "https://app.example/callback"


def fields(page):
    """The hidden fields that a page would send back."""
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: html.unescape(value) for name, value in found if name != "scope"}


class Visitor:
    """A browser: it keeps cookies, and follows only when told to."""

    def __init__(self, site, address="127.0.0.1"):
        self.site = site
        transport = httpx.ASGITransport(site.server, client=(address, 1024))
        self.http = httpx.AsyncClient(transport=transport, base_url=site.origin)

    async def authorize(self, **more):
        return await self.http.get("/auth/authorize", params=self.site.asked(**more))

    async def get(self, path, **more):
        return await self.http.get(path if path.startswith("/auth") else f"/auth{path}", **more)

    async def post(self, path, data, **more):
        return await self.http.post(f"/auth{path}", data=data, **more)

    async def login_page(self, **more):
        return await self.get((await self.authorize(**more)).headers["location"])

    async def log_in(self, page=None, name="ada", password=PASSWORD):
        page = page or await self.login_page()
        return await self.post("/login", {**fields(page), "name": name, "password": password})

    async def consent_page(self, **more):
        return await self.get((await self.log_in(await self.login_page(**more))).headers["location"])

    def cookie(self):
        return next(iter(self.http.cookies.jar)).value

    def plant(self, value):
        """Hold a cookie of somebody else's choice."""
        jar = next(iter(self.http.cookies.jar), None)
        name = jar.name if jar else self.site.cookie
        self.http.cookies.clear()
        self.http.cookies.set(name, value, domain=httpx.URL(self.site.origin).host)


@dataclass
class Document:
    body: bytes
    fresh_for: float | None


class Site:
    """An authority with a person and some clients, and a clock that stands still until it is moved."""

    def __init__(self, origin, **settings):
        self.documents, self.looked = {}, []
        self.origin = origin
        self.cookie = "__Host-bailiwick" if origin.startswith("https") else "bailiwick"
        self.now = 1_000_000.0
        issuer = f"{origin}/auth"
        self.server = AuthorizationServer(
            CATALOG, issuer=issuer, settings=Settings(issuer, **settings), now=lambda: self.now
        )
        self.visitors = []

    def put(self, client_id="https://app.example/client.json", fresh_for=None, **fields):
        """Let a document lie at an address of the web: its host's name leads nowhere, but to this test."""
        document = {"client_id": client_id, "client_name": "An app", "redirect_uris": [REDIRECT]}
        document |= {"grant_types": ["authorization_code", "refresh_token"]} | fields
        self.documents[client_id] = Document(json.dumps(document).encode(), fresh_for)
        return client_id

    async def fetch(self, url):
        self.looked.append(url)
        if url not in self.documents:
            raise Refused("invalid_client", "no", id="BW422", detail="its server answered 404")
        return self.documents[url]

    def visitor(self, address="127.0.0.1"):
        self.visitors.append(Visitor(self, address))
        return self.visitors[-1]

    async def admin(self):
        return await self.server.admin("operator:test")

    async def fill(self):
        admin = await self.admin()
        await admin.create_account("ada", PASSWORD, roles=["writer"])
        await admin.create_account("bob", PASSWORD, roles=["reader"])
        common = {"public": True, "grants": ["authorization_code", "refresh_token"], "scopes": ["notes:*"]}
        await admin.create_client("app", name="The app", redirects=[REDIRECT], **common)
        await admin.create_client("own", name="Our own", redirects=[REDIRECT], first_party=True, **common)
        await admin.create_client(
            "native",
            name="Native",
            redirects=["http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb"],
            **common,
        )
        device = ["urn:ietf:params:oauth:grant-type:device_code"]
        await admin.create_client("tv", name="The TV", public=True, grants=device, scopes=["notes:*"])

    def asked(self, **more):
        given = {
            "response_type": "code",
            "client_id": "app",
            "redirect_uri": REDIRECT,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "xyz",
        }
        return {name: value for name, value in {**given, **more}.items() if value is not None}

    async def redeem(self, code, client="app", redirect=REDIRECT):
        async with httpx.AsyncClient(transport=httpx.ASGITransport(self.server), base_url=self.origin) as http:
            return await http.post(
                "/auth/token",
                data={
                    "grant_type": "authorization_code",
                    "client_id": client,
                    "code": code,
                    "code_verifier": VERIFIER,
                    "redirect_uri": redirect,
                },
            )


@asynccontextmanager
async def opened(origin="https://id.example", **settings):
    site = Site(origin, **settings)
    async with site.server:
        if site.server.settings.metadata_documents is not None:
            vars((await site.server.open()).documents)["_fetcher"] = site
        await site.fill()
        yield site
        for visitor in site.visitors:
            await visitor.http.aclose()


@pytest.fixture
async def site():
    async with opened() as site:
        yield site


@pytest.fixture
def make_site():
    """A site around a server of the test's own."""
    return Site


@pytest.fixture
def open_site():
    return opened


@pytest.fixture
def visitor(site):
    return site.visitor()
