"""The page of the RFCs' checklist: each row with the tests that show it, or the reason why there is none."""

import csv
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent / "tests"
ROWS = TESTS / "cases" / "rfc_checklist.csv"
PLACED = TESTS / "checklist.toml"


def rfc_checklist() -> str:
    """The page, without the line that says who made it."""
    with ROWS.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    placed: dict[str, Any] = tomllib.loads(PLACED.read_text(encoding="utf-8"))
    shown = Counter(row["rfc"] for row in rows if "tests" in placed[row["id"]])
    of = Counter(row["rfc"] for row in rows)
    summary = (
        f"{len(rows)} requirements of OAuth 2 and what belongs to it. **{shown.total()} are shown by tests** that run with"
        f" every change; {of.total() - shown.total()} have a reason instead. A test in"
        " [tests/authority/test_checklist.py](../../tests/authority/test_checklist.py) fails when a row has neither, or"
        " names a test that does not exist. Where the answer differs from what a row expects, a sentence says how.\n"
    )
    page = [
        "# The RFCs' checklist\n",
        summary,
        "| document | rows | shown by tests | with a reason |\n|---|---|---|---|",
        *(f"| {rfc} | {count} | {shown[rfc]} | {count - shown[rfc]} |" for rfc, count in of.items()),
        "",
        "## Rows with a reason\n",
        "| row | section | requirement | why there is no test |\n|---|---|---|---|",
        *(_line(row, placed[row["id"]]["reason"]) for row in rows if "reason" in placed[row["id"]]),
        "",
        "## Rows that are shown\n",
    ]
    for rfc in of:
        tested = [row for row in rows if row["rfc"] == rfc and "tests" in placed[row["id"]]]
        if tested:
            page.append(f"### {rfc}\n\n| row | section | requirement | tests |\n|---|---|---|---|")
            page += [_line(row, _shown(placed[row["id"]])) for row in tested]
            page.append("")
    return "\n".join(page)


def _line(row: Mapping[str, str], last: str) -> str:
    requirement = row["requirement"].replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return f"| {row['id']} | {row['section']} ({row['level']}) | {requirement} | {last} |"


def _shown(placed: Mapping[str, Any]) -> str:
    """The tests, and what of the row is answered in another way than it expects."""
    return "<br>".join([*map(test_link, placed["tests"]), *([f"*{placed['note']}*"] if "note" in placed else [])])


def test_link(node: str) -> str:
    """A test as a link that reads like its sentence."""
    file, _, name = node.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../../{file})"
