"""Likely slips say what to write instead, where they are made or when the application starts."""

import re
import subprocess
import sys
import textwrap
from typing import Annotated

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.testclient import TestClient

from bailiwick import Catalog, Principal, asgi, starlette
from bailiwick.asgi import Resource
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard
from bailiwick.tokens import JWTVerifier

CATALOG = Catalog(["items"])


def declare(where, thing):
    """An application with something in one of the places where FastAPI takes dependencies."""
    app = FastAPI(dependencies=[thing] if where == "application" else [])
    router = APIRouter(dependencies=[thing] if where == "router" else [])

    async def annotated(caller: Annotated[Principal, thing]):
        return caller

    async def by_default(caller: Principal = thing):
        return caller

    async def handler():
        return 1

    handlers = {"annotated": annotated, "default": by_default}
    router.get("/x", dependencies=[thing] if where == "route" else [])(handlers.get(where, handler))
    app.get("/y")(handler)
    app.include_router(router)
    return app


@pytest.mark.parametrize("scopes", [[], ["items"]], ids=["any token", "a scope"])
@pytest.mark.parametrize("where", ["annotated", "default", "route", "router", "application"])
def test_a_declaration_inside_depends_is_refused_where_it_is_written(guard, where, scopes):
    with pytest.raises(ConfigurationError, match=r"write it without Depends") as failed:
        declare(where, Depends(guard.requires(*scopes)))
    assert failed.value.id == "BW123"


@pytest.mark.parametrize("where", ["route", "router", "application"])
def test_a_guard_in_the_list_of_dependencies_is_refused_where_it_is_written(guard, where):
    with pytest.raises(ConfigurationError, match=r"write guard\.requires\(\.\.\.\), or Security\(guard") as failed:
        declare(where, guard)
    assert failed.value.id == "BW123"


def test_a_guard_in_place_of_a_declaration_is_refused_by_protect(guard):
    for given in ({"default": guard}, {"docs": guard}, {"mounts": {"/x": guard}}):
        with pytest.raises(ConfigurationError, match=r"write guard\.requires"):
            guard.protect(FastAPI(), **given)


@pytest.mark.parametrize("made", ["requires", "optional", "public"])
def test_a_declaration_above_a_function_says_where_it_belongs(guard, made):
    decorator = guard.public("why") if made == "public" else getattr(guard, made)()

    with pytest.raises(ConfigurationError, match=r"dependencies=\[guard\.requires") as failed:

        @decorator
        async def handler():
            return 1

    assert failed.value.id == "BW123"


@pytest.mark.parametrize("door", [asgi.Guard, starlette.Guard, Guard], ids=["asgi", "starlette", "fastapi"])
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (JWTVerifier, r"not a class: write Guard\(catalog, JWTVerifier\(\.\.\.\)\)"),
        (CATALOG, r"the catalog first"),
        ("secret", r"async verify\(token\) method, not a str"),
        (None, r"not a NoneType"),
    ],
)
def test_what_is_no_verifier_is_refused_with_what_was_meant(door, given, said):
    with pytest.raises(ConfigurationError, match=said):
        door(CATALOG, given)


def test_a_guard_that_protects_nothing_says_so_once():
    program = textwrap.dedent(
        """
        import logging, sys
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.WARNING)
        from fastapi import FastAPI
        from fastapi.testclient import TestClient
        from bailiwick import Catalog, Principal, ScopeSet
        from bailiwick.fastapi import Guard
        class One:
            async def verify(self, token): return Principal("ada", ScopeSet(["items"]))
        guard = Guard(Catalog(["items"]), One())
        app = FastAPI()
        app.get("/x", dependencies=[guard.requires("items")])(lambda: 1)
        if "protect" in sys.argv: guard.protect(app)
        client = TestClient(app)
        print([client.get("/x", headers={"Authorization": "Bearer t"}).status_code for _ in range(3)])
        """
    )

    def said(*words):
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", program, *words], capture_output=True, text=True, check=True
        )
        return done.stdout

    assert "[200, 200, 200]" in said()
    assert len(re.findall(r"WARNING .*guard\.protect\(app\)", said())) == 1
    assert said("protect") == "[200, 200, 200]\n"


def test_a_resource_names_further_scopes_of_the_catalog(issuer):
    resource = Resource("https://api.example", scopes_supported=("me", "items"))
    guard = Guard(Catalog(["items", "me", "unused"]), issuer, resource=resource)
    app = FastAPI()
    app.get("/x", dependencies=[guard.requires("items")])(lambda: 1)
    guard.protect(app)

    with TestClient(app) as client:
        document = client.get("/.well-known/oauth-protected-resource").json()
    assert document["scopes_supported"] == ["items", "me"]


def test_a_resource_that_names_a_scope_nobody_knows_is_refused(issuer):
    with pytest.raises(ConfigurationError, match="scopes_supported") as failed:
        Guard(CATALOG, issuer, resource=Resource("https://api.example", scopes_supported=("itmes",)))
    assert failed.value.id == "BW102"
    with pytest.raises(ConfigurationError, match="not a text") as failed:
        Resource("https://api.example", scopes_supported="items")
    assert failed.value.id == "BW104"
