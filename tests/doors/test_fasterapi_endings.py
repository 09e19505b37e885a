"""The FasterAPI door's endings: what the token's expiry cuts off and what not, and in which order the rest is left."""

import asyncio
import time

import pytest
from either_side import client_of, connection, listened_to, over_socket
from FasterAPI import (
    BackgroundTasks,
    Depends,
    EventSourceResponse,
    Faster,
    HTTPException,
    PlainTextResponse,
    StreamingResponse,
    WebSocket,
)
from starlette.testclient import TestClient

from bailiwick import Principal
from bailiwick.fasterapi import Guard

LEFT = 0.5  # seconds, of the token under test


class Own(Faster):
    """An application that handles requests in its own way: FasterAPI calls the handler, and not the fast path."""

    async def _handle_http(self, scope, receive, send):
        await super()._handle_http(scope, receive, send)


@pytest.fixture
def end():
    return int(time.time()) + 60


@pytest.fixture
def guard(catalog, issuer, end):
    return Guard(catalog, issuer, now=lambda: end - LEFT)


@pytest.fixture
def headers(issuer, end):
    return issuer.bearer("items", exp=end)


@pytest.fixture(params=[Faster, Own])
def app(request, guard):
    app = request.param()
    guard.protect(app)
    return app


@pytest.fixture
def closing(guard):
    return [guard.requires("items", on_expiry="close")]


def block():
    time.sleep(2 * LEFT)


def is_the_refusal(answer):
    return (answer.status_code, answer.json()["id"]) == (401, "BW208") and "error" in answer.headers["www-authenticate"]


# -- at the token's expiry -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [StreamingResponse, EventSourceResponse])
def test_a_stream_that_never_waits_for_anything_ends_with_its_token(app, closing, headers, kind):
    made = []

    @app.get("/x", dependencies=closing)
    async def x():
        def lines():
            for number in range(20):
                made.append(number)
                yield {"data": "line"} if kind is EventSourceResponse else "line "
                time.sleep(0.1)

        return kind(lines())

    sent = [message for _, message in listened_to(app, "/x", headers)]

    assert sent[0]["status"] == 200
    assert 1 <= len(made) < 15
    assert all(message["more_body"] for message in sent[1:])  # the server cuts it off: it did not come to its end


def test_a_response_that_shields_itself_ends_as_well(app, closing, headers):
    import anyio

    class Shielded:
        async def to_asgi(self, send):
            with anyio.CancelScope(shield=True):
                await send({"type": "http.response.start", "status": 200, "headers": []})
                for _ in range(20):
                    await send({"type": "http.response.body", "body": b"x", "more_body": True})
                    await asyncio.sleep(0.1)

    app.get("/x", dependencies=closing)(Shielded)

    sent = [message for _, message in listened_to(app, "/x", headers)]

    assert sent[0]["status"] == 200
    assert len(sent) < 15


@pytest.mark.parametrize("answers", ["a value", "a response", "an exception"])
def test_what_a_handler_answers_after_the_token_expired_is_401_even_if_it_never_waited(app, closing, headers, answers):
    @app.get("/x", dependencies=closing)
    def x():
        block()
        if answers == "an exception":
            raise HTTPException(409, "secret")
        return PlainTextResponse("secret") if answers == "a response" else "secret"

    answer = client_of(app).get("/x", headers=headers)

    assert is_the_refusal(answer)
    assert "secret" not in answer.text


def test_a_handler_is_not_entered_for_a_token_that_lives_on_the_verifiers_leeway(catalog, issuer):
    guard = Guard(catalog, issuer)
    app = Faster()
    guard.protect(app)
    ran = []

    @app.get("/x", dependencies=[guard.requires("items", on_expiry="close")])
    def x():
        ran.append(1)

    assert is_the_refusal(client_of(app).get("/x", headers=issuer.bearer("items", lifetime=-1)))
    assert ran == []


def test_a_response_that_begins_too_late_is_401_even_where_the_application_answers_refusals_itself(
    app, closing, headers
):
    async def mine(request, error):
        return error.status_code, b"mine", []

    class Slow:
        async def to_asgi(self, send):
            block()
            await send({"type": "http.response.start", "status": 200, "headers": []})

    app.add_exception_handler(HTTPException, mine)
    app.get("/x", dependencies=closing)(Slow)

    answer = client_of(app).get("/x", headers=headers)

    assert is_the_refusal(answer)


def test_what_is_left_to_do_after_a_whole_response_is_not_cut_off(app, closing, headers):
    done = []

    async def late(what):
        await asyncio.sleep(2 * LEFT)
        done.append(what)

    async def session():
        yield
        await late("left")

    class Whole:
        async def to_asgi(self, send):
            await PlainTextResponse("whole").to_asgi(send)
            await late("response")

    @app.get("/x", dependencies=closing)
    async def x(tasks: BackgroundTasks, opened: None = Depends(session)):
        tasks.add_task(late, "task")
        return Whole()

    @app.get("/plain", dependencies=closing)
    async def plain(tasks: BackgroundTasks):
        tasks.add_task(late, "task")
        return "whole"

    assert client_of(app).get("/x", headers=headers).text == "whole"
    assert done == ["response", "task", "left"]
    assert client_of(app).get("/plain", headers=headers).text == "whole"
    assert done == ["response", "task", "left", "task"]


