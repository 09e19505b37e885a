"""A forged token that is presented again is refused at once, and nothing else ever comes of that memory."""

import asyncio
import threading

import pytest

from bailiwick.errors import InvalidToken
from bailiwick.tokens import Keyring, Signer, SigningKey
from bailiwick.tokens.forgeries import Forgeries


class Source:
    """A key source whose keys can be replaced, and which counts how often it is asked."""

    def __init__(self, *keys):
        self.ring = Keyring.from_keys(*keys)
        self.asked = 0

    async def find(self, kid, alg):
        self.asked += 1
        return await self.ring.find(kid, alg)


def forged(token):
    signed, _, signature = token.rpartition(".")
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def refusal(verifier, token):
    with pytest.raises(InvalidToken) as refused:
        asyncio.run(verifier.verify(token))
    return refused.value


def test_the_same_forgery_is_refused_again_with_the_same_words_and_without_asking_for_keys(world):
    source = Source(world.key)
    verifier = world.verifier(source)
    bad = forged(world.token())
    first = refusal(verifier, bad)
    again = refusal(verifier, bad)
    assert (first.id, first.description) == (again.id, again.description)
    assert first.id == "BW203"
    assert first is not again  # a shared exception would gather tracebacks for as long as it lives
    assert source.asked == 1


def test_a_forgery_never_stands_in_for_the_good_token(world):
    verifier = world.verifier()
    good = world.token()
    assert refusal(verifier, forged(good)).id == "BW203"
    assert asyncio.run(verifier.verify(good)).subject == "user-1"
    assert refusal(verifier, forged(good)).id == "BW203"
    with pytest.raises(InvalidToken):
        verifier.verify_cached(forged(good))


def test_a_key_that_replaces_one_of_the_same_name_is_noticed_after_five_seconds(world):
    other = SigningKey.generate("ES256", kid=world.key.kid)
    source = Source(world.key)
    verifier = world.verifier(source)
    token = Signer(other).sign(world.claims())
    assert refusal(verifier, token).id == "BW203"
    source.ring = Keyring.from_keys(other)
    world.time += 4.9
    assert refusal(verifier, token).id == "BW203"
    world.time += 0.2
    assert asyncio.run(verifier.verify(token)).subject == "user-1"


def test_forget_forgets_forgeries_too(world):
    other = SigningKey.generate("ES256", kid=world.key.kid)
    source = Source(world.key)
    verifier = world.verifier(source)
    token = Signer(other).sign(world.claims())
    refusal(verifier, token)
    source.ring = Keyring.from_keys(other)
    verifier.forget()
    assert asyncio.run(verifier.verify(token)).subject == "user-1"


def test_a_token_whose_key_is_not_known_yet_is_looked_at_each_time(world):
    other = SigningKey.generate("ES256", kid="k-2")
    source = Source(world.key)
    verifier = world.verifier(source)
    token = Signer(other).sign(world.claims())
    assert refusal(verifier, token).id == "BW203"
    source.ring = Keyring.from_keys(world.key, other)
    assert asyncio.run(verifier.verify(token)).subject == "user-1"


def test_a_flood_of_forgeries_pushes_no_good_answer_out_and_is_bounded(world):
    verifier = world.verifier(cache_size=3)
    good = world.token()
    caller = asyncio.run(verifier.verify(good))
    signed, _, signature = good.rpartition(".")
    for n in range(20):
        refusal(verifier, f"{signed}.{'ABCDEFGHIJKLMNOPQRSTU'[n]}{'A' * (len(signature) - 1)}")
    assert verifier.verify_cached(good) is caller
    assert 0 < len(verifier._forged) <= 4


@pytest.mark.parametrize("settings", [{"cache_size": 0}, {"cache_seconds": 0}])
def test_without_a_memory_nothing_is_remembered_of_forgeries_either(world, settings):
    source = Source(world.key)
    verifier = world.verifier(source, **settings)
    bad = forged(world.token())
    refusal(verifier, bad)
    refusal(verifier, bad)
    assert source.asked == 2


class Slow(Source):
    """A key source that something happens to between finding the keys and handing them out."""

    def __init__(self, *keys):
        super().__init__(*keys)
        self.then = lambda: None

    async def find(self, kid, alg):
        found = await super().find(kid, alg)
        self.then()
        return found


def test_a_token_that_is_being_verified_while_its_key_is_withdrawn_is_not_remembered(world):
    source = Slow(world.key)
    verifier = world.verifier(source)
    token = world.token()

    def withdrawn():
        source.ring = Keyring.from_keys(SigningKey.generate("ES256", kid=world.key.kid))
        verifier.forget()

    source.then = withdrawn
    asyncio.run(verifier.verify(token))  # found before it was withdrawn
    source.then = lambda: None
    assert verifier.verify_cached(token) is None
    assert refusal(verifier, token).id == "BW203"


def test_a_forgery_that_is_being_looked_at_while_keys_change_is_looked_at_again(world):
    other = SigningKey.generate("ES256", kid=world.key.kid)
    source = Slow(world.key)
    verifier = world.verifier(source)
    token = Signer(other).sign(world.claims())

    def came():
        source.ring = Keyring.from_keys(other)
        verifier.forget()

    source.then = came
    assert refusal(verifier, token).id == "BW203"
    assert asyncio.run(verifier.verify(token)).subject == "user-1"


def test_forged_and_good_tokens_side_by_side_in_many_threads_never_change_places(world):
    verifier = world.verifier(cache_size=8)
    good = [world.token(sub=f"user-{number}") for number in range(6)]
    bad = [forged(token) for token in good]
    wrong = []

    def hammer(turn):
        for number in range(300):
            index = (number + turn) % len(good)
            for token, subject in ((good[index], f"user-{index}"), (bad[index], None)):
                try:
                    found = verifier.verify_cached(token) or asyncio.run(verifier.verify(token))
                except InvalidToken as refused:
                    if subject is not None or refused.id != "BW203":
                        wrong.append((subject, refused.id))
                else:
                    if found.subject != subject:
                        wrong.append((subject, found.subject))
            if number % 50 == 0:
                verifier.forget()

    threads = [threading.Thread(target=hammer, args=(turn,)) for turn in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert wrong == []


def test_what_was_being_looked_at_when_all_was_forgotten_is_not_in_force():
    forged = Forgeries(4)
    generation = forged.present()
    forged.forget()
    for n in range(8):
        forged.note(generation, bytes([n]), 10.0)
    assert not any(forged.holds(bytes([n]), 0.0) for n in range(8))
    assert len(forged) == 0


def test_the_memory_of_forgeries_holds_the_newest_and_is_bounded():
    forged = Forgeries(8)
    for n in range(100):
        forged.note(forged.present(), bytes([n]), 10.0)
        assert forged.holds(bytes([n]), 9.9)
        assert not forged.holds(bytes([n]), 10.0)
        assert len(forged) <= 8
    assert all(forged.holds(bytes([n]), 0.0) for n in range(96, 100))
    assert not forged.holds(bytes([80]), 0.0)
