"""Requests over HTTP: wrk against one uvicorn worker, each on a core of its own where there are two."""

import functools
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from bench import apps, instructions
from bench.inprocess import Times
from bench.scenarios import Scenario

CONNECTIONS = 16
FLEETS = 4  # how often the servers are started
# As many as no memory of refused tokens holds.
DIFFERENT = 4_000
NEXT_TOKEN = """
local turn = 0
request = function()
  turn = turn % #tokens + 1
  wrk.headers["authorization"] = tokens[turn]
  return wrk.format()
end
"""


def why_not() -> str:
    """Why this part cannot run here, or "" if it can."""
    if shutil.which("wrk") is None:
        return "wrk is not installed (Debian and Ubuntu: apt-get install wrk; macOS: brew install wrk)."
    return ""


def _pinned(core: int) -> list[str]:
    if shutil.which("taskset") is None or (os.cpu_count() or 1) < 2:
        return []
    return ["taskset", "-c", str(core)]


class Server:
    """One uvicorn worker with one application."""

    def __init__(self, scenario: Scenario) -> None:
        self.scenario = scenario
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{apps.PATH}"
        command = [sys.executable, "-m", "uvicorn", f"bench.apps:{scenario.app}", "--factory", "--port", str(self.port)]
        options = ["--no-access-log", "--log-level", "error", "--loop", "uvloop", "--http", "httptools"]
        self.process = subprocess.Popen([*_pinned(0), *command, *options])
        self.done = 0
        self._folder = tempfile.TemporaryDirectory()

    def wait(self) -> None:
        """Until it answers as it should."""
        headers = {name.decode(): value.decode() for name, value in self.scenario.headers(0)}
        for _ in range(300):
            time.sleep(0.1)
            try:
                with urllib.request.urlopen(urllib.request.Request(self.url, headers=headers)) as answer:
                    status = answer.status
            except urllib.error.HTTPError as error:
                status = error.code
            except urllib.error.URLError:
                continue
            if status != self.scenario.status:
                raise SystemExit(f"{self.scenario.key} answered {status} over HTTP, not {self.scenario.status}.")
            return
        raise SystemExit(f"{self.scenario.key} did not start.")

    def worked(self) -> float:
        """Seconds for which the server's thread has had a processor; 0 where /proc does not say."""
        schedstat = Path(f"/proc/{self.process.pid}/schedstat")
        return int(schedstat.read_text().split()[0]) / 1e9 if schedstat.exists() else 0.0

    @functools.cached_property
    def _varying(self) -> list[str]:
        """What makes wrk send another token each time, where the scenario does."""
        tokens = dict.fromkeys(
            dict(self.scenario.headers(n))[b"authorization"] for n in range(DIFFERENT) if self._varies
        )
        if not tokens:
            return []
        script = Path(self._folder.name) / "tokens.lua"
        listed = ",\n".join(f'"{token.decode()}"' for token in tokens)
        script.write_text(f"local tokens = {{{listed}}}\n{NEXT_TOKEN}", encoding="utf-8")
        return ["-s", str(script)]

    @property
    def _varies(self) -> bool:
        return self.scenario.headers(0) != self.scenario.headers(1)

    def instructions(self, seconds: float) -> float | None:
        """Instructions per request, or None where they cannot be counted."""

        def work() -> float:
            before = self.done
            self.load(seconds)
            return self.done - before

        return instructions.counted(self.process.pid, work)

    def load(self, seconds: float) -> tuple[float, float]:
        """Seconds per request under wrk, and the processor's part of it."""
        before = self.worked()
        # wrk sends a Host of its own.
        headers = [
            part
            for name, value in self.scenario.headers(0)
            if name != b"host" and not (self._varies and name == b"authorization")
            for part in ("-H", f"{name.decode()}: {value.decode()}")
        ]
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", *headers, *self._varying, self.url]
        said = subprocess.run([*_pinned(1), *command], capture_output=True, text=True, check=True).stdout
        done = int(re.search(r"(\d+) requests in", said)[1])  # type: ignore[index]
        others = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
        refused = int(others[1]) if others else 0
        if (refused == done) != (self.scenario.status >= 400) or (self.scenario.status < 400 and refused):
            raise SystemExit(f"{self.scenario.key}: {refused} of {done} answers were no 2xx.\n{said}")
        self.done += done
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", said)[1])  # type: ignore[index]
        return 1 / rate, (self.worked() - before) / done


def measure(scenarios: Sequence[Scenario], rounds: int, seconds: float) -> tuple[Times, Times, dict[str, float | None]]:
    """Interleaved: wrk for some seconds on each in turn, and again; the others wait idle meanwhile.

    All servers are started anew a few times: where a process has its code and its data in memory makes it a few percent
    faster or slower for as long as it lives.

    Returns:
        The time per request that a client sees; the server's processor time per request; and its instructions per
        request, which other work on the machine does not touch.
    """
    times: Times = {scenario.key: [] for scenario in scenarios}
    worked: Times = {scenario.key: [] for scenario in scenarios}
    executed: dict[str, float | None] = {}
    fleets = min(FLEETS, rounds)
    for fleet in range(fleets):
        servers: list[Server] = []
        try:
            servers += [Server(scenario) for scenario in scenarios]
            for server in servers:
                server.wait()
            for server in servers:
                server.load(1)
            for turn in range(fleet, rounds, fleets):
                first = turn % len(servers)
                for server in servers[first:] + servers[:first]:
                    seen, work = server.load(seconds)
                    times[server.scenario.key].append(seen)
                    worked[server.scenario.key].append(work)
            executed = {server.scenario.key: server.instructions(seconds) for server in servers}
        finally:
            for server in servers:
                server.process.terminate()
            for server in servers:
                server.process.wait()
    return times, worked, executed
