"""Logging in while somebody changes the account at the same moment."""

import unicodedata

import pytest

from bailiwick.authority import accounts, records
from bailiwick.authority.accounts import Verdict
from bailiwick.errors import Refused

pytestmark = pytest.mark.anyio


class Meddling:
    """A real hasher in whose time something else happens, once."""

    def __init__(self, inner):
        self.inner = inner
        self.meanwhile = None
        self.verdict = None

    async def verify(self, known, password, caller=None):
        verdict = await self.inner.verify(known, password, caller)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
            return self.verdict or verdict
        return verdict

    async def hash(self, password, caller=None):
        return await self.inner.hash(password, caller)


@pytest.fixture
async def meddled(make_world):
    from argon2 import Parameters, Type

    from bailiwick.machine.passwords import Argon2Hasher

    cheap = Parameters(type=Type.ID, version=19, salt_len=8, hash_len=16, time_cost=1, memory_cost=8, parallelism=1)
    hasher = Meddling(Argon2Hasher(cheap))
    world = make_world(hasher=hasher)
    await world.furnish()
    return world, hasher


async def test_a_password_replaced_while_the_old_one_is_checked_lets_nobody_in(meddled):
    world, hasher = meddled

    async def replaced():
        await world.admin.set_password("alice", "quite another password")

    hasher.meanwhile = replaced

    with pytest.raises(Refused) as refused:
        await world.log_in("alice")
    assert refused.value.id == "BW407"


async def test_a_person_disabled_while_their_password_is_checked_does_not_come_in(meddled):
    world, hasher = meddled

    async def disabled():
        await world.admin.disable_account("alice")

    hasher.meanwhile = disabled

    with pytest.raises(Refused):
        await world.log_in("alice")


async def test_two_logins_that_both_strengthen_the_hash_both_succeed(meddled):
    world, hasher = meddled
    account = world.people["alice"]

    async def strengthened_by_another_login():
        now = await world.store.account(account.id)
        await world.store.rehash(account.id, now.password, await hasher.inner.hash("alice's password"))

    hasher.meanwhile = strengthened_by_another_login
    hasher.verdict = Verdict.RIGHT_BUT_WEAK

    assert (await world.log_in("alice")).access_token


WORST = "a" + "\u0344" * 8_000 + "\u0334" * 8_000  # CPython sorts these in quadratic time when it normalises them


@pytest.fixture
def normalised(monkeypatch):
    """The lengths of all texts that are normalised."""
    lengths = []

    class Watched:
        @staticmethod
        def normalize(form, text):
            lengths.append(len(text))
            return unicodedata.normalize(form, text)

    for module in (accounts, records):
        monkeypatch.setattr(module, "unicodedata", Watched)
    return lengths


async def test_a_long_name_or_password_is_refused_without_being_normalised(make_world, normalised):
    world = make_world()
    await world.furnish()
    normalised.clear()
    for name, password in ((WORST, "x"), ("alice", WORST), (WORST, WORST)):
        for _ in range(15):  # past the free guesses, where the answer is 429
            with pytest.raises(Refused) as refused:
                await world.ask(grant_type="password", client_id="app", username=name, password=password)
            assert refused.value.id in {"BW407", "BW416"}
        assert await world.store.account_named(WORST) is None
    # A name is folded twice, and grows meanwhile: by 18 characters for one at the most.
    assert max(normalised) <= max(accounts.MAX_PASSWORD, records.MAX_NAME * 18)


async def test_names_that_are_too_long_are_counted_as_one(make_world):
    world = make_world()
    await world.furnish()
    ids = []
    for number in range(15):
        with pytest.raises(Refused) as refused:
            await world.ask(grant_type="password", client_id="app", username="x" * (300 + number), password="y")
        ids.append(refused.value.id)
    assert ids[-1] == "BW416"


def test_a_password_that_grows_beyond_its_bound_when_it_is_normalised_is_too_long():
    assert accounts.prepare_password("\u0344" * accounts.MAX_PASSWORD) is None
    assert accounts.prepare_password("\u212b" * accounts.MAX_PASSWORD) == "\u00c5" * accounts.MAX_PASSWORD
    assert accounts.prepare_password("x" * (accounts.MAX_PASSWORD + 1)) is None


def test_a_name_is_never_folded_beyond_its_bound():
    with pytest.raises(ValueError, match="longer"):
        records.name_key("x" * (records.MAX_NAME + 1))
