"""The claims of RFC 9068, one by one; and the Principal that they prove."""

from __future__ import annotations

import asyncio
import json

import pytest

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import JWTVerifier, Keyring, KeySource, Signer, SigningKey
from bailiwick.tokens.encoding import encode

START = 1_800_000_000


def refusal(world, *, typ: str = "at+jwt", settings: dict | None = None, **changes) -> str:
    token = world.token(typ=typ, **changes)
    with pytest.raises(InvalidToken) as refused:
        world.verify(token, **(settings or {}))
    return refused.value.id


def test_a_good_token_proves_a_principal(world):
    caller = world.verify(world.token(aud=["https://api.example", "https://other.example"], act={"sub": "bot"}))
    assert (caller.subject, caller.client_id, caller.issuer) == ("user-1", "client-1", "https://as.example")
    assert caller.audience == ("https://api.example", "https://other.example")
    assert (caller.expires_at, caller.token_id) == (START + 600, "j-1")
    assert set(caller.scopes) == {"read", "write"}
    assert caller.claims["act"]["sub"] == "bot"


def test_neither_token_nor_claims_show_in_the_principal(world):
    token = world.token(email="alice@example.org")
    shown = repr(world.verify(token))
    assert "alice" not in shown
    assert token.split(".")[1] not in shown


def test_claims_cannot_be_changed_at_any_depth(world):
    claims = world.verify(world.token(address={"country": "LI"}, groups=["a", {"b": 1}])).claims
    with pytest.raises(TypeError):
        claims["sub"] = "root"
    with pytest.raises(TypeError):
        claims["address"]["country"] = "CH"
    with pytest.raises(AttributeError):
        claims["groups"].append("admin")
    with pytest.raises(TypeError):
        claims["groups"][1]["b"] = 2


@pytest.mark.parametrize("name", ["iss", "exp", "aud", "sub", "client_id", "iat", "jti"])
@pytest.mark.parametrize("value", [..., None], ids=["missing", "null"])
def test_a_claim_of_rfc_9068_is_required(world, name, value):
    assert refusal(world, **{name: value}) == "BW210"


@pytest.mark.parametrize("name", ["client_id", "iat", "jti"])
def test_a_requirement_can_be_dropped_but_a_present_claim_is_still_checked(world, name):
    assert world.verify(world.token(**{name: ...}), required=()).subject == "user-1"
    assert refusal(world, settings={"required": ()}, **{name: None}) == "BW210"
    assert refusal(world, settings={"required": ()}, **{name: [1]}) == "BW210"


@pytest.mark.parametrize("name", ["iss", "exp", "aud", "sub"])
def test_some_requirements_cannot_be_dropped(world, name):
    assert refusal(world, settings={"required": ()}, **{name: ...}) == "BW210"


def test_more_claims_can_be_required(world):
    assert refusal(world, settings={"required": ("authz",)}) == "BW210"
    assert world.verify(world.token(authz="a-1"), required=("authz",)).claims["authz"] == "a-1"


TIMES = ["1800000600", True, None, [], {}, -1, -0.5, 253_402_300_800, 10**30, 1e300]


@pytest.mark.parametrize("name", ["exp", "iat", "nbf"])
@pytest.mark.parametrize("value", TIMES)
def test_a_time_is_a_number_of_seconds_and_nothing_else(world, name, value):
    assert refusal(world, **{name: value}) == "BW210"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1" * 400])
def test_a_time_that_json_has_no_number_for_is_refused(world, value):
    payload = json.dumps(world.claims()).replace("1800000600", value).encode()
    header = encode(b'{"alg":"ES256","typ":"at+jwt","kid":"k-1"}')
    message = f"{header}.{encode(payload)}"
    with pytest.raises(InvalidToken) as refused:
        world.verify(f"{message}.{encode(world.key.sign(message.encode()))}")
    assert refused.value.id == "BW202"


def test_a_token_ends_at_exp_and_the_leeway(world):
    token = world.token(exp=START + 600.5)
    for leeway, last in ((0, START + 600.4), (30, START + 630.4)):
        world.time = last
        assert world.verify(token, leeway=leeway).subject == "user-1"
        world.time = last + 0.1
        with pytest.raises(InvalidToken) as refused:
            world.verify(token, leeway=leeway)
        assert refused.value.id == "BW208"


