"""The FasterAPI door's WebSockets: dependencies are resolved, refused before accept, closed when the token ends."""

import asyncio
from typing import Annotated

import pytest
from FasterAPI import Body, Depends, Faster, Header, HTTPException, Query, Request, WebSocket
from FasterAPI.websocket import WebSocketDisconnect as TheirDisconnect
from starlette.testclient import TestClient, WebSocketDenialResponse
from starlette.websockets import WebSocketDisconnect

from bailiwick import Principal
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Guard, Security, SecurityScopes


async def say(websocket, text):
    await websocket.accept()
    await websocket.send_text(text)
    await websocket.close()


def heard(app, path="/ws", headers=None):
    with TestClient(app).websocket_connect(path, headers=headers or {}) as socket:
        return socket.receive_text()


def denied(app, path="/ws", headers=None):
    with (
        pytest.raises(WebSocketDenialResponse) as denial,
        TestClient(app).websocket_connect(path, headers=headers or {}),
    ):
        pass
    return denial.value


def test_x20_a_websocket_is_refused_before_it_is_accepted_and_given_its_caller(app, guard, issuer):
    ran = []

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        ran.append(caller.subject)
        await say(websocket, caller.subject)

    assert heard(app, headers=issuer.bearer("items")) == "alice"
    for headers, status in [({}, 401), (issuer.bearer("me"), 403), ({"Authorization": "Bearer x"}, 401)]:
        denial = denied(app, headers=headers)
        assert denial.status_code == status
        assert denial.headers["www-authenticate"].startswith("Bearer ")
    assert ran == ["alice"]


def test_the_connection_is_handed_over_whatever_its_parameter_is_called(app, guard, issuer):
    @app.websocket("/untyped")
    async def untyped(connection, caller=guard.requires("items")):
        await say(connection, caller.subject)

    @app.websocket("/last")
    async def last(*, caller: Principal = guard.requires("items"), here: WebSocket):
        await say(here, caller.subject)

    for path in ("/untyped", "/last", "/last/"):
        assert heard(app, path, issuer.bearer("items")) == "alice"
        assert denied(app, path).status_code == 401


def test_the_connection_is_handed_over_by_position_as_fasterapi_hands_it(app, guard, issuer):
    def stranger():
        return "stranger"

    @app.websocket("/only")
    async def only(socket, /, caller: Principal = guard.requires("items")):
        await say(socket, caller.subject)

    @app.websocket("/all-only")
    async def all_only(
        socket, who: Principal = guard.requires("items"), name: str = Depends(stranger), q=Query(default="none"), x=3, /
    ):
        await say(socket, f"{who.subject} {name} {q} {x}")

    @app.websocket("/args")
    async def args(*args, caller: Principal = guard.requires("items"), q=Query(default="none")):
        await say(args[0], f"{caller.subject} {q} {len(args)}")

    @app.websocket("/after")
    async def after(caller: Principal = guard.requires("items"), name: str = Depends(stranger), *rest):
        await say(rest[0], f"{caller.subject} {name}")

    @app.websocket("/annotated")
    async def annotated(q=Query(default="none"), /, *, here: WebSocket, caller: Principal = guard.requires("items")):
        await say(here, f"{caller.subject} {q}")

    answers = {
        "/only": "alice",
        "/all-only?q=1": "alice stranger 1 3",
        "/args?q=1": "alice 1 1",
        "/after": "alice stranger",
        "/annotated?q=1": "alice 1",
    }
    for path, answer in answers.items():
        assert heard(app, path, issuer.bearer("items")) == answer
        assert denied(app, path).status_code == 401


def test_a_handler_to_which_the_connection_cannot_be_handed_is_refused_at_start(guard):
    async def nothing():
        raise AssertionError

    async def named(*, q=Query(default="none")):
        raise AssertionError

    async def only_the_caller(caller: Principal = guard.requires("items")):
        raise AssertionError

    for handler in (nothing, named, only_the_caller):
        app = Faster()
        guard.protect(app, default=guard.requires())
        app.websocket("/ws")(handler)
        with pytest.raises(ConfigurationError, match=rf"WS /ws.*{handler.__name__}.*connection") as refused:
            guard.plan(app)
        assert refused.value.id == "BW122"


def test_nested_dependencies_generators_and_scopes_work_on_a_websocket(app, guard, issuer):
    events = []

    async def current(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]):
        events.append(scopes.scope_str)
        yield caller.subject
        events.append("left")

    @app.websocket("/ws")
    async def ws(
        websocket: WebSocket,
        who: Annotated[str, Security(current, scopes=["items"])],
        request: Request,
        q: str = Query(default="none"),
        x_key: str = Header(default="none"),
    ):
        events.append("endpoint")
        await say(websocket, f"{who} {q} {x_key} {request.path}")

    assert heard(app, "/ws?q=1", issuer.bearer("items") | {"x-key": "k"}) == "alice 1 k /ws"
    assert events == ["items", "endpoint", "left"]
    assert denied(app, headers=issuer.bearer("me")).status_code == 403


def test_a_refusal_of_another_dependency_is_a_denial_as_well(app, guard, issuer):
    ran = []

    def refuses():
        raise HTTPException(status_code=409, detail="not now", headers={"X-Why": "because"})

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, _: None = Depends(refuses), caller: Principal = guard.requires("items")):
        ran.append(1)

    denial = denied(app, headers=issuer.bearer("items"))

    assert (denial.status_code, denial.json(), denial.headers["x-why"]) == (409, {"detail": "not now"}, "because")
    assert denied(app).status_code == 401
    assert ran == []


