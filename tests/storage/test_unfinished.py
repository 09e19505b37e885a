"""Requests that wait for a person are bounded, by their client and by their network, whoever races."""

import asyncio
import itertools
import sqlite3
import threading
from collections import Counter

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from bailiwick.authority.records import DeviceCode, DeviceState, PushedRequest
from bailiwick.authority.store import ENDED_KEPT, Begun, Room
from bailiwick.storage import migrations, open_store

pytestmark = pytest.mark.anyio

NUMBERS = itertools.count(1)
ROOM = Room(3, 5)


def a_device(client="app", network="here", now=100.0, **fields):
    digest = f"device {next(NUMBERS)}"
    given = {"resource": "https://api", "scopes": None, "issued_at": now, "expires_at": now + 600, "interval": 5}
    return DeviceCode(digest, f"user {digest}", client, network=network, **given | fields)


def a_push(client="app", network="here", now=100.0):
    return PushedRequest(f"pushed {next(NUMBERS)}", client, (("scope", "a"),), now + 600, network)


class Devices:
    """How requests of devices begin, and end."""

    async def begin(self, store, client="app", network="here", room=ROOM, now=100.0):
        self.last = a_device(client, network, now)
        return await store.add_device_code(self.last, room, now)

    async def finish(self, store, make):
        await store.decide_device_code(DeviceCode(**{**fields(self.last), "state": DeviceState.DENIED}), make.event())


class Pushes:
    """How pushed requests do."""

    async def begin(self, store, client="app", network="here", room=ROOM, now=100.0):
        self.last = a_push(client, network, now)
        return await store.push_request(self.last, room, now)

    async def finish(self, store, _):
        assert await store.spend_pushed_request(self.last.digest)


def fields(record):
    return {name: getattr(record, name) for name in type(record).__slots__}


@pytest.fixture(params=[Devices, Pushes])
def kind(request):
    return request.param()


async def test_a_client_has_so_many_from_one_network_and_as_many_from_another(store, kind):
    told = [await kind.begin(store) for _ in range(5)]
    assert told == [Begun.DONE] * 3 + [Begun.FULL] * 2
    assert await kind.begin(store, network="there") is Begun.DONE


async def test_a_network_has_so_many_whatever_the_clients_are(store, kind):
    told = [await kind.begin(store, client=f"client {number}") for number in range(7)]
    assert told == [Begun.DONE] * 5 + [Begun.FULL] * 2


async def test_all_networks_together_have_so_many_and_clients_that_are_counted_by_themselves_have_theirs(store, kind):
    room = Room(3, 5, 8)
    told = [await kind.begin(store, network=f"network {number}", room=room) for number in range(10)]
    assert told == [Begun.DONE] * 8 + [Begun.FULL] * 2
    assert [await kind.begin(store, "site", "", Room(2)) for _ in range(3)] == [Begun.DONE, Begun.DONE, Begun.FULL]
    # Nor do those take anything away from the others.
    assert await kind.begin(store, network="network 11", room=Room(3, 5, 9)) is Begun.DONE


async def test_a_client_that_is_counted_by_itself_is_in_nobodys_way(store, kind):
    assert [await kind.begin(store, "site", "", Room(2)) for _ in range(3)] == [Begun.DONE, Begun.DONE, Begun.FULL]
    assert await kind.begin(store, "another site", "", Room(2)) is Begun.DONE
    assert await kind.begin(store, "site") is Begun.DONE


async def test_who_finishes_one_may_begin_another(store, kind, make):
    for _ in range(3):
        assert await kind.begin(store) is Begun.DONE
    assert await kind.begin(store) is Begun.FULL
    # The refused one left nothing, so that the last one kept is finished.
    kind.last = a_device() if isinstance(kind, Devices) else a_push()
    add = store.add_device_code if isinstance(kind, Devices) else store.push_request
    assert await add(kind.last, Room(4, 5), 100.0) is Begun.DONE
    await kind.finish(store, make)
    assert await kind.begin(store, room=Room(4, 5)) is Begun.DONE
    assert await kind.begin(store, room=Room(4, 5)) is Begun.FULL


