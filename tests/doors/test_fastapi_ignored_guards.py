"""A guard that stands where FastAPI does not look would never run: the start fails, and names the parameter."""

from typing import Annotated

import pytest
from fastapi import Body, Depends, FastAPI, Header, Query, Security
from fastapi.testclient import TestClient
from pydantic import Field

from bailiwick import Principal
from bailiwick.errors import ConfigurationError


@pytest.fixture
def app(guard):
    app = FastAPI()
    guard.protect(app, default=guard.public("nothing is settled by the route itself"))
    return app


def refused(app, guard):
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"
    return str(failed.value)


@pytest.mark.parametrize("marker", [Query(), Header(), Body(), Depends(lambda: None)])
def test_a_guard_that_another_marker_follows_is_refused_and_named(app, guard, marker):
    @app.get("/open")
    async def handler(caller: Annotated[str, guard.requires("items"), marker] = "nobody"):
        return caller

    text = refused(app, guard)

    assert "GET /open" in text
    assert "'caller'" in text
    assert "handler" in text
    with pytest.raises(ConfigurationError), TestClient(app):
        pass


def test_what_is_refused_would_really_have_been_open(guard):
    app = FastAPI()

    @app.get("/open")
    async def handler(caller: Annotated[str, guard.requires("items"), Query()]):
        return caller

    assert TestClient(app).get("/open", params={"caller": "anyone"}).json() == "anyone"


def test_of_two_guards_in_one_annotated_the_first_would_be_ignored(app, guard):
    @app.get("/x")
    async def handler(
        caller: Annotated[Principal, Security(guard, scopes=["items"]), Security(guard, scopes=["me"])],
    ):
        return caller.subject

    assert "GET /x" in refused(app, guard)


def test_a_guard_before_a_plain_constraint_runs(app, guard, issuer):
    @app.get("/x")
    async def handler(caller: Annotated[Principal, guard.requires("items"), Field(description="who"), "a note"]):
        return caller.subject

    client = TestClient(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"


def test_a_guard_that_follows_another_marker_runs(app, guard, issuer):
    @app.get("/x")
    async def handler(caller: Annotated[Principal, Query(), guard.requires("items")]):
        return caller.subject

    client = TestClient(app)

    assert client.get("/x", params={"caller": "root"}).status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"


def test_a_guard_inside_another_type_is_refused(app, guard):
    @app.post("/x")
    async def handler(caller: Annotated[str, guard.requires("items")] | None = None):
        return caller

    assert "inside another type" in refused(app, guard)


@pytest.mark.parametrize("bare", [False, True])
def test_a_guard_without_security_around_it_is_refused(app, guard, bare):
    thing = guard if bare else guard.requires("items").dependency

    @app.get("/x")
    async def handler(caller: Annotated[str, thing] = "nobody"):
        return caller

    assert "Put Security(...) around it" in refused(app, guard)


def test_a_guard_below_an_ignored_dependency_is_refused(app, guard):
    async def current(caller: Annotated[Principal, guard.requires("items")]):
        return caller.subject

    async def user(who: Annotated[str, Depends(current)]):
        return who

    @app.get("/x")
    async def handler(who: Annotated[str, Depends(user), Query()] = "nobody"):
        return who

    assert "'who'" in refused(app, guard)


def test_a_guard_is_found_in_a_dependency_of_a_dependency(app, guard):
    async def current(caller: Annotated[str, guard.requires("items"), Query()] = "nobody"):
        return caller

    async def user(who: Annotated[str, Depends(current)]):
        return who

    @app.get("/x", dependencies=[Depends(user)])
    async def handler():
        return 1

    text = refused(app, guard)

    assert "'caller'" in text
    assert "current" in text


def test_an_ignored_dependency_without_a_guard_is_nobodys_business(app, guard):
    async def first():
        return 1

    async def second():
        return 2

    @app.get("/x")
    async def handler(value: Annotated[int, Depends(first), Depends(second)]):
        return value

    assert guard.plan(app)
    assert TestClient(app).get("/x").json() == 2


def test_a_bare_depends_means_the_annotation_and_runs(app, guard, issuer):
    class Current:
        def __init__(self, caller: Annotated[Principal, guard.requires("items")]):
            self.name = caller.subject

    @app.get("/x")
    async def handler(current: Annotated[Current, Depends()]):
        return current.name

    client = TestClient(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).json() == "alice"


def test_a_bare_depends_on_a_class_with_a_guard_is_refused_where_it_is_ignored(app, guard):
    class Current:
        def __init__(self, caller: Annotated[Principal, guard.requires("items")]):
            self.name = caller.subject

    @app.get("/x")
    async def handler(current: Annotated[Current, Depends(), Depends(lambda: None)]):
        return 1

    assert "'current'" in refused(app, guard)
