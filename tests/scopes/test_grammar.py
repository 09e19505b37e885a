"""Scopes are text of one exact grammar; sets of them are values."""

import copy
import enum
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick import InvalidScope, ScopeSet, all_of
from bailiwick.scopes.grammar import SHOWN, check_scope

# RFC 6749 section 3.3, written out a second time: %x21 / %x23-5B / %x5D-7E.
LEGAL = [chr(code) for code in [0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)]]
tokens = st.text(st.sampled_from(LEGAL), min_size=1, max_size=12)
token_lists = st.lists(tokens, max_size=8)

HOSTILE = {
    "a tab": "users:read\tadmin",
    "a line feed": "users:read\nadmin",
    "a trailing line feed": "users:read\n",
    "a carriage return": "users:read\radmin",
    "a NUL": "users:read\0",
    "a form feed": "users:read\x0cadmin",
    "a unit separator, at which str.split splits": "users:read\x1fadmin",
    "a next line": "users:read\x85admin",
    "a no-break space": "users:read\xa0admin",
    "an en quad": "users:read\u2000admin",
    "a zero-width space": "users:read\u200badmin",
    "a line separator": "users:read\u2028admin",
    "an ideographic space": "users:read\u3000admin",
    "a byte order mark": "\ufeffusers:read",
    "full-width letters": "\uff41\uff44\uff4d\uff49\uff4e",
    "a full-width colon": "users\uff1aread",
    "a full-width asterisk": "users:\uff0a",
    "a Cyrillic letter": "\u0430dmin",
    "a combining accent": "admin\u0301",
    "a right-to-left override": "\u202enimda",
    "a quote": 'users:"read"',
    "a backslash": "users\\read",
    "a delete character": "users\x7f",
    "a lone surrogate": "users\ud800",
    "an emoji": "users:\U0001f600",
    "a leading space": " users:read",
    "a trailing space": "users:read ",
    "two spaces": "users:read  admin",
    "one space alone": " ",
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_and_never_split_or_trimmed(text):
    with pytest.raises(InvalidScope) as refused:
        ScopeSet.parse(text)
    assert refused.value.id == "BW101"
    assert refused.value.code == "invalid_scope"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_refused_as_an_item_of_a_list_too(text):
    with pytest.raises(InvalidScope):
        ScopeSet(["users:read", text])
    with pytest.raises(InvalidScope):
        ScopeSet.from_claim(["users:read", text])


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_message_about_hostile_text_is_plain_printable_ascii(text):
    with pytest.raises(InvalidScope) as refused:
        check_scope(text)
    assert refused.value.description.isascii()
    assert refused.value.description.isprintable()


def test_a_message_repeats_only_the_beginning_of_an_endless_scope():
    with pytest.raises(InvalidScope) as refused:
        check_scope("\xe9" * 100_000)
    assert len(refused.value.description) < 6 * SHOWN + 120


@pytest.mark.parametrize("code", range(0x80))
def test_each_ascii_character_is_allowed_exactly_where_the_rfc_allows_it(code):
    if chr(code) in LEGAL:
        assert check_scope(chr(code)) == chr(code)
    else:
        with pytest.raises(InvalidScope):
            check_scope(chr(code))


@given(st.text(max_size=6))
def test_any_text_is_a_scope_exactly_when_each_of_its_characters_is_legal(text):
    if text and all(character in LEGAL for character in text):
        assert check_scope(text) == text
    else:
        with pytest.raises(InvalidScope):
            check_scope(text)


@given(st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.binary(), st.lists(tokens)))
def test_what_is_not_text_is_no_scope(value):
    with pytest.raises(InvalidScope):
        check_scope(value)


@given(token_lists)
def test_a_set_survives_being_written_and_parsed(names):
    scopes = ScopeSet(names)
    assert ScopeSet.parse(str(scopes)) == scopes
    assert list(ScopeSet.parse(str(scopes))) == list(dict.fromkeys(names))


@given(token_lists)
def test_a_set_survives_its_repr_a_pickle_and_a_copy(names):
    scopes = ScopeSet(names)
    for again in (eval(repr(scopes)), pickle.loads(pickle.dumps(scopes)), copy.deepcopy(scopes), copy.copy(scopes)):
        assert again == scopes
        assert list(again) == list(scopes)
        assert type(again) is ScopeSet


