"""Signatures are read as FastAPI reads them, and compared with what it runs: under PEP 563, and however often an annotation is evaluated."""

from __future__ import annotations

import functools
import inspect
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Query, Security
from fastapi.testclient import TestClient

from bailiwick import Catalog, Principal, ScopeSet
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard, Ownership


class Known:
    async def verify(self, token):
        return Principal("ada", ScopeSet.parse(token))


guard = Guard(Catalog(["items", "me"]), Known())
Caller = Annotated[Principal, guard.requires("items")]


def require_role(role):
    def check(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        if role != "editor":
            raise HTTPException(403)
        return caller.subject

    return check


class RoleChecker:
    def __init__(self, *roles):
        self.roles = roles

    def __call__(self, caller: Caller):
        return caller.subject


class Reader:
    def current(self, caller: Caller):
        return caller.subject


def subject_of(prefix: str, caller: Caller):
    return caller.subject


def logged(function):
    """A decorator that takes over the signature of what it decorates, its annotations still text."""

    @functools.wraps(function)
    async def wrapper(*args, **values):
        return await function(*args, **values)

    wrapper.__signature__ = inspect.signature(function)
    return wrapper


def made_anew(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(require_role("editor"))]):
        return user


def made_anew_by_a_class(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(RoleChecker("editor"))]):
        return user


def made_anew_by_a_partial(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(functools.partial(subject_of, "a"))]):
        return user


def made_anew_by_a_method(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(Reader().current)]):
        return user


def made_anew_by_a_lambda(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(lambda caller=Security(guard, scopes=["items"]): caller.subject)]):
        return user


def made_anew_below(router):
    def user_of(user: Annotated[str, Depends(require_role("editor"))]):
        return user

    @router.get("/x")
    async def x(user: str = Depends(user_of)):
        return user


def required_anew(router):
    @router.get("/x")
    async def x(caller: Annotated[Principal, guard.requires("items")]):
        return caller.subject


def a_signature_of_its_own(router):
    @router.get("/x")
    @logged
    async def x(caller: Caller, page: int = 0):
        return caller.subject


def two_signatures_of_their_own(router):
    @logged
    async def user_of(caller: Caller, page: int = 0):
        return caller.subject

    @router.get("/x")
    @logged
    @logged
    async def x(user: Annotated[str, Depends(RoleChecker("a"))], page: int = 0):
        return user


INNOCENT = [
    made_anew,
    made_anew_by_a_class,
    made_anew_by_a_partial,
    made_anew_by_a_method,
    made_anew_by_a_lambda,
    made_anew_below,
    required_anew,
    a_signature_of_its_own,
    two_signatures_of_their_own,
]


@pytest.mark.parametrize("how", ["added", "included", "mounted"])
@pytest.mark.parametrize("make", INNOCENT, ids=lambda make: make.__name__)
def test_a_guard_that_fastapi_runs_is_no_mistake(make, how):
    app, path = FastAPI(), "/x"
    if how == "added":
        make(app.router)
    else:
        path = "/in/x"
        make(router := (APIRouter() if how == "included" else FastAPI()))
        app.include_router(router, prefix="/in") if how == "included" else app.mount("/in", router)
    guard.protect(app)

    with TestClient(app) as client:
        assert client.get(path).status_code == 401
        assert client.get(path, headers={"Authorization": "Bearer me"}).status_code == 403
        assert client.get(path, headers={"Authorization": "Bearer items"}).json() == "ada"


def lost_inside_another_type(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(require_role("editor"))] | None = None):
        return user


def lost_behind_a_query(router):
    @router.get("/x")
    async def x(user: Annotated[str, Depends(RoleChecker("editor")), Query()] = "nobody"):
        return user


def lost_to_another_that_needs_less(router):
    @router.get("/x")
    async def x(user: Annotated[str, Security(require_role("editor"), scopes=["me"]), Depends(require_role("editor"))]):
        return user


def lost_in_a_signature_of_its_own(router):
    @router.get("/x")
    @logged
    async def x(caller: Caller | None = None):
        return caller


def lost_without_a_call(router):
    @router.get("/x")
    async def x(caller: Annotated[str, guard.requires] = "nobody"):
        return caller


LOST = [
    lost_inside_another_type,
    lost_behind_a_query,
    lost_to_another_that_needs_less,
    lost_in_a_signature_of_its_own,
    lost_without_a_call,
]


@pytest.mark.parametrize("make", LOST, ids=lambda make: make.__name__)
def test_a_guard_that_fastapi_drops_is_refused_however_it_is_made(make):
    app = FastAPI()
    make(app)
    guard.protect(app, default=guard.requires())

    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"


def test_text_that_only_a_local_scope_explains_is_refused():
    local = guard
    app = FastAPI()

    async def x(caller: Annotated[Principal, Security(local, scopes=["items"])] = None):
        return caller

    try:
        app.get("/x")(x)
    except NameError:
        return  # older releases of FastAPI refuse it themselves
    guard.protect(app, default=guard.requires())
    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert failed.value.id == "BW121"


def test_a_caller_that_nobody_supplies_is_refused_and_told_what_to_write():
    async def bare(caller: Principal):
        return caller

    async def or_nobody(caller: Principal | None = None):
        return caller

    async def owned(own: Ownership = None):
        return own

    async def below(value: object = Depends(bare)):
        return value

    for handler in (bare, or_nobody, below):
        app = FastAPI()
        app.post("/x")(handler)
        guard.protect(app, default=guard.requires())
        with pytest.raises(ConfigurationError, match=r"caller: Annotated\[Principal, Security\(guard") as failed:
            guard.plan(app)
        assert failed.value.id == "BW123"


def test_a_caller_is_never_read_from_the_request():
    app = FastAPI()

    @app.post("/x")
    async def x(caller: Principal):
        return caller

    client = TestClient(app)
    for body in ({}, {"subject": "root", "scopes": ["admin"]}, {"caller": {"subject": "root", "scopes": []}}, "root"):
        assert client.post("/x", json=body).status_code == 422
