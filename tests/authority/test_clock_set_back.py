"""A clock that is set back, or was ahead for a while: nothing that has ended begins again, and nobody waits for ever."""

import secrets

import pytest

from bailiwick.authority import Settings
from bailiwick.authority.attempts import FIRST_WAIT, FREE, LONGEST_WAIT, CountedAttempts, check_wait
from bailiwick.authority.register import ROOM_EVERY, RegistrationRequest
from bailiwick.authority.settings import Registration
from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet

from .test_documents import ID, OLD, Described

pytestmark = pytest.mark.anyio

HOUR, WEEK = 3600, 7 * 24 * 3600
REPLAY = ("invalid_grant", "BW406")


async def test_a_spent_refresh_token_does_not_find_its_successor(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    world.now -= HOUR
    assert await world.refused(world.refresh(first)) == REPLAY
    assert (await world.introspect(second.access_token)) == {"active": False}


async def test_of_two_refreshes_at_once_the_one_that_began_first_may_be_served_last(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    world.now -= 0.2
    assert (await world.refresh(first)).refresh_token == second.refresh_token


async def test_an_expired_code_stays_expired(flows):
    code = await flows.code("spa")
    flows.now += 61
    assert await flows.refused(flows.redeem(code)) == ("invalid_grant", "BW402")
    flows.now -= HOUR
    assert await flows.refused(flows.redeem(code)) == ("invalid_grant", "BW402")


async def test_an_expired_device_code_stays_expired(flows):
    device = await flows.begin_device()
    flows.now += 601
    flows.now -= HOUR
    assert (await flows.refused(flows.enter(device.user_code)))[0] == "invalid_request"
    assert await flows.refused(flows.poll(device)) == ("expired_token", "BW415")


async def test_an_expired_pushed_request_stays_expired(flows):
    pushed = await flows.push("site")
    flows.now += 61
    flows.now -= HOUR
    outcome = await flows.authorize(pairs=[("client_id", "site"), ("request_uri", pushed.request_uri)])
    assert outcome.code == "invalid_request_uri"


async def test_who_guessed_while_the_clock_was_ahead_waits_from_now_on_and_no_longer():
    attempts, ahead, now = CountedAttempts(), 1_000_000.0 + WEEK, 1_000_000.0
    for _ in range(FREE):
        await attempts.failed(["login:ada"], ahead)
    with pytest.raises(Refused) as waits:
        await attempts.check(["login:ada"], now)
    assert waits.value.retry_after == FIRST_WAIT + 1
    # The wait is not begun anew by each look, and it ends.
    with pytest.raises(Refused) as waits:
        await attempts.check(["login:ada"], now + FIRST_WAIT - 1)
    assert waits.value.retry_after <= 2
    await attempts.check(["login:ada"], now + FIRST_WAIT)


async def test_nobody_is_told_to_wait_longer_than_the_longest_wait():
    with pytest.raises(Refused) as waits:
        check_wait(WEEK)
    assert waits.value.retry_after == LONGEST_WAIT + 1


async def test_what_a_document_said_in_the_future_is_looked_up_again():
    world = await Described().furnish()
    await world.authorize(ID)
    assert len(world.web.asked) == 1
    await world.authorize(ID)
    assert len(world.web.asked) == 1
    # A key or a redirect may have been taken out of it since, and nobody knows when that was.
    world.now -= HOUR
    await world.authorize(ID)
    assert len(world.web.asked) == 2


async def test_a_document_that_could_not_be_had_is_not_left_alone_until_the_clock_gets_there_again():
    world = Described()
    world.signs(OLD)
    await world.furnish()
    tokens = await world.tokens()
    del world.web.documents[ID]
    world.now += 2 * 24 * HOUR
    tokens = await world.again(tokens)
    looked = len(world.web.asked)
    await world.again(tokens)
    assert len(world.web.asked) == looked
    world.now -= HOUR
    with pytest.raises(Refused):
        await world.again(tokens, jti=secrets.token_urlsafe(8))
    assert len(world.web.asked) == looked + 1


async def test_registration_makes_room_after_the_clock_was_ahead(make_world):
    policy = Registration(ScopeSet(["users:read"]), quota=1)
    world = make_world(settings=Settings("https://auth.example.com", registration=policy))
    await world.furnish()
    register = world.authority.registration
    request = RegistrationRequest(
        {"redirect_uris": ["https://app.example.com/cb"], "token_endpoint_auth_method": "none"}
    )
    await register.answer(request, now=world.now)
    with pytest.raises(Refused):
        await register.answer(request, now=world.now + ROOM_EVERY)
    vars(register)["_room_made_at"] = world.now + WEEK
    await register.answer(request, now=world.now + 2 * HOUR)
