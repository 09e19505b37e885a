"""base64url and JSON have one reading, or none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.tokens.encoding import MAX_DEPTH, MAX_DIGITS, Malformed, decode, encode, read_json, write_json

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.binary(max_size=200))
def test_octets_survive_base64url(raw):
    assert decode(encode(raw)) == raw


@given(st.text(alphabet="AQgw9-_+/= \nÀ", max_size=8))
def test_a_base64url_text_is_canonical_or_refused(text):
    try:
        raw = decode(text)
    except Malformed:
        return
    assert encode(raw) == text


@pytest.mark.parametrize("text", ["A", "AB", "AAB", "AA==", "A A", "AA\n", "+/AA", "AA.A", "ÀAAA", "AAAAA"])
def test_a_lax_base64_text_is_refused(text):
    with pytest.raises(Malformed):
        decode(text)


# What Python's own decoders let pass or skip, besides what looks like a letter and is none.
HOSTILE = st.text(alphabet="AQgw9-_+/=\n\r\t \0\x7f.\x80\xff\u212a\ud800\udfff\U0001d54f", max_size=12)


@given(HOSTILE | st.text(max_size=12))
def test_a_text_is_taken_exactly_if_it_is_in_the_alphabet_and_the_one_form_of_its_octets(text):
    octets = octets_of(text)
    if octets is not None and encode(octets) == text:
        assert decode(text) == octets
    else:
        with pytest.raises(Malformed) as refused:
            decode(text)
        assert str(refused.value) in {"not base64url", "not canonical base64url"}


def octets_of(text):
    """What a text in the alphabet stands for, found without a decoder: six bits for each character."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if any(char not in alphabet for char in text):
        return None
    bits = "".join(f"{alphabet.index(char):06b}" for char in text)
    return bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))


@pytest.mark.parametrize("good", ["AAAA", "AAAAAA", "AAAAAAA", "AAAAAAAA"])
def test_a_foreign_character_is_refused_wherever_it_stands(good):
    foreign = [char for char in map(chr, range(256)) if octets_of(char) is None]
    assert len(foreign) == 192
    for char in foreign:
        for at in range(len(good) + 1):
            for text in (good[:at] + char + good[at:], good[:at] + char + good[at + 1 :]):
                with pytest.raises(Malformed):
                    decode(text)


@given(VALUES)
def test_json_survives(value):
    assert read_json(write_json(value)) == value
    assert read_json(json.dumps(value).encode()) == value


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b" ",
        b"{",
        b"{}{}",
        b"{'a':1}",
        b'{"a":1,}',
        b"[NaN]",
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e400]",
        b"[-1e400]",
        b"1" * (MAX_DIGITS + 1),
        b"0." + b"1" * MAX_DIGITS,
        b'{"a":1,"a":1}',
        b'{"a":1,"\\u0061":1}',
        b'[{"b":{"a":1,"a":2}}]',
        b'"\\ud800"',
        b'{"\\udfff":1}',
        b'"\\ud800\\u0041"',
        b'"\xed\xa0\x80"',
        b'"\xc0\x80"',
        b'"\xff"',
        b'"a\nb"',
        b"\xef\xbb\xbf{}",
        "{}".encode("utf-16"),
        "{}".encode("utf-16-le"),
        "{}".encode("utf-32"),
        b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1),
        b'{"a":' * (MAX_DEPTH + 1) + b"1" + b"}" * (MAX_DEPTH + 1),
        b"[" * 1_000_000,
    ],
)
def test_a_json_text_with_two_readings_or_none_is_refused(raw):
    with pytest.raises(Malformed) as refused:
        read_json(raw)
    assert refused.value.__cause__ is None
    assert len(str(refused.value)) < 40


def test_brackets_inside_text_are_not_levels():
    assert read_json(json.dumps(["[{" * 100, '\\"[[', "]]"]).encode()) == ["[{" * 100, '\\"[[', "]]"]


def test_many_values_side_by_side_are_not_deep():
    assert read_json(b"[" + b",".join([b"[]"] * 100) + b"]") == [[]] * 100


def test_the_deepest_text_that_is_taken_is_read():
    depth = MAX_DEPTH
    assert read_json(b"[" * depth + b"]" * depth)


def test_a_surrogate_pair_is_one_character():
    assert read_json(b'"\\ud83d\\ude00"') == "\U0001f600"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", {"a": ["\udfff"]}])
def test_what_no_verifier_would_read_is_not_written(value):
    with pytest.raises(ValueError):  # noqa: PT011 - UnicodeEncodeError is one
        write_json(value)


@given(st.binary(max_size=60))
def test_any_octets_are_read_or_malformed(raw):
    try:
        read_json(raw)
    except Malformed:
        return
    json.loads(raw.decode())
