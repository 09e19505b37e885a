"""Lines of the journal that many events share: one line with a count, and room for so many in a minute and a day."""

import asyncio
import sqlite3
from dataclasses import replace

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from bailiwick.authority.records import Event, Origin
from bailiwick.authority.store import DAY, MINUTE, JournalRoom
from bailiwick.storage import migrations, open_store

pytestmark = pytest.mark.anyio

NOON = 1_800_000_000.0 - 1_800_000_000.0 % DAY + DAY / 2


def refused(object="fam_1", at=NOON, **more):
    given = {"what": "token.refused.BW402", "actor": "app", "client": "app", "object": object, "every": MINUTE}
    return Event(at=at, **given | more)


async def lines(store):
    return [(one.object, one.count) for one in reversed(await store.journal(limit=10_000))]


async def test_events_that_agree_share_a_line_with_the_detail_of_the_first_and_the_time_of_the_last(store):
    first = refused(detail="the first", origin=Origin("192.0.2.1", "a program"))
    await store.count([first], None)
    await store.count([refused(at=NOON + 20, detail="another"), refused(at=NOON + 30, count=40, until=NOON + 50)], None)
    (line,) = await store.journal()
    assert replace(line, number=0) == replace(first, every=0, count=42, until=NOON + 50)


@pytest.mark.parametrize(
    "other", [{"object": "fam_2"}, {"client": "web"}, {"actor": "x"}, {"subject": "usr_1"}, {"what": "x.refused"}]
)
async def test_what_differs_has_a_line_of_its_own_and_so_has_the_next_minute(store, other):
    for event in (refused(), refused(**other), refused(), refused(at=NOON + MINUTE)):
        await store.count([event], None)
    assert sorted(one.count for one in await store.journal()) == [1, 1, 2]


async def test_a_line_is_never_begun_beyond_the_room_of_its_minute_or_day_and_those_begun_go_on_counting(store):
    room = JournalRoom(minute=3, day=5)
    events = [refused(f"fam_{number}") for number in range(5)]
    left = await store.count(events, room)
    assert [one.object for one in left] == ["fam_3", "fam_4"]
    assert await store.count(events, room) == left
    later = [replace(one, at=NOON + MINUTE) for one in events]
    assert [one.object for one in await store.count(later, room)] == ["fam_2", "fam_3", "fam_4"]
    # The day's room is used up, whatever minute it is; the next day has its own.
    assert len(await store.count([refused(at=NOON + 2 * MINUTE)], room)) == 1
    assert not await store.count([refused(at=NOON + DAY)], room)
    assert await lines(store) == [("fam_0", 2), ("fam_1", 2), ("fam_2", 2), ("fam_0", 1), ("fam_1", 1), ("fam_1", 1)]


async def test_lines_of_other_acts_take_no_room_away(store, make):
    room = JournalRoom(minute=1, day=1)
    for number in range(5):
        await store.record(refused(f"fam_{number}"))
        await store.record(make.event(at=NOON))
    assert not await store.count([refused("fam_9")], room)
    assert len(await store.journal()) == 11


async def test_a_purged_line_is_begun_anew(store):
    await store.count([refused()], None)
    await store.purge(NOON + DAY, journal_before=NOON + 1)
    assert not await store.journal()
    await store.count([refused()], None)
    assert await lines(store) == [("fam_1", 1)]


async def test_two_processes_together_have_one_room_and_add_to_one_line(tmp_path):
    one, two = await open_store(tmp_path / "authority.db"), await open_store(tmp_path / "authority.db")
    try:
        room = JournalRoom(minute=10, day=100)
        events = [refused(f"fam_{number}") for number in range(20)]
        await asyncio.gather(*(store.count([event], room) for event in events for store in (one, two)))
        assert [count for _, count in await lines(one)] == [2] * 10
    finally:
        await one.close()
        await two.close()


async def test_what_a_peer_says_of_itself_is_cut(tmp_path):
    store = await open_store(tmp_path / "authority.db")
    try:
        hostile = Origin("a" * 10_000, "b" * 10_000)
        await store.record(Event(NOON, "x", "y", detail="c" * 10_000, origin=hostile))
        (line,) = await store.journal()
        assert (len(line.origin.address), len(line.origin.agent), len(line.detail)) == (64, 200, 2_000)
    finally:
        await store.close()


async def test_lines_of_before_and_of_the_previous_release_tell_of_one_event(tmp_path):
    path = tmp_path / "authority.db"
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    row = (
        "INSERT INTO bw_journal (at, what, actor, subject, client, object, detail, address, agent) "
        "VALUES (5.0, ?, 'a', '', '', '', '', '', '')"
    )
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0004")
        db.exec_driver_sql(row, ("old",))
        db.commit()
    engine.dispose()
    store = await open_store(path)
    try:
        # The previous release may still be running beside this one (expand before contract).
        with sqlite3.connect(path) as db:
            db.execute(row, ("late",))
            db.execute(row, ("late",))
        db.close()
        found = [(one.what, one.count, one.until) for one in await store.journal()]
        assert found == [("late", 1, 0.0), ("late", 1, 0.0), ("old", 1, 0.0)]
    finally:
        await store.close()
