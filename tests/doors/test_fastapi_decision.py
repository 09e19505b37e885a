"""One decision for every door: what a 401 tells, where a WebSocket's token may stand, and what the end of a connection leaves alone."""

import asyncio
import base64
import json
import time

import pytest
from fastapi import FastAPI, WebSocket
from starlette.testclient import TestClient, WebSocketDenialResponse

from bailiwick import Catalog, Principal, ScopeSet
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard

PREFIX = "bearer.api.example.com"


def challenge_of(answer):
    return answer.headers["www-authenticate"]


# -- the scopes in a 401 -----------------------------------------------------------------------------------


def test_a_refused_token_is_told_which_scopes_the_route_needs(app, guard, issuer):
    @app.get("/x", dependencies=[guard.requires("users:read", "items")])
    async def x():
        return "reached"

    client = TestClient(app)
    for token in ("abc", issuer.token("items", lifetime=-120), issuer.token("items", aud="https://other.example")):
        answer = client.get("/x", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401
        assert 'error="invalid_token"' in challenge_of(answer)
        assert 'scope="users:read items"' in challenge_of(answer)
        assert answer.json()["scope"] == "users:read items"


def test_nothing_of_scopes_is_told_where_they_are_not_disclosed(catalog, issuer):
    guard, app = Guard(catalog, issuer, disclose_scopes=False), FastAPI()
    guard.protect(app, default=guard.requires("items"))
    app.get("/x")(lambda: "reached")
    for headers in ({}, {"Authorization": "Bearer abc"}, issuer.bearer("me")):
        answer = TestClient(app).get("/x", headers=headers)
        assert answer.status_code in {401, 403}
        assert "items" not in challenge_of(answer) + answer.text


def test_a_flood_of_forgeries_is_told_of_its_own_route_each_time(app, guard, issuer):
    for path, scope in (("/a", "items"), ("/b", "me")):
        app.get(path, dependencies=[guard.requires(scope)])(lambda: "reached")
    head, claims, signature = issuer.token("items").split(".")
    forged = {"Authorization": f"Bearer {head}.{claims}.{signature[::-1]}"}
    client = TestClient(app)
    for _ in range(3):
        assert 'scope="items"' in challenge_of(client.get("/a", headers=forged))
        assert 'scope="me"' in challenge_of(client.get("/b", headers=forged))


# -- the content of a refusal ----------------------------------------------------------------------------------


def problem(error):
    return "application/problem+json", json.dumps({"title": error.description, "type": error.id}).encode()


def test_who_renders_refusals_changes_their_content_and_nothing_else(catalog, issuer):
    guard, app = Guard(catalog, issuer, render=problem), FastAPI()
    guard.protect(app, default=guard.requires("items"))
    app.get("/x")(lambda: "reached")
    for headers, status, name in (({}, 401, "BW200"), (issuer.bearer("me"), 403, "BW300")):
        answer = TestClient(app).get("/x", headers=headers)
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.json()["type"] == name
        assert challenge_of(answer).startswith("Bearer realm=")


def test_a_renderer_that_fails_leaves_the_refusal_as_it_is(catalog, issuer, caplog):
    guard, app = Guard(catalog, issuer, render=lambda error: 1 / 0), FastAPI()
    guard.protect(app, default=guard.requires("items"))
    app.get("/x")(lambda: "reached")
    assert TestClient(app).get("/x").json()["id"] == "BW200"
    assert "render failed for BW200" in caplog.text


# -- a WebSocket's token among its sub-protocols -----------------------------------------------------------------


@pytest.fixture
def socket_app(catalog, issuer):
    guard, app = Guard(catalog, issuer, websocket_subprotocol=PREFIX), FastAPI()
    guard.protect(app)

    @app.websocket("/ws")
    async def ws(socket: WebSocket, caller: Principal = guard.requires("items")):
        seen = [name for name, _ in socket.scope["headers"]]
        await socket.accept(subprotocol=socket.scope["subprotocols"][0] if socket.scope["subprotocols"] else None)
        await socket.send_json([caller.subject, socket.scope["subprotocols"], "sec-websocket-protocol" in seen])
        await socket.close()

    return app


def carried(token):
    return f"{PREFIX}.{base64.urlsafe_b64encode(token.encode()).decode().rstrip('=')}"


def test_a_browsers_websocket_brings_its_token_as_a_subprotocol_which_nobody_else_sees(socket_app, issuer):
    token = carried(issuer.token("items"))
    with TestClient(socket_app).websocket_connect("/ws", subprotocols=["chat", token]) as socket:
        assert socket.receive_json()[1:] == [["chat"], False]
        assert socket.accepted_subprotocol == "chat"


@pytest.mark.parametrize(
    ("offered", "headers", "status"),
    [
        (lambda good: ["chat"], {}, 401),
        (lambda good: [f"{PREFIX}.***"], {}, 401),
        (lambda good: [f"{PREFIX}."], {}, 401),
        (lambda good: [carried(good), carried(good)], {}, 400),
        (lambda good: [carried(good)], {"Authorization": "Bearer x"}, 400),
        (lambda good: [f"other.{carried(good)}"], {}, 401),
    ],
    ids=["none", "not base64", "empty", "twice", "in two places", "another prefix"],
)
def test_a_bad_token_among_the_subprotocols_is_refused(socket_app, issuer, offered, headers, status):
    client = TestClient(socket_app)
    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        client.websocket_connect("/ws", subprotocols=offered(issuer.token("items")), headers=headers),
    ):
        pass
    assert refused.value.status_code == status


