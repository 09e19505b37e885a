"""A guarded route that takes neither a query parameter nor a cookie does not have them parsed; whoever takes one has it."""

import dataclasses
import gc
import weakref
from typing import Annotated

import pytest
from fastapi import (
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Query,
    Request,
    Response,
    Security,
    routing,
)
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.security import APIKeyCookie, APIKeyQuery
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from bailiwick import Principal
from bailiwick.fastapi import Guard
from bailiwick.frameworks.fastapi.compat import Dependant, untaken_in
from bailiwick.frameworks.fastapi.untaken import Untaken, without


@pytest.fixture
def parsed(monkeypatch):
    """What of requests has been parsed."""
    found = []
    for name in ("query_params", "cookies"):
        plain = getattr(HTTPConnection, name).fget

        def read(self, plain=plain, name=name):
            found.append(name)
            return plain(self)

        monkeypatch.setattr(HTTPConnection, name, property(read))
    return found


@pytest.fixture
def app():
    return FastAPI()


@pytest.fixture
def guard(catalog, issuer, app):
    guard = Guard(catalog, issuer.cached())
    guard.protect(app)
    return guard


def ask(app, issuer, method="GET", path="/?page=2&page=3", **more):
    with TestClient(app, cookies={"seen": "yes"}) as client:
        return client.request(method, path, headers=issuer.bearer("items me"), **more)


def test_a_declared_requirement_leaves_the_query_and_the_cookies_unparsed(app, guard, issuer, parsed):
    @app.get("/", dependencies=[guard.requires("items")])
    async def read():
        return "read"

    assert ask(app, issuer).json() == "read"
    assert parsed == []


