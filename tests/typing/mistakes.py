"""What a type checker must refuse; each line that it must complain about says with which code."""

from bailiwick import Catalog, Principal, ScopeSet, all_of, any_of, asgi
from bailiwick.fastapi import Guard

catalog = Catalog(["users:read"])
caller = Principal("alice", ScopeSet())


class NoVerifier:
    def verify(self, token: str) -> bool:
        return bool(token)


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
