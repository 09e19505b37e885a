"""A handler that returns who calls, as FastAPI's tutorial does, answers what is safe to show."""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from fastapi.testclient import TestClient
from pydantic import BaseModel

from bailiwick import Catalog, Principal, ScopeSet
from bailiwick.fastapi import Guard

CLAIMS = {"email": "ada@example.org", "realm_access": {"roles": ["boss"]}}
SHOWN = {
    "subject": "ada",
    "scopes": ["ab", "users:read"],
    "client_id": "web",
    "issuer": "",
    "audience": [],
    "expires_at": None,
}


class Derived(Principal):
    __slots__ = ()


class One:
    kind = Principal

    async def verify(self, token):
        return self.kind("ada", ScopeSet(["ab", "users:read"]), client_id="web", token_id=token, claims=CLAIMS)


class Profile(BaseModel):
    caller: Principal
    scopes: ScopeSet


verifier = One()
guard = Guard(Catalog(["ab", "users:read"]), verifier)
Caller = Annotated[Principal, Security(guard, scopes=["ab"])]
app = FastAPI()
guard.protect(app)


@app.get("/plain")
async def plain(caller: Caller):
    return caller


@app.get("/typed")
async def typed(caller: Caller) -> Principal:
    return caller


@app.get("/model")
async def model(caller: Caller) -> Profile:
    return Profile(caller=caller, scopes=caller.scopes)


@app.get("/nested")
async def nested(caller: Caller):
    return {"caller": caller, "scopes": caller.scopes, "all": [caller]}


@app.get("/scopes")
async def scopes(caller: Caller) -> ScopeSet:
    return caller.scopes


def answer_of(path) -> Any:
    with TestClient(app) as client:
        answer = client.get(path, headers={"Authorization": "Bearer opaque-and-secret"})
    assert answer.status_code == 200, answer.text
    assert "example.org" not in answer.text
    assert "boss" not in answer.text
    assert "opaque-and-secret" not in answer.text
    return answer.json()


@pytest.mark.parametrize("kind", [Principal, Derived])
def test_the_caller_is_answered_without_claims_and_token(kind, monkeypatch):
    monkeypatch.setattr(verifier, "kind", kind, raising=False)

    assert answer_of("/plain") == SHOWN
    assert answer_of("/nested") == {"caller": SHOWN, "scopes": SHOWN["scopes"], "all": [SHOWN]}


def test_the_caller_as_a_declared_answer_is_the_same():
    assert answer_of("/typed") == SHOWN
    assert answer_of("/model") == {"caller": SHOWN, "scopes": SHOWN["scopes"]}
    assert answer_of("/scopes") == SHOWN["scopes"]


def test_the_document_of_such_routes_can_be_written():
    described = app.openapi()["paths"]["/typed"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]

    assert described["type"] == "object"
