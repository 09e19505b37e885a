"""Devices: two codes, one decision, told once."""

import asyncio
import secrets
from collections import Counter

import pytest

from bailiwick.authority.attempts import FREE, FREE_TOGETHER, CountedAttempts
from bailiwick.authority.device import ALPHABET, TYPED, DeviceTicket, mint_user_code, normalise_user_code
from bailiwick.authority.records import Origin
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

UNKNOWN = ("invalid_request", "BW415")


@pytest.fixture(params=["memory", "file"])
async def stored(request, make_flows, tmp_path):
    if request.param == "memory":
        yield await make_flows().furnish()
        return
    store = await SQLiteStore.open(tmp_path / "authority.db")
    try:
        yield await make_flows(store=store).furnish()
    finally:
        await store.close()


async def test_r8628_03_the_device_is_told_what_it_needs(flows):
    device = await flows.begin_device(scope="users:read")
    body = device.as_json()
    assert body["verification_uri"] == f"{flows.issuer}/device"
    assert body["verification_uri_complete"] == f"{flows.issuer}/device?user_code={device.user_code}"
    assert body["expires_in"] == flows.settings.lifetimes.device
    assert body["interval"] == 5
    # R8628-05: the short address does not hold the code.
    assert device.user_code not in body["verification_uri"]
    assert device.device_code not in repr(device)


async def test_the_device_waits_until_its_person_decides_and_is_told_once(stored):
    device = await stored.begin_device(scope="users:read posts:read users:delete")
    assert await stored.refused(stored.poll(device)) == ("authorization_pending", "BW413")
    consent = await stored.enter(device.user_code)
    assert consent.client.id == "tv"
    assert consent.agenda.asked == ScopeSet(["users:read", "posts:read"])
    assert await stored.settle(consent, ["users:read"])
    stored.now += 5
    tokens = await stored.poll(device)
    # CVE-2024-52287: what was approved, and not what was asked for.
    assert tokens.scope == ScopeSet(["users:read"])
    assert stored.claims(tokens)["sub"] == stored.people["alice"].id
    assert (await stored.refresh(tokens, "tv")).scope == tokens.scope
    stored.now += 5
    assert await stored.refused(stored.poll(device)) == ("invalid_grant", "BW402")


async def test_cve_2024_52287_asking_for_more_while_polling_gives_no_more(flows):
    device = await flows.begin_device(scope="users:read")
    await flows.settle(await flows.enter(device.user_code))
    assert (await flows.poll(device, scope="users:read posts:read")).scope == ScopeSet(["users:read"])


async def test_of_64_polls_at_once_one_gets_tokens(stored):
    device = await stored.begin_device(scope="users:read")
    await stored.settle(await stored.enter(device.user_code))
    outcomes = await asyncio.gather(*(stored.poll(device) for _ in range(64)), return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in outcomes) == 1
    assert all(isinstance(one, Refused) for one in outcomes if isinstance(one, BaseException))


async def test_of_an_approval_and_a_denial_at_once_one_counts(stored):
    device = await stored.begin_device(scope="users:read")
    consent = await stored.enter(device.user_code)
    work = [stored.settle(consent, approved=answer) for answer in (True, False) * 8]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    counted = [one for one in outcomes if not isinstance(one, BaseException)]
    assert len(counted) == 1
    assert all((one.code, one.id) == UNKNOWN for one in outcomes if isinstance(one, BaseException))
    if counted[0]:
        assert (await stored.poll(device)).scope
    else:
        assert await stored.refused(stored.poll(device)) == ("access_denied", "BW412")


async def test_a_denial_is_told_and_grants_nothing(flows):
    device = await flows.begin_device()
    consent = await flows.enter(device.user_code)
    assert not await flows.settle(consent, approved=False)
    assert await flows.refused(flows.poll(device)) == ("access_denied", "BW412")
    assert not await flows.authority.consents.of(flows.people["alice"].id)
    (line,) = await flows.lines("device.denied")
    alice = flows.people["alice"].id
    assert (line.actor, line.subject, line.client) == (alice, alice, "tv")
    assert line.detail == "users:read posts:read"
    assert line.origin == Origin("192.0.2.7", "browser/1")


