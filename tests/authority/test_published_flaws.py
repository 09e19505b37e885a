"""Flaws that were published of other servers, where no other file has them by name."""

from dataclasses import replace

import pytest

from bailiwick.authority import TokenRequest
from bailiwick.authority.authorize import NeedsConsent, Redirect, ShowError
from bailiwick.authority.records import GrantType
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio


async def granted(flows, client, **more):
    """A client as it is, but for some fields."""
    found = await flows.store.client(client)
    assert await flows.store.change(replace(found, **more), (await flows.lines())[0])


@pytest.mark.parametrize(
    "asked",
    [
        "http://127.0.0.1:8080/cb?evil=1",
        "http://127.0.0.1:8080/cb/../evil",
        "http://127.0.0.1:8080/CB",
        "http://[::1]/cb",
    ],
)
async def test_cve_2020_15233_cve_2020_15234_only_the_port_of_a_loopback_address_is_free(flows, asked):
    assert isinstance(await flows.authorize("native", redirect_uri=asked), ShowError)
    assert isinstance(await flows.authorize("native", redirect_uri="http://127.0.0.1:8080/cb"), NeedsConsent)


async def test_cve_2022_31690_every_answer_of_every_grant_says_its_scope(flows):
    by_code = await flows.redeem(await flows.code())
    device = await flows.begin_device(scope="users:read")
    await flows.settle(await flows.enter(device.user_code))
    answers = [
        by_code,
        await flows.poll(device),
        await flows.refresh(by_code, "spa"),
        await flows.exchange(by_code),
        await flows.log_in(),
        await flows.serve(),
    ]
    for tokens in answers:
        body = tokens.as_json()
        assert body["scope"] == flows.claims(tokens)["scope"] != ""


@pytest.mark.parametrize("kind", ["token", "id_token", "id_token token", "code token", "none"])
async def test_cve_2026_7571_no_client_whatever_it_is_gets_tokens_by_the_browser(flows, kind):
    for client in ("spa", "native", "site", "own"):
        await granted(flows, client, grants=frozenset(GrantType))
        outcome = await flows.authorize(client, response_type=kind)
        assert isinstance(outcome, Redirect)
        assert outcome.error == "unsupported_response_type"
        assert not {"access_token", "id_token", "code"} & dict(outcome.params).keys()


@pytest.mark.parametrize(
    "grant", ["implicit", "urn:ietf:params:oauth:grant-type:jwt-bearer", "urn:openid:params:grant-type:ciba"]
)
async def test_cve_2026_79652_a_grant_that_asks_nobody_does_not_exist(grant):
    with pytest.raises(Refused) as caught:
        TokenRequest.read([("grant_type", grant), ("client_id", "spa"), ("assertion", "x.y.z")])
    assert caught.value.code == "unsupported_grant_type"


@pytest.mark.parametrize("grant", list(GrantType))
@pytest.mark.parametrize("client", ["spa", "native", "site", "own", "tv", "gateway", "service", "app"])
async def test_cve_2026_9792_a_client_uses_no_grant_but_its_own(flows, client, grant):
    """The matrix: what a client is not allowed is refused before anything that it shows is looked at."""
    found = await flows.store.client(client)
    if grant in found.grants:
        return
    form = {
        "grant_type": grant.value,
        "username": "alice",
        "password": "alice's password",
        "refresh_token": "x",
        "code": "x",
        "device_code": "x",
        "subject_token": "x",
        "subject_token_type": "x",
    }
    assert await flows.refused(flows.ask(**form | flows.proof(client))) == ("unauthorized_client", "BW403")


async def test_cve_2026_9792_another_partys_client_takes_no_passwords_even_if_the_grant_slipped_in(flows):
    await granted(flows, "site", grants=frozenset(GrantType))
    work = flows.log_in("alice", "site")
    assert await flows.refused(work) == ("unauthorized_client", "BW403")


async def test_cve_2026_75866_cve_2024_52287_a_ceiling_lowered_after_the_decision_holds_on_every_grant(flows):
    by_code = await flows.redeem(await flows.code())
    code = await flows.code()
    device = await flows.begin_device(scope="users:read posts:read")
    await flows.settle(await flows.enter(device.user_code))
    for client in ("spa", "tv", "gateway", "service", "app"):
        await flows.admin.set_client_scopes(client, ["posts:read"])
    only = ScopeSet(["posts:read"])
    assert (await flows.redeem(code)).scope == only
    assert (await flows.poll(device)).scope == only
    assert (await flows.refresh(by_code, "spa")).scope == only
    assert (await flows.exchange(by_code)).scope == only
    assert (await flows.log_in()).scope == only
    assert (await flows.serve()).scope == only
