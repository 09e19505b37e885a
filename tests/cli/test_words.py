"""What the commands say and how they ask: true in singular and plural, readable, and ended by Ctrl-C."""

import os
import pty
import re
import signal
import subprocess
import sys
import time

import pytest
import typer.main
from typer.testing import CliRunner

from bailiwick.cli.app import app

PASSWORD = "correct horse battery\n"


def test_it_is_the_secret_that_is_shown_once_and_not_the_client(house):
    added = house("client", "add", "nightly", "--grant", "client_credentials", "--scope", "posts:read").stdout
    assert added.startswith("Added the client nightly. The secret is shown once and kept nowhere:\n\n  bwk_")
    assert "The secret is shown once" in house("client", "rotate-secret", "nightly").stdout


def test_an_unknown_grant_is_answered_with_the_names_that_the_option_takes(house):
    said = house.refusal("client", "add", "x", "--grant", "devicecode", "--scope", "posts:read")
    known = re.search(r"Known are: (.*)\. \[BW130\]", said)[1].split(", ")
    assert "device_code" in known
    for name in known:
        assert "There is no grant type" not in house.process(
            "client", "add", "x-" + name, "--grant", name, "--scope", "posts:read"
        ).stderr  # fmt: skip


def test_a_grant_may_be_named_as_it_is_on_the_wire(house):
    wire = "urn:ietf:params:oauth:grant-type:token-exchange"
    assert house.json("client", "add", "x", "--grant", wire, "--scope", "posts:read")["grants"] == [wire]


def test_nobody_one_person_and_several_are_told_apart(house):
    house("role", "add", "moderator", "posts:read")
    assert "; nobody has it." in house("role", "set", "moderator", "posts:*").stdout
    house("user", "add", "eve", "--role", "moderator", input=PASSWORD)
    assert "; 1 person has it." in house("role", "set", "moderator", "posts:*").stdout
    house("user", "add", "bob", "--role", "moderator", input=PASSWORD)
    assert "; 2 people have it." in house("role", "set", "moderator", "posts:*").stdout
    assert house("role", "drop", "moderator", "--yes").stdout == "Deleted the role moderator; 2 people had it.\n"


@pytest.mark.parametrize("option", ["--settings", "--catalog"])
def test_a_file_that_cannot_be_read_is_named_once_and_without_a_number(house, option):
    folder = house.folder / "unreadable.toml"
    folder.mkdir()
    said = house.refusal("user", "list", option, str(folder), code=2)
    assert "cannot be read: Is a directory. [BW100]" in said
    assert "Errno" not in said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("x = ", "The catalog is not valid TOML: "),
        ('[scopes]\n"a b" = "x"\n', "'a b' is not a scope"),
        ("", "The catalog names no scopes; they stand below [scopes]. [BW103]"),
        ('superuser = 1\n[scopes]\n"a" = "x"\n', "superuser must be the name of a scope, not a number."),
    ],
    ids=["no TOML", "no scope", "empty", "superuser"],
)
def test_a_catalog_that_is_wrong_is_named(house, text, why):
    (house.folder / "other.toml").write_text(text)
    said = house.refusal("user", "list", "--catalog", "other.toml", code=2)
    assert said.startswith("bailiwick: In 'other.toml': ")
    assert why in said


def test_a_detail_that_repeats_the_description_is_said_alone(house):
    (house.folder / "junk.db").write_bytes(bytes(range(200)))
    said = house.refusal("user", "list", "--store", "junk.db", code=2)
    assert said.count("is not a SQLite database") == 1
    assert "SQLITE_NOTADB" in said
    assert said.endswith(" [BW502]\n")


def test_ending_all_that_somebody_holds_says_what_that_was(house):
    said = "All that ada held has ended: 0 refresh families, and every access token.\n"
    assert house("token", "revoke", "--user", "ada", "--yes").stdout == said
    assert house.json("token", "revoke", "--user", "ada", "--yes") == {"kind": "subject", "revoked": "ada", "ended": 0}


def test_a_host_that_is_not_there_is_named_without_a_number(house):
    said = house.refusal("serve", "--host", "nowhere.invalid", code=2)
    assert "The host 'nowhere.invalid' is not an address of this machine: " in said
    assert "Errno" not in said


def test_the_help_of_a_command_breaks_no_line_within_a_paragraph():
    def walk(command):
        yield command
        for one in getattr(command, "commands", {}).values():
            yield from walk(one)

    texts = [command.help for command in walk(typer.main.get_command(app))]
    assert len(texts) > 30
    assert [text for text in texts if "\n" in text.replace("\n\n", "")] == []
    assert any("\n\n" in text for text in texts)


