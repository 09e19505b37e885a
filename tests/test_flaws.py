"""Each published flaw that this project has heard of is shown by a test that carries its name."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
FLAWS = tomllib.loads((TESTS / "flaws.toml").read_text())["flaw"]
OWN = sorted((TESTS / "own_flaws").glob("*.toml"))


def names_in(file):
    tree = ast.parse((TESTS.parent / file).read_text())
    return {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_each_flaw_stands_there_once():
    ids = [name for flaw in FLAWS for name in flaw["ids"]]
    assert len(ids) == len(set(ids)) >= 115
    assert all(re.fullmatch(r"CVE-\d{4}-\d{4,}|GHSA(-\w{4}){3}|PYSEC-\d{4}-\d+|[a-z-]+#\d+", name) for name in ids)


@pytest.mark.parametrize("flaw", FLAWS, ids=lambda flaw: flaw["ids"][0])
def test_a_flaw_is_shown_by_tests_of_its_name(flaw):
    assert flaw.keys() == {"ids", "of", "what", "tests"}
    assert flaw["what"].endswith(".")
    assert flaw["tests"]
    slugs = [re.sub(r"[^a-z0-9]+", "_", name.lower()) for name in flaw["ids"]]
    for node in flaw["tests"]:
        file, _, name = node.partition("::")
        assert name in names_in(file), node
        assert any(f"_{slug}_" in name for slug in slugs), node


def test_every_test_that_is_named_after_a_flaw_is_in_the_list():
    listed = {node for flaw in FLAWS for node in flaw["tests"]}
    for path in sorted(TESTS.rglob("test_*.py")):
        file = path.relative_to(TESTS.parent).as_posix()
        for name in names_in(file):
            if re.search(r"_(cve_\d{4}_\d{4,}|ghsa(_\w{4}){3})(_|$)", name):
                assert f"{file}::{name}" in listed, name


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_a_fault_of_our_own_is_noticed_by_tests_that_exist(path):
    fault = tomllib.loads(path.read_text())
    assert fault.keys() == {"found", "what", "severity", "tests"}
    assert fault["what"].endswith(".")
    assert fault["severity"] in {"critical", "high", "medium", "low"}
    assert fault["tests"]
    for node in fault["tests"]:
        file, _, name = node.partition("::")
        assert name in names_in(file), node
