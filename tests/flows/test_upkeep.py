"""A running server purges what has expired, by itself."""

import asyncio
import logging

import pytest

from bailiwick import Catalog, ConfigurationError, Scope
from bailiwick._server.upkeep import Upkeep
from bailiwick.errors import StoreError
from bailiwick.server import AuthorizationServer, Settings
from bailiwick.storage import MemoryStore

pytestmark = pytest.mark.anyio

ISSUER = "https://auth.example.com"
NOW = 1_800_000_000.0
DAY = 24 * 60 * 60


class Pauses:
    """Stands for time: each pause is noted and ends when the test says so."""

    def __init__(self):
        self.asked, self.go = [], asyncio.Queue()

    async def __call__(self, seconds):
        self.asked.append(seconds)
        await self.go.get()


class Failing(MemoryStore):
    """A store that cannot purge as long as there are faults left."""

    def __init__(self, *faults):
        super().__init__()
        self.faults, self.calls = list(faults), []

    async def purge(self, now, **more):
        self.calls.append((now, more))
        if self.faults:
            raise self.faults.pop(0)
        return await super().purge(now, **more)


async def turns(upkeep, pauses, times):
    """Let that many pauses end, each with what follows it."""
    upkeep.start()
    for n in range(times):
        await pauses.go.put(None)
        while len(pauses.asked) < n + 2:  # noqa: ASYNC110 - the pause itself is what is waited for
            await asyncio.sleep(0.001)


async def test_it_purges_soon_after_the_start_and_then_at_its_interval_with_a_spread():
    store, pauses = Failing(), Pauses()
    upkeep = Upkeep(store, Settings(ISSUER, purge_every=1_000), lambda: NOW, pause=pauses)
    await turns(upkeep, pauses, 20)
    await upkeep.stop()
    assert len(store.calls) == 20
    first, *rest = pauses.asked
    assert 75 <= first <= 125
    assert all(750 <= one <= 1_250 for one in rest)
    assert len(set(rest)) > 10
    kept = {"journal_before": NOW - 400 * DAY, "unused_before": NOW - 7 * DAY}
    assert store.calls[0] == (NOW, kept)


async def test_a_failure_is_logged_and_tried_again_soon(caplog):
    store, pauses = Failing(StoreError("The disk is full."), RuntimeError("a surprise")), Pauses()
    upkeep = Upkeep(store, Settings(ISSUER, purge_every=1_000), lambda: NOW, pause=pauses)
    with caplog.at_level(logging.WARNING, "bailiwick.server"):
        await turns(upkeep, pauses, 3)
    await upkeep.stop()
    assert "The disk is full" in caplog.text
    assert "a surprise" in caplog.text
    assert [one < 130 for one in pauses.asked] == [True, True, True, False]


async def test_never_is_never_and_stopping_twice_does_nothing():
    pauses = Pauses()
    upkeep = Upkeep(MemoryStore(), Settings(ISSUER, purge_every=0), lambda: NOW, pause=pauses)
    upkeep.start()
    await asyncio.sleep(0)
    await upkeep.stop()
    await upkeep.stop()
    assert pauses.asked == []
    with pytest.raises(ConfigurationError):
        Settings(ISSUER, purge_every=-1)


def running():
    return [task for task in asyncio.all_tasks() if task.get_name() == "bailiwick upkeep"]


async def test_a_server_purges_from_its_opening_to_its_closing(tmp_path):
    now = [NOW]
    catalog = Catalog([Scope("a", "A")], roles={"r": ["a"]})
    settings = Settings(ISSUER, purge_every=1)
    server = AuthorizationServer(
        catalog, issuer=ISSUER, store=tmp_path / "authority.db", settings=settings, now=lambda: now[0]
    )
    async with server:
        assert len(running()) == 1
        await server.open()
        assert len(running()) == 1
        store = (await server.open()).store
        await store.claim("a name", NOW, NOW + 10)
        now[0] += 11
        end = asyncio.get_running_loop().time() + 5
        while await claims(store):
            assert asyncio.get_running_loop().time() < end
            await asyncio.sleep(0.05)
    assert running() == []
    async with server:
        assert len(running()) == 1
    assert running() == []


async def claims(store):
    """How many one-time names the store remembers."""
    return await store._scan(lambda db: db.exec_driver_sql("SELECT count(*) FROM bw_claimed").scalar())
