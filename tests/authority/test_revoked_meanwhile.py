"""Revocations that come while a token is being made, or in the same second: exactly the older tokens are meant."""

import secrets

import pytest

from bailiwick.authority.records import Origin
from bailiwick.errors import InvalidToken, Refused
from bailiwick.tokens import JWTVerifier, Revocations
from bailiwick.tokens.revoked import Issued

from .conftest import Flows, World

pytestmark = pytest.mark.anyio


class Between:
    """A store that lets somebody act just before one of its verbs."""

    def __init__(self, store):
        self._store = store
        self.before = {}

    def __getattr__(self, name):
        verb = getattr(self._store, name)
        act = self.before.get(name)
        if act is None:
            return verb

        async def overtaken(*args, **more):
            del self.before[name]
            await act()
            return await verb(*args, **more)

        return overtaken


@pytest.fixture
async def world():
    made = World()
    made.store = between = Between(made.store)
    made.authority = made.authority.make(
        made.catalog,
        made.settings,
        between,
        made.hasher,
        clock=lambda: made.now,
        token_bytes=secrets.token_bytes,
    )
    made.admin = made.authority.admin.acting_as("operator:jane", Origin("192.0.2.9", "console"))
    return await made.furnish()


async def followed(world):
    """A verifier as an API in another process has it, with all that the feed tells."""
    known = Revocations()
    for line in await world.store.revocations(now=world.now):
        known.add(line.kind.value, line.key, at=line.at, until=line.until, number=line.number, scope=line.scope)
    return JWTVerifier(
        world.authority.keys, issuer=world.issuer, audience=world.api, now=lambda: world.now, checks=(known.apply,)
    )


async def holds(world, tokens):
    """What a follower of the feed and introspection say; they have to agree."""
    text = tokens if isinstance(tokens, str) else tokens.access_token
    verifier = await followed(world)
    try:
        left = set((await verifier.verify(text)).scopes)
    except InvalidToken as why:
        assert why.id == "BW213"
        left = set()
    told = await world.introspect(text)
    assert told["active"] == bool(left)
    assert set(told.get("scope", "").split()) == left
    return left


# -- the same second ------------------------------------------------------------------------------


async def test_who_logs_in_in_the_second_of_their_revocation_gets_a_token_that_lives(world):
    old = await world.log_in()
    await world.admin.revoke_account_tokens("alice")
    new = await world.log_in()
    assert world.claims(old)["iat"] == world.claims(new)["iat"]
    assert not await holds(world, old)
    assert await holds(world, new) == set(new.scope)
    assert await world.refused(world.refresh(old)) == ("invalid_grant", "BW402")
    assert await holds(world, await world.refresh(new)) == set(new.scope)


async def test_a_new_password_lets_in_at_once_and_ends_what_was_before(world):
    old = await world.log_in()
    await world.admin.set_password("alice", "another password")
    new = await world.log_in(password="another password")
    assert not await holds(world, old)
    assert await holds(world, new)


async def test_a_client_revoked_can_ask_again_in_the_same_second(world):
    old = await world.serve()
    await world.admin.revoke_client_tokens("service")
    new = await world.serve()
    assert not await holds(world, old)
    assert await holds(world, new)


async def test_a_scope_given_back_in_the_same_second_is_in_the_next_token_and_not_in_the_last(world):
    old = await world.log_in()
    authorization = world.claims(old)["authz"]
    await world.admin.withdraw(authorization, "users:read")
    between = await world.refresh(old)
    await world.admin.give_back(authorization, ["users:read"])
    new = await world.refresh(between)
    assert set(between.scope) == {"posts:read"}
    assert set(new.scope) == {"posts:read", "users:read"}
    verifier = await followed(world)
    assert set((await verifier.verify(old.access_token)).scopes) == {"posts:read"}
    assert set((await verifier.verify(new.access_token)).scopes) == {"posts:read", "users:read"}


async def test_many_revocations_in_one_second_each_end_what_was_before_them(world):
    tokens = []
    for _ in range(4):
        tokens.append(await world.log_in())
        await world.admin.revoke_account_tokens("alice")
        assert [bool(await holds(world, one)) for one in tokens] == [False] * len(tokens)
    assert await holds(world, await world.log_in())


async def test_another_persons_revocation_says_nothing_about_a_token(world):
    tokens = await world.log_in("erin")
    await world.admin.revoke_account_tokens("alice")
    assert await holds(world, tokens) == set(tokens.scope)


async def test_a_purged_feed_does_not_make_new_tokens_look_old(world):
    await world.log_in()
    await world.admin.revoke_account_tokens("alice")
    slow = await followed(world)  # somebody who has not forgotten yet, as when their clock is behind
    world.now += 10_000
    await world.store.purge(world.now)
    new = await world.log_in()
    assert (await slow.verify(new.access_token)).subject == world.people["alice"].id


def test_a_token_that_says_no_number_is_judged_by_its_second():
    assert Issued(100.0).before(100.0, 1)
    assert Issued(100.0).before(100.9, 0)
    assert not Issued(101.0).before(100.9, 9)


