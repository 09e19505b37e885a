"""How clients prove who they are: one method each, and a signed text proves something once."""

import asyncio
import json
import secrets
from dataclasses import replace

import pytest

from bailiwick.authority import Settings, TokenRequest
from bailiwick.authority.assertion import MAX_CLIENT_KEYS
from bailiwick.authority.records import Event, Resource
from bailiwick.authority.request import ASSERTION_TYPE, Certificate
from bailiwick.errors import ConfigurationError, Refused
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.tokens import Key, Keyring, Signer, SigningKey
from bailiwick.tokens import keys as keys_module

pytestmark = pytest.mark.anyio

KEY, OTHER = SigningKey.generate("ES256"), SigningKey.generate("ES256")
JWKS = json.dumps(Keyring.from_keys(KEY).public_jwks())
NOBODY = ("invalid_client", "BW401")
DNS = "san_dns=billing.example.com"


class Signed:
    """A world with a client that signs, and one that shows a certificate."""

    def __init__(self, flows):
        self.flows = flows

    def claims(self, **more):
        now = int(self.flows.now)
        made = {
            "iss": "signer",
            "sub": "signer",
            "aud": self.flows.issuer,
            "iat": now,
            "exp": now + 60,
            "jti": secrets.token_urlsafe(8),
        }
        return {name: value for name, value in (made | more).items() if value is not None}

    def sign(self, key=KEY, typ="JWT", **more):
        return Signer(key).sign(self.claims(**more), typ=typ)

    async def ask(self, assertion, **more):
        form = {
            "grant_type": "client_credentials",
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": assertion,
        } | more
        form = {name: value for name, value in form.items() if value is not None}
        request = TokenRequest.read(form.items())
        return await self.flows.authority.token.answer(request, now=self.flows.now)

    async def show(self, certificate, **more):
        form = {"grant_type": "client_credentials", "client_id": "tls"} | more
        request = TokenRequest.read(form.items(), certificate=certificate)
        return await self.flows.authority.token.answer(request, now=self.flows.now)


async def furnished(make_flows, store=None, tls=DNS, trusted=True):
    resources = (Resource(make_flows.api), Resource(make_flows.files))
    settings = Settings(make_flows.issuer, make_flows.api, resources, client_certificates=trusted)
    flows = await make_flows(store=store, settings=settings).furnish()
    await flows.admin.create_client("signer", grants=["client_credentials"], scopes=["users:read"], jwks=JWKS)
    if trusted:
        await flows.admin.create_client("tls", grants=["client_credentials"], scopes=["users:read"], tls=tls)
    return Signed(flows)


@pytest.fixture
async def signed(make_flows):
    return await furnished(make_flows)


# -- private_key_jwt -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("aud", ["", "/token", "/par"])
async def test_a_client_that_signs_for_this_server_is_known(signed, aud):
    audience = signed.flows.issuer + aud
    assert (await signed.ask(signed.sign(aud=audience))).scope
    assert (await signed.ask(signed.sign(aud=[audience]), client_id="signer")).scope
    assert (await signed.ask(signed.sign(typ="client-authentication+jwt"))).scope


@pytest.mark.parametrize("name", ["GHSA-3p3g-vpw6-4w66", "GHSA-v3q9-2p3m-7g43"])
async def test_ghsa_3p3g_vpw6_4w66_ghsa_v3q9_2p3m_7g43_an_assertion_counts_once(signed, name):
    assertion = signed.sign(jti=name)
    assert (await signed.ask(assertion)).scope
    assert await signed.flows.refused(signed.ask(assertion)) == NOBODY
    # The name is used up, not the text.
    assert await signed.flows.refused(signed.ask(signed.sign(jti=name, exp=int(signed.flows.now) + 90))) == NOBODY
    signed.flows.now += 89
    # Even within the leeway after its end.
    assert await signed.flows.refused(signed.ask(assertion)) == NOBODY


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_of_64_who_show_one_assertion_at_once_one_is_believed(make_flows, tmp_path, kind):
    store = await SQLiteStore.open(tmp_path / "authority.db") if kind == "file" else None
    signed = await furnished(make_flows, store)
    try:
        assertion = signed.sign()
        outcomes = await asyncio.gather(*(signed.ask(assertion) for _ in range(64)), return_exceptions=True)
        assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
        assert all(isinstance(one, Refused) for one in outcomes if isinstance(one, BaseException))
    finally:
        await signed.flows.store.close()


