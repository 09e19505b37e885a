"""A forged token that is presented again is refused at once, and nothing else ever comes of that memory."""

import asyncio

import pytest

from bailiwick.errors import InvalidToken
from bailiwick.tokens import Keyring, Signer, SigningKey


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
    assert len(verifier._forged) == 3


@pytest.mark.parametrize("settings", [{"cache_size": 0}, {"cache_seconds": 0}])
def test_without_a_memory_nothing_is_remembered_of_forgeries_either(world, settings):
    source = Source(world.key)
    verifier = world.verifier(source, **settings)
    bad = forged(world.token())
    refusal(verifier, bad)
    refusal(verifier, bad)
    assert source.asked == 2
