"""Registration: whatever a client says of itself, it gets what the policy gives."""

import asyncio
import json
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority import Registration, RegistrationRequest, Settings
from bailiwick.authority.attempts import FREE
from bailiwick.authority.authorize import NeedsConsent, ShowError
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import ConfigurationError, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.tokens import Keyring, SigningKey, opaque

pytestmark = pytest.mark.anyio

ELEVEN_KEYS = Keyring.from_keys(*(SigningKey.generate("ES256") for _ in range(11))).public_jwks()

GOOD = {"redirect_uris": ["https://new.example.com/cb"], "client_name": "New"}
PUBLIC = GOOD | {"token_endpoint_auth_method": "none"}
DAY = 24 * 60 * 60


class Desk:
    def __init__(self, flows):
        self.flows = flows
        self.at = flows.authority.registration

    def read(self, metadata, bearer=None, address=""):
        body = None if metadata is None else json.dumps(metadata).encode()
        authorization = [f"Bearer {bearer}"] if bearer else []
        return RegistrationRequest.read(body, authorization=authorization, origin=Origin(address))

    async def register(self, metadata=None, bearer=None, address="", **more):
        return await self.at.answer(
            self.read((GOOD if metadata is None else metadata) | more, bearer, address), now=self.flows.now
        )

    async def change(self, made, bearer=None, **more):
        metadata = {"client_id": made.client.id} | PUBLIC | more
        return await self.at.change(made.client.id, self.read(metadata, bearer or made.token), now=self.flows.now)

    async def look(self, made, bearer=None):
        return await self.at.look(made.client.id, self.read(None, bearer or made.token))

    async def close(self, made, bearer=None):
        await self.at.close(made.client.id, self.read(None, bearer or made.token), now=self.flows.now)

    async def refused(self, work):
        return (await self.flows.refused(work))[0]


async def opened(make_flows, store=None, **policy):
    policy = {"ceiling": ScopeSet(["users:read", "posts:*"])} | policy
    resources = (Resource(make_flows.api), Resource(make_flows.files))
    settings = Settings(make_flows.issuer, make_flows.api, resources, registration=Registration(**policy))
    return Desk(await make_flows(store=store, settings=settings).furnish())


@pytest.fixture
async def desk(make_flows):
    return await opened(make_flows)


async def test_nobody_registers_unless_the_settings_say_so(flows):
    desk = Desk(flows)
    assert await desk.refused(desk.register()) == "invalid_request"
    assert "registration_endpoint" not in await flows.authority.metadata()


async def test_r7591_04_r7591_08_what_is_not_said_has_the_rfcs_defaults(desk):
    body = (await desk.register()).as_json()
    assert body["token_endpoint_auth_method"] == "client_secret_basic"
    assert body["grant_types"] == ["authorization_code"]
    assert body["response_types"] == ["code"]
    assert body["client_secret"].startswith("bwk_")
    assert body["client_secret_expires_at"] == 0
    assert body["client_id_issued_at"] == int(desk.flows.now)
    assert body["redirect_uris"] == GOOD["redirect_uris"]
    assert body["registration_client_uri"] == f"{desk.flows.issuer}/register/{body['client_id']}"
    assert (await desk.flows.authority.metadata())["registration_endpoint"] == f"{desk.flows.issuer}/register"


async def test_a_public_client_gets_no_secret(desk):
    body = (await desk.register(PUBLIC)).as_json()
    assert "client_secret" not in body
    assert "client_secret_expires_at" not in body


async def test_r7591_05_no_two_clients_have_the_same_id_secret_or_token(desk):
    made = [await desk.register() for _ in range(5)]
    for what in (lambda one: one.client.id, lambda one: one.secret, lambda one: one.token):
        assert len({what(one) for one in made}) == 5


async def test_only_digests_are_kept_and_no_repr_shows_a_secret(desk):
    made = await desk.register()
    kept = await desk.flows.store.client(made.client.id)
    for secret in (made.secret, made.token):
        assert secret not in repr(vars(desk.flows.store))
        assert secret not in repr(made)
    assert kept.registration == opaque.digest(made.token)


async def test_a_registered_client_really_works(desk):
    made = await desk.register(GOOD | {"grant_types": ["authorization_code", "refresh_token"]})
    flows, client = desk.flows, made.client.id
    flows.redirects = flows.redirects | {client: GOOD["redirect_uris"][0]}
    flows.secrets[client] = made.secret
    tokens = await flows.redeem(await flows.code(client), client)
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    assert tokens.refresh_token


# -- what it may have -------------------------------------------------------------------------------------------------


