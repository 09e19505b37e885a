"""Clients that describe themselves: which addresses are fetched, what is believed, and what such a client may get."""

import asyncio
import json
import secrets
from dataclasses import dataclass, replace
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bailiwick.authority import Authority, MetadataDocuments, PushingRequest, Settings, TokenRequest
from bailiwick.authority.consent import must_always_ask
from bailiwick.authority.documents import why_no_document
from bailiwick.authority.outcome import NeedsConsent, ShowError
from bailiwick.authority.par import Pushed
from bailiwick.authority.records import Client, ClientAuth, Event, Origin, Resource
from bailiwick.authority.request import ASSERTION_TYPE
from bailiwick.errors import ConfigurationError, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.tokens import Keyring, Signer, SigningKey

from .conftest import API, FILES, ISSUER, Flows

pytestmark = pytest.mark.anyio

ID = "https://app.example.com/oauth/client.json"
BACK = "https://app.example.com/cb"
POLICY = MetadataDocuments(ScopeSet(["users:read", "posts:*"]))
OLD, NEW = SigningKey.generate("ES256"), SigningKey.generate("ES256")
NOTHING = SimpleNamespace(refresh_token="bwr_" + "A" * 43)
NO_DOCUMENT = ("invalid_client", "BW422")
NOBODY = ("invalid_client", "BW401")


@dataclass
class Answer:
    body: bytes
    fresh_for: float | None = None


class Web:
    """What lies at which address, and how often somebody looked."""

    def __init__(self):
        self.documents, self.asked = {}, []

    def put(self, url=ID, fresh_for=None, **fields):
        document = {
            "client_id": url,
            "client_name": "An app",
            "redirect_uris": [BACK],
            "scope": "users:read posts:read",
        }
        document |= {"grant_types": ["authorization_code", "refresh_token"]} | fields
        body = json.dumps({name: value for name, value in document.items() if value is not None})
        self.documents[url] = Answer(body.encode(), fresh_for)

    async def fetch(self, url):
        self.asked.append(url)
        if url not in self.documents:
            raise Refused("invalid_client", "no", id="BW422", detail="its server answered 404")
        return self.documents[url]


class Described(Flows):
    def __init__(self, policy=POLICY, store=None):
        super().__init__(store=store)
        self.web = Web()
        self.web.put()
        self.redirects = self.redirects | {ID: BACK}
        self.begin(policy)

    def begin(self, policy=POLICY):
        """The process begins anew: what it remembered is gone, what the store keeps is not."""
        self.settings = Settings(ISSUER, API, (Resource(API), Resource(FILES)), metadata_documents=policy)
        self.authority = Authority.make(
            self.catalog, self.settings, self.store, self.hasher,
            clock=lambda: self.now, token_bytes=secrets.token_bytes, fetcher=self.web,
        )  # fmt: skip
        self.admin = self.authority.admin.acting_as("operator:jane")

    def signs(self, *keys, **fields):
        """The document says that the client signs with these keys."""
        jwks = Keyring.from_keys(*keys).public_jwks() if keys else None
        self.web.put(**{"token_endpoint_auth_method": "private_key_jwt", "jwks": jwks} | fields)

    def assertion(self, key=OLD, **more):
        now = int(self.now)
        claims = {"iss": ID, "sub": ID, "aud": ISSUER, "iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(8)}
        return {
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": Signer(key).sign(claims | more, typ="JWT"),
        }

    async def tokens(self, key=OLD):
        return await self.redeem(await self.code(ID), ID, **self.assertion(key))

    async def again(self, tokens, key=OLD, **more):
        """A refresh, signed or not."""
        proof = self.assertion(key) if key is not None else {}
        form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token, "client_id": ID} | proof | more
        return await self.ask(**form)

    async def unfit(self, **fields):
        """Whether a document with these fields is refused, on a page and without a redirect."""
        self.now += 100_000
        self.web.put(**fields)
        outcome = await self.authorize(ID)
        return isinstance(outcome, ShowError) and outcome.id == "BW422"


