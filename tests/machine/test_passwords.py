"""Argon2id in a bounded pool."""

import asyncio
import os
import threading
import time

import pytest
from argon2 import Parameters, PasswordHasher, Type, extract_parameters

from bailiwick.authority.accounts import Caller, Verdict
from bailiwick.errors import ConfigurationError, Unavailable
from bailiwick.machine.passwords import OWASP_2025, RFC_9106_LOW_MEMORY, Argon2Hasher

pytestmark = pytest.mark.anyio

CHEAP = Parameters(
    type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=8, parallelism=1
)  # fmt: skip


async def test_a_password_is_right_and_every_other_one_wrong():
    hasher = Argon2Hasher(CHEAP)
    kept = await hasher.hash("wonderland")
    assert kept.startswith("$argon2id$")
    assert await hasher.verify(kept, "wonderland") is Verdict.RIGHT
    for other in ("Wonderland", "wonderland ", "wonderlan", "", "wonderland\0"):
        assert await hasher.verify(kept, other) is Verdict.WRONG, other


async def test_two_hashes_of_one_password_differ():
    hasher = Argon2Hasher(CHEAP)
    assert await hasher.hash("wonderland") != await hasher.hash("wonderland")


async def test_any_text_is_a_password_and_bcrypts_72_bytes_are_no_limit():
    hasher = Argon2Hasher(CHEAP)
    for password in ("p" * 72 + "x", "\u00e5\U0001f600", "\ud800", "a\0b"):
        kept = await hasher.hash(password)
        assert await hasher.verify(kept, password) is Verdict.RIGHT
        assert await hasher.verify(kept, password[:-1] + "y") is Verdict.WRONG


@pytest.mark.timing
async def test_without_a_hash_every_password_is_wrong_after_the_same_work():
    hasher = Argon2Hasher()
    kept = await hasher.hash("wonderland")
    await hasher.verify(None, "warm-up")

    async def best(hash):
        times = []
        for _ in range(5):
            begun = time.perf_counter()
            assert await hasher.verify(hash, "wrong") is Verdict.WRONG
            times.append(time.perf_counter() - begun)
        return min(times)

    known, unknown = await best(kept), await best(None)
    # Far from equal within noise would be a factor of hundreds: an answer without any hashing.
    assert 0.5 < unknown / known < 2


async def test_a_hash_that_is_none_is_wrong_and_no_error():
    hasher = Argon2Hasher(CHEAP)
    for kept in ("", "sha256:00", "$argon2id$v=19$broken"):
        assert await hasher.verify(kept, "wonderland") is Verdict.WRONG


async def test_a_hash_of_weaker_parameters_is_right_but_weak():
    weak, today = Argon2Hasher(CHEAP), Argon2Hasher(OWASP_2025)
    kept = await weak.hash("wonderland")
    assert await today.verify(kept, "wonderland") is Verdict.RIGHT_BUT_WEAK
    assert await today.verify(kept, "wrong") is Verdict.WRONG


async def test_the_parameters_are_what_their_names_say():
    for parameters in (OWASP_2025, RFC_9106_LOW_MEMORY):
        made = extract_parameters(await Argon2Hasher(parameters).hash("x"))
        assert made == parameters
        assert made.type is Type.ID
    assert (OWASP_2025.memory_cost, OWASP_2025.time_cost) == (19 * 1024, 2)


async def test_whoever_finds_the_queue_full_is_told_when_to_come_back():
    hasher = Argon2Hasher(threads=1, waiting=2)
    answers = await asyncio.gather(*(hasher.hash("x") for _ in range(6)), return_exceptions=True)
    sent_away = [answer for answer in answers if isinstance(answer, Unavailable)]
    assert len(sent_away) == 3
    assert {(one.id, one.status) for one in sent_away} == {("BW504", 503)}
    assert all(one.retry_after >= 1 for one in sent_away)
    # And when the others are through there is room again.
    assert (await hasher.hash("x")).startswith("$argon2id$")