async def test_r7591_10_scopes_beyond_the_policy_are_left_out_and_the_answer_says_so(desk):
    body = (await desk.register(scope="users:read users:delete admin:* offline_access posts:write")).as_json()
    assert body["scope"] == "users:read posts:write"


async def test_an_omitted_scope_means_the_policys_default(make_flows, desk):
    assert (await desk.register()).client.ceiling == ScopeSet(["users:read", "posts:read", "posts:write"])
    narrow = await opened(make_flows, default=ScopeSet(["posts:read"]))
    assert (await narrow.register()).client.ceiling == ScopeSet(["posts:read"])


@pytest.mark.parametrize("scope", ["admin:*", "users:delete", "unknown", 'a"b', ["users:read"], 7])
async def test_nothing_that_may_be_had_is_no_registration(desk, scope):
    assert await desk.refused(desk.register(scope=scope)) == "invalid_client_metadata"


@pytest.mark.parametrize("name", ["CVE-2026-22752", "CVE-2026-16102"])
async def test_cve_2026_22752_cve_2026_16102_nothing_that_a_client_says_makes_it_more(desk, name):
    made = await desk.register(
        PUBLIC,
        scope="users:read admin:*",
        first_party=True,
        introspects=["*"],
        exchange_targets=["https://api.example.com"],
        ceiling="admin:*",
        disabled_at=None,
        id="spa",
        client_id="spa",
        logo_uri="javascript:alert(1)",
        client_uri="http://169.254.169.254/",
        required="users:read",
        version=7,
    )
    kept = await desk.flows.store.client(made.client.id)
    assert kept.id != "spa"
    assert kept.ceiling == ScopeSet(["users:read"])
    assert not kept.first_party
    assert not kept.introspects
    assert not kept.exchange_targets
    assert not kept.required
    assert kept.registered
    assert "javascript" not in json.dumps(made.as_json())


@pytest.mark.parametrize(
    "grant", ["client_credentials", "password", "urn:ietf:params:oauth:grant-type:token-exchange", "implicit", "x"]
)
async def test_grants_without_a_person_in_front_are_not_for_registered_clients(desk, grant):
    assert await desk.refused(desk.register(grant_types=["authorization_code", grant])) == "invalid_client_metadata"


def test_the_policy_itself_cannot_allow_them():
    for bad in ({"grants": ("client_credentials",)}, {"grants": ()}, {"quota": 0}, {"ceiling": ScopeSet()}):
        with pytest.raises(ConfigurationError):
            Registration(**({"ceiling": ScopeSet(["a"])} | bad))


# -- what it may say --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"redirect_uris": None}, "invalid_redirect_uri"),
        ({"redirect_uris": "https://new.example.com/cb"}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://new.example.com/cb"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://new.example.com/cb#x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["https://*.example.com/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["JavaScript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["data:text/html,x"]}, "invalid_redirect_uri"),
        ({"redirect_uris": ["http://localhost:3000/"]}, "invalid_redirect_uri"),
        ({"redirect_uris": [7]}, "invalid_redirect_uri"),
        ({"redirect_uris": [f"https://x.example/{n}" for n in range(30)]}, "invalid_redirect_uri"),
        ({"grant_types": "authorization_code"}, "invalid_client_metadata"),
        ({"grant_types": []}, "invalid_client_metadata"),
        ({"grant_types": ["refresh_token"]}, "invalid_client_metadata"),
        ({"response_types": ["token"]}, "invalid_client_metadata"),
        ({"response_types": []}, "invalid_client_metadata"),
        (
            {"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"], "response_types": ["code"]},
            "invalid_client_metadata",
        ),
        ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt"}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "private_key_jwt", "jwks": ELEVEN_KEYS}, "invalid_client_metadata"),
        ({"jwks_uri": "http://169.254.169.254/"}, "invalid_client_metadata"),
        ({"jwks": {"keys": []}, "jwks_uri": "https://new.example.com/jwks"}, "invalid_client_metadata"),
        ({"client_name": "a\nb"}, "invalid_client_metadata"),
        ({"client_name": "safe\u202egnp.exe"}, "invalid_client_metadata"),
        ({"client_name": "x" * 300}, "invalid_client_metadata"),
        ({"client_name": 7}, "invalid_client_metadata"),
        ({"software_statement": "e30.e30.x"}, "invalid_software_statement"),
    ],
)
async def test_r7591_09_r7591_11_r7591_12_r7591_15_bad_metadata_is_named(desk, said, error):
    assert await desk.refused(desk.register(**said)) == error


