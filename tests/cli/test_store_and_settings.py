"""Where the commands look, what they refuse to touch, and their exit codes as a shell sees them."""

import os
import pty
import shutil
import sqlite3
import subprocess
import sys
import tomllib

import pytest


def test_init_never_overwrites(house):
    before = {path.name: path.read_bytes() for path in house.folder.iterdir()}
    assert "exist already" in house.refusal("init")
    assert {path.name: path.read_bytes() for path in house.folder.iterdir()} == before


def test_init_leaves_nothing_if_one_of_its_files_is_there(house):
    (house.folder / "new").mkdir()
    (house.folder / "new" / "catalog.toml").write_text("mine")
    house.refusal("init", "new")
    assert [path.name for path in (house.folder / "new").iterdir()] == ["catalog.toml"]


@pytest.mark.parametrize("issuer", ["http://example.com", "https://a.example/?x", 'https://a.example"\nstore="x'])
def test_init_refuses_an_issuer_that_the_authority_would_refuse(house, issuer):
    house.refusal("init", "new", "--issuer", issuer)
    assert not (house.folder / "new").exists()


def test_what_init_writes_is_read_by_every_command(house):
    house("init", "new", "--issuer", "https://login.example.com")
    assert tomllib.loads((house.folder / "new/bailiwick.toml").read_text())["issuer"] == "https://login.example.com"
    house("db", "upgrade", "--settings", "new/bailiwick.toml")
    assert (house.folder / "new/authority.db").exists()  # seen from the file's folder, not from here
    assert house.json("user", "list", "--settings", "new/bailiwick.toml") == []


def test_a_misspelt_store_is_not_made_in_passing(house):
    assert "bailiwick db upgrade" in house.refusal("user", "list", "--store", "authorty.db", code=2)
    assert not (house.folder / "authorty.db").exists()


def test_an_option_comes_before_a_variable_and_a_variable_before_the_file(house, monkeypatch):
    shutil.copy("authority.db", "other.db")
    house("user", "add", "bob", "--no-password", "--store", "other.db")
    monkeypatch.setenv("BAILIWICK_STORE", "other.db")
    assert len(house.json("user", "list")) == 2
    assert len(house.json("user", "list", "--store", "authority.db")) == 1


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("BAILIWICK_PROFILE", "lax", "profile"),
        ("BAILIWICK_LIFETIMES__ACCES", "5", "no lifetime 'acces'"),
        ("BAILIWICK_LIFETIMES__CODE", "601", "RFC 6749"),
        ("BAILIWICK_ISSUER", "http://example.com", "https"),
        ("BAILIWICK_CATALOG", "nowhere.toml", "bailiwick init"),
        ("BAILIWICK_SETTINGS", "nowhere.toml", "cannot be read"),
        ("BAILIWICK_KEY_ENCRYPTION_KEY", "hunter2", "32 random bytes"),
    ],
)
def test_a_wrong_setting_is_named_and_ends_with_2(house, monkeypatch, name, value, says):
    monkeypatch.setenv(name, value)
    refusal = house.refusal("user", "list", code=2)
    assert says in refusal
    assert "hunter2" not in refusal


@pytest.mark.parametrize(
    ("line", "says"),
    [("isuer = 'x'", "no setting 'isuer'"), ("x = ", "not valid TOML"), ("key_encryption_key = 'hunter2'", "_file")],
)
def test_a_wrong_line_of_the_file_is_named_and_ends_with_2(house, line, says):
    file = house.folder / "bailiwick.toml"
    file.write_text(f"{line}\n{file.read_text()}")
    refusal = house.refusal("user", "list", code=2)
    assert says in refusal
    assert "hunter2" not in refusal


def test_serve_reads_the_same_settings(house):
    file = house.folder / "bailiwick.toml"
    file.write_text(file.read_text().replace('"balanced"', '"strict"') + "\n[lifetimes]\ncode = 20\n")
    house("client", "add", "tool", "--public", "--first-party", "--grant", "password", "--scope", "posts:*")
    form = {"grant_type": "password", "client_id": "tool", "username": "ada", "password": "correct horse battery"}
    with house.serve() as http:
        assert http.get("/.well-known/oauth-authorization-server").json()["issuer"] == "http://127.0.0.1:8000"
        assert http.post("/token", data=form).json()["expires_in"] == 300  # the strict profile's


def test_status_writes_nothing_and_its_exit_code_says_what_is_to_do(house):
    store = house.folder / "authority.db"
    before, at = store.read_bytes(), store.stat().st_mtime_ns
    assert house.json("db", "status")["condition"] == "current"
    assert house.json("db", "status", "--store", "none.db", code=1)["condition"] == "missing"
    assert (store.read_bytes(), store.stat().st_mtime_ns) == (before, at)
    assert not (house.folder / "none.db").exists()
    with sqlite3.connect(store) as db:
        db.execute("UPDATE bw_version SET version_num = '9999'")
    db.close()
    assert house.json("db", "status", code=2)["condition"] == "newer"
    assert "newer version" in house.refusal("user", "list", code=2)
    assert "newer version" in house.refusal("db", "upgrade", code=2)