@pytest.mark.parametrize("name", ["nbf", "iat"])
def test_a_token_starts_at_its_time_less_the_leeway(world, name):
    assert world.verify(world.token(**{name: START + 30})).subject == "user-1"
    assert refusal(world, **{name: START + 31}) == "BW209"
    assert refusal(world, settings={"leeway": 0}, **{name: START + 1}) == "BW209"


@pytest.mark.parametrize(
    "aud", [[], "", [""], [1], ["https://api.example", 1], ["https://api.example", ""], {}, True, [[]]]
)
def test_an_audience_is_text_or_a_list_of_texts(world, aud):
    assert refusal(world, aud=aud) in {"BW207", "BW210"}


def test_one_of_several_audiences_is_enough(world):
    settings = {"audience": ["https://old.example", "https://api.example"]}
    assert world.verify(world.token(), **settings).subject == "user-1"
    assert world.verify(world.token(aud="https://old.example"), **settings).subject == "user-1"
    assert refusal(world, settings=settings, aud="https://other.example") == "BW207"


@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
@pytest.mark.parametrize("value", ["", 1, True, ["a"], {"a": 1}, "a\x00b", "a\nb", "a\x7f", "a\u2028b", "a\x85"])
def test_an_identifier_is_text_without_control_characters(world, name, value):
    assert refusal(world, **{name: value}) == "BW210"


def test_an_identifier_may_be_in_any_script(world):
    assert world.verify(world.token(sub="Ünïcødé 用户|42")).subject == "Ünïcødé 用户|42"


def test_the_client_may_be_named_by_another_claim(world):
    settings = {"client_claim": "azp", "required": ("azp",)}
    assert world.verify(world.token(azp="web"), **settings).client_id == "web"
    assert refusal(world, settings=settings) == "BW210"


@pytest.mark.parametrize("cnf", [{"jkt": "x"}, {"x5t#S256": "x"}, {}, None, "x"])
def test_a_bound_token_is_no_bearer_token(world, cnf):
    assert refusal(world, cnf=cnf) == "BW216"


def test_one_claim_holds_the_scopes_and_no_other_is_united_with_it(world):
    both = {"scope": "read", "scopes": ["write"], "scp": "admin", "permissions": ["delete"]}
    assert set(world.verify(world.token(**both)).scopes) == {"read"}
    assert set(world.verify(world.token(**both), scope_claim="scopes").scopes) == {"write"}
    assert set(world.verify(world.token(**both), scope_claim="scp").scopes) == {"admin"}


@pytest.mark.parametrize(("scope", "held"), [("", set()), ([], set()), (..., set()), (["a:b", "c"], {"a:b", "c"})])
def test_scopes_are_a_string_or_a_list_or_none(world, scope, held):
    assert set(world.verify(world.token(scope=scope)).scopes) == held


@pytest.mark.parametrize("scope", [None, 1, {"read": True}, "a  b", " a", "a ", "a\tb", ["a b"], [None], [["a"]], 'a"'])
def test_a_malformed_scope_claim_is_refused(world, scope):
    assert refusal(world, scope=scope) == "BW211"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
def test_the_type_is_compared_as_a_media_type(world, typ):
    assert world.verify(world.token(typ=typ)).subject == "user-1"


@pytest.mark.parametrize("typ", ["JWT", "", "at+jwt ", "xat+jwt", "application/application/at+jwt", "text/at+jwt"])
def test_another_type_is_refused(world, typ):
    assert refusal(world, typ=typ) == "BW205"


def test_other_types_can_be_named_or_left_open(world):
    assert world.verify(world.token(typ="JWT"), types=("JWT",)).subject == "user-1"
    assert world.verify(world.token(typ="whatever"), types=None).subject == "user-1"
    assert refusal(world, settings={"types": ("JWT",)}) == "BW205"


def untyped(world) -> str:
    header = encode(b'{"alg":"ES256"}')
    message = f"{header}.{encode(json.dumps(world.claims()).encode())}"
    return f"{message}.{encode(world.key.sign(message.encode()))}"


