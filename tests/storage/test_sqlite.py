"""What is special about a file: opening it, losing the disk, other threads, other processes, sudden death."""

import asyncio
import sqlite3
import stat
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from bailiwick.authority.store import Rotated
from bailiwick.errors import ConfigurationError, StoreError
from bailiwick.storage import MemoryStore, migrations, open_store, tables
from bailiwick.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "authority.db"


async def fill(path, make, digest="first"):
    """A file with one family in it."""
    store = await open_store(path)
    family = make.family()
    await store.open_family(family, make.token(family, digest), make.event())
    await store.close()
    return family


def contents(folder):
    return {one.name: one.read_bytes() for one in Path(folder).iterdir()}


# -- names -----------------------------------------------------------------------------------------


async def test_a_name_or_a_url_opens_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for where in ("a.db", Path("b.db"), "sqlite:///c.db", f"sqlite:///{tmp_path}/d%20d.db"):
        store = await open_store(where)
        await store.close()
    assert {one.name for one in tmp_path.iterdir()} == {"a.db", "b.db", "c.db", "d d.db"}


async def test_the_memory_store_has_sqlites_name():
    assert isinstance(await open_store(":memory:"), MemoryStore)


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite://host/db", "sqlite:///", "https://example.com"])
async def test_a_url_of_another_kind_is_refused(url):
    with pytest.raises(ConfigurationError, match="not known"):
        await open_store(url)


# -- versions --------------------------------------------------------------------------------------


async def test_the_migrations_make_exactly_the_tables_that_the_code_uses(path):
    await (await open_store(path)).close()
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        context = MigrationContext.configure(db, opts={"version_table": migrations.VERSION_TABLE})
        assert compare_metadata(context, tables.metadata) == []
        made = {row[0] for row in db.execute(text("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL"))}
    engine.dispose()
    assert sum("AUTOINCREMENT" in sql for sql in made) == 2


def test_the_list_of_versions_is_what_alembic_finds():
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    found = [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]
    assert tuple(reversed(found)) == migrations.REVISIONS


def a_file_of(version, path):
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    engine = create_engine(f"sqlite:///{path}")
    with engine.begin() as db:
        config.attributes["connection"] = db
        command.upgrade(config, version)
        db.execute(text("INSERT INTO bw_role (name, scopes, version) VALUES ('reader', 'a', 1)"))
        db.execute(
            text(
                "INSERT INTO bw_client (id, name, auth, grants, ceiling, redirects, first_party, introspects, created_at,"
                " version) VALUES ('app', 'App', 'none', '[\"password\"]', 'a b', '[]', 1, '[]', 1.0, 1)"
            )
        )
    engine.dispose()


@pytest.mark.parametrize("version", migrations.REVISIONS[:1])
async def test_a_file_of_an_older_version_is_brought_up_to_date_with_all_that_is_in_it(path, version):
    a_file_of(version, path)
    store = await open_store(path)
    client = await store.client("app")
    assert (client.name, str(client.ceiling), client.first_party) == ("App", "a b", True)
    assert [role.name for role in await store.roles()] == ["reader"]
    await store.close()


