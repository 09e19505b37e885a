"""What users write, as a type checker sees it; `test_types.py` runs mypy over it."""

from collections.abc import Callable
from typing import Annotated, Any, assert_type

from fastapi import FastAPI, Security
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from bailiwick import (
    Catalog,
    Principal,
    Requirement,
    Scope,
    ScopeSet,
    all_of,
    any_of,
    asgi,
    fastapi,
    fasterapi,
    starlette,
)
from bailiwick.fastapi import Guard, Ownership
from bailiwick.graph import Plan
from bailiwick.tokens import JWTVerifier, Keyring

catalog = Catalog([Scope("users:read", "Read users"), Scope("users:delete")], roles={"reader": ["users:read"]})
verifier = JWTVerifier(Keyring.from_secret("x" * 64), issuer="https://as.example", audience="https://api.example")
guard = Guard(catalog, verifier)
app = FastAPI()
guard.protect(app, docs=guard.public("documentation"), mounts={"/files": guard.requires("users:read")})

assert_type(guard.plan(app), Plan)
assert_type(all_of("users:read") & any_of("users:read", "users:delete") | all_of("users:delete"), Requirement)
assert_type(catalog.covers("users:read", "users:read"), bool)
assert_type(ScopeSet.parse("a b") & ScopeSet(["a"]), ScopeSet)

Caller = Annotated[Principal | None, guard.optional()]


@app.get("/users")
async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]) -> str:
    assert_type(caller, Principal)
    assert_type(caller.subject, str)
    assert_type(caller.scopes, ScopeSet)
    assert_type(caller.client_id, str | None)
    assert_type(caller.audience, tuple[str, ...])
    assert_type(caller.expires_at, float | None)
    assert_type(caller.has("users:read"), bool)
    caller.require("users:read", any_of("users:delete"))
    return caller.subject


@app.get("/maybe")
async def maybe(caller: Caller) -> str | None:
    assert_type(caller, Principal | None)
    return caller.subject if caller else None


@app.patch("/users/{name}")
async def change(name: str, own: Annotated[Ownership, guard.owner_or("users:delete", own="users:read")]) -> bool:
    own.check(name)
    assert_type(own.caller, Principal)
    return own.over_all


@app.delete("/users/{name}", dependencies=[guard.requires(any_of("users:delete"), acr="gold", max_age=300)])
async def delete(name: str) -> str:
    return name


def number(request: Request) -> int:
    return 1


plain = starlette.Guard(catalog, verifier)


@plain.requires("users:read")
async def page(request: Request) -> Response:
    assert_type(plain.caller(request.scope), Principal | None)
    return PlainTextResponse("page")


@plain.public("health")
async def health(request: Request) -> Response:
    return PlainTextResponse("well")


@plain.optional("users:read")
class Page(HTTPEndpoint):
    async def get(self, request: Request) -> Response:
        return await page(request)


assert_type(Page, type[Page])
count: Callable[[Request], int] = plain.requires("users:read")(number)


site = Starlette(routes=[Route("/", page), Route("/health", health)])
plain.protect(site, default=plain.requires(max_age=60, acr=["gold"]), mounts={"/x": plain.public("logos")})


def heard(decision: asgi.Decision) -> None:
    assert_type(decision.allowed, bool)
    assert_type(decision.principal, Principal | None)


wrapped = asgi.Guard(catalog, verifier, on_decision=heard).wrap(site, all_of("users:read"))
assert_type(wrapped, asgi.Gate)


class Own:
    """A verifier of the user's own needs one method."""

    async def verify(self, token: str) -> Principal:
        return Principal("somebody", ScopeSet(), claims={"from": token})


def heard_closely(conn: asgi.Conn, ends: asgi.OnExpiry) -> object:
    return conn["type"], ends


asgi.Guard(catalog, Own())
fastapi.Guard(
    catalog,
    Own(),
    token_url="token",
    authorization_url=None,
    password_flow=True,
    scheme_name="people",
    realm="api",
    resource=asgi.Resource("https://api.example", scopes_supported=("users:read",)),
    disclose_scopes=False,
    on_decision=heard,
    on_expiry="ignore",
    now=lambda: 1.0,
)
assert_type(asgi.Guard(catalog, Own()).public("why"), asgi.Public)
sent = Principal("ada", ScopeSet()).to_dict()
assert_type(sent["subject"], Any)

faster = fasterapi.Guard(catalog, Own(), on_expiry="close", resource_metadata="https://api.example/meta")
any_application: Any = object()


def faster_application() -> None:
    faster.protect(any_application, default=faster.requires("users:read"), docs=faster.public("documentation"))
    faster.require_scope("users:read")
    fasterapi.require_scope("users:read")
    assert_type(faster.plan(any_application), Plan)
