"""What readiness says of a file: whether it is still there, whole, and can be written; and what asking costs."""

import asyncio
import shutil

import pytest

from bailiwick.errors import StoreError
from bailiwick.storage.sqlite import SQLiteStore
from bailiwick.storage.sqlite import store as module

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CHECK_EVERY", 0.0)
    opened = await SQLiteStore.open(tmp_path / "a.db")
    await opened.check()
    yield opened
    await opened.close()


async def test_a_file_that_was_deleted_is_not_ready_and_is_not_made_anew(store):
    store.path.unlink()
    with pytest.raises(StoreError) as refused:
        await store.check()
    assert "deleted or replaced" in refused.value.detail
    assert str(store.path) not in refused.value.description
    assert not store.path.exists()


async def test_a_file_that_was_replaced_is_not_ready(store):
    copy = shutil.copy(store.path, store.path.with_name("copy.db"))
    shutil.move(copy, store.path)
    with pytest.raises(StoreError) as refused:
        await store.check()
    assert "deleted or replaced" in refused.value.detail


@pytest.mark.parametrize("damage", [b"no database at all", b"SQLite format 3\0" + b"\xff" * 84])
async def test_a_file_whose_beginning_is_damaged_is_not_ready(tmp_path, monkeypatch, damage):
    monkeypatch.setattr(module, "CHECK_EVERY", 0.0)
    first = await SQLiteStore.open(tmp_path / "a.db")
    await first.close()  # so that all of it is in the file, and none of it in the log
    store = await SQLiteStore.open(tmp_path / "a.db")
    (tmp_path / "a.db-wal").unlink(missing_ok=True)
    with store.path.open("r+b") as file:
        file.write(damage)
    with pytest.raises(StoreError):
        await store.check()
    await store.close()


async def test_a_full_disk_is_not_ready(store, monkeypatch):
    usage = shutil.disk_usage(store.path.parent)
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage._replace(free=4096))
    with pytest.raises(StoreError) as refused:
        await store.check()
    assert "full" in refused.value.detail


async def test_a_store_that_cannot_be_written_is_not_ready(store, monkeypatch):
    def fails(db):
        db.exec_driver_sql("INSERT INTO nowhere VALUES (1)")

    monkeypatch.setattr(module, "write_something", fails)
    with pytest.raises(StoreError):
        await store.check()


async def test_a_store_that_does_not_answer_is_not_ready(store, monkeypatch):
    import time

    monkeypatch.setattr(module, "CHECK_WITHIN", 0.05)
    monkeypatch.setattr(module, "write_something", lambda _: time.sleep(0.5))
    with pytest.raises(StoreError) as refused:
        await store.check()
    assert "did not answer" in refused.value.detail


async def test_however_many_ask_there_is_one_look_in_a_second(store, monkeypatch):
    monkeypatch.setattr(module, "CHECK_EVERY", 60.0)
    looks = []
    monkeypatch.setattr(module, "write_something", looks.append)
    await asyncio.gather(*(store.check() for _ in range(500)))
    assert len(looks) <= 1
