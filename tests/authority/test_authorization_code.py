"""The authorization code grant: once, by whom it was made for, with what it was asked with."""

import asyncio
from dataclasses import replace

import pytest

from bailiwick.authority.records import GrantType, Origin
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.tokens import opaque

pytestmark = pytest.mark.anyio

SPENT = ("invalid_grant", "BW402")


@pytest.fixture(params=["memory", "file"])
async def stored(request, make_flows, tmp_path):
    """The same world over each store."""
    if request.param == "memory":
        yield await make_flows().furnish()
        return
    store = await SQLiteStore.open(tmp_path / "authority.db")
    try:
        yield await make_flows(store=store).furnish()
    finally:
        await store.close()


async def test_a_code_gives_tokens_bound_to_all_that_was_decided(stored):
    tokens = await stored.redeem(await stored.code())
    claims = stored.claims(tokens)
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    assert claims["sub"] == stored.people["alice"].id
    assert claims["client_id"] == "spa"
    assert claims["aud"] == stored.api
    assert claims["auth_time"] == int(stored.now)
    assert (await stored.store.authorization(claims["authz"])).live == tokens.scope
    refreshed = await stored.refresh(tokens, "spa")
    assert refreshed.scope == tokens.scope


async def test_r6749_35_of_64_who_redeem_one_code_at_once_one_gets_tokens_and_they_are_dead(stored):
    code = await stored.code()
    outcomes = await asyncio.gather(*(stored.redeem(code) for _ in range(64)), return_exceptions=True)
    refused = [one for one in outcomes if isinstance(one, Refused)]
    assert all((one.code, one.id) == SPENT for one in refused)
    got = [one for one in outcomes if not isinstance(one, BaseException)]
    # The one may itself come too late: somebody else showed the code before its family began.
    assert len(got) <= 1
    assert len(refused) >= 63
    assert len(got) + len(refused) == 64
    for tokens in got:
        # R6749-36: what came of it is revoked by the replay.
        assert await stored.introspect(tokens.access_token) == {"active": False}
        assert await stored.refused(stored.refresh(tokens, "spa")) == SPENT


async def test_r6749_36_a_replay_revokes_what_the_code_gave(stored):
    code = await stored.code()
    tokens = await stored.redeem(code)
    assert (await stored.introspect(tokens.access_token))["active"]
    again = await stored.refresh(tokens, "spa")
    stored.now += 1
    assert await stored.refused(stored.redeem(code)) == SPENT
    for one in (tokens, again):
        assert await stored.introspect(one.access_token) == {"active": False}
    assert await stored.refused(stored.refresh(again, "spa")) == SPENT
    (line,) = await stored.lines("code.replayed")
    assert line.subject == stored.people["alice"].id


async def test_replaying_a_code_a_thousand_times_makes_one_line_in_the_feed(stored):
    client = await stored.store.client("spa")
    codes_only = replace(client, grants=frozenset([GrantType.AUTHORIZATION_CODE]))
    await stored.store.change(codes_only, (await stored.lines())[0])
    code = await stored.code()
    tokens = await stored.redeem(code)
    assert tokens.refresh_token is None
    for _ in range(5):
        await stored.refused(stored.redeem(code))
    assert len(await stored.store.revocations(now=stored.now)) == 1
    assert await stored.introspect(tokens.access_token) == {"active": False}


async def test_r6749_34_a_code_lives_a_minute(stored):
    code = await stored.code()
    stored.now += stored.settings.lifetimes.code
    assert stored.settings.lifetimes.code <= 60
    assert await stored.refused(stored.redeem(code)) == SPENT


@pytest.mark.parametrize("name", ["CVE-2026-28513", "CVE-2026-32245", "CVE-2026-16089", "R6749-45"])
async def test_cve_2026_28513_cve_2026_32245_cve_2026_16089_a_code_of_another_client_is_refused(flows, name):
    code = await flows.code("spa")
    wrong = flows.redeem(code, "site", redirect_uri=flows.redirects["spa"])
    assert await flows.refused(wrong) == SPENT
    # R9700-22: it was used up by that, and the owner's attempt shows that somebody else had it.
    assert await flows.refused(flows.redeem(code)) == SPENT
    assert await flows.lines("code.replayed")


async def test_cve_2026_32245_an_expired_code_is_refused_to_its_own_client_too(flows):
    code = await flows.code()
    flows.now += 3600
    assert await flows.refused(flows.redeem(code)) == SPENT


@pytest.mark.parametrize("kind", [kind for kind in opaque.Kind if kind is not opaque.Kind.CODE])
async def test_cve_2026_4282_a_value_minted_for_another_feature_is_no_code(flows, kind):
    assert await flows.refused(flows.redeem(opaque.mint(bytes, kind))) == SPENT


async def test_cve_2026_4282_real_values_of_other_features_are_no_codes(flows):
    tokens = await flows.redeem(await flows.code())
    device = await flows.begin_device()
    pushed = await flows.push()
    for value in (tokens.refresh_token, device.device_code, pushed.request_uri, tokens.access_token):
        assert await flows.refused(flows.redeem(value)) == SPENT


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + "A", lambda c: c.swapcase(), lambda c: c.upper()])
async def test_cve_2026_27840_a_code_that_was_cut_or_changed_is_unknown(flows, change):
    code = await flows.code()
    assert await flows.refused(flows.redeem(change(code))) == SPENT
    assert (await flows.redeem(code)).scope


