"""Token exchange: a smaller token for a token, and never anything else."""

from dataclasses import replace

import pytest

from bailiwick.authority.grants.token_exchange import MAX_ACTORS
from bailiwick.authority.records import Event, GrantType, Origin
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio

ACCESS = "urn:ietf:params:oauth:token-type:access_token"
BAD = ("invalid_request", "BW402")
ASTRAY = ("invalid_target", "BW410")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


@pytest.fixture
async def token(flows):
    return await flows.redeem(await flows.code("spa", "erin", scope="users:read posts:read posts:write"))


async def own(flows, client="gateway", **more):
    return await flows.ask(grant_type="client_credentials", **flows.proof(client), **more)


async def test_r8693_06_r8693_07_a_token_is_exchanged_for_a_smaller_one(flows, token):
    got = await flows.exchange(token, scope="posts:read")
    body = got.as_json()
    assert body["issued_token_type"] == ACCESS
    assert body["token_type"] == "Bearer"
    assert body["scope"] == "posts:read"
    assert "refresh_token" not in body
    claims = flows.claims(got)
    assert claims["sub"] == flows.people["erin"].id
    assert claims["client_id"] == "gateway"
    assert claims["authz"] == flows.claims(token)["authz"]
    assert "act" not in claims


async def test_r8693_08_an_exchange_never_widens(flows, token):
    got = await flows.exchange(token, scope="posts:read users:write users:read")
    assert got.scope == ScopeSet(["posts:read", "users:read"])
    narrow = await flows.exchange(await flows.exchange(token, scope="users:read"), scope="users:read posts:read")
    assert narrow.scope == ScopeSet(["users:read"])
    wider = flows.exchange(token, scope="users:write")
    assert await flows.refused(wider) == ("invalid_scope", "BW405")


async def test_nothing_asked_means_all_that_passes(flows, token):
    assert (await flows.exchange(token)).scope == token.scope


async def test_the_exchanging_clients_ceiling_counts(flows, token):
    await flows.admin.set_client_scopes("gateway", ["posts:read"])
    assert (await flows.exchange(token)).scope == ScopeSet(["posts:read"])


async def test_the_first_clients_ceiling_counts_still(flows, token):
    await flows.admin.set_client_scopes("spa", ["posts:read"])
    assert (await flows.exchange(token)).scope == ScopeSet(["posts:read"])


@pytest.mark.parametrize("subject", [None, "", "garbage", "a.b.c"])
async def test_cve_2026_9704_a_missing_or_bad_subject_token_never_degrades(flows, subject):
    form = {"subject_token": subject, "scope": "users:read"}
    code, _ = await flows.refused(flows.exchange("", **form))
    assert code == "invalid_request"
    assert not await flows.lines("token.issued")


@pytest.mark.parametrize(
    "change",
    [
        {"subject_token_type": None},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:id_token"},
        {"subject_token_type": "urn:ietf:params:oauth:token-type:saml2"},
        {"requested_token_type": "urn:ietf:params:oauth:token-type:refresh_token"},
        {"actor_token": "x.y.z"},
        {"actor_token_type": ACCESS},
        {"actor_token": "x.y.z", "actor_token_type": "urn:ietf:params:oauth:token-type:saml1"},
        {"actor_token": "x.y.z", "actor_token_type": ACCESS},
    ],
)
async def test_r8693_03_types_are_checked(flows, token, change):
    assert (await flows.refused(flows.exchange(token, **change)))[0] == "invalid_request"


async def test_a_refresh_token_is_no_subject_token(flows, token):
    assert await flows.refused(flows.exchange(token.refresh_token)) == BAD


@pytest.mark.parametrize("cut", [slice(None, -1), slice(1, None)])
async def test_r6749_71_a_changed_subject_token_is_refused(flows, token, cut):
    assert await flows.refused(flows.exchange(token.access_token[cut])) == BAD


async def test_r8693_14_a_client_has_to_prove_itself_and_be_allowed(flows, token):
    code, _ = await flows.refused(flows.exchange(token, client_secret="wrong"))
    assert code == "invalid_client"
    code, _ = await flows.refused(flows.exchange(token, "site"))
    assert code == "unauthorized_client"
    code, _ = await flows.refused(flows.exchange(token, "spa"))
    assert code == "unauthorized_client"


async def test_a_token_that_was_meant_for_nobody_here_is_not_exchanged(flows, token):
    made = await flows.admin.create_client(
        "stranger",
        grants=["urn:ietf:params:oauth:grant-type:token-exchange"],
        scopes=["posts:*"],
        introspects=[flows.files],
    )
    flows.secrets["stranger"] = made.secret
    assert await flows.refused(flows.exchange(token, "stranger")) == BAD
    # Its own it may: from this one on it is the holder.
    assert (await flows.exchange(await own(flows), "gateway")).scope