@pytest.fixture
async def world():
    return await Described().furnish()


async def test_a_described_client_gets_what_a_person_allows_and_no_more(world):
    asked = await world.authorize(ID)
    assert isinstance(asked, NeedsConsent)
    assert (asked.client.name, asked.client.registered, asked.client.first_party) == ("An app", True, False)
    tokens = await world.redeem(await world.code(ID), ID)
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    assert world.claims(tokens)["client_id"] == ID
    again = await world.ask(grant_type="refresh_token", refresh_token=tokens.refresh_token, client_id=ID)
    assert again.scope == tokens.scope


async def test_asking_alone_leaves_nothing_in_the_store(world):
    await world.authorize(ID)
    assert await world.store.client(ID) is None
    await world.code(ID)
    assert (await world.store.client(ID)).redirects == (BACK,)
    assert [line.client for line in await world.lines("client.described")] == [ID]


async def test_without_a_policy_nothing_is_fetched_and_nothing_promised(flows):
    outcome = await flows.authorize(ID)
    assert isinstance(outcome, ShowError)
    assert outcome.id == "BW418"
    assert "client_id_metadata_document_supported" not in await flows.authority.metadata()


async def test_the_metadata_says_that_documents_are_read(world):
    assert (await world.authority.metadata())["client_id_metadata_document_supported"] is True


async def test_a_policy_needs_something_that_fetches(flows):
    settings = Settings(ISSUER, API, metadata_documents=POLICY)
    with pytest.raises(ConfigurationError):
        Authority.make(
            flows.catalog, settings, flows.store, flows.hasher, clock=lambda: 0.0, token_bytes=secrets.token_bytes
        )


async def test_the_ceiling_is_the_policys_whatever_the_document_says(world):
    world.web.put(scope="users:read users:write admin:*")
    asked = await world.authorize(ID, scope="users:read users:write")
    assert asked.agenda.asked == ScopeSet(["users:read"])
    assert await world.unfit(scope="admin:*")


