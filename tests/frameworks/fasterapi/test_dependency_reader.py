"""What a signature says, in every form in which users write one; and what cannot be read is said aloud."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import random
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import pytest

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.graph import Dependant, Edge, Parameter, SecurityScopes
from bailiwick.graph.signature import metadata_in, read_signature, unresolved_in

if TYPE_CHECKING:
    from decimal import Decimal


@dataclasses.dataclass(frozen=True, eq=False)
class Depends:
    call: Any = None
    scopes: Any = None


def edge_of(marker: object) -> Edge | None:
    return Edge(marker.call, marker.scopes, marker=marker) if isinstance(marker, Depends) else None


def read(call: Callable[..., Any], **rules: Any) -> Dependant:
    scopes = {name: rules.pop(name) for name in ("own_oauth_scopes", "parent_oauth_scopes") if name in rules}
    return Reader(edge_of, **rules).read(call, **scopes)


def names(tree: Dependant) -> dict[str, list[str]]:
    return {
        "dependencies": [str(one.name) for one in tree.dependencies],
        "parameters": [one.name for one in tree.parameters],
        "scopes": list(tree.scopes_parameters),
    }


def leaf() -> str:
    return "leaf"


ALL = {"dependencies": ["a", "d"], "parameters": ["q"], "scopes": ["ss"]}


def function(a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> None: ...


async def coroutine(a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> None: ...


def generator(a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> Any:
    yield


class Made:
    def __init__(
        self, a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)
    ) -> None: ...


class Called:
    def __call__(
        self, a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)
    ) -> None: ...

    def method(self, a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> None: ...

    @classmethod
    def of_class(cls, a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> None: ...

    @staticmethod
    def static(a: Annotated[str, Depends(leaf)], q: int, ss: SecurityScopes, d: str = Depends(leaf)) -> None: ...


@dataclasses.dataclass
class Record:
    a: Annotated[str, Depends(leaf)]
    q: int
    ss: SecurityScopes
    d: str = Depends(leaf)


@functools.wraps(function)
def wrapper(*args: Any, **kwargs: Any) -> None: ...


def with_more(
    x: str,
    a: Annotated[str, Depends(leaf)],
    q: int,
    ss: SecurityScopes,
    d: str = Depends(leaf),
    *,
    k: str = Depends(leaf),
) -> None: ...


@pytest.mark.parametrize(
    "call",
    [
        function,
        coroutine,
        generator,
        Made,
        Called(),
        Called().method,
        Called.of_class,
        Called.static,
        Record,
        wrapper,
        functools.partial(with_more, "x", k="k"),
        functools.partial(functools.partial(with_more, k="k"), "x"),
        functools.partial(with_more, x="x", k="k"),
        functools.update_wrapper(functools.partial(with_more, "x", k="k"), with_more),
        functools.partial(functools.wraps(with_more)(lambda *args, **kwargs: None), "x", k="k"),
    ],
    ids=lambda call: getattr(call, "__qualname__", type(call).__name__),
)
def test_every_form_of_callable_is_read_with_annotations_that_are_text(call: Callable[..., Any]) -> None:
    tree = read(call)
    assert names(tree) == ALL
    assert tree.unresolved == ()


def test_a_bound_argument_is_no_parameter_even_where_it_would_have_been_a_dependency() -> None:
    assert names(read(functools.partial(function, d="bound", ss=None))) == {
        "dependencies": ["a"],
        "parameters": ["q"],
        "scopes": [],
    }


def test_a_partial_that_does_not_fit_its_function_is_refused_at_start() -> None:
    with pytest.raises(ConfigurationError, match="does not fit") as refusal:
        read(functools.partial(leaf, "too many"))
    assert refusal.value.id == "BW122"


def test_a_parameter_keeps_what_a_door_needs_to_fill_it() -> None:
    def call(p: Annotated[int, "doc"], /, q: str = "default", *rest: int, **more: str) -> None: ...

    first, second = read(call).parameters
    assert (first.name, first.annotation, first.metadata, first.required) == ("p", int, ("doc",), True)
    assert (first.positional_only, second.positional_only) == (True, False)
    assert (second.default, second.required, second.owner) == ("default", False, call)
    assert isinstance({first: 1}, dict)
    assert first != Parameter(**{f.name: getattr(first, f.name) for f in dataclasses.fields(first)})


def test_nested_annotated_and_optional_scopes_are_read() -> None:
    alias = Annotated[str, Depends(leaf)]

    def call(
        a: Annotated[alias, "doc"],
        b: Optional[SecurityScopes] = None,  # noqa: UP045 - the older spelling
        c: SecurityScopes | None = None,
        d: Annotated[SecurityScopes, "doc"] = None,
        e: Optional[str] = None,  # noqa: UP045 - the older spelling
    ) -> None:
        assert alias

    assert names(read(call)) == {"dependencies": ["a"], "parameters": ["e"], "scopes": ["b", "c", "d"]}


def test_the_callable_is_taken_from_the_annotation_where_the_marker_names_none() -> None:
    def by_default(x: Made = Depends(scopes=["s"])) -> None: ...
    def annotated(x: Annotated[Made, Depends(scopes=["s"])]) -> None: ...

    for call in (by_default, annotated):
        child = read(call).dependencies[0]
        assert (child.call, child.own_oauth_scopes) == (Made, ("s",))


@pytest.mark.parametrize("annotation", ["Missing", inspect.Parameter.empty, 3])
def test_a_marker_without_a_callable_on_a_parameter_that_names_none_is_refused(annotation: object) -> None:
    def call(x: Any = Depends()) -> None: ...

    call.__annotations__.clear()
    if annotation is not inspect.Parameter.empty:
        call.__annotations__["x"] = annotation
    with pytest.raises(ConfigurationError, match="cannot be called") as refusal:
        read(call)
    assert refusal.value.id == "BW122"
    assert "test_dependency_reader" in refusal.value.description


# --- annotations that stay text -------------------------------------------------------------------


def local_guard(uses_it: bool) -> Callable[..., Any]:
    def deny() -> None:
        raise PermissionError

    if uses_it:

        def endpoint(user: Annotated[str | None, Depends(deny)] = None) -> None:
            assert deny

    else:

        def endpoint(user: Annotated[str | None, Depends(deny)] = None) -> None: ...

    return endpoint


def test_a_guard_that_only_a_local_scope_knows_is_reported_not_taken_for_a_parameter() -> None:
    tree = read(local_guard(uses_it=False))
    assert tree.dependencies == ()
    (hidden,) = tree.unresolved
    assert (hidden.parameter, hidden.text) == ("user", "Annotated[str | None, Depends(deny)]")
    assert (hidden.suspicious, hidden.required) == (True, False)


def test_closures_are_searched_only_for_a_door_that_runs_the_tree_itself() -> None:
    endpoint = local_guard(uses_it=True)
    assert names(read(endpoint)) == {"dependencies": ["user"], "parameters": [], "scopes": []}
    as_its_framework = read(endpoint, closures=False)
    assert as_its_framework.dependencies == ()
    assert [one.suspicious for one in as_its_framework.unresolved] == [True]


def test_a_name_that_only_a_type_checker_knows_takes_no_guard_with_it() -> None:
    def call(price: Decimal, a: Annotated[str, Depends(leaf)], ss: SecurityScopes) -> None: ...

    tree = read(call, closures=False)
    assert names(tree) == {"dependencies": ["a"], "parameters": ["price"], "scopes": ["ss"]}
    assert [(one.text, one.suspicious, one.required) for one in tree.unresolved] == [("Decimal", False, True)]


def test_the_same_on_a_class_an_instance_a_method_and_a_partial() -> None:
    class Guarded:
        def __init__(self, price: Decimal | None = None, a: Annotated[str | None, Depends(leaf)] = None) -> None: ...
        def __call__(self, price: Decimal | None = None, a: Annotated[str | None, Depends(leaf)] = None) -> None: ...
        def method(self, price: Decimal | None = None, a: Annotated[str | None, Depends(leaf)] = None) -> None: ...

    for call in (Guarded, Guarded(), Guarded().method, functools.partial(Guarded().method), functools.partial(Guarded)):
        assert names(read(call)) == {"dependencies": ["a"], "parameters": ["price"], "scopes": []}
        assert [one.text for one in read(call).unresolved] == ["Decimal | None"]


def test_a_single_callable_tells_its_text_annotations_as_its_framework_meets_them() -> None:
    assert [one.parameter for one in unresolved_in(read_signature(local_guard(uses_it=True), closures=False))] == [
        "user"
    ]
    assert not list(unresolved_in(read_signature(function, closures=False)))


def test_a_closure_that_is_not_filled_yet_hides_nothing_else() -> None:
    def call(x: Annotated[str, Depends(leaf)], y: Annotated[str, Depends(later)] = "") -> None:
        assert later

    tree = read(call)
    later = leaf
    assert names(tree) == {"dependencies": ["x"], "parameters": ["y"], "scopes": []}
    assert names(read(call))["dependencies"] == ["x", "y"]


def test_text_inside_an_annotation_is_reported_and_literals_are_not() -> None:
    def call(a: Any, b: Any, c: Any, d: Any) -> None: ...

    call.__annotations__ |= {
        "a": list["Principal"],  # noqa: F821 - unknown on purpose
        "b": Literal["guard"],
        "c": Annotated[int, "the guard's id"],
        "d": Optional["Annotated[int, Depends(x)]"],  # noqa: F821 - ditto
    }
    assert [(one.parameter, one.text) for one in read(call).unresolved] == [
        ("a", "Principal"),
        ("d", "Annotated[int, Depends(x)]"),
    ]


@pytest.mark.parametrize(
    ("text", "suspicious"),
    [
        ("Annotated[str, Depends(deny)]", True),
        ("Annotated[str, Security(deny, scopes=['a'])]", True),
        ("guard.optional()", True),
        ("Caller", True),
        ("SecurityScopes2", True),
        ("Decimal", False),
        ("Path | None", False),
        ("1 +", False),
    ],
)
def test_text_that_looks_like_a_guard_is_told_from_text_that_does_not(text: str, suspicious: bool) -> None:
    def call(x: Any = None) -> None: ...

    call.__annotations__ = {"x": text.replace("Depends", "Depends_").replace("Security(", "Security_(")}
    (one,) = read(call).unresolved
    assert one.suspicious is suspicious


def test_an_annotation_whose_evaluation_fails_in_any_way_stays_text() -> None:
    def call(x: Any = None, a: Annotated[str | None, Depends(leaf)] = None) -> None: ...

    call.__annotations__["x"] = "1 / 0"
    tree = read(call)
    assert names(tree) == {"dependencies": ["a"], "parameters": ["x"], "scopes": []}
    assert [one.text for one in tree.unresolved] == ["1 / 0"]


# --- aliases: `type X = ...`, and what stands for it before Python 3.12 ----------------------------

BEFORE_312 = """
from typing import TypeVar
from typing_extensions import TypeAliasType
T = TypeVar("T")
Word = TypeAliasType("Word", Annotated[str, mark])
Again = TypeAliasType("Again", Word)
Words = TypeAliasType("Words", list[Word])
Marked = TypeAliasType("Marked", Annotated[T, mark], type_params=(T,))
Pair = TypeAliasType("Pair", tuple[T, T], type_params=(T,))
Texts = TypeAliasType("Texts", list["Word"])
Json = TypeAliasType("Json", "dict[str, Json] | list[Json] | int | None")
Trees = TypeAliasType("Trees", "list[Leaves] | None")
Leaves = TypeAliasType("Leaves", "tuple[Trees, Annotated[int, mark]] | int")
Unknown = TypeAliasType("Unknown", "list[Bosss]")
"""

SINCE_312 = """
type Word = Annotated[str, mark]
type Again = Word
type Words = list[Word]
type Marked[T] = Annotated[T, mark]
type Pair[T] = tuple[T, T]
type Texts = list["Word"]
type Json = dict[str, Json] | list[Json] | int | None
type Trees = list[Leaves] | None
type Leaves = tuple[Trees, Annotated[int, mark]] | int
type Unknown = list[Bosss]
"""


@pytest.fixture(params=[BEFORE_312, SINCE_312] if sys.version_info >= (3, 12) else [BEFORE_312])
def aliases(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    module = SimpleNamespace(__name__="aliases", Annotated=Annotated, mark=Depends(leaf))
    monkeypatch.setitem(sys.modules, "aliases", module)
    exec(compile(request.param, "aliases.py", "exec", dont_inherit=True), vars(module))
    return module


def annotated(annotation: Any) -> Callable[..., Any]:
    def call(x: Any = None) -> None: ...

    call.__annotations__["x"] = annotation
    return call


def test_what_an_alias_stands_for_is_read_through_every_alias_of_it(aliases: SimpleNamespace) -> None:
    for alias in (aliases.Word, aliases.Again):
        assert [one.call for one in read(annotated(alias)).dependencies] == [leaf]


def test_a_marker_is_found_wherever_it_stands_in_an_alias(aliases: SimpleNamespace) -> None:
    for annotation in (
        aliases.Words,
        aliases.Marked[int],
        aliases.Pair[aliases.Word],
        list[aliases.Pair[aliases.Pair[aliases.Marked[str]]]],
        aliases.Texts,
        aliases.Trees,
        aliases.Leaves,
    ):
        assert list(metadata_in(annotation)) == [aliases.mark], annotation
        assert names(read(annotated(annotation))) == {"dependencies": [], "parameters": ["x"], "scopes": []}


def test_an_alias_that_leads_back_to_itself_is_read_to_its_end(aliases: SimpleNamespace) -> None:
    for annotation in (aliases.Json, list[aliases.Json], aliases.Pair[aliases.Json], Annotated[aliases.Json, "x"]):
        tree = read(annotated(annotation))
        assert ([one.name for one in tree.parameters], tree.unresolved) == (["x"], ())
        assert aliases.mark not in metadata_in(annotation)


def test_an_alias_of_a_name_that_nobody_knows_is_reported_as_text(aliases: SimpleNamespace) -> None:
    for annotation in (aliases.Unknown, list[aliases.Unknown]):
        (one,) = read(annotated(annotation)).unresolved
        assert one.text in {"Unknown", "list[Bosss]"}
        assert not list(metadata_in(annotation))


# --- what is refused ------------------------------------------------------------------------------


def first(x: Annotated[str, Depends(lambda y=Depends(leaf): y)], z: Annotated[str, Depends(leaf)]) -> None: ...


def turn(x: Annotated[str, Depends(turn_back)]) -> None: ...


def turn_back(x: Annotated[str, Depends(turn)]) -> None: ...


class Turning:
    def method(self, x: Annotated[str, Depends(turning.method)]) -> None: ...


turning = Turning()


@pytest.mark.parametrize("call", [turn, turning.method])
def test_a_cycle_of_dependencies_is_named_not_followed(call: Callable[..., Any]) -> None:
    with pytest.raises(ConfigurationError, match="cycle") as refusal:
        read(call)
    assert refusal.value.id == "BW122"
    assert refusal.value.description.endswith(f"{call.__qualname__}.")
    assert refusal.value.description.count(f"{call.__qualname__} -> ") == 1


def test_a_tree_without_end_is_refused() -> None:
    def endless(marker: object) -> Edge | None:
        return Edge(functools.partial(grow)) if marker == "more" else None

    def grow(x: Any = "more") -> None: ...

    with pytest.raises(ConfigurationError, match="nested") as refusal:
        Reader(endless).read(grow)
    assert refusal.value.id == "BW122"


def test_one_dependency_in_two_branches_is_no_cycle() -> None:
    assert len(list(read(first).walk())) == 4


@pytest.mark.parametrize(
    ("scopes", "id"),
    [
        ("admin", "BW104"),
        (b"admin", "BW104"),
        ("", "BW104"),
        ([], "BW103"),
        ((), "BW103"),
        (set(), "BW103"),
        ({}, "BW103"),
        ((one for one in ["a"]), "BW104"),
        (iter(["a"]), "BW104"),
        (["a b"], "BW101"),
        (["a", ""], "BW101"),
        ([1], "BW101"),
        ([None], "BW101"),
        (["é"], "BW101"),
    ],
)
def test_scopes_that_say_nothing_or_something_else_are_refused_by_the_callables_name(scopes: Any, id: str) -> None:
    def call(x: str = Depends(leaf, scopes)) -> None: ...

    with pytest.raises(ConfigurationError, match=r"test_dependency_reader\.leaf") as refusal:
        read(call)
    assert refusal.value.id == id
    with pytest.raises(ConfigurationError, match=r"test_dependency_reader\.leaf"):
        Reader(edge_of).read_marker(Depends(leaf, scopes))


@pytest.mark.parametrize(("scopes", "own"), [("ad", ("a", "d")), ([], ()), (["a b"], ("a b",))])
def test_a_lax_reader_sees_what_a_lax_framework_makes_of_them(scopes: Any, own: tuple[str, ...]) -> None:
    def call(x: str = Depends(leaf, scopes)) -> None: ...

    assert read(call, strict=False).dependencies[0].own_oauth_scopes == own


def test_scopes_keep_their_order_and_a_set_that_has_none_is_sorted() -> None:
    order = [f"s{index}" for index in range(20)]
    random.Random(7).shuffle(order)
    assert read(leaf, own_oauth_scopes=order).oauth_scopes == tuple(order)
    assert read(leaf, own_oauth_scopes=set(order)).oauth_scopes == tuple(sorted(order))


def test_a_text_given_as_own_scopes_is_refused_too() -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(leaf, own_oauth_scopes="admin")
    assert refusal.value.id == "BW104"


def test_a_list_that_is_changed_after_declaration_changes_nothing() -> None:
    scopes = ["a"]
    tree = Reader(edge_of).read_marker(Depends(leaf, scopes))
    scopes.append("late")
    assert tree.oauth_scopes == ("a",)


def test_two_dependencies_in_one_annotated_are_refused_because_one_would_never_run() -> None:
    def deny() -> None: ...
    def call(x: Any) -> None: ...

    call.__annotations__["x"] = Annotated[str, Depends(deny), Depends(leaf)]
    with pytest.raises(ConfigurationError) as refusal:
        read(call)
    assert refusal.value.id == "BW123"
    assert [one.call for one in read(call, strict=False).dependencies] == [leaf]


def test_a_dependency_in_annotated_and_another_as_default_are_refused() -> None:
    def call(x: Annotated[str, Depends(leaf)] = Depends(leaf)) -> None: ...

    for strict in (True, False):
        with pytest.raises(ConfigurationError) as refusal:
            read(call, strict=strict)
        assert refusal.value.id == "BW122"


def test_a_wrapper_that_hides_its_signature_is_refused_and_one_with_more_parameters_is_not() -> None:
    def hides(*args: Any, **kwargs: Any) -> None: ...
    def shows(ss: SecurityScopes, *args: Any, **kwargs: Any) -> None: ...

    with pytest.raises(ConfigurationError, match=r"functools\.wraps") as refusal:
        read(hides)
    assert refusal.value.id == "BW122"
    assert names(read(shows)) == names(read(hides, strict=False)) | {"scopes": ["ss"]}


def test_a_callable_without_a_signature_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no signature") as refusal:
        read(type("Odd", (), {"__call__": len, "__signature__": "odd"})())
    assert refusal.value.id == "BW122"


def test_a_long_lived_generator_cannot_rest_on_what_is_left_earlier() -> None:
    def short() -> Any:
        yield

    short_edge = Edge(short, lifetime="function")

    def long(x: Any = short_edge) -> Any:
        yield

    def plain(x: Any = short_edge) -> None: ...

    reader = Reader(lambda one: one if isinstance(one, Edge) else None)
    with pytest.raises(ConfigurationError, match="as soon as the function returns"):
        reader.read(long)
    assert reader.read(long, lifetime="function").dependencies[0].lifetime == "function"
    assert reader.read(plain).dependencies[0].lifetime == "function"


@pytest.mark.parametrize("marker", ["no marker", Depends()])
def test_a_root_must_be_a_dependency_that_names_its_callable(marker: object) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        Reader(edge_of).read_marker(marker)
    assert refusal.value.id == "BW122"


def test_a_root_has_no_parents_no_name_and_keeps_what_was_declared() -> None:
    root = Reader(lambda _: Edge(leaf, ["a"], use_cache=False, lifetime="function")).read_marker(object())
    assert (root.name, root.parent_oauth_scopes, root.own_oauth_scopes) == (None, (), ("a",))
    assert (root.use_cache, root.lifetime) == (False, "function")


def test_a_scheme_shows_through_partials_and_wrappers() -> None:
    class Scheme:
        def __call__(self, prefix: str = "") -> None: ...

    scheme = Scheme()
    for call in (scheme, functools.partial(scheme, prefix="x"), functools.wraps(scheme)(lambda: None)):
        assert read(call, is_scheme=lambda one: isinstance(one, Scheme)).is_scheme
    assert not read(leaf, is_scheme=lambda one: isinstance(one, Scheme)).is_scheme


def test_a_frameworks_own_scopes_type_is_filled_with_a_list() -> None:
    class Theirs:
        def __init__(self, scopes: list[str]) -> None:
            self.scopes = scopes

    def call(x: Any, ss: SecurityScopes) -> None: ...

    call.__annotations__["x"] = Theirs
    tree = read(call, scopes_type=Theirs)
    assert (tree.scopes_parameters, tree.scopes_type, [one.name for one in tree.parameters]) == (("x",), Theirs, ["ss"])
