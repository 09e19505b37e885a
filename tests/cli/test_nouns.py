"""What the commands promise about people, roles, clients, keys and the journal."""

import asyncio
import getpass
import json
import os
import pwd
import sqlite3

import pytest

from bailiwick.authority.records import Event
from bailiwick.storage import open_store


def test_a_person_is_added_shown_and_listed(house):
    made = house.json("user", "add", "bob", "--role", "reader", "--scope", "posts:delete", input="a long password\n")
    assert made["roles"] == ["reader"]
    assert made["scopes"] == ["posts:delete"]
    assert sorted(house.json("user", "show", "bob")["may"]) == ["posts:delete", "posts:read"]
    assert [one["name"] for one in house.json("user", "list")] == ["ada", "bob"]
    assert "bob" in house("user", "list").stdout


def test_what_a_person_may_is_what_guards_would_let_them_do(house):
    house("user", "add", "bob", "--scope", "posts:write", input="a long password\n")
    # posts:write implies posts:read, which nobody gave to bob.
    assert house.json("user", "show", "bob")["may"] == ["posts:read", "posts:write"]
    house("user", "disable", "bob")
    assert house.json("user", "show", "bob")["may"] == []


def test_the_keys_of_a_listed_person_are_these(house):
    (ada,) = house.json("user", "list")
    assert list(ada) == [
        "id", "name", "roles", "scopes", "has_password", "disabled", "created_at", "disabled_at",
    ]  # fmt: skip


def test_no_output_holds_a_hash_or_a_digest(house):
    house("client", "add", "api", "--grant", "client_credentials", "--scope", "posts:read")
    for args in (["user", "list"], ["user", "show", "ada"], ["client", "list"], ["client", "show", "api"],
                 ["key", "list"], ["db", "journal"], ["token", "list"]):  # fmt: skip
        for form in ([], ["--json"]):
            shown = house(*args, *form).output
            assert "argon2" not in shown
            assert "sha256" not in shown
            assert "bwk_" not in shown
            assert '"d"' not in shown


def test_a_password_comes_from_standard_input_and_is_not_repeated(house):
    result = house("user", "add", "bob", input="a password of bob\n")
    assert "a password of bob" not in result.output
    assert "nothing was given" in house.refusal("user", "add", "eve", input="")
    assert [one["name"] for one in house.json("user", "list")] == ["ada", "bob"]


def test_a_short_password_a_taken_name_and_an_unknown_role_are_refused_with_1(house):
    assert "at least 8" in house.refusal("user", "add", "bob", input="short\n")
    assert "taken" in house.refusal("user", "add", "ADA", input="a long password\n")
    assert "Known are: admin, editor, reader" in house.refusal("user", "grant", "ada", "--role", "editr")
    assert "Did you mean 'posts:read'" in house.refusal("user", "grant", "ada", "--scope", "post:read")
    assert "no person 'bob'" in house.refusal("user", "show", "bob")


def test_an_act_that_is_half_wrong_changes_nothing(house):
    house.refusal("user", "grant", "ada", "--role", "reader", "--scope", "nonsense")
    house.refusal("user", "withdraw", "ada", "--role", "editor", "--role", "admin")
    assert house.json("user", "show", "ada")["roles"] == ["editor"]


def test_withdrawing_what_somebody_does_not_have_is_refused(house):
    assert "does not have the role" in house.refusal("user", "withdraw", "ada", "--role", "admin")
    assert "may come from a role" in house.refusal("user", "withdraw", "ada", "--scope", "posts:write")
    assert "at least one" in house.refusal("user", "grant", "ada")


def test_a_role_is_made_set_and_dropped(house):
    house("role", "add", "moderator", "posts:read", "posts:delete")
    assert "already" in house.refusal("role", "add", "moderator", "posts:read")
    house("user", "grant", "ada", "--role", "moderator")
    assert house.json("role", "set", "moderator", "posts:*")["people"] == 1
    assert "no role" in house.refusal("role", "set", "moderater", "posts:*")
    assert "--yes" in house.refusal("role", "drop", "moderator")
    house("role", "drop", "moderator", "--yes")
    assert house.json("user", "show", "ada")["roles"] == ["editor"]


def test_a_role_of_the_catalog_is_not_dropped_because_it_would_come_back(house):
    assert "catalog declares" in house.refusal("role", "drop", "reader", "--yes")
    assert "reader" in [one["name"] for one in house.json("role", "list")]


def test_a_secret_is_shown_once_and_only_its_digest_is_kept(house):
    secret = house.json("client", "add", "api", "--grant", "client_credentials", "--scope", "posts:read")["secret"]
    assert "secret" not in house.json("client", "show", "api")
    kept = b"".join(path.read_bytes() for path in house.folder.iterdir())
    assert secret.encode() not in kept


def test_an_operators_own_secret_is_not_printed(house):
    args = ["client", "add", "api", "--grant", "client_credentials", "--scope", "posts:read", "--own-secret"]
    assert "my own secret" not in house(*args, input="my own secret\n").output


def test_the_apis_for_which_a_client_exchanges_tokens_are_named_and_taken_back(house):
    api = house.json("client", "add", "gate", "--grant", "token_exchange", "--scope", "posts:read")
    assert api["exchange_targets"] == []
    assert "no resource here" in house.refusal("client", "exchange-targets", "gate", "https://unknown.example")
    named = "http://127.0.0.1:8000"
    assert house.json("client", "exchange-targets", "gate", named)["exchange_targets"] == [named]
    assert house.json("client", "show", "gate")["exchange_targets"] == [named]
    assert house.json("client", "exchange-targets", "gate")["exchange_targets"] == []


