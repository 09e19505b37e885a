"""What stands in the file, as texts: another version of this code, or another program, reads the same."""

import sqlite3

import pytest

from bailiwick.authority.records import (
    Account,
    Authorization,
    ClientAuth,
    GrantType,
    PushedRequest,
    Revocation,
    Revoked,
)
from bailiwick.authority.store import Room
from bailiwick.scopes import ScopeSet
from bailiwick.storage import open_store

pytestmark = pytest.mark.anyio


@pytest.fixture
def path(tmp_path):
    return tmp_path / "authority.db"


def row(path, query):
    db = sqlite3.connect(path)
    try:
        return db.execute(query).fetchone()
    finally:
        db.close()


async def write(path, *acts):
    store = await open_store(path)
    try:
        for act in acts:
            await act(store)
    finally:
        await store.close()


async def test_a_client_is_kept_as_words_and_json(path, make):
    client = make.client(
        auth=ClientAuth.TLS,
        grants=frozenset({GrantType.TOKEN_EXCHANGE, GrantType.CLIENT_CREDENTIALS, GrantType.REFRESH_TOKEN}),
        ceiling=ScopeSet(["b:*", "a"]),
        required=ScopeSet(["a"]),
        redirects=("https://z.example/cb", "https://a.example/cb?é"),
        introspects=frozenset({"https://z", "https://a"}),
        exchange_targets=frozenset({"https://y", "https://b"}),
    )
    await write(path, lambda store: store.add(client, make.event()))
    columns = "auth, grants, ceiling, required_scopes, redirects, introspects, exchange_targets, default_scopes"
    assert row(path, f"SELECT {columns} FROM bw_client") == (
        client.auth.value,
        '["client_credentials", "refresh_token", "urn:ietf:params:oauth:grant-type:token-exchange"]',
        str(client.ceiling),
        "a",
        '["https://z.example/cb", "https://a.example/cb?\\u00e9"]',
        '["https://a", "https://z"]',
        '["https://b", "https://y"]',
        None,
    )
    store = await open_store(path)
    assert await store.client(client.id) == client
    await store.close()


async def test_no_default_and_an_empty_one_are_two_things(path, make):
    clients = [make.client("none"), make.client("empty", default=ScopeSet([]))]
    await write(path, *(lambda store, one=one: store.add(one, make.event()) for one in clients))
    assert row(path, "SELECT default_scopes FROM bw_client WHERE id = 'none'") == (None,)
    assert row(path, "SELECT default_scopes FROM bw_client WHERE id = 'empty'") == ("",)
    store = await open_store(path)
    assert [(await store.client(one.id)).default for one in clients] == [None, ScopeSet([])]
    await store.close()


async def test_a_persons_own_scopes_are_kept_as_text(path, make):
    alice = Account("usr_1", "Alice", 1.0, grants=ScopeSet(["b", "a"]))
    await write(path, lambda store: store.add(alice, make.event()))
    assert row(path, "SELECT scopes, name_key FROM bw_account") == (str(alice.grants), "alice")


async def test_a_pushed_request_keeps_the_order_of_its_parameters(path, make):
    parameters = (("scope", "b a"), ("resource", "https://two"), ("resource", "https://one"))
    await write(path, lambda store: store.push_request(PushedRequest("digest", "app", parameters, 9.0), Room(10), 1.0))
    assert row(path, "SELECT parameters FROM bw_pushed_request") == (
        '[["scope", "b a"], ["resource", "https://two"], ["resource", "https://one"]]',
    )
    store = await open_store(path)
    assert (await store.pushed_request("digest", 1.0)).parameters == parameters
    await store.close()


@pytest.mark.parametrize("kind", list(Revoked))
async def test_a_line_of_the_feed_says_its_kind_by_one_word(path, make, kind):
    given = Authorization("atz_1", "usr_1", "app", "https://api", 1.0, make.authorization(["a"]).rows)
    family = make.family(id="fam_1", authorization="atz_1")
    key = {"scope": "atz_1", "authorization": "atz_1", "family": "fam_1"}.get(kind.value, "some")
    await write(
        path,
        lambda store: store.consent(given, make.event()),
        lambda store: store.open_family(family, make.token(family), make.event()),
        lambda store: store.revoke(Revocation(kind, key, 100.0, 900.0, scope="a"), make.event()),
    )
    assert row(path, "SELECT kind, key FROM bw_revocation") == (kind.value, key)
