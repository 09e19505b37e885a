"""What the commands say is so: of what they change, and that those which look change nothing at all."""

import sqlite3

import pytest

from bailiwick.authority.ids import is_token_id, mint_token_id

# Every command that only looks, with what it needs. One that is new and missing here fails the test below.
READING = {
    "check": [],
    "client list": [],
    "client show": ["tool"],
    "db journal": [],
    "db status": [],
    "key list": [],
    "role list": [],
    "token list": [],
    "user list": [],
    "user show": ["ada"],
}
LOOKING = {"list", "show", "check", "journal", "status"}

# A catalog that is not the store's own, as in the folder of somebody who tries the command beside their application.
OTHER = """
[scopes]
"posts:read" = "Read posts"
"posts:write" = "Write posts"
"posts:delete" = "Delete posts"
"admin:*" = "Everything"
[roles]
stranger = ["posts:read"]
"""


def everything_in(folder):
    """Every file beside the store, byte by byte, and when it was changed."""
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in sorted(folder.iterdir())}


@pytest.fixture
def beside(house):
    """A store with a client, beside a catalog with a role that it does not have."""
    house("client", "add", "tool", "--public", "--first-party", "--grant", "password", "--scope", "posts:*")
    (house.folder / "catalog.toml").write_text(OTHER)
    return house


def test_every_command_that_only_looks_is_tried_here():
    from bailiwick.cli.app import app

    nouns = {
        (group.name, one.name) for group in app.registered_groups for one in group.typer_instance.registered_commands
    }
    named = {f"{noun} {verb}" for noun, verb in nouns if verb in LOOKING}
    assert named | {one.name for one in app.registered_commands if one.name in LOOKING} == READING.keys()


@pytest.mark.parametrize("command", READING)
def test_a_command_that_looks_changes_not_a_byte(beside, command):
    before = everything_in(beside.folder)
    beside(*command.split(), *READING[command])
    assert everything_in(beside.folder) == before


@pytest.mark.parametrize("command", READING)
def test_a_command_that_looks_reads_the_log_that_a_crash_left_and_leaves_it(beside, command):
    # A connection that is never closed, as a process that was killed leaves it.
    db = sqlite3.connect(beside.folder / "authority.db")
    db.execute("UPDATE bw_account SET name = 'zoe', name_key = 'zoe'")
    db.commit()
    kept = {name: (beside.folder / name).read_bytes() for name in ("authority.db", "authority.db-wal")}
    words = [word.replace("ada", "zoe") for word in READING[command]]
    beside(*command.split(), *words)
    assert {name: (beside.folder / name).read_bytes() for name in kept} == kept
    db.close()


def test_a_command_that_looks_sees_what_a_running_server_wrote(house):
    with house.serve():
        house("user", "add", "bob", "--no-password")
        assert [one["name"] for one in house.json("user", "list")] == ["ada", "bob"]


@pytest.mark.parametrize("family", [None, "fam_" + "a" * 20])
def test_a_jti_says_by_itself_that_it_was_mistyped(family):
    import secrets

    jti = mint_token_id(secrets.token_bytes, family)
    assert is_token_id(jti)
    for place in range(len(jti)):
        for letter in "aZ_":
            mistyped = jti[:place] + letter + jti[place + 1 :]
            assert is_token_id(mistyped) is (mistyped == jti)
    assert not any(is_token_id(wrong) for wrong in ("", "xyz", jti[:-1], jti + "a", f"{jti}.", jti.upper() + "!"))


@pytest.mark.parametrize(
    "wrong", ["xyz", "A" * 20, "fam_x.y", "fam_" + "a" * 20 + "." + "b" * 20, "\N{KELVIN SIGN}" * 20]
)
def test_an_id_that_is_no_tokens_is_refused_and_told_so(house, wrong):
    before = house.json("db", "journal")
    assert "No token of this authority has the id" in house.refusal("token", "revoke", wrong)
    assert house.json("db", "journal") == before


def test_a_token_is_revoked_by_its_jti_once_and_nothing_is_said_of_whether_it_lived(house):
    import secrets

    jti = mint_token_id(secrets.token_bytes)
    assert house("token", "revoke", jti).output == f"The token {jti} is refused from now on, if it still lived.\n"
    assert "Nothing to revoke" in house("token", "revoke", jti, code=1).output


def test_who_is_not_disabled_cannot_be_enabled(beside):
    (beside.folder / "catalog.toml").write_text(OTHER)
    assert "not disabled" in beside.refusal("user", "enable", "ada")
    assert "not disabled" in beside.refusal("client", "enable", "tool")
    beside("user", "disable", "ada")
    beside("user", "enable", "ada")


@pytest.mark.parametrize(
    "act",
    [
        "user password nobody",
        "user grant nobody --role editor",
        "user withdraw nobody --role editor",
        "user withdraw ada --role reader",
        "user withdraw ada --scope posts:read",
        "user disable nobody",
        "user enable nobody",
        "role set nothing posts:read",
        "role drop nothing",
        "client scopes nobody posts:read",
        "client redirects nobody https://a.example/cb",
        "client rotate-secret nobody",
        "client rotate-secret tool",
        "client disable nobody",
        "client enable nobody",
        "token withdraw atz_nothing posts:read",
        "token give-back atz_nothing posts:read",
        "token revoke atz_nothing",
        "token revoke fam_nothing",
        "token revoke --user nobody --yes",
        "token revoke --client nobody --yes",
    ],
)
def test_an_act_on_what_is_not_there_is_refused_and_leaves_no_line(house, act):
    house("client", "add", "tool", "--public", "--first-party", "--grant", "password", "--scope", "posts:*")
    before = house.json("db", "journal")
    assert house(*act.split(), input="a good password\n", code=1).output
    assert house.json("db", "journal") == before
