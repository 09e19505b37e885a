"""Requirements: their algebra, their equality, and the reasons that they give."""

import copy
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick import Allowed, Catalog, ConfigurationError, Denied, Requirement, ScopeSet, all_of, any_of
from bailiwick.scopes.requirement import MAX_ALTERNATIVES, decide

NAMES = ["a", "b", "c", "d", "e"]
CATALOG = Catalog(NAMES)

names = st.sampled_from(NAMES)
requirements = st.recursive(
    st.one_of(
        st.lists(names, min_size=1, max_size=3).map(lambda some: all_of(*some)),
        st.lists(names, min_size=1, max_size=3).map(lambda some: any_of(*some)),
    ),
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda two: two[0] & two[1]),
        st.tuples(inner, inner).map(lambda two: two[0] | two[1]),
    ),
    max_leaves=4,
)
holdings = st.sets(names).map(sorted)


def met(requirement, held):
    return CATALOG.covers(held, requirement)


class TestTheAlgebra:
    @given(requirements, requirements)
    def test_and_and_or_do_not_mind_the_order(self, x, y):
        assert x & y == y & x
        assert x | y == y | x

    @given(requirements, requirements, requirements)
    def test_and_and_or_do_not_mind_the_brackets(self, x, y, z):
        assert (x & y) & z == x & (y & z)
        assert (x | y) | z == x | (y | z)

    @given(requirements)
    def test_saying_it_twice_adds_nothing(self, x):
        assert x & x == x
        assert x | x == x

    @given(requirements, requirements)
    def test_each_absorbs_the_other(self, x, y):
        assert x | (x & y) == x
        assert x & (x | y) == x

    @given(requirements, requirements, requirements)
    def test_each_distributes_over_the_other(self, x, y, z):
        assert x & (y | z) == (x & y) | (x & z)
        assert x | (y & z) == (x | y) & (x | z)

    @given(requirements, requirements, holdings)
    def test_and_means_both_and_or_means_either(self, x, y, held):
        assert met(x & y, held) is (met(x, held) and met(y, held))
        assert met(x | y, held) is (met(x, held) or met(y, held))

    @given(requirements, requirements)
    def test_requirements_are_equal_exactly_when_they_mean_the_same(self, x, y):
        every_holding = [[name for i, name in enumerate(NAMES) if mask & 1 << i] for mask in range(1 << len(NAMES))]
        assert (x == y) is all(met(x, held) is met(y, held) for held in every_holding)

    @given(requirements)
    def test_no_alternative_contains_another(self, x):
        assert not any(one < other for one in x.alternatives for other in x.alternatives)

    @given(requirements, requirements)
    def test_equal_requirements_have_one_hash(self, x, y):
        assert hash(x & y) == hash(y & x)
        assert {x | y: "found"}[y | x] == "found"

    @given(requirements)
    def test_a_requirement_survives_a_pickle_a_copy_and_its_repr(self, x):
        for again in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), eval(repr(x))):
            assert again == x
            assert again.alternatives == x.alternatives
            assert [list(one) for one in again] == [list(one) for one in x]

    @given(requirements)
    def test_the_scopes_of_a_requirement_are_those_of_its_alternatives(self, x):
        assert x.scopes == {name for one in x.alternatives for name in one}
        assert x.smallest in x.alternatives
        assert len(x.smallest) == min(map(len, x.alternatives))


def test_the_order_of_declaration_is_kept():
    requirement = any_of("e", all_of("b", "a"), "c")
    assert [str(one) for one in requirement] == ["e", "b a", "c"]
    assert str(requirement.smallest) == "e"
    assert str(any_of(all_of("b", "a"), all_of("d", "c")).smallest) == "b a"


def test_a_requirement_reads_as_a_person_would_say_it():
    assert str(all_of("users:read", "users:write")) == "users:read and users:write"
    assert str(any_of("users:delete", "admin:*")) == "users:delete or admin:*"
    assert str(any_of(all_of("a", "b"), "c")) == "(a and b) or c"


def test_a_requirement_cannot_be_changed():
    requirement = all_of("a")
    with pytest.raises(AttributeError):
        requirement.alternatives = ()
    assert requirement == all_of("a")


def test_a_requirement_equals_nothing_but_requirements():
    assert all_of("a") != "a"
    assert all_of("a") != ScopeSet(["a"])
    assert all_of("a") != any_of("a", "b")


