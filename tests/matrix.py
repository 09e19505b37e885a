"""The FastAPI door's tests on every FastAPI and Starlette that it promises to work with; `make test-matrix` runs it.

Each combination has a virtual environment of its own under `.matrix/`, kept for the next run. A
version is a pattern, and its newest patch is taken; for Starlette, the newest and the oldest that
this FastAPI says it takes. The Python is the one that runs this: `make test-matrix PYTHON=python3.13 VENV=.venv313`.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
import tomllib
import venv
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

ROOT: Final = Path(__file__).resolve().parents[1]
PYTHON: Final = f"{sys.version_info.major}.{sys.version_info.minor}"

# FastAPI as pip spells it, and whether the oldest Starlette is tried too.
PROMISED: Final = {
    "==0.123.10": True,
    "==0.128.*": True,
    "==0.136.*": True,
    "==0.140.*": True,
    "==0.150.*": True,
    "": True,
}
# Where internals changed (see `bailiwick.frameworks.fastapi.compat`): the first and last release of each kind.
TURNING_POINTS: Final = {
    "==0.137.2": False,
    "==0.139.*": False,
    "==0.140.0": False,
    "==0.141.*": False,
    "==0.142.0": False,
    "==0.142.1": False,
}

# Must be refused where the guard is made: too old, or a route tree without a public walker.
REFUSED: Final = ("==0.123.9", "==0.137.0", "==0.137.1")

TESTS: Final = ("tests/doors/test_fastapi_*.py", "tests/doors/test_starlette_guard.py")
# httpx2 is what the newest Starlette's TestClient wants; older ones take httpx, which the project brings.
TOOLS: Final = ("pytest>=8.3", "hypothesis>=6.100", "python-multipart>=0.0.18", "httpx2")

# What an older FastAPI cannot do by itself, guard or no guard: its first release that can, the tests, the reason.
# They are left out there, and counted as skipped. The recorded cases have such a table of their own, in their file.
NOT_BEFORE: Final = (
    (
        "0.134.0",
        (
            "tests/doors/test_fastapi_attacks.py::test_a_handler_that_streams_what_it_yields_is_given_the_caller[async]",
            "tests/doors/test_fastapi_attacks.py::test_a_stream_that_is_not_read_to_its_end_closes_the_handlers_generator",
        ),
        "FastAPI before 0.134.0 streams nothing that a handler yields: an async generator is a ValueError",
    ),
)

# A test that waits for ever (an old TestClient waits for a WebSocket's answer without a limit), in seconds.
STUCK: Final = 120
LONGEST: Final = 600

_SAY_VERSIONS: Final = """
import json, re
from importlib.metadata import requires, version
bounds = next(one for one in requires("fastapi") if one.startswith("starlette") and "extra" not in one)
lowest = re.search(r">=\\s*([0-9.]+)", bounds)
print(json.dumps({
    "fastapi": version("fastapi"), "starlette": version("starlette"),
    "pydantic": version("pydantic"), "oldest": lowest and lowest[1],
}))
"""


_SAY_REFUSAL: Final = """
from bailiwick import Catalog
from bailiwick.errors import ConfigurationError
from bailiwick.fastapi import Guard

class Nobody:
    async def verify(self, token): ...

try:
    Guard(Catalog(["items"]), Nobody())
except ConfigurationError as refused:
    print(refused.id)
