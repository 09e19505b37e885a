"""A file of the first version opens, its clients as they were, and what the first version wrote later is read too."""

import sqlite3

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine

from bailiwick.authority.records import ClientAuth
from bailiwick.scopes import ScopeSet
from bailiwick.storage import migrations
from bailiwick.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

ROW = (
    "INSERT INTO bw_client (id, name, auth, grants, ceiling, redirects, first_party, introspects, created_at, version) "
    "VALUES (?, ?, 'none', '[\"refresh_token\"]', 'users:read', '[]', 1, '[]', 5.0, 1)"
)


def first_version(path):
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as db:
        config.attributes["connection"] = db
        command.upgrade(config, "0001")
        db.exec_driver_sql(ROW.replace("?, ?", "'old', 'Old'"))
        db.commit()
    engine.dispose()


async def test_a_client_of_the_first_version_is_what_it_was(tmp_path):
    path = tmp_path / "authority.db"
    first_version(path)
    store = await SQLiteStore.open(path)
    try:
        # The previous release may still be running beside this one (expand before contract).
        with sqlite3.connect(path) as db:
            db.execute(ROW, ("late", "Late"))
        db.close()
        for name in ("old", "late"):
            client = await store.client(name)
            assert client.auth is ClientAuth.NONE
            assert client.required == ScopeSet()
            assert (client.jwks, client.tls, client.registered, client.registration) == ("", "", False, None)
            assert client.first_party
    finally:
        await store.close()
