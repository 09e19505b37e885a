"""Where the demo cannot start: a clear message, exit code 2, and nothing written."""

import socket
import sqlite3
import subprocess
import sys

import pytest


def test_a_busy_port(tmp_path, refused):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused(tmp_path / "data", "--port", str(port))
    assert code == 2
    assert str(port) in said
    assert "--port" in said
    assert not (tmp_path / "data").exists()


def test_a_host_of_another_machine(tmp_path, refused):
    code, said = refused(tmp_path / "data", "--host", "192.0.2.1", "--port", "0")
    assert code == 2
    assert "192.0.2.1" in said
    assert not (tmp_path / "data").exists()


def test_a_folder_that_is_a_file(tmp_path, refused):
    (tmp_path / "data").write_text("mine")
    code, said = refused(tmp_path / "data", "--port", "0")
    assert code == 2
    assert "--data" in said
    assert (tmp_path / "data").read_text() == "mine"


def test_a_folder_below_a_file(tmp_path, refused):
    (tmp_path / "file").write_text("mine")
    code, said = refused(tmp_path / "file" / "data", "--port", "0")
    assert code == 2
    assert "cannot be made" in said


@pytest.mark.parametrize("name", ["authority.db", "demo.db"])
def test_a_file_that_is_no_database(tmp_path, refused, name):
    (tmp_path / name).write_text("this is not a database, but long enough to have a header" * 20)
    before = (tmp_path / name).read_bytes()
    code, said = refused(tmp_path, "--port", "0")
    assert code == 2
    assert name in said
    assert (tmp_path / name).read_bytes() == before


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(("-shm", "-wal"))}


@pytest.mark.parametrize(
    ("name", "newer"),
    [
        ("demo.db", "PRAGMA user_version = 99"),
        ("authority.db", "UPDATE bw_version SET version_num = '9999_from_the_future'"),
    ],
)
def test_a_file_that_a_newer_version_wrote(data, refused, name, newer):
    with sqlite3.connect(data / name) as db:
        db.execute(newer)
    db.close()
    before = contents(data)
    code, said = refused(data, "--port", "0")
    assert code == 2
    assert "newer" in said
    assert "BW503" in said
    assert contents(data) == before


# Permissions bind root only once it has given up the capability to ignore them: CAP_DAC_OVERRIDE and
# CAP_DAC_READ_SEARCH (1 and 2), dropped from the bounding set with PR_CAPBSET_DROP (24) before the exec.
BOUND = """
import ctypes, os, sys
if os.getuid() == 0:
    libc = ctypes.CDLL(None)
    if libc.prctl(24, 1, 0, 0, 0) or libc.prctl(24, 2, 0, 0, 0):
        sys.exit(77)
os.execv(sys.executable, [sys.executable, "-m", "bailiwick", "run", "--port", "0", "--data", sys.argv[1]])
"""


def run_bound_by_permissions(data):
    done = subprocess.run(
        [sys.executable, "-c", BOUND, str(data)], capture_output=True, text=True, timeout=60, check=False
    )
    if done.returncode == 77:
        pytest.skip("root cannot give up its capabilities here")
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stderr


@pytest.mark.parametrize("name", ["authority.db", "demo.db"])
def test_a_file_that_is_read_only(data, name):
    (data / name).chmod(0o444)
    before = contents(data)
    code, said = run_bound_by_permissions(data)
    assert code == 2
    assert "BW502" in said
    assert name in said
    assert "read" in said
    assert contents(data) == before


def test_a_folder_that_is_read_only(tmp_path):
    data = tmp_path / "locked"
    data.mkdir(mode=0o555)
    code, said = run_bound_by_permissions(data)
    assert code == 2
    assert "BW502" in said
    assert not list(data.iterdir())


def test_a_disk_that_is_full(tmp_path, refused):
    """A file system of a few pages, where one may be mounted."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        code, said = refused(disk / "data", "--port", "0")
        assert code == 2
        assert "BW502" in said
    finally:
        subprocess.run(["umount", str(disk)], check=True)
