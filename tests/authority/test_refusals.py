"""Refusals in the journal: counted, never awaited, and bounded whatever a stranger does."""

import asyncio
import itertools

import pytest

from bailiwick._server.flusher import Flusher
from bailiwick.authority.records import Event, Origin
from bailiwick.authority.refusals import ROOM, SUSPECT, Refusals
from bailiwick.authority.store import DAY, MINUTE, JournalRoom
from bailiwick.errors import IDS, Refused, StoreError
from bailiwick.storage import MemoryStore, open_store

pytestmark = pytest.mark.anyio

MIDNIGHT = 1_800_000_000.0 - 1_800_000_000.0 % DAY
HERE = Origin("192.0.2.1", "program/1")
# Bytes, with indexes: what the documentation promises of a day.
MAX_DAY = 20_000_000
# The journal's kinds that are counted; each has a line an hour for what finds no room.
KINDS = 40


class Counting(MemoryStore):
    """A store that knows how often lines were counted, and fails as long as it is told to."""

    def __init__(self):
        super().__init__()
        self.writes, self.full = 0, False

    async def count(self, events, room):
        self.writes += 1
        if self.full:
            raise StoreError("The disk is full.")
        return await super().count(events, room)


def shown(number=0, at=MIDNIGHT, **more):
    return Event(at, "token.refused.BW402", "app", "", "app", f"fam_{number}", origin=HERE, **more)


async def lines(store):
    return [(one.what, one.client, one.object, one.count) for one in reversed(await store.journal(limit=100_000))]


async def told(refusals, times=1, at="token", client="", now=MIDNIGHT, **more):
    why = Refused("invalid_client", "No.", **{"id": "BW401"} | more)
    for _ in range(times):
        await refusals.tell(why, at, client=client, origin=HERE, now=now)


def test_each_id_that_is_counted_is_one():
    assert IDS.keys() >= SUSPECT


async def test_refusals_without_number_are_one_line_and_one_write():
    store = Counting()
    refusals = Refusals(store)
    for times in (1_000, 2_000, 4_000):
        await told(refusals, times)
        await refusals.flush()
    assert await lines(store) == [("token.refused.BW401", "", "", 7_000)]
    assert store.writes == 3
    await refusals.flush()
    assert store.writes == 3


async def test_nothing_is_written_before_a_refusal_is_answered(world):
    """The time that a write takes would tell whether there is a person of that name: only their lines begin anew."""
    store = Counting()
    world.authority.accounts._refusals._store = store
    for name in ("alice", "nobody"):
        await world.refused(world.log_in(name, password="wrong"))
    assert store.writes == 0


async def test_slips_and_what_is_in_the_journal_already_are_not_counted():
    store = Counting()
    refusals = Refusals(store)
    await told(refusals, id="BW400")
    await told(refusals, id="BW413")
    await told(refusals, journaled=True)
    await refusals.flush()
    assert store.writes == 0


async def test_names_that_a_stranger_makes_up_are_nobodys(world):
    refusals = Refusals(world.store)
    for number in range(500):
        await told(refusals, client=f"https://evil{number}.example/client")
    await told(refusals, client="service")
    await told(refusals, client="\0")
    await refusals.flush()
    found = [line for line in await lines(world.store) if line[0] == "token.refused.BW401"]
    assert found == [("token.refused.BW401", "", "", 501), ("token.refused.BW401", "service", "", 1)]


async def test_what_finds_no_room_is_counted_by_hour_and_kind_and_nothing_is_lost():
    room = JournalRoom(minute=10, day=50)
    for burst in (20, 40, 80):
        store = Counting()
        refusals = Refusals(store, room)
        events = 0
        for minute, number in itertools.product(range(2 * 60), range(burst)):
            refusals.note(shown(number, MIDNIGHT + minute * MINUTE))
            events += 1
            if number % 7 == 0:
                await refusals.flush()
                assert len(refusals._waiting) <= 2 * room.minute
        await refusals.flush()
        found = await lines(store)
        assert sum(count for *_, count in found) == events
        # However many there are: those of the day, and a line for each of the two hours.
        assert len(found) == room.day + 2
        assert [one for one in found if not one[2]] == [found[10], found[-1]]
        assert found[-1][:3] == ("token.refused", "", "")


