"""Guards that somebody derives to decide more: what they write is what counts, or they are told that it would not."""

from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Request, Security, WebSocket
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection

from bailiwick import Principal, ScopeSet, any_of
from bailiwick.errors import BailiwickError, ConfigurationError, InvalidToken
from bailiwick.fastapi import Guard, Ownership


class Banning(Guard):
    """Refuses somebody where a SecurityBase usually does: in `__call__`."""

    async def __call__(self, conn: HTTPConnection, security_scopes: SecurityScopes) -> Principal:
        caller = await super().__call__(conn, security_scopes)
        if caller.subject == "mallory":
            raise InvalidToken("The caller is banned.")
        return caller


class Lessening(Guard):
    """Names somebody who may less than the token says."""

    asked = 0

    async def authenticate(self, conn):
        self.asked += 1
        caller = await super().authenticate(conn)
        fewer = [scope for scope in caller.scopes if scope != "users:delete"]
        return Principal(f"{caller.subject}@tenant", ScopeSet(fewer), catalog=self.catalog)


def test_a_guard_that_overrides_call_is_refused_because_it_would_never_run(catalog, issuer):
    with pytest.raises(ConfigurationError) as refused:
        Banning(catalog, issuer).protect(FastAPI())

    assert (
        refused.value.description
        == "Banning overrides __call__, which never runs under protect(); override authenticate() instead."
    )
    assert refused.value.id == "BW123"


def test_a_guard_that_inherits_an_overridden_call_is_refused_too(catalog, issuer):
    class Derived(Banning):
        pass

    with pytest.raises(ConfigurationError, match="overrides __call__"):
        Derived(catalog, issuer).protect(FastAPI())


def test_without_protect_an_overridden_call_runs(catalog, issuer):
    guard = Banning(catalog, issuer)
    app = FastAPI()

    @app.get("/x", dependencies=[guard.requires("users:read")])
    async def x():
        return "reached"

    client = TestClient(app)
    assert client.get("/x", headers=issuer.bearer("users:read")).status_code == 200
    assert client.get("/x", headers=issuer.bearer("users:read", "mallory")).status_code == 401


@pytest.mark.parametrize("protected", [True, False])
@pytest.mark.parametrize("how", ["security", "requires", "optional", "nested", "owner"])
def test_handlers_are_given_whom_an_overridden_authenticate_names(catalog, issuer, how, protected):
    guard = Lessening(catalog, issuer)
    app = FastAPI()
    if protected:
        guard.protect(app)

    async def current(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]):
        return caller

    declared = {
        "security": Annotated[Principal, Security(guard, scopes=["users:read"])],
        "requires": Annotated[Principal, guard.requires(any_of("users:read", "me"))],
        "optional": Annotated[Principal | None, guard.optional("users:read")],
        "nested": Annotated[Principal, Depends(current)],
        "owner": Annotated[Ownership, guard.owner_or("users:delete", own="users:read")],
    }[how]

    @app.get("/x")
    async def x(caller: declared):
        named = getattr(caller, "caller", caller)
        return [named.subject, named.has("users:delete")]

    for _ in range(2):
        response = TestClient(app).get("/x", headers=issuer.bearer("users:read users:delete"))

        assert response.json() == ["alice@tenant", False]


@pytest.mark.parametrize("protected", [True, False])
def test_what_an_overridden_authenticate_takes_away_is_missing_everywhere(catalog, issuer, protected):
    guard = Lessening(catalog, issuer)
    app = FastAPI()
    if protected:
        guard.protect(app)

    @app.get("/one", dependencies=[guard.requires("users:delete")])
    async def one():
        return "reached"

    # More than one alternative, or a step-up: nothing of it stands in the scopes that the guard itself is given.
    @app.get("/either", dependencies=[guard.requires(any_of("users:delete", "posts:admin"))])
    async def either():
        return "reached"

    @app.get("/stronger", dependencies=[guard.requires("users:read", acr="gold")])
    async def stronger():
        return "reached"

    client = TestClient(app)
    bearer = issuer.bearer("users:read users:delete", acr="gold")
    assert client.get("/one", headers=bearer).status_code == 403
    assert client.get("/either", headers=bearer).status_code == 403
    assert client.get("/stronger", headers=bearer).status_code == 401  # whom it names has no such claim


def test_one_request_without_protect_asks_an_overridden_authenticate_once(catalog, issuer):
    guard = Lessening(catalog, issuer)
    app = FastAPI(dependencies=[guard.requires("users:read")])

    @app.get("/x", dependencies=[guard.requires(any_of("me", "items"))])
    async def x(caller: Annotated[Principal, Security(guard)]):
        return caller.subject

    client = TestClient(app)
    assert client.get("/x", headers=issuer.bearer("users:read me")).json() == "alice@tenant"
    assert guard.asked == 1


def test_a_websocket_is_given_whom_an_overridden_authenticate_names(catalog, issuer):
    guard = Lessening(catalog, issuer)
    app = FastAPI()
    guard.protect(app)

    @app.websocket("/ws")
    async def ws(socket: WebSocket, caller: Annotated[Principal, guard.requires("users:read")]):
        await socket.accept()
        await socket.send_text(caller.subject)
        await socket.close()

    with TestClient(app).websocket_connect("/ws", headers=issuer.bearer("users:read")) as socket:
        assert socket.receive_text() == "alice@tenant"


@pytest.mark.parametrize("reading", ["headers", "request", "mutable"])
def test_who_reads_the_headers_in_between_makes_no_requirement_be_forgotten(catalog, issuer, reading):
    # Starlette's Headers(scope=...) puts another list of the same headers into the connection.
    guard = Guard(catalog, issuer.cached())
    app = FastAPI()
    app.add_exception_handler(BailiwickError, guard.handle_error)

    async def tenant(request: Request):
        kind = {"headers": Headers, "mutable": MutableHeaders}.get(reading)
        headers = kind(scope=request.scope) if kind is not None else Request(request.scope).headers
        return headers.get("x-tenant")

    @app.get("/any", dependencies=[guard.requires()])
    async def either(
        t: Annotated[object, Depends(tenant)],
        caller: Annotated[Principal, guard.requires(any_of("items", "users:read"))],
    ):
        return "in"

    @app.get("/fresh", dependencies=[guard.requires("me")])
    async def fresh(t: Annotated[object, Depends(tenant)], caller: Annotated[Principal, guard.requires(max_age=1)]):
        return "in"

    client = TestClient(app)
    for path, status in (("/any", 403), ("/fresh", 401)):
        assert client.get(path, headers=issuer.bearer("me")).status_code == status


@pytest.mark.parametrize("protected", [True, False])
def test_a_derived_guard_is_asked_once_for_each_request_whoever_reads_the_headers(catalog, issuer, protected):
    asked = []

    class Asking(Guard):
        async def authenticate(self, conn):
            asked.append(conn["path"])
            return await super().authenticate(conn)

    guard = Asking(catalog, issuer.cached())
    app = FastAPI()
    if protected:
        guard.protect(app)

    @app.get("/x", dependencies=[guard.requires("items")])
    async def x(request: Request, caller: Annotated[Principal, Security(guard, scopes=["items"])]):
        assert request.headers
        assert guard.caller(request.scope) is caller
        return "in"

    assert TestClient(app).get("/x", headers=issuer.bearer("items")).status_code == 200
    assert asked == ["/x"]
