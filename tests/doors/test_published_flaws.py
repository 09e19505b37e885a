"""Flaws that were published of others, about how an API guards its routes."""

import asyncio
import time

import pytest
from either_side import connection
from fastapi import FastAPI, WebSocket
from fastapi.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from bailiwick.fastapi import Guard


@pytest.fixture
def guard(catalog, issuer):
    return Guard(catalog, issuer.cached())


@pytest.fixture
def app(guard):
    app = FastAPI()
    guard.protect(app)

    @app.post("/items", dependencies=[guard.requires("items")])
    async def add(sent: dict):
        return "in"

    return app


def unread(app, headers, method="POST", path="/items"):
    """The status of an answer to a request whose body never ends, and whose every part is an error to ask for."""
    sent = []

    async def receive():
        raise AssertionError("the body was asked for")

    async def send(message):
        sent.append(message)

    asyncio.run(app(connection(path, headers, method), receive, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    "kind",
    [
        b"multipart/form-data; boundary=" + b"x" * 60,
        b"application/x-www-form-urlencoded; " + b"!=" + b'"' + b"\\" * 65_536,
        b"application/json",
    ],
)
@pytest.mark.parametrize("name", ["CVE-2024-24762", "GHSA-2jv5-9r88-3w3p"])
def test_cve_2024_24762_ghsa_2jv5_9r88_3w3p_no_parser_sees_a_body_of_somebody_who_may_not_send_it(
    app, issuer, kind, name
):
    token = f"Bearer {issuer.token('me')}".encode()
    began = time.monotonic()
    assert unread(app, [(b"content-type", kind)]) == 401
    assert unread(app, [(b"content-type", kind), (b"authorization", b"Bearer x")]) == 401
    assert unread(app, [(b"content-type", kind), (b"authorization", token)]) == 403
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "application/geo+json"])
def test_cve_2021_32677_a_cookie_is_no_credential_so_another_site_has_nothing_to_send(app, issuer, kind):
    token = issuer.token("items")
    client = TestClient(app)
    for name in ("access_token", "token", "Authorization", "session", "bailiwick", "__Host-bailiwick"):
        client.cookies.set(name, token)
    answer = client.post(
        "/items", content=b'{"a": 1}', headers={"content-type": kind, "origin": "https://evil.example"}
    )
    assert answer.status_code == 401
    assert "error" not in answer.headers["www-authenticate"].replace("error_description", "")
    assert client.post("/items", json={"a": 1}, headers=issuer.bearer("items")).status_code == 200


@pytest.mark.parametrize("name", ["CVE-2026-33946", "GHSA-qvqr-5cv7-wh35"])
def test_cve_2026_33946_ghsa_qvqr_5cv7_wh35_a_connection_stays_its_callers_and_ends_with_their_token(
    catalog, issuer, name
):
    heard = []
    ends = int(time.time()) + 60
    app, guard = (
        FastAPI(),
        Guard(catalog, issuer.cached(), now=lambda: ends - 1),
    )  # a second is left, whenever this runs
    guard.protect(app)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller=guard.requires("items")):
        await websocket.accept()
        heard.append((caller.subject, await websocket.receive_text()))
        await asyncio.sleep(5)
        await websocket.send_text("still here")

    client = TestClient(app)
    with client.websocket_connect("/ws", headers=issuer.bearer("items", exp=ends)) as socket:
        # Somebody else's token, as good as it is, is text like any other on a connection that is open.
        socket.send_text(f"Bearer {issuer.token('items', 'mallory', lifetime=600)}")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008
    assert [subject for subject, _ in heard] == ["alice"]
