"""Refresh: rotation, honest retries, replays, and never more than was granted."""

import asyncio
import secrets
from collections import Counter
from dataclasses import replace

import pytest

from bailiwick.authority import Settings
from bailiwick.authority.records import Resource
from bailiwick.errors import Refused
from bailiwick.machine.passwords import Argon2Hasher
from bailiwick.scopes import ScopeSet
from bailiwick.storage import open_store

pytestmark = pytest.mark.anyio

DEAD = ("invalid_grant", "BW402")
REPLAY = ("invalid_grant", "BW406")


async def test_each_refresh_gives_a_new_access_token_and_a_new_refresh_token(world):
    first = await world.log_in("alice")
    world.now += 60
    second = await world.refresh(first)
    third = await world.refresh(second)
    assert len({one.refresh_token for one in (first, second, third)}) == 3
    assert world.claims(second)["iat"] == world.claims(first)["iat"] + 60
    kept = ("sub", "aud", "client_id", "authz", "auth_time", "scope")
    assert {name: world.claims(third)[name] for name in kept} == {name: world.claims(first)[name] for name in kept}
    family = world.claims(first)["jti"].partition(".")[0]
    assert world.claims(third)["jti"].startswith(family + ".")


async def test_an_honest_retry_within_the_grace_gets_the_same_successor(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    world.now += 30
    again = await world.refresh(first)
    assert again.refresh_token == second.refresh_token
    assert again.access_token != second.access_token
    assert (await world.refresh(second)).refresh_token


async def test_after_the_grace_a_retry_is_a_replay_and_ends_the_family(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    world.now += 31
    assert await world.refused(world.refresh(first)) == REPLAY
    assert await world.refused(world.refresh(second)) == DEAD
    assert (await world.introspect(second.access_token)) == {"active": False}
    (line,) = await world.lines("refresh.replayed")
    assert line.origin.address == "192.0.2.1"


async def test_within_the_grace_only_the_immediate_predecessor_counts(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    third = await world.refresh(second)
    assert await world.refused(world.refresh(first)) == REPLAY
    assert await world.refused(world.refresh(third)) == DEAD


async def test_a_replay_is_noticed_whatever_else_is_wrong_with_the_request(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    world.now += 31
    assert await world.refused(world.refresh(first, scope="unknown")) == REPLAY
    assert await world.refused(world.refresh(second)) == DEAD


async def test_a_login_elsewhere_is_another_family(world):
    here, there = await world.log_in("alice"), await world.log_in("alice")
    await world.refresh(here)
    world.now += 31
    await world.refused(world.refresh(here))
    assert (await world.refresh(there)).scope


async def test_a_refresh_token_of_another_client_is_refused_and_stays_good(world):
    tokens = await world.log_in("alice", client="app")
    assert await world.refused(world.refresh(tokens, client="other")) == DEAD
    secret = world.secrets["web"]
    assert await world.refused(world.refresh(tokens, client="web", client_secret=secret)) == DEAD
    assert (await world.refresh(tokens)).scope


async def test_a_confidential_client_must_authenticate_to_refresh(world):
    tokens = await world.log_in("alice", client="web")
    assert await world.refused(world.refresh(tokens, client="web")) == ("invalid_client", "BW401")
    assert (await world.refresh(tokens, client="web", client_secret=world.secrets["web"])).scope


async def test_cve_2026_27840_a_changed_token_is_an_unknown_token(world):
    token = (await world.log_in("alice")).refresh_token
    body = token.removeprefix("bwr_")
    for other in (
        token[:-1], token + "A", token.upper(), body, "bwc_" + body, "bwr_" + body[::-1], token + "=", " " + token,
        token.replace("bwr_", "BWR_"), "bwr_" + secrets.token_urlsafe(32), "x", "\u00e5" * 47, "a.b.c",
    ):  # fmt: skip
        assert await world.refused(world.refresh(other)) == DEAD, other
    assert (await world.refresh(token)).scope


async def test_an_access_token_is_no_refresh_token(world):
    tokens = await world.log_in("alice")
    assert await world.refused(world.refresh(tokens.access_token)) == DEAD


async def test_a_refresh_token_that_nobody_used_for_long_has_expired(world):
    tokens = await world.log_in("alice")
    world.now += world.settings.lifetimes.refresh_idle
    assert await world.refused(world.refresh(tokens)) == DEAD


async def test_a_family_ends_however_often_it_is_used(world):
    lifetimes = world.settings.lifetimes
    begun, tokens = world.now, await world.log_in("alice")
    while world.now + lifetimes.refresh_idle // 2 < begun + lifetimes.refresh_absolute:
        world.now += lifetimes.refresh_idle // 2
        tokens = await world.refresh(tokens)
    world.now = begun + lifetimes.refresh_absolute
    assert await world.refused(world.refresh(tokens)) == DEAD


# -- scopes --------------------------------------------------------------------------------------------


async def test_a_refresh_may_ask_for_less_and_the_family_keeps_the_rest(world):
    first = await world.log_in("alice")
    narrow = await world.refresh(first, scope="users:read")
    assert narrow.scope == ScopeSet(["users:read"])
    assert (await world.refresh(narrow)).scope == ScopeSet(["users:read", "posts:read"])


@pytest.mark.parametrize("scope", ["users:read users:delete", "posts:write", "admin:*", "posts:*"])
async def test_a_refresh_never_asks_for_more_than_was_granted(world, scope):
    first = await world.log_in("root", scope="users:read posts:read")
    assert await world.refused(world.refresh(first, scope=scope)) == ("invalid_scope", "BW405")
    # And the question did not cost the token.
    assert (await world.refresh(first)).scope == ScopeSet(["users:read", "posts:read"])


async def test_an_unknown_scope_at_a_refresh_is_invalid_and_costs_nothing(world):
    first = await world.log_in("alice")
    assert await world.refused(world.refresh(first, scope="unknown")) == ("invalid_scope", "BW405")
    world.now += 100
    assert (await world.refresh(first)).scope


async def test_a_role_taken_away_counts_at_the_next_refresh(world):
    await world.admin.give_role("alice", "editor")
    first = await world.log_in("alice")
    assert "posts:write" in first.scope
    await world.admin.take_role("alice", "editor")
    second = await world.refresh(first)
    assert second.scope == ScopeSet(["users:read", "posts:read"])
    assert (await world.refresh(second, scope="users:read posts:write")).scope == ScopeSet(["users:read"])


async def test_a_role_given_later_does_not_widen_a_family(world):
    first = await world.log_in("alice")
    await world.admin.give_role("alice", "admin")
    assert (await world.refresh(first)).scope == first.scope


async def test_a_role_given_back_counts_again(world):
    first = await world.log_in("alice")
    await world.admin.take_role("alice", "reader")
    assert await world.refused(world.refresh(first)) == ("invalid_scope", "BW405")
    await world.admin.give_role("alice", "reader")
    assert (await world.refresh(first)).scope == first.scope


async def test_a_lowered_ceiling_counts_at_the_next_refresh(world):
    first = await world.log_in("alice")
    await world.admin.set_client_scopes("app", ["posts:*"])
    assert (await world.refresh(first)).scope == ScopeSet(["posts:read"])


async def test_one_scope_withdrawn_is_missing_from_the_next_refresh(world):
    first = await world.log_in("alice")
    assert await world.admin.withdraw(world.claims(first)["authz"], "users:read") == 1
    second = await world.refresh(first)
    assert second.scope == ScopeSet(["posts:read"])
    # What an operator took, a new login does not bring back; giving it back does.
    assert (await world.log_in("alice")).scope == ScopeSet(["posts:read"])
    await world.admin.give_back(world.claims(first)["authz"], ["users:read"])
    assert (await world.refresh(second)).scope == first.scope


async def test_a_whole_authorization_withdrawn_ends_the_refresh(world):
    first = await world.log_in("alice")
    assert await world.admin.withdraw(world.claims(first)["authz"]) == 3
    assert await world.refused(world.refresh(first)) == DEAD
    assert await world.refused(world.log_in("alice")) == ("invalid_scope", "BW405")


async def test_a_refresh_stays_with_its_resource(world):
    first = await world.log_in("root", scope="files:read", resource=world.files)
    assert await world.refused(world.refresh(first, resource=world.api)) == ("invalid_target", "BW410")
    second = await world.refresh(first, resource=world.files)
    assert world.claims(second)["aud"] == world.files


async def test_a_resource_that_is_gone_ends_the_refresh(world, make_world):
    first = await world.log_in("root", scope="files:read", resource=world.files)
    settings = Settings(world.issuer, world.api, (Resource(world.api),))
    later = make_world(store=world.store, settings=settings)
    assert await world.refused(later.refresh(first)) == ("invalid_target", "BW410")


# -- people and clients that stop -----------------------------------------------------------------------


async def test_cve_2026_16103_a_disabled_person_cannot_refresh(world):
    first = await world.log_in("alice")
    await world.admin.disable_account("alice")
    assert await world.refused(world.refresh(first)) == DEAD
    await world.admin.enable_account("alice")
    assert await world.refused(world.refresh(first)) == DEAD
    assert (await world.log_in("alice")).scope


async def test_a_new_password_ends_every_login_of_the_person_and_of_nobody_else(world):
    one, two, other = (
        await world.log_in("alice"),
        await world.log_in("alice", client="other"),
        await world.log_in("erin"),
    )
    await world.admin.set_password("alice", "a better password")
    assert await world.refused(world.refresh(one)) == DEAD
    assert await world.refused(world.refresh(two, client="other")) == DEAD
    assert (await world.refresh(other)).scope
    assert (await world.log_in("alice", password="a better password")).scope


async def test_a_disabled_client_cannot_refresh(world):
    first = await world.log_in("alice")
    await world.admin.disable_client("app")
    assert await world.refused(world.refresh(first)) == ("invalid_client", "BW401")
    await world.admin.enable_client("app")
    assert await world.refused(world.refresh(first)) == DEAD


async def test_a_family_that_an_operator_ended_is_dead(world):
    first = await world.log_in("alice")
    (family,) = await world.store.families()
    assert await world.admin.revoke_family(family.id) == 1
    assert await world.admin.revoke_family(family.id) == 0
    assert await world.refused(world.refresh(first)) == DEAD


async def test_a_grant_taken_from_a_client_is_no_longer_served(world):
    first = await world.log_in("alice")
    app = await world.store.client("app")
    await world.store.change(replace(app, grants=frozenset()), (await world.store.journal())[0])
    assert await world.refused(world.refresh(first)) == ("unauthorized_client", "BW403")


# -- many at once -----------------------------------------------------------------------------------------


async def outcomes(world, token, count):
    async def ask():
        try:
            return (await world.refresh(token)).refresh_token
        except Refused as bad:
            return bad.code, bad.id

    return Counter(await asyncio.gather(*(ask() for _ in range(count))))


@pytest.fixture(params=["memory", "sqlite"])
async def kept(request, tmp_path, make_world):
    store = await open_store(":memory:" if request.param == "memory" else tmp_path / "authority.db")
    yield await make_world(store=store).furnish()
    await store.close()


async def test_cve_2026_1035_64_refreshes_at_once_get_one_successor(kept):
    first = await kept.log_in("alice")
    given = await outcomes(kept, first, 64)
    assert list(given.values()) == [64]
    (successor,) = given
    assert (await kept.refresh(successor)).scope
    assert len(await kept.store.families()) == 1
    assert len(await kept.lines("refresh.rotated")) == 2


async def test_64_refreshes_after_the_grace_end_the_family(kept):
    first = await kept.log_in("alice")
    second = await kept.refresh(first)
    kept.now += 31
    assert await outcomes(kept, first, 64) == {DEAD: 63, REPLAY: 1}
    assert await kept.refused(kept.refresh(second)) == DEAD
    assert not await kept.store.families()


async def test_cve_2026_9802_a_restart_forgets_no_refresh_state(tmp_path, make_world):
    store = await open_store(tmp_path / "authority.db")
    world = await make_world(store=store).furnish()
    first = await world.log_in("alice")
    second = await world.refresh(first)
    await store.close()

    store = await open_store(tmp_path / "authority.db")
    later = make_world(store=store)
    await later.authority.prepare()
    # The secret of successors is kept, so an honest retry is honest in the next process too.
    assert (await later.refresh(first)).refresh_token == second.refresh_token
    assert (await later.authority.verifier.verify(second.access_token)).scopes == second.scope
    later.now += 31
    assert await later.refused(later.refresh(first)) == REPLAY
    assert await later.refused(later.refresh(second)) == DEAD
    await store.close()


async def test_two_processes_with_one_store_derive_the_same_successor(tmp_path, make_world):
    one_store, two_store = await open_store(tmp_path / "a.db"), await open_store(tmp_path / "a.db")
    one = await make_world(store=one_store).furnish()
    two = make_world(store=two_store)
    first = await one.log_in("alice")
    assert (await one.refresh(first)).refresh_token == (await two.refresh(first)).refresh_token
    for store in (one_store, two_store):
        await store.close()


async def test_200_logins_at_once_on_a_file_all_succeed(tmp_path, make_world):
    store = await open_store(tmp_path / "authority.db")
    world = await make_world(store=store).furnish()
    tokens = await asyncio.gather(*(world.log_in("alice") for _ in range(200)))
    assert len({one.refresh_token for one in tokens}) == 200
    assert len(await store.families()) == 200
    assert len(await store.authorizations()) == 1
    await store.close()


async def test_200_logins_at_once_with_real_argon2_all_find_room(tmp_path, make_world):
    store = await open_store(tmp_path / "authority.db")
    world = await make_world(store=store, hasher=Argon2Hasher()).furnish()
    tokens = await asyncio.gather(*(world.log_in("alice") for _ in range(200)))
    assert len({one.refresh_token for one in tokens}) == 200
    await store.close()
