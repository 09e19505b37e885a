"""Types are part of what users rely on: mypy, strict, over code as they write it and over their mistakes."""

import re
import sys
from pathlib import Path
from subprocess import run

import pytest

pytest.importorskip("mypy")
HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def mypy(file, cache):
    # Not the project's configuration, which names packages of its own.
    options = ["--strict", "--python-version", "3.11", "--config-file", "", "--cache-dir", str(cache)]
    return run(
        [sys.executable, "-m", "mypy", *options, "--hide-error-context", "--no-pretty", str(HERE / file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env={"MYPYPATH": str(ROOT / "src"), "PATH": ""},
        cwd=HERE,
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


@pytest.mark.slow
def test_what_users_write_has_the_types_that_they_expect(cache):
    done = mypy("users.py", cache)

    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_mistakes_are_noticed_by_a_type_checker_and_nothing_else_is(cache):
    done = mypy("mistakes.py", cache)
    lines = (HERE / "mistakes.py").read_text().splitlines()
    expected = {
        (number, code) for number, line in enumerate(lines, 1) for code in re.findall(r"# expect: ([\w-]+)", line)
    }
    noticed = {
        (int(number), code)
        for number, code in re.findall(r"^mistakes\.py:(\d+): error: .*\[([\w-]+)\]$", done.stdout, re.MULTILINE)
    }

    assert noticed == expected, done.stdout + done.stderr
