"""The truth table of the scope rules: each row is one sentence about held, required and the answer."""

import json
from pathlib import Path

import pytest

from bailiwick import Catalog, Scope, ScopeSet, all_of
from bailiwick.errors import ConfigurationError

TABLE = json.loads((Path(__file__).parent / "data" / "covers.json").read_text())
ROWS = [pytest.param(row, id=f"{row['held']!a}-{row['required']}-{row['why']}") for row in TABLE["rows"]]


def catalog_for(row):
    names = list(TABLE["catalog"])
    if row["superuser"] and row["superuser"] not in names:
        names.append(row["superuser"])  # the superuser is a catalogued name (rule 8)
    implied = TABLE["implications"] if row["implications"] else {}
    return Catalog([Scope(name, implies=implied.get(name, ())) for name in names], superuser=row["superuser"])


def test_the_table_has_all_of_its_rows():
    assert len(ROWS) == 42


@pytest.mark.parametrize("row", ROWS)
def test_a_row_of_the_table_holds(row):
    assert catalog_for(row).covers(ScopeSet.parse(row["held"]), row["required"]) is row["covers"]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_holds_for_text_for_lists_and_for_what_was_compiled_before(row):
    catalog = catalog_for(row)
    names = row["held"].split(" ") if row["held"] else []
    assert catalog.covers(row["held"], row["required"]) is row["covers"]
    assert catalog.covers(names, row["required"]) is row["covers"]
    assert catalog.covers(catalog.hold(names), row["required"]) is row["covers"]


@pytest.mark.parametrize("row", ROWS)
def test_a_row_holds_for_a_compiled_rule_as_on_a_route(row):
    catalog = catalog_for(row)
    if row["required"] not in catalog:
        with pytest.raises(ConfigurationError):  # rule 6: such a route does not start
            catalog.compile(all_of(row["required"]))
        return
    rule = catalog.compile(all_of(row["required"]))
    held = catalog.hold(ScopeSet.parse(row["held"]))
    assert rule.allows(held) is row["covers"]
    assert bool(rule.decide(held)) is row["covers"]