def test_a_store_that_is_behind_is_upgraded_when_asked_and_not_in_passing(house):
    with sqlite3.connect("old.db") as db:
        db.execute("CREATE TABLE theirs (x)")
    db.close()
    assert "bailiwick db upgrade" in house.refusal("user", "list", "--store", "old.db", code=2)
    assert house.json("db", "status", "--store", "old.db", code=1)["condition"] == "behind"
    house("db", "upgrade", "--store", "old.db")
    assert house.json("user", "list", "--store", "old.db") == []


def test_a_backup_is_whole_private_and_replaces_nothing(house):
    house("db", "backup", "copy.db")
    assert (house.folder / "copy.db").stat().st_mode & 0o777 == 0o600
    assert [one["name"] for one in house.json("user", "list", "--store", "copy.db")] == ["ada"]
    before = (house.folder / "copy.db").read_bytes()
    assert "exists already" in house.refusal("db", "backup", "copy.db", code=2)
    assert (house.folder / "copy.db").read_bytes() == before
    assert "no database" in house.refusal("db", "backup", "x.db", "--store", "none.db", code=2)
    assert not (house.folder / "x.db").exists()


def test_a_folder_that_is_not_there_is_named_alike_for_a_store_and_for_a_copy(house):
    missing = house.folder / "nope"
    for words in (["db", "upgrade", "--store", str(missing / "x.db")], ["db", "backup", str(missing / "x.db")]):
        said = f"bailiwick: The folder {missing} does not exist; make it, or choose another file. [BW502]\n"
        assert house.refusal(*words, code=2) == said


def test_a_shell_sees_0_1_and_2(house):
    assert house.process("user", "show", "ada").returncode == 0
    refused = house.process("user", "show", "nobody")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr == "bailiwick: There is no person 'nobody'. [BW130]\n"
    assert house.process("user", "list", "--store", "none.db").returncode == 2
    assert house.process("user", "list", "--no-such-option").returncode == 2


# A session's first terminal is the one that it is asked at, and Ctrl-C is for. Done here, in a process of one thread: what
# forks where there are several may hang, and Python warns of it since 3.12.
TAKE_THE_TERMINAL = """
import os, sys
os.close(os.open(os.ttyname(0), os.O_RDWR))
os.execv(sys.executable, [sys.executable, "-m", "bailiwick", *sys.argv[1:]])
"""


def at_a_terminal(house, args, *typed):
    """Run a command at a terminal of its own, where each line is typed once it is asked for; what it showed."""
    terminal, end = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-c", TAKE_THE_TERMINAL, *args],
        cwd=house.folder,
        env={**os.environ, "COLUMNS": "200"},
        stdin=end,
        stdout=end,
        stderr=end,
        start_new_session=True,
    )
    os.close(end)
    shown = b""
    waiting = list(typed)
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:  # Linux: the other end is closed
            break
        if not part:
            break
        shown += part
        if waiting and shown.rstrip(b" ").endswith(b":"):
            os.write(terminal, waiting.pop(0))
            shown += b"|"
    os.close(terminal)
    return shown.decode(), child.wait(60)


def test_at_a_terminal_a_password_is_typed_twice_without_an_echo(house):
    shown, code = at_a_terminal(house, ["user", "password", "ada"], b"new password\n", b"new password\n")
    assert code == 0, shown
    assert "again" in shown
    assert "new password\r" not in shown.replace("has a new password", "")


def test_at_a_terminal_two_that_differ_are_asked_for_again_and_then_refused(house):
    before = house.json("db", "journal")[0]["number"]
    lines = [b"one password\n", b"two password\n"] * 3
    shown, code = at_a_terminal(house, ["user", "password", "ada"], *lines)
    assert code == 1
    assert shown.count("The two differ.") == 3
    assert house.json("db", "journal")[0]["number"] == before


@pytest.mark.parametrize(
    ("words", "typed", "why"),
    [
        (["user", "add", "eve"], b"short\n", "A password needs at least 8 characters."),
        (["user", "password", "ada"], b"short\n", "A password needs at least 8 characters."),
        (
            ["client", "add", "x", "--grant", "client_credentials", "--scope", "posts:read", "--own-secret"],
            "schl\u00fcssel\n".encode(),
            "A client secret is printable ASCII",
        ),
    ],
    ids=["add", "password", "client"],
)
def test_at_a_terminal_what_will_not_do_is_refused_before_it_is_typed_again(house, words, typed, why):
    before = house.json("db", "journal")[0]["number"]
    shown, code = at_a_terminal(house, words, typed, typed)
    assert code == 1, shown
    assert why in shown
    assert "again" not in shown
    assert house.json("db", "journal")[0]["number"] == before


