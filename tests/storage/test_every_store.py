"""What every store promises, races included: one suite for all of them."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bailiwick.authority.records import (
    Code,
    DeviceCode,
    DeviceState,
    GrantType,
    KeyState,
    Origin,
    PushedRequest,
    Revocation,
    Revoked,
    StoredKey,
)
from bailiwick.authority.store import CLOCK_SKEW, CODE_KEPT, Basis, Begun, Claimed, Polled, Redeemed, Room, Rotated
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio


async def journal(store, what=None):
    return [line for line in reversed(await store.journal(limit=1_000)) if what is None or line.what == what]


# -- people, clients, roles --------------------------------------------------------------------


async def test_a_client_comes_back_as_it_was_kept(store, make):
    client = make.client(
        secret="sha256:00",
        default=ScopeSet(["a"]),
        redirects=("http://127.0.0.1/callback", "com.example.app:/cb"),
        first_party=True,
        introspects=frozenset({"*"}),
        exchange_targets=frozenset({"https://files.example.com"}),
        grants=frozenset({GrantType.PASSWORD, GrantType.DEVICE_CODE}),
        disabled_at=7.5,
    )
    assert await store.add(client, make.event())
    assert await store.client("app") == client
    assert list(await store.clients()) == [client]
    assert await store.client("other") is None


async def test_a_client_without_a_default_is_not_one_with_an_empty_default(store, make):
    await store.add(make.client(), make.event())
    assert (await store.client("app")).default is None


async def test_the_grants_in_use_are_those_of_clients_that_may_act(store, make):
    assert await store.grants_in_use() == frozenset()
    device, code = (
        frozenset({GrantType.DEVICE_CODE}),
        frozenset({GrantType.AUTHORIZATION_CODE, GrantType.REFRESH_TOKEN}),
    )
    for client in (make.client("a", grants=device), make.client("b", grants=code), make.client("c", disabled_at=1.0)):
        await store.add(client, make.event())
    assert await store.grants_in_use() == device | code


async def test_an_id_is_given_once(store, make):
    assert await store.add(make.client(name="first"), make.event("client.created"))
    assert not await store.add(make.client(name="second"), make.event("client.created"))
    assert (await store.client("app")).name == "first"
    assert len(await journal(store)) == 1


async def test_a_name_is_given_once_whatever_its_case_or_width(store, make):
    assert await store.add(make.account("Alice"), make.event())
    for name in ("alice", "ALICE", "\uff21lice"):
        assert not await store.add(make.account(name, id="usr_other"), make.event()), name
    for name in ("alice", "aLiCe", "\uff21\uff2c\uff29\uff23\uff25"):
        found = await store.account_named(name)
        assert found is not None, name
        assert found.name == "Alice"
    assert await store.account_named("alic") is None


async def test_a_person_comes_back_with_roles_and_direct_grants(store, make):
    await store.add(make.role("reader"), make.event())
    account = make.account(roles=frozenset({"reader"}), grants=ScopeSet(["x", "b:*"]))
    await store.add(account, make.event())
    assert await store.account(account.id) == account
    assert list(await store.accounts()) == [account]
    assert await store.account("usr_nobody") is None


async def test_standing_is_roles_and_direct_grants_together(store, make):
    await store.add(make.role("reader", ["a", "b:*"]), make.event())
    await store.add(make.role("editor", ["c"]), make.event())
    account = make.account(roles=frozenset({"reader", "editor"}), grants=ScopeSet(["d"]))
    await store.add(account, make.event())
    standing = await store.standing(account.id)
    assert standing.account == account
    assert standing.scopes == ScopeSet(["a", "b:*", "c", "d"])
    assert await store.standing("usr_nobody") is None


async def test_a_change_of_an_old_version_changes_nothing(store, make):
    await store.add(make.client(), make.event())
    read = await store.client("app")
    assert await store.change(replace(read, name="mine"), make.event("client.renamed"))
    assert not await store.change(replace(read, name="theirs"), make.event("client.renamed"))
    kept = await store.client("app")
    assert (kept.name, kept.version) == ("mine", 2)
    assert len(await journal(store, "client.renamed")) == 1


async def test_of_many_changes_of_one_version_one_happens(store, make):
    await store.add(make.account(), make.event())
    read = await store.account("usr_Alice")
    changes = [store.change(replace(read, password=f"hash {n}"), make.event("changed")) for n in range(20)]
    assert Counter(await asyncio.gather(*changes)) == {True: 1, False: 19}
    assert len(await journal(store, "changed")) == 1


async def test_what_is_not_there_cannot_be_changed(store, make):
    assert not await store.change(make.client(), make.event())
    assert not await store.change(make.account(), make.event())
    assert not await store.change(make.role(), make.event())
    assert not await journal(store)


async def test_nobody_can_take_over_another_persons_name(store, make):
    await store.add(make.account("alice"), make.event())
    await store.add(make.account("bob"), make.event())
    bob = await store.account("usr_bob")
    assert not await store.change(replace(bob, name="ALICE"), make.event())
    assert await store.change(replace(bob, name="Bob"), make.event())


async def test_a_role_that_changes_changes_everybodys_standing(store, make):
    await store.add(make.role("reader", ["a"]), make.event())
    await store.add(make.account(roles=frozenset({"reader"})), make.event())
    (role,) = await store.roles()
    assert await store.change(replace(role, scopes=ScopeSet(["b"])), make.event())
    assert (await store.standing("usr_Alice")).scopes == ScopeSet(["b"])


async def test_a_dropped_role_is_taken_from_everybody(store, make):
    await store.add(make.role("reader"), make.event())
    await store.add(make.account(roles=frozenset({"reader"})), make.event())
    before = await store.account("usr_Alice")
    assert await store.drop_role("reader", make.event("role.dropped"))
    after = await store.account("usr_Alice")
    assert after.roles == frozenset()
    # Whoever read the person before cannot write the role back.
    assert not await store.change(before, make.event())
    assert (await store.standing("usr_Alice")).scopes == ScopeSet()
    assert not await store.drop_role("reader", make.event("role.dropped"))
    assert len(await journal(store, "role.dropped")) == 1


async def test_a_rehash_does_not_undo_a_new_password(store, make):
    await store.add(make.account(), make.event())
    assert not await store.rehash("usr_Alice", "another hash", "stronger")
    assert await store.rehash("usr_Alice", "hash 1", "stronger")
    assert (await store.account("usr_Alice")).password == "stronger"
    assert not await store.rehash("usr_nobody", "hash 1", "stronger")


# -- authorizations ------------------------------------------------------------------------------


async def test_consent_makes_an_authorization_and_later_adds_to_it(store, make):
    first = await store.consent(make.authorization(["a"]), make.event("authorization.granted"))
    second = await store.consent(make.authorization(["b", "a"], at=70.0), make.event("authorization.granted"))
    assert second.id == first.id
    assert list(second.live) == ["a", "b"]
    assert [row.granted_at for row in second.rows] == [50.0, 70.0]
    assert await store.authorization(first.id) == second
    assert await store.authorization_of("usr_alice", "app", "https://api") == second
    assert await store.authorization_of("usr_alice", "app", "https://other") is None
    assert [line.object for line in await journal(store, "authorization.granted")] == [first.id, first.id]


async def test_consent_to_nothing_new_writes_nothing(store, make):
    await store.consent(make.authorization(["a"]), make.event())
    await store.consent(make.authorization(["a"], at=99.0), make.event())
    assert len(await journal(store)) == 1


async def test_consents_at_the_same_time_make_one_authorization(store, make):
    given = [make.authorization([f"s{n}"]) for n in range(20)]
    made = await asyncio.gather(*(store.consent(one, make.event()) for one in given))
    assert len({one.id for one in made}) == 1
    assert (await store.authorization(made[0].id)).live == ScopeSet([f"s{n}" for n in range(20)])


async def test_authorizations_are_found_by_person_and_by_client(store, make):
    one = await store.consent(make.authorization(subject="usr_a", client="x"), make.event())
    two = await store.consent(make.authorization(subject="usr_a", client="y", at=60.0), make.event())
    three = await store.consent(make.authorization(subject="usr_b", client="x", at=70.0), make.event())
    assert list(await store.authorizations()) == [one, two, three]
    assert list(await store.authorizations(subject="usr_a")) == [one, two]
    assert list(await store.authorizations(client="x")) == [one, three]
    assert list(await store.authorizations(subject="usr_b", client="y")) == []


def scope_revocation(authorization, scope, by="person", at=200.0):
    return Revocation(Revoked.SCOPE, authorization, at, at + 600, scope, by, "tested")


async def test_one_scope_withdrawn_leaves_the_others_and_the_families(store, make):
    given = await store.consent(make.authorization(["a", "b"]), make.event())
    family = make.family(authorization=given.id)
    await store.open_family(family, make.token(family), make.event())
    assert await store.revoke(scope_revocation(given.id, "a"), make.event("scope.revoked")) == 1
    found = await store.authorization(given.id)
    assert list(found.live) == ["b"]
    assert (found.rows[0].withdrawn_at, found.rows[0].withdrawn_by) == (200.0, "person")
    assert (await store.family(family.id)).revoked_at is None
    assert await store.revoke(scope_revocation(given.id, "a"), make.event("scope.revoked")) == 0
    assert await store.revoke(scope_revocation("atz_none", "a"), make.event("scope.revoked")) == 0
    assert len(await journal(store, "scope.revoked")) == 1
    assert len(await store.revocations(now=200.0)) == 1


async def test_a_person_may_give_again_what_they_withdrew(store, make):
    given = await store.consent(make.authorization(["a"]), make.event())
    await store.revoke(scope_revocation(given.id, "a"), make.event())
    again = await store.consent(make.authorization(["a"], at=300.0), make.event())
    assert list(again.live) == ["a"]
    assert again.rows[0].granted_at == 300.0
    assert again.rows[0].withdrawn_by is None


async def test_what_an_operator_withdrew_only_an_operator_gives_back(store, make):
    given = await store.consent(make.authorization(["a"]), make.event())
    await store.revoke(scope_revocation(given.id, "a", "operator"), make.event())
    assert not (await store.consent(make.authorization(["a"]), make.event())).live
    assert (await store.consent(make.authorization(["a"]), make.event(), by="operator")).live == ScopeSet(["a"])


async def test_an_operators_withdrawal_replaces_a_persons(store, make):
    given = await store.consent(make.authorization(["a"]), make.event())
    await store.revoke(scope_revocation(given.id, "a", "person"), make.event())
    assert await store.revoke(scope_revocation(given.id, "a", "operator", at=250.0), make.event()) == 1
    (row,) = (await store.authorization(given.id)).rows
    assert (row.withdrawn_at, row.withdrawn_by) == (200.0, "operator")
    assert await store.revoke(scope_revocation(given.id, "a", "person"), make.event()) == 0


async def test_a_whole_authorization_withdrawn_ends_its_families(store, make):
    given = await store.consent(make.authorization(["a", "b"]), make.event())
    other = make.family(authorization="atz_other")
    family = make.family(authorization=given.id)
    await store.open_family(family, make.token(family), make.event())
    await store.open_family(other, make.token(other, "other"), make.event())
    whole = Revocation(Revoked.AUTHORIZATION, given.id, 200.0, 800.0, by="operator", reason="tested")
    assert await store.revoke(whole, make.event()) == 3
    assert not (await store.authorization(given.id)).live
    assert (await store.family(family.id)).revoked_at == 200.0
    assert (await store.family(family.id)).reason == "tested"
    assert (await store.family(other.id)).revoked_at is None


@pytest.mark.parametrize(("kind", "key"), [(Revoked.SUBJECT, "usr_alice"), (Revoked.CLIENT, "app")])
async def test_a_person_or_client_revoked_ends_their_families_and_is_always_told(store, make, kind, key):
    family = make.family()
    other = make.family(subject="usr_bob", client="web")
    await store.open_family(family, make.token(family), make.event())
    await store.open_family(other, make.token(other, "other"), make.event())
    assert await store.revoke(Revocation(kind, key, 200.0, 800.0), make.event("ended")) == 1
    assert [one.id for one in await store.families()] == [other.id]
    assert await store.revoke(Revocation(kind, key, 210.0, 810.0), make.event("ended")) == 0
    assert [line.at for line in await store.revocations(now=210.0)] == [200.0, 210.0]
    assert len(await journal(store, "ended")) == 2


async def test_a_change_can_carry_a_revocation(store, make):
    await store.add(make.account(), make.event())
    family = make.family(subject="usr_Alice")
    await store.open_family(family, make.token(family), make.event())
    account = await store.account("usr_Alice")
    revoking = Revocation(Revoked.SUBJECT, account.id, 200.0, 800.0)
    assert await store.change(replace(account, disabled_at=200.0), make.event(), revoking=revoking)
    assert (await store.family(family.id)).revoked_at == 200.0
    assert not await store.change(account, make.event(), revoking=replace(revoking, at=300.0))
    assert [line.at for line in await store.revocations(now=200.0)] == [200.0]


async def test_the_feed_is_in_order_and_forgets_what_expired(store, make):
    for at in (1.0, 2.0, 3.0):
        await store.revoke(Revocation(Revoked.TOKEN, f"jti {at}", at, at + 600), make.event())
    first, second, third = await store.revocations(now=3.0)
    assert first.number < second.number < third.number
    assert list(await store.revocations(after=first.number, now=3.0)) == [second, third]
    assert list(await store.revocations(now=601.5)) == [second, third]
    assert list(await store.revoked(["jti 2.0", "jti 1.0", "x"], 3.0)) == [first, second]
    assert list(await store.revoked(["jti 1.0"], 601.5)) == []
    assert list(await store.revoked([], 1.0)) == []


async def test_the_number_of_the_newest_line_outlives_the_line(store, make):
    assert await store.last_revocation() == 0
    for at in (1.0, 2.0):
        await store.revoke(Revocation(Revoked.TOKEN, f"jti {at}", at, at + 600), make.event())
    newest = (await store.revocations(now=2.0))[-1].number
    assert await store.last_revocation() == newest
    assert await store.purge(10_000.0) == 1
    assert list(await store.revocations(now=10_000.0)) == []
    # A token with a smaller number than its followers have seen would look older than what they know.
    assert await store.last_revocation() == newest
    await store.revoke(Revocation(Revoked.TOKEN, "jti 3", 10_000.0, 10_600.0), make.event())
    assert await store.last_revocation() > newest


async def test_a_token_is_revoked_once(store, make):
    line = Revocation(Revoked.TOKEN, "jti", 200.0, 800.0, by="client")
    assert Counter(await asyncio.gather(*(store.revoke(line, make.event()) for _ in range(10)))) == {1: 1, 0: 9}


# -- what is decided on, and revoked before it is written ------------------------------------------


KINDS = [
    (Revoked.TOKEN, "jti"),
    (Revoked.FAMILY, "fam_0"),
    (Revoked.SCOPE, "atz_0"),
    (Revoked.AUTHORIZATION, "atz_0"),
    (Revoked.SUBJECT, "usr_alice"),
    (Revoked.CLIENT, "app"),
]


async def revoked_now(store, make, kind, key, at=100.0):
    """Revoke something that is there, so that the feed has a line of it."""
    given = make.authorization(id="atz_0")
    await store.consent(given, make.event())
    family = make.family(id="fam_0", authorization="atz_0", client="elsewhere", subject="usr_else")
    await store.open_family(family, make.token(family, "of fam_0"), make.event())
    seen = await store.last_revocation()
    await store.revoke(Revocation(kind, key, at, at + 600, "a" if kind is Revoked.SCOPE else ""), make.event("gone"))
    assert await store.last_revocation() > seen
    return seen


@pytest.mark.parametrize(("kind", "key"), KINDS)
async def test_nothing_is_issued_on_what_was_revoked_since_it_was_read(store, make, kind, key):
    seen = await revoked_now(store, make, kind, key)
    lines = len(await journal(store))
    stale, other = Basis(seen, ("x", key)), Basis(seen, ("x", "y"))
    family = make.family()
    assert not await store.record(make.event("issued"), basis=stale)
    assert not await store.open_family(family, make.token(family), make.event("opened"), basis=stale)
    assert await store.family(family.id) is None
    assert len(await journal(store)) == lines
    assert await store.record(make.event("issued"), basis=other)
    assert await store.open_family(family, make.token(family), make.event("opened"), basis=other)
    # Whoever reads again has seen the line, and may go on.
    assert await store.record(make.event("issued"), basis=replace(stale, seen=await store.last_revocation()))


async def test_an_exchange_on_a_basis_that_is_gone_spends_nothing(store, make):
    family = await opened(store, make)
    seen = await revoked_now(store, make, Revoked.SCOPE, "atz_0")
    stale, lines = Basis(seen, ("atz_0",)), len(await journal(store))
    assert await store.rotate(make.rotation(), make.event("refresh"), basis=stale) is Rotated.STALE
    token, living = await store.refresh_token("first")
    assert token.spent_at is None
    assert living.revoked_at is None
    assert await store.refresh_token("second") is None
    assert len(await journal(store)) == lines
    fresh = replace(stale, seen=await store.last_revocation())
    assert await store.rotate(make.rotation(), make.event("refresh"), basis=fresh) is Rotated.FIRST_TIME
    # An honest retry is another token, so it is not issued either; a replay stays one.
    assert await store.rotate(make.rotation(now=101.0), make.event("refresh"), basis=stale) is Rotated.STALE
    assert await store.rotate(make.rotation(now=900.0), make.event("refresh"), basis=stale) is Rotated.REPLAYED
    assert (await store.family(family.id)).revoked_at == 900.0
    assert await store.rotate(make.rotation(now=900.0), make.event("refresh"), basis=stale) is Rotated.REVOKED


async def test_what_is_wrong_with_a_token_is_told_before_its_basis(store, make):
    await opened(store, make)
    seen = await revoked_now(store, make, Revoked.SCOPE, "atz_0")
    stale = Basis(seen, ("atz_0",))
    assert await store.rotate(make.rotation("x"), make.event(), basis=stale) is Rotated.UNKNOWN
    assert await store.rotate(make.rotation(client="web"), make.event(), basis=stale) is Rotated.FOREIGN
    assert await store.rotate(make.rotation(now=1_000.0), make.event(), basis=stale) is Rotated.EXPIRED


async def test_a_proof_from_before_a_persons_revocation_begins_nothing(store, make):
    await revoked_now(store, make, Revoked.SUBJECT, "usr_alice", at=100.0)
    seen = await store.last_revocation()
    before, after = (Basis(seen, ("usr_alice",), "usr_alice", at) for at in (99.9, 100.1))
    assert not await store.record(make.event("issued"), basis=before)
    assert await store.record(make.event("issued"), basis=after)
    assert await store.record(make.event("issued"), basis=replace(before, subject="usr_erin"))


async def test_of_revoking_and_beginning_families_at_once_no_family_survives(store, make):
    """Whoever read before the revocation either began in time to be revoked with the rest, or not at all."""
    seen = await store.last_revocation()
    families = [make.family() for _ in range(30)]
    basis = Basis(seen, ("usr_alice",))
    acts = [store.open_family(one, make.token(one, one.id), make.event(), basis=basis) for one in families]
    acts.insert(15, store.revoke(Revocation(Revoked.SUBJECT, "usr_alice", 100.0, 700.0), make.event()))
    await asyncio.gather(*acts)
    assert list(await store.families(subject="usr_alice")) == []


# -- refresh families ------------------------------------------------------------------------------


async def opened(store, make, **fields):
    family = make.family(**fields)
    assert await store.open_family(family, make.token(family), make.event("opened"))
    return family


async def test_a_family_and_its_token_come_back(store, make):
    family = await opened(store, make)
    assert await store.family(family.id) == family
    assert await store.refresh_token("first") == (make.token(family), family)
    assert list((await store.family(family.id)).scopes) == ["b", "a"]
    assert await store.refresh_token("unknown") is None
    assert await store.family("fam_none") is None
    assert list(await store.families(subject="usr_alice", client="app")) == [family]
    assert list(await store.families(client="web")) == []
    assert [line.object for line in await journal(store, "opened")] == [family.id]


async def test_the_first_rotation_spends_the_token_and_makes_its_successor(store, make):
    family = await opened(store, make)
    assert await store.rotate(make.rotation(), make.event("refresh")) is Rotated.FIRST_TIME
    (old, _), (new, _) = await store.refresh_token("first"), await store.refresh_token("second")
    assert old.spent_at == 100.0
    assert (new.generation, new.issued_at, new.expires_at, new.spent_at) == (2, 100.0, 1_000.0, None)
    assert [line.object for line in await journal(store, "refresh.rotated")] == [family.id]


async def test_a_retry_within_the_grace_changes_nothing(store, make):
    await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(now=130.0), make.event("refresh")) is Rotated.RETRIED
    assert (await store.refresh_token("first"))[0].spent_at == 100.0
    assert len(await journal(store, "refresh.retried")) == 1


@pytest.mark.parametrize("now", [70.0, 99.9])
async def test_a_retry_that_began_before_the_rotation_counts_as_one_within_the_grace(store, make, now):
    # Two requests at once, or two nodes whose clocks differ: the one that began first is served last.
    await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(now=now), make.event("refresh")) is Rotated.RETRIED


@pytest.mark.parametrize("now", [69.5, 1.0])
async def test_a_clock_that_is_set_back_makes_no_replay_a_retry(store, make, now):
    family = await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(now=now), make.event("refresh")) is Rotated.REPLAYED
    assert (await store.family(family.id)).revoked_at == now


async def test_a_retry_after_the_grace_revokes_the_family(store, make):
    family = await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(now=130.5), make.event("refresh")) is Rotated.REPLAYED
    dead = await store.family(family.id)
    assert dead.revoked_at == 130.5
    assert dead.reason
    assert await store.rotate(make.rotation("second", "third", now=131.0), make.event()) is Rotated.REVOKED
    (line,) = await store.revocations(now=131.0)
    assert (line.kind, line.key, line.until, line.by) == (Revoked.FAMILY, family.id, 730.5, "authority")


async def test_a_retry_is_refused_once_the_successor_was_used(store, make):
    await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    await store.rotate(make.rotation("second", "third", now=101.0), make.event())
    assert await store.rotate(make.rotation(now=102.0), make.event()) is Rotated.REPLAYED


async def test_a_retry_must_lead_to_the_same_successor(store, make):
    await opened(store, make)
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(successor="sibling", now=101.0), make.event()) is Rotated.REPLAYED
    assert await store.refresh_token("sibling") is None


async def test_the_successor_of_another_family_is_no_successor(store, make):
    await opened(store, make)
    other = make.family()
    await store.open_family(other, make.token(other, "elsewhere"), make.event())
    await store.rotate(make.rotation(now=100.0), make.event())
    assert await store.rotate(make.rotation(successor="elsewhere", now=101.0), make.event()) is Rotated.REPLAYED


async def test_another_clients_attempt_changes_nothing(store, make):
    family = await opened(store, make)
    assert await store.rotate(make.rotation(client="web"), make.event("refresh")) is Rotated.FOREIGN
    assert (await store.refresh_token("first"))[0].spent_at is None
    assert (await store.family(family.id)).revoked_at is None
    await store.rotate(make.rotation(now=100.0), make.event())
    # Not even a replay by another client ends the family: it would let anybody end anybody's.
    assert await store.rotate(make.rotation(client="web", now=500.0), make.event()) is Rotated.FOREIGN
    assert (await store.family(family.id)).revoked_at is None


async def test_an_unknown_token_is_unknown_and_leaves_no_line(store, make):
    assert await store.rotate(make.rotation(), make.event("refresh")) is Rotated.UNKNOWN
    assert not await journal(store)


async def test_an_idle_token_and_an_old_family_have_expired(store, make):
    await opened(store, make)
    assert await store.rotate(make.rotation(now=1_000.0), make.event()) is Rotated.EXPIRED
    old = make.family(expires_at=500.0)
    await store.open_family(old, make.token(old, "old"), make.event())
    assert await store.rotate(make.rotation("old", now=500.0), make.event()) is Rotated.EXPIRED
    assert await store.refresh_token("second") is None


async def test_a_replay_is_noticed_even_after_the_tokens_own_end(store, make):
    family = await opened(store, make)
    await store.rotate(make.rotation(now=999.0), make.event())
    assert await store.rotate(make.rotation(now=1_500.0), make.event()) is Rotated.REPLAYED
    assert (await store.family(family.id)).revoked_at == 1_500.0


async def test_of_64_rotations_at_once_one_is_the_first(store, make):
    await opened(store, make)
    tries = await asyncio.gather(*(store.rotate(make.rotation(), make.event("refresh")) for _ in range(64)))
    assert Counter(tries) == {Rotated.FIRST_TIME: 1, Rotated.RETRIED: 63}
    assert len(await journal(store, "refresh.rotated")) == 1


async def test_64_rotations_after_the_grace_revoke_the_family_once(store, make):
    family = await opened(store, make)
    await store.rotate(make.rotation(), make.event())
    late = make.rotation(now=200.0)
    tries = await asyncio.gather(*(store.rotate(late, make.event("refresh")) for _ in range(64)))
    assert Counter(tries) == {Rotated.REPLAYED: 1, Rotated.REVOKED: 63}
    assert (await store.family(family.id)).revoked_at == 200.0
    assert len(await store.revocations(now=200.0)) == 1


async def test_a_family_that_was_revoked_before_it_began_never_begins(store, make):
    code = a_code()
    await store.add_code(code)
    await redeem(store, make)
    await redeem(store, make)
    family = make.family(id=code.family)
    assert not await store.open_family(family, make.token(family), make.event("opened"))
    assert await store.refresh_token("first") is None
    assert not await journal(store, "opened")


# -- codes, devices, pushed requests, one-time names ---------------------------------------------------


def a_code(**fields):
    given = {
        "digest": "code",
        "authorization": "atz_1",
        "subject": "usr_alice",
        "client": "app",
        "resource": "https://api",
        "redirect": "http://127.0.0.1/callback",
        "redirect_given": True,
        "challenge": "c" * 43,
        "scopes": ScopeSet(["a"]),
        "authenticated_at": 80.0,
        "issued_at": 90.0,
        "expires_at": 150.0,
        "family": "fam_of_code",
    }
    return Code(**given | fields)


async def redeem(store, make, now=100.0, digest="code"):
    return await store.redeem_code(digest, now, feed_until=now + 600, event=make.event("code"))


async def test_a_code_is_redeemed_once(store, make):
    await store.add_code(a_code())
    tries = await asyncio.gather(*(redeem(store, make) for _ in range(20)))
    assert Counter(outcome for outcome, _ in tries) == {Redeemed.FIRST_TIME: 1, Redeemed.AGAIN: 19}
    first = next(code for outcome, code in tries if outcome is Redeemed.FIRST_TIME)
    assert first == a_code(spent_at=100.0)


async def test_a_replayed_code_revokes_what_came_of_it(store, make):
    await store.add_code(a_code())
    await redeem(store, make)
    family = make.family(id="fam_of_code")
    await store.open_family(family, make.token(family), make.event())
    assert (await redeem(store, make, 120.0))[0] is Redeemed.AGAIN
    assert (await store.family(family.id)).revoked_at == 120.0
    assert [line.key for line in await store.revocations(now=120.0)] == [family.id]
    await redeem(store, make, 121.0)
    assert len(await store.revocations(now=121.0)) == 1
    assert len(await journal(store, "code.replayed")) == 2


async def test_an_expired_or_unknown_code_is_unknown(store, make):
    await store.add_code(a_code())
    assert await redeem(store, make, 150.0) == (Redeemed.UNKNOWN, None)
    assert await redeem(store, make, digest="other") == (Redeemed.UNKNOWN, None)


async def test_a_clock_that_is_set_back_revives_no_code(store, make):
    await store.add_code(a_code())
    assert await redeem(store, make, 90.0 - CLOCK_SKEW - 0.5) == (Redeemed.UNKNOWN, None)
    # The clocks of two nodes differ by a little.
    assert (await redeem(store, make, 90.0 - CLOCK_SKEW))[0] is Redeemed.FIRST_TIME
    # Whatever the clock says, what was spent is spent.
    assert (await redeem(store, make, 1.0))[0] is Redeemed.AGAIN


ROOM = Room(10, 10)


def a_device(**fields):
    given = {
        "digest": "device",
        "user_code": "user code",
        "client": "app",
        "resource": "https://api",
        "scopes": None,
        "issued_at": 90.0,
        "expires_at": 700.0,
        "interval": 5,
    }
    return DeviceCode(**given | fields)


def decided(state=DeviceState.APPROVED):
    return a_device(
        state=state, scopes=ScopeSet(["a"]), subject="usr_alice", authorization="atz_1", authenticated_at=95.0
    )


async def test_a_clock_that_is_set_back_revives_no_device_code(store, make):
    early = 90.0 - CLOCK_SKEW - 0.5
    assert await store.add_device_code(a_device(), ROOM, 90.0) is Begun.DONE
    assert await store.device_code_of_user("user code", early) is None
    assert not await store.decide_device_code(decided(), make.event("device.approved", at=early))
    assert (await store.poll_device_code("device", "app", early))[0] is Polled.EXPIRED
    assert await store.decide_device_code(decided(), make.event("device.approved", at=early + 0.5))
    assert (await store.poll_device_code("device", "app", early))[0] is Polled.EXPIRED
    assert (await store.poll_device_code("device", "app", 90.0))[0] is Polled.APPROVED


async def test_a_device_polls_until_a_person_decides_and_is_told_once(store, make):
    assert await store.add_device_code(a_device(), ROOM, 90.0) is Begun.DONE
    assert (await store.poll_device_code("device", "app", 100.0))[0] is Polled.PENDING
    assert (await store.device_code_of_user("user code", 101.0)).digest == "device"
    assert await store.decide_device_code(decided(), make.event("device.approved"))
    outcome, code = await store.poll_device_code("device", "app", 105.0)
    assert outcome is Polled.APPROVED
    assert (code.subject, code.authorization, code.scopes) == ("usr_alice", "atz_1", ScopeSet(["a"]))
    assert (await store.poll_device_code("device", "app", 110.0)) == (Polled.UNKNOWN, None)
    assert await store.device_code_of_user("user code", 106.0) is None


async def test_an_approved_device_is_told_once_however_many_ask(store, make):
    await store.add_device_code(a_device(), ROOM, 90.0)
    await store.decide_device_code(decided(), make.event())
    tries = await asyncio.gather(*(store.poll_device_code("device", "app", 100.0) for _ in range(20)))
    assert Counter(outcome for outcome, _ in tries)[Polled.APPROVED] == 1


async def test_a_device_that_polls_too_fast_must_slow_down(store, make):
    await store.add_device_code(a_device(), ROOM, 90.0)
    await store.poll_device_code("device", "app", 100.0)
    outcome, code = await store.poll_device_code("device", "app", 104.0)
    assert (outcome, code.interval) == (Polled.TOO_FAST, 10)
    assert (await store.poll_device_code("device", "app", 113.0))[1].interval == 15
    assert (await store.poll_device_code("device", "app", 128.0))[0] is Polled.PENDING


async def test_a_device_code_belongs_to_its_client_and_ends(store, make):
    await store.add_device_code(a_device(), ROOM, 90.0)
    assert (await store.poll_device_code("device", "web", 100.0))[0] is Polled.UNKNOWN
    assert (await store.poll_device_code("other", "app", 100.0))[0] is Polled.UNKNOWN
    assert (await store.poll_device_code("device", "app", 700.0))[0] is Polled.EXPIRED
    assert await store.device_code_of_user("user code", 700.0) is None
    assert not await store.decide_device_code(decided(), make.event(at=700.0))


async def test_a_denied_device_is_denied_and_cannot_be_approved_later(store, make):
    await store.add_device_code(a_device(), ROOM, 90.0)
    assert await store.decide_device_code(decided(DeviceState.DENIED), make.event("decided"))
    assert not await store.decide_device_code(decided(), make.event("decided"))
    assert (await store.poll_device_code("device", "app", 100.0))[0] is Polled.DENIED
    assert len(await journal(store, "decided")) == 1


async def test_a_user_code_is_in_use_once(store):
    assert await store.add_device_code(a_device(), ROOM, 90.0) is Begun.DONE
    assert await store.add_device_code(a_device(digest="another"), ROOM, 90.0) is Begun.TAKEN


async def test_a_pushed_request_is_used_once(store):
    request = PushedRequest("pushed", "app", (("scope", "a b"), ("state", "\u00e5")), 200.0)
    assert await store.push_request(request, ROOM, 90.0) is Begun.DONE
    assert await store.push_request(request, ROOM, 90.0) is Begun.TAKEN
    assert await store.pushed_request("pushed", 100.0) == request
    assert await store.pushed_request("pushed", 200.0) is None
    assert await store.pushed_request("other", 100.0) is None
    assert Counter(await asyncio.gather(*(store.spend_pushed_request("pushed") for _ in range(10))))[True] == 1
    assert await store.pushed_request("pushed", 100.0) is None


async def test_a_name_is_claimed_once_until_it_ends(store):
    tries = await asyncio.gather(*(store.claim("jti", 100.0, 200.0) for _ in range(10)))
    assert Counter(tries) == {Claimed.FIRST_TIME: 1, Claimed.AGAIN: 9}
    assert await store.claim("other", 100.0, 200.0) is Claimed.FIRST_TIME
    assert await store.claim("jti", 200.0, 300.0) is Claimed.FIRST_TIME
    assert await store.claim("jti", 299.0, 400.0) is Claimed.AGAIN


# -- keys, secrets, journal ------------------------------------------------------------------------------


def a_key(kid="k1", state=KeyState.ACTIVE, at=1.0, alg="ES256"):
    return StoredKey(kid, alg, '{"kty":"EC"}', at, state, at, "")


async def test_of_many_first_keys_one_is_kept(store, make):
    turns = [store.turn_keys([a_key(f"k{n}")], [], [], make.event("turned")) for n in range(10)]
    assert Counter(await asyncio.gather(*turns)) == {True: 1, False: 9}
    assert len(await store.keys()) == 1
    assert len(await journal(store, "turned")) == 1


async def test_keys_turn_together_and_only_once(store, make):
    await store.turn_keys([a_key("old")], [], [], make.event())
    after = [a_key("old", KeyState.RETIRED), a_key("new", at=2.0)]
    turns = [store.turn_keys(after, [], ["old:active"], make.event("turned")) for _ in range(10)]
    assert Counter(await asyncio.gather(*turns)) == {True: 1, False: 9}
    assert [(key.kid, key.state) for key in await store.keys()] == [("old", KeyState.RETIRED), ("new", KeyState.ACTIVE)]
    assert await store.turn_keys([], ["old"], ["old:retired", "new:active"], make.event("turned"))
    assert list(await store.keys()) == [a_key("new", at=2.0)]
    assert len(await journal(store, "turned")) == 2


async def test_a_secret_is_made_once(store):
    given = await asyncio.gather(*(store.secret("refresh", bytes([n]) * 32) for n in range(10)))
    assert len(set(given)) == 1
    assert await store.secret("refresh", b"x" * 32) == given[0]
    assert await store.secret("other", b"y" * 32) == b"y" * 32


async def test_the_journal_is_read_backwards_in_pages(store, make):
    for n in range(5):
        await store.record(replace(make.event(f"act {n}"), subject=f"usr_{n % 2}", client="app"))
    newest = await store.journal(limit=2)
    assert [line.what for line in newest] == ["act 4", "act 3"]
    older = await store.journal(before=newest[-1].number, limit=2)
    assert [line.what for line in older] == ["act 2", "act 1"]
    assert [line.what for line in await store.journal(subject="usr_1")] == ["act 3", "act 1"]
    assert len(await store.journal(client="app")) == 5
    assert not await store.journal(client="web")


async def test_a_line_of_the_journal_says_from_where(store, make):
    line = replace(make.event(), object="fam_1", detail="scopes: a", origin=Origin("192.0.2.1", "curl/8"))
    await store.record(line)
    (kept,) = await store.journal()
    assert replace(kept, number=0) == line


async def test_purging_takes_what_has_expired_and_nothing_else(store, make):
    old, young = make.family(expires_at=500.0), make.family()
    await store.open_family(old, make.token(old, "old"), make.event())
    await store.open_family(young, make.token(young), make.event())
    await store.add_code(a_code())
    await store.add_device_code(a_device(), ROOM, 90.0)
    await store.push_request(PushedRequest("pushed", "app", (), 200.0), ROOM, 90.0)
    await store.claim("jti", 100.0, 200.0)
    await store.revoke(Revocation(Revoked.TOKEN, "jti", 100.0, 200.0), make.event())
    await store.revoke(Revocation(Revoked.TOKEN, "later jti", 100.0, 10.0**6), make.event())
    lines = len(await journal(store))
    assert await store.purge(150.0) == 0
    # Two rows of a family, a device code, a pushed request, a claim, a line of the feed.
    assert await store.purge(900.0) == 6
    assert await store.refresh_token("old") is None
    assert await store.refresh_token("first") is not None
    assert len(await journal(store)) == lines
    assert await store.purge(150.0 + CODE_KEPT, journal_before=100.5) == 3 + lines
    assert not await journal(store)


async def test_a_spent_token_is_kept_while_its_family_can_live(store, make):
    await opened(store, make)
    await store.rotate(make.rotation(), make.event())
    await store.purge(5_000.0)
    assert await store.rotate(make.rotation(now=5_000.0), make.event()) is Rotated.REPLAYED


async def test_a_spent_code_is_kept_while_what_came_of_it_can_live(store, make):
    await store.add_code(a_code())
    await redeem(store, make)
    family = make.family(id="fam_of_code", expires_at=10.0**6)
    await store.open_family(family, make.token(family), make.event())
    await store.purge(150.0 + CODE_KEPT)
    assert (await redeem(store, make, 150.0 + CODE_KEPT))[0] is Redeemed.AGAIN


async def test_a_store_that_is_open_is_ready_and_closes_twice(store):
    await store.check()
    await store.close()
    await store.close()
