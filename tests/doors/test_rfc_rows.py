"""Rows of the RFCs' checklist that concern the API's side, each as a request to a guarded application."""

import re
import time

import pytest
from fastapi import Body, Depends, FastAPI
from fastapi.testclient import TestClient

from bailiwick import Catalog, ConfigurationError, InvalidScope, InvalidToken, Scope, any_of
from bailiwick.asgi import Resource
from bailiwick.fastapi import Guard
from bailiwick.tokens import JWTVerifier, Keyring, SigningKey
from bailiwick.tokens.encoding import encode

ISSUER, AUDIENCE = "https://as.example", "https://api.example"
GRAMMAR = re.compile(r'Bearer [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, [a-z_]+="[\x20\x21\x23-\x5b\x5d-\x7e]*")*')
PARAMETER = re.compile(r'([a-z_]+)="([^"]*)"')


@pytest.fixture
def guard(catalog, issuer):
    return Guard(catalog, issuer.cached(), resource=Resource("https://api.example/v1"))


@pytest.fixture
def api(guard):
    app = FastAPI()
    parent = guard.requires("users:read")

    @app.get("/items", dependencies=[guard.requires("items")])
    async def items():
        return "in"

    @app.post("/items", dependencies=[guard.requires("items")])
    async def add(sent: object = Body(None)):
        return "in"

    @app.get("/nested", dependencies=[parent, guard.requires("posts:read", "posts:write")])
    async def nested(below: object = Depends(lambda: None)):
        return "in"

    @app.get("/any", dependencies=[guard.requires(any_of("posts:admin", "users:delete"))])
    async def either():
        return "in"

    guard.protect(app)
    with TestClient(app) as client:
        yield client


def challenge(answer):
    """The parameters of a well-formed challenge, each of which is there once."""
    value = answer.headers["www-authenticate"]
    assert GRAMMAR.fullmatch(value), value
    pairs = PARAMETER.findall(value)
    assert len(dict(pairs)) == len(pairs)
    return dict(pairs)


def test_r6750_01_a_token_in_two_places_is_an_invalid_request(api, issuer):
    token = issuer.token("items")
    answer = api.get("/items", params={"access_token": token}, headers={"authorization": f"Bearer {token}"})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    # Forms are never looked at, so that a token in one is nothing that was sent.
    answer = api.post("/items", data={"access_token": token})
    assert answer.status_code == 401


@pytest.mark.parametrize(
    "value", [b"Bearer", b"Bearer ", b"Bearer a b", b'Bearer a"b', b"Bearer a,b", b"Bearer a\x7fb", b"Bearer \xc3\xa9"]
)
def test_r6750_02_what_is_no_b64token_is_refused(api, value):
    answer = api.get("/items", headers=[(b"authorization", value)])
    assert answer.status_code == 401
    assert challenge(answer)["error"] == "invalid_token"


def test_r6750_02_two_spaces_before_a_token_are_within_the_grammar(api, issuer):
    assert api.get("/items", headers={"authorization": f"Bearer  {issuer.token('items')}"}).status_code == 200


@pytest.mark.parametrize("good_first", [True, False])
def test_r6750_04_of_two_headers_neither_counts(api, issuer, good_first):
    pair = [f"Bearer {issuer.token('items')}", "Bearer forged"]
    headers = [("authorization", value) for value in (pair if good_first else reversed(pair))]
    answer = api.get("/items", headers=headers)
    assert (answer.status_code, answer.json()["id"]) == (400, "BW201")


@pytest.mark.parametrize("form", ["data", "json", "files", "params"])
def test_r6750_05_r6750_06_r9700_20_only_the_header_carries_a_token(api, issuer, form):
    token = issuer.token("items")
    sent = {"access_token": ("t", token)} if form == "files" else {"access_token": token}
    answer = api.post("/items", **{form: sent})
    assert answer.status_code == 401
    assert "error" not in challenge(answer)
    assert api.get("/items", params={"access_token": token}).status_code == 401


@pytest.mark.parametrize("headers", [{}, {"authorization": "Basic YTpi"}])
def test_r6750_08_r6750_09_r6750_14_without_a_token_the_challenge_names_no_error(api, headers):
    answer = api.get("/items", headers=headers)
    assert answer.status_code == 401
    assert "realm" in challenge(answer)
    assert not {"error", "error_description"} & challenge(answer).keys()


@pytest.mark.parametrize("name", ['a"b', "a\\b", "a\nb", "é", "a b", ""])
def test_r6750_11_a_scope_that_no_challenge_could_name_cannot_be_declared(name):
    with pytest.raises((ConfigurationError, InvalidScope)):
        Catalog([Scope(name, "")])