def test_at_a_terminal_ctrl_c_ends_the_question(house):
    shown, code = at_a_terminal(house, ["user", "password", "ada"], b"\x03")
    assert code == 130, shown
    assert "Traceback" not in shown


def test_help_is_quick_to_load(house):
    code = (
        "import sys; from bailiwick.cli.app import app\n"
        "heavy = {'uvicorn', 'pydantic', 'sqlalchemy', 'starlette', 'rich.table', 'bailiwick.authority'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_every_setting_of_the_authority_can_be_given():
    from dataclasses import fields

    from bailiwick.authority import MetadataDocuments, Registration, Settings
    from bailiwick.cli.settings import Configured, DocumentsEntry, RegistrationEntry

    assert {one.name for one in fields(Settings)} <= Configured.model_fields.keys()
    assert {one.name for one in fields(Registration)} == RegistrationEntry.model_fields.keys()
    assert {one.name for one in fields(MetadataDocuments)} == DocumentsEntry.model_fields.keys()


def test_apis_lifetimes_and_registration_come_from_the_file(house, monkeypatch):
    from bailiwick.cli.settings import load

    file = house.folder / "bailiwick.toml"
    file.write_text(
        file.read_text()
        + """
[lifetimes]
access = 120
[[resources]]
identifier = "https://files.example"
scopes = ["posts:read"]
[registration]
ceiling = ["posts:read"]
quota = 3
grants = ["authorization_code"]
[metadata_documents]
ceiling = ["posts:read"]
hosts = ["clients.example"]
"""
    )
    monkeypatch.setenv("BAILIWICK_LIFETIMES__CODE", "20")
    settings = load({}).authority_settings()
    assert (settings.lifetimes.access, settings.lifetimes.code) == (120, 20)
    assert str(settings.resource("https://files.example").scopes) == "posts:read"
    assert settings.metadata_documents.hosts == ("clients.example",)
    assert (settings.registration.quota, settings.registration.grants) == (3, ("authorization_code",))


# Without a socket, so that a `serve` that sees nothing wrong ends too.
BY_SERVING_AND_CHECKING = [["serve", "--host", "nowhere.invalid"], ["check"]]


@pytest.mark.parametrize("package", ["limits", "redis"])
class TestWithCountsInRedisAndAPackageMissing:
    @pytest.fixture(autouse=True)
    def missing(self, package, house, monkeypatch):
        file = house.folder / "bailiwick.toml"
        file.write_text(f'attempts = "redis://:hunter2@localhost:6379/0"\n{file.read_text()}')
        for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setitem(sys.modules, package, None)  # whoever imports it is told that it is not there
        monkeypatch.delitem(sys.modules, "bailiwick.machine.shared_attempts", raising=False)

    @pytest.mark.parametrize("command", BY_SERVING_AND_CHECKING, ids=lambda words: words[0])
    def test_what_would_count_guesses_says_what_to_install(self, house, package, command):
        refusal = house.refusal(*command, code=2)
        assert f"the package {package} is not installed: pip install 'bailiwick[redis]' [BW100]" in refusal
        assert "hunter2" not in refusal

    def test_what_counts_no_guesses_works(self, house):
        assert [one["name"] for one in house.json("user", "list")] == ["ada"]


@pytest.mark.parametrize("command", BY_SERVING_AND_CHECKING, ids=lambda words: words[0])
@pytest.mark.parametrize(
    ("table", "where"),
    [
        ('[registration]\nceiling = ["posts:raed"]', "registration.ceiling"),
        ('[registration]\nceiling = ["posts:*"]\ndefault = ["posts:raed"]', "registration.default"),
        ('[metadata_documents]\nceiling = ["posts:raed"]', "metadata_documents.ceiling"),
        (
            '[[resources]]\nidentifier = "https://a.example"\nscopes = ["posts:raed"]',
            "The resource 'https://a.example'",
        ),
    ],
    ids=["registration", "default", "documents", "resource"],
)
def test_a_scope_in_the_settings_that_the_catalog_does_not_know_is_refused_with_the_nearest(
    house, command, table, where
):
    file = house.folder / "bailiwick.toml"
    file.write_text(f"{file.read_text()}\n{table}\n")
    said = f"{where} names 'posts:raed', which is not in the catalog. Did you mean 'posts:read'? [BW102]"
    assert said in house.refusal(*command, code=2)


@pytest.mark.parametrize("token", ["9f86d0\N{HORIZONTAL ELLIPSIS}", "the token itself", "9f" * 31, "9g" * 32])
def test_an_initial_token_that_is_no_digest_is_refused_with_the_line_that_makes_one(house, token):
    file = house.folder / "bailiwick.toml"
    file.write_text(f'{file.read_text()}\n[registration]\nceiling = ["posts:read"]\ninitial_tokens = ["{token}"]\n')
    said = house.refusal("check", code=2)
    assert "SHA-256 digests, 64 hex digits each: printf %s TOKEN | sha256sum [BW100]" in said
    assert token not in said