async def test_what_has_expired_makes_room_at_once_and_goes_soon(store, kind):
    for _ in range(3):
        await kind.begin(store)
    assert await kind.begin(store, now=699.0) is Begun.FULL
    assert await kind.begin(store, now=700.0) is Begun.DONE
    assert await store.purge(700.0) == 3
    assert await kind.begin(store, now=700.0) is Begun.DONE
    assert await kind.begin(store, "site", "", Room(2), 700.0) is Begun.DONE
    # Nobody purges: they go when the next one begins, wherever that is.
    assert await kind.begin(store, network="there", now=1_300.0 + ENDED_KEPT) is Begun.DONE
    assert await store.purge(1_300.0 + ENDED_KEPT) == 0


async def test_a_device_that_still_polls_learns_that_its_code_expired(store):
    kind = Devices()
    await kind.begin(store)
    first = kind.last
    await kind.begin(store, now=700.0 + ENDED_KEPT - 1)
    outcome, _ = await store.poll_device_code(first.digest, "app", 700.0 + ENDED_KEPT - 1)
    assert outcome.value == "expired"


async def test_a_code_in_use_is_no_lack_of_room_and_a_lack_of_room_is_no_code_in_use(store):
    used = a_device()
    assert await store.add_device_code(used, ROOM, 100.0) is Begun.DONE
    assert await store.add_device_code(used, ROOM, 100.0) is Begun.TAKEN
    assert await store.add_device_code(used, Room(1), 100.0) is Begun.FULL


async def test_10_000_begun_in_an_hour_leave_no_more_rows_than_two_lives_can_hold(store, kind):
    told = Counter()
    for number in range(10_000):
        told[await kind.begin(store, f"client {number % 50}", now=100.0 + 0.36 * number)] += 1
    # Of six lives of ten minutes each has room for five.
    assert 25 <= told[Begun.DONE] <= 35
    assert told[Begun.DONE] + told[Begun.FULL] == 10_000
    assert await store.purge(10.0**9) <= 2 * ROOM.network


def threads_at_the_bound(path, add, count):
    """What threads are told, each with an event loop, a store and clients of its own, that begin twenty requests."""
    told, ready = [], threading.Barrier(count)

    async def begin(number):
        store = await open_store(path)
        try:
            ready.wait(60)
            told.extend([await add(store, f"client {number % 4}") for _ in range(20)])
        finally:
            await store.close()

    def run(number):
        try:
            asyncio.run(begin(number))
        except BaseException as bad:  # noqa: BLE001 - shown by the assertion
            ready.abort()
            told.append(bad)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(told)


@pytest.mark.parametrize("pushed", [False, True])
@pytest.mark.parametrize(
    ("room", "kept"), [(Room(60, 100), 100), (Room(10, 100), 40), (Room(60, 200, 90), 90), (Room(7), 28)]
)
def test_of_16_threads_that_race_no_request_too_many_is_kept(tmp_path, pushed, room, kept):
    path, network = tmp_path / "authority.db", "here" if room.network else ""
    asyncio.run(made(path))

    async def add(store, client):
        if pushed:
            return await store.push_request(a_push(client, network), room, 100.0)
        return await store.add_device_code(a_device(client, network), room, 100.0)

    assert threads_at_the_bound(path, add, 16) == {Begun.DONE: kept, Begun.FULL: 320 - kept}
    with sqlite3.connect(path) as db:
        (rows,) = db.execute(f"SELECT count(*) FROM {'bw_pushed_request' if pushed else 'bw_device_code'}").fetchone()
    db.close()
    assert rows == kept


async def made(path):
    await (await open_store(path)).close()


OLD = "INSERT INTO bw_pushed_request (digest, client, parameters, expires_at) VALUES (?, 'app', '[]', 700.0)"


async def test_what_the_version_before_kept_and_keeps_is_counted_by_its_client(tmp_path):
    path = tmp_path / "authority.db"
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0003")
        db.exec_driver_sql(OLD, ("before",))
        db.commit()
    engine.dispose()
    store = await open_store(path)
    try:
        # The previous release may still be running beside this one (expand before contract).
        with sqlite3.connect(path) as db:
            db.execute(OLD, ("meanwhile",))
        db.close()
        assert (await store.pushed_request("before", 100.0)).network == ""
        assert await store.push_request(a_push(network=""), Room(3), 100.0) is Begun.DONE
        assert await store.push_request(a_push(network=""), Room(3), 100.0) is Begun.FULL
    finally:
        await store.close()