async def test_ticking_nothing_is_a_denial(flows):
    device = await flows.begin_device()
    assert not await flows.settle(await flows.enter(device.user_code), [])


async def test_r8628_10_who_asks_too_fast_waits_five_seconds_more_each_time(flows):
    device = await flows.begin_device()
    await flows.refused(flows.poll(device))
    flows.now += 4
    assert await flows.refused(flows.poll(device)) == ("slow_down", "BW414")
    flows.now += 9
    assert await flows.refused(flows.poll(device)) == ("slow_down", "BW414")
    flows.now += 15
    assert await flows.refused(flows.poll(device)) == ("authorization_pending", "BW413")


async def test_a_device_code_ends(flows):
    device = await flows.begin_device()
    flows.now += flows.settings.lifetimes.device
    assert await flows.refused(flows.poll(device)) == ("expired_token", "BW415")
    assert await flows.refused(flows.enter(device.user_code)) == UNKNOWN


async def test_r8628_13_the_device_code_of_another_client_is_unknown(flows):
    device = await flows.begin_device()
    await flows.admin.create_client(
        "tv2", public=True, grants=["urn:ietf:params:oauth:grant-type:device_code"], scopes=["users:*"]
    )
    await flows.settle(await flows.enter(device.user_code))
    assert await flows.refused(flows.poll(device, "tv2")) == ("invalid_grant", "BW402")
    assert (await flows.poll(device)).scope


@pytest.mark.parametrize("typed", ["lower", "no dash", "blanks", "dots"])
async def test_r8628_16_case_and_punctuation_do_not_count(flows, typed):
    device = await flows.begin_device()
    code = device.user_code
    written = {
        "lower": code.lower(),
        "no dash": code.replace("-", ""),
        "blanks": " ".join(code.replace("-", "")),
        "dots": code.replace("-", "."),
    }[typed]
    assert (await flows.enter(written)).client.id == "tv"


@pytest.mark.parametrize("typed", ["", "ABCD-EFGH", "BCDF", "BCDF-GHJK-L", "B" * 100, "\u00df\u00dfBCDFGH", "BCDFGHJ1"])
async def test_what_is_no_code_is_unknown(flows, typed):
    await flows.begin_device()
    assert await flows.refused(flows.enter(typed)) == UNKNOWN


@pytest.mark.parametrize("name", ["CVE-2024-38371", "approval by another person"])
async def test_cve_2024_38371_only_the_person_who_typed_the_code_decides(flows, name):
    device = await flows.begin_device(scope="users:read")
    consent = await flows.enter(device.user_code, "alice")
    assert await flows.refused(flows.settle(consent, session="erin")) == ("access_denied", "BW412")
    work = flows.authority.device.question(consent.ticket, flows.session("erin"), now=flows.now)
    assert await flows.refused(work) == ("access_denied", "BW412")
    assert await flows.refused(flows.poll(device)) == ("authorization_pending", "BW413")


async def test_r8628_14_guesses_are_counted_by_the_person_wherever_they_are(flows):
    device = await flows.begin_device()
    for _ in range(FREE):
        assert await flows.refused(flows.enter("BBBB-BBBB")) == UNKNOWN
    for address in ("192.0.2.7", "198.51.100.1"):
        assert await flows.refused(flows.enter(device.user_code, "alice", address)) == ("slow_down", "BW416")
    # Whoever sits in the same office has guessed nothing.
    assert (await flows.enter(device.user_code, "erin", "192.0.2.7")).client.id == "tv"
    flows.now += 30
    assert (await flows.enter(device.user_code)).client.id == "tv"