@pytest.mark.parametrize("waits", [True, False])
def test_dependencies_undo_what_a_handler_began_that_was_too_late_and_nothing_that_it_put_off_is_done(
    app, closing, headers, waits
):
    done = []

    async def session():
        try:
            yield
        except Exception as error:
            await asyncio.sleep(0)
            done.append(f"rolled back: {error.id}")
            raise
        done.append("committed")

    @app.get("/x", dependencies=closing)
    async def x(tasks: BackgroundTasks, opened: None = Depends(session)):
        tasks.add_task(done.append, "task")
        if waits:
            await asyncio.sleep(10)
        block()

    assert is_the_refusal(client_of(app).get("/x", headers=headers))
    assert done == ["rolled back: BW208"]


# -- after the answer ------------------------------------------------------------------------------------


class Session:
    def __init__(self):
        self.is_open = True
        self.told = None
        self.used = []

    def use(self):
        self.used.append(self.is_open)


@pytest.fixture
def opened():
    return []


@pytest.fixture
def session(opened):
    def session():
        opened.append(Session())
        try:
            yield opened[-1]
        except Exception as error:
            opened[-1].told = error
            raise
        finally:
            opened[-1].is_open = False

    return session


ANSWERS = {
    "a value": lambda: {"name": "n", "secret": "s"},
    "a response": lambda: PlainTextResponse("n"),
    "a stream": lambda: StreamingResponse(iter([b"n"])),
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_background_tasks_run_before_the_dependencies_are_left_that_they_work_with(
    app, guard, issuer, session, opened, kind
):
    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(tasks: BackgroundTasks, one: Session = Depends(session)):
        tasks.add_task(one.use)
        tasks.add_task(lambda: tasks.add_task(one.use))  # a task that puts off another
        return ANSWERS[kind]()

    assert client_of(app).get("/x", headers=issuer.bearer("items")).status_code == 200
    assert (opened[0].used, opened[0].is_open) == ([True, True], False)


def test_a_value_of_a_route_whose_dependencies_yield_is_still_sent_by_its_model_and_status(app, guard, issuer, session):
    import msgspec

    class Shown(msgspec.Struct):
        name: str

    @app.get("/x", status_code=201, response_model=Shown, dependencies=[guard.requires("items"), Depends(session)])
    async def x():
        return {"name": "n", "secret": "s"}

    answer = client_of(app).get("/x", headers=issuer.bearer("items"))

    assert (answer.status_code, answer.json()) == (201, {"name": "n"})


def test_a_task_that_fails_is_the_servers_business_and_the_dependencies_are_left_and_told(
    app, guard, issuer, session, opened
):
    ran = []

    def broken():
        ran.append("broken")
        raise ValueError("broken")

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(tasks: BackgroundTasks, one: Session = Depends(session)):
        tasks.add_task(broken)
        tasks.add_task(ran.append, "never")
        return "sent"

    with pytest.raises(ValueError, match="broken"):
        TestClient(app).get("/x", headers=issuer.bearer("items"))

    assert ran == ["broken"]
    assert (opened[0].is_open, str(opened[0].told)) == (False, "broken")


@pytest.mark.parametrize("fails", ["the model", "the encoding", "the stream", "the client"])
def test_dependencies_are_left_whatever_goes_wrong_while_the_answer_is_sent(app, guard, issuer, session, opened, fails):
    def broken():
        yield b"x"
        raise ValueError("broken")

    more = {"response_model": 3} if fails == "the model" else {}

    @app.get("/x", dependencies=[guard.requires("items")], **more)
    async def x(tasks: BackgroundTasks, one: Session = Depends(session)):
        tasks.add_task(one.use)
        return {
            "the model": Unreadable(),
            "the encoding": object(),
            "the stream": StreamingResponse(broken()),
            "the client": "x",
        }[fails]

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        if fails == "the client":
            raise OSError("gone")

    with pytest.raises(Exception):  # noqa: B017, PT011 - FasterAPI's own, or the server's
        asyncio.run(app(connection("/x", issuer.bearer("items")), receive, send))

    assert (opened[0].is_open, opened[0].used) == (False, [])
    assert opened[0].told is not None


class Unreadable(dict):
    def items(self):
        raise ValueError("unreadable")


def test_what_a_websockets_handler_puts_off_runs_before_the_dependencies_are_left(app, guard, issuer, session, opened):
    def broken():
        raise ValueError("broken")

    @app.websocket("/x")
    async def ws(
        socket: WebSocket,
        tasks: BackgroundTasks,
        one: Session = Depends(session),
        caller: Principal = guard.requires("items"),
    ):
        tasks.add_task(one.use)
        tasks.add_task(broken)
        await socket.accept()
        await socket.close()

    with pytest.raises(ValueError, match="broken"):
        over_socket(app, issuer.bearer("items"))

    assert (opened[0].used, opened[0].is_open, str(opened[0].told)) == ([True], False, "broken")
