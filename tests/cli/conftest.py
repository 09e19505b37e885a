"""A folder as `bailiwick init` leaves it, its store, and the command as a process of its own."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import httpx
import pytest
from typer.testing import CliRunner

PASSWORD = "correct horse battery"


def environment(**given):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BAILIWICK_")}
    return {**clean, "COLUMNS": "200", **given}


class House:
    """A folder with settings, catalog and store, and the commands in it."""

    def __init__(self, folder):
        self.folder = folder

    def process(self, *args, input="", **env):
        command = [sys.executable, "-m", "bailiwick", *args]
        return subprocess.run(
            command, cwd=self.folder, input=input, env=environment(**env), capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def __call__(self, *args, input="", code=0):
        """Run a command in this process; its result, after a look at its exit code."""
        from bailiwick.cli.app import app

        result = CliRunner().invoke(app, [*args], input=input)
        assert result.exit_code == code, (args, result.exit_code, result.output, result.exception)
        return result

    def json(self, *args, input="", code=0):
        return json.loads(self(*args, "--json", input=input, code=code).stdout)

    def refusal(self, *args, input="", code=1):
        result = self(*args, input=input, code=code)
        assert result.stdout == ""
        return result.stderr

    @contextmanager
    def serve(self, log=None, *options, **env):
        """The authority, served by a process of its own; an HTTP client of it.

        Args:
            log: a list for the lines of its standard error.
            options: for the command.
            env: variables for it.
        """
        command = [sys.executable, "-m", "bailiwick", "serve", "--port", "0", *options]
        process = subprocess.Popen(
            command, cwd=self.folder, env=environment(PYTHONUNBUFFERED="1", **env), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        reading = threading.Thread(target=(log if log is not None else []).extend, args=(process.stderr,), daemon=True)
        reading.start()
        try:
            for line in process.stdout:
                if found := re.search(r"listens on (\S+)\. Stop", line):
                    break
            else:
                raise AssertionError("the authority ended")
            threading.Thread(target=process.stdout.read, daemon=True).start()
            with httpx.Client(base_url=found[1], timeout=30) as http:
                yield http
        finally:
            process.terminate()
            process.wait(30)
            reading.join(30)


@pytest.fixture(scope="session")
def furnished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("house") / "made"
    house = House(folder.parent)
    assert house.process("init", "made").returncode == 0
    house = House(folder)
    assert house.process("db", "upgrade").returncode == 0
    assert house.process("user", "add", "ada", "--role", "editor", input=PASSWORD + "\n").returncode == 0
    return folder


@pytest.fixture
def house(furnished, tmp_path, monkeypatch):
    """With one person, ada, who is an editor."""
    for name in [name for name in os.environ if name.startswith("BAILIWICK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("COLUMNS", "200")
    folder = shutil.copytree(furnished, tmp_path / "house")
    monkeypatch.chdir(folder)
    return House(folder)


@pytest.fixture
def password():
    return PASSWORD