def test_subprotocols_are_no_credentials_unless_the_guard_says_so(catalog, issuer):
    guard, app = Guard(catalog, issuer), FastAPI()
    guard.protect(app, default=guard.requires("items"))

    @app.websocket("/ws")
    async def ws(socket: WebSocket):
        await socket.accept()

    with (
        pytest.raises(WebSocketDenialResponse) as refused,
        TestClient(app).websocket_connect("/ws", subprotocols=[carried(issuer.token("items"))]),
    ):
        pass
    assert refused.value.status_code == 401


@pytest.mark.parametrize("name", ["", "two words", "a,b", "ä"])
def test_what_is_no_name_of_a_subprotocol_is_refused(catalog, issuer, name):
    with pytest.raises(ConfigurationError, match="websocket_subprotocol"):
        PlainGuard(catalog, issuer, websocket_subprotocol=name)


# -- the end of a connection ---------------------------------------------------------------------------------------


class Yes:
    async def verify(self, token):
        return Principal("ada", ScopeSet(["items"]), expires_at=time.time() + 600)


def cancelled_when_it_ends(app, conn, messages):
    """What becomes of a connection whose task is cancelled in the turn after its application has ended."""

    async def run():
        left = list(messages)

        async def receive():
            await asyncio.sleep(0)
            return left.pop(0)

        async def send(message):
            if message["type"] == "http.response.body":
                asyncio.get_running_loop().call_soon(task.cancel)

        async def connection():
            await app(conn, receive, send)

        task = asyncio.ensure_future(connection())
        return await task

    return asyncio.run(run())


def test_what_a_websockets_handler_raises_is_not_exchanged_for_a_cancellation_that_comes_later():
    async def handler(conn, receive, send):
        await receive()
        asyncio.get_running_loop().call_soon(asyncio.current_task().cancel)
        raise LookupError("the handler's own")

    guard = PlainGuard(Catalog(["items"]), Yes())
    conn = {"type": "websocket", "headers": [(b"authorization", b"Bearer x")], "query_string": b""}
    with pytest.raises(LookupError, match="the handler's own"):
        cancelled_when_it_ends(guard.wrap(handler, "items"), conn, [{"type": "websocket.connect"}])


def test_a_whole_answer_is_not_exchanged_for_a_cancellation_that_comes_later():
    async def handler(conn, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"whole"})

    guard = PlainGuard(Catalog(["items"]), Yes())
    conn = {"type": "http", "headers": [(b"authorization", b"Bearer x")], "query_string": b""}
    assert cancelled_when_it_ends(guard.wrap(handler, "items", on_expiry="close"), conn, []) is None
