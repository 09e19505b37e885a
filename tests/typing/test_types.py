"""Types are part of what users rely on: mypy, strict, and pyright over code as they write it and over their mistakes.

Pyright needs Node, and `npm install` in tests/clients/node; without them its tests are skipped, and say why.
"""

import json
import re
import shutil
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


def pyright(file):
    """The lines that pyright complains about, with what it says."""
    node, program = shutil.which("node"), ROOT / "tests" / "clients" / "node" / "node_modules" / "pyright" / "index.js"
    if node is None or not program.is_file():
        pytest.skip("pyright is not installed: npm install --prefix tests/clients/node")
    done = run(
        [node, str(program), "--pythonpath", sys.executable, "--outputjson", str(HERE / file)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        cwd=HERE,
    )
    found = json.loads(done.stdout)["generalDiagnostics"]
    return {one["range"]["start"]["line"] + 1: one["message"] for one in found if one["severity"] == "error"}


@pytest.mark.slow
def test_pyright_sees_the_same_types_in_what_users_write():
    assert not pyright("users.py")


@pytest.mark.slow
def test_pyright_notices_the_same_mistakes():
    lines = (HERE / "mistakes.py").read_text().splitlines()
    noticed = pyright("mistakes.py")

    assert noticed.keys() == {number for number, line in enumerate(lines, 1) if "# expect:" in line}, noticed