@pytest.mark.parametrize("count", [1, 2, 20])
def test_r6750_11_the_scope_attribute_is_names_with_one_space_between_them(issuer, count):
    names = [f"s{number}!#[]~" for number in range(count)]
    guard = Guard(Catalog([Scope(name, "") for name in names]), issuer.cached())
    app = FastAPI()

    @app.get("/", dependencies=[guard.requires(*names)])
    async def here():
        return "in"

    guard.protect(app)
    told = challenge(TestClient(app).get("/", headers=issuer.bearer("other")))["scope"]
    assert re.fullmatch(r"[\x21\x23-\x5b\x5d-\x7e]+( [\x21\x23-\x5b\x5d-\x7e]+)*", told)
    assert sorted(told.split(" ")) == sorted(names)


def altered(token, part, index=5):
    parts = token.split(".")
    old = parts[part]
    parts[part] = old[:index] + ("A" if old[index] != "A" else "B") + old[index + 1 :]
    return ".".join(parts)


def failing(issuer):
    """Good tokens with one thing wrong each (RFC 9068 section 4)."""
    now = int(time.time())
    good = {"iss": ISSUER, "aud": AUDIENCE, "sub": "a", "client_id": "c", "iat": now, "exp": now + 60, "jti": "j"}
    good["scope"] = "items"
    yield "expired", issuer.token("items", lifetime=-60)
    yield "of another issuer", issuer.token("items", iss="https://other.example")
    yield "for another audience", issuer.token("items", aud="https://other.example")
    yield "not valid yet", issuer.token("items", nbf=now + 600)
    yield "of another type", issuer.signer.sign(good, typ="JWT")
    yield "altered in its claims", altered(issuer.token("items"), 1)
    yield "altered in its signature", altered(issuer.token("items"), 2)
    for name in ("iss", "exp", "aud", "sub", "client_id", "iat", "jti"):
        yield f"without {name}", issuer.signer.sign({key: value for key, value in good.items() if key != name})
    header, payload, _ = issuer.token("items").split(".")
    none = encode(b'{"alg":"none","typ":"at+jwt"}')
    yield "unsigned", f"{none}.{payload}."
    yield "without a signature", f"{header}.{payload}."


def test_r6750_13_r9068_14_whatever_is_wrong_with_a_token_is_invalid_token(api, issuer):
    assert api.get("/items", headers=issuer.bearer("items")).status_code == 200
    tried = 0
    for what, token in failing(issuer):
        answer = api.get("/items", headers={"authorization": f"Bearer {token}"})
        assert (what, answer.status_code) == (what, 401)
        assert (what, challenge(answer)["error"]) == (what, "invalid_token")
        assert token not in answer.text + answer.headers["www-authenticate"]
        tried += 1
    assert tried >= 16


def test_r6750_15_an_invalid_request_is_400(api, issuer):
    answer = api.get("/items?access_token=x", headers=issuer.bearer("items"))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


def test_r6750_18_r9728_08_too_few_scopes_are_answered_with_all_that_is_needed_and_each_parameter_once(api, issuer):
    told = challenge(api.get("/nested", headers=issuer.bearer("posts:read")))
    assert told["error"] == "insufficient_scope"
    assert sorted(told["scope"].split()) == ["posts:read", "posts:write", "users:read"]
    assert told["resource_metadata"] == "https://api.example/.well-known/oauth-protected-resource/v1"
    # Of alternatives one would do, so that one is named.
    assert challenge(api.get("/any", headers=issuer.bearer("items")))["scope"] in {"posts:admin", "users:delete"}


def test_r9728_01_r9728_02_r9728_04_r9728_06_the_metadata_stands_at_its_place_and_names_its_resource(api):
    answer = api.get("/.well-known/oauth-protected-resource/v1")
    assert answer.status_code == 200
    assert answer.headers["content-type"].split(";")[0] == "application/json"
    document = answer.json()
    # As configured, whatever host or prefix the request was sent to.
    assert document["resource"] == "https://api.example/v1"
    elsewhere = api.get("/.well-known/oauth-protected-resource/v1", headers={"host": "evil.example"})
    assert elsewhere.json() == document
    assert set(document["scopes_supported"]) == {
        "items", "posts:admin", "posts:read", "posts:write", "users:delete", "users:read",
    }  # fmt: skip