def test_a_client_that_contradicts_itself_is_refused(house):
    args = ["--public", "--scope", "posts:read"]
    assert "cannot act for itself" in house.refusal("client", "add", "x", "--grant", "client_credentials", *args)
    assert "no redirect URI" in house.refusal("client", "add", "x", "--grant", "authorization_code", *args)
    assert "no grant type" in house.refusal("client", "add", "x", "--grant", "implicit", *args)
    assert house.json("client", "list") == []


def test_scopes_and_redirects_of_a_client_are_set_anew(house):
    house("client", "add", "app", "--public", "--grant", "authorization-code", "--scope", "posts:*",
          "--redirect", "https://a.example/cb")  # fmt: skip
    assert house.json("client", "scopes", "app", "posts:read")["scopes"] == ["posts:read"]
    assert house.json("client", "redirects", "app", "https://b.example/cb")["redirects"] == ["https://b.example/cb"]
    assert "neither https" in house.refusal("client", "redirects", "app", "http://b.example/cb")


def test_a_rotated_key_is_pending_and_replacing_all_asks_first(house):
    (first,) = house.json("key", "list")
    pending = house.json("key", "rotate")
    assert pending["state"] == "pending"
    assert [one["state"] for one in house.json("key", "list")] == ["active", "pending"]
    assert "--yes" in house.refusal("key", "rotate", "--at-once")
    new = house.json("key", "rotate", "--at-once", "--yes")
    assert [one["kid"] for one in house.json("key", "list")] == [new["kid"]]
    assert new["kid"] not in (first["kid"], pending["kid"])


def test_with_a_key_encryption_key_no_private_half_lies_in_the_store(house):
    kek = house.folder / "signing.kek"
    kek.write_text(os.urandom(32).hex())
    kek.chmod(0o600)
    settings = house.folder / "bailiwick.toml"
    settings.write_text('key_encryption_key_file = "signing.kek"\n' + settings.read_text())
    assert [one["sealed"] for one in house.json("key", "list")] == [False]  # which changes nothing
    house("db", "purge")
    assert [one["sealed"] for one in house.json("key", "list")] == [True]
    with sqlite3.connect(house.folder / "authority.db") as db:
        (private,) = db.execute("SELECT private FROM bw_signing_key").fetchone()
    assert '"kty"' not in private
    settings.write_text(settings.read_text().partition("\n")[2])
    for command in (["db", "purge"], ["check"]):
        assert "was not given" in house.refusal(*command, code=2)


def test_the_journal_names_the_operator_and_holds_no_secret(house, password):
    house("user", "disable", "ada")
    lines = house.json("db", "journal", "--user", "ada")
    assert lines[0]["what"] == "account.disabled"
    name = pwd.getpwuid(os.getuid()).pw_name
    assert lines[0]["actor"].startswith("operator:")
    assert name in lines[0]["actor"]
    assert lines[0]["agent"] == "command line"
    assert password not in json.dumps(lines)


def test_the_operators_name_is_not_taken_from_a_variable_that_anybody_sets(house, monkeypatch):
    for name in ("USER", "LOGNAME", "USERNAME"):
        monkeypatch.setenv(name, "mallory")
    assert getpass.getuser() == "mallory"
    house("user", "disable", "ada")
    assert "mallory" not in house.json("db", "journal", "--user", "ada")[0]["actor"]


def test_an_escape_sequence_in_a_name_does_not_reach_the_terminal(house):
    with sqlite3.connect(house.folder / "authority.db") as db:  # as a client that registered itself may be named
        house("client", "add", "app", "--public", "--grant", "device_code", "--scope", "posts:read")
        db.execute("UPDATE bw_client SET name = ?", ("\x1b]0;owned\x07[red]x",))
        db.commit()
    for args in (["client", "list"], ["client", "show", "app"]):
        shown = house(*args).output
        assert "\x1b]" not in shown
        assert r"\x1b]0;owned\x07[red]x" in shown


@pytest.mark.parametrize("noun", ["user", "role", "client", "key", "token", "db"])
def test_a_noun_alone_says_what_it_can_do(house, noun):
    assert "Commands" in house(noun, "--help").output


def test_once_sealed_no_private_half_is_left_behind_in_the_file(house):
    """A deleted row's bytes stay in a database's free pages unless they are overwritten."""
    with sqlite3.connect("authority.db") as db:
        (private,) = db.execute("SELECT private FROM bw_signing_key").fetchone()
    db.close()
    secret = json.loads(private)["d"].encode()
    kek = house.folder / "signing.kek"
    kek.write_text(os.urandom(32).hex())
    kek.chmod(0o600)
    settings = house.folder / "bailiwick.toml"
    settings.write_text('key_encryption_key_file = "signing.kek"\n' + settings.read_text())
    house("db", "purge")
    assert house.json("key", "list")[0]["sealed"]
    assert not [path.name for path in house.folder.iterdir() if secret in path.read_bytes()]


def test_the_journal_shows_how_many_refusals_share_a_line(house):
    async def refuse():
        store = await open_store(house.folder / "authority.db")
        await store.count(
            [Event(60.0, "token.refused.BW401", "svc", client="svc", every=60, count=4242, until=90.0)], None
        )
        await store.close()

    asyncio.run(refuse())
    (line,) = house.json("db", "journal", "--client", "svc")
    assert (line["what"], line["count"], line["until"]) == ("token.refused.BW401", 4242, "1970-01-01T00:01:30Z")
    assert "4242" in house("db", "journal", "--client", "svc").stdout
    assert {one["count"] for one in house.json("db", "journal")} == {1, 4242}
