"""The revocation feed: signed, in order, bounded, and of its own type."""

import pytest

from bailiwick.authority.feed import FEED_TYPE
from bailiwick.authority.records import Origin
from bailiwick.errors import InvalidToken
from bailiwick.tokens import JWTVerifier
from bailiwick.tokens.jws import read, read_claims

pytestmark = pytest.mark.anyio


async def fetched(world, after=0):
    document = await world.authority.feed.document(after, world.now)
    envelope = read(document.token, max_bytes=10_000_000)
    assert envelope.typ == FEED_TYPE
    (key,) = await world.authority.keys.find(envelope.kid, envelope.alg)
    assert key.verify(envelope.signing_input, envelope.signature)
    return document, read_claims(envelope.payload)


async def test_an_empty_feed_is_signed_too(flows):
    document, claims = await fetched(flows)
    assert claims == {
        "iss": flows.issuer,
        "iat": int(flows.now),
        "exp": int(flows.now) + flows.authority.feed.bound,
        "after": 0,
        "last": 0,
        "newest": 0,
        "life": flows.authority.feed.bound,
        "lines": [],
    }
    assert document.etag == '"0-0"'
    assert document.lines == 0


async def test_each_kind_of_revocation_is_told_in_order(flows):
    tokens = await flows.redeem(await flows.code())
    claims = flows.claims(tokens)
    alice = flows.people["alice"].id
    await flows.admin.revoke_token(claims["jti"])
    await flows.authority.consents.withdraw(alice, claims["authz"], "posts:read", origin=Origin(), now=flows.now)
    await flows.admin.revoke_family(claims["jti"].partition(".")[0])
    await flows.admin.withdraw(claims["authz"])
    await flows.admin.disable_account("alice")
    await flows.admin.disable_client("spa")
    document, feed = await fetched(flows)
    told = [(kind, key, scope) for _, kind, key, _, _, scope in feed["lines"]]
    assert told == [
        ("token", claims["jti"], ""),
        ("scope", claims["authz"], "posts:read"),
        ("family", claims["jti"].partition(".")[0], ""),
        ("authorization", claims["authz"], ""),
        ("subject", alice, ""),
        ("client", "spa", ""),
    ]
    numbers = [line[0] for line in feed["lines"]]
    assert numbers == sorted(numbers)
    assert feed["last"] == document.last == numbers[-1]
    for _, _, _, at, until, _ in feed["lines"]:
        # "issued at or before" covers what was issued in this very second.
        assert claims["iat"] <= at == flows.now
        assert until >= claims["exp"]


async def test_a_follower_asks_for_what_it_lacks(flows):
    await flows.admin.revoke_token("one")
    first, _ = await fetched(flows)
    feed = flows.authority.feed
    assert feed.etag(first.last, await feed.newest()) == f'"{first.last}-{first.last}"'
    await flows.admin.revoke_token("two")
    second, claims = await fetched(flows, first.last)
    assert [line[2] for line in claims["lines"]] == ["two"]
    assert claims["after"] == first.last
    nothing, claims = await fetched(flows, second.last)
    assert claims["lines"] == []
    assert claims["last"] == second.last == nothing.last


async def test_the_mark_changes_when_and_only_when_there_is_something_new(flows):
    feed = flows.authority.feed
    before = feed.etag(0, await feed.newest())
    flows.now += 5
    assert feed.etag(0, await feed.newest()) == before
    await flows.admin.revoke_token("one")
    after = feed.etag(0, await feed.newest())
    assert after != before
    assert (await feed.document(0, flows.now)).etag == after


async def test_lines_end_with_the_longest_token(flows):
    await flows.admin.revoke_token("one")
    flows.now += flows.authority.feed.bound - 1
    assert (await fetched(flows))[0].lines == 1
    flows.now += 1
    assert (await fetched(flows))[0].lines == 0
    assert flows.authority.feed.bound == flows.settings.lifetimes.access + 60


async def test_the_feed_is_no_access_token_and_an_access_token_no_feed(flows):
    document, _ = await fetched(flows)
    for verifier in (
        flows.authority.verifier,
        JWTVerifier(flows.authority.keys, issuer=flows.issuer, audience=flows.api, now=lambda: flows.now),
    ):
        with pytest.raises(InvalidToken):
            await verifier.verify(document.token)
    tokens = await flows.redeem(await flows.code())
    assert read(tokens.access_token).typ == "at+jwt"


async def test_a_document_shows_in_no_repr(flows):
    document, _ = await fetched(flows)
    assert document.token not in repr(document)


async def test_what_revokes_a_code_is_in_the_feed(flows):
    code = await flows.code()
    tokens = await flows.redeem(code)
    await flows.refused(flows.redeem(code))
    _, claims = await fetched(flows)
    (line,) = claims["lines"]
    assert line[1] == "family"
    assert flows.claims(tokens)["jti"].startswith(line[2] + ".")