@pytest.mark.parametrize(
    "change",
    [
        {"iss": "service"},
        {"iss": None},
        {"aud": None},
        {"aud": "https://other.example.com"},
        {"aud": "https://auth.example.com/"},
        {"aud": "https://auth.example.com.evil.example"},
        {"aud": []},
        {"aud": ["https://other.example.com", "https://auth.example.com"]},
        {"jti": None},
        {"jti": ""},
        {"jti": 7},
        {"jti": "x" * 600},
        {"exp": None},
        {"exp": "never"},
        {"exp": True},
        {"exp": 1_800_000_000 - 31},
        {"exp": 1_800_000_000 + 7200},
        {"exp": 1_800_000_000_000},
        {"iat": 1_800_000_000 + 31},
        {"iat": "now"},
        {"nbf": 1_800_000_000 + 31},
    ],
)
async def test_what_an_assertion_must_claim(signed, change):
    assert await signed.flows.refused(signed.ask(signed.sign(**change), client_id="signer")) == NOBODY
    # What was refused for that used nothing up.
    if isinstance(change.get("jti"), str) or "jti" not in change:
        assert not any(name.startswith("assertion:") for name in vars(signed.flows.store)["_claimed"])


@pytest.mark.parametrize("name", ["CVE-2025-27370", "CVE-2025-27371"])
async def test_cve_2025_27370_cve_2025_27371_an_assertion_for_two_servers_is_for_none(signed, name):
    both = [signed.flows.issuer, "https://other.example.com/token"]
    assert await signed.flows.refused(signed.ask(signed.sign(aud=both))) == NOBODY


async def test_another_key_or_another_client_is_not_believed(signed):
    assert await signed.flows.refused(signed.ask(signed.sign(OTHER))) == NOBODY
    stranger = signed.sign(OTHER, iss="service", sub="service")
    assert await signed.flows.refused(signed.ask(stranger)) == NOBODY
    assert await signed.flows.refused(signed.ask(signed.sign(), client_id="service")) == NOBODY


@pytest.mark.parametrize("typ", ["at+jwt", "revocations+jwt", "dpop+jwt", "logout+jwt"])
async def test_a_token_of_another_kind_is_no_assertion(signed, typ):
    assert await signed.flows.refused(signed.ask(signed.sign(typ=typ))) == NOBODY


async def test_cve_2022_29217_a_public_key_is_no_secret(signed):
    # Signed with a MAC under the name of the client's key: the key is bound to ES256, and HS256 is never taken.
    forged = Signer(SigningKey.from_secret(secrets.token_hex(32), kid=KEY.kid)).sign(signed.claims(), typ="JWT")
    assert await signed.flows.refused(signed.ask(forged)) == NOBODY


@pytest.mark.parametrize("assertion", ["x", "a.b.c", "e30.e30.e30", "." * 5000])
async def test_what_is_no_jws_is_refused(signed, assertion):
    with pytest.raises(Refused) as caught:
        await signed.ask(assertion)
    assert caught.value.code == "invalid_client"
    assert await signed.flows.refused(signed.ask(assertion, client_id="signer")) == NOBODY


@pytest.mark.parametrize(
    "more",
    [{"client_secret": "x"}, {"client_assertion_type": None}, {"client_assertion_type": "saml2-bearer"}],
)
async def test_two_methods_or_another_type_are_refused(signed, more):
    with pytest.raises(Refused) as caught:
        await signed.ask(signed.sign(), **more)
    assert caught.value.code == "invalid_request"


