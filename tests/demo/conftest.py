"""`bailiwick run` as somebody would start it: a process of its own, read from its terminal."""

import os
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import httpx
import pytest


class Started:
    """The running demo, and what it printed."""

    signal = signal.SIGINT

    def __init__(self, process, text, later, rest):
        self.process, self.text = process, text
        self.later, self.rest = later, rest
        self.base = re.search(r"Issuer: (\S+)/auth", text)[1]
        self.http = httpx.Client(base_url=self.base, timeout=30)

    @property
    def lines(self):
        """The three lines to paste, each after its comment."""
        return re.findall(r"^# .+\((?:200|403)\)\n(.+)$", self.text, re.MULTILINE)

    def password(self, name):
        return re.search(rf"^. {name} .*[│┃|] (\S+) +[│┃|]$", self.text, re.MULTILINE)[1]

    def token(self, name, password=None, **form):
        form = {"grant_type": "password", "client_id": "demo-cli", "username": name, **form}
        return self.http.post("/auth/token", data={**form, "password": password or self.password(name)})

    def call(self, method, path, token, **more):
        return self.http.request(method, path, headers={"authorization": f"Bearer {token}"}, **more)

    def stop(self):
        self.http.close()
        self.process.send_signal(self.signal)
        assert self.process.wait(30) == 0
        self.rest.join(30)
        assert "Traceback" not in "".join(self.later), self.later


def environment(**given):
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BAILIWICK_")}
    return {**clean, "COLUMNS": "160", **given}


@contextmanager
def run(data, *args, port=0, **env):
    command = [sys.executable, "-m", "bailiwick", "run", "--port", str(port), "--data", str(data), *args]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment(**env)
    )
    lines, later = queue.Queue(), []

    def read():
        for line in process.stdout:
            lines.put(line)
            later.append(line)
        lines.put(None)

    rest = threading.Thread(target=read, daemon=True)
    rest.start()
    text, end = "", time.monotonic() + 60
    while "(403)\n" not in text or not text.rstrip("\n").endswith("/posts"):
        line = lines.get(timeout=max(end - time.monotonic(), 0.1))
        assert line is not None, f"the demo ended:\n{text}"
        text += line
    started = Started(process, text, later, rest)
    try:
        yield started
    finally:
        started.stop()


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    with run(tmp_path_factory.mktemp("demo") / "data") as started:
        yield started


@pytest.fixture(scope="session")
def made_once(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "data"
    with run(folder):
        pass
    return folder


@pytest.fixture
def data(made_once, tmp_path):
    """A folder as an earlier start left it."""
    return shutil.copytree(made_once, tmp_path / "data")


@pytest.fixture
def start():
    """Start the demo in a folder, as a context manager."""
    return run


@pytest.fixture
def refused():
    """Run the command where it has to refuse: its exit code and what it said."""

    def attempt(data, *args, **env):
        command = [sys.executable, "-m", "bailiwick", "run", "--data", str(data), *args]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(**env), timeout=60, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done.returncode, done.stderr

    return attempt
