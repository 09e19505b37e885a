"""Rules whose scopes lie in one octet of a mask, in several, and in both: the short way and the long one say the same."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.scopes import Catalog, all_of, any_of

NAMES = tuple(f"s{number:02}" for number in range(20))  # three octets, the last of them not full
CATALOG = Catalog(NAMES)
PLAIN = st.sampled_from(NAMES)
SETS = st.lists(PLAIN, min_size=1, max_size=4, unique=True)


def octet(name):
    (((at, _),),) = CATALOG.compile(all_of(name)).probes
    return at


def neighbours(count=3):
    """So many scopes of one octet."""
    first = octet(NAMES[0])
    return [name for name in NAMES if octet(name) == first][:count]


@given(st.lists(SETS, min_size=1, max_size=4), st.lists(PLAIN, unique=True))
def test_a_rule_allows_exactly_who_holds_all_of_one_alternative(alternatives, held):
    rule = CATALOG.compile(any_of(*(all_of(*names) for names in alternatives)))
    enough = any(set(names) <= set(held) for names in alternatives)
    compiled = CATALOG.hold(held)
    assert rule.allows(compiled) is enough
    assert bool(rule.decide(compiled)) is enough


@pytest.mark.parametrize("far", [False, True])
def test_of_overlapping_alternatives_each_is_enough_and_no_part_of_one_is(far):
    a, b, c = neighbours()
    if far:
        c = next(name for name in NAMES if octet(name) != octet(a))
    rule = CATALOG.compile(any_of(all_of(a, b), all_of(b, c)))
    for count in range(4):
        for held in combinations((a, b, c), count):
            assert rule.allows(CATALOG.hold(held)) is ({a, b} <= set(held) or {b, c} <= set(held)), held


def test_several_scopes_of_one_octet_are_all_needed_and_each_missing_one_is_named():
    a, b, c = neighbours()
    rule = CATALOG.compile(all_of(a, b, c))
    assert rule.only is not None
    for count in range(4):
        for held in combinations((a, b, c), count):
            compiled = CATALOG.hold(held)
            assert rule.allows(compiled) is (count == 3)
            decided = rule.decide(compiled)
            assert bool(decided) or set(decided.missing) == {a, b, c} - set(held)


def test_a_choice_between_scopes_of_one_octet_is_no_single_probe():
    a, b, _ = neighbours()
    rule = CATALOG.compile(any_of(a, b))
    assert rule.only is None
    assert rule.allows(CATALOG.hold([a]))
    assert rule.allows(CATALOG.hold([b]))
    assert not rule.allows(CATALOG.hold([name for name in NAMES if name not in {a, b}]))


def test_an_alternative_that_contains_another_leaves_one_probe_and_asks_for_the_smaller():
    a, b, _ = neighbours()
    rule = CATALOG.compile(any_of(all_of(a, b), all_of(a)))
    assert rule.only is not None
    assert rule.allows(CATALOG.hold([a]))
    assert not rule.allows(CATALOG.hold([b]))
