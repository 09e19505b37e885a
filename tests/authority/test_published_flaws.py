"""Flaws that were published of other servers, where no other file has them by name."""

import random
from dataclasses import replace

import pytest

from bailiwick.authority import TokenRequest
from bailiwick.authority.device import mint_user_code
from bailiwick.authority.outcome import NeedsConsent, Redirect, ShowError
from bailiwick.authority.records import GrantType
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage import open_store

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


async def test_django_oauth_toolkit_1819_of_two_people_who_type_one_code_the_first_to_decide_decides(flows):
    device = await flows.begin_device(scope="users:read")
    hers, his = await flows.enter(device.user_code, "alice"), await flows.enter(device.user_code, "erin")
    assert await flows.settle(hers, session="alice")
    late = flows.settle(his, session="erin")
    assert await flows.refused(late) == ("invalid_request", "BW415")
    assert flows.claims(await flows.poll(device))["sub"] == flows.people["alice"].id
    assert await flows.store.authorization_of(flows.people["erin"].id, "tv", flows.api) is None


async def test_django_oauth_toolkit_1734_user_codes_come_from_the_source_of_secrets_alone(flows):
    codes = []
    for _ in range(2):
        random.seed(1)
        codes.append((await flows.begin_device()).user_code)
    assert codes[0] != codes[1]
    fixed = [mint_user_code(lambda count: bytes(range(count))) for _ in range(2)]
    assert fixed[0] == fixed[1] == "BCDF-GHJK"


async def test_django_oauth_toolkit_1735_no_secret_is_logged_or_kept_as_it_is(make_flows, tmp_path, caplog):
    caplog.set_level(0)
    store = await open_store(tmp_path / "authority.db")
    flows = await make_flows(store=store).furnish()
    secrets = ["alice's password", "erin's password", "root's password", *flows.secrets.values(), flows.verifier]
    code = await flows.code()
    tokens = await flows.redeem(code)
    again = await flows.refresh(tokens, "spa")
    device = await flows.begin_device(scope="users:read")
    consent = await flows.enter(device.user_code)
    await flows.settle(consent)
    polled = await flows.poll(device)
    pushed = await flows.push()
    exchanged = await flows.exchange(tokens)
    for one in (tokens, again, polled, exchanged, await flows.log_in(), await flows.serve()):
        secrets += [one.access_token, one.access_token.rpartition(".")[2]]
        secrets += [one.refresh_token] if one.refresh_token else []
    secrets += [code, device.device_code, device.user_code, pushed.request_uri]
    await flows.refused(flows.log_in(password="typed wrong here"))
    await flows.refused(flows.redeem(code, client_secret="shown in the wrong place"))
    await flows.refused(flows.refresh("bwr_" + "A" * 43))
    secrets += ["typed wrong here", "shown in the wrong place", "bwr_" + "A" * 43]
    await store.close()
    kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert b"alice" in kept
    for secret in secrets:
        assert secret.encode() not in kept, secret[:8]
        assert secret not in caplog.text, secret[:8]