def test_a_token_of_an_earlier_second_is_older_even_where_numbers_begin_anew():
    """As when a store was brought back from a backup, and gives numbers again that were given before."""
    assert Issued(99.0, 50).before(100.2, 7)
    assert not Issued(100.0, 50).before(100.2, 7)
    assert Issued(100.0, 6).before(100.2, 7)
    assert Issued(500.0, 6).before(100.2, 7)  # made before, written late, or by a clock that is ahead
    assert not Issued(100.0, 7).before(100.9, 7)


def test_of_two_lines_about_the_same_the_later_one_counts_in_any_order():
    lines = [{"at": 100.2, "number": 7}, {"at": 100.1, "number": 8}]
    for order in (lines, lines[::-1]):
        known = Revocations()
        for line in order:
            known.add("subject", "usr_1", until=900.0, **line)
        assert known._at["subject"]["usr_1"] == (100.2, 8)


# -- while it is being made -----------------------------------------------------------------------


async def test_a_login_that_a_new_password_overtakes_begins_nothing(world):
    """The old password was right when it was looked at; the revocation was committed before the family."""
    world.store.before["open_family"] = lambda: world.admin.set_password("alice", "another password")
    assert await world.refused(world.log_in()) == ("invalid_grant", "BW402")
    assert list(await world.store.families(subject=world.people["alice"].id)) == []


async def test_a_revocation_whose_moment_is_long_ago_is_noticed_all_the_same(world):
    """Its moment was taken before the login's, and it was committed after the login had read everything."""

    async def slowly():
        later, world.now = world.now, world.now - 60
        await world.admin.revoke_account_tokens("alice")
        world.now = later

    world.store.before["open_family"] = slowly
    assert await world.refused(world.log_in()) == ("invalid_grant", "BW402")


async def test_a_revocation_at_any_point_of_a_login_leaves_nothing_alive(world):
    for verb in ("client", "account_named", "standing", "authorization_of", "keys", "open_family"):
        happened = []

        async def revoked(happened=happened):
            happened.append(True)
            await world.admin.revoke_account_tokens("alice")

        world.store.before[verb] = revoked
        try:
            tokens = await world.log_in()
        except Refused as why:
            assert why.code == "invalid_grant", verb
        else:
            assert not happened or not await holds(world, tokens), verb
        world.store.before.clear()
        assert list(await world.store.families(subject=world.people["alice"].id)) == [] or not happened, verb


async def test_a_client_that_is_disabled_while_it_asks_gets_nothing(world):
    world.store.before["record"] = lambda: world.admin.disable_client("service")
    assert await world.refused(world.serve()) == ("invalid_grant", "BW402")


async def test_a_person_who_is_disabled_while_their_client_refreshes_gets_nothing(world):
    tokens = await world.log_in()
    world.store.before["rotate"] = lambda: world.admin.disable_account("alice")
    assert await world.refused(world.refresh(tokens)) == ("invalid_grant", "BW402")


async def test_a_scope_withdrawn_while_a_client_refreshes_costs_it_only_another_try(world):
    tokens = await world.log_in()
    authorization = world.claims(tokens)["authz"]
    world.store.before["rotate"] = lambda: world.admin.withdraw(authorization, "users:read")
    with pytest.raises(Refused) as caught:
        await world.refresh(tokens)
    assert (caught.value.code, caught.value.status, caught.value.retry_after) == ("temporarily_unavailable", 503, 1)
    assert set((await world.refresh(tokens)).scope) == {"posts:read"}


# -- proofs from before ---------------------------------------------------------------------------


async def test_a_code_from_before_a_persons_revocation_begins_nothing_after_it():
    flows = await Flows().furnish()
    code = await flows.code("own")
    flows.now += 1
    await flows.admin.revoke_account_tokens("alice")
    assert await flows.refused(flows.redeem(code, "own")) == ("invalid_grant", "BW402")
    flows.now += 1
    assert (await flows.redeem(await flows.code("own"), "own")).refresh_token


async def test_a_device_approved_before_a_persons_revocation_gets_nothing_after_it():
    flows = await Flows().furnish()
    device = await flows.begin_device()
    assert await flows.settle(await flows.enter(device.user_code))
    flows.now += 10
    await flows.admin.revoke_account_tokens("alice")
    assert await flows.refused(flows.poll(device)) == ("invalid_grant", "BW402")


async def test_an_exchange_whose_token_is_revoked_meanwhile_gives_nothing():
    flows = Flows()
    between = Between(flows.store)
    flows.store = between
    flows.authority = flows.authority.make(
        flows.catalog,
        flows.settings,
        between,
        flows.hasher,
        clock=lambda: flows.now,
        token_bytes=secrets.token_bytes,
    )
    flows.admin = flows.authority.admin.acting_as("operator:jane")
    await flows.furnish()
    tokens = await flows.log_in()
    between.before["record"] = lambda: flows.admin.revoke_token(flows.claims(tokens)["jti"])
    assert await flows.refused(flows.exchange(tokens)) == ("invalid_grant", "BW402")
    assert await flows.refused(flows.exchange(tokens)) == ("invalid_request", "BW402")