@pytest.mark.parametrize("body", [b"", b"[]", b"null", b"{", b'{"a": 1, "a": 2}', b"\xff\xfe{}", b'{"a": NaN}'])
def test_r7591_01_a_body_that_is_no_json_object_is_refused(body):
    with pytest.raises(Refused) as caught:
        RegistrationRequest.read(body)
    assert caught.value.code == "invalid_client_metadata"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3),
    max_leaves=4,
)
MEMBERS = [
    "redirect_uris", "grant_types", "response_types", "scope", "client_name", "jwks", "jwks_uri",
    "token_endpoint_auth_method", "software_statement",
]  # fmt: skip


async def test_whatever_is_said_is_registered_or_refused_and_no_fault(make_flows):
    desk = await opened(make_flows, quota=10_000)

    @given(st.dictionaries(st.sampled_from(MEMBERS), JSON))
    def check(said):
        try:
            asyncio.run(Desk(desk.flows).register(GOOD | said))
        except Refused as bad:
            assert bad.status == 400

    await asyncio.to_thread(check)


async def test_a_client_that_signs_registers_its_public_keys_only(desk):
    key = SigningKey.generate("ES256")
    method = {"token_endpoint_auth_method": "private_key_jwt"}
    made = await desk.register(jwks={"keys": [key.to_jwk(private=True)]}, **method)
    assert json.loads(made.client.jwks) == Keyring.from_keys(key).public_jwks()
    assert '"d"' not in json.dumps(made.as_json())
    assert made.secret is None
    secret = {"keys": [{"kty": "oct", "k": "A" * 64, "alg": "HS256"}]}
    assert await desk.refused(desk.register(jwks=secret, **method)) == "invalid_client_metadata"


# -- who may ----------------------------------------------------------------------------------------------------------


async def test_r7591_02_an_initial_access_token_is_asked_for_where_the_policy_has_some(make_flows):
    token = secrets.token_urlsafe(32)
    desk = await opened(make_flows, initial_tokens=(opaque.digest("x"), opaque.digest(token)))
    for bearer in (None, "wrong", token[:-1]):
        with pytest.raises(Refused) as caught:
            await desk.register(bearer=bearer)
        assert (caught.value.code, caught.value.status) == ("invalid_token", 401)
    assert (await desk.register(bearer=token)).client.registered


async def test_an_initial_access_token_that_is_wrong_is_told_apart_from_none(make_flows):
    desk = await opened(make_flows, initial_tokens=(opaque.digest("x"),))
    with pytest.raises(Refused, match="Registration needs an initial access token"):
        await desk.register(bearer=None)
    with pytest.raises(Refused, match="The initial access token is unknown"):
        await desk.register(bearer="y")


@pytest.mark.parametrize("digests", [("9f86d0",), (b"9f" * 32,), "9f" * 32, (None,)], ids=repr)
def test_what_is_no_digest_is_refused_where_the_policy_is_made(digests):
    with pytest.raises(ConfigurationError, match="64 hex digits each"):
        Registration(ScopeSet(["notes:read"]), initial_tokens=digests)


async def test_a_digest_in_capitals_is_the_same_digest(make_flows):
    desk = await opened(make_flows, initial_tokens=(opaque.digest("x").upper(),))
    assert (await desk.register(bearer="x")).client.registered


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_the_quota_of_clients_that_nobody_uses_holds_under_a_rush(make_flows, tmp_path, kind):
    store = await SQLiteStore.open(tmp_path / "authority.db") if kind == "file" else None
    desk = await opened(make_flows, store, quota=5)
    try:
        outcomes = await asyncio.gather(*(desk.register() for _ in range(32)), return_exceptions=True)
        made = [one for one in outcomes if not isinstance(one, BaseException)]
        refused = [one for one in outcomes if isinstance(one, Refused)]
        assert len(made) == 5
        assert {(one.code, one.status, one.retry_after) for one in refused} == {("temporarily_unavailable", 503, 3600)}
        # One that somebody uses makes room for another; one that closed itself does not.
        await desk.close(made[1])
        assert await desk.refused(desk.register()) == "temporarily_unavailable"
        flows, client = desk.flows, made[0].client.id
        await flows.decide(await flows.authorize(client, redirect_uri=GOOD["redirect_uris"][0]))
        assert (await desk.register()).client.registered
        # And what nobody used in a week is deleted, the one in use and the operator's own are not.
        flows.now += flows.settings.lifetimes.unused_client + 1
        before = {one.id for one in await flows.store.clients()}
        await flows.admin.purge()
        gone = before - {one.id for one in await flows.store.clients()}
        assert len(gone) == 5
        assert client not in gone
    finally:
        await desk.flows.store.close()


