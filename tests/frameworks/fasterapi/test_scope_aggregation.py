"""The laws of aggregation and of sharing, against a reference that is too plain to be wrong."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from contextlib import AsyncExitStack
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.frameworks.fasterapi.dependency_solver import OMIT, Program
from bailiwick.graph import Dependant, Edge, SecurityScopes

SCOPES = st.lists(st.sampled_from(["a", "b", "c", "d"]), max_size=4)


@dataclasses.dataclass
class Node:
    """A tree as plain data: which callable, what it declares, what hangs below it."""

    call: int
    own: list[str]
    use_cache: bool
    below: list[Node]


def nodes(depth: int) -> st.SearchStrategy[Node]:
    below = st.just([]) if depth == 0 else st.lists(nodes(depth - 1), max_size=3)
    return st.builds(Node, st.integers(0, 3), SCOPES, st.booleans(), below)


# Callables 0 and 1 take the scopes, 2 and 3 do not. A cache key names a callable, and in a real program one
# callable has one signature: so what hangs below decides which of the copies is meant.
@functools.cache
def callable_for(shape: str) -> Any:
    def call(**values: Any) -> Any:
        return (shape, values)

    return call


def shape(node: Node) -> str:
    return f"{node.call}({','.join(f'{shape(one)}:{one.own}:{one.use_cache}' for one in node.below)})"


def build(node: Node, name: str | None, parents: tuple[str, ...] = ()) -> Dependant:
    joined = Dependant(print, own_oauth_scopes=tuple(node.own), parent_oauth_scopes=parents).oauth_scopes
    return Dependant(
        call=callable_for(shape(node)),
        name=name,
        own_oauth_scopes=tuple(node.own),
        parent_oauth_scopes=parents,
        use_cache=node.use_cache,
        dependencies=tuple(build(one, f"p{index}", joined) for index, one in enumerate(node.below)),
        scopes_parameters=("ss",) if node.call < 2 else (),
    )


def naive_scopes(chain: list[Node]) -> list[str]:
    seen: list[str] = []
    for node in chain:
        for scope in node.own:
            if scope not in seen:
                seen.append(scope)
    return seen


def naive_uses(node: Node) -> bool:
    return bool(node.own) or node.call < 2 or any(naive_uses(one) for one in node.below)


def naive_key(chain: list[Node]) -> tuple[str, tuple[str, ...]]:
    return shape(chain[-1]), tuple(sorted(naive_scopes(chain))) if naive_uses(chain[-1]) else ()


def chains(node: Node, above: list[Node] | None = None) -> list[list[Node]]:
    """The way from the root to each node, children before parents."""
    here = [*(above or []), node]
    return [*(chain for one in node.below for chain in chains(one, here)), here]


class Naive:
    """Walks the tree anew, looks into a dict, calls: the solver with nothing settled beforehand."""

    def __init__(self) -> None:
        self.cache: dict[Any, Any] = {}
        self.ran: list[str] = []

    def solve(self, chain: list[Node]) -> Any:
        node = chain[-1]
        values: dict[str, Any] = {f"p{i}": self.solve([*chain, one]) for i, one in enumerate(node.below)}
        key = naive_key(chain)
        if node.use_cache and key in self.cache:
            return self.cache[key]
        if node.call < 2:
            values["ss"] = naive_scopes(chain)
        self.ran.append(shape(node))
        value = (shape(node), values)
        self.cache.setdefault(key, value)
        return value


@given(nodes(3))
def test_scopes_reach_a_node_from_the_chain_above_it_and_from_nowhere_else(root: Node) -> None:
    tree = list(build(root, None).walk())
    ways = chains(root)
    assert len(tree) == len(ways)
    for dependant, chain in zip(tree, ways, strict=True):
        assert list(dependant.oauth_scopes) == naive_scopes(chain)


@given(nodes(3))
def test_no_scope_is_named_twice_and_parents_come_first(root: Node) -> None:
    for dependant in build(root, None).walk():
        scopes = dependant.oauth_scopes
        assert len(set(scopes)) == len(scopes)
        assert scopes[: len(dependant.parent_oauth_scopes)] == dependant.parent_oauth_scopes
        assert set(scopes) == {*dependant.parent_oauth_scopes, *dependant.own_oauth_scopes}


@given(nodes(2), nodes(2), SCOPES)
def test_what_a_sibling_declares_changes_nothing(one: Node, other: Node, own: list[str]) -> None:
    alone = build(Node(9, own, True, [one]), None).dependencies[0]
    beside = build(Node(9, own, True, [one, other]), None).dependencies[0]
    assert [(d.oauth_scopes, d.cache_key) for d in alone.walk()] == [
        (d.oauth_scopes, d.cache_key) for d in beside.walk()
    ]


@given(nodes(3))
def test_the_cache_key_names_the_scopes_where_the_subtree_can_tell_them_apart(root: Node) -> None:
    for dependant, chain in zip(build(root, None).walk(), chains(root), strict=True):
        assert dependant.uses_scopes is naive_uses(chain[-1])
        assert dependant.cache_key == (callable_for(shape(chain[-1])), naive_key(chain)[1], "")


@given(nodes(1), st.permutations(["a", "b", "c"]))
def test_the_order_and_the_repetition_of_scopes_are_no_part_of_the_key(leaf: Node, order: list[str]) -> None:
    plain = dataclasses.replace(leaf, own=["a", "b", "c"])
    mixed = dataclasses.replace(leaf, own=[*order, order[0]])
    assert build(plain, None).cache_key == build(mixed, None).cache_key


@given(st.lists(nodes(2), max_size=3))
def test_settling_beforehand_gives_what_walking_at_each_request_gives(roots: list[Node]) -> None:
    naive = Naive()
    expected = tuple(naive.solve([root]) for root in roots)
    program = Program([build(root, None) for root in roots])
    assert len(program) == len(naive.ran)

    async def run() -> tuple[Any, ...]:
        async with AsyncExitStack() as stack:
            return (await program.run(lambda _: OMIT, request_stack=stack)).values

    def plain(value: Any) -> Any:
        return (value[0], {k: v.scopes if isinstance(v, SecurityScopes) else plain(v) for k, v in value[1].items()})

    assert tuple(plain(value) for value in asyncio.run(run())) == expected


def test_a_child_that_was_linked_with_other_scopes_is_refused() -> None:
    child = Dependant(print, name="x", parent_oauth_scopes=("a",))
    with pytest.raises(ValueError, match="linked with"):
        Dependant(repr, own_oauth_scopes=("b",), dependencies=(child,))
    assert Dependant(repr, own_oauth_scopes=("a",), dependencies=(child,)).dependencies == (child,)


def test_a_dependant_cannot_be_changed() -> None:
    node = Dependant(print, own_oauth_scopes=("a",))
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.own_oauth_scopes = ()  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        node.oauth_scopes = ()  # type: ignore[misc]


def test_a_scheme_depends_on_scopes_even_without_taking_them() -> None:
    plain = Dependant(print, parent_oauth_scopes=("a",))
    scheme = Dependant(print, parent_oauth_scopes=("a",), is_scheme=True)
    assert (plain.cache_key[1], scheme.cache_key[1]) == ((), ("a",))


def test_lifetimes_have_values_of_their_own() -> None:
    def generator() -> Any:
        yield

    keys = [Dependant(generator, lifetime=one).cache_key[2] for one in (None, "request", "function")]
    assert keys == ["request", "request", "function"]
    assert [Dependant(print, lifetime=one).cache_key[2] for one in (None, "request")] == ["", "request"]


def test_callables_share_a_value_when_they_are_equal_or_for_unhashable_ones_the_same() -> None:
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        key: str

        def __call__(self) -> str:
            return self.key

    @dataclasses.dataclass
    class Loose:
        key: str

        def __call__(self) -> str:
            return self.key

    loose = Loose("k")
    assert Dependant(Frozen("k")).cache_key == Dependant(Frozen("k")).cache_key
    assert Dependant(Frozen("k")).cache_key != Dependant(Frozen("l")).cache_key
    assert Dependant(loose).cache_key == Dependant(loose).cache_key
    assert Dependant(loose).cache_key != Dependant(Loose("k")).cache_key
    assert hash(Dependant(loose).cache_key) == hash(Dependant(loose).cache_key)


def test_security_scopes_are_a_list_and_its_text() -> None:
    scopes = SecurityScopes(["a", "b:c"])
    assert (scopes.scopes, scopes.scope_str) == (["a", "b:c"], "a b:c")
    assert (SecurityScopes().scopes, SecurityScopes().scope_str) == ([], "")
    assert repr(scopes) == "SecurityScopes(['a', 'b:c'])"


def test_a_dependant_is_shown_by_name_and_scopes_never_by_its_contents() -> None:
    class Guard:
        def __init__(self) -> None:
            self.secret = "s3cret"

        def __repr__(self) -> str:
            return self.secret

        def __call__(self) -> None: ...

    shown = repr(Dependant(functools.partial(Guard(), password="s3cret"), own_oauth_scopes=("a", "b")))
    assert "s3cret" not in shown
    assert shown.endswith("Guard [a b]>")


def test_a_tree_that_was_read_and_one_that_was_built_are_alike() -> None:
    def leaf(ss: SecurityScopes) -> None: ...

    edge = Edge(leaf, ["b"])

    def top(x: Any = edge) -> None: ...

    read = Reader(lambda one: one if isinstance(one, Edge) else None).read(top, own_oauth_scopes=["a"])
    child = Dependant(leaf, "x", ("b",), ("a",), scopes_parameters=("ss",))
    built = Dependant(top, None, ("a",), dependencies=(child,))
    assert [d.cache_key for d in read.walk()] == [d.cache_key for d in built.walk()]