async def test_an_assertion_beside_basic_is_two_methods(signed):
    form = {"grant_type": "client_credentials", "client_assertion_type": ASSERTION_TYPE, "client_assertion": "a.b.c"}
    with pytest.raises(Refused) as caught:
        TokenRequest.read(form.items(), authorization=["Basic c2VydmljZTp4"])
    assert caught.value.code == "invalid_request"


async def test_a_client_that_signs_is_not_believed_by_its_name_alone(signed):
    form = {"grant_type": "client_credentials", "client_id": "signer"}
    for more in ({}, {"client_secret": "x"}):
        request = TokenRequest.read((form | more).items())
        work = signed.flows.authority.token.answer(request, now=signed.flows.now)
        assert await signed.flows.refused(work) == NOBODY


async def test_a_client_with_a_secret_or_none_is_not_believed_by_a_signature(signed):
    for client in ("service", "spa"):
        assertion = signed.sign(iss=client, sub=client)
        assert await signed.flows.refused(signed.ask(assertion, client_id=client)) == NOBODY


@pytest.mark.parametrize("jwks", ["{}", "x", '{"keys": []}', json.dumps({"keys": [{"kty": "oct", "k": "A" * 64}]})])
async def test_keys_of_no_use_are_refused_when_the_client_is_made(flows, jwks):
    with pytest.raises(ConfigurationError):
        await flows.admin.create_client("bad", grants=["client_credentials"], scopes=["users:read"], jwks=jwks)


async def test_a_client_has_one_method(flows):
    for more in ({"public": True}, {"tls": DNS}, {"secret": "s" * 40}):
        with pytest.raises(ConfigurationError):
            await flows.admin.create_client(
                "bad",
                grants=["authorization_code"],
                redirects=["https://x.example/"],
                scopes=["users:read"],
                jwks=JWKS,
                **more,
            )


# -- tls_client_auth -------------------------------------------------------------------------------------------------


CERTIFICATE = Certificate("CN=billing,O=Example", frozenset([DNS, "san_uri=urn:billing"]), "t" * 43)


@pytest.mark.parametrize("tls", [DNS, "san_uri=urn:billing", "subject_dn=CN=billing,O=Example", "x5t#S256=" + "t" * 43])
async def test_a_client_with_the_certificate_is_known(make_flows, tls):
    signed = await furnished(make_flows, tls=tls)
    assert (await signed.show(CERTIFICATE)).scope


@pytest.mark.parametrize(
    "certificate",
    [
        None,
        Certificate(),
        Certificate("CN=evil", frozenset(["san_dns=billing.example.com.evil.example"])),
        Certificate("CN=evil", frozenset(["san_dns=BILLING.example.com"])),
        Certificate(DNS),
        Certificate("x", frozenset(["san_email=billing.example.com"])),
    ],
)
async def test_another_certificate_or_none_is_not_believed(signed, certificate):
    assert await signed.flows.refused(signed.show(certificate)) == NOBODY


async def test_a_certificate_and_a_secret_are_two_methods(signed):
    assert await signed.flows.refused(signed.show(CERTIFICATE, client_secret="x")) == NOBODY


async def test_certificates_are_believed_only_where_the_proxy_is_trusted(make_flows, signed):
    untrusting = await furnished(make_flows, store=signed.flows.store.__class__(), trusted=False)
    with pytest.raises(ConfigurationError):
        await untrusting.flows.admin.create_client("tls", grants=["client_credentials"], scopes=["users:read"], tls=DNS)
    assert (
        "tls_client_auth" not in (await untrusting.flows.authority.metadata())["token_endpoint_auth_methods_supported"]
    )
    assert "tls_client_auth" in (await signed.flows.authority.metadata())["token_endpoint_auth_methods_supported"]


async def test_a_setting_taken_back_ends_belief_in_certificates(make_flows, signed):
    resources = (Resource(make_flows.api), Resource(make_flows.files))
    settings = Settings(make_flows.issuer, make_flows.api, resources)
    later = make_flows(store=signed.flows.store, settings=settings)
    assert await later.refused(Signed(later).show(CERTIFICATE)) == NOBODY