async def test_r8693_05_the_resource_has_to_be_one_of_ours(flows, token):
    for more in ({"resource": "https://unknown.example.com"}, {"audience": "unknown"}):
        assert await flows.refused(flows.exchange(token, **more)) == ("invalid_target", "BW410")
    assert await flows.refused(flows.exchange(token, resource=flows.api, audience=flows.files)) == (
        "invalid_target",
        "BW410",
    )
    assert flows.claims(await flows.exchange(token, audience=flows.api))["aud"] == flows.api


async def test_a_token_for_another_resource_holds_only_its_scopes(flows, token):
    # Nothing of the token means anything to the files.
    assert await flows.refused(flows.exchange(token, resource=flows.files)) == ("invalid_scope", "BW405")
    await flows.admin.give_scopes("erin", ["files:read"])
    await flows.admin.set_client_scopes("gateway", ["files:*", "posts:*"])
    wide = await flows.redeem(
        await flows.code("spa", "erin", scope="posts:read files:read", prompt="consent"), scope="posts:read files:read"
    )
    got = await flows.exchange(wide, resource=flows.files)
    assert flows.claims(got)["aud"] == flows.files
    assert got.scope == ScopeSet(["files:read"])


async def test_r8693_13_an_exchanged_token_does_not_outlive_the_one_presented(flows, token):
    first = flows.claims(token)["exp"]
    flows.now += 500
    got = await flows.exchange(token)
    assert flows.claims(got)["exp"] == first
    assert got.expires_in == 100
    flows.now += 100
    # Not even by the leeway that verifiers have.
    assert await flows.refused(flows.exchange(token)) == BAD


async def test_r8693_09_the_presented_token_stays_what_it_was(flows, token):
    await flows.exchange(token)
    assert (await flows.introspect(token.access_token))["active"]
    assert (await flows.refresh(token, "spa")).scope


async def test_the_actor_is_named_and_the_chain_kept(flows, token):
    got = await flows.exchange(token, actor_token=(await own(flows)).access_token, actor_token_type=ACCESS)
    assert flows.claims(got)["act"] == {"sub": "gateway", "client_id": "gateway"}
    again = await flows.exchange(got, actor_token=(await own(flows)).access_token, actor_token_type=ACCESS)
    assert flows.claims(again)["act"] == {
        "sub": "gateway",
        "client_id": "gateway",
        "act": {"sub": "gateway", "client_id": "gateway"},
    }
    # Without an actor the history stays; nobody can wash it off.
    assert flows.claims(await flows.exchange(again))["act"] == flows.claims(again)["act"]
    told = await flows.introspect(again.access_token)
    assert told["act"] == flows.claims(again)["act"]


async def test_the_chain_of_actors_is_bounded(flows, token):
    actor = {"actor_token": (await own(flows)).access_token, "actor_token_type": ACCESS}
    for _ in range(MAX_ACTORS):
        token = await flows.exchange(token, **actor)
    assert await flows.refused(flows.exchange(token, **actor)) == BAD


async def test_another_clients_token_is_no_actor_token(flows, token):
    theirs = (await flows.serve()).access_token
    assert await flows.refused(flows.exchange(token, actor_token=theirs, actor_token_type=ACCESS)) == BAD


async def test_the_actors_end_bounds_too(flows, token):
    actor = await own(flows)
    flows.now += 300
    fresh = await flows.refresh(token, "spa")
    got = await flows.exchange(fresh, actor_token=actor.access_token, actor_token_type=ACCESS)
    assert flows.claims(got)["exp"] == flows.claims(actor)["exp"]


@pytest.mark.parametrize("way", ["token", "family", "authorization", "person", "client", "gateway"])
async def test_whatever_ends_the_first_token_ends_the_exchange_and_what_came_of_it(flows, token, way):
    got = await flows.exchange(token)
    assert (await flows.introspect(got.access_token))["active"]
    claims = flows.claims(token)
    match way:
        case "token":
            await flows.admin.revoke_token(claims["jti"])
        case "family":
            await flows.admin.revoke_family(claims["jti"].partition(".")[0])
        case "authorization":
            await flows.admin.withdraw(claims["authz"])
        case "person":
            await flows.admin.disable_account("erin")
        case "client":
            await flows.admin.disable_client("spa")
        case "gateway":
            await flows.admin.disable_client("gateway")
    code, _ = await flows.refused(flows.exchange(token))
    assert code == ("invalid_client" if way == "gateway" else "invalid_request")
    if way != "token":
        # RFC 8693 leaves open whether revoking one token cascades (R8693-13): here a token goes alone, and what
        # came of it ends when it would have ended.
        assert await flows.introspect(got.access_token) == {"active": False}