@pytest.mark.parametrize(
    "fields",
    [
        {"client_id": ID + "/"},
        {"client_id": ID.replace("app", "App")},
        {"client_id": None},
        {"redirect_uris": []},
        {"redirect_uris": ["javascript:alert(1)"]},
        {"redirect_uris": ["http://app.example.com/cb"]},
        {"redirect_uris": [BACK + "#x"]},
        {"redirect_uris": ["http://localhost/cb"]},
        {"token_endpoint_auth_method": "client_secret_basic"},
        {"token_endpoint_auth_method": "client_secret_post"},
        {"token_endpoint_auth_method": "client_secret_jwt"},
        {"token_endpoint_auth_method": "tls_client_auth"},
        {"token_endpoint_auth_method": "private_key_jwt"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "https://app.example.com/jwks"},
        {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0" * 6}]}},
        {"client_secret": "s" * 40},
        {"client_secret_expires_at": 0},
        {"grant_types": ["client_credentials"]},
        {"grant_types": ["password"]},
        {"grant_types": ["urn:ietf:params:oauth:grant-type:device_code"]},
        {"client_name": "Your bank\u202e"},
        {"software_statement": "x.y.z"},
    ],
    ids=lambda fields: "-".join(f"{name}" for name in fields),
)  # fmt: skip
async def test_a_document_that_says_what_may_not_be_is_unfit(world, fields):
    assert await world.unfit(**fields)
    assert not await world.unfit()  # the same without it


@pytest.mark.parametrize("method", ["none", "private_key_jwt"])
@pytest.mark.parametrize("kind", ["ES256", "RS256", "EdDSA"])
async def test_a_document_that_everybody_reads_and_that_holds_a_private_key_is_unfit(world, kind, method):
    key = SigningKey.generate(kind)
    jwks = {"keys": [OLD.to_jwk(private=False), key.to_jwk(private=True)]}
    assert await world.unfit(token_endpoint_auth_method=method, jwks=jwks)
    assert not await world.unfit(token_endpoint_auth_method=method, jwks={"keys": [key.to_jwk(private=False)]})


@pytest.mark.parametrize("jwks", [None, [], {}, {"keys": {}}, {"keys": []}, {"keys": [1, None, "d"]}, "x", 7])
async def test_keys_that_are_none_are_unfit_and_no_fault(world, jwks):
    assert await world.unfit(token_endpoint_auth_method="private_key_jwt", jwks=jwks)


SAID = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.fixed_dictionaries(
    {},
    optional={
        "kty": st.sampled_from(["EC", "RSA", "OKP", "oct", "x"]) | SAID,
        "crv": st.sampled_from(["P-256", "Ed25519", "X25519"]) | SAID,
        "alg": st.sampled_from(["ES256", "RS256", "EdDSA", "none", "HS256"]) | SAID,
        "kid": SAID,
        "x": st.just("A" * 43) | SAID,
        "y": st.just("A" * 43) | SAID,
        "n": st.just("A" * 342) | SAID,
        "e": st.just("AQAB") | SAID,
        "use": SAID,
        "key_ops": SAID,
    },
)
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "client_name": SAID,
        "redirect_uris": st.lists(st.sampled_from([BACK, "javascript:x", "http://127.0.0.1/"]) | SAID) | SAID,
        "scope": st.sampled_from(["users:read", "admin:*", ""]) | SAID,
        "grant_types": st.lists(st.sampled_from(["authorization_code", "refresh_token", "password"]) | SAID) | SAID,
        "response_types": st.just(["code"]) | SAID,
        "token_endpoint_auth_method": st.sampled_from(["none", "private_key_jwt", "client_secret_basic"]) | SAID,
        "jwks": st.fixed_dictionaries({"keys": st.lists(KEYS | SAID, max_size=3)}) | SAID,
    },
)


@given(st.lists(FIELDS, min_size=30, max_size=30))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_whatever_a_document_says_there_is_a_page_and_no_fault(documents):
    async def shown():
        world = await Described().furnish()
        for fields in documents:
            world.now += 100_000
            world.web.documents[ID] = Answer(json.dumps({"client_id": ID, "redirect_uris": [BACK]} | fields).encode())
            outcome = await world.authorize(ID, scope=None)
            if isinstance(outcome, NeedsConsent):
                assert outcome.agenda.asked <= ScopeSet(["users:read", "posts:read", "posts:write"])
                assert outcome.client.redirects
                assert not outcome.client.first_party
            else:
                assert isinstance(outcome, ShowError), outcome
            # And whoever signs for it with a key of their own is refused.
            assert (await world.refused(world.again(NOTHING, NEW)))[0] == "invalid_client"

    asyncio.run(shown())


@pytest.mark.parametrize("body", [b"", b"[]", b'"x"', b"{", b'{"client_id": 1, "client_id": 2}', b"\xff\xfe", b"NaN"])
async def test_what_is_no_json_object_is_unfit(world, body):
    world.web.documents[ID] = Answer(body)
    assert (await world.authorize(ID)).id == "BW422"


async def test_the_answer_does_not_tell_what_our_network_looks_like(world):
    outcome = await world.authorize("https://other.example.com/client")
    assert "404" in outcome.detail
    assert "404" not in outcome.description


async def test_a_document_is_kept_as_long_as_its_server_says_within_bounds(world):
    for fresh_for, kept in ((None, 300), (0.0, 300), (1_000.0, 1_000), (10.0**9, 86_400)):
        world.now += 10**6
        world.web.put(fresh_for=fresh_for)
        world.web.asked.clear()
        await world.authorize(ID)
        world.now += kept - 1
        await world.authorize(ID)
        assert len(world.web.asked) == 1, fresh_for
        world.now += 1
        await world.authorize(ID)
        assert len(world.web.asked) == 2, fresh_for


