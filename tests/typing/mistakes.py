"""What a type checker must refuse; each line that it must complain about says with which code."""

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

from bailiwick import Catalog, Principal, ScopeSet, all_of, any_of, asgi, fasterapi, starlette
from bailiwick.fastapi import Guard

catalog = Catalog(["users:read"])
caller = Principal("alice", ScopeSet())


class NoVerifier:
    def verify(self, token: str) -> bool:
        return bool(token)


class Verifies:
    async def verify(self, token: str) -> Principal:
        return Principal(token, ScopeSet())


asgi.Guard(catalog, NoVerifier())  # expect: arg-type
Guard({"users:read": ""}, NoVerifier())  # expect: arg-type
any_of(["users:read", "users:write"])  # expect: arg-type
all_of(7)  # expect: arg-type
all_of("a") & "b"  # expect: operator
caller.subject = "bob"  # a Principal is immutable, which only its __setattr__ knows
caller.has(["users:read"])  # expect: arg-type
print(caller.nothing)  # noqa: T201  # expect: attr-defined
ScopeSet.parse(7)  # expect: arg-type


async def hook(decision: asgi.Decision) -> None:
    assert decision.allowed


asgi.Guard(catalog, caller)  # expect: arg-type
asgi.Guard(catalog, NoVerifier(), on_decision=7)  # expect: arg-type

app = FastAPI()
guard = Guard(catalog, Verifies())
plain = starlette.Guard(catalog, Verifies())
guard.protect(app, default="users:read")  # expect: arg-type
guard.protect(app, docs="public")  # expect: arg-type
guard.protect(app, mounts={"/x": "users:read"})  # expect: dict-item
guard.protect(app, default=guard)  # expect: arg-type
guard.requires(["users:read"])  # expect: arg-type
guard.requires("users:read", on_expiry="shut")  # expect: arg-type
guard.owner_or("users:read", own=7)  # expect: arg-type
guard.optional(7)  # expect: arg-type
guard.public(7)  # expect: arg-type
Guard(catalog, Verifies(), on_expiry="shut")  # expect: arg-type
Guard(catalog, Verifies(), relm="api")  # expect: call-arg
fasterapi.Guard(catalog, Verifies(), resource="https://api.example")  # expect: arg-type
plain.protect(Starlette(), default="users:read")  # expect: arg-type
plain.requires("users:read", on_expiry="shut")  # expect: arg-type


@plain.requires("users:read")
async def page(request: Request) -> Response:
    return Response()


never = page(7)  # expect: arg-type
