"""`dependency_overrides` in tests: what is overridden is decided by what stands in for it, and everything else as before."""

from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, Header, Security, WebSocket
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient

from bailiwick import Principal, ScopeSet

NONSENSE = {"Authorization": "Bearer nonsense"}


def ada():
    return Principal("ada", ScopeSet(["items"]))


@pytest.fixture(params=[True, False], ids=["protected", "unprotected"])
def either(request, guard):
    app = FastAPI()
    if request.param:
        guard.protect(app)
    return app


# -- the guard itself, where a caller may be anonymous --------------------------------------------------------


@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a requirement"])
@pytest.mark.parametrize("scopes", [(), ("me",)])
def test_overriding_the_guard_reaches_optional_callers_too(either, guard, scopes, beside):
    @either.get("/me", dependencies=[guard.requires("users:read")] if beside else [])
    async def me(caller: Annotated[Principal | None, guard.optional(*scopes)]):
        return caller.subject if caller else "anonymous"

    either.dependency_overrides[guard] = ada
    client = TestClient(either)

    assert client.get("/me").json() == "ada"
    assert client.get("/me", headers=NONSENSE).json() == "ada"


def test_an_optional_caller_is_back_when_the_override_is_gone(either, guard, issuer):
    @either.get("/me")
    async def me(caller: Annotated[Principal | None, guard.optional()]):
        return caller.subject if caller else "anonymous"

    client = TestClient(either)
    either.dependency_overrides[guard] = ada
    assert client.get("/me").json() == "ada"
    either.dependency_overrides.clear()
    assert client.get("/me").json() == "anonymous"
    assert client.get("/me", headers=NONSENSE).status_code == 401
    assert client.get("/me", headers=issuer.bearer("me")).json() == "alice"


def test_what_stands_in_for_the_guard_is_run_as_a_dependency_for_optional_callers_too(either, guard):
    left = []

    async def name(x_name: Annotated[str, Header()]):
        return x_name

    async def stand_in(security_scopes: SecurityScopes, name: Annotated[str, Depends(name)]):
        yield Principal(f"{name} {security_scopes.scope_str}", ScopeSet())
        left.append(name)

    @either.get("/items/{id}")
    async def item(id: int, caller: Annotated[Principal | None, guard.optional("items")]):
        return [id, caller.subject]

    either.dependency_overrides[guard] = stand_in
    client = TestClient(either)

    assert client.get("/items/7", headers={"X-Name": "grace"}).json() == [7, "grace items"]
    assert left == ["grace"]
    assert client.get("/items/7").status_code == 422


def test_overriding_the_guard_reaches_optional_callers_of_a_websocket(either, guard):
    @either.websocket("/ws")
    async def ws(socket: WebSocket, caller: Annotated[Principal | None, guard.optional()]):
        await socket.accept()
        await socket.send_text(caller.subject if caller else "anonymous")
        await socket.close()

    either.dependency_overrides[guard] = ada
    with TestClient(either).websocket_connect("/ws") as socket:
        assert socket.receive_text() == "ada"


# -- something above an optional caller ----------------------------------------------------------------------------


def test_an_override_above_an_optional_caller_takes_its_requirement_with_it(app, guard, issuer):
    def maybe(caller: Annotated[Principal | None, guard.optional("me")]):
        return caller.subject

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(who: Annotated[Any, Depends(maybe)]):
        return who

    client = TestClient(app)
    assert client.get("/x", headers=issuer.bearer("items")).status_code == 403
    app.dependency_overrides[maybe] = lambda: "stand-in"

    assert client.get("/x", headers=issuer.bearer("items")).json() == "stand-in"
    assert client.get("/x", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/x").status_code == 401


def test_an_override_leaves_the_requirements_of_other_optional_callers(app, guard, issuer):
    ran = []

    async def spy():
        ran.append("spy")

    def maybe(caller: Annotated[Principal | None, guard.optional("me")]):
        return caller.subject

    async def strict(caller: Annotated[Principal, Security(guard, scopes=["posts:read"])]):
        return caller.subject

    @app.get("/x", dependencies=[Depends(spy), guard.requires("items")])
    async def x(
        one: Annotated[Any, Depends(maybe)],
        other: Annotated[Any, guard.optional("users:read")],
        third: Annotated[Any, Depends(strict)],
    ):
        return [one, other.subject, third]

    client = TestClient(app)
    app.dependency_overrides[maybe] = lambda: "stand-in"
    assert client.get("/x", headers=issuer.bearer("items users:read posts:read")).json() == [
        "stand-in",
        "alice",
        "alice",
    ]
    ran.clear()
    assert client.get("/x", headers=issuer.bearer("items posts:read")).status_code == 403
    app.dependency_overrides = {strict: lambda: "strict"}
    assert client.get("/x", headers=issuer.bearer("items users:read me")).json() == ["alice", "alice", "strict"]
    ran.clear()
    assert client.get("/x", headers=issuer.bearer("items users:read")).status_code == 403
    assert client.get("/x", headers=issuer.bearer("items me")).status_code == 403
    assert ran == []  # still decided before anything runs


def test_of_two_optional_callers_the_one_that_is_not_overridden_is_still_decided_early(app, guard, issuer):
    ran = []

    async def spy():
        ran.append("spy")

    def maybe(caller: Annotated[Principal | None, guard.optional("me")]):
        return caller

    @app.get("/x", dependencies=[Depends(spy)])
    async def x(one: Annotated[Any, Depends(maybe)], other: Annotated[Any, guard.optional("users:read")]):
        return [one, other and other.subject]

    client = TestClient(app)
    app.dependency_overrides[maybe] = lambda: "stand-in"

    assert client.get("/x").json() == ["stand-in", None]
    assert client.get("/x", headers=issuer.bearer("users:read")).json() == ["stand-in", "alice"]
    ran.clear()
    assert client.get("/x", headers=issuer.bearer("items")).status_code == 403
    assert client.get("/x", headers=NONSENSE).status_code == 401
    assert ran == []


def test_what_is_overridden_beside_an_optional_caller_leaves_him_optional(app, guard, issuer):
    needed = guard.requires("items")

    @app.get("/x", dependencies=[needed])
    async def x(caller: Annotated[Principal | None, guard.optional("me")]):
        return caller and caller.subject

    app.dependency_overrides[needed.dependency] = lambda: None
    client = TestClient(app)

    assert client.get("/x").json() is None
    assert client.get("/x", headers=issuer.bearer("me")).json() == "alice"
    assert client.get("/x", headers=issuer.bearer("items")).status_code == 403
    assert client.get("/x", headers=NONSENSE).status_code == 401