async def test_one_scope_withdrawn_is_gone_from_the_next_exchange(flows, token):
    erin = flows.people["erin"].id
    (kept,) = await flows.authority.consents.of(erin)
    await flows.authority.consents.withdraw(erin, kept.id, "posts:write", origin=Origin(), now=flows.now)
    assert (await flows.exchange(token)).scope == ScopeSet(["users:read", "posts:read"])


async def test_a_role_taken_since_counts(flows, token):
    await flows.admin.set_role("editor", ["posts:read"])
    assert (await flows.exchange(token)).scope == ScopeSet(["posts:read"])


async def test_a_client_that_acts_for_itself_can_be_the_subject(flows):
    token = await flows.serve()
    got = await flows.exchange(token, scope="posts:read")
    claims = flows.claims(got)
    assert claims["sub"] == "service"
    assert claims["client_id"] == "gateway"
    assert "authz" not in claims
    assert (await flows.introspect(got.access_token))["active"]
    await flows.admin.set_client_scopes("service", ["users:read"])
    assert await flows.refused(flows.exchange(token, scope="posts:read")) == ("invalid_scope", "BW405")
    assert await flows.introspect(got.access_token) == {"active": False}
    await flows.admin.set_client_scopes("service", ["users:read", "posts:*"])
    assert (await flows.introspect(got.access_token))["active"]
    await flows.admin.disable_client("service")
    assert await flows.refused(flows.exchange(got)) == BAD


async def test_r8693_10_who_acts_decides_nothing(flows, token):
    plain = await flows.exchange(token)
    acted = await flows.exchange(token, actor_token=(await own(flows)).access_token, actor_token_type=ACCESS)
    assert plain.scope == acted.scope


# -- for which API: whoever was asked ------------------------------------------------------------------


@pytest.fixture
async def partner(flows):
    """A client with tokens of its own that may exchange, and a person who let it do one thing at one API."""
    made = await flows.admin.create_client(
        "partner",
        grants=["authorization_code", "refresh_token", EXCHANGE],
        scopes=["posts:*", "files:*", "users:read"],
        redirects=["https://partner.example.com/cb"],
    )
    flows.secrets["partner"] = made.secret
    await flows.admin.give_scopes("erin", ["files:read"])
    flows.redirects = flows.redirects | {"partner": "https://partner.example.com/cb"}
    return await flows.redeem(await flows.code("partner", "erin", scope="posts:read files:read"), "partner")


async def test_a_clients_own_token_does_not_reach_an_api_that_the_person_was_never_asked_about(flows, partner):
    assert partner.scope == ScopeSet(["posts:read", "files:read"])
    for named in ({"resource": flows.files}, {"audience": flows.files}):
        assert await flows.refused(flows.exchange(partner, "partner", **named)) == ASTRAY
    # Nor does a list of the operator's speak for the person: it is about what other clients got.
    await flows.admin.set_exchange_targets("partner", [flows.files])
    assert await flows.refused(flows.exchange(partner, "partner", resource=flows.files)) == ASTRAY
    # As refresh says it, and within its own API it may.
    form = {"client_secret": flows.secrets["partner"], "resource": flows.files}
    assert await flows.refused(flows.refresh(partner, **form, client="partner")) == ASTRAY
    assert (await flows.exchange(partner, "partner", scope="posts:read")).scope == ScopeSet(["posts:read"])


async def test_a_clients_own_token_reaches_another_api_as_far_as_the_person_let_it_in_there(flows, partner):
    await flows.code("partner", "erin", scope="files:read", resource=flows.files)
    got = await flows.exchange(partner, "partner", resource=flows.files)
    claims = flows.claims(got)
    kept = await flows.store.authorization_of(claims["sub"], "partner", flows.files)
    # It hangs on what the person said about that API, and on what they said about the first one.
    assert (claims["aud"], claims["authz"], claims["scope"]) == (flows.files, kept.id, "files:read")
    assert flows.claims(partner)["authz"] in claims["rests_on"]
    assert (await flows.introspect(got.access_token))["active"]
    # Nothing was presented of the other scopes, whatever the person allows there.
    assert await flows.refused(flows.exchange(got, "partner", resource=flows.api, scope="posts:read")) == (
        "invalid_scope",
        "BW405",
    )
    await flows.admin.withdraw(kept.id, "files:read")
    assert await flows.introspect(got.access_token) == {"active": False}
    assert await flows.refused(flows.exchange(partner, "partner", resource=flows.files)) == ASTRAY


