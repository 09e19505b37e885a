"""Flaws that were published of others, about what reaches a database."""

import pytest

from bailiwick.authority.records import Revocation, Revoked

pytestmark = pytest.mark.anyio

HOSTILE = [
    "' OR '1'='1",
    "'; DROP TABLE clients; --",
    '" OR ""="',
    "app' --",
    "app%",
    "a_p",
    "%",
    "*",
    "\\",
    "1) OR (1=1",
    "app' UNION SELECT * FROM clients --",
]


@pytest.mark.parametrize("name", ["GHSA-r9w3-57w2-gch2", "CVE-2026-33505"])
async def test_ghsa_r9w3_57w2_gch2_cve_2026_33505_what_is_looked_for_is_never_a_statement(store, make, name):
    app, alice = make.client("app"), make.account("alice")
    assert await store.add(app, make.event())
    assert await store.add(alice, make.event())
    given = await store.consent(make.authorization(subject=alice.id, client="app"), make.event())
    family = make.family(authorization=given.id, subject=alice.id)
    assert await store.open_family(family, make.token(family), make.event("token.issued"))
    for hostile in HOSTILE:
        assert await store.client(hostile) is None
        assert await store.account(hostile) is None
        assert await store.account_named(hostile) is None
        assert await store.standing(hostile) is None
        assert await store.authorization(hostile) is None
        assert await store.authorization_of(hostile, "app", "https://api") is None
        assert not await store.authorizations(subject=hostile)
        assert not await store.authorizations(client=hostile)
        assert await store.family(hostile) is None
        assert not await store.families(subject=hostile)
        assert not await store.families(client=hostile)
        assert await store.refresh_token(hostile) is None
        assert await store.device_code_of_user(hostile, 100.0) is None
        assert await store.pushed_request(hostile, 100.0) is None
        assert await store.session(hostile, 100.0) is None
        assert not await store.journal(subject=hostile)
        assert not await store.journal(client=hostile)
        assert not await store.revoked([hostile], 100.0)
    # And what is kept under such a name is found under it, and under no other.
    for number, hostile in enumerate(HOSTILE):
        assert await store.add(make.client(f"{hostile} {number}", name=hostile), make.event(hostile))
        assert (await store.client(f"{hostile} {number}")).name == hostile
        await store.revoke(Revocation(Revoked.TOKEN, hostile, 100.0, 700.0), make.event("token.revoked"))
        assert [line.key for line in await store.revoked([hostile], 200.0)] == [hostile]
    assert await store.client("app") == app
    assert len(await store.clients()) == 1 + len(HOSTILE)
    assert {line.key for line in await store.revocations(now=200.0)} == set(HOSTILE)


async def test_ghsa_r9w3_57w2_gch2_pages_are_asked_for_by_number(store, make):
    for number in range(5):
        await store.record(make.event(f"act {number}"))
    seen, before = [], None
    while page := await store.journal(before=before, limit=2):
        seen += [line.what for line in page]
        before = page[-1].number
    assert seen == [f"act {number}" for number in (4, 3, 2, 1, 0)]
