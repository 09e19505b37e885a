"""Opaque tokens: 256 bits, of one kind, and nothing but the whole text is the token."""

from __future__ import annotations

import re
import secrets

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.errors import ConfigurationError
from bailiwick.tokens.opaque import ENTROPY_BYTES, Kind, digest, is_well_formed, mint, successor

SECRET = bytes(range(32))


def test_a_token_carries_all_the_randomness_that_it_was_given():
    asked: list[int] = []

    def source(count: int) -> bytes:
        asked.append(count)
        return secrets.token_bytes(count)

    tokens = {mint(source) for _ in range(1000)}
    assert len(tokens) == 1000
    assert set(asked) == {ENTROPY_BYTES} == {32}
    assert all(re.fullmatch(r"bwr_[A-Za-z0-9_-]{43}", token) for token in tokens)


@pytest.mark.parametrize("given_octets", [b"", bytes(31), bytes(33)])
def test_a_source_that_gives_another_number_of_octets_is_refused(given_octets):
    with pytest.raises(ConfigurationError):
        mint(lambda _: given_octets)


def test_kinds_have_prefixes_of_which_none_begins_another():
    assert len({kind.value for kind in Kind}) == len(Kind)
    assert not [(a, b) for a in Kind for b in Kind if a is not b and a.startswith(b)]


@pytest.mark.parametrize("kind", Kind)
def test_cve_2026_4282_a_value_of_one_kind_is_of_no_other(kind):
    token = mint(secrets.token_bytes, kind)
    assert [other for other in Kind if is_well_formed(token, other)] == [kind]
    body = token.removeprefix(kind)
    assert len({digest(other + body) for other in Kind}) == len(Kind)


@given(st.binary(min_size=32, max_size=32), st.data())
def test_cve_2026_27840_a_changed_token_is_an_unknown_token(raw, data):
    token = mint(lambda _: raw)
    known = digest(token)
    cut = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.characters())
    at = data.draw(st.integers(0, len(token) - 1))
    changed = [
        token[:cut],
        token[cut + 1 :],
        token + letter,
        letter + token,
        token[:at] + letter + token[at + 1 :],
        token[:at] + letter + token[at:],
        token.swapcase(),
        token.upper(),
        f"{token} ",
        f"{token}\n",
        f"{token}=",
    ]
    assert not [text for text in changed if text != token and digest(text) == known]
    assert not [
        text for text in (token[:cut], f"{token}A", f"{token}\n", f"{token}=", token.upper()) if is_well_formed(text)
    ]


def test_bits_that_belong_to_no_octet_make_another_text_and_so_no_token():
    token = mint(bytes)
    assert token.endswith("A")
    assert is_well_formed(token)
    assert not is_well_formed(token[:-1] + "B")
    assert digest(token[:-1] + "B") != digest(token)


@pytest.mark.parametrize("text", ["", "\ud800", "\x00", "é", "x" * 100_000])
def test_any_text_has_a_digest(text):
    assert re.fullmatch(r"[0-9a-f]{64}", digest(text))
    assert not is_well_formed(text)


def test_a_digest_is_the_sha_256_of_the_whole_text():
    assert digest("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_the_successor_is_the_same_however_often_it_is_asked_for():
    token = mint(secrets.token_bytes)
    made = {successor(SECRET, token, family="f-1", generation=2) for _ in range(10)}
    assert len(made) == 1
    assert is_well_formed(made.pop())


def test_the_successor_depends_on_everything():
    token = mint(bytes)
    base = successor(SECRET, token, family="f-1", generation=2)
    others = [
        successor(SECRET[::-1], token, family="f-1", generation=2),
        successor(SECRET, mint(secrets.token_bytes), family="f-1", generation=2),
        successor(SECRET, token, family="f-2", generation=2),
        successor(SECRET, token, family="f-1", generation=3),
        successor(SECRET, token, family="f-1", generation=2, kind=Kind.ACCESS),
    ]
    assert len({text[4:] for text in (base, *others)}) == 6


@given(st.text(), st.text(), st.text(), st.text())
def test_no_two_inputs_run_into_each_other(family, presented, other_family, other_presented):
    first = successor(SECRET, presented, family=family, generation=1)
    second = successor(SECRET, other_presented, family=other_family, generation=1)
    assert (first == second) == ((family, presented) == (other_family, other_presented))


def test_a_short_secret_derives_nothing():
    with pytest.raises(ConfigurationError) as refused:
        successor(bytes(31), "bwr_x", family="f", generation=1)
    assert refused.value.id == "BW110"


def test_a_generation_that_no_family_reaches_is_refused():
    for generation in (-1, 2**64):
        with pytest.raises(OverflowError):
            successor(SECRET, "bwr_x", family="f", generation=generation)