async def test_in_memory_no_more_waits_than_there_is_room_for_in_a_minute():
    refusals = Refusals(Counting(), JournalRoom(minute=10, day=50))
    for number in range(1_000):
        refusals.note(shown(number))
    assert len(refusals._waiting) == 11


async def test_what_cannot_be_written_is_kept_counted_and_written_later(world):
    store = Counting()
    refusals = Refusals(store, JournalRoom(minute=2, day=2))
    store.full = True
    for number in range(4):
        for _ in range(3):
            refusals.note(shown(number))
        with pytest.raises(StoreError):
            await refusals.flush()
    assert not await lines(store)
    store.full = False
    refusals.note(shown())
    await refusals.flush()
    found = await lines(store)
    assert sum(count for *_, count in found) == 13
    assert ("token.refused.BW402", "app", "fam_0", 4) in found


async def test_a_day_of_the_worst_lines_stays_below_what_is_promised(tmp_path):
    store = await open_store(tmp_path / "authority.db")

    def size():
        return store._write(
            lambda db: (
                db.exec_driver_sql("PRAGMA page_count").scalar() * db.exec_driver_sql("PRAGMA page_size").scalar()
            )
        )

    try:
        before = await size()
        refusals = Refusals(store)
        hostile, named = Origin("ff" * 100, "\xff" * 400), "https://client.example/" + "x" * 489
        minutes = 10
        for minute in range(minutes):
            for number in range(ROOM.minute + 10):
                refusals.note(
                    Event(
                        MIDNIGHT + minute * MINUTE, "device_authorization.refused.BW401", named, "usr_" + "s" * 20, named,
                        f"fam_{number:020}", "\xff" * 400, hostile,
                    )
                )  # fmt: skip
            await refusals.flush()
        found = await lines(store)
        assert len([one for one in found if one[2]]) == minutes * ROOM.minute
        of_one = (await size() - before) / len(found)
        assert of_one * (ROOM.day + 24 * KINDS) <= MAX_DAY
    finally:
        await store.close()


# -- dead credentials ----------------------------------------------------------------------------------


@pytest.fixture(params=["memory", "sqlite"])
async def kept(request, tmp_path, make_flows):
    store = await open_store(":memory:" if request.param == "memory" else tmp_path / "authority.db")
    yield await make_flows(store=store).furnish()
    await store.close()


async def through_the_door(flows, awaitable, client):
    """As an endpoint does: refuse, and count."""
    with pytest.raises(Refused) as caught:
        await awaitable
    await flows.authority.refusals.tell(caught.value, "token", client=client, origin=HERE, now=flows.now)


async def test_a_dead_refresh_token_that_is_shown_without_end_is_a_line_a_minute(kept):
    first = await kept.log_in()
    await kept.refresh(await kept.refresh(first))
    kept.now += 60 - kept.now % 60 + 60
    grown = []
    for times in (20, 40, 80):
        before = len(await kept.lines())
        for _ in range(times):
            await through_the_door(kept, kept.refresh(first), "app")
        grown.append(len(await kept.lines()) - before)
    # The replay that ended the family, and all that followed it in this minute.
    assert grown == [2, 0, 0]
    (replayed,) = await kept.lines("refresh.replayed")
    (after,) = await kept.lines("token.refused.BW402")
    assert (replayed.count, after.count) == (1, 139)
    assert (after.subject, after.object) == (kept.people["alice"].id, replayed.object)
    kept.now += 60
    await through_the_door(kept, kept.refresh(first), "app")
    assert [line.count for line in await kept.lines("token.refused.BW402")] == [139, 1]