async def test_a_redirect_that_the_document_dropped_is_refused_and_never_followed(world):
    await world.code(ID)
    world.now += 100_000
    world.web.put(redirect_uris=["https://app.example.com/new"])
    outcome = await world.authorize(ID)
    assert isinstance(outcome, ShowError)


async def test_what_an_operator_did_is_not_undone_by_a_document(world):
    await world.code(ID)
    await world.admin.set_client_scopes(ID, ["posts:read"])
    world.now += 100_000
    assert (await world.redeem(await world.code(ID), ID)).scope == ScopeSet(["posts:read"])
    await world.admin.disable_client(ID)
    world.now += 100_000
    outcome = await world.authorize(ID)
    assert isinstance(outcome, ShowError)
    assert outcome.id == "BW418"


async def test_a_client_whose_document_is_gone_keeps_its_tokens_and_gets_no_new_codes(world):
    tokens = await world.redeem(await world.code(ID), ID)
    del world.web.documents[ID]
    world.now += 100_000
    assert (await world.authorize(ID)).id == "BW422"
    assert await world.ask(grant_type="refresh_token", refresh_token=tokens.refresh_token, client_id=ID)


# -- clients that sign ------------------------------------------------------------------------------


async def test_a_client_whose_keys_stand_in_its_document_signs(world):
    world.signs(OLD)
    tokens = await world.tokens()
    assert world.claims(tokens)["client_id"] == ID
    assert (await world.again(tokens)).scope == tokens.scope
    # Neither its name alone is enough, nor somebody else's key, nor its own for somebody else.
    for key, more in ((None, {}), (NEW, {}), (OLD, {"iss": "https://other.example.com/c"}), (OLD, {"aud": "x"})):
        proof = world.assertion(key, **more) if key is not None else {}
        assert await world.refused(world.again(tokens, None, **proof)) == NOBODY


async def test_what_a_described_client_signed_counts_once(world):
    world.signs(OLD)
    proof = world.assertion()
    tokens = await world.redeem(await world.code(ID), ID, **proof)
    assert await world.refused(world.again(tokens, None, **proof)) == NOBODY
    world.begin()  # nor to another process of this authority
    assert await world.refused(world.again(tokens, None, **proof)) == NOBODY
    assert await world.again(tokens)