@pytest.mark.parametrize("tls", ["billing.example.com", "san_dns=", "cn=x", "="])
async def test_a_certificate_that_is_named_badly_is_refused(make_flows, tls):
    with pytest.raises(ConfigurationError):
        await furnished(make_flows, tls=tls)


async def test_r8414_07_the_algorithms_of_assertions_are_published_without_none(signed):
    document = await signed.flows.authority.metadata()
    assert "private_key_jwt" in document["token_endpoint_auth_methods_supported"]
    algorithms = document["token_endpoint_auth_signing_alg_values_supported"]
    assert "ES256" in algorithms
    assert "none" not in algorithms
    assert not [name for name in algorithms if name.startswith("HS")]


# -- how many keys ------------------------------------------------------------------------------------------


def key_set(number, *more, named=True):
    """As many keys, the last ones given; all of them are real."""
    keys = [*(SigningKey.generate("ES256") for _ in range(number - len(more))), *more]
    members = [{**key.to_jwk(), "kid": f"k{place}"} for place, key in enumerate(keys)]
    return json.dumps({"keys": members if named else [{k: v for k, v in one.items() if k != "kid"} for one in members]})


async def test_a_client_has_at_most_ten_keys_however_it_comes_to_them(make_flows):
    signed = await furnished(make_flows)
    given = {"grants": ["client_credentials"], "scopes": ["users:read"]}
    with pytest.raises(ConfigurationError) as caught:
        await signed.flows.admin.create_client("many", **given, jwks=key_set(11))
    assert f"at most {MAX_CLIENT_KEYS} keys" in caught.value.description
    assert await signed.flows.store.client("many") is None
    assert (await signed.flows.admin.create_client("ten", **given, jwks=key_set(10))).client.jwks


@pytest.fixture
def work(monkeypatch):
    """How many keys were read, and how many signatures tried."""
    counted = {"read": 0, "tried": 0}
    load, verify = keys_module.load, Key.verify

    def counting_load(*args, **more):
        counted["read"] += 1
        return load(*args, **more)

    def counting_verify(*args):
        counted["tried"] += 1
        return verify(*args)

    monkeypatch.setattr(keys_module, "load", counting_load)
    monkeypatch.setattr(Key, "verify", counting_verify)
    return counted


async def with_keys(signed, jwks):
    """The client as it may be at rest since there was no bound."""
    kept = await signed.flows.store.client("signer")
    assert await signed.flows.store.change(replace(kept, jwks=jwks), Event(signed.flows.now, "as before", "tester"))


@pytest.mark.parametrize("number", [20, 40, 80])
async def test_a_forged_assertion_costs_one_key_by_its_name_and_ten_at_most(signed, work, number):
    async def cost(jwks, kid):
        await with_keys(signed, jwks)
        forged = signed.sign(SigningKey.generate("ES256", kid=kid))
        work.update(read=0, tried=0)
        assert await signed.flows.refused(signed.ask(forged)) == NOBODY
        return work["read"], work["tried"]

    named = key_set(number)
    assert await cost(named, "k7") == (1, 1)
    assert await cost(named, "unknown") == (0, 0)
    assert await cost(key_set(number, named=False), "unknown") == (MAX_CLIENT_KEYS, MAX_CLIENT_KEYS)


async def test_a_client_with_too_many_keys_from_before_is_known_by_the_name_of_its_key_and_can_be_closed(signed):
    last = SigningKey.generate("ES256", kid="k79")
    await with_keys(signed, key_set(80, last))
    assert (await signed.ask(signed.sign(last))).scope
    await signed.flows.admin.set_client_scopes("signer", ["users:write", "users:read"])
    await signed.flows.admin.disable_client("signer")
    assert await signed.flows.refused(signed.ask(signed.sign(last))) == NOBODY