def test_an_injected_caller_and_a_chain_leave_them_unparsed(app, guard, issuer, parsed):
    async def user(caller: Annotated[Principal, Security(guard, scopes=["me"])]):
        return caller.subject

    @app.get("/injected")
    async def injected(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @app.get("/nested")
    async def nested(name: Annotated[str, Depends(user)], caller: Annotated[Principal, Security(guard)]):
        return name + caller.subject

    assert ask(app, issuer, path="/injected?a=b").json() == "alice"
    assert ask(app, issuer, path="/nested?a=b").json() == "alicealice"
    assert parsed == []


def test_what_default_settles_and_what_is_public_leave_them_unparsed_too(catalog, issuer, parsed):
    guard = Guard(catalog, issuer.cached())
    app = FastAPI()
    guard.protect(app, default=guard.requires("items"))

    @app.get("/settled")
    async def settled():
        return "read"

    @app.get("/public", dependencies=[guard.public("open")])
    async def public():
        return "read"

    for path in ("/settled?a=b", "/public?a=b"):
        assert ask(app, issuer, path=path).json() == "read"
    assert parsed == []


def test_who_takes_the_query_alone_has_no_cookies_parsed_and_the_other_way_round(app, guard, issuer, parsed):
    @app.get("/query", dependencies=[guard.requires("items")])
    async def query(page: Annotated[list[int], Query()]):
        return page

    async def cookie(seen: Annotated[str, Cookie()]):
        return seen

    @app.get("/cookie")
    async def nested(seen: Annotated[str, Depends(cookie)], caller: Annotated[Principal, Security(guard)]):
        return [seen, caller.subject]

    assert ask(app, issuer, path="/query?page=2&page=3").json() == [2, 3]
    assert ask(app, issuer, path="/query").status_code == 422
    assert set(parsed) == {"query_params"}
    parsed.clear()
    assert ask(app, issuer, path="/cookie?page=2").json() == ["yes", "alice"]
    assert set(parsed) == {"cookies"}


def whole_request(request: Request):
    return request.query_params["page"] + request.cookies["seen"]


def whole_connection(conn: HTTPConnection):
    return conn.query_params["page"] + conn.cookies["seen"]


def own_parameters(page: Annotated[list[int], Query()], seen: Annotated[str, Cookie()]):
    return f"{page[-1]}{seen}"


def scheme(
    key: Annotated[str, Depends(APIKeyCookie(name="seen"))], page: Annotated[str, Depends(APIKeyQuery(name="page"))]
):
    return page + key


def deep(inner: Annotated[str, Depends(own_parameters)]):
    return inner


TAKING = [whole_request, whole_connection, own_parameters, scheme, deep]


@pytest.mark.parametrize("take", TAKING)
def test_whoever_takes_one_anywhere_in_the_tree_is_given_it(app, guard, issuer, take):
    @app.get("/", dependencies=[guard.requires("items")])
    async def read(taken: Annotated[str, Depends(take)]):
        return taken

    assert ask(app, issuer).json() == "3yes"


@pytest.mark.parametrize("take", TAKING)
def test_a_handler_that_takes_one_itself_is_given_it(app, guard, issuer, take):
    app.get("/", dependencies=[guard.requires("items")])(take)
    assert ask(app, issuer).json() == "3yes"


def test_a_handler_that_takes_the_request_beside_the_caller_is_given_the_whole_of_it(app, guard, issuer):
    @app.get("/")
    async def read(request: Request, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        assert not isinstance(request, Untaken)
        return [request.query_params.getlist("page"), request.cookies, caller.subject]

    assert ask(app, issuer).json() == [["2", "3"], {"seen": "yes"}, "alice"]


def test_a_connection_named_as_we_name_ours_is_still_the_whole_of_it(app, guard, issuer):
    @app.get("/request", dependencies=[guard.requires("items")])
    async def request(bailiwick_connection: Request):
        return bailiwick_connection.query_params["page"]

    @app.get("/injected")
    async def injected(
        bailiwick_scopes: Annotated[Principal, Security(guard)], bailiwick_connection: Annotated[str, Query()]
    ):
        return bailiwick_connection + bailiwick_scopes.subject

    assert ask(app, issuer, path="/request?page=2").json() == "2"
    assert ask(app, issuer, path="/injected?bailiwick_connection=x").json() == "xalice"


def test_exception_handlers_are_given_the_whole_request(app, guard, issuer):
    class Wrong(Exception):
        pass

    @app.exception_handler(Wrong)
    @app.exception_handler(HTTPException)
    async def answer(request: Request, _error: Exception):
        return JSONResponse([request.query_params.getlist("page"), request.cookies], 418)

    @app.get("/wrong", dependencies=[guard.requires("items")])
    async def wrong():
        raise Wrong

    @app.get("/http", dependencies=[guard.requires("items")])
    def http():
        raise HTTPException(409)

    for path in ("/wrong?page=2", "/http?page=2"):
        answered = ask(app, issuer, path=path)
        assert (answered.status_code, answered.json()) == (418, [["2"], {"seen": "yes"}])


def test_a_body_that_the_handler_read_is_there_for_the_exception_handler(app, guard, issuer):
    @app.exception_handler(RequestValidationError)
    async def answer(request: Request, error: RequestValidationError):
        return JSONResponse([(await request.body()).decode(), await request.json(), error.body, request.cookies], 422)

    @app.post("/", dependencies=[guard.requires("items")])
    async def post(number: Annotated[int, Body(embed=True)]):
        return number

    answered = ask(app, issuer, "POST", json={"number": "none"})
    assert answered.json() == ['{"number":"none"}', {"number": "none"}, {"number": "none"}, {"seen": "yes"}]
    assert ask(app, issuer, "POST", json={"number": "7"}).json() == 7


def body_of(text):
    async def receive():
        return {"type": "http.request", "body": text, "more_body": False}

    return receive


@pytest.mark.anyio
@pytest.mark.parametrize("first", ["request", "view"])
@pytest.mark.parametrize("gone", ["request", "view"])
async def test_request_and_view_share_all_that_is_read_or_left_and_leave_nothing_behind(first, gone):
    """The interpreter keeps an object's attributes in the object itself (3.13), until two objects share a dictionary."""

    class Left:
        pass

    seen = []

    async def handler(view):
        seen.append(view)

    handled = without({"query_params", "cookies"})(handler)
    gc.disable()
    try:
        for turn in range(50):  # more than once: the interpreter specialises what is done often
            request = Request({"type": "http", "headers": []}, body_of(b"%d" % turn))
            await handled(request)
            both = {"request": request, "view": seen.pop()}
            one, other = both.pop(first), both.popitem()[1]
            assert await one.body() == b"%d" % turn
            assert other._body == await other.body() == b"%d" % turn
            one.state.left = other.left = Left()
            assert one.left is other.state.left
            for number in range(40):  # more than an object has room for
                setattr(other, f"more{number}", number)
                assert getattr(one, f"more{number}") == number
            del other.more0
            assert not hasattr(one, "more0")

            stays = one if gone != first else other
            request = one = other = None
            assert (stays.more39, stays._body, await stays.body()) == (39, b"%d" % turn, b"%d" % turn)
            stays.later = turn
            assert vars(stays)["later"] == turn
            left = weakref.ref(stays.left)
            stays = None
            assert left() is None
    finally:
        gc.enable()


def test_forms_headers_paths_responses_and_yielding_dependencies_go_on_as_before(app, guard, issuer, parsed):
    closed = []

    async def opened(x_name: Annotated[str, Header()]):
        yield x_name
        closed.append(x_name)

    @app.post("/{number}")
    async def post(
        number: int,
        word: Annotated[str, Form()],
        name: Annotated[str, Depends(opened)],
        response: Response,
        caller: Annotated[Principal, Security(guard, scopes=["items"])],
    ):
        response.headers["x-answer"] = "yes"
        return [number, word, name, caller.subject]

    with TestClient(app) as client:
        headers = issuer.bearer("items") | {"x-name": "n"}
        answered = client.post("/7?a=b", headers=headers, data={"word": "w"})
    assert answered.json() == [7, "w", "n", "alice"]
    assert answered.headers["x-answer"] == "yes"
    assert (closed, parsed) == (["n"], [])


def test_an_override_that_takes_the_query_is_given_it(app, guard, issuer):
    async def plain():
        return "plain"

    def overriding(page: str):
        return page

    @app.get("/", dependencies=[guard.requires("items")])
    async def read(taken: Annotated[str, Depends(plain)]):
        return taken

    with TestClient(app) as client:
        assert client.get("/?page=2", headers=issuer.bearer("items")).json() == "plain"
        app.dependency_overrides[plain] = overriding
        assert client.get("/?page=2", headers=issuer.bearer("items")).json() == "2"


def test_what_telemetry_observes_is_the_whole_request(app, guard, issuer, parsed):
    """It may be switched on when routes have been served already: from then on each connection names it."""
    from bailiwick.frameworks.fastapi.compat import TELEMETRY

    @app.get("/", dependencies=[guard.requires("items")])
    async def read():
        return "read"

    on = False

    async def observed(conn, receive, send):
        if on:
            conn[TELEMETRY] = None
        await app(conn, receive, send)

    with TestClient(observed) as client:
        headers = issuer.bearer("items")
        assert client.get("/?page=2", headers=headers).json() == "read"
        assert parsed == []
        on = True
        assert client.get("/?page=2", headers=headers).json() == "read"
    assert parsed == ["query_params", "cookies"]


def test_who_takes_the_solvers_place_later_is_shown_the_whole_request(app, guard, issuer, monkeypatch):
    @app.get("/", dependencies=[guard.requires("items")])
    async def read():
        return "read"

    seen = []
    original = routing.solve_dependencies

    async def observed(*, request, **more):
        seen.append([request.query_params.getlist("page"), request.cookies])
        return await original(request=request, **more)

    with TestClient(app, cookies={"seen": "yes"}) as client:
        headers = issuer.bearer("items")
        assert client.get("/?page=2&page=3", headers=headers).json() == "read"
        monkeypatch.setattr(routing, "solve_dependencies", observed)
        assert client.get("/?page=2&page=3", headers=headers).json() == "read"
    assert seen == [[["2", "3"], {"seen": "yes"}]]


def test_a_request_of_another_class_reads_its_body_in_its_own_way(app, guard, issuer, monkeypatch):
    class Turned(Request):
        async def body(self):
            return (await super().body())[::-1]

    monkeypatch.setattr(routing, "Request", Turned)

    @app.post("/", dependencies=[guard.requires("items")])
    async def post(numbers: Annotated[list[int], Body()]):
        return numbers

    headers = issuer.bearer("items") | {"content-type": "application/json"}
    with TestClient(app) as client:
        assert client.post("/", content=b"]2 ,1[", headers=headers).json() == [1, 2]


def test_a_tree_with_anything_that_is_not_known_is_shown_everything():
    @dataclasses.dataclass
    class Newer(Dependant):
        matrix_params: list = dataclasses.field(default_factory=list)

    both = {"query_params", "cookies"}
    assert untaken_in(Newer(), "ours") == both
    assert untaken_in(Newer(matrix_params=["one"]), "ours") == set()
    assert untaken_in(Dependant(dependencies=[Newer(matrix_params=["one"])]), "ours") == set()
    assert untaken_in(Dependant(http_connection_param_name="ours"), "ours") == both
    assert untaken_in(Dependant(request_param_name="ours"), "ours") == set()
    assert untaken_in(Dependant(http_connection_param_name="theirs"), "ours") == set()
    assert untaken_in(Dependant(query_params=["one"]), "ours") == {"cookies"}
    assert untaken_in(Dependant(query_params=["one"], request_param_name="theirs"), "ours") == set()
    taking = [Dependant(cookie_params=["one"]), Dependant()]
    assert untaken_in(Dependant(dependencies=taking), "ours") == {"query_params"}
    assert untaken_in(Dependant(query_params=["one"], dependencies=taking), "ours") == set()