async def test_honest_retries_of_a_refresh_share_a_line_and_each_rotation_has_its_own(kept):
    kept.now -= kept.now % 60
    first = await kept.log_in()
    second = await kept.refresh(first)
    for _ in range(20):
        assert (await kept.refresh(first)).refresh_token == second.refresh_token
    await kept.refresh(second)
    assert [line.count for line in await kept.lines("refresh.rotated")] == [1, 1]
    (retried,) = await kept.lines("refresh.retried")
    assert retried.count >= 20


async def test_a_spent_code_that_is_shown_without_end_is_a_line_a_minute(kept):
    kept.now -= kept.now % 60
    code = await kept.code("spa")
    await kept.redeem(code)
    grown = []
    for times in (20, 40, 80):
        before = len(await kept.lines())
        for _ in range(times):
            await through_the_door(kept, kept.redeem(code), "spa")
        grown.append(len(await kept.lines()) - before)
    assert grown == [1, 0, 0]
    (line,) = await kept.lines("code.replayed")
    assert (line.count, line.subject) == (140, kept.people["alice"].id)


async def test_a_live_token_in_other_hands_is_traced_with_whose_it_is(kept):
    tokens = await kept.log_in("alice")
    await through_the_door(kept, kept.refresh(tokens, client="other"), "other")
    await through_the_door(kept, kept.revoke(tokens.refresh_token, client="other"), "other")
    lines = [await kept.lines(f"token.refused.{one}") for one in ("BW402", "BW411")]
    for (line,) in lines:
        assert (line.subject, line.client) == (kept.people["alice"].id, "other")
        assert line.object.startswith("fam_")
        assert "of client app" in line.detail
    assert (await kept.refresh(tokens)).refresh_token


async def test_a_question_about_a_token_for_another_api_is_traced_and_answered_as_ever(kept):
    await kept.admin.create_client(
        "elsewhere", grants=["client_credentials"], scopes=["files:read"], introspects=[kept.files]
    )
    secret = (await kept.admin.set_client_secret("elsewhere")).secret
    tokens = await kept.log_in("alice")
    for token in (tokens.access_token, tokens.refresh_token, "unknown"):
        assert await kept.introspect(token, "elsewhere", secret) == {"active": False}
    found = await kept.lines("introspect.foreign")
    assert [(one.client, one.subject) for one in found] == [("elsewhere", kept.people["alice"].id)] * 2


# -- when they are written -----------------------------------------------------------------------------


async def test_a_running_server_writes_every_few_seconds_and_at_its_end():
    store, pauses = Counting(), []
    refusals = Refusals(store)

    async def pause(seconds):
        pauses.append(seconds)
        if len(pauses) == 3:
            await told(refusals, 5)
            await flusher_waits.wait()
        await told(refusals, 10)

    flusher_waits = asyncio.Event()
    flusher = Flusher(refusals, pause=pause)
    flusher.start()
    while len(pauses) < 3:  # noqa: ASYNC110 - the pause itself is what is waited for
        await asyncio.sleep(0)
    assert await lines(store) == [("token.refused.BW401", "", "", 20)]
    # Killed now, five are lost and the line stays; stopped, nothing is.
    assert pauses == [2.0] * 3
    await flusher.stop()
    await flusher.stop()
    assert await lines(store) == [("token.refused.BW401", "", "", 25)]


async def test_a_full_disk_is_said_once_a_minute_and_ends_nothing(caplog):
    store, pauses = Counting(), []
    store.full = True
    refusals = Refusals(store)

    async def pause(seconds):
        pauses.append(seconds)
        await told(refusals)
        store.full = len(pauses) < 20
        await asyncio.sleep(0)

    flusher = Flusher(refusals, pause=pause)
    flusher.start()
    while len(pauses) < 30:  # noqa: ASYNC110 - as above
        await asyncio.sleep(0)
    await flusher.stop()
    assert caplog.text.count("The disk is full") == 1
    ((*_, count),) = await lines(store)
    assert count == len(pauses)
