"""The tree that runs behind a gate is given the whole request: query, cookies, body, whoever in it takes them."""

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


def test_a_route_may_take_the_query_alone_or_the_cookies_alone(app, guard, issuer):
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
    assert ask(app, issuer, path="/cookie?page=2").json() == ["yes", "alice"]


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


def test_forms_headers_paths_responses_and_yielding_dependencies_go_on_as_before(app, guard, issuer):
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
    assert closed == ["n"]


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
