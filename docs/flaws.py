"""The page of published flaws: what went wrong in programs like this one, and the tests that would notice it here."""

import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from checklist import TESTS, test_link

SEVERITIES = ("critical", "high", "medium", "low")


def published_flaws() -> str:
    """The page, without the line that says who made it."""
    flaws: list[dict[str, Any]] = tomllib.loads((TESTS / "flaws.toml").read_text(encoding="utf-8"))["flaw"]
    flaws.sort(key=lambda flaw: flaw["of"].casefold())
    summary = (
        f"{len(flaws)} flaws of OAuth servers, token libraries and frameworks that were published, with"
        f" {sum(len(flaw['ids']) for flaw in flaws)} names. Each has at least one test here that carries its name and runs with every"
        " change; [tests/test_flaws.py](../../tests/test_flaws.py) fails when one has none.\n"
    )
    return "\n".join(["# Published flaws, and their tests\n", summary, *_tables(flaws), *_own()])


def _own() -> Iterator[str]:
    """The last part of the page: faults of this project, the newest and the worst first."""
    own = [tomllib.loads(path.read_text(encoding="utf-8")) for path in sorted((TESTS / "own_flaws").glob("*.toml"))]
    own.sort(key=lambda flaw: (-flaw["found"].toordinal(), SEVERITIES.index(flaw["severity"])))
    if not own:
        return
    yield "## Found in Bailiwick itself\n\n| found | severity | what went wrong here | tests |\n|---|---|---|---|"
    for flaw in own:
        tests = "<br>".join(map(test_link, flaw["tests"]))
        yield f"| {flaw['found']} | {flaw['severity']} | {_escaped(flaw['what'])} | {tests} |"
    yield ""


def _tables(flaws: list[dict[str, Any]]) -> Iterator[str]:
    for program, of_it in groupby(flaws, key=lambda flaw: flaw["of"]):
        yield f"## {program}\n\n| name | what went wrong there | tests here |\n|---|---|---|"
        yield from map(_line, of_it)
        yield ""


def _line(flaw: Mapping[str, Any]) -> str:
    return f"| {', '.join(flaw['ids'])} | {_escaped(flaw['what'])} | {'<br>'.join(map(test_link, flaw['tests']))} |"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
