"""The commands in the documents: each exists with the options that it is shown with, and does what the page says."""

import html
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import httpx
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


class Browser:
    """The reader's browser, as far as the page needs one: it logs in as alice, and allows what is asked."""

    def __init__(self):
        self.http = httpx.Client(timeout=30)
        self.page = None

    def open(self, address):
        """Follow from page to page to one that asks something, or out of this server; the last address."""
        return self._follow(self.http.get(address))

    def send(self, path, **given):
        """Send the page's own form back."""
        hidden = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', self.page.text)
        ticked = re.findall(r'<input type="checkbox" name="scope" value="([^"]*)"', self.page.text)
        form = [(name, html.unescape(value)) for name, value in [*hidden, *(("scope", one) for one in ticked)]]
        data = {name: [value for given, value in form if given == name] for name, _ in form}
        return self._follow(self.http.post(str(self.page.url.copy_with(path=path, query=None)), data=data | given))

    def _follow(self, page):
        while page.status_code == 303:
            where = page.url.join(page.headers["location"])
            if where.port == 9876:
                return where
            page = self.http.get(where)
        assert page.status_code == 200, page.text
        self.page = page
        return page.url


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_the_lines_of_the_page_about_programs_do_what_it_says(demo):
    issuer, secret = demo
    known = {"AUTH": issuer, "ALICE": PASSWORD, "SECRET": secret}
    lines = list(console_lines(CALL))

    def paste(*having):
        """Run the one line that has these words in it; what it printed."""
        (line,) = [line for line in lines if all(word in line for word in having)]
        lines.remove(line)
        done = subprocess.run(
            ["sh", "-c", line], env={**os.environ, **known}, capture_output=True, text=True, timeout=60, check=True
        )
        return done.stdout

    def keep(name):
        """Run the line that sets a variable, and keep it for the others, as the reader's shell does."""
        (line,) = [line for line in lines if line.startswith(f"{name}=")]
        lines[lines.index(line)] = f'{line}; printf %s "${name}"'
        known[name] = paste(f"{name}=$(")

    login = json.loads(paste("curl", "grant_type=password"))
    assert login["scope"] == "posts:read"
    known |= {"TOKEN": login["access_token"], "REFRESH": login["refresh_token"]}

    keep("VERIFIER")
    keep("CHALLENGE")
    browser = Browser()
    browser.open(paste("echo").strip())
    browser.send("/auth/login", name="alice", password=PASSWORD)
    back = browser.send("/auth/consent", decision="allow")
    assert (back.params["state"], back.params["iss"]) == ("xyz", issuer)
    known["CODE"] = back.params["code"]
    assert json.loads(paste("curl", "grant_type=authorization_code"))["scope"] == "posts:read"

    device = json.loads(paste("curl", "/device_authorization"))
    known["DEVICE"] = device["device_code"]
    poll = next(line for line in lines if "grant-type:device_code" in line)
    assert json.loads(paste("curl", "grant-type:device_code"))["error"] == "authorization_pending"
    lines.append(poll)  # the page has it asked again and again
    browser.open(device["verification_uri_complete"])
    browser.send("/auth/device", code=device["user_code"])
    browser.send("/auth/device", decision="allow")
    time.sleep(device["interval"])
    assert json.loads(paste("curl", "grant-type:device_code"))["scope"] == "posts:read"

    assert "refresh_token" not in json.loads(paste("curl", "grant_type=client_credentials"))
    assert json.loads(paste("curl", "grant_type=refresh_token"))["refresh_token"] != known["REFRESH"]
    handed_on = json.loads(paste("curl", "grant-type:token-exchange"))
    assert (handed_on["scope"], "refresh_token" in handed_on) == ("posts:read", False)
    # What is left stands in this order on the page, and the token is good until it is revoked.
    assert [line.split()[1] for line in lines if "curl" in line] == ["$AUTH/introspect", "$AUTH/revoke"]
    again = next(line for line in lines if "/introspect" in line)
    assert json.loads(paste("/introspect"))["active"] is True
    assert json.loads(paste("/revoke")) == {}
    lines.append(again)  # as it says: asked about once more
    assert json.loads(paste("/introspect")) == {"active": False}
