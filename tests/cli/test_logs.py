"""What a served authority writes into its log: what was refused and why, in a form that nobody can forge or flood."""

import json
import logging
import re

import pytest

from bailiwick.cli.logs import BURST, MAX_LINE, Logging, logged

EVIL = "x\n2026-01-01T00:00:00.000Z INFO bailiwick.web all is well\r\x1b[2K\u2028y"


def written(capfd):
    return capfd.readouterr().err.splitlines()


def test_serve_logs_a_refusal_with_its_id_and_its_detail(house):
    with house.serve(log := []) as http:
        http.post(
            "/token",
            data={
                "grant_type": "password",
                "client_id": "nobody",
                "client_secret": "hunter2-hunter2",
                "username": "ada",
                "password": "hunter2",
            },
        )
        http.get("/nowhere%0aINFO%20forged?secret=hunter2")
    told = "".join(log)
    assert re.search(r"INFO bailiwick\.web POST /token refused: .*\[BW401\]", told)
    assert re.search(r"GET /nowhere\\nINFO forged refused: .*\[BW400\]", told)
    assert "hunter2" not in told


def test_serve_logs_json_for_programs_and_no_less_than_it_is_told(house):
    with house.serve(log := [], "--log-format", "json", "--log-level", "info") as http:
        http.post("/token", data={"grant_type": "nonsense"})
    documents = [json.loads(line) for line in log]
    (refused,) = (one for one in documents if one["logger"] == "bailiwick.web")
    assert {"at", "level", "message", "id", "status", "method", "path", "address", "detail"} <= refused.keys()
    assert (refused["id"], refused["path"], refused["address"]) == ("BW401", "/token", "127.0.0.1")
    with house.serve(log := [], BAILIWICK_LOG_LEVEL="warning") as http:
        http.post("/token", data={"grant_type": "nonsense"})
    assert log == []


@pytest.mark.parametrize("name", ["log_level", "log_format", "log_lines"])
def test_a_wrong_word_about_the_log_is_refused(house, name, monkeypatch):
    monkeypatch.setenv(f"BAILIWICK_{name.upper()}", "-1")
    assert name in house.refusal("check", code=2)


@pytest.mark.parametrize("form", ["text", "json"])
def test_nobodys_text_begins_a_line_of_the_log(form, capfd):
    with logged(Logging("info", form)):
        try:
            int(EVIL)
        except ValueError:
            logging.getLogger("bailiwick.web").exception("%s failed", EVIL)
    lines = written(capfd)
    if form == "json":
        assert len(lines) == 1
        assert json.loads(lines[0])["level"] == "error"
    else:
        assert [line for line in lines if not line.startswith("  | ")] == lines[:1]
        assert all(line.isprintable() for line in lines)


def test_who_is_refused_often_does_not_fill_the_disk_and_the_rest_is_still_heard(capfd):
    with logged(Logging("info", lines=1)):
        for number in range(20 * BURST):
            logging.getLogger("bailiwick.web").info("refused %d %s", number, "z" * 3 * MAX_LINE)
        logging.getLogger("bailiwick.web").error("the disk is full")
    lines = written(capfd)
    kept = sum("refused" in line for line in lines)
    assert BURST <= kept < 2 * BURST
    assert all(len(line) < MAX_LINE + 200 for line in lines)
    assert any("the disk is full" in line for line in lines)
    left_out = [re.search(r"(\d+) lines like these were left out", line) for line in lines]
    assert sum(int(one[1]) for one in left_out if one) == 20 * BURST - kept


def test_what_others_log_of_their_details_stays_out(capfd):
    with logged(Logging("debug")):
        logging.getLogger("httpcore.http11").debug("Authorization: Bearer secret")
        logging.getLogger("httpx").info("GET https://client.example")
        logging.getLogger("httpx").warning("trouble")
    assert [line.split(" ", 3)[-1] for line in written(capfd)] == ["trouble"]


def test_the_log_is_as_it_was_when_serving_ends():
    root, ours = logging.getLogger(), logging.getLogger("bailiwick")
    before = (list(root.handlers), ours.level)
    with logged(Logging("debug")):
        assert ours.isEnabledFor(logging.DEBUG)
    assert (list(root.handlers), ours.level) == before


def test_serve_tells_that_others_may_read_its_store_with_the_line_that_ends_it(house):
    store = house.folder / "authority.db"
    store.chmod(0o644)
    with house.serve(log := []):
        pass
    (told,) = (line for line in log if "Other users" in line)
    assert f"WARNING bailiwick.serve Other users of this machine may read or write {store}" in told
    assert f"chmod 600 {store}" in told