@pytest.mark.parametrize(
    "wrong",
    [
        "https://api.example/#x",
        "https://api.example/#",
        "https://a/?x=1",
        "https://a/?",
        "api.example",
        "/v1",
        "",
        "https://:8000/",
        "http://api.example",
        "http://127.0.0.1.example",
    ],
)
def test_r9728_01_a_resource_is_an_https_url_without_query_and_fragment(wrong):
    with pytest.raises(ConfigurationError):
        Resource(wrong)


@pytest.mark.parametrize(
    "right", ["https://api.example", "http://localhost:8000/v1", "http://127.0.0.1", "http://[::1]:1"]
)
def test_r9728_01_http_is_for_the_machine_it_is_written_on(right):
    assert Resource(right).metadata_url.startswith(right.split("//")[0])


def test_r9728_05_members_without_elements_are_left_out(catalog, issuer):
    guard = Guard(catalog, issuer.cached(), resource=Resource("https://api.example"))
    app = FastAPI()

    @app.get("/", dependencies=[guard.requires()])
    async def here():
        return "in"

    guard.protect(app)
    document = TestClient(app).get("/.well-known/oauth-protected-resource").json()
    assert document["resource"] == "https://api.example"
    assert all(document.values())


def test_r9728_07_the_challenge_names_a_document_that_is_there(api):
    named = challenge(api.get("/items"))["resource_metadata"]
    assert named.startswith("https://api.example/")
    assert api.get(named.removeprefix("https://api.example")).status_code == 200


def test_r8725_01_a_key_has_one_algorithm_and_a_token_chooses_none(issuer):
    with pytest.raises(TypeError):
        JWTVerifier(Keyring.from_keys(issuer.key), issuer=ISSUER, audience=AUDIENCE, algorithms=["none"])
    rsa = SigningKey.generate("RS256").to_jwk()
    with pytest.raises(ConfigurationError):
        Keyring.from_jwks({"keys": [rsa | {"alg": "HS256"}]})


def test_r8725_02_a_verifier_has_to_know_its_audience(issuer):
    keys = Keyring.from_keys(issuer.key)
    with pytest.raises(TypeError):
        JWTVerifier(keys, issuer=ISSUER)
    for nothing in ("", [], None):
        with pytest.raises(ConfigurationError):
            JWTVerifier(keys, issuer=ISSUER, audience=nothing)


@pytest.mark.anyio
@pytest.mark.parametrize("names", [("items", "admin:*"), ("admin:*", "items")])
async def test_r7519_02_a_claim_that_stands_twice_makes_no_token(issuer, names):
    header = encode(b'{"alg":"ES256","typ":"at+jwt","kid":"%s"}' % issuer.key.kid.encode())
    now = int(time.time())
    payload = encode(
        f'{{"iss":"{ISSUER}","aud":"{AUDIENCE}","sub":"a","client_id":"c","jti":"j","iat":{now},"exp":{now + 60},'
        f'"scope":"{names[0]}","scope":"{names[1]}"}}'.encode()
    )
    signed = f"{header}.{payload}.{encode(issuer.key.sign(f'{header}.{payload}'.encode()))}"
    with pytest.raises(InvalidToken):
        await issuer.cached().verify(signed)


def test_r6749_27_r6749_28_a_route_compares_scopes_as_a_set_and_by_their_case(issuer):
    guard = Guard(Catalog([Scope("Read", ""), Scope("read", ""), Scope("write", "")]), issuer.cached())
    app = FastAPI()

    @app.get("/", dependencies=[guard.requires("write", "Read")])
    async def here():
        return "in"

    guard.protect(app)
    client = TestClient(app)
    assert client.get("/", headers=issuer.bearer("Read write")).status_code == 200
    assert client.get("/", headers=issuer.bearer("write Read Read")).status_code == 200
    for held in ("read write", "READ write", "Read Write"):
        answer = client.get("/", headers=issuer.bearer(held))
        assert (held, answer.status_code) == (held, 403)


def test_r8693_10_whoever_acts_for_the_caller_brings_no_scopes_along(api, issuer):
    act = {"sub": "root", "scope": "items admin:*", "act": {"sub": "root", "scope": "admin:*"}}
    answer = api.get("/items", headers=issuer.bearer("me", act=act))
    assert (answer.status_code, challenge(answer)["error"]) == (403, "insufficient_scope")
    assert api.get("/items", headers=issuer.bearer("items", act=act)).status_code == 200


@pytest.mark.parametrize("root_path", ["/v1", "/behind/a/proxy"])
def test_r9728_06_the_metadata_names_the_same_resource_below_another_path(api, root_path):
    here = "/.well-known/oauth-protected-resource/v1"
    answer = TestClient(api.app, root_path=root_path).get(here)
    assert answer.status_code == 200
    assert answer.json() == api.get(here).json()
