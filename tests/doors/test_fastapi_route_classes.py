"""FastAPI's recipe "Custom Request and APIRoute class" works the same with `protect` and without."""

import gzip
from collections.abc import Callable
from typing import Annotated

import pytest
from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, Request, Response, Security, routing
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from fastapi.testclient import TestClient
from starlette.requests import HTTPConnection

from bailiwick import Principal
from bailiwick.fastapi import Guard

# -- the recipe, word for word ---------------------------------------------------------------------------


class GzipRequest(Request):
    async def body(self) -> bytes:
        if not hasattr(self, "_body"):
            body = await super().body()
            if "gzip" in self.headers.getlist("Content-Encoding"):
                body = gzip.decompress(body)
            self._body = body
        return self._body


class GzipRoute(APIRoute):
    def get_route_handler(self) -> Callable:
        original_route_handler = super().get_route_handler()

        async def custom_route_handler(request: Request) -> Response:
            request = GzipRequest(request.scope, request.receive)
            return await original_route_handler(request)

        return custom_route_handler


class ValidationErrorLoggingRoute(APIRoute):
    def get_route_handler(self) -> Callable:
        original_route_handler = super().get_route_handler()

        async def custom_route_handler(request: Request) -> Response:
            try:
                return await original_route_handler(request)
            except RequestValidationError as exc:
                body = await request.body()
                detail = {"errors": len(exc.errors()), "body": body.decode()}
                raise HTTPException(status_code=422, detail=detail) from exc

        return custom_route_handler


# -- what else is done with it -----------------------------------------------------------------------------


class NotThere(Exception):
    """What a dependency raises, and its route answers with 404."""


class MappingRoute(APIRoute):
    def get_route_handler(self) -> Callable:
        original_route_handler = super().get_route_handler()

        async def custom_route_handler(request: Request) -> Response:
            request.state.session = "session"
            try:
                return await original_route_handler(request)
            except NotThere:
                return Response("mapped", 404)

        return custom_route_handler


class PlainRoute(APIRoute):
    """Nothing of its own."""


def by_an_attribute(route):
    """What some libraries do: one route is given another method, without a class."""
    inner = route.get_route_handler

    def get_route_handler():
        handler = inner()

        async def mapped(request: Request) -> Response:
            request.state.session = "session"
            try:
                return await handler(request)
            except NotThere:
                return Response("mapped", 404)

        return mapped

    route.get_route_handler = get_route_handler
    route.app = routing.request_response(get_route_handler())


@pytest.fixture(params=[True, False], ids=["protected", "unprotected"])
def protected(request):
    return request.param


@pytest.fixture(params=["included", "own"])
def serve(request, catalog, issuer, protected):
    """Makes an application whose routes are of a class, declared on its own router or on one that it includes."""

    def serving(route_class, add):
        guard = Guard(catalog, issuer)
        app = FastAPI()
        if protected:
            guard.protect(app)
        if request.param == "own":
            app.router.route_class = route_class
            add(app, guard)
        else:
            router = APIRouter(route_class=route_class)
            add(router, guard)
            app.include_router(router)
        return TestClient(app, raise_server_exceptions=False)

    return serving


def test_the_recipe_for_gzipped_bodies(serve, issuer):
    def add(router, guard):
        async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return caller.subject

        @router.post("/sum")
        async def sum_numbers(numbers: Annotated[list[int], Body()], who: Annotated[str, Depends(who)]):
            return {"sum": sum(numbers), "who": who}

    client = serve(GzipRoute, add)
    headers = issuer.bearer("items") | {"Content-Encoding": "gzip", "Content-Type": "application/json"}

    answer = client.post("/sum", content=gzip.compress(b"[1, 2, 3]"), headers=headers)

    assert answer.json() == {"sum": 6, "who": "alice"}


def test_the_recipe_for_bodies_in_the_answers_to_wrong_ones(serve, issuer):
    def add(router, guard):
        async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return caller.subject

        @router.post("/sum")
        async def sum_numbers(numbers: Annotated[list[int], Body()], who: Annotated[str, Depends(who)]):
            return sum(numbers)

    answer = serve(ValidationErrorLoggingRoute, add).post(
        "/sum", content=b'["a"]', headers=issuer.bearer("items") | {"Content-Type": "application/json"}
    )

    assert answer.status_code == 422
    assert answer.json() == {"detail": {"errors": 1, "body": '["a"]'}}


def test_dependencies_are_given_the_request_that_the_route_class_makes(serve, issuer):
    def add(router, guard):
        async def kind(request: Request, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return type(request).__name__

        async def of_connection(conn: HTTPConnection, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return type(conn).__name__

        @router.get("/x")
        async def x(one: Annotated[str, Depends(kind)], other: Annotated[str, Depends(of_connection)]):
            return [one, other]

    answer = serve(GzipRoute, add).get("/x", headers=issuer.bearer("items"))

    assert answer.json() == ["GzipRequest", "GzipRequest"]


def mapped_and_stated(router, guard):
    async def missing(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        raise NotThere

    async def session(request: Request, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return request.state.session

    @router.get("/missing")
    async def find(found: Annotated[str, Depends(missing)]):
        return found

    @router.get("/session")
    async def use(session: Annotated[str, Depends(session)]):
        return session


def test_what_a_dependency_raises_is_mapped_by_the_route_class(serve, issuer):
    answer = serve(MappingRoute, mapped_and_stated).get("/missing", headers=issuer.bearer("items"))

    assert (answer.status_code, answer.text) == (404, "mapped")


def test_what_the_route_class_puts_on_the_request_is_there_for_dependencies(serve, issuer):
    answer = serve(MappingRoute, mapped_and_stated).get("/session", headers=issuer.bearer("items"))

    assert answer.json() == "session"


def test_a_handler_that_one_route_was_given_runs_around_its_dependencies(catalog, issuer, protected):
    guard = Guard(catalog, issuer)
    app = FastAPI()
    if protected:
        guard.protect(app)
    mapped_and_stated(app, guard)
    for route in app.routes:
        if isinstance(route, APIRoute):
            by_an_attribute(route)
    client = TestClient(app, raise_server_exceptions=False)

    assert client.get("/missing", headers=issuer.bearer("items")).text == "mapped"
    assert client.get("/session", headers=issuer.bearer("items")).json() == "session"


def test_what_a_library_puts_around_every_handler_runs_around_dependencies(serve, issuer, monkeypatch):
    # As sentry_sdk does it.
    original = routing.get_request_handler

    def patched(*args, **kwargs):
        handler = original(*args, **kwargs)

        async def around(request):
            request.state.session = "session"
            try:
                return await handler(request)
            except NotThere:
                return Response("mapped", 404)

        return around

    monkeypatch.setattr(routing, "get_request_handler", patched)
    client = serve(PlainRoute, mapped_and_stated)

    assert client.get("/missing", headers=issuer.bearer("items")).text == "mapped"
    assert client.get("/session", headers=issuer.bearer("items")).json() == "session"