async def test_guesses_by_many_people_from_one_network_come_to_an_end(flows):
    device = await flows.begin_device()
    for number in range(FREE_TOGETHER // FREE):
        flows.people[f"thrall {number}"] = await flows.admin.create_account(f"thrall {number}", "a long password")
    thralls = [who for who in flows.people if "thrall" in who] * FREE
    assert {await flows.refused(flows.enter("BBBB-BBBB", who)) for who in thralls} == {UNKNOWN}
    assert await flows.refused(flows.enter(device.user_code, "alice")) == ("slow_down", "BW416")
    assert (await flows.enter(device.user_code, "alice", "198.51.100.1")).client.id == "tv"
    flows.now += 30
    assert (await flows.enter(device.user_code, "erin")).client.id == "tv"


async def test_a_code_that_everybody_types_was_sent_to_them_and_is_closed(flows):
    device, other = await flows.begin_device(), await flows.begin_device()
    for number in range(TYPED):
        who = ("alice", "erin")[number % 2]
        consent = await flows.enter(device.user_code, who, f"192.0.2.{number}")
    assert await flows.refused(flows.enter(device.user_code, "root", "198.51.100.1")) == UNKNOWN
    flows.now += 300
    assert await flows.refused(flows.enter(device.user_code, "root", "198.51.100.1")) == UNKNOWN
    # It is no wrong guess of theirs, and whoever has the page before them can still decide.
    assert (await flows.enter(other.user_code, "root")).client.id == "tv"
    assert not await flows.settle(consent, session="erin", approved=False)


async def test_of_64_who_type_one_code_at_once_ten_get_the_page(flows):
    device = await flows.begin_device()
    work = [flows.enter(device.user_code, who, f"192.0.2.{n}") for n in range(32) for who in ("alice", "erin")]
    outcomes = await asyncio.gather(*work, return_exceptions=True)
    assert sum(not isinstance(one, BaseException) for one in outcomes) == TYPED


async def test_a_wrong_code_leaves_a_line_that_says_who_and_not_what(flows):
    await flows.refused(flows.enter("my password"))
    (line,) = await flows.lines("device.mistyped")
    assert (line.actor, line.origin.address) == (flows.people["alice"].id, "192.0.2.7")
    assert "password" not in repr(line)
    device = await flows.begin_device()
    await flows.enter(device.user_code)
    assert len(await flows.lines("device.mistyped")) == 1


async def test_guesses_that_come_all_at_once_are_counted_all_the_same(flows):
    work = [flows.enter(mint_user_code(secrets.token_bytes)) for _ in range(64)]
    outcomes = Counter([one.id for one in await asyncio.gather(*work, return_exceptions=True)])
    assert outcomes["BW415"] == FREE
    assert outcomes["BW416"] == 64 - FREE


async def test_a_right_code_that_may_give_nothing_is_no_wrong_guess(flows):
    for _ in range(FREE + 1):
        device = await flows.begin_device(scope="users:delete")
        assert await flows.refused(flows.enter(device.user_code)) == ("invalid_scope", "BW405")


async def test_a_right_code_wipes_out_no_wrong_ones(flows):
    for _ in range(FREE - 1):
        await flows.refused(flows.enter("BBBB-BBBB"))
    device = await flows.begin_device()
    assert await flows.enter(device.user_code)
    await flows.refused(flows.enter("BBBB-BBBB"))
    assert await flows.refused(flows.enter(device.user_code)) == ("slow_down", "BW416")


async def test_the_wait_doubles_up_to_a_bound_and_is_forgotten():
    attempts, now = CountedAttempts(free=1), 0.0
    waits = []
    for _ in range(12):
        await attempts.failed(["x"], now)
        with pytest.raises(Refused) as caught:
            await attempts.check(["x"], now)
        waits.append(caught.value.retry_after)
        assert caught.value.status == 429
        await attempts.check(["y"], now)
        now += waits[-1]
        await attempts.check(["x"], now)
    assert waits[:3] == [31, 61, 121]
    assert max(waits) == 901
    await attempts.failed(["x"], now + 2 * 3600)
    with pytest.raises(Refused) as caught:
        await attempts.check(["x"], now + 2 * 3600)
    assert caught.value.retry_after == 31


async def test_consent_given_before_is_asked_again_for_a_device(flows):
    device = await flows.begin_device(scope="users:read")
    await flows.settle(await flows.enter(device.user_code))
    second = await flows.begin_device(scope="users:read")
    consent = await flows.enter(second.user_code)
    assert [one.before for one in consent.agenda.questions] == [True]


async def test_cve_2026_16103_somebody_disabled_since_gets_nothing_by_device(flows):
    device = await flows.begin_device(scope="users:read")
    consent = await flows.enter(device.user_code)
    await flows.settle(consent)
    other = await flows.begin_device(scope="users:read")
    waiting = await flows.enter(other.user_code)
    await flows.admin.disable_account("alice")
    assert await flows.refused(flows.poll(device)) == ("invalid_grant", "BW402")
    assert await flows.refused(flows.settle(waiting)) == ("access_denied", "BW412")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"scope": "nonsense"}, "invalid_scope"),
        ({"resource": "https://unknown.example.com"}, "invalid_target"),
        ({"client_id": "nobody"}, "invalid_client"),
        ({"client_id": "spa"}, "unauthorized_client"),
    ],
)
async def test_what_a_device_cannot_ask_for_is_refused_at_once(flows, form, error):
    assert (await flows.refused(flows.begin_device(**form)))[0] == error


