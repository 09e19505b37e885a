"""Handlers and dependencies of every form that FastAPI runs are given the caller, and fail as FastAPI lets them fail."""

import dataclasses
import functools
from typing import Annotated

import pytest
from fastapi import Body, Depends, FastAPI, Security
from fastapi.testclient import TestClient

from bailiwick import Principal
from bailiwick.fastapi import Guard


@pytest.fixture(params=[True, False], ids=["protected", "unprotected"])
def guarded(request, catalog, issuer):
    guard = Guard(catalog, issuer)
    app = FastAPI()
    if request.param:
        guard.protect(app)
    return guard, app


@pytest.mark.parametrize("call", ["coroutine", "generator", "async generator", "function"])
@pytest.mark.parametrize("bound", [False, True], ids=["class", "partial"])
@pytest.mark.parametrize("beside", ["chain", "query", "body"])
def test_an_instance_with_a_call_of_any_kind_can_be_a_dependency(guarded, issuer, call, bound, beside):
    guard, app = guarded

    class Service:
        def __init__(self, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            self.caller = caller

    async def coroutine(self):
        """Would be awaited."""

    def generator(self):
        yield

    async def async_generator(self):
        yield

    def function(self):
        """Would be called."""

    Service.__call__ = {
        "coroutine": coroutine,
        "generator": generator,
        "async generator": async_generator,
        "function": function,
    }[call]
    Made = functools.partial(Service) if bound else Service

    if beside == "chain":

        @app.post("/x")
        def by_chain(service=Depends(Made)):
            return service.caller.subject

    elif beside == "query":

        @app.post("/x")
        def by_query(service=Depends(Made), q: int = 1):
            return service.caller.subject

    else:

        @app.post("/x")
        def by_body(body: Annotated[dict, Body()], service=Depends(Made)):
            return service.caller.subject

    answer = TestClient(app, raise_server_exceptions=False).post("/x", headers=issuer.bearer("items"), json={})

    assert answer.json() == "alice"


def test_a_handler_that_cannot_be_hashed_is_given_the_caller(guarded, issuer):
    guard, app = guarded

    @dataclasses.dataclass
    class Endpoint:
        greeting: str

        async def __call__(self, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
            return f"{self.greeting} {caller.subject}"

    async def who(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    @dataclasses.dataclass
    class Chained:
        greeting: str

        def __call__(self, who: Annotated[str, Depends(who)], q: int = 1):
            return f"{self.greeting} {who}"

    app.add_api_route("/x", Endpoint("hello"))
    app.add_api_route("/y", Chained("hello"))
    client = TestClient(app, raise_server_exceptions=False)

    assert client.get("/x", headers=issuer.bearer("items")).json() == "hello alice"
    assert client.get("/y", headers=issuer.bearer("items")).json() == "hello alice"


def ill_behaved(given):
    """Dependencies with yield that break its rules, by what they do."""

    def never(caller: given):
        return
        yield

    async def never_async(caller: given):
        return
        yield

    def again(caller: given):
        yield caller.subject
        yield "again"

    async def again_async(caller: given):
        yield caller.subject
        yield "again"

    def again_after_an_error(caller: given):
        try:
            yield caller.subject
        except LookupError:
            yield "again"

    async def again_after_an_error_async(caller: given):
        try:
            yield caller.subject
        except LookupError:
            yield "again"

    found = (never, never_async, again, again_async, again_after_an_error, again_after_an_error_async)
    return {one.__name__: one for one in found}


@pytest.mark.parametrize("name", sorted(ill_behaved(Principal)))
def test_a_generator_that_yields_never_or_too_often_fails_with_fastapis_own_error(catalog, issuer, name):
    def fail(*, protected):
        guard = Guard(catalog, issuer)
        app = FastAPI()
        if protected:
            guard.protect(app)
        dependency = ill_behaved(Annotated[Principal, Security(guard, scopes=["items"])])[name]

        @app.get("/x")
        async def x(subject: Annotated[str, Depends(dependency)]):
            if "error" in name:
                raise LookupError
            return subject

        with pytest.raises(RuntimeError) as failed:
            TestClient(app).get("/x", headers=issuer.bearer("items"))
        return str(failed.value)

    assert fail(protected=True) == fail(protected=False)
