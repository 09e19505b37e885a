"""The verifier's memory: bounded, never past `exp`, asked again on every presentation, and shared by threads."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from bailiwick.errors import InvalidToken, Unavailable
from bailiwick.scopes import Principal
from bailiwick.tokens import Key, Keyring, Signer, SigningKey, Verifier

START = 1_800_000_000.0


class Counting:
    """A source of keys that counts how often it is asked, which is how often a token is verified anew."""

    def __init__(self, *keys: SigningKey) -> None:
        self.ring = Keyring.from_keys(*keys)
        self.asked = 0

    async def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        self.asked += 1
        return self.ring.find_now(kid, alg)


def test_the_verifier_is_a_verifier_and_says_whom_it_trusts(world):
    verifier = world.verifier(leeway=5)
    assert isinstance(verifier, Verifier)
    assert (verifier.issuer, verifier.audience, verifier.leeway) == (
        "https://as.example",
        ("https://api.example",),
        5.0,
    )


def test_a_token_is_verified_once_and_remembered(world):
    keys = Counting(world.key)
    verifier = world.verifier(keys)
    token = world.token()
    assert verifier.verify_cached(token) is None
    caller = asyncio.run(verifier.verify(token))
    assert verifier.verify_cached(token) is caller
    assert asyncio.run(verifier.verify(token)) is caller
    assert keys.asked == 1


def test_nothing_is_remembered_of_a_refused_token(world):
    verifier = world.verifier()
    token = world.token(aud="https://other.example")
    for _ in range(2):
        with pytest.raises(InvalidToken):
            asyncio.run(verifier.verify(token))
    assert verifier.verify_cached(token) is None
    assert len(verifier._remembered) == 0


def test_a_remembered_answer_ends_at_exp_and_the_leeway_is_verified_anew(world):
    keys = Counting(world.key)
    verifier = world.verifier(keys, cache_seconds=3600)
    token = world.token(exp=int(START) + 100)
    asyncio.run(verifier.verify(token))
    world.time = START + 99.999
    assert verifier.verify_cached(token) is not None
    world.time = START + 100
    assert verifier.verify_cached(token) is None
    assert len(verifier._remembered) == 0
    world.time = START + 129
    assert asyncio.run(verifier.verify(token)).subject == "user-1"
    assert verifier.verify_cached(token) is None
    assert keys.asked == 2
    world.time = START + 130
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    assert refused.value.id == "BW208"


def test_a_withdrawn_key_lives_on_for_as_long_as_answers_are_remembered(world):
    keys = Counting(world.key)
    verifier = world.verifier(keys, cache_seconds=60)
    token = world.token()
    asyncio.run(verifier.verify(token))
    keys.ring = Keyring.from_keys(SigningKey.generate(kid="k-2"))
    world.time = START + 59.9
    assert asyncio.run(verifier.verify(token)).subject == "user-1"
    world.time = START + 60
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    assert refused.value.id == "BW203"


def test_a_withdrawn_key_ends_at_once_when_answers_are_forgotten(world):
    verifier = world.verifier()
    token = world.token()
    asyncio.run(verifier.verify(token))
    verifier.forget()
    assert verifier.verify_cached(token) is None


def test_the_memory_is_bounded_and_drops_the_oldest_answer_first(world):
    verifier = world.verifier(cache_size=3)
    tokens = [world.token(jti=f"j-{n}") for n in range(4)]
    for token in tokens[:3]:
        asyncio.run(verifier.verify(token))
    assert verifier.verify_cached(tokens[0]) is not None
    asyncio.run(verifier.verify(tokens[3]))
    assert [verifier.verify_cached(token) is not None for token in tokens] == [False, True, True, True]
    assert len(verifier._remembered) == 3

    asyncio.run(verifier.verify(tokens[0]))
    assert [verifier.verify_cached(token) is not None for token in tokens] == [True, False, True, True]


@pytest.mark.parametrize("settings", [{"cache_size": 0}, {"cache_seconds": 0}])
def test_the_memory_can_be_switched_off(world, settings):
    verifier = world.verifier(**settings)
    token = world.token()
    asyncio.run(verifier.verify(token))
    assert verifier.verify_cached(token) is None
    assert len(verifier._remembered) == 0


def test_no_token_is_kept_in_the_memory(world):
    verifier = world.verifier()
    token = world.token()
    asyncio.run(verifier.verify(token))
    ((digest, _),) = verifier._remembered.answers.items()
    assert len(digest) == 32
    assert token not in repr(vars(verifier))


def test_checks_run_on_every_presentation(world):
    revoked: set[str | None] = set()
    seen: list[str] = []

    def check(caller: Principal) -> None:
        seen.append(caller.subject)
        if caller.token_id in revoked:
            raise InvalidToken("The token was revoked.", id="BW213")

    keys = Counting(world.key)
    verifier = world.verifier(keys, checks=[check])
    token = world.token()
    asyncio.run(verifier.verify(token))
    assert verifier.verify_cached(token) is not None
    assert seen == ["user-1"] * 2
    revoked.add("j-1")
    assert verifier.verify_cached(token) is None
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    assert refused.value.id == "BW213"
    revoked.clear()
    assert asyncio.run(verifier.verify(token)).subject == "user-1"


def test_a_check_that_cannot_tell_is_neither_yes_nor_invalid(world):
    stale = [False]

    def check(_: Principal) -> None:
        if stale[0]:
            raise Unavailable("The revocation feed is too old.", id="BW505")

    verifier = world.verifier(checks=[check])
    token = world.token()
    asyncio.run(verifier.verify(token))
    stale[0] = True
    assert verifier.verify_cached(token) is None
    with pytest.raises(Unavailable):
        asyncio.run(verifier.verify(token))


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "\ud800", "é" * 100, "x" * 1_000_000, "a b", "Bearer x.y.z"]
)
def test_what_is_no_token_is_neither_remembered_nor_anything_but_invalid(world, token):
    verifier = world.verifier()
    assert verifier.verify_cached(token) is None
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    assert refused.value.id == "BW202"
    assert len(token) < 5 or token not in f"{refused.value} {refused.value.detail}"


@pytest.mark.parametrize("token", [None, 1, b"a.b.c", ["a"]])
def test_what_is_no_text_is_no_token(world, token):
    with pytest.raises(InvalidToken):
        asyncio.run(world.verifier().verify(token))


def test_no_refusal_repeats_the_token(world):
    good = world.token()
    header, payload, signature = good.split(".")
    for bad in (f"{header}.{payload}.{signature[:-4]}AAAA", f"{header}.{payload}", f"{payload}.{payload}.{signature}"):
        with pytest.raises(InvalidToken) as refused:
            asyncio.run(world.verifier().verify(bad))
        text = f"{refused.value!r} {refused.value} {refused.value.description} {refused.value.detail}"
        assert payload not in text
        assert signature[:20] not in text


def test_many_threads_share_one_verifier(world):
    verifier = world.verifier(cache_size=8)
    tokens = [world.token(jti=f"j-{n}", sub=f"user-{n}") for n in range(24)]
    wrong: list[object] = []
    largest = [0]
    start = threading.Barrier(16)

    def work(seed: int) -> None:
        start.wait()
        for step in range(150):
            n = (seed * 7 + step * 5) % len(tokens)
            try:
                caller = verifier.verify_cached(tokens[n]) or asyncio.run(verifier.verify(tokens[n]))
                if caller.subject != f"user-{n}":
                    wrong.append((n, caller))
                largest[0] = max(largest[0], len(verifier._remembered))
                if step % 50 == 49:
                    verifier.forget()
            except Exception as error:  # noqa: BLE001 - whatever it is, the test must show it
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    # One more than the bound while the thread that added it has not yet dropped the oldest.
    assert 0 < largest[0] <= 9
    assert len(verifier._remembered) <= 8


def test_an_answer_that_is_evicted_while_it_is_read_is_still_an_answer(world):
    verifier = world.verifier()
    token = world.token()
    caller = asyncio.run(verifier.verify(token))
    verifier._now = lambda: verifier.forget() or START  # type: ignore[func-returns-value]
    assert verifier.verify_cached(token) is caller


def test_two_issuers_side_by_side_do_not_know_each_others_tokens(world):
    other = SigningKey.generate("ES256", kid="k-1")
    token = Signer(other).sign(world.claims())
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(world.verifier().verify(token))
    assert refused.value.id == "BW203"


def test_threads_that_ask_while_answers_expire_and_are_pushed_out_disturb_nobody(world):
    verifier = world.verifier(cache_size=4, cache_seconds=10)
    tokens = [world.token(jti=f"j-{n}") for n in range(12)]
    forged = [f"{token[:-8]}AAAAAAAA" for token in tokens]
    refused: list[str] = []

    def ask(turn: int) -> None:
        for n in range(60):
            world.time = START + (turn + n) % 40
            token = tokens[(turn * 5 + n) % 12]
            assert asyncio.run(verifier.verify(token)).subject == "user-1"
            verifier.verify_cached(token)
            with pytest.raises(InvalidToken) as error:
                asyncio.run(verifier.verify(forged[(turn + n) % 12]))
            refused.append(error.value.id)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))

    assert set(refused) == {"BW203"}
    assert len(refused) == 8 * 60
    assert len(verifier._remembered) <= 4
    assert len(verifier._forged) <= 4