async def test_a_migration_that_fails_leaves_the_file_as_it_was(path, monkeypatch):
    a_file_of(migrations.REVISIONS[0], path)
    before = path.read_bytes()

    def fails(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(command, "upgrade", fails)
    with pytest.raises(StoreError, match="No space left"):
        await open_store(path)
    assert path.read_bytes() == before


async def test_a_file_that_is_new_can_be_read_by_its_owner_only(path):
    store = await open_store(path)
    await store.check()
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    await store.close()
    assert modes
    assert set(modes.values()) == {0o600}


async def test_a_newer_file_is_refused_and_not_touched(path):
    await (await open_store(path)).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE bw_version SET version_num = '9999'")
    db.close()
    before = contents(path.parent)
    with pytest.raises(StoreError, match="newer version") as caught:
        await open_store(path)
    assert caught.value.id == "BW503"
    assert contents(path.parent) == before


async def test_many_who_open_a_new_file_at_once_all_get_it(path):
    stores = await asyncio.gather(*(open_store(path) for _ in range(8)))
    await asyncio.gather(*(store.check() for store in stores))
    await asyncio.gather(*(store.close() for store in stores))


async def test_what_was_written_is_there_after_closing_and_opening(path, make):
    family = await fill(path, make)
    store = await open_store(path)
    assert await store.family(family.id) == family
    await store.close()


async def test_closing_leaves_one_file(path, make):
    await fill(path, make)
    assert [one.name for one in path.parent.iterdir()] == [path.name]


async def test_tables_stand_beside_an_applications_own(path, make):
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE client (id TEXT)")
        db.execute("INSERT INTO client VALUES ('mine')")
    db.close()
    await fill(path, make)
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT id FROM client").fetchall() == [("mine",)]
    db.close()


# -- files that cannot be used -----------------------------------------------------------------------


async def refusal(path):
    with pytest.raises(StoreError) as caught:
        await open_store(path)
    assert caught.value.id == "BW502"
    assert str(path) in caught.value.description or str(Path(path).parent) in caught.value.description
    return caught.value.description


async def test_a_read_only_file_is_refused_and_not_touched(path, make):
    await fill(path, make)
    path.chmod(0o444)
    before = contents(path.parent)
    assert "read-only" in await refusal(path)
    assert contents(path.parent) == before


async def test_a_file_of_another_kind_is_refused_and_not_touched(path):
    path.write_bytes(b"This is no database, but a letter. " * 100)
    before = contents(path.parent)
    assert "not a SQLite database" in await refusal(path)
    assert contents(path.parent) == before


async def test_a_damaged_file_is_refused_or_cannot_answer(path, make):
    await fill(path, make)
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xff" * (len(whole) - 4096))
    assert "damaged" in await refusal(path)


async def test_a_folder_and_a_missing_folder_are_refused(tmp_path):
    assert "is a folder" in await refusal(tmp_path)
    assert "does not exist" in await refusal(tmp_path / "none" / "authority.db")
    assert list(tmp_path.iterdir()) == []


SMALL_DISK = """
import asyncio, resource, signal, sys
from pathlib import Path
from bailiwick.errors import StoreError
from bailiwick.storage import open_store

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    asyncio.run(open_store(sys.argv[1]))
except StoreError as bad:
    print(bad.id, bad.description)
    sys.exit(2)
"""


def test_a_disk_without_room_for_a_new_file_leaves_nothing_behind(path):
    told = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, path, "8192"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (told.returncode, told.stdout[:6]) == (2, "BW502 "), told.stderr
    assert "disk is full" in told.stdout
    assert list(path.parent.iterdir()) == []


async def test_a_disk_that_is_full_is_found_out_when_the_file_is_opened(path, make):
    await fill(path, make)
    before = path.read_bytes()
    told = subprocess.run(
        [sys.executable, "-c", SMALL_DISK, path, "0"], check=False, capture_output=True, text=True, timeout=60
    )
    assert (told.returncode, told.stdout[:6]) == (2, "BW502 "), told.stderr
    assert path.read_bytes() == before


async def test_a_disk_that_fills_up_fails_every_write_it_could_not_keep_and_no_other(path, make):
    store = await SQLiteStore.open(path)
    await store.record(make.event("before"))

    def shrink(db):
        pages = db.exec_driver_sql("PRAGMA page_count").scalar()
        db.exec_driver_sql(f"PRAGMA max_page_count = {pages + 3}")

    await store._write(shrink)
    big = make.event("x" * 3_000)
    answers = await asyncio.gather(*(store.record(big) for _ in range(40)), return_exceptions=True)
    failed = [answer for answer in answers if answer is not True]
    assert failed
    assert all(isinstance(answer, StoreError) and answer.id == "BW502" for answer in failed)
    assert "disk is full" in failed[0].detail
    # Nobody was told that something is kept which is not, and reading goes on.
    assert len(await store.journal(limit=100)) - 1 == answers.count(True)
    await store._write(lambda db: db.exec_driver_sql("PRAGMA max_page_count = 100000").scalar())
    await store.record(make.event("after"))
    assert (await store.journal(limit=1))[0].what == "after"
    await store.close()


async def test_what_a_caller_is_told_of_a_broken_store_names_no_file_and_no_statement(path, make):
    store = await SQLiteStore.open(path)
    await store._write(lambda db: db.exec_driver_sql("DROP TABLE bw_journal"))
    with pytest.raises(StoreError) as caught:
        await store.record(make.event("secret-ish"))
    assert caught.value.description == "The store cannot answer."
    assert "secret-ish" not in caught.value.detail
    with pytest.raises(StoreError):
        await store.journal()
    await store.close()


async def test_a_closed_store_says_so(path, make):
    store = await SQLiteStore.open(path)
    await store.close()
    for asked in (store.client("app"), store.record(make.event())):
        with pytest.raises(StoreError, match="closed"):
            await asked


# -- one writer, many callers ---------------------------------------------------------------------------


async def test_a_write_that_fails_undoes_itself_and_nobody_elses(path, make):
    store = await SQLiteStore.open(path)

    def half_done(db):
        db.execute(tables.journal.delete())
        raise ZeroDivisionError

    await store.record(make.event("before"))
    answers = await asyncio.gather(
        store.record(make.event("beside")), store._write(half_done), store.record(make.event("behind")),
        return_exceptions=True,
    )  # fmt: skip
    assert isinstance(answers[1], ZeroDivisionError)
    assert {line.what for line in await store.journal()} == {"before", "beside", "behind"}
    await store.close()


async def test_a_caller_who_hangs_up_leaves_no_half_transaction(path, make):
    store = await SQLiteStore.open(path)
    begun, go_on = threading.Event(), threading.Event()

    def slow(db):
        db.execute(tables.journal.insert().values(
            at=1.0, what="slow", actor="", subject="", client="", object="", detail="", address="", agent=""
        ))  # fmt: skip
        begun.set()
        go_on.wait(10)

    running = asyncio.create_task(store._write(slow))
    await asyncio.to_thread(begun.wait, 10)
    waiting = asyncio.create_task(store.record(make.event("never begun")))
    await asyncio.sleep(0.01)
    for task in (running, waiting):
        task.cancel()
    await asyncio.gather(running, waiting, return_exceptions=True)
    go_on.set()
    await store.record(make.event("later"))
    assert [line.what for line in await store.journal()] == ["later", "slow"]
    await store.close()


async def test_writes_that_wait_together_share_a_commit(path, make):
    store = await SQLiteStore.open(path)
    commits = []
    store._writer.submit(
        lambda db: db.connection.dbapi_connection.set_trace_callback(
            lambda sql: commits.append(sql) if sql == "COMMIT" else None
        )
    ).result()
    await asyncio.gather(*(store.record(make.event(f"{n}")) for n in range(200)))
    assert len(await store.journal(limit=300)) == 200
    assert len(commits) < 50
    await store.close()


async def test_a_reader_is_not_held_up_by_a_writer(path, make):
    store = await SQLiteStore.open(path)
    begun, go_on = threading.Event(), threading.Event()

    def slow(db):
        db.execute(tables.journal.delete())
        begun.set()
        assert go_on.wait(10)

    writing = asyncio.create_task(store._write(slow))
    await asyncio.to_thread(begun.wait, 10)
    assert await asyncio.wait_for(store.client("app"), 5) is None
    go_on.set()
    await writing
    await store.close()


async def test_a_commit_is_on_the_disk_before_anybody_hears_of_it(path):
    store = await SQLiteStore.open(path)
    settings = await store._write(
        lambda db: [
            db.exec_driver_sql(f"PRAGMA {name}").scalar() for name in ("journal_mode", "synchronous", "foreign_keys")
        ]
    )
    assert settings == ["wal", 2, 1]  # 2 is FULL
    await store.close()


# -- other threads and processes ------------------------------------------------------------------------------


def together(path, rotation, make, count):
    """What `count` threads are told that rotate at once, each with an event loop and a store of its own."""
    told, ready = [], threading.Barrier(count)

    async def ask():
        store = await open_store(path)
        ready.wait(60)
        outcome = await store.rotate(rotation, make.event("refresh"))
        await store.close()
        return outcome

    def run():
        try:
            told.append(asyncio.run(ask()))
        except BaseException as bad:  # noqa: BLE001 - shown by the assertion
            ready.abort()
            told.append(bad)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Counter(told)


def test_64_threads_with_a_connection_each_rotate_a_token_once(path, make):
    asyncio.run(fill(path, make))
    assert together(path, make.rotation(), make, 64) == {Rotated.FIRST_TIME: 1, Rotated.RETRIED: 63}


def test_64_threads_with_a_connection_each_that_come_too_late_revoke_the_family_once(path, make):
    family = asyncio.run(fill(path, make))
    assert together(path, make.rotation(), make, 1) == {Rotated.FIRST_TIME: 1}
    assert together(path, make.rotation(now=200.0), make, 64) == {Rotated.REPLAYED: 1, Rotated.REVOKED: 63}

    async def reason():
        store = await open_store(path)
        found = await store.family(family.id)
        await store.close()
        return found.revoked_at

    assert asyncio.run(reason()) == 200.0


WRITER = """
import asyncio, sys
from bailiwick.authority.records import Event
from bailiwick.storage import open_store

async def main():
    store = await open_store(sys.argv[1])
    for n in range(40):
        await store.record(Event(1.0, f"{sys.argv[2]} {n}", "tester"))
    await store.close()

asyncio.run(main())
"""


# The processes are what is waited for; nothing else runs in the event loop meanwhile.
# ruff: noqa: ASYNC220, ASYNC221
async def test_four_processes_write_into_one_file_and_nobody_is_turned_away(path):
    await (await open_store(path)).close()
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, path, str(n)], stderr=subprocess.PIPE, text=True)
        for n in range(4)
    ]
    told = [writer.communicate(timeout=120)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0], told
    store = await open_store(path)
    lines = await store.journal(limit=1_000)
    assert len(lines) == 160
    await store.close()


