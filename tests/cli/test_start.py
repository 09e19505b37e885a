"""Starting the command: quick, and clear about what is missing."""

import subprocess
import sys

import pytest


def python(code, *args):
    return subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, timeout=60, check=False)


def test_importing_the_package_and_its_command_loads_no_framework_and_no_database():
    done = python(
        "import sys, bailiwick, bailiwick.cli\n"
        "heavy = {'typer', 'rich', 'starlette', 'fastapi', 'sqlalchemy', 'uvicorn', 'httpx', 'argon2'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_asking_for_help_loads_no_door():
    done = python(
        "import sys\nfrom bailiwick.cli.app import app\n"
        "print(sorted({'fastapi', 'sqlalchemy', 'uvicorn', 'pydantic', 'bailiwick.server', 'bailiwick.authority', 'bailiwick.fastapi'} & set(sys.modules)))"
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.parametrize(
    ("module", "command"), [("typer", "--help"), ("uvicorn", "run"), ("sqlalchemy", "run"), ("fastapi", "run")]
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(module, command, tmp_path):
    done = python(
        f"import sys; sys.modules[{module!r}] = None; sys.argv = ['bailiwick', *sys.argv[1:]]\n"
        "from bailiwick.cli import main; main()",
        command,
        *(["--port", "0", "--data", str(tmp_path / "new")] if command == "run" else []),
    )
    assert done.returncode == 2
    assert module in done.stderr
    assert "pip install 'bailiwick[server" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "new").exists()


def test_a_module_that_no_extra_brings_is_a_fault_of_ours_and_keeps_its_traceback():
    done = python(
        "import sys; sys.modules['bailiwick.cli.run'] = None; sys.argv = ['bailiwick', '--help']\n"
        "from bailiwick.cli import main; main()"
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr


def test_the_module_says_the_version():
    import bailiwick

    command = [sys.executable, "-m", "bailiwick", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.strip() == f"bailiwick {bailiwick.__version__}"
