"""One scope withdrawn, across processes: the authority in one, the API in another, the operator in a third."""

import asyncio
import runpy
import secrets
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
import pytest

from bailiwick.server import AuthorizationServer

PROCESSES = Path(__file__).parent / "processes"
CATALOG = runpy.run_path(str(PROCESSES / "catalog.py"))["CATALOG"]
PASSWORD = "correct horse battery staple"
SECRET = secrets.token_urlsafe(32)


class Process:
    """A script that prints its address."""

    def __init__(self, script, *arguments):
        self.process = subprocess.Popen(
            [sys.executable, str(PROCESSES / script), *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.said = [self.process.stdout.readline().strip()]
        self.base = self.said[0]
        assert self.base.startswith("http://127.0.0.1:"), self.base + self.process.stdout.read()
        # What else it says is read, so that it never waits for a reader.
        threading.Thread(target=lambda: self.said.extend(self.process.stdout), daemon=True).start()
        self.wait()

    def wait(self):
        end = time.monotonic() + 30
        while True:
            try:
                httpx.get(self.base + "/health")
            except httpx.HTTPError:
                assert time.monotonic() < end, self.said
                time.sleep(0.05)
            else:
                return

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


class Both:
    """The authority, the API, and the operator at the store."""

    def __init__(self, store, authority, api):
        self.store, self.issuer = store, authority.base
        self.authority = httpx.Client(base_url=authority.base, timeout=30)
        self.api = httpx.Client(base_url=api.base, timeout=30)

    def act(self, acting):
        async def as_operator():
            async with AuthorizationServer(CATALOG, issuer=self.issuer, store=self.store) as server:
                return await acting(await server.admin("operator:test"))

        return asyncio.run(as_operator())

    def token(self, **form):
        answer = self.authority.post("/token", data={"client_id": "cli", **form})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def log_in(self):
        return self.token(grant_type="password", username="wim", password=PASSWORD)

    def call(self, method, token):
        return self.api.request(method, "/notes", headers={"authorization": f"Bearer {token}"})

    def seconds_until(self, happened, patience=10.0):
        began = time.monotonic()
        while not happened():
            assert time.monotonic() - began < patience
            time.sleep(0.01)
        return time.monotonic() - began


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    store = tmp_path_factory.mktemp("authority") / "authority.db"
    with Process("authority.py", store, SECRET) as authority, Process("api.py", authority.base, SECRET) as api:
        both = Both(store, authority, api)

        async def furnish(admin):
            await admin.create_account("wim", PASSWORD, roles=["writer"])
            await admin.create_client(
                "cli", public=True, grants=["password", "refresh_token"], scopes=["notes:*"], first_party=True
            )

        both.act(furnish)
        with both.authority, both.api:
            yield both


def authorization(both):
    async def only(admin):
        (found,) = await admin.authorizations(person="wim")
        return found.id

    return both.act(only)


def test_one_scope_withdrawn_is_refused_elsewhere_within_a_second_and_the_rest_goes_on(both):
    tokens = both.log_in()
    access = tokens["access_token"]
    assert tokens["scope"] == "notes:read notes:write notes:share"
    assert both.call("GET", access).status_code == both.call("POST", access).status_code == 200
    consent = authorization(both)
    time.sleep(1.5)  # the API waits at the feed by now

    async def withdraw(admin):
        await admin.withdraw(consent, "notes:write")

    both.act(withdraw)
    took = both.seconds_until(lambda: both.call("POST", access).status_code == 403)
    assert took < 1
    refused = both.call("POST", access)
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="notes:write"' in refused.headers["www-authenticate"]
    # The other scopes are untouched: with the same token, which nobody had to exchange.
    assert both.call("GET", access).json() == {"scopes": ["notes:read", "notes:share"]}
    # The next refresh issues the rest.
    again = both.token(grant_type="refresh_token", refresh_token=tokens["refresh_token"])
    assert again["scope"] == "notes:read notes:share"
    assert both.call("GET", again["access_token"]).status_code == 200
    assert both.call("POST", again["access_token"]).status_code == 403


def test_a_token_that_its_client_revokes_is_refused_elsewhere_within_a_second(both):
    tokens = both.log_in()
    assert both.call("GET", tokens["access_token"]).status_code == 200
    time.sleep(1.2)
    both.authority.post("/revoke", data={"token": tokens["refresh_token"], "client_id": "cli"})
    took = both.seconds_until(lambda: both.call("GET", tokens["access_token"]).status_code == 401)
    assert took < 1
    refused = both.call("GET", tokens["access_token"])
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert refused.json()["id"] == "BW213"