# -- sudden death ----------------------------------------------------------------------------------------------

# Refreshes one token after another and prints each successor when it "received" it, as a client would.
REFRESHER = """
import asyncio, secrets, sys, time
from bailiwick.authority import Authority, Settings, TokenRequest
from bailiwick.authority.accounts import Verdict
from bailiwick.scopes import Catalog
from bailiwick.storage import open_store

class Hasher:
    async def hash(self, password):
        return "hash of " + password
    async def verify(self, hash, password, caller=None):
        return Verdict.RIGHT if hash == "hash of " + password else Verdict.WRONG

async def main():
    store = await open_store(sys.argv[1])
    authority = Authority.make(
        Catalog({"a": ""}, roles={"reader": ["a"]}), Settings("https://example.com"), store, Hasher(),
        clock=time.time, token_bytes=secrets.token_bytes,
    )
    await authority.prepare()
    async def ask(**form):
        return await authority.token.answer(TokenRequest.read(form.items()), now=time.time())
    if len(sys.argv) > 2:
        # After the crash: every chain's last token must still be good.
        for token in sys.argv[2:]:
            answer = await ask(grant_type="refresh_token", client_id="app", refresh_token=token)
            print("good", answer.refresh_token, flush=True)
        await store.close()
        return
    await authority.admin.create_account("alice", "wonderland", roles=["reader"])
    await authority.admin.create_client(
        "app", public=True, grants=["password", "refresh_token"], scopes=["a"], first_party=True
    )
    async def chain(name):
        answer = await ask(grant_type="password", client_id="app", username="alice", password="wonderland")
        print(name, answer.refresh_token, flush=True)
        for _ in range(250):
            answer = await ask(grant_type="refresh_token", client_id="app", refresh_token=answer.refresh_token)
            print(name, answer.refresh_token, flush=True)
    await asyncio.gather(*(chain(name) for name in "abcd"))

asyncio.run(main())
"""


