"""The table in docs/comparison.md: each of our cells stands on a test that exists."""

import ast
import functools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "comparison.md"
LINK = re.compile(r"\]\((\.\./tests/[^)#]+)#([^)]+)\)")
# What we do not do, or not yet, has no test to show; everything else of ours has.
WITHOUT = re.compile(r"^(no|not yet)$|^in the handler only")
COLUMNS = 9

TEXT = PAGE.read_text(encoding="utf-8")
ROWS = [
    [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    for line in TEXT.splitlines()
    if line.startswith("| ") and not line.startswith("| |")
]
LINKS = LINK.findall(TEXT)


@functools.cache
def known_tests(path):
    """The tests of a file, by name."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            tests = [one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)]
            found |= {f"{node.name}.{one.name}" for one in tests}
    return {name for name in found if name.rpartition(".")[2].startswith("test_")}


def test_the_table_is_found():
    assert len(ROWS) >= 40
    assert len(LINKS) >= 35


@pytest.mark.parametrize(("path", "name"), LINKS, ids=[name for _, name in LINKS])
def test_a_linked_test_exists(path, name):
    assert name in known_tests(PAGE.parent / path)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_each_of_our_cells_links_to_a_test_or_says_no(row):
    assert len(row) == COLUMNS
    assert all(row)
    assert LINK.search(row[1]) or WITHOUT.match(row[1])
