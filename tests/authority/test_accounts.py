"""Logging in while somebody changes the account at the same moment."""

import pytest

from bailiwick.authority.accounts import Verdict
from bailiwick.errors import Refused

pytestmark = pytest.mark.anyio


class Meddling:
    """A real hasher in whose time something else happens, once."""

    def __init__(self, inner):
        self.inner = inner
        self.meanwhile = None
        self.verdict = None

    async def verify(self, known, password):
        verdict = await self.inner.verify(known, password)
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
            return self.verdict or verdict
        return verdict

    async def hash(self, password):
        return await self.inner.hash(password)


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