def at_a_terminal(house, keys, *args):
    """Type the keys once the command has asked; what it said, and its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "bailiwick", *args], cwd=house.folder, stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b""
    while not said.rstrip().endswith(b":"):
        said += os.read(master, 4096)
    time.sleep(0.3)  # it has asked; now it waits
    if keys is None:
        process.send_signal(signal.SIGINT)
    else:
        os.write(master, keys)
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:  # Linux says so when the other end is closed
        pass
    os.close(master)
    return said.decode().replace("\r\n", "\n"), process.wait(30)


@pytest.mark.parametrize(
    ("words", "why"),
    [(["ADA"], "The name 'ADA' is taken."), (["eve", "--role", "editr"], "There is no role 'editr'.")],
    ids=["a taken name", "an unknown role"],
)
def test_a_person_who_cannot_be_added_is_refused_before_a_password_is_asked_for(house, words, why):
    # There is no password to be had, and that is not what it complains about.
    assert why in house.refusal("user", "add", *words)


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
class TestAtATerminal:
    def test_ctrl_c_at_a_question_ends_with_130_and_changes_nothing(self, house):
        before = house.json("key", "list")
        _, code = at_a_terminal(house, None, "key", "rotate", "--at-once")
        assert code == 130
        assert house.json("key", "list") == before

    @pytest.mark.parametrize(
        "keys", [b"n\n", b"\n", b"\x04", b"perhaps\n"], ids=["no", "nothing", "the end", "unclear"]
    )
    def test_whatever_is_not_yes_is_no(self, house, keys):
        before = house.json("key", "list")
        said, code = at_a_terminal(house, keys, "key", "rotate", "--at-once")
        assert said.splitlines()[-1] == "bailiwick: Nothing was changed."
        assert code == 1
        assert house.json("key", "list") == before

    @pytest.mark.parametrize("keys", [b"y\n", b"YES\n"])
    def test_yes_is_yes(self, house, keys):
        before = house.json("key", "list")
        assert at_a_terminal(house, keys, "key", "rotate", "--at-once")[1] == 0
        assert house.json("key", "list") != before

    def test_the_end_of_the_input_at_a_password_is_told_on_a_line_of_its_own(self, house):
        said, code = at_a_terminal(house, b"\x04", "user", "add", "eve")
        assert said.splitlines()[-1].startswith("bailiwick: Password for eve: nothing was given.")
        assert code == 1


@pytest.mark.parametrize(
    ("command", "line", "said"),
    [
        ("check", "port = 'x'", "'port' is a whole number from 0 to 65535 (BAILIWICK_PORT or bailiwick.toml)."),
        (
            "serve",
            "port = 70000",
            "'port' is a whole number from 0 to 65535 (--port, BAILIWICK_PORT or bailiwick.toml).",
        ),
        ("check", "store = 3", "'store' is text (--store, BAILIWICK_STORE or bailiwick.toml)."),
        ("check", "profile = 'lax'", "'profile' is 'balanced' or 'strict' (BAILIWICK_PROFILE or bailiwick.toml)."),
        ("check", "issue_wildcards = 'perhaps'", "'issue_wildcards' is true or false ("),
        ("check", "trusted_proxies = [1]", "'trusted_proxies' is a list of texts ("),
        ("check", "resources = ['x']", "'resources' is a list of tables (BAILIWICK_RESOURCES or"),
        ("check", "former_key_encryption_key_files = [1]", "is a list of names of files ("),
        ("check", "key_encryption_key_file = 1", "is the name of a file ("),
        ("check", "unfinished = 1", "'unfinished' is a table ("),
        (
            "serve",
            "[lifetimes]\naccess = 'x'",
            "'access' in [lifetimes] is a whole number (BAILIWICK_LIFETIMES__ACCESS or bailiwick.toml).",
        ),
        ("check", "[[resources]]\nidentifier = 1", "'identifier' in [[resources]] is text (BAILIWICK_RESOURCES or"),
        (
            "check",
            "[registration]\nceiling = 'a'",
            "'ceiling' in [registration] is a list (BAILIWICK_REGISTRATION__CEILING",
        ),
        ("check", "[registration]\nquota = 1", "'ceiling' in [registration] is missing ("),
    ],
    ids=lambda text: text.split("\n")[-1] if isinstance(text, str) else text,
)
def test_a_wrong_setting_is_told_what_belongs_there_and_where_it_can_be_said(house, command, line, said):
    file = house.folder / "bailiwick.toml"
    begun = re.sub(rf"^{re.escape(line.partition(' ')[0])} = .*\n", "", file.read_text(), flags=re.MULTILINE)
    file.write_text(f"{begun}\n{line}\n" if line.startswith("[") else f"{line}\n{begun}")
    host = ["--host", "nowhere.invalid"] if command == "serve" else []
    refusal = house.refusal(command, *host, code=2)
    assert refusal.startswith("bailiwick: The setting ")
    assert said in refusal
    assert "nput" not in refusal


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("isuer = 'x'", "There is no setting 'isuer'. Known are: attempts, "),
        ("[registration]\nceilin = []", "no setting 'ceilin' in [registration]. Known are: ceiling, default, grants, "),
        ("[[resources]]\nscope = []", "no setting 'scope' in [[resources]]. Known are: identifier, scopes."),
    ],
    ids=["top", "table", "list"],
)
def test_a_misspelt_setting_is_told_which_ones_there_are_in_its_place(house, line, said):
    file = house.folder / "bailiwick.toml"
    file.write_text(f"{file.read_text()}\n{line}\n" if line.startswith("[") else f"{line}\n{file.read_text()}")
    assert said in house.refusal("check", code=2)


def test_a_variable_that_holds_no_json_where_a_list_belongs_is_named_and_not_repeated(house, monkeypatch):
    monkeypatch.setenv("BAILIWICK_TRUSTED_PROXIES", "hunter2")
    said = house.refusal("check", code=2)
    assert said == "bailiwick: BAILIWICK_TRUSTED_PROXIES holds a list or a table, written as JSON. [BW100]\n"


def test_the_help_of_a_flag_asks_for_no_value():
    def walk(command, *names):
        yield names
        for name, inner in getattr(command, "commands", {}).items():
            yield from walk(inner, *names, name)

    for names in walk(typer.main.get_command(app)):
        said = CliRunner().invoke(app, [*names, "--help"], env={"COLUMNS": "200", "TERMINAL_WIDTH": "200"}).output
        assert re.search("--help .*Show this message and exit", said), said
        assert not re.search("bool", said, re.IGNORECASE), said
