"""Guesses counted together: in memory, and by several processes in a real Redis."""

import asyncio
import logging
import shutil
import socket
import subprocess
import time

import pytest

from bailiwick.errors import ConfigurationError, Refused

pytest.importorskip("limits", reason="limits is not installed: pip install 'bailiwick[redis]'")

from bailiwick.authority.attempts import FIRST_WAIT, FREE
from bailiwick.machine.shared_attempts import SharedAttempts

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def redis_address(tmp_path_factory):
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed (Debian: apt-get install redis-server)")
    pytest.importorskip("redis", reason="redis is not installed: pip install 'bailiwick[redis]'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path_factory.mktemp("r"))],
        stdout=subprocess.DEVNULL,
    )
    end = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            break
        except OSError:
            assert time.monotonic() < end
            time.sleep(0.05)
    yield f"redis://127.0.0.1:{port}/0"
    process.terminate()
    process.wait(20)


@pytest.fixture(params=["memory", "redis"])
def address(request):
    return "memory://" if request.param == "memory" else request.getfixturevalue("redis_address")


NAMES = iter(f"login:{number}" for number in range(1_000_000))


async def wait_of(attempts, names, **more):
    try:
        await attempts.check(names, time.time(), **more)
    except Refused as why:
        assert (why.code, why.status, why.id) == ("slow_down", 429, "BW416")
        return why.retry_after
    return 0


async def fail(attempts, names, times=1):
    for _ in range(times):
        await attempts.failed(names, time.time())


async def test_the_first_guesses_are_free_and_then_each_doubles_the_wait(address):
    attempts, names = SharedAttempts(address, free=3), [next(NAMES)]
    await fail(attempts, names, 2)
    assert await wait_of(attempts, names) == 0
    for seconds in (30, 60, 120, 240, 480, 900, 900):
        await fail(attempts, names)
        assert seconds - 3 <= await wait_of(attempts, names) <= seconds + 1


async def test_any_of_the_names_can_be_at_its_end(address):
    attempts, one, other = SharedAttempts(address, free=1), next(NAMES), next(NAMES)
    await fail(attempts, [one])
    assert await wait_of(attempts, [other]) == 0
    assert await wait_of(attempts, [other, one]) > 0


async def test_a_wider_allowance_can_be_asked_for(address):
    attempts, names = SharedAttempts(address, free=1), [next(NAMES)]
    await fail(attempts, names, 5)
    assert await wait_of(attempts, names, free=6) == 0
    assert await wait_of(attempts, names, free=5) > 0


async def test_a_right_guess_takes_back_one_and_not_all(address):
    attempts, names = SharedAttempts(address, free=3), [next(NAMES)]
    await fail(attempts, names, 3)
    await attempts.succeeded(names)
    assert await wait_of(attempts, names) == 0
    await fail(attempts, names)
    assert await wait_of(attempts, names) > 0
    for _ in range(5):
        await attempts.succeeded(names)
    await fail(attempts, names, 2)
    assert await wait_of(attempts, names) == 0


async def test_two_processes_count_together(redis_address):
    one, two, names = SharedAttempts(redis_address, free=4), SharedAttempts(redis_address, free=4), [next(NAMES)]
    await fail(one, names, 2)
    await fail(two, names, 2)
    assert await wait_of(one, names) > 0
    assert await wait_of(two, names) > 0
    # It is Redis that knows, and not what each of them remembers.
    assert await wait_of(SharedAttempts(redis_address, free=4), names) > 0


async def test_of_100_guesses_at_once_on_two_nodes_none_is_forgotten(redis_address):
    nodes, names = [SharedAttempts(redis_address, free=100) for _ in range(2)], [next(NAMES)]
    await asyncio.gather(*(nodes[number % 2].failed(names, time.time()) for number in range(99)))
    assert await wait_of(nodes[0], names) == 0
    await fail(nodes[1], names)
    assert await wait_of(nodes[0], names) > 0


async def test_no_name_stands_in_redis_and_everything_in_it_ends(redis_address):
    import redis

    attempts = SharedAttempts(redis_address)
    await fail(attempts, ["login:ada@192.0.2.1"], 3)
    with redis.Redis.from_url(redis_address) as raw:
        keys = raw.keys("*")
        assert keys
        assert not [key for key in keys if b"ada" in key or b"192.0.2" in key]
        assert all(key.startswith(b"bailiwick") for key in keys)
        assert all(0 < raw.ttl(key) <= 24 * 60 * 60 for key in keys)


async def test_without_redis_each_process_counts_for_itself_and_says_so_once(caplog):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    attempts, names = SharedAttempts(f"redis://:very-secret@127.0.0.1:{port}/0", free=2), [next(NAMES)]
    caplog.set_level(logging.DEBUG)
    assert await wait_of(attempts, names) == 0
    await fail(attempts, names, 2)
    assert await wait_of(attempts, names) > 0
    assert len([line for line in caplog.records if "counts for itself" in line.getMessage()]) == 1
    assert "very-secret" not in caplog.text


@pytest.mark.parametrize("address", ["memcached://x", "very-secret", "", "mongodb://user:very-secret@x"])
def test_another_address_is_refused_and_not_repeated(address):
    with pytest.raises(ConfigurationError) as refused:
        SharedAttempts(address)
    assert "very-secret@" not in str(refused.value)


async def test_two_servers_refuse_together_what_was_guessed_at_either(redis_address, tmp_path):
    import httpx

    from bailiwick import Catalog
    from bailiwick.server import AuthorizationServer

    catalog = Catalog({"notes:read": "Read notes"}, roles={"reader": ["notes:read"]})
    issuer, store = "https://auth.example.com", tmp_path / "authority.db"
    nodes = [
        AuthorizationServer(catalog, issuer=issuer, store=store, attempts=f"{redis_address.rstrip('0')}1")
        for _ in range(2)
    ]
    form = {"grant_type": "password", "client_id": "cli", "username": "ada"}
    async with nodes[0] as one, nodes[1] as two:
        admin = await one.admin()
        await admin.create_account("ada", "correct horse battery", roles=["reader"])
        await admin.create_client("cli", public=True, grants=["password"], scopes=["notes:read"], first_party=True)

        async def log_in(node, password):
            async with httpx.AsyncClient(transport=httpx.ASGITransport(node), base_url=issuer) as http:
                return await http.post("/token", data={**form, "password": password})

        for number in range(10):
            assert (await log_in((one, two)[number % 2], "wrong")).status_code == 400
        for node in (one, two):
            # The right password as well: whoever guesses learns nothing from it.
            refused = await log_in(node, "correct horse battery")
            assert (refused.status_code, refused.json()["error"]) == (429, "slow_down")
            assert int(refused.headers["retry-after"]) > 0


async def test_who_guessed_while_the_clock_was_ahead_waits_from_now_on_and_no_longer(address, monkeypatch):
    attempts, names, right = SharedAttempts(address), [next(NAMES)], time.time
    monkeypatch.setattr(time, "time", lambda: right() + 7 * 24 * 3600)
    for _ in range(FREE):
        await attempts.failed(names, time.time())
    monkeypatch.setattr(time, "time", right)
    assert 0 < await wait_of(attempts, names) <= FIRST_WAIT + 1