async def test_a_caller_who_hangs_up_still_counts_until_the_work_is_done():
    hasher = Argon2Hasher(threads=1, waiting=0)
    await hasher.hash("x")
    first = asyncio.create_task(hasher.hash("x"))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(Unavailable):
        await hasher.hash("x")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        try:
            await hasher.hash("x")
            break
        except Unavailable:
            await asyncio.sleep(0.01)
    else:
        pytest.fail("the room was never given back")


class Held:
    """A hasher whose one thread is busy until it is let go, and that counts what it hashes."""

    def __init__(self, **more):
        self.hasher = Argon2Hasher(CHEAP, threads=1, **more)
        self.hashed = []
        self.go = threading.Event()
        inner = self.hasher._hasher
        self.hasher._hasher = self
        self.hash = lambda octets: (self.hashed.append(octets.decode()), self.go.wait(20), inner.hash(octets))[-1]

    async def ask(self, password, caller):
        task = asyncio.create_task(self.hasher.hash(password, caller))
        await asyncio.sleep(0)
        return task


async def test_whoever_stops_waiting_leaves_the_queue_and_nothing_is_hashed_for_them():
    held = Held()
    first = await held.ask("first", Caller("ada", "192.0.2.1"))
    cancelled = await held.ask("cancelled", Caller("ada", "192.0.2.1"))
    hang_up = asyncio.Event()
    gone = await held.ask("gone", Caller("bob", "192.0.2.1", disconnected=hang_up.wait))
    last = await held.ask("last", Caller("ada", "192.0.2.1", disconnected=asyncio.Event().wait))
    cancelled.cancel()
    hang_up.set()
    with pytest.raises(Unavailable, match="did not wait"):
        await gone
    with pytest.raises(asyncio.CancelledError):
        await cancelled
    held.go.set()
    await asyncio.gather(first, last)
    assert held.hashed == ["first", "last"]


async def test_a_flood_that_gives_up_a_place_is_told_at_once_and_the_newcomer_is_served():
    held = Held(waiting=4)
    flood = [await held.ask("flood", Caller("mallory", "192.0.2.1")) for _ in range(5)]
    honest = await held.ask("honest", Caller("ada", "198.51.100.1"))
    with pytest.raises(Unavailable) as sent_away:
        await flood.pop()
    assert (sent_away.value.id, sent_away.value.status) == ("BW504", 503)
    assert sent_away.value.retry_after >= 1
    held.go.set()
    await asyncio.gather(honest, *flood)
    assert held.hashed == ["flood", "honest", *["flood"] * 3]


async def test_whoever_is_cancelled_at_the_moment_of_their_turn_passes_it_on():
    held = Held()
    first = await held.ask("first", Caller("ada", "192.0.2.1"))
    second = await held.ask("second", Caller("bob", "192.0.2.1"))
    held.go.set()
    await first
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    assert await asyncio.wait_for(held.hasher.hash("third", Caller("eve", "192.0.2.1")), 20)


@pytest.mark.parametrize(("cores", "threads"), [(1, 1), (2, 1), (4, 3), (64, 4)])
def test_a_core_is_left_to_the_event_loop(monkeypatch, cores, threads):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(cores)), raising=False)
    assert Argon2Hasher()._threads == threads


async def test_the_event_loop_goes_on_while_passwords_are_hashed():
    hasher = Argon2Hasher(threads=1)
    work = asyncio.gather(*(hasher.hash("x") for _ in range(4)))
    turns = 0
    while not work.done():
        await asyncio.sleep(0.001)
        turns += 1
    assert turns > 4


@pytest.mark.parametrize("wrong", [{"threads": 0}, {"waiting": -1}])
def test_a_pool_without_threads_is_refused(wrong):
    with pytest.raises(ConfigurationError):
        Argon2Hasher(**wrong)


def test_hashes_of_other_makers_of_argon2id_are_checked():
    made = PasswordHasher(time_cost=1, memory_cost=64, parallelism=2).hash("wonderland")
    assert asyncio.run(Argon2Hasher().verify(made, "wonderland")) is Verdict.RIGHT_BUT_WEAK
