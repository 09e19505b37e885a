"""The page of published flaws: what went wrong in programs like this one, and the tests that would notice it here."""

import tomllib
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any

from checklist import TESTS, test_link


def published_flaws() -> str:
    """The page, without the line that says who made it."""
    flaws: list[dict[str, Any]] = tomllib.loads((TESTS / "flaws.toml").read_text(encoding="utf-8"))["flaw"]
    flaws.sort(key=lambda flaw: flaw["of"].casefold())
    summary = (
        f"{len(flaws)} flaws of OAuth servers, token libraries and frameworks that were published, with"
        f" {sum(len(flaw['ids']) for flaw in flaws)} names. Each has at least one test here that carries its name and runs with every"
        " change; [tests/test_flaws.py](../../tests/test_flaws.py) fails when one has none.\n"
    )
    return "\n".join(["# Published flaws, and their tests\n", summary, *_tables(flaws)])


def _tables(flaws: list[dict[str, Any]]) -> Iterator[str]:
    for program, of_it in groupby(flaws, key=lambda flaw: flaw["of"]):
        yield f"## {program}\n\n| name | what went wrong there | tests here |\n|---|---|---|"
        yield from map(_line, of_it)
        yield ""


def _line(flaw: Mapping[str, Any]) -> str:
    what = flaw["what"].replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")
    return f"| {', '.join(flaw['ids'])} | {what} | {'<br>'.join(map(test_link, flaw['tests']))} |"
