"""What must not get past a store, whatever is tried and whatever fails."""

import asyncio
import logging

import pytest
from sqlalchemy import text

from bailiwick.authority.records import Code, DeviceCode, DeviceState, Revocation, Revoked
from bailiwick.authority.store import Polled, Redeemed, Room
from bailiwick.errors import StoreError
from bailiwick.scopes import ScopeSet
from bailiwick.storage import open_store

pytestmark = pytest.mark.anyio

ENDS = [(Revoked.SUBJECT, "usr_alice"), (Revoked.CLIENT, "app"), (Revoked.AUTHORIZATION, "atz_1")]
OTHERS = [(Revoked.SUBJECT, "usr_bob"), (Revoked.CLIENT, "tv"), (Revoked.AUTHORIZATION, "atz_2")]


def a_code(digest, **fields):
    given = {
        "authorization": "atz_1",
        "subject": "usr_alice",
        "client": "app",
        "resource": "https://api",
        "redirect": "https://app.example/cb",
        "redirect_given": True,
        "challenge": "c" * 43,
        "scopes": ScopeSet(["a"]),
        "authenticated_at": 90.0,
        "issued_at": 95.0,
        "expires_at": 155.0,
        "family": f"fam_{digest}",
    }
    return Code(digest=digest, **given | fields)


def a_device(digest, **fields):
    given = {
        "user_code": f"user code of {digest}",
        "client": "app",
        "resource": "https://api",
        "scopes": ScopeSet(["a"]),
        "issued_at": 90.0,
        "expires_at": 700.0,
        "interval": 5,
        "state": DeviceState.APPROVED,
        "subject": "usr_alice",
        "authorization": "atz_1",
        "authenticated_at": 90.0,
    }
    return DeviceCode(digest=digest, **given | fields)


async def end(store, make, kind, key):
    await store.revoke(Revocation(kind, key, 100.0, 700.0), make.event(f"{kind.value}.revoked", 100.0))


@pytest.mark.parametrize(("kind", "key"), ENDS)
async def test_what_waits_to_be_fetched_ends_with_what_it_hangs_on(store, make, kind, key):
    await store.add_code(a_code("code"))
    await store.add_device_code(a_device("device"), Room(10), 90.0)
    await end(store, make, kind, key)
    outcome, _ = await store.redeem_code("code", 101.0, feed_until=700.0, event=make.event())
    assert outcome is Redeemed.UNKNOWN
    assert (await store.poll_device_code("device", "app", 101.0))[0] is Polled.UNKNOWN


@pytest.mark.parametrize(("kind", "key"), OTHERS)
async def test_what_waits_for_others_stays(store, make, kind, key):
    await store.add_code(a_code("code"))
    await store.add_device_code(a_device("device"), Room(10), 90.0)
    await end(store, make, kind, key)
    outcome, _ = await store.redeem_code("code", 101.0, feed_until=700.0, event=make.event())
    assert outcome is Redeemed.FIRST_TIME
    assert (await store.poll_device_code("device", "app", 101.0))[0] is Polled.APPROVED


@pytest.mark.parametrize(("kind", "key"), ENDS)
async def test_a_spent_code_is_still_known_for_a_replay_afterwards(store, make, kind, key):
    await store.add_code(a_code("code"))
    await store.redeem_code("code", 99.0, feed_until=700.0, event=make.event())
    await end(store, make, kind, key)
    outcome, _ = await store.redeem_code("code", 101.0, feed_until=700.0, event=make.event())
    assert outcome is Redeemed.AGAIN


async def test_disabling_takes_what_waits_with_it_in_the_same_transaction(store, make):
    account, client = make.account("alice"), make.client("app")
    await store.add(account, make.event())
    await store.add(client, make.event())
    await store.add_code(a_code("code"))
    await store.add_device_code(
        a_device("device", subject=None, authorization=None, state=DeviceState.PENDING), Room(10), 90.0
    )
    await store.change(account, make.event(), revoking=Revocation(Revoked.SUBJECT, account.id, 100.0, 700.0))
    assert (await store.redeem_code("code", 101.0, feed_until=700.0, event=make.event()))[0] is Redeemed.UNKNOWN
    await store.change(client, make.event(), revoking=Revocation(Revoked.CLIENT, client.id, 100.0, 700.0))
    assert await store.device_code_of_user("user code of device", 101.0) is None


async def test_a_writer_whose_connection_breaks_goes_on_and_nobody_waits_for_ever(tmp_path, make):
    store = await open_store(tmp_path / "authority.db")
    try:

        def break_it(db):
            db.connection.driver_connection.close()

        await store.add(make.client("first"), make.event())
        for _ in range(3):
            work = [store._write(break_it), *(store.add(make.client(), make.event()) for _ in range(5))]
            outcomes = await asyncio.wait_for(asyncio.gather(*work, return_exceptions=True), 20)
            assert any(isinstance(one, StoreError) for one in outcomes)
        assert await asyncio.wait_for(store.add(make.client("last"), make.event()), 20)
        assert await store.client("first") is not None
    finally:
        await asyncio.wait_for(store.close(), 20)


async def test_an_error_of_the_database_repeats_no_values(tmp_path, caplog):
    store = await open_store(tmp_path / "authority.db")
    secret = "a-hash-of-somebody"
    try:
        with pytest.raises(StoreError) as caught:
            await store._read(lambda db: db.execute(text("SELECT * FROM nowhere WHERE x = :value"), {"value": secret}))
        logging.getLogger("test").error("failed", exc_info=caught.value)
        assert "no such table: nowhere" in caplog.text
        assert secret not in caplog.text
    finally:
        await store.close()