@pytest.mark.parametrize("redirect", [None, "https://spa.example.com/cb/", "https://site.example.com/cb"])
async def test_the_redirect_uri_is_compared_again_at_redemption(flows, redirect):
    assert await flows.refused(flows.redeem(await flows.code(), redirect_uri=redirect)) == SPENT


async def test_a_redirect_uri_that_was_not_sent_need_not_be_sent_again(flows):
    assert (await flows.redeem(await flows.code(redirect_uri=None), redirect_uri=None)).scope
    code = await flows.code(redirect_uri=None)
    assert await flows.refused(flows.redeem(code, redirect_uri="https://evil.example/")) == SPENT


async def test_the_port_of_a_loopback_redirect_has_to_be_the_same_at_redemption(flows):
    code = await flows.code("native", redirect_uri="http://127.0.0.1:40001/cb")
    assert await flows.refused(flows.redeem(code, "native", redirect_uri="http://127.0.0.1:40002/cb")) == SPENT
    code = await flows.code("native", redirect_uri="http://127.0.0.1:40001/cb")
    assert (await flows.redeem(code, "native", redirect_uri="http://127.0.0.1:40001/cb")).scope


async def test_r7636_08_r7636_09_cve_2023_48228_the_verifier_is_needed_and_has_to_fit(flows):
    assert await flows.refused(flows.redeem(await flows.code(), code_verifier=None)) == SPENT
    assert await flows.refused(flows.redeem(await flows.code(), code_verifier="w" * 43)) == SPENT
    assert (await flows.refused(flows.redeem(await flows.code(), code_verifier="short")))[0] == "invalid_request"


async def test_cve_2024_22258_a_confidential_client_needs_its_verifier_too(flows):
    assert await flows.refused(flows.redeem(await flows.code("site"), "site", code_verifier=None)) == SPENT


async def test_a_wrong_guess_uses_the_code_up(flows):
    code = await flows.code()
    await flows.refused(flows.redeem(code, code_verifier="w" * 43))
    assert await flows.refused(flows.redeem(code)) == SPENT


async def test_r6749_24_a_confidential_client_has_to_prove_itself(flows):
    code = await flows.code("site")
    wrong = flows.redeem(code, "site", client_secret="wrong")
    assert await flows.refused(wrong) == ("invalid_client", "BW401")
    # Nothing was looked at before the client was known.
    assert (await flows.redeem(code, "site")).scope


async def test_a_code_for_one_resource_gives_no_token_for_another(flows):
    code = await flows.code()
    assert await flows.refused(flows.redeem(code, resource=flows.files)) == ("invalid_target", "BW410")
    assert (await flows.redeem(await flows.code(), resource=flows.api)).scope


async def test_a_code_cannot_be_redeemed_for_more_than_was_decided(flows):
    asked = await flows.authorize()
    code = dict((await flows.decide(asked, ["users:read"])).params)["code"]
    tokens = await flows.redeem(code, scope="users:read posts:read")
    assert tokens.scope == ScopeSet(["users:read"])


async def test_cve_2026_16103_somebody_disabled_since_gets_nothing_by_code(flows):
    code = await flows.code()
    await flows.admin.disable_account("alice")
    assert await flows.refused(flows.redeem(code)) == SPENT


async def test_a_role_taken_before_redemption_counts(flows):
    code = await flows.code("spa", "erin", scope="posts:write users:read")
    await flows.admin.set_role("editor", ["users:read"])
    assert (await flows.redeem(code)).scope == ScopeSet(["users:read"])


async def test_a_withdrawal_before_redemption_counts(flows):
    code = await flows.code()
    erin = flows.people["alice"].id
    (kept,) = await flows.authority.consents.of(erin)
    await flows.authority.consents.withdraw(erin, kept.id, "posts:read", origin=Origin(), now=flows.now)
    assert (await flows.redeem(code)).scope == ScopeSet(["users:read"])


async def test_nobody_withdraws_what_is_another_persons(flows):
    await flows.code()
    (kept,) = await flows.authority.consents.of(flows.people["alice"].id)
    work = flows.authority.consents.withdraw(flows.people["erin"].id, kept.id, origin=Origin(), now=flows.now)
    assert await flows.refused(work) == ("access_denied", "BW412")


async def test_a_person_who_withdraws_everything_ends_every_client(flows):
    one = await flows.redeem(await flows.code("spa"))
    two = await flows.redeem(await flows.code("site"), "site")
    alice = flows.people["alice"].id
    ended = await flows.authority.consents.withdraw_everything(alice, origin=Origin(), now=flows.now)
    assert ended == 6  # two scopes and a family each
    for tokens, client in ((one, "spa"), (two, "site")):
        assert await flows.introspect(tokens.access_token) == {"active": False}
        proof = {name: value for name, value in flows.proof(client).items() if name != "client_id"}
        assert (await flows.refused(flows.refresh(tokens, client, **proof)))[0] == "invalid_grant"


async def test_a_code_is_kept_as_a_digest_only(flows):
    code = await flows.code()
    assert code not in repr(vars(flows.store))
    assert opaque.digest(code) in vars(flows.store)["_codes"]
