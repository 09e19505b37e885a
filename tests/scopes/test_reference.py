"""The compiled masks say what a naive reading of the rules says.

The reference below was written from the rules, with sets and loops and without looking at the
catalog: slow, and short enough to be seen to be right.
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bailiwick import Catalog, InvalidScope, Scope, ScopeSet, all_of, any_of
from bailiwick.scopes import Ceilings, issue

pytestmark = pytest.mark.untraced

# -- the reference -------------------------------------------------------------------------


def wildcard_covers(held, name):
    """Rule 2: `P:*` covers what begins with the segments P and has at least one more."""
    *prefix, last = held.split(":")
    segments = name.split(":")
    return bool(prefix) and last == "*" and segments[: len(prefix)] == prefix and len(segments) > len(prefix)


def reach(world, held):
    """Rules 2, 3, 4 and 6: every name that these held scopes come to."""
    names, implied, superuser = world
    reached = set(held) | {name for name in names for one in held if wildcard_covers(one, name)}
    while True:
        more = {other for name in reached for other in implied.get(name, ())}
        if superuser in reached:
            more |= set(names)
        if more <= reached:
            return reached
        reached |= more


def naive_covers(world, held, required):
    reached = reach(world, held)
    if required in reached:
        return True
    if "*" not in required:
        return False
    return world[2] in reached or any(wildcard_covers(one, required) for one in held)  # rule 5


def naive_meets(world, held, wish):
    """A wish is a name, or ("all", wishes), or ("any", wishes)."""
    if isinstance(wish, str):
        return naive_covers(world, held, wish)
    word, parts = wish
    return (all if word == "all" else any)(naive_meets(world, held, part) for part in parts)


def naive_issue(world, wanted, ceilings):
    """The formula: wildcards expanded, each scope with all that it reaches within each ceiling."""
    names, _, superuser = world
    concrete = set()
    for one in wanted:
        below = {name for name in names if wildcard_covers(one, name)} if one != superuser else set()
        concrete |= below | ({one} & set(names))
    known = set(names)
    return {
        one for one in concrete if all(reach(world, [one]) & known <= reach(world, ceiling) for ceiling in ceilings)
    }


# -- worlds to compare them in -------------------------------------------------------------

segments = st.sampled_from(["a", "b", "c", "*", "", "a*", "**"])
scope_names = st.lists(segments, min_size=1, max_size=4).map(":".join).filter(bool)
holdings = st.lists(scope_names, max_size=5)


@st.composite
def worlds(draw):
    names = draw(st.lists(scope_names, min_size=1, max_size=10, unique=True))
    implied = {}
    for index, name in enumerate(names):
        if index and draw(st.booleans()):
            implied[name] = draw(st.lists(st.sampled_from(names[:index]), max_size=2, unique=True))
    superuser = draw(st.one_of(st.none(), st.sampled_from(names)))
    return names, implied, superuser


def catalog_of(world):
    names, implied, superuser = world
    return Catalog([Scope(name, implies=implied.get(name, ())) for name in names], superuser=superuser)


def wishes(names):
    return st.recursive(
        st.sampled_from(names),
        lambda inner: st.tuples(st.sampled_from(["all", "any"]), st.lists(inner, min_size=1, max_size=3)),
        max_leaves=6,
    )


def requirement_of(wish):
    if isinstance(wish, str):
        return all_of(wish)
    word, parts = wish
    return (all_of if word == "all" else any_of)(*(requirement_of(part) for part in parts))


# -- the comparisons -----------------------------------------------------------------------


@settings(max_examples=600)
@given(worlds(), holdings, scope_names)
def test_masks_and_the_naive_reference_agree_on_every_name(world, held, another):
    catalog = catalog_of(world)
    compiled = catalog.hold(held)
    for required in [*world[0], *held, another]:
        assert catalog.covers(compiled, required) is naive_covers(world, held, required), required


@settings(max_examples=400)
@given(st.data(), worlds(), holdings)
def test_compiled_rules_and_the_naive_reference_agree_on_every_requirement(data, world, held):
    catalog = catalog_of(world)
    wish = data.draw(wishes(world[0]))
    requirement = requirement_of(wish)
    rule, compiled = catalog.compile(requirement), catalog.hold(held)
    expected = naive_meets(world, held, wish)
    assert rule.allows(compiled) is expected
    assert bool(rule.decide(compiled)) is expected
    assert catalog.covers(compiled, requirement) is expected


@given(worlds(), holdings, holdings)
def test_holding_more_never_covers_less(world, held, more):
    catalog = catalog_of(world)
    for required in world[0]:
        if catalog.covers(held, required):
            assert catalog.covers([*held, *more], required)


@given(worlds(), holdings)
def test_the_order_and_repetition_of_what_is_held_do_not_matter(world, held):
    catalog = catalog_of(world)
    assert catalog.hold(held) == catalog.hold(list(reversed(held))) == catalog.hold(held + held)


@given(worlds(), holdings)
def test_every_scope_covers_itself(world, held):
    catalog = catalog_of(world)
    assert all(catalog.covers(held, one) for one in held)
    assert all(catalog.covers([name], name) for name in world[0])


@given(worlds(), holdings)
def test_expanding_first_and_holding_the_result_changes_nothing(world, held):
    catalog = catalog_of(world)
    expanded = catalog.expand(held)
    assert catalog.hold(expanded) == catalog.hold(held)
    for name in [*world[0], *(one for one in held if "*" not in one)]:
        assert catalog.covers(expanded, name) is catalog.covers(held, name)


@given(worlds(), holdings)
def test_expanding_twice_is_expanding_once(world, held):
    catalog = catalog_of(world)
    assert catalog.expand(catalog.expand(held)) == catalog.expand(held)


@given(worlds(), holdings)
def test_without_a_superuser_or_implications_a_scope_reaches_only_below_itself(world, held):
    catalog = Catalog(world[0])
    for required in world[0]:
        if catalog.covers(held, required):
            assert required in held or any(wildcard_covers(one, required) for one in held)


@settings(max_examples=500)
@given(worlds(), holdings, st.lists(holdings, min_size=5, max_size=5))
def test_the_formula_issues_what_the_naive_formula_issues(world, wanted, ceilings):
    catalog = catalog_of(world)
    expected = naive_issue(world, wanted, ceilings)
    try:
        issued = issue(catalog, None, ScopeSet(wanted), Ceilings(*map(ScopeSet, ceilings)))
    except InvalidScope:
        assert not expected
    else:
        assert issued == expected


@settings(max_examples=500)
@given(worlds(), holdings, st.lists(holdings, min_size=5, max_size=5), st.booleans())
def test_what_is_issued_reaches_no_further_than_any_ceiling(world, wanted, ceilings, wildcards):
    catalog = catalog_of(world)
    try:
        issued = issue(catalog, None, ScopeSet(wanted), Ceilings(*map(ScopeSet, ceilings)), issue_wildcards=wildcards)
    except InvalidScope:
        return
    for bound in [wanted, *ceilings]:
        assert not catalog.hold(issued).mask & ~catalog.hold(bound).mask
    assert issued
    assert all(catalog.knows(name) for name in issued)
    if not wildcards:
        assert all(name in catalog for name in issued)


@given(worlds(), holdings, st.lists(holdings, min_size=5, max_size=5), st.lists(holdings, min_size=5, max_size=5))
def test_higher_ceilings_never_issue_less(world, wanted, ceilings, more):
    catalog = catalog_of(world)
    try:
        issued = issue(catalog, None, ScopeSet(wanted), Ceilings(*map(ScopeSet, ceilings)))
    except InvalidScope:
        return
    higher = [ScopeSet([*low, *extra]) for low, extra in zip(ceilings, more, strict=True)]
    assert issued <= issue(catalog, None, ScopeSet(wanted), Ceilings(*higher))


@given(worlds(), holdings, holdings)
def test_issuing_again_from_what_was_issued_changes_nothing(world, wanted, ceiling):
    catalog = catalog_of(world)
    try:
        issued = issue(catalog, None, ScopeSet(wanted), Ceilings(client=ScopeSet(ceiling)))
    except InvalidScope:
        return
    again = issue(catalog, None, issued, Ceilings(client=ScopeSet(ceiling), presented=issued))
    assert again == issued