async def test_r8628_02_an_empty_scope_was_not_sent(flows):
    device = await flows.begin_device(scope="")
    assert (await flows.enter(device.user_code)).agenda.asked == ScopeSet(["users:read", "posts:read"])


def test_user_codes_are_fair_and_of_twenty_consonants():
    assert len(set(ALPHABET)) == 20
    assert not set(ALPHABET) & set("AEIOUY01")
    counts = Counter("".join(mint_user_code(secrets.token_bytes).replace("-", "") for _ in range(5000)))
    assert set(counts) == set(ALPHABET)
    # 2,000 of each on average; ten standard deviations are 440.
    assert max(counts.values()) - min(counts.values()) < 880


def test_octets_that_would_favour_some_letters_are_thrown_again():
    draws = iter([b"\xff" * 8, bytes(range(236, 244)), bytes(8)])
    code = mint_user_code(lambda _: next(draws))
    assert normalise_user_code(code) == "".join(ALPHABET[octet % 20] for octet in range(236, 240)) + "BBBB"


async def test_user_codes_are_kept_as_digests(flows):
    device = await flows.begin_device()
    kept = repr([vars(flows.store)["_devices"], *vars(flows.store)["_devices"].values()])
    assert device.user_code not in kept
    assert device.user_code.replace("-", "") not in kept
    assert device.device_code not in kept


@pytest.mark.parametrize("kept", [{}, {"user_code": 1, "subject": "x"}, {"user_code": "a", "subject": "b", "c": "d"}])
def test_a_ticket_of_another_form_is_refused(kept):
    with pytest.raises(Refused):
        DeviceTicket.from_dict(kept)


async def test_a_ticket_survives_being_sealed(flows):
    device = await flows.begin_device()
    ticket = (await flows.enter(device.user_code)).ticket
    assert DeviceTicket.from_dict(ticket.to_dict()) == ticket


async def test_a_device_code_for_one_resource_gives_no_token_for_another(flows):
    device = await flows.begin_device(scope="users:read")
    await flows.settle(await flows.enter(device.user_code))
    assert await flows.refused(flows.poll(device, resource=flows.files)) == ("invalid_target", "BW410")


@pytest.mark.parametrize("code", ["x", "bwc_" + "A" * 43, "bwd_" + "A" * 42, "bwd_" + "A" * 44])
async def test_what_is_no_device_code_is_unknown(flows, code):
    form = {"grant_type": "urn:ietf:params:oauth:grant-type:device_code", "device_code": code, "client_id": "tv"}
    assert await flows.refused(flows.ask(**form)) == ("invalid_grant", "BW402")


async def test_how_much_is_remembered_of_guesses_is_bounded(monkeypatch):
    monkeypatch.setattr("bailiwick.authority.attempts.REMEMBERED", 10)
    attempts = CountedAttempts(free=1)
    for number in range(100):
        await attempts.failed([str(number)], 0.0)
    assert len(vars(attempts)["_wrong"]) == 10
    with pytest.raises(Refused):
        await attempts.check(["99"], 0.0)
    await attempts.check(["0"], 0.0)