@pytest.mark.parametrize("other", ["a", ["a"], ScopeSet(["a"]), None, True])
def test_a_requirement_combines_with_nothing_but_requirements(other):
    for combine in (
        lambda: all_of("a") & other,
        lambda: all_of("a") | other,
        lambda: other & all_of("a"),
        lambda: other | all_of("a"),
    ):
        with pytest.raises(TypeError):
            combine()


@pytest.mark.parametrize("part", [["a"], ("a",), {"a"}, ScopeSet(["a"]), None, 5, b"a", True], ids=repr)
def test_what_is_neither_a_name_nor_a_requirement_is_refused(part):
    for function in (all_of, any_of):
        with pytest.raises(ConfigurationError) as refused:
            function("b", part)
        assert refused.value.id == "BW104"


@pytest.mark.parametrize("part", ["", "a b", "a\tb", 'a"b', "a\\b", "\uff41"], ids=ascii)
def test_a_name_that_breaks_the_grammar_is_refused_where_it_is_declared(part):
    for function in (all_of, any_of):
        with pytest.raises(ConfigurationError) as refused:
            function(part)
        assert refused.value.id == "BW101"


@pytest.mark.parametrize("given_", ["admin", ["admin"], [["a"]], [{"a"}], [frozenset({"a b"})]], ids=repr)
def test_a_requirement_is_never_made_of_texts_or_plain_sets(given_):
    # A text in place of a set would be read letter by letter, a plain set would not be checked.
    with pytest.raises(ConfigurationError) as refused:
        Requirement(given_)
    assert refused.value.id == "BW104"


@pytest.mark.parametrize("given_", [[], [ScopeSet()], [ScopeSet(["a"]), ScopeSet()]], ids=repr)
def test_a_requirement_that_nobody_could_fail_is_refused(given_):
    with pytest.raises(ConfigurationError) as refused:
        Requirement(given_)
    assert refused.value.id == "BW103"


@pytest.mark.untraced
def test_too_many_alternatives_are_refused_and_soon():
    left = any_of(*(f"l{n}" for n in range(MAX_ALTERNATIVES)))
    right = any_of(*(f"r{n}" for n in range(MAX_ALTERNATIVES)))
    begun = time.perf_counter()
    with pytest.raises(ConfigurationError) as refused:
        left & right
    assert refused.value.id == "BW108"
    assert left & left == left
    assert time.perf_counter() - begun < 30  # comparing every pair of 65,536 products would take hours
    with pytest.raises(ConfigurationError):
        left | all_of("r0")


class TestDecisions:
    CATALOG = Catalog(["a", "b", "c", "d"])

    def test_a_refusal_says_what_is_missing_of_what_is_required(self):
        rule = self.CATALOG.compile(all_of("a", "b", "c"))
        assert rule.decide(self.CATALOG.hold(["b"])) == Denied(
            missing=ScopeSet.parse("a c"), required=ScopeSet.parse("a b c")
        )

    def test_a_refusal_names_the_smallest_alternative_and_of_equal_ones_the_first(self):
        rule = self.CATALOG.compile(any_of(all_of("a", "b"), "c", "d"))
        assert rule.decide(self.CATALOG.hold([])) == Denied(missing=ScopeSet(["c"]), required=ScopeSet(["c"]))

    def test_a_pass_says_on_which_alternative_it_rests(self):
        rule = self.CATALOG.compile(any_of(all_of("a", "b"), "c"))
        assert rule.decide(self.CATALOG.hold(["b", "a"])) == Allowed(ScopeSet.parse("a b"))
        assert rule.decide(self.CATALOG.hold(["c"])) == Allowed(ScopeSet(["c"]))

    def test_a_decision_is_true_when_allowed_and_false_when_denied(self):
        assert Allowed(ScopeSet(["a"]))
        assert not Denied(ScopeSet(["a"]), ScopeSet(["a"]))

    @given(requirements, holdings)
    def test_a_question_in_a_handler_and_a_compiled_rule_answer_alike(self, requirement, held):
        compiled = CATALOG.hold(held)
        assert CATALOG.compile(requirement).decide(compiled) == decide(requirement, compiled, CATALOG)

    @given(requirements, holdings)
    def test_what_is_missing_is_never_empty_and_is_enough_when_supplied(self, requirement, held):
        decision = CATALOG.compile(requirement).decide(CATALOG.hold(held))
        if isinstance(decision, Denied):
            assert decision.missing
            assert decision.missing <= decision.required
            assert met(requirement, [*held, *decision.missing])