async def test_one_stranger_fills_a_quarter_of_the_quota_and_not_all_of_it(make_flows):
    desk = await opened(make_flows, quota=40)
    work = [desk.register(address="203.0.113.66") for _ in range(64)]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    made = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(made) == 10
    refused = next(one for one in outcomes if isinstance(one, Refused))
    assert (refused.code, refused.status, refused.id) == ("slow_down", 429, "BW416")
    assert "Use the client_id that you have" in refused.description
    # However patient they are, in a day they have not filled it, for what nobody uses makes room.
    for _ in range(24 * 60):
        desk.flows.now += 60
        try:
            await desk.register(address="203.0.113.66")
        except Refused as why:
            assert why.code in ("slow_down", "temporarily_unavailable")
        if desk.flows.now % 3600 == 0:
            assert (await desk.register(address=f"198.51.100.{desk.flows.now // 3600 % 24:.0f}")).client.registered
    # Of an IPv6 network everybody is one.
    for number in range(10):
        await desk.register(address=f"2001:db8::{number}")
    assert await desk.refused(desk.register(address="2001:db8::ffff")) == "slow_down"


async def test_a_client_that_was_there_or_says_what_may_not_be_is_not_counted(make_flows):
    desk = await opened(make_flows, share_public=True, quota=4)
    first = await desk.register(PUBLIC, address="192.0.2.1")
    for _ in range(10):
        assert (await desk.register(PUBLIC, address="192.0.2.2")).client == first.client
        assert await desk.refused(desk.register(redirect_uris=[], address="192.0.2.2")) == "invalid_redirect_uri"
    assert (await desk.register(GOOD, address="192.0.2.2")).client != first.client


async def test_whoever_has_an_initial_token_is_counted_by_nobody(make_flows):
    desk = await opened(make_flows, initial_tokens=(opaque.digest("a token"),), quota=40)
    for _ in range(20):
        assert (await desk.register(bearer="a token", address="192.0.2.1")).client.registered


async def test_when_the_quota_is_full_what_nobody_used_for_an_hour_makes_room(make_flows, monkeypatch):
    desk = await opened(make_flows, quota=3)
    flows = desk.flows
    used, old = await desk.register(), await desk.register()
    await flows.decide(await flows.authorize(used.client.id, redirect_uri=GOOD["redirect_uris"][0]))
    flows.now += 3000
    young = await desk.register()
    await desk.register()
    flows.now += 590
    assert await desk.refused(desk.register()) == "temporarily_unavailable"
    flows.now += 61
    with_room = await desk.register()
    left = {one.id for one in await flows.store.clients() if one.registered}
    assert {used.client.id, young.client.id, with_room.client.id} <= left
    assert old.client.id not in left
    (line,) = await flows.lines("clients.dropped")
    assert (line.actor, line.detail.split()[0]) == ("authority", "1")
    # The store is not swept for each who is refused.
    swept, sweep = [], flows.store.purge

    async def counted(now, **more):
        swept.append(now)
        return await sweep(now, **more)

    monkeypatch.setattr(flows.store, "purge", counted)
    for _ in range(120):
        assert await desk.refused(desk.register()) == "temporarily_unavailable"
        flows.now += 1
    assert len(swept) == 1


async def test_a_client_that_changes_itself_without_end_does_not_fill_the_journal(desk):
    made = await desk.register(PUBLIC)
    for number in range(FREE):
        assert (await desk.change(made, client_name=f"New {number}")).client.name == f"New {number}"
    assert await desk.refused(desk.change(made, client_name="Newest")) == "slow_down"
    assert len(await desk.flows.lines("client.changed")) == FREE
    desk.flows.now += 31
    assert (await desk.change(made, client_name="Newest")).client.name == "Newest"


async def test_the_quotas_answer_says_what_to_do(make_flows):
    desk = await opened(make_flows, quota=1)
    await desk.register()
    with pytest.raises(Refused) as caught:
        await desk.register()
    assert caught.value.retry_after == 3600
    for way in ("in an hour", "the client_id that you have", "the operator"):
        assert way in caught.value.description


