"""A purge lets others write: it deletes few rows in a transaction, and waits between two."""

import asyncio
import math

import pytest
from sqlalchemy import insert

from bailiwick.authority.records import RefreshToken
from bailiwick.storage import MemoryStore, open_store
from bailiwick.storage import tables as t
from bailiwick.storage.sql.rows import values

pytestmark = pytest.mark.anyio

LATER = 10.0**9
# What one transaction, or one turn in memory, may hold up others for.
FEW = 1_000


@pytest.fixture
async def sqlite(tmp_path):
    store = await open_store(tmp_path / "authority.db")
    yield store
    await store.close()


def watched(store):
    """The rows that each transaction of a store changes, from now on."""
    changed, write = [], store._write

    async def noting(work):
        def counted(db):
            raw = db.connection.driver_connection
            before = raw.total_changes
            result = work(db)
            changed.append(raw.total_changes - before)
            return result

        return await write(counted)

    store._write = noting
    return changed


async def fill(store, make, count):
    """A family with so many tokens, as many one-time names and old lines of the journal."""
    family = make.family(id="fam_1")
    await store.open_family(family, make.token(family), make.event())
    tokens = [RefreshToken(f"token {number}", "fam_1", number + 2, 1.0, 2.0) for number in range(count)]

    def work(db):
        db.execute(insert(t.refresh_token), [values(one) for one in tokens])
        db.execute(insert(t.claimed), [{"name": f"name {number}", "until": 1.0} for number in range(count)])
        line = dict.fromkeys(("what", "actor", "subject", "client", "object", "detail", "address", "agent"), "")
        db.execute(insert(t.journal), [{"at": 1.0, **line} for _ in range(count)])

    await store._write(work)


async def test_a_transaction_of_a_purge_deletes_few_rows_however_many_there_are(sqlite, make):
    transactions = []
    for count in (1_000, 2_000, 4_000):
        await fill(sqlite, make, count)
        changed = watched(sqlite)
        # The family, its first token and its line in the journal besides.
        assert await sqlite.purge(LATER, journal_before=LATER) == 3 * count + 3
        assert max(changed) <= FEW
        transactions.append(len(changed))
        assert len(changed) <= 3 * math.ceil(count / 100)
    assert await sqlite.family("fam_1") is None
    # Twice as many rows, twice as many transactions.
    assert transactions[2] - transactions[1] == 2 * (transactions[1] - transactions[0])


async def test_others_write_while_a_purge_is_on_its_way(sqlite, make):
    await fill(sqlite, make, 4_000)
    changed = watched(sqlite)
    purging = asyncio.create_task(sqlite.purge(LATER, journal_before=LATER))
    while not purging.done():
        await sqlite.record(make.event(at=2 * LATER))
    assert await purging == 12_003
    of_purge = [place for place, rows in enumerate(changed) if rows > 1]
    assert len(of_purge) >= 12
    between = changed[of_purge[0] : of_purge[-1]].count(1)
    assert between >= len(of_purge) / 2


async def test_a_purge_that_is_given_up_keeps_what_it_did_and_another_one_goes_on(sqlite, make):
    await fill(sqlite, make, 4_000)
    changed = watched(sqlite)
    purging = asyncio.create_task(sqlite.purge(LATER, journal_before=LATER))
    while len(changed) < 3:  # noqa: ASYNC110 - the transactions themselves are what is waited for
        await asyncio.sleep(0.001)
    purging.cancel()
    await asyncio.gather(purging, return_exceptions=True)
    done = sum(changed)
    assert done
    assert await sqlite.purge(LATER, journal_before=LATER) == 12_003 - done


async def test_in_memory_others_have_their_turn_as_well(make):
    store, turns = MemoryStore(), []
    for rows in (5, 10, 20):
        for number in range(rows * FEW):
            await store.claim(f"name {number}", 0.0, 1.0)
        turn = 0
        purging = asyncio.create_task(store.purge(LATER))
        while not purging.done():
            await asyncio.sleep(0)
            turn += 1
        assert await purging == rows * FEW
        turns.append(turn)
    assert turns[0] >= 5
    assert turns[2] - turns[1] == 2 * (turns[1] - turns[0])


async def test_no_verb_meets_a_refresh_token_without_its_family_while_a_purge_is_on_its_way(make):
    store = MemoryStore()
    for number in range(3 * FEW):
        family = make.family(id=f"fam_{number}")
        await store.open_family(family, make.token(family, f"token {number}"), make.event())
    purging = asyncio.create_task(store.purge(LATER))
    while not purging.done():
        for number in range(0, 3 * FEW, 100):
            await store.refresh_token(f"token {number}")
        await asyncio.sleep(0)
    assert await purging == 6 * FEW