@given(token_lists, token_lists)
def test_sets_obey_the_laws_of_sets_whatever_the_order(left, right):
    a, b = ScopeSet(left), ScopeSet(right)
    assert a & b == set(left) & set(right)
    assert a | b == set(left) | set(right)
    assert a - b == set(left) - set(right)
    assert a ^ b == set(left) ^ set(right)
    assert (a <= b) is (set(left) <= set(right))
    assert (a == b) is (set(left) == set(right))
    assert a & b == b & a
    assert type(a & b) is type(a | b) is type(a - b) is type(a ^ b) is ScopeSet
    if a == b:
        assert hash(a) == hash(b)


@given(token_lists)
def test_a_set_equals_and_hashes_like_the_plain_set_of_its_names(names):
    assert ScopeSet(names) == frozenset(names)
    assert frozenset(names) == ScopeSet(names)
    assert hash(ScopeSet(names)) == hash(frozenset(names))


@given(token_lists, token_lists)
def test_an_intersection_and_a_union_keep_the_order_of_the_left_side(left, right):
    a, b = ScopeSet(left), ScopeSet(right)
    assert list(a & b) == [name for name in dict.fromkeys(left) if name in right]
    assert list(a | b) == list(dict.fromkeys([*left, *right]))


def test_the_empty_text_is_the_empty_set():
    assert ScopeSet.parse("") == ScopeSet()
    assert str(ScopeSet()) == ""
    assert not ScopeSet()


def test_a_name_given_twice_is_held_once():
    assert str(ScopeSet.parse("b a b")) == "b a"


@pytest.mark.parametrize("text", ["admin", b"admin", ""])
def test_one_text_is_not_a_list_of_one_letter_scopes(text):
    with pytest.raises(InvalidScope) as refused:
        ScopeSet(text)
    assert refused.value.id == "BW104"


def test_one_text_is_no_operand_of_a_set_either():
    held = ScopeSet.parse("a d users:read")
    for operation in (
        lambda: held | "admin",
        lambda: "admin" | held,
        lambda: held & "admin",
        lambda: "admin" & held,
        lambda: held | b"admin",
        lambda: held & 5,
        lambda: held | 5,
        lambda: held | ["b"],
        lambda: held & all_of("a"),
        lambda: held | all_of("a"),
    ):
        with pytest.raises(TypeError):
            operation()
    with pytest.raises(InvalidScope):
        held - "admin"
    with pytest.raises(InvalidScope):
        held ^ "admin"


def test_a_union_with_a_foreign_set_checks_what_it_takes_in():
    with pytest.raises(InvalidScope):
        ScopeSet(["a"]) | {"b c"}
    assert ScopeSet(["a"]) | {"b"} == {"a", "b"}
    assert {"b"} | ScopeSet(["a"]) == {"a", "b"}
    assert {"b", "a"} & ScopeSet(["a"]) == {"a"}


def test_an_enum_member_that_is_text_stands_for_its_text():
    class Permission(str, enum.Enum):  # noqa: UP042 - the form that has the trap
        READ = "users:read"

    assert str(Permission.READ) == "Permission.READ"  # the trap
    assert list(ScopeSet([Permission.READ])) == ["users:read"]
    assert type(check_scope(Permission.READ)) is str
    assert all_of(Permission.READ) == all_of("users:read")
    assert Permission.READ in ScopeSet.parse("users:read")


def test_a_set_cannot_be_changed():
    scopes = ScopeSet.parse("a b")
    with pytest.raises(AttributeError):
        scopes._names = ("admin",)
    with pytest.raises(AttributeError):
        scopes.anything = 1
    assert list(scopes) == ["a", "b"]


class TestTheScopeClaim:
    def test_is_read_as_text_or_as_a_list(self):
        assert ScopeSet.from_claim("a b") == ScopeSet.from_claim(["b", "a"]) == ScopeSet.parse("a b")

    @pytest.mark.parametrize("claim", [None, True, 1, 1.5, {"a": 1}, ("a",), {"a"}, b"a"], ids=repr)
    def test_of_another_type_is_refused(self, claim):
        with pytest.raises(InvalidScope) as refused:
            ScopeSet.from_claim(claim)
        assert refused.value.id == "BW211"

    @pytest.mark.parametrize("item", [None, True, 1, ["a"], {"a": 1}, "", "a b"], ids=repr)
    def test_with_an_item_that_is_not_one_scope_is_refused_and_not_split(self, item):
        with pytest.raises(InvalidScope):
            ScopeSet.from_claim(["users:read", item])

    @given(st.lists(tokens, max_size=6))
    def test_as_text_and_as_a_list_mean_the_same(self, names):
        assert ScopeSet.from_claim(" ".join(names)) == ScopeSet.from_claim(names)
