"""What leaves a process of a Principal and of a ScopeSet: copies, pickles and JSON."""

import copy
import dataclasses
import json
import pickle

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from bailiwick import Catalog, Principal, ScopeSet

CATALOG = Catalog(["users:read", "ab"])
SECRETS = {"email": "ada@example.org", "realm_access": {"roles": ["boss"]}}
CALLER = Principal(
    "ada",
    ScopeSet(["users:read", "ab"]),
    client_id="web",
    issuer="https://as.example",
    audience=("https://api.example",),
    expires_at=2000.5,
    token_id="jti-1",
    claims=SECRETS,
).under(CATALOG)
SHOWN = {
    "subject": "ada",
    "scopes": ["users:read", "ab"],
    "client_id": "web",
    "issuer": "https://as.example",
    "audience": ["https://api.example"],
    "expires_at": 2000.5,
}


@dataclasses.dataclass
class Job:
    caller: Principal
    scopes: ScopeSet


class Told(BaseModel):
    caller: Principal
    scopes: ScopeSet


def test_he_and_his_scopes_copy_as_themselves():
    assert copy.copy(CALLER) is CALLER
    assert copy.deepcopy(CALLER) is CALLER
    assert dataclasses.asdict(Job(CALLER, CALLER.scopes)) == {"caller": CALLER, "scopes": CALLER.scopes}
    assert copy.deepcopy(CALLER.scopes) is CALLER.scopes


def test_a_pickle_of_him_holds_who_he_is_and_no_claim():
    written = pickle.dumps(CALLER)
    read = pickle.loads(written)

    assert b"example.org" not in written
    assert b"boss" not in written
    assert (read.subject, read.scopes, read.client_id, read.issuer) == ("ada", CALLER.scopes, "web", CALLER.issuer)
    assert (read.audience, read.expires_at, read.token_id) == (CALLER.audience, 2000.5, "jti-1")
    assert dict(read.claims) == {}


def test_what_comes_out_of_a_pickle_decides_nothing_before_it_is_given_a_catalog():
    read = pickle.loads(pickle.dumps(CALLER))

    with pytest.raises(RuntimeError, match="under"):
        read.has("users:read")
    assert read.under(CATALOG).has("users:read")


def test_his_dictionary_is_json_and_says_who_he_is_without_claims_and_token_id():
    assert json.loads(json.dumps(CALLER.to_dict())) == SHOWN


def test_pydantic_writes_of_him_what_his_dictionary_says():
    told = Told(caller=CALLER, scopes=CALLER.scopes)

    assert json.loads(told.model_dump_json()) == {"caller": SHOWN, "scopes": SHOWN["scopes"]}
    assert TypeAdapter(Principal).dump_python(CALLER, mode="json") == SHOWN


@pytest.mark.parametrize("sent", [SHOWN, {}, "ada", None, ["ada"]])
def test_nothing_that_was_sent_becomes_a_principal(sent):
    with pytest.raises(ValidationError):
        TypeAdapter(Principal).validate_python(sent)
    with pytest.raises(ValidationError):
        TypeAdapter(Principal).validate_json(json.dumps(sent))


def test_pydantic_reads_a_list_of_scopes():
    read = TypeAdapter(ScopeSet)

    assert read.validate_python(["users:read", "ab"]) == read.validate_json('["ab", "users:read"]') == CALLER.scopes
    assert read.json_schema() == {"type": "array", "items": {"type": "string"}}


@pytest.mark.parametrize("sent", ["users:read", ["users read"], [""], [7], 7, None, {"users:read": 1}])
def test_what_is_no_list_of_scopes_is_a_mistake_of_the_sender(sent):
    with pytest.raises(ValidationError):
        TypeAdapter(ScopeSet).validate_python(sent)
    with pytest.raises(ValidationError):
        TypeAdapter(ScopeSet).validate_json(json.dumps(sent))
