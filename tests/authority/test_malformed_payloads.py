"""Signed texts whose payload nobody can read, wherever the authority reads one: refused like any other, never an error of ours."""

import json
import secrets

import pytest

from bailiwick.authority import TokenRequest
from bailiwick.authority.request import ASSERTION_TYPE
from bailiwick.errors import ConfigurationError
from bailiwick.tokens import Keyring, SigningKey
from bailiwick.tokens.encoding import encode, write_json

pytestmark = pytest.mark.anyio

KEY, STRANGER = SigningKey.generate("ES256", kid="k"), SigningKey.generate("ES256", kid="k")
JWKS = json.dumps(Keyring.from_keys(KEY).public_jwks())
MALFORMED = {
    "nothing": "",
    "a length that no octets have": "A",
    "bits that belong to no octet": "e31",
    "padding": "e30=",
    "a NUL": "e30\0",
    "no ASCII": "e30é",
    "a lone surrogate": "\ud800",
    "no UTF-8": encode(b"\xff"),
    "no JSON": encode(b"{"),
    "a list": encode(b"[]"),
    "null": encode(b"null"),
    "an escaped surrogate": encode(b'{"sub":"\\udfff","jti":"\\udfff"}'),
    "a member named twice": encode(b'{"sub":"signer","sub":"signer","jti":"a","jti":"b"}'),
}
ODD_SUBJECTS = [None, 7, True, [], {}, ["signer"], {"signer": 1}, "", "\0", "signer\0", "é" * 300, "x" * 10_000]


def sign(payload, key=KEY, typ="JWT"):
    message = f"{encode(write_json({'alg': 'ES256', 'typ': typ, 'kid': 'k'}))}.{payload}"
    return f"{message}.{encode(key.sign(message.encode('utf-8', 'surrogatepass')))}"


@pytest.fixture
async def world(make_flows):
    flows = await make_flows().furnish()
    await flows.admin.create_client("signer", grants=["client_credentials"], scopes=["users:read"], jwks=JWKS)
    return flows


async def ask(world, assertion, **more):
    form = {
        "grant_type": "client_credentials",
        "client_assertion_type": ASSERTION_TYPE,
        "client_assertion": assertion,
    } | more
    return await world.authority.token.answer(TokenRequest.read(form.items()), now=world.now)


def claims(world, **changes):
    made = {"iss": "signer", "sub": "signer", "aud": world.issuer, "exp": int(world.now) + 60}
    return made | {"jti": secrets.token_urlsafe(8)} | changes


async def test_a_well_formed_assertion_made_the_same_way_is_believed(world):
    assert (await ask(world, sign(encode(write_json(claims(world)))))).access_token


@pytest.mark.parametrize("key", [KEY, STRANGER], ids=["good signature", "forged"])
@pytest.mark.parametrize("named", [{}, {"client_id": "signer"}], ids=["by its subject", "by client_id"])
async def test_an_assertion_that_cannot_be_read_proves_nobody(world, key, named):
    for what, payload in MALFORMED.items():
        refused = await world.refused(ask(world, sign(payload, key), **named))
        at_the_form = ("invalid_request", "BW400")  # which takes no control characters, whoever signed them
        assert refused == (at_the_form if what == "a NUL" else ("invalid_client", "BW401")), what


@pytest.mark.parametrize("key", [KEY, STRANGER], ids=["good signature", "forged"])
async def test_an_assertion_that_names_an_odd_subject_proves_nobody(world, key):
    for subject in ODD_SUBJECTS:
        assertion = sign(encode(write_json(claims(world, sub=subject))), key)
        assert await world.refused(ask(world, assertion)) == ("invalid_client", "BW401"), subject


async def test_a_token_that_cannot_be_read_is_nothing_to_introspect_and_nothing_to_revoke(world):
    own = await world.log_in()
    header, _, signature = own.access_token.split(".")
    for what, payload in MALFORMED.items():
        for token in (f"{header}.{payload}.{signature}", sign(payload, typ="at+jwt")):
            if what == "a NUL":
                assert await world.refused(world.introspect(token)) == ("invalid_request", "BW400")
                assert await world.refused(world.revoke(token)) == ("invalid_request", "BW400")
                continue
            assert await world.introspect(token) == {"active": False}, what
            await world.revoke(token)
    assert (await world.introspect(own.access_token))["active"] is True


async def test_an_operator_who_presents_what_cannot_be_read_is_told_so(world):
    for what, payload in MALFORMED.items():
        token = sign(payload, typ="at+jwt")
        with pytest.raises(ConfigurationError) as refused:
            await world.admin.revoke_presented(token)
        assert refused.value.id == "BW130", what
        assert token not in f"{refused.value!r}{refused.value.description}{refused.value.detail}"


@pytest.mark.parametrize("token_id", [None, "", 7, ["x"], {}])
async def test_an_operator_who_presents_a_token_without_an_id_is_told_so(world, token_id):
    token = sign(encode(write_json({"iss": world.issuer, "jti": token_id})), typ="at+jwt")
    with pytest.raises(ConfigurationError) as refused:
        await world.admin.revoke_presented(token)
    assert refused.value.id == "BW130"