def connect(app, path, headers, extensions=None, incoming=()):
    """What the application sends to a server that may not know denial responses."""
    sent = []
    todo = iter([{"type": "websocket.connect"}, *incoming])

    async def receive():
        return next(todo, {"type": "websocket.disconnect", "code": 1005})

    async def send(message):
        sent.append(message)

    conn = {
        "type": "websocket",
        "path": path,
        "query_string": b"",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        "extensions": extensions,
    }
    asyncio.run(app(conn, receive, send))
    return sent


def test_a_server_without_denial_responses_is_told_to_close(app, guard, issuer):
    def refuses():
        raise HTTPException(status_code=409)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, _: None = Depends(refuses), caller: Principal = guard.requires("items")):
        await websocket.accept()

    for extensions in ({}, None):
        for headers in ({}, issuer.bearer("me"), issuer.bearer("items")):
            sent = connect(app, "/ws", headers, extensions)
            assert [(message["type"], message["code"]) for message in sent] == [("websocket.close", 1008)]


def test_an_in_handler_check_refuses_before_accept_and_closes_after_it(app, guard, issuer):
    @app.websocket("/before")
    async def before(websocket: WebSocket, caller: Principal = guard.requires("items")):
        caller.require("me")

    @app.websocket("/after")
    async def after(websocket: WebSocket, caller: Principal = guard.requires("items")):
        await websocket.accept()
        caller.require("me")

    assert denied(app, "/before", issuer.bearer("items")).json()["scope"] == "me"
    sent = connect(app, "/after", issuer.bearer("items"))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]
    assert (sent[1]["code"], sent[1]["reason"]) == (1008, "insufficient_scope")


def test_a_websocket_that_outlives_its_token_is_closed_with_1008(app, guard, issuer):
    cleaned = []

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await websocket.accept()
        try:
            while True:
                await websocket.receive_text()
        finally:
            cleaned.append(True)

    with TestClient(app).websocket_connect("/ws", headers=issuer.bearer("items", lifetime=2)) as socket:
        socket.send_text("hello")
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_text()
    assert closed.value.code == 1008
    assert cleaned == [True]


def test_a_websocket_lives_on_where_that_was_asked_for(catalog, issuer):
    guard = Guard(catalog, issuer, on_expiry="ignore")
    app = Faster()
    guard.protect(app)

    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Annotated[Principal, guard.requires("items")]):
        await websocket.accept()
        await asyncio.sleep(1.5)
        await websocket.send_text("still here")
        await websocket.close()

    assert heard(app, headers=issuer.bearer("items", lifetime=1)) == "still here"


def test_a_websocket_may_be_public_or_optional(app, guard, issuer):
    @app.websocket("/public")
    async def public(websocket: WebSocket, _: None = guard.public("greetings")):
        await say(websocket, f"{_}")

    @app.websocket("/optional")
    async def optional(websocket: WebSocket, caller: Principal | None = guard.optional()):
        await say(websocket, caller.subject if caller else "nobody")

    assert heard(app, "/public") == "None"
    assert heard(app, "/optional") == "nobody"
    assert heard(app, "/optional", issuer.bearer("")) == "alice"
    assert denied(app, "/optional", {"Authorization": "Bearer x"}).status_code == 401


def test_an_undeclared_websocket_stops_the_start_and_a_late_one_is_closed(app, guard, issuer):
    @app.websocket("/ws")
    async def ws(websocket: WebSocket):
        await say(websocket, "open")

    with pytest.raises(ConfigurationError, match="WS /ws"):
        guard.plan(app)
    with pytest.raises(ConfigurationError):
        connect(app, "/ws", {})

    started = Faster()
    guard.protect(started)
    guard.plan(started)

    @started.websocket("/late")
    async def late(websocket: WebSocket):
        await say(websocket, "open")

    @started.websocket("/guarded-late")
    async def guarded_late(websocket: WebSocket, caller: Principal = guard.requires("items")):
        await say(websocket, caller.subject)

    denial = denied(started, "/late", issuer.bearer("admin:*"))
    assert (denial.status_code, denial.json()["id"]) == (403, "BW303")
    assert heard(started, "/guarded-late", issuer.bearer("items")) == "alice"
    assert denied(started, "/guarded-late").status_code == 401


def test_a_websocket_has_no_body_to_read_from(app, guard):
    @app.websocket("/ws")
    async def ws(websocket: WebSocket, caller: Principal = guard.requires(), data: dict = Body()):
        await websocket.accept()

    with pytest.raises(ConfigurationError, match=r"WS /ws.*data") as refused:
        guard.plan(app)
    assert refused.value.id == "BW122"


def test_a_disconnect_and_a_fault_of_the_handler_stay_the_servers_business(app, guard, issuer):
    @app.websocket("/gone")
    async def gone(websocket: WebSocket, caller: Principal = guard.requires("items")):
        await websocket.accept()
        await websocket.receive_text()  # the connect message, which FasterAPI leaves in the queue
        await websocket.receive_text()

    @app.websocket("/broken")
    async def broken(websocket: WebSocket, caller: Principal = guard.requires("items")):
        await websocket.accept()
        raise HTTPException(status_code=500)

    with pytest.raises(TheirDisconnect):
        connect(app, "/gone", issuer.bearer("items"))
    with pytest.raises(HTTPException):
        connect(app, "/broken", issuer.bearer("items"))