def test_a_token_without_a_type_is_taken_only_where_types_are_left_open(world):
    assert world.verify(untyped(world), types=None).subject == "user-1"
    with pytest.raises(InvalidToken) as refused:
        world.verify(untyped(world))
    assert refused.value.id == "BW205"


@pytest.mark.parametrize("cty", ["JWT", "jwt", "application/jwt", 1, None])
def test_a_nested_token_is_refused(world, cty):
    header = encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "cty": cty}).encode())
    message = f"{header}.{encode(json.dumps(world.claims()).encode())}"
    with pytest.raises(InvalidToken):
        world.verify(f"{message}.{encode(world.key.sign(message.encode()))}")


def test_header_parameters_that_nobody_knows_are_ignored(world):
    header = encode(json.dumps({"alg": "ES256", "typ": "at+jwt", "x-trace": {"a": [1]}, "cty": "json"}).encode())
    message = f"{header}.{encode(json.dumps(world.claims()).encode())}"
    assert world.verify(f"{message}.{encode(world.key.sign(message.encode()))}").subject == "user-1"


@pytest.mark.parametrize(
    "settings",
    [
        {"issuer": ""},
        {"issuer": None},
        {"issuer": ["https://as.example"]},
        {"audience": ""},
        {"audience": []},
        {"audience": None},
        {"audience": [""]},
        {"audience": [1]},
        {"audience": b"x"},
        {"leeway": -1},
        {"leeway": 301},
        {"leeway": float("nan")},
        {"leeway": True},
        {"leeway": "30"},
        {"scope_claim": ""},
        {"scope_claim": ["scope", "scp"]},
        {"client_claim": ""},
        {"types": ()},
        {"types": "at+jwt"},
        {"types": [None]},
        {"required": "sub"},
        {"required": [1]},
        {"max_bytes": 0},
        {"cache_size": -1},
        {"cache_seconds": -1},
        {"cache_seconds": float("nan")},
    ],
    ids=str,
)
def test_a_setting_that_is_empty_or_of_the_wrong_type_is_refused_at_start(world, settings):
    with pytest.raises(ConfigurationError):
        world.verifier(**settings)


@pytest.mark.parametrize("keys", ["secret", {"keys": []}, object()])
def test_keys_are_a_keyring_or_another_source(keys):
    with pytest.raises(ConfigurationError):
        JWTVerifier(keys, issuer="https://as.example", audience="https://api.example")


def test_a_source_that_returns_keys_of_another_algorithm_or_too_many_proves_nothing(world):
    class Careless:
        def __init__(self, *keys):
            self.keys = keys

        async def find(self, kid, alg):
            return self.keys

    wrong = Keyring.from_secret(bytes(range(32))).keys
    good = world.key.key
    assert isinstance(Careless(), KeySource)
    for keys, expected in (((), "BW203"), (wrong, "BW203"), ((good,) * 9, "BW203")):
        with pytest.raises(InvalidToken) as refused:
            asyncio.run(world.verifier(Careless(*keys)).verify(world.token()))
        assert refused.value.id == expected
    assert asyncio.run(world.verifier(Careless(*wrong, good)).verify(world.token())).subject == "user-1"


def test_a_key_of_another_algorithm_is_not_tried_whatever_the_source_returns(world):
    secret = SigningKey.generate("HS256", kid="k-1")

    class Confused:
        async def find(self, kid, alg):
            return (secret.key,)

    header = encode(b'{"alg":"ES256","typ":"at+jwt","kid":"k-1"}')
    message = f"{header}.{encode(json.dumps(world.claims()).encode())}"
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(world.verifier(Confused()).verify(f"{message}.{encode(secret.sign(message.encode()))}"))
    assert refused.value.id == "BW203"


@pytest.mark.parametrize("claim", [float("nan"), "\ud800", object()])
def test_a_claim_without_a_json_form_is_not_signed(world, claim):
    with pytest.raises((ValueError, TypeError)):
        Signer(world.key).sign(world.claims(x=claim))


def test_a_signer_needs_a_signing_key(world):
    with pytest.raises(ConfigurationError):
        Signer(world.key.key)  # type: ignore[arg-type]