async def test_what_was_exchanged_for_another_api_ends_with_the_first_authorization_too(flows, partner):
    await flows.code("partner", "erin", scope="files:read", resource=flows.files)
    got = await flows.exchange(partner, "partner", resource=flows.files)
    await flows.admin.withdraw(flows.claims(partner)["authz"])
    assert await flows.introspect(got.access_token) == {"active": False}


async def test_another_clients_token_reaches_the_apis_of_the_operators_list_and_its_own(flows, token):
    await flows.admin.set_exchange_targets("gateway", [])
    for named in ({"resource": flows.files}, {"audience": flows.files}):
        assert await flows.refused(flows.exchange(token, **named)) == ASTRAY
    assert flows.claims(await flows.exchange(token, resource=flows.api))["aud"] == flows.api
    changed = await flows.admin.set_exchange_targets("gateway", [flows.files])
    assert changed.exchange_targets == {flows.files}
    (line,) = [one for one in await flows.lines("client.exchange_targets_set") if one.detail]
    assert (line.actor, line.client, line.detail) == ("operator:jane", "gateway", flows.files)


async def test_no_chain_of_exchanges_and_no_actor_reaches_further_than_one_step(flows, token):
    """Through a token of one's own, of another's, or who acts: each step is asked anew."""
    await flows.admin.give_scopes("erin", ["files:read"])
    await flows.admin.set_client_scopes("gateway", ["files:*", "posts:*"])
    wide = await flows.redeem(await flows.code("spa", "erin", scope="posts:read files:read", prompt="consent"))
    at_files = await flows.exchange(wide, resource=flows.files)
    assert flows.claims(at_files)["aud"] == flows.files
    await flows.admin.set_exchange_targets("gateway", [])
    # What the gateway got by exchange counts as the first client's, and the way back is a step as well.
    assert await flows.refused(flows.exchange(at_files, resource=flows.api, scope="files:read")) == ASTRAY
    again = await flows.exchange(wide)
    assert await flows.refused(flows.exchange(again, resource=flows.files)) == ASTRAY
    # Its own token for the files proves nothing about the person.
    acting = (await own(flows, resource=flows.files)).access_token
    actor = {"actor_token": acting, "actor_token_type": ACCESS}
    assert await flows.refused(flows.exchange(wide, resource=flows.files, **actor)) == ASTRAY


async def test_a_program_reaches_by_exchange_what_it_could_have_asked_for_and_others_what_the_operator_names(flows):
    await flows.admin.set_client_scopes("gateway", ["files:*", "posts:*"])
    await flows.admin.set_exchange_targets("gateway", [])
    mine = await own(flows, scope="files:read posts:read")
    assert flows.claims(await flows.exchange(mine, resource=flows.files))["aud"] == flows.files
    await flows.admin.set_client_scopes("service", ["files:*", "posts:*"])
    theirs = await flows.serve()
    assert await flows.refused(flows.exchange(theirs, resource=flows.files)) == ASTRAY
    await flows.admin.set_exchange_targets("gateway", [flows.files])
    assert (await flows.exchange(theirs, resource=flows.files)).scope == ScopeSet(["files:read"])


async def test_who_may_not_act_for_itself_any_more_reaches_nothing_by_its_old_token(flows):
    await flows.admin.set_client_scopes("gateway", ["files:*", "posts:*"])
    mine = await own(flows, scope="files:read posts:read")
    kept = await flows.store.client("gateway")
    less = replace(kept, grants=kept.grants - {GrantType.CLIENT_CREDENTIALS})
    assert await flows.store.change(less, Event(flows.now, "client.changed", "operator:jane"))
    assert await flows.refused(flows.exchange(mine, resource=flows.files)) == ASTRAY


async def test_an_exchanged_token_comes_without_a_refresh_token_that_could_ask_for_more(flows, partner):
    await flows.code("partner", "erin", scope="files:read", resource=flows.files)
    got = await flows.exchange(partner, "partner", resource=flows.files)
    assert got.refresh_token is None
    form = {"client_secret": flows.secrets["partner"], "resource": flows.files}
    assert await flows.refused(flows.refresh(got.access_token, **form, client="partner")) == ("invalid_grant", "BW402")
    # The family that it stands in is still the first API's.
    assert await flows.refused(flows.refresh(partner, **form, client="partner")) == ASTRAY
