"""Sessions, as every store keeps them: when they begin, and everything that ends them."""

import asyncio
from dataclasses import replace

import pytest

from bailiwick.authority.records import Revocation, Revoked, Session
from bailiwick.authority.store import CLOCK_SKEW

pytestmark = pytest.mark.anyio


def session(digest="s1", subject="usr_Alice", **fields):
    return Session(
        **{"digest": digest, "subject": subject, "authenticated_at": 100.0, "idle_until": 200.0, "expires_at": 1_000.0}
        | fields
    )


@pytest.fixture
async def alice(store, make):
    await store.add(make.account(), make.event())
    return await store.account("usr_Alice")


async def test_a_session_comes_back_until_it_is_silent_too_long_or_ends(store, make, alice):
    assert await store.open_session(session(), make.event(), account=alice)
    assert await store.session("s1", 199.0) == session()
    assert await store.session("s1", 200.0) is None
    assert await store.prolong_session("s1", 5_000.0)
    assert await store.session("s1", 999.0) == session(idle_until=5_000.0)
    assert await store.session("s1", 1_000.0) is None
    assert await store.session("s2", 100.0) is None


async def test_a_clock_that_is_set_back_gives_nobody_a_session_from_the_future(store, make, alice):
    """Its login would pass for one that a request has just asked for."""
    assert await store.open_session(session(), make.event(), account=alice)
    assert await store.session("s1", 100.0 - CLOCK_SKEW) == session()
    assert await store.session("s1", 100.0 - CLOCK_SKEW - 0.5) is None


async def test_a_new_session_ends_the_one_that_the_browser_had_and_no_other(store, make, alice):
    for digest in ("s1", "other"):
        await store.open_session(session(digest), make.event(), account=alice)
    assert await store.open_session(session("s2"), make.event(), account=alice, instead_of="s1")
    assert await store.session("s1", 100.0) is None
    assert await store.session("s2", 100.0) is not None
    assert await store.session("other", 100.0) is not None


async def test_a_person_who_was_changed_meanwhile_gets_no_session_and_keeps_the_old_one(store, make, alice):
    await store.open_session(session(), make.event(), account=alice)
    assert await store.change(replace(alice, password="another"), make.event("changed"))
    assert not await store.open_session(session("s2"), make.event("opened"), account=alice, instead_of="s1")
    assert await store.session("s2", 100.0) is None
    assert await store.session("s1", 100.0) is not None
    assert [line.what for line in await store.journal(limit=1)] == ["changed"]


async def test_a_disabled_or_unknown_person_gets_no_session(store, make, alice):
    await store.change(replace(alice, disabled_at=50.0), make.event())
    assert not await store.open_session(session(), make.event(), account=await store.account(alice.id))
    assert not await store.open_session(session(), make.event(), account=make.account("Bob"))


async def test_a_session_is_closed_once_with_one_line_in_the_journal(store, make, alice):
    await store.open_session(session(), make.event("opened"), account=alice)
    assert await store.close_session("s1", make.event("closed"))
    assert not await store.close_session("s1", make.event("closed"))
    assert not await store.prolong_session("s1", 900.0)
    assert [line.what for line in await store.journal(limit=2)] == ["closed", "opened"]


async def test_what_ends_a_persons_tokens_ends_their_sessions_and_nobody_elses(store, make, alice):
    await store.add(make.account("Bob"), make.event())
    bob = await store.account("usr_Bob")
    await store.open_session(session(), make.event(), account=alice)
    await store.open_session(session("s2", "usr_Bob"), make.event(), account=bob)
    await store.revoke(Revocation(Revoked.CLIENT, "app", 100.0, 700.0), make.event())
    assert await store.session("s1", 100.0) is not None
    await store.revoke(Revocation(Revoked.SUBJECT, "usr_Alice", 100.0, 700.0), make.event())
    assert await store.session("s1", 100.0) is None
    assert await store.session("s2", 100.0) is not None


async def test_a_change_that_revokes_ends_the_sessions_with_it(store, make, alice):
    await store.open_session(session(), make.event(), account=alice)
    gone = Revocation(Revoked.SUBJECT, "usr_Alice", 100.0, 700.0)
    assert await store.change(replace(alice, disabled_at=100.0), make.event(), revoking=gone)
    assert await store.session("s1", 100.0) is None


async def test_whoever_logs_in_while_they_are_being_disabled_is_logged_out_either_way(store, make, alice):
    gone = Revocation(Revoked.SUBJECT, "usr_Alice", 100.0, 700.0)
    await asyncio.gather(
        *(store.open_session(session(f"s{number}"), make.event(), account=alice) for number in range(16)),
        store.change(replace(alice, disabled_at=100.0), make.event(), revoking=gone),
        *(store.open_session(session(f"t{number}"), make.event(), account=alice) for number in range(16)),
    )
    for number in range(16):
        assert await store.session(f"s{number}", 100.0) is None
        assert await store.session(f"t{number}", 100.0) is None


async def test_purging_takes_sessions_that_have_ended(store, make, alice):
    await store.open_session(session("silent", idle_until=150.0), make.event(), account=alice)
    await store.open_session(session("old", idle_until=900.0, expires_at=160.0), make.event(), account=alice)
    await store.open_session(session("alive", idle_until=170.0), make.event(), account=alice)
    assert await store.purge(165.0) == 2
    assert await store.session("alive", 165.0) is not None