"""


class Broken(Exception):
    """An environment could not be made; the message is what the installer said."""


@dataclass
class Outcome:
    """What one combination did.

    Attributes:
        wanted: FastAPI as it was asked for.
        fastapi: the version that was installed.
        starlette: ditto.
        pydantic: ditto.
        counts: passed, failed and skipped.
        seconds: how long the tests ran.
        skipped: the reason of each skip, and how many there were.
        said: what there is to read about a failure.
        refused: whether this FastAPI is one that must be refused, and was.
    """

    wanted: str
    fastapi: str = "?"
    starlette: str = "?"
    pydantic: str = "?"
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    skipped: dict[str, int] = field(default_factory=dict)
    said: str = ""
    refused: bool = False

    @property
    def ok(self) -> bool:
        """Whether tests ran, and all passed or were skipped with a reason."""
        return not self.said and self.counts.get("passed", 0) > 0 and not self.counts.get("failed")


def say(text: str = "") -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(*command: str | Path) -> str:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Broken(f"$ {' '.join(map(str, command))}\n{(done.stdout + done.stderr)[-3000:]}")
    return done.stdout


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def make_environment(folder: Path, requirements: Sequence[str]) -> Path:
    """A virtual environment with the checkout and these requirements; made again when they change.

    Args:
        folder: where it stands.
        requirements: as pip spells them.

    Raises:
        Broken: the installer refused.
    """
    python = folder / "bin" / "python"
    own = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    wanted = json.dumps([*requirements, *own])
    stamp = folder / ".made-from"
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    uv = shutil.which("uv")
    if folder.exists():
        shutil.rmtree(folder)
    if uv:
        run(uv, "venv", "--quiet", "--python", sys.executable, folder)
        install = [uv, "pip", "install", "--quiet", "--python", str(python)]
    else:
        venv.create(folder, with_pip=True)
        install = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    run(*install, "-e", ".", *TOOLS, *requirements)
    stamp.write_text(wanted)  # last, so that an interrupted installation is taken up again
    return python


def versions_in(python: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(run(python, "-c", _SAY_VERSIONS))
    return found


def name_of(wanted: str, starlette: str) -> str:
    return f"python-{PYTHON}-fastapi-{wanted.removeprefix('==').replace('.*', '.x') or 'newest'}-starlette-{starlette}"


def try_version(folder: Path, arguments: Sequence[str], wanted: str, *, oldest_too: bool) -> list[Outcome]:
    """Run the tests on one FastAPI, with the newest Starlette that it allows and perhaps the oldest."""
    outcomes = [Outcome(wanted)]
    try:
        python = make_environment(folder / name_of(wanted, "newest"), [f"fastapi{wanted}"])
        versions = versions_in(python)
        outcomes = [run_tests(python, wanted, versions, arguments)]
        oldest = versions["oldest"]
        if not oldest_too or not oldest or numbers(oldest) == numbers(versions["starlette"]):
            return outcomes
        outcomes.append(Outcome(wanted, versions["fastapi"], oldest))
        # The same FastAPI, though a newer patch may have appeared in between.
        exact = [f"fastapi=={versions['fastapi']}", f"starlette=={oldest}"]
        python = make_environment(folder / name_of(wanted, "oldest"), exact)
        outcomes[-1] = run_tests(python, wanted, versions_in(python), arguments)
    except Broken as broken:
        outcomes[-1].said = str(broken)
    return outcomes


def try_refused(folder: Path, wanted: str) -> list[Outcome]:
    """See that a guard cannot be made on a FastAPI that is not supported."""
    outcome = Outcome(wanted)
    try:
        python = make_environment(folder / name_of(wanted, "newest"), [f"fastapi{wanted}"])
        versions = versions_in(python)
        outcome = Outcome(wanted, versions["fastapi"], versions["starlette"], versions["pydantic"])
        said = run(python, "-c", _SAY_REFUSAL).strip()
    except Broken as broken:
        outcome.said = str(broken)
        return [outcome]
    outcome.refused = said == "BW124"
    outcome.counts = {"passed": int(outcome.refused), "failed": int(not outcome.refused), "skipped": 0}
    outcome.said = "" if outcome.refused else f"A guard could be made; it said {said!r}."
    return [outcome]


def run_tests(python: Path, wanted: str, versions: dict[str, str], arguments: Sequence[str]) -> Outcome:
    outcome = Outcome(wanted, versions["fastapi"], versions["starlette"], versions["pydantic"])
    report = python.parents[1] / "report.xml"
    report.unlink(missing_ok=True)
    files = sorted(str(path.relative_to(ROOT)) for pattern in TESTS for path in ROOT.glob(pattern))
    options = [
        "-p",
        "no:cacheprovider",
        "--tb=short",
        "-rs",
        "-o",
        f"faulthandler_timeout={STUCK}",
        f"--junitxml={report}",
    ]
    started = time.monotonic()
    left_out = [(ids, reason) for first, ids, reason in NOT_BEFORE if numbers(outcome.fastapi) < numbers(first)]
    options += [f"--deselect={one}" for ids, _ in left_out for one in ids]
    command = [str(python), "-m", "pytest", *options, *files, *arguments]
    env = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    text = python.parents[1] / "report.txt"
    with text.open("w") as said:  # a file, so that there is something to read of a run that was ended
        try:
            code = subprocess.run(
                command, cwd=ROOT, stdout=said, stderr=said, check=False, env=env, timeout=LONGEST
            ).returncode
        except subprocess.TimeoutExpired:
            said.write(f"\nStopped after {LONGEST} seconds.\n")
            code = 1
    outcome.seconds = time.monotonic() - started
    if report.exists():
        outcome.counts, outcome.skipped = counted(report)
        for ids, reason in left_out:
            outcome.counts["skipped"] += len(ids)
            outcome.skipped[reason] = len(ids)
    if code:
        outcome.said = text.read_text()[-6000:]
    return outcome


def counted(report: Path) -> tuple[dict[str, int], dict[str, int]]:
    """How many passed, failed and were skipped, and why these were."""
    counts = dict.fromkeys(("passed", "failed", "skipped"), 0)
    reasons: dict[str, int] = {}
    for case in ET.parse(report).iter("testcase"):
        skip = case.find("skipped")
        if case.find("failure") is not None or case.find("error") is not None:
            counts["failed"] += 1
        elif skip is not None:
            counts["skipped"] += 1
            reason = skip.get("message") or "without a reason"
            reasons[reason] = reasons.get(reason, 0) + 1
        else:
            counts["passed"] += 1
    return counts, reasons


def table(outcomes: Iterable[Outcome]) -> Iterable[str]:
    yield f"{'FastAPI':<10} {'Starlette':<10} {'pydantic':<9} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}"
    for one in outcomes:
        cells = "".join(f"{one.counts.get(name, '-'):>8}" for name in ("passed", "failed"))
        skipped = one.counts.get("skipped", "-")
        verdict = "  refused, as it must be" if one.refused else ""
        if not one.ok:
            verdict = "  <- failed" if one.counts else "  <- did not run"
        yield f"{one.fastapi:<10} {one.starlette:<10} {one.pydantic:<9}{cells} {skipped:>8} {one.seconds:8.1f}{verdict}"


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    asked.add_argument("--venvs", type=Path, default=ROOT / ".matrix", help="where the environments are kept")
    asked.add_argument("--jobs", type=int, default=1, help="how many FastAPI versions are tried at once")
    asked.add_argument("--only", action="append", metavar="VERSION", help='such as "0.140.*"; "newest" for the newest')
    asked.add_argument("--promised", action="store_true", help="leave out where internals changed in between")
    asked.add_argument("--fresh", action="store_true", help="make the environments again")
    options, arguments = asked.parse_known_args()
    rows = dict(PROMISED) if options.promised else PROMISED | TURNING_POINTS | dict.fromkeys(REFUSED, False)
    if options.only:
        only = {"" if one == "newest" else f"=={one}" for one in options.only}
        if unknown := only - rows.keys():
            known = ", ".join(one.removeprefix("==") or "newest" for one in rows)
            asked.error(f"no such row: {', '.join(sorted(unknown))}; there are {known}")
        rows = {one: oldest for one, oldest in rows.items() if one in only}
    if options.fresh and options.venvs.exists():
        shutil.rmtree(options.venvs)
    for test in (
        test for _, ids, _ in NOT_BEFORE for test in ids
    ):  # pytest takes a name that no longer exists in silence
        file, name = test.split("::")
        if f"def {name.partition('[')[0]}(" not in (ROOT / file).read_text():
            asked.error(f"NOT_BEFORE names {test}, which is no test")
    options.venvs.mkdir(parents=True, exist_ok=True)
    folder = options.venvs.resolve()

    def attempt(row: tuple[str, bool]) -> list[Outcome]:
        wanted, oldest_too = row
        if wanted in REFUSED:
            return try_refused(folder, wanted)
        return try_version(folder, arguments, wanted, oldest_too=oldest_too)

    outcomes: list[Outcome] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for found in pool.map(attempt, rows.items()):
            for one in found:
                say(f"{'ok    ' if one.ok else 'FAILED'} FastAPI {one.fastapi} on Starlette {one.starlette}")
            outcomes += found
    outcomes.sort(key=lambda one: (numbers(one.fastapi), numbers(one.starlette)))
    for one in outcomes:
        if one.said:
            say(f"\n--- FastAPI {one.fastapi} ({one.wanted or 'newest'}) on Starlette {one.starlette}\n{one.said}")
    reasons: dict[str, list[str]] = {}
    for one in outcomes:
        for reason, count in one.skipped.items():
            reasons.setdefault(reason, []).append(f"{one.fastapi}/{one.starlette} ({count})")
    if reasons:
        say("\nSkipped:")
        for reason, where in reasons.items():
            say(f"  {reason}\n    {', '.join(where)}")
    say(f"\nOn Python {platform.python_version()}:")
    for line in table(outcomes):
        say(line)
    return 0 if outcomes and all(one.ok for one in outcomes) else 1


if __name__ == "__main__":
    sys.exit(main())
