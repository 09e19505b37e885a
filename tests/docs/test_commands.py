"""The commands in the documents: each exists with the options that it is shown with, and does what the page says."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import typer.main
from typer.testing import CliRunner

from bailiwick.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in (ROOT / "docs").rglob("*.md") if page.parent.name != "reference"),
    *(ROOT / "examples").glob("*/README.md"),
]
PASSWORD = "correct horse battery staple"
OPERATE = ROOT / "docs" / "how-to" / "operate-the-authority.md"
CALL = ROOT / "docs" / "how-to" / "call-it-from-a-program.md"


def named(page):
    return str(page.relative_to(ROOT))


def console_lines(page):
    """What a page has its reader type, continued lines joined and comments cut off."""
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        for line in re.findall(r"^\$ (.*)$", block.replace("\\\n", " "), re.MULTILINE):
            yield re.sub(r"\s+#.*", "", line)


def commands(page):
    """The lines with `bailiwick`, and what stands as `bailiwick noun verb` in the text."""
    shown = [line for line in console_lines(page) if line.startswith("bailiwick ")]
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return shown, re.findall(r"`bailiwick\s+([^`]+)`", text)


def parse(words):
    """Walk down to the command and have it read its words, as the shell would hand them over; nothing is run."""
    command, context = typer.main.get_command(app), None
    while hasattr(command, "commands"):
        context = command.make_context(command.name, list(words), parent=context)
        name, command, words = command.resolve_command(context, [*context._protected_args, *context.args])
        command.name = name
    return command.make_context(command.name, list(words), parent=context)


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)[0]], ids=named)
def test_every_command_of_a_page_takes_the_words_that_it_is_shown_with(page):
    for line in commands(page)[0]:
        parse(shlex.split(line)[1:])


@pytest.mark.parametrize("page", [page for page in PAGES if commands(page)[1]], ids=named)
def test_every_command_that_a_text_mentions_exists_with_its_options(page):
    root = typer.main.get_command(app)
    for mentioned in commands(page)[1]:
        words, command = shlex.split(mentioned), root
        while words and hasattr(command, "commands") and not words[0].startswith("-"):
            for name in words[0].split("|"):
                assert name in command.commands, mentioned
            command = command.commands[words.pop(0).split("|")[0]]
        known = {name for one in command.params for name in one.opts} | {"--help"}
        assert {word for word in words if word.startswith("--")} <= known, mentioned


def test_a_command_that_does_not_exist_is_noticed():
    with pytest.raises(Exception, match="No such option"):
        parse(["user", "add", "ada", "--rolle", "editor"])
    with pytest.raises(Exception, match="No such command"):
        parse(["user", "ad", "ada"])


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_has_its_reader_install_what_others_have_under_our_name_on_pypi(page):
    for line in console_lines(page):
        assert not re.match(r"(python -m )?pip install .*\bbailiwick\b", line), line


def test_the_page_about_operating_the_authority_can_be_followed_from_top_to_bottom(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BAILIWICK_")]:
        monkeypatch.delenv(name)
    followed = 0
    for line in console_lines(OPERATE):
        words = shlex.split(line)
        # One waits for Ctrl-C, the others name what only a login brings about.
        if words[0] != "bailiwick" or words[1] == "serve" or "..." in line or "--found" in words:
            continue
        done = CliRunner().invoke(app, words[1:], input=f"{PASSWORD}\n")
        assert done.exit_code == 0, (line, done.output)
        followed += 1
    assert followed >= 12


def test_the_settings_that_the_page_about_operating_the_authority_shows_are_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in [name for name in os.environ if name.startswith("BAILIWICK_")]:
        monkeypatch.delenv(name)
    for words in (["init"], ["db", "upgrade"]):
        assert CliRunner().invoke(app, words).exit_code == 0
    begun = Path("bailiwick.toml").read_text()
    shown = re.findall(r"^```toml\n(.*?)^```", OPERATE.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert len(shown) >= 3
    for text in shown:
        Path("bailiwick.toml").write_text(begun + text if text.startswith("[") else text + begun)
        done = CliRunner().invoke(app, ["check"])
        assert done.exit_code == 0, (text, done.output)


@pytest.fixture
def demo(tmp_path):
    """The demo's address and the secret of demo-service."""
    secret = "a secret that the operator has chosen"
    env = {name: value for name, value in os.environ.items() if not name.startswith("BAILIWICK_")}
    env |= {"COLUMNS": "160", "BAILIWICK_DEMO_PASSWORD": PASSWORD, "BAILIWICK_DEMO_SECRET": secret}
    process = subprocess.Popen(
        [sys.executable, "-m", "bailiwick", "run", "--port", "0", "--data", str(tmp_path)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env,
    )  # fmt: skip
    lines = iter(process.stdout.readline, "")
    said = next(line for line in lines if line.startswith("Issuer: "))
    threading.Thread(target=lambda: [None for _ in lines], daemon=True).start()
    yield said.split()[1], secret
    process.terminate()
    process.wait(30)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_of_the_page_about_programs_do_what_it_says(demo):
    import json

    issuer, secret = demo
    known = {"AUTH": issuer, "ALICE": PASSWORD, "SECRET": secret}

    def paste(line):
        done = subprocess.run(
            ["sh", "-c", line], env={**os.environ, **known}, capture_output=True, text=True, timeout=60, check=True
        )
        return json.loads(done.stdout)

    login, service, refresh, revoke, introspect = [line for line in console_lines(CALL) if line.startswith("curl")]
    first = paste(login)
    assert first["scope"] == "posts:read"
    known |= {"TOKEN": first["access_token"], "REFRESH": first["refresh_token"]}
    assert paste(introspect)["active"] is True
    assert "refresh_token" not in paste(service)
    assert paste(refresh)["refresh_token"] != first["refresh_token"]
    assert paste(revoke) == {}
    assert paste(introspect) == {"active": False}
