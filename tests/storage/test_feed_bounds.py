"""How long the revocation feed gets: of one family, authorization or person there are a few lines at most."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bailiwick.authority.records import MOST_LINES, Code, Revocation, Revoked
from bailiwick.authority.store import Basis
from bailiwick.errors import InvalidToken
from bailiwick.scopes import Principal, ScopeSet
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.tokens import Revocations

pytestmark = pytest.mark.anyio

NOW = 200.0


def token(key, at=NOW, until=NOW + 600, **more):
    return Revocation(Revoked.TOKEN, key, at, until, by="client", **more)


def holder(token_id, seen, subject="usr_alice", authorization="atz_1"):
    """Whom a token proves that was made when the feed had so many lines."""
    claims = {"iat": int(NOW), "rev": seen, "authz": authorization}
    return Principal(subject, ScopeSet(["a"]), token_id=token_id, claims=claims)


async def known(store):
    """What a follower knows that has just loaded everything."""
    told = Revocations()
    for line in await store.revocations(now=NOW):
        told.add(line.kind.value, line.key, at=line.at, until=line.until, number=line.number, scope=line.scope)
    return told


def is_refused(told, principal):
    try:
        told.apply(principal)
    except InvalidToken:
        return True
    return False


def code(digest, family):
    return Code(
        digest, "atz_1", "usr_alice", "app", "https://api", "https://app/cb", redirect_given=True, challenge="c",
        scopes=ScopeSet(["a"]), authenticated_at=NOW, issued_at=NOW, expires_at=NOW + 60, family=family,
    )  # fmt: skip


async def opened(store, make, **fields):
    family = make.family(**fields)
    assert await store.open_family(family, make.token(family, digest=family.id), make.event())
    return family


async def test_one_line_about_the_family_takes_the_place_of_many_about_its_tokens(store, make):
    family, other = await opened(store, make), await opened(store, make, authorization="atz_2")
    made = [f"{family.id}.{n}" for n in range(4 * MOST_LINES[Revoked.FAMILY])]
    before = await store.last_revocation()
    for key in made:
        assert await store.revoke(token(key), make.event()) == 1
        lines = await store.revocations(now=NOW)
        assert len(lines) <= MOST_LINES[Revoked.FAMILY]
        assert lines[-1].number == await store.last_revocation()
    told = await known(store)
    assert all(is_refused(told, holder(key, before)) for key in made)
    # It goes on: its next token is younger than any line, and nobody has to log in again.
    assert (await store.family(family.id)).revoked_at is None
    assert not is_refused(told, holder(f"{family.id}.next", await store.last_revocation()))
    assert not is_refused(told, holder(f"{other.id}.1", before, authorization="atz_2"))


async def test_what_one_client_revokes_ends_no_token_of_another_one(store, make):
    before = await store.last_revocation()
    ended = []
    for _ in range(3 * MOST_LINES[Revoked.AUTHORIZATION]):
        ended.append((await opened(store, make)).id)
        line = Revocation(Revoked.FAMILY, ended[-1], NOW, NOW + 600)
        assert await store.revoke(line, make.event()) == 1
        assert len(await store.revocations(now=NOW)) <= MOST_LINES[Revoked.AUTHORIZATION]
    told = await known(store)
    assert all(is_refused(told, holder(f"{family}.1", before)) for family in ended)
    assert {line.key for line in await store.revocations(now=NOW) if line.kind is Revoked.AUTHORIZATION} == {"atz_1"}
    assert not is_refused(told, holder("fam_x.1", before, authorization="atz_2"))


async def test_a_person_has_a_few_lines_whatever_they_do_and_stays_logged_in(store, make):
    living = await opened(store, make, authorization="atz_living")
    before = await store.last_revocation()
    most, longest = MOST_LINES[Revoked.SUBJECT], {}
    for times in (1, 2, 4):
        longest[times] = 0
        for start in range(0, times * most, 16):
            # Of another authorization each time, and half of them without a family.
            lines = [
                token(f"{n}" if n % 2 else f"fam_{n}.1", authorization=f"atz_{n}", subject="usr_alice")
                for n in range(1_000 * times + start, 1_000 * times + start + 16)
            ]
            await asyncio.gather(*(store.revoke(line, make.event()) for line in lines))
            longest[times] = max(longest[times], len(await store.revocations(now=NOW)))
    assert max(longest.values()) <= most
    told = await known(store)
    assert is_refused(told, holder("4001", before))
    assert not is_refused(told, holder("4001", before, subject="usr_bob"))
    assert (await store.family(living.id)).revoked_at is None


async def test_the_line_that_takes_the_place_of_others_lasts_as_long_as_any_of_them(store, make):
    family = await opened(store, make)
    # Tokens lived longer once, and another process's clock is ahead.
    await store.revoke(token(f"{family.id}.long", at=NOW + 3, until=NOW + 9_000), make.event())
    for n in range(MOST_LINES[Revoked.FAMILY]):
        await store.revoke(token(f"{family.id}.{n}"), make.event())
    (line,) = await store.revocations(now=NOW)
    assert (line.kind, line.key, line.at, line.until) == (Revoked.FAMILY, family.id, NOW + 3, NOW + 9_000)


async def test_lines_that_have_expired_count_for_nothing(store, make):
    family = await opened(store, make)
    for n in range(3 * MOST_LINES[Revoked.FAMILY]):
        at = NOW + 100 * n  # six of them live at a time
        await store.revoke(token(f"{family.id}.{n}", at=at, until=at + 600), make.event())
    assert {line.kind for line in await store.revocations(now=NOW)} == {Revoked.TOKEN}


async def test_scopes_that_are_withdrawn_and_given_back_again_and_again_are_bounded_too(store, make):
    given = await store.consent(make.authorization(id="atz_1"), make.event())
    before = await store.last_revocation()
    for _ in range(3 * MOST_LINES[Revoked.AUTHORIZATION]):
        line = Revocation(Revoked.SCOPE, given.id, NOW, NOW + 600, "a", by="person")
        assert await store.revoke(line, make.event()) == 1
        assert len(await store.revocations(now=NOW)) <= MOST_LINES[Revoked.AUTHORIZATION]
        await store.consent(make.authorization(id="atz_1"), make.event())
    told = await known(store)
    try:
        left = str(told.apply(holder("fam_x.1", before)).scopes)
    except InvalidToken:
        left = ""
    assert left == ""


async def test_a_family_that_must_not_begin_does_not_although_its_line_was_gathered(store, make):
    """A code was replayed before its family began; then so much was revoked that one line tells of it all."""
    seen = await store.last_revocation()
    family = make.family()
    await store.add_code(code("digest", family.id))
    for _ in range(2):
        await store.redeem_code("digest", NOW, feed_until=NOW + 600, event=make.event())
    assert [one.key for one in await store.revocations(now=NOW)] == [family.id]
    for n in range(MOST_LINES[Revoked.SUBJECT]):
        await store.revoke(token(f"jti {n}", subject="usr_alice"), make.event())
        await store.revoke(token(f"jti {n} again", authorization="atz_1", subject="usr_alice"), make.event())
    assert family.id not in [one.key for one in await store.revocations(now=NOW)]
    basis = Basis(seen, ("atz_1", "usr_alice", family.id))
    assert not await store.open_family(family, make.token(family), make.event(), basis=basis)


async def test_codes_that_are_shown_twice_and_never_become_a_family_are_bounded_too(store, make):
    for n in range(2 * MOST_LINES[Revoked.AUTHORIZATION]):
        await store.add_code(code(f"digest {n}", f"fam_{n}"))
        for _ in range(2):
            await store.redeem_code(f"digest {n}", NOW, feed_until=NOW + 600, event=make.event())
        assert 1 <= len(await store.revocations(now=NOW)) <= MOST_LINES[Revoked.AUTHORIZATION]


async def test_many_threads_at_once_make_the_feed_no_longer_and_no_token_is_forgotten(store, make):
    families = [await opened(store, make, id=f"fam_{n}", authorization=f"atz_{n}") for n in range(4)]
    before = await store.last_revocation()
    made = [f"{family.id}.{n}" for n in range(40) for family in families]

    def revoke(key):
        return asyncio.run(store.revoke(token(key), make.event()))

    def longest():
        most = 0
        for _ in range(20):
            lines = asyncio.run(store.revocations(now=NOW))
            for family in families:
                most = max(most, sum(line.family == family.id for line in lines))
        return most

    with ThreadPoolExecutor(9) as threads:
        looking = threads.submit(longest)
        done = await asyncio.to_thread(lambda: list(threads.map(revoke, made)))
        assert looking.result() <= MOST_LINES[Revoked.FAMILY]
    assert done == [1] * len(made)
    lines = await store.revocations(now=NOW)
    assert len(lines) <= 4 * MOST_LINES[Revoked.FAMILY]
    assert len({line.number for line in lines}) == len(lines)
    told = await known(store)
    assert all(is_refused(told, holder(key, before, authorization=f"atz_{key[4]}")) for key in made)


async def test_the_feed_is_read_in_pages(store, make):
    for n in range(25):
        await store.revoke(token(f"jti {n}", until=NOW + 600 if n % 5 else NOW - 1), make.event())
    whole = list(await store.revocations(now=NOW))
    assert len(whole) == 20
    read, after = [], 0
    while page := list(await store.revocations(after=after, now=NOW, limit=3)):
        assert len(page) == 3 or page[-1] == whole[-1]
        read += page
        after = page[-1].number
    assert read == whole


async def test_a_scan_never_keeps_the_event_loop_waiting(tmp_path):
    """Lists that take long to read have connections of their own, and the loop's own reads never wait for one of theirs."""
    store = await SQLiteStore.open(tmp_path / "authority.db")
    go_on = threading.Event()
    try:
        scans = [asyncio.ensure_future(store._scan(lambda _db: go_on.wait(5))) for _ in range(20)]
        await asyncio.sleep(0.1)  # as many as may run hold their connections now
        began = asyncio.get_running_loop().time()
        assert await store.client("nobody") is None
        assert await store.last_revocation() == 0
        assert asyncio.get_running_loop().time() - began < 2
        go_on.set()
        assert await asyncio.gather(*scans) == [True] * 20
    finally:
        go_on.set()
        await store.close()
