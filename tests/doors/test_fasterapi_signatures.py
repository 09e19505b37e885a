"""Signatures and classes of FasterAPI's handlers are compared with what is run: nothing innocent is refused, and no guard is lost."""

from __future__ import annotations

import functools
import inspect
from typing import Annotated

import pytest
from either_side import client_of
from FasterAPI import Depends, Faster

from bailiwick import Catalog, Principal, ScopeSet
from bailiwick.errors import ConfigurationError
from bailiwick.fasterapi import Guard, Security


class Known:
    async def verify(self, token):
        return Principal("ada", ScopeSet.parse(token))


guard = Guard(Catalog(["items", "me"]), Known())
Caller = Annotated[Principal, Security(guard, scopes=["items"])]


def require_role(role):
    async def check(caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        return caller.subject

    return check


class RoleChecker:
    def __init__(self, role):
        self.role = role

    async def __call__(self, caller: Annotated[Principal, guard.requires("items")]):
        return caller.subject


def logged(function):
    @functools.wraps(function)
    async def wrapper(*args, **values):
        return await function(*args, **values)

    wrapper.__signature__ = inspect.signature(function)
    return wrapper


def made_anew(app):
    @app.get("/x")
    async def x(user: Annotated[str, Depends(require_role("editor"))]):
        return user


def made_anew_by_a_class(app):
    @app.get("/x")
    async def x(user: Annotated[str, Depends(RoleChecker("editor"))]):
        return user


def a_signature_of_its_own(app):
    @app.get("/x")
    @logged
    async def x(caller: Caller, page: int = 0):
        return caller.subject


@pytest.mark.parametrize(
    "make", [made_anew, made_anew_by_a_class, a_signature_of_its_own], ids=lambda make: make.__name__
)
def test_a_guard_that_is_run_is_no_mistake(make):
    app = Faster()
    make(app)
    guard.protect(app)
    client = client_of(app)

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers={"Authorization": "Bearer me"}).status_code == 403
    assert client.get("/x", headers={"Authorization": "Bearer items"}).text.strip('"') == "ada"


class Annotation:
    caller: Annotated[Principal, guard.requires("items")] = None

    def __init__(self, q: str = ""):
        self.q = q


class Attribute:
    caller = guard.requires("items")

    def __init__(self, q: str = ""):
        self.q = q


class View:
    caller: Annotated[Principal, guard.requires("items")]

    async def x(self):
        return "items"


async def on_an_annotation(it: Annotated[Annotation, Depends(Annotation)]):
    return it.q


async def on_an_attribute(it: Attribute = Depends(Attribute)):
    return it.q


async def bare(caller: Principal):
    return caller


async def uncalled(caller: Annotated[str, guard.requires] = "nobody"):
    return caller


async def inside(user: Annotated[str, Depends(require_role("editor"))] | None = None):
    return user


@pytest.mark.parametrize(
    "handler", [on_an_annotation, on_an_attribute, View().x, bare, uncalled, inside], ids=lambda one: one.__name__
)
def test_a_guard_that_is_not_run_fails_the_start_behind_a_default(handler):
    app = Faster()
    app.get("/x")(handler)
    guard.protect(app, default=guard.requires())

    with pytest.raises(ConfigurationError) as failed:
        guard.plan(app)
    assert failed.value.id == "BW123"