async def test_kill_9_in_the_middle_of_1000_refreshes_loses_no_token_that_a_client_received(path):
    victim = subprocess.Popen([sys.executable, "-c", REFRESHER, path], stdout=subprocess.PIPE, text=True)
    received = {}
    for count, line in enumerate(victim.stdout):
        name, token = line.split()
        received[name] = token
        if count == 300:
            victim.kill()
            break
    rest = victim.stdout.read()
    for line in rest.splitlines(keepends=True):
        if line.endswith("\n"):
            name, token = line.split()
            received[name] = token
    assert victim.wait(30) == -9
    assert set(received) == set("abcd")
    again = subprocess.run(
        [sys.executable, "-c", REFRESHER, path, *received.values()],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert again.stdout.count("good") == 4, again.stderr
    db = sqlite3.connect(path)
    assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    db.close()
    with_spent = sqlite3.connect(path)
    heads = with_spent.execute("SELECT count(*) FROM bw_refresh_token WHERE spent_at IS NULL").fetchone()
    with_spent.close()
    assert heads == (4,)


def test_opening_a_file_that_is_up_to_date_needs_no_migration_tool(path, make):
    asyncio.run(fill(path, make))
    program = (
        "import asyncio, sys; from bailiwick.storage import open_store; "
        "store = asyncio.run(open_store(sys.argv[1])); asyncio.run(store.close()); sys.exit('alembic' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program, path], check=False, timeout=60).returncode == 0
