"""Pushed authorization requests: said by the client, used once, added to by nobody."""

import asyncio

import pytest

from bailiwick.authority import PushingRequest, Settings
from bailiwick.authority.authorize import NeedsConsent, Redirect, ShowError
from bailiwick.authority.par import MAX_PUSHED
from bailiwick.authority.records import Resource
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


def refer(client, pushed, *more):
    return [("client_id", client), ("request_uri", pushed.request_uri), *more]


async def test_a_pushed_request_is_what_the_person_is_asked_about(flows):
    pushed = await flows.push(scope="users:read")
    assert pushed.expires_in == 60
    assert pushed.as_json()["request_uri"].startswith("urn:ietf:params:oauth:request_uri:")
    assert pushed.request_uri not in repr(pushed)
    # What the browser adds counts for nothing (RFC 9126 section 4).
    added = [("scope", "posts:read"), ("redirect_uri", "https://evil.example/"), ("state", "another")]
    outcome = await flows.authorize(pairs=refer("site", pushed, *added))
    assert outcome.agenda.asked == ScopeSet(["users:read"])
    assert outcome.request.redirect == flows.redirects["site"]
    assert outcome.request.state == "a state"
    code = dict((await flows.decide(outcome)).params)["code"]
    assert (await flows.redeem(code, "site")).scope == ScopeSet(["users:read"])


@pytest.mark.parametrize("kind", ["memory", "file"])
async def test_of_64_who_use_a_reference_at_once_one_is_asked(make_flows, tmp_path, kind):
    store = await SQLiteStore.open(tmp_path / "authority.db") if kind == "file" else None
    flows = await make_flows(store=store).furnish()
    try:
        pushed = await flows.push()
        outcomes = await asyncio.gather(*(flows.authorize(pairs=refer("site", pushed)) for _ in range(64)))
        assert sum(isinstance(one, NeedsConsent) for one in outcomes) == 1
        assert sum(isinstance(one, ShowError) for one in outcomes) == 63
    finally:
        await flows.store.close()


async def test_a_reference_ends_after_a_minute(flows):
    pushed = await flows.push()
    flows.now += 60
    assert isinstance(await flows.authorize(pairs=refer("site", pushed)), ShowError)


async def test_another_client_cannot_use_a_reference_nor_use_it_up(flows):
    pushed = await flows.push()
    outcome = await flows.authorize(pairs=refer("spa", pushed))
    assert isinstance(outcome, ShowError)
    assert outcome.code == "invalid_request_uri"
    assert isinstance(await flows.authorize(pairs=refer("site", pushed)), NeedsConsent)


@pytest.mark.parametrize(
    "uri",
    ["", "https://evil.example/request", "urn:ietf:params:oauth:request_uri:", "urn:ietf:params:oauth:request_uri:x"],
)
async def test_what_is_no_reference_is_shown_and_never_fetched(flows, uri):
    pairs = [*flows.query("site"), ("request_uri", uri)]
    assert isinstance(await flows.authorize(pairs=pairs), ShowError)


async def test_a_reference_twice_or_without_a_client_is_shown(flows):
    pushed = await flows.push()
    assert isinstance(await flows.authorize(pairs=refer("site", pushed, ("request_uri", "x"))), ShowError)
    assert isinstance(await flows.authorize(pairs=[("request_uri", pushed.request_uri)]), ShowError)


async def test_a_pushed_request_cannot_refer_to_another(flows):
    pushed = await flows.push()
    with pytest.raises(Refused) as caught:
        await flows.push(pairs=[*flows.query("site"), ("request_uri", pushed.request_uri)])
    assert caught.value.code == "invalid_request"


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"redirect_uri": "https://evil.example/"}, "invalid_request"),
        ({"code_challenge": None}, "invalid_request"),
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"resource": "https://unknown.example.com"}, "invalid_target"),
    ],
)
async def test_what_the_authorization_endpoint_would_refuse_is_refused_when_pushed(flows, asked, error):
    assert (await flows.refused(flows.push(**asked)))[0] == error


async def test_a_client_has_to_prove_itself_and_pushes_for_itself_only(flows):
    assert (await flows.refused(flows.push(client_secret="wrong")))[0] == "invalid_client"
    assert (await flows.refused(flows.push("spa", flows.query("site"))))[0] == "invalid_client"
    basic = ["Basic c2l0ZTp4"]
    with pytest.raises(Refused) as caught:
        PushingRequest.read(flows.query("spa"), authorization=basic)
    assert caught.value.code == "invalid_request"


async def test_fapi2_par_without_duplicate_parameters(flows):
    with pytest.raises(Refused) as caught:
        await flows.push(pairs=[*flows.query("site"), ("scope", "users:read")])
    assert caught.value.code == "invalid_request"


async def test_no_secret_is_kept_with_a_pushed_request(flows):
    await flows.push()
    (kept,) = vars(flows.store)["_pushed"].values()
    assert "client_secret" not in dict(kept.parameters)
    assert flows.secrets["site"] not in repr(vars(kept) if hasattr(kept, "__dict__") else kept)
    assert dict(kept.parameters)["client_id"] == "site"


async def test_a_public_client_may_push(flows):
    pushed = await flows.push("spa")
    assert isinstance(await flows.authorize(pairs=refer("spa", pushed)), NeedsConsent)


async def test_where_pushing_is_required_nothing_else_is_taken(make_flows):
    resources = (Resource(make_flows.api), Resource(make_flows.files))
    settings = Settings(make_flows.issuer, make_flows.api, resources, require_pushed=True)
    flows = await make_flows(settings=settings).furnish()
    outcome = await flows.authorize("site")
    assert isinstance(outcome, Redirect)
    assert outcome.error == "invalid_request"
    assert isinstance(await flows.authorize(pairs=refer("site", await flows.push())), NeedsConsent)
    assert (await flows.authority.metadata())["require_pushed_authorization_requests"] is True


# -- how large ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["state", "login_hint", "scope", "nonce", "\u00e9"])
async def test_a_pushed_request_that_is_too_large_is_refused_before_it_is_kept(flows, name):
    pairs = [pair for pair in flows.query("site") if pair[0] != name]
    kept = sum(len(text) for pair in pairs if pair[0] != "client_id" for text in pair)
    # Counted in octets, as the disk does.
    letter, name = ("\u00e9", "nonce") if name == "\u00e9" else ("a", name)
    pairs = [*pairs, (name, letter * ((MAX_PUSHED - kept - len(name)) // len(letter.encode()) + 1))]
    with pytest.raises(Refused) as caught:
        await flows.push("site", pairs=pairs)
    assert (caught.value.code, caught.value.status, caught.value.id) == ("invalid_request", 413, "BW409")
    assert str(MAX_PUSHED) in caught.value.description
    assert not vars(flows.store)["_pushed"]


async def test_a_pushed_request_of_the_largest_size_is_kept_and_what_is_ignored_counts_for_nothing(flows):
    pairs = flows.query("site")
    kept = sum(len(text) for pair in pairs if pair[0] != "client_id" for text in pair)
    pairs = [
        *pairs,
        ("login_hint", "n" * (MAX_PUSHED - kept - len("client_idsite") - len("login_hint"))),
        ("padding", "p" * 16_000),
    ]
    assert (await flows.push("site", pairs=pairs)).request_uri
