"""Clients that describe themselves: which addresses are fetched, what is believed, and what such a client may get."""

import json
import secrets
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority import Authority, MetadataDocuments, Settings
from bailiwick.authority.authorize import NeedsConsent, ShowError
from bailiwick.authority.documents import why_no_document
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import ConfigurationError, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.tokens import Keyring, SigningKey

from .conftest import API, FILES, ISSUER, Flows

pytestmark = pytest.mark.anyio

ID = "https://app.example.com/oauth/client.json"
BACK = "https://app.example.com/cb"
POLICY = MetadataDocuments(ScopeSet(["users:read", "posts:*"]))


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
    def __init__(self, policy=POLICY):
        super().__init__()
        self.settings = Settings(ISSUER, API, (Resource(API), Resource(FILES)), metadata_documents=policy)
        self.web = Web()
        self.web.put()
        self.redirects = self.redirects | {ID: BACK}
        self.authority = Authority.make(
            self.catalog, self.settings, self.store, self.hasher,
            clock=lambda: self.now, token_bytes=secrets.token_bytes, fetcher=self.web,
        )  # fmt: skip
        self.admin = self.authority.admin.acting_as("operator:jane")

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
    assert "client_id_metadata_document_supported" not in flows.authority.metadata()


async def test_the_metadata_says_that_documents_are_read(world):
    assert world.authority.metadata()["client_id_metadata_document_supported"] is True


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


async def test_a_client_with_keys_signs_and_its_new_keys_count_once_the_old_are_stale(world):
    key = SigningKey.generate("ES256")
    world.web.put(token_endpoint_auth_method="private_key_jwt", jwks=Keyring.from_keys(key).public_jwks())
    code = await world.code(ID)
    assert await world.refused(world.redeem(code, ID)) == ("invalid_client", "BW401")
    assert (await world.store.client(ID)).jwks


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