async def test_a_new_key_works_when_it_is_first_used_and_the_old_one_stops_with_it(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.signs(NEW)
    world.now += 61
    tokens = await world.again(tokens, NEW)
    assert await world.refused(world.again(tokens, OLD)) == NOBODY


async def test_without_anybody_who_uses_the_new_key_the_old_one_stops_with_the_documents_time(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.signs(NEW)
    world.now += 299
    tokens = await world.again(tokens, OLD)
    world.now += 1
    assert await world.refused(world.again(tokens, OLD)) == NOBODY
    assert await world.again(tokens, NEW)


async def test_names_of_keys_that_nobody_has_make_us_look_once_a_minute(world):
    world.signs(OLD, fresh_for=10**6)
    tokens = await world.tokens()
    world.web.asked.clear()
    for _ in range(600):
        world.now += 1
        stranger = SigningKey.generate("ES256")
        assert await world.refused(world.again(tokens, stranger)) == NOBODY
    assert len(world.web.asked) == 10
    assert await world.again(tokens)


async def test_a_document_that_drops_its_keys_stops_the_key_although_it_was_kept(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.signs(jwks=None)
    world.now += 301
    assert await world.refused(world.again(tokens)) == NO_DOCUMENT
    world.begin()
    assert await world.refused(world.again(tokens)) == NO_DOCUMENT
    world.signs(OLD)
    assert await world.again(tokens)


async def test_a_document_that_becomes_unfit_is_not_believed_for_what_it_said_before(world):
    world.signs(OLD, fresh_for=10**6)
    tokens = await world.tokens()
    world.signs(NEW, client_secret="s" * 40)
    world.now += 61
    assert await world.refused(world.again(tokens, NEW)) == NO_DOCUMENT
    assert await world.refused(world.again(tokens, OLD)) == NO_DOCUMENT


async def test_a_signing_client_whose_document_cannot_be_had_is_as_it_was_and_its_server_is_left_alone(world):
    world.signs(OLD)
    tokens = await world.tokens()
    document = world.web.documents.pop(ID)
    world.now += 301
    world.web.asked.clear()
    for _ in range(60):
        tokens = await world.again(tokens)
        assert await world.refused(world.again(tokens, NEW)) == NOBODY
        world.now += 1
    assert len(world.web.asked) == 1
    world.begin()
    tokens = await world.again(tokens)
    # What is no JSON is no word of the client's: a page of its server, while it is repaired.
    world.web.documents[ID] = Answer(b"<h1>Back soon</h1>")
    world.now += 61
    tokens = await world.again(tokens)
    world.web.documents[ID] = document
    world.now += 61
    assert await world.again(tokens)
    assert ID in world.web.asked


async def test_a_key_that_was_taken_out_does_not_come_back_with_a_restart(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.signs(NEW)
    world.now += 301
    tokens = await world.again(tokens, NEW)
    assert [line.detail for line in await world.lines("client.changed")] == ["jwks"]
    del world.web.documents[ID]
    world.begin()
    assert await world.refused(world.again(tokens, OLD)) == NOBODY
    assert await world.again(tokens, NEW)


async def test_a_public_client_that_begins_to_sign_is_public_no_more(world):
    tokens = await world.redeem(await world.code(ID), ID)
    world.signs(OLD)
    world.now += 301
    tokens = await world.again(tokens)
    assert await world.refused(world.again(tokens, None)) == NOBODY


async def test_a_signing_client_that_becomes_public_needs_no_key_and_an_old_one_is_refused(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.web.put()
    world.now += 301
    assert await world.refused(world.again(tokens, OLD)) == NOBODY
    assert await world.again(tokens, None)


async def test_a_public_client_that_is_kept_costs_no_look_at_its_document(world):
    tokens = await world.redeem(await world.code(ID), ID)
    world.now += 10**5
    world.web.asked.clear()
    assert await world.again(tokens, None)
    assert world.web.asked == []


# -- what changes, and what stays -------------------------------------------------------------------


async def test_a_scope_that_a_document_left_out_once_may_stand_there_again(world):
    world.web.put(scope="users:read")
    await world.code(ID)
    world.web.put(scope="users:read posts:read")
    world.now += 301
    asked = await world.authorize(ID)
    assert "posts:read" in asked.agenda.asked
    assert (await world.store.client(ID)).ceiling == ScopeSet(["users:read", "posts:read", "posts:write"])


async def test_a_policy_that_shrinks_counts_for_what_is_kept_too(world):
    tokens = await world.redeem(await world.code(ID), ID)
    world.begin(MetadataDocuments(ScopeSet(["posts:*"])))
    assert (await world.again(tokens, None)).scope == ScopeSet(["posts:read"])
    del world.web.documents[ID]
    world.begin(MetadataDocuments(ScopeSet(["files:*"])))
    assert await world.refused(world.again(tokens, None)) == ("invalid_scope", "BW405")


async def test_hosts_that_are_let_in_no_more_and_documents_that_are_switched_off_stop_what_is_kept(world):
    world.signs(OLD)
    tokens = await world.tokens()
    world.begin(MetadataDocuments(POLICY.ceiling, hosts=("other.example.com",)))
    assert await world.refused(world.again(tokens)) == NO_DOCUMENT
    assert (await world.authorize(ID)).id == "BW422"
    world.begin(None)
    assert await world.refused(world.again(tokens)) == NOBODY
    assert (await world.authorize(ID)).id == "BW418"
    world.begin()
    assert await world.again(tokens)


async def test_a_described_client_is_never_first_party_whoever_wrote_it_down(world):
    await world.code(ID)
    kept = await world.store.client(ID)
    line = Event(world.now, "client.changed", "somebody")
    assert await world.store.change(replace(kept, first_party=True), line)
    await world.authority.consents.withdraw_everything(world.people["alice"].id, origin=Origin(), now=world.now)
    asked = await world.authorize(ID)
    assert isinstance(asked, NeedsConsent)
    assert not asked.client.first_party


@pytest.mark.parametrize(
    ("redirect", "auth", "asks"),
    [
        (BACK, ClientAuth.NONE, False),
        ("https://app.example.com/elsewhere", ClientAuth.NONE, False),
        ("https://elsewhere.example.com/cb", ClientAuth.NONE, True),
        ("https://app.example.com:8443/cb", ClientAuth.NONE, True),
        ("http://127.0.0.1/cb", ClientAuth.NONE, True),
        ("com.example.app:/cb", ClientAuth.NONE, True),
        ("https://elsewhere.example.com/cb", ClientAuth.PRIVATE_KEY_JWT, False),
    ],
)
def test_consent_is_remembered_for_the_place_that_the_id_names(redirect, auth, asks):
    client = Client(ID, "An app", auth, frozenset(), ScopeSet(), 0.0, registered=True)
    assert must_always_ask(client, redirect) is asks


async def test_a_redirect_to_elsewhere_that_a_document_adds_gets_no_code_without_a_question(world):
    await world.code(ID)
    assert "code" in dict((await world.authorize(ID)).params)
    world.web.put(redirect_uris=[BACK, "https://evil.example/cb"])
    world.now += 301
    asked = await world.authorize(ID, redirect_uri="https://evil.example/cb")
    assert isinstance(asked, NeedsConsent)
    assert "code" in dict((await world.authorize(ID)).params)


async def test_the_metadata_of_a_client_that_changes_is_read_anew_between_page_and_answer(world):
    asked = await world.authorize(ID)
    world.web.put(redirect_uris=["https://app.example.com/new"])
    world.now += 301
    assert isinstance(await world.decide(asked), ShowError)
    assert await world.store.client(ID) is None


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_of_many_who_let_a_client_in_at_once_one_writes_it_down_and_all_get_their_code(tmp_path, kind):
    store = await SQLiteStore.open(tmp_path / "authority.db") if kind == "file" else None
    world = Described(store=store)
    try:
        await world.furnish()
        asked = [(who, await world.authorize(ID, who)) for who in ("alice", "erin") * 16]
        outcomes = await asyncio.gather(*(world.decide(page, session=who) for who, page in asked))
        codes = {dict(one.params)["code"] for one in outcomes}
        assert len(codes) == 32
        assert len(await world.lines("client.described")) == 1
        assert not await world.lines("client.changed")
        assert len(await world.lines("authorization.granted")) == 2
    finally:
        await world.store.close()


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_a_client_that_is_disabled_while_people_let_it_in_stays_disabled(tmp_path, kind):
    store = await SQLiteStore.open(tmp_path / "authority.db") if kind == "file" else None
    world = Described(store=store)
    try:
        await world.furnish()
        await world.code(ID)
        world.web.put(client_name="Changed")
        world.now += 301
        asked = [await world.authorize(ID, prompt="consent") for _ in range(16)]
        work = [world.decide(page) for page in asked]
        await asyncio.gather(*work[:8], world.admin.disable_client(ID), *work[8:])
        assert (await world.store.client(ID)).disabled_at is not None
        assert (await world.authorize(ID)).id == "BW418"
    finally:
        await world.store.close()


# -- limits -----------------------------------------------------------------------------------------


async def test_strangers_who_ask_for_nothing_do_not_keep_out_a_client_that_people_use(world):
    await world.code(ID)
    for n in range(200):
        await world.authority.authorization.begin(
            world.query(f"https://app.example.com/nothing{n}"), None, origin=Origin(f"198.51.100.{n}"), now=world.now
        )
    for n in range(20):  # and from the very address of somebody who uses it
        await world.authorize(pairs=world.query(f"https://nobody{n}.example.com/c"))
    world.now += 301
    assert "code" in dict((await world.authorize(ID)).params)


async def test_whoever_hammers_while_a_documents_server_is_down_keeps_out_nobody_but_themselves(world):
    await world.code(ID)
    document = world.web.documents.pop(ID)
    world.now += 301

    async def ask(address):
        outcome = await world.authority.authorization.begin(
            world.query(ID), None, origin=Origin(address), now=world.now
        )
        return getattr(outcome, "id", "asked")

    answers = [await ask("203.0.113.66") for _ in range(120)]
    assert (answers.count("BW422"), answers.count("BW416")) == (100, 20)
    world.web.documents[ID] = document
    assert await ask("203.0.113.66") == "BW416"
    assert await ask("192.0.2.1") == "asked"
    assert await ask("203.0.113.66") == "asked"  # it is known again, and costs no visit


async def test_strangers_who_push_and_sign_without_end_do_not_fill_the_store(world):
    world.signs(OLD)

    async def push(n, **more):
        key = SigningKey.generate("ES256")
        url = f"https://app{n}.example.com/c"
        world.web.put(url, token_endpoint_auth_method="private_key_jwt", jwks=Keyring.from_keys(key).public_jwks())
        proof = world.assertion(key, iss=url, sub=url)
        pairs = [*world.query(url, redirect_uri=BACK), *proof.items()]
        request = PushingRequest.read(pairs, origin=Origin("203.0.113.66"))
        return await world.authority.pushed.answer(request, now=world.now)

    outcomes = [await asyncio.gather(push(n), return_exceptions=True) for n in range(130)]
    assert sum(isinstance(one, Pushed) for [one] in outcomes) == 100
    assert {one.id for [one] in outcomes[100:]} == {"BW416"}
    # Whoever was let in is no stranger, wherever they are.
    tokens = await world.tokens()
    request = TokenRequest.read(
        ({"grant_type": "refresh_token", "refresh_token": tokens.refresh_token} | world.assertion()).items(),
        origin=Origin("203.0.113.66"),
    )
    assert await world.authority.token.answer(request, now=world.now)


async def test_fetches_that_lead_to_nothing_are_counted(world):
    async def ask(n, address="192.0.2.66"):
        outcome = await world.authority.authorization.begin(
            world.query(f"https://nobody{n}.example.com/c"), None, origin=Origin(address), now=world.now
        )
        return outcome.id

    answers = [await ask(n) for n in range(30)]
    assert answers[0] == "BW422"
    assert answers[-1] == "BW416"
    fetched = len(world.web.asked)
    assert fetched < 15
    assert await ask(99) == "BW416"
    assert len(world.web.asked) == fetched
    assert await ask(99, "198.51.100.1") == "BW422"
    # Good ones cost nothing.
    for n in range(30):
        url = f"https://good{n}.example.com/c"
        world.web.put(url)
        assert isinstance(await world.authorize(ID, pairs=world.query(url, redirect_uri=BACK)), NeedsConsent)


# -- addresses ------------------------------------------------------------------------------------

GOOD = [
    ID,
    "https://a.b/c",
    "https://xn--bcher-kva.example/client",
    "https://1.example.com/x",
    "https://app.example.com/a%20b/c.json",
]
BAD = [
    "http://app.example.com/c",
    "HTTPS://app.example.com/c",
    "https://APP.example.com/c",
    "ftp://app.example.com/c",
    "https://app.example.com",
    "https://app.example.com/",
    "https://app.example.com/c?x=1",
    "https://app.example.com/c#x",
    "https://user@app.example.com/c",
    "https://user:pass@app.example.com/c",
    "https://app.example.com@127.0.0.1/c",
    "https://app.example.com\\@127.0.0.1/c",
    "https://app.example.com:8443/c",
    "https://app.example.com:443/c",
    "https://app.example.com:/c",
    "https://app.example.com./c",
    "https://app..example.com/c",
    "https://.example.com/c",
    "https://-a.example.com/c",
    "https://a_b.example.com/c",
    "https://app.example.com/../c",
    "https://app.example.com/a/./c",
    "https://app.example.com/a/%2e%2E/c",
    "https://app.example.com/a/.%2e",
    "https://127.0.0.1/c",
    "https://127.1/c",
    "https://2130706433/c",
    "https://0x7f000001/c",
    "https://0x7f.0.0.1/c",
    "https://0177.0.0.1/c",
    "https://017700000001/c",
    "https://169.254.169.254/latest/meta-data",
    "https://example.0x7f/c",
    "https://10.0.0.1/c",
    "https://[::1]/c",
    "https://[::ffff:127.0.0.1]/c",
    "https://[fe80::1%25eth0]/c",
    "https://localhost/c",
    "https://x.localhost/c",
    "https://printer.local/c",
    "https://metadata.google.internal/c",
    "https://intranet/c",
    "https://%6cocalhost/c",
    "https://app.example.com%00.evil.example/c",
    "https://\u2460.example.com/c",
    "https://app\u3002example.com/c",
    "https://app.example.com/c\r\nhost: x",
    "https://app.example.com/\t",
    "https:///c",
    "https:/app.example.com/c",
    "https://app.example.com/" + "c" * 600,
]


@pytest.mark.parametrize("url", GOOD)
def test_a_plain_https_address_is_fetched(url):
    assert why_no_document(url, POLICY) == ""


@pytest.mark.parametrize("url", BAD)
async def test_an_address_that_two_parsers_could_read_differently_is_not_even_resolved(url):
    assert why_no_document(url, POLICY)
    world = await Described().furnish()
    outcome = await world.authorize(pairs=world.query(url, redirect_uri=BACK))
    assert isinstance(outcome, ShowError)
    assert world.web.asked == []


@given(st.from_regex(r"https://[0-9a-fx.]{1,20}/c", fullmatch=True))
def test_nothing_that_reads_as_a_number_is_a_host(url):
    last = url[8:-2].rpartition(".")[2]
    if last.isdigit() or last.startswith("0x"):
        assert why_no_document(url, POLICY)


def test_only_hosts_that_are_let_in_are_asked():
    policy = MetadataDocuments(ScopeSet(["users:read"]), hosts=("app.example.com",))
    assert why_no_document(ID, policy) == ""
    assert why_no_document("https://sub.app.example.com/c", policy)
    assert why_no_document("https://evil.example/c", policy)


def test_loopback_is_for_development_only():
    here = ["http://127.0.0.1:8080/c", "http://localhost:8080/c", "https://localhost/c", "http://[::1]:1/c"]
    dev = MetadataDocuments(ScopeSet(["users:read"]), loopback=True)
    for url in here:
        assert why_no_document(url, POLICY)
        assert why_no_document(url, dev) == ""
    assert why_no_document("http://app.example.com/c", dev)
    assert why_no_document("http://127.0.0.2/c", dev)
    assert why_no_document("http://127.0.0.1:99999/c", dev)


@pytest.mark.parametrize(
    "wrong", [{"ceiling": ScopeSet()}, {"min_age": 0}, {"min_age": 9, "max_age": 8}, {"hosts": "x"}]
)
def test_a_policy_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        MetadataDocuments(**{"ceiling": ScopeSet(["users:read"])} | wrong)


async def test_a_document_with_more_than_ten_keys_is_unfit(world):
    keys = [SigningKey.generate("ES256") for _ in range(11)]
    jwks = Keyring.from_keys(*keys).public_jwks()
    signs = {"token_endpoint_auth_method": "private_key_jwt"}
    assert await world.unfit(**signs, jwks=jwks)
    assert not await world.unfit(**signs, jwks={"keys": jwks["keys"][:10]})
