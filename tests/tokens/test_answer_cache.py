"""What a verifier remembers is bounded in bytes, and not only in number."""

import asyncio
import tracemalloc

from bailiwick.scopes import Principal, ScopeSet
from bailiwick.tokens.answer_cache import AnswerCache
from bailiwick.tokens.jws import MAX_HEADER
from bailiwick.tokens.verify import MAX_REMEMBERED

WHO = Principal("ada", ScopeSet(["a"]))


def test_three_thousand_large_tokens_leave_a_bounded_memory(world):
    verifier = world.verifier(cache_size=10_000)
    padding = {f"claim{number}": "x" for number in range(800)}
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for number in range(600):
            asyncio.run(verifier.verify(world.token(jti=f"j-{number}", **padding)))
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    text = sum(size for _, _, size in verifier._remembered.answers.values())
    assert 0 < text <= MAX_REMEMBERED
    # Without the bound it is three times as much, and grows with the number of tokens.
    assert kept < 8 * MAX_REMEMBERED


def test_the_oldest_answers_make_room_for_a_long_one():
    cache = AnswerCache(100, 1_000)
    for number in range(10):
        cache.keep(bytes([number]), WHO, 1.0, 100)
    cache.keep(b"long", WHO, 1.0, 450)
    assert list(cache.answers) == [bytes([number]) for number in range(5, 10)] + [b"long"]


def test_what_alone_is_beyond_the_bound_is_not_kept_and_pushes_nothing_out():
    cache = AnswerCache(100, 1_000)
    cache.keep(b"a", WHO, 1.0, 100)
    cache.keep(b"b", WHO, 1.0, 1_001)
    assert list(cache.answers) == [b"a"]


def test_dropped_and_repeated_answers_are_not_counted_twice():
    cache = AnswerCache(100, 1_000)
    for _ in range(50):
        cache.keep(b"a", WHO, 1.0, 900)
    cache.drop(b"a")
    cache.drop(b"a")
    cache.keep(b"b", WHO, 1.0, 1_000)
    assert list(cache.answers) == [b"b"]
    cache.clear()
    cache.keep(b"c", WHO, 1.0, 1_000)
    assert len(cache) == 1


def test_a_header_beyond_its_bound_is_refused_before_it_is_parsed(world, monkeypatch):
    import pytest

    from bailiwick.errors import InvalidToken
    from bailiwick.tokens import jws
    from bailiwick.tokens.encoding import encode

    def read_json(_raw):
        raise AssertionError("it was parsed")

    monkeypatch.setattr(jws, "read_json", read_json)
    with pytest.raises(InvalidToken, match="header is too long"):
        jws.read(encode(b"{" + b" " * MAX_HEADER + b"}") + ".e30.AAAA")