async def test_the_same_public_client_a_thousand_times_is_one_row(make_flows):
    desk = await opened(make_flows, share_public=True, quota=2)
    first = await desk.register(PUBLIC)
    for _ in range(10):
        assert (await desk.register(PUBLIC)).client == first.client
    # Nobody can change what many use.
    assert first.token is None
    assert "registration_access_token" not in first.as_json()
    assert await desk.refused(desk.look(first, "")) == "invalid_token"
    other = await desk.register(PUBLIC | {"redirect_uris": ["https://other.example.com/cb"]})
    assert other.client.id != first.client.id
    await desk.flows.admin.disable_client(first.client.id)
    assert await desk.refused(desk.register(PUBLIC)) == "invalid_client_metadata"


# -- its own entry ----------------------------------------------------------------------------------------------------


async def test_a_client_sees_changes_and_ends_its_own_entry(desk):
    made = await desk.register(PUBLIC)
    assert (await desk.look(made)).as_json()["client_name"] == "New"
    changed = await desk.change(made, client_name="Newer", redirect_uris=["https://new.example.com/two"])
    assert changed.client.redirects == ("https://new.example.com/two",)
    asked = await desk.flows.authorize(made.client.id, redirect_uri="https://new.example.com/two")
    assert isinstance(asked, NeedsConsent)
    await desk.close(made)
    assert isinstance(await desk.flows.authorize(made.client.id, redirect_uri="https://new.example.com/two"), ShowError)
    assert await desk.refused(desk.look(made)) == "invalid_token"
    assert [line.what for line in await desk.flows.lines() if line.client == made.client.id][-1] == "client.closed"


async def test_closing_ends_what_hangs_on_it(desk):
    made = await desk.register(PUBLIC | {"grant_types": ["authorization_code", "refresh_token"]})
    flows, client = desk.flows, made.client.id
    flows.redirects = flows.redirects | {client: GOOD["redirect_uris"][0]}
    tokens = await flows.redeem(await flows.code(client), client)
    await desk.close(made)
    assert await flows.introspect(tokens.access_token) == {"active": False}
    assert await flows.refused(flows.refresh(tokens, client)) == ("invalid_client", "BW401")


@pytest.mark.parametrize("name", ["CVE-2026-15572", "CVE-2026-16102"])
@pytest.mark.parametrize(
    ("said", "error"),
    [
        ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri"),
        ({"redirect_uris": []}, "invalid_redirect_uri"),
        ({"grant_types": ["client_credentials"]}, "invalid_client_metadata"),
        ({"scope": "admin:*"}, "invalid_client_metadata"),
        ({"client_name": "a\nb"}, "invalid_client_metadata"),
        ({"jwks_uri": "https://x.example/"}, "invalid_client_metadata"),
        ({"software_statement": "x"}, "invalid_software_statement"),
        ({"client_id": "spa"}, "invalid_client_metadata"),
        ({"client_secret": "chosen"}, "invalid_client_metadata"),
        ({"registration_access_token": "x"}, "invalid_client_metadata"),
        ({"client_secret_expires_at": 0}, "invalid_client_metadata"),
        ({"token_endpoint_auth_method": "client_secret_basic"}, "invalid_client_metadata"),
    ],
)
async def test_cve_2026_15572_cve_2026_16102_a_change_goes_through_the_same_checks(desk, name, said, error):
    made = await desk.register(PUBLIC)
    assert await desk.refused(desk.change(made, **said)) == error
    assert await desk.flows.store.client(made.client.id) == made.client


async def test_a_change_never_brings_back_what_an_operator_took_away(desk):
    made = await desk.register(PUBLIC)
    await desk.flows.admin.set_client_scopes(made.client.id, ["posts:read"])
    for said in ({}, {"scope": "users:read posts:read posts:write"}):
        assert (await desk.change(made, **said)).client.ceiling == ScopeSet(["posts:read"])


async def test_another_clients_token_opens_nothing(desk):
    one, two = await desk.register(PUBLIC), await desk.register(GOOD)
    for bearer in (two.token, two.secret, "x", one.token[:-1], one.token.swapcase()):
        for work in (desk.look(one, bearer), desk.change(one, bearer), desk.close(one, bearer)):
            with pytest.raises(Refused) as caught:
                await work
            assert (caught.value.code, caught.value.status) == ("invalid_token", 401)
    with pytest.raises(Refused):
        await desk.at.look("spa", desk.read(None, "x"))


async def test_a_confidential_client_shows_its_own_secret_or_none(desk):
    made = await desk.register()
    method = {"token_endpoint_auth_method": "client_secret_post"}
    assert (await desk.change(made, client_secret=made.secret, **method)).secret is None
    assert (await desk.change(made, **method)).client.secret == made.client.secret


def test_two_authorization_headers_are_refused():
    with pytest.raises(Refused):
        RegistrationRequest.read(None, authorization=["Bearer a", "Bearer b"])
