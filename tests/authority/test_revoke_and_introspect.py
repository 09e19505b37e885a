"""Giving tokens back (RFC 7009), and asking what they are worth (RFC 7662)."""

import secrets

import pytest

from bailiwick.authority import Settings
from bailiwick.authority.records import Revocation, Revoked
from bailiwick.errors import StoreError
from bailiwick.tokens import Signer, SigningKey

pytestmark = pytest.mark.anyio

NO = {"active": False}


# -- revocation ---------------------------------------------------------------------------------------


async def test_cve_2016_6582_a_public_client_revokes_its_own_tokens(world):
    tokens = await world.log_in("alice")
    await world.revoke(tokens.refresh_token)
    assert await world.refused(world.refresh(tokens)) == ("invalid_grant", "BW402")
    assert await world.introspect(tokens.refresh_token) == NO


async def test_revoking_a_refresh_token_ends_the_access_tokens_of_all_its_rotations(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    assert (await world.introspect(first.access_token))["active"]
    await world.revoke(second.refresh_token)
    assert await world.introspect(first.access_token) == NO
    assert await world.introspect(second.access_token) == NO


async def test_a_spent_refresh_token_ends_the_family_too(world):
    first = await world.log_in("alice")
    second = await world.refresh(first)
    await world.revoke(first.refresh_token)
    assert await world.refused(world.refresh(second)) == ("invalid_grant", "BW402")


async def test_revoking_an_access_token_leaves_the_rest(world):
    tokens = await world.log_in("alice")
    other = await world.refresh(tokens)
    await world.revoke(tokens.access_token)
    assert await world.introspect(tokens.access_token) == NO
    assert (await world.introspect(other.access_token))["active"]
    assert (await world.refresh(other)).scope


@pytest.mark.parametrize("hint", ["access_token", "refresh_token", "foo"])
async def test_a_wrong_hint_does_not_matter(world, hint):
    tokens = await world.log_in("alice")
    await world.revoke(tokens.access_token, token_type_hint=hint)
    assert await world.introspect(tokens.access_token) == NO
    await world.revoke(tokens.refresh_token, token_type_hint=hint)
    assert await world.introspect(tokens.refresh_token) == NO


async def test_an_unknown_or_dead_token_is_a_success(world):
    tokens = await world.log_in("alice")
    for token in ("x", "a.b.c", "bwr_" + secrets.token_urlsafe(32), tokens.access_token + "x", "\u00e5", "a.b"):
        await world.revoke(token)
    for _ in range(2):
        await world.revoke(tokens.access_token)
        await world.revoke(tokens.refresh_token)
    assert len(await world.lines("token.revoked")) == 1
    assert len(await world.lines("family.revoked")) == 1


async def test_another_clients_token_stays_good(world):
    tokens = await world.log_in("alice", client="app")
    for token in (tokens.access_token, tokens.refresh_token):
        assert await world.refused(world.revoke(token, client="other")) == ("unauthorized_client", "BW411")
    assert (await world.introspect(tokens.access_token))["active"]
    assert (await world.refresh(tokens)).scope


async def test_credentials_are_checked_before_anything_is_revoked(world):
    tokens = await world.log_in("alice", client="web")
    assert await world.refused(world.revoke(tokens.refresh_token, client="web")) == ("invalid_client", "BW401")
    wrong = world.revoke(tokens.refresh_token, client="web", secret="wrong")
    assert await world.refused(wrong) == ("invalid_client", "BW401")
    assert (await world.introspect(tokens.refresh_token))["active"]
    await world.revoke(tokens.refresh_token, client="web", secret=world.secrets["web"])
    assert await world.introspect(tokens.refresh_token) == NO


async def test_cve_2020_15223_trouble_with_the_store_is_no_success(world, monkeypatch):
    tokens = await world.log_in("alice")

    async def broken(*_args):
        raise StoreError("The store cannot answer.")

    monkeypatch.setattr(world.store, "revoke", broken)
    for token in (tokens.access_token, tokens.refresh_token):
        with pytest.raises(StoreError) as caught:
            await world.revoke(token)
        assert caught.value.status == 503


async def test_revocations_are_told_in_the_feed_until_the_tokens_would_have_expired(world):
    tokens = await world.log_in("alice")
    await world.revoke(tokens.access_token)
    await world.revoke(tokens.refresh_token)
    one, two = await world.store.revocations(now=world.now)
    claims = world.claims(tokens)
    assert (one.kind, one.key, one.by) == (Revoked.TOKEN, claims["jti"], "client")
    assert (two.kind, two.key) == (Revoked.FAMILY, claims["jti"].partition(".")[0])
    assert one.until > claims["exp"] + world.authority.verifier.leeway


# -- introspection ---------------------------------------------------------------------------------------


async def test_an_access_token_is_told_about_as_it_is(world):
    tokens = await world.log_in("alice")
    claims = world.claims(tokens)
    assert await world.introspect(tokens.access_token) == {
        "active": True,
        "scope": "users:read posts:read",
        "client_id": "app",
        "sub": world.people["alice"].id,
        "token_type": "Bearer",
        "iss": world.issuer,
        "aud": world.api,
        "iat": claims["iat"],
        "exp": claims["exp"],
        "jti": claims["jti"],
        "authz": claims["authz"],
        "auth_time": claims["auth_time"],
    }
    assert all(isinstance(claims[name], int) for name in ("iat", "exp", "auth_time"))


async def test_a_clients_own_token_is_told_about(world):
    tokens = await world.serve()
    told = await world.introspect(tokens.access_token)
    assert (told["active"], told["sub"], told["scope"]) == (True, "service", str(tokens.scope))
    assert "authz" not in told


async def test_a_refresh_token_is_told_about_while_it_is_the_head(world):
    first = await world.log_in("alice")
    told = await world.introspect(first.refresh_token)
    assert (told["active"], told["client_id"], told["scope"]) == (True, "app", "users:read posts:read")
    assert isinstance(told["exp"], int)
    second = await world.refresh(first)
    assert await world.introspect(first.refresh_token) == NO
    world.now += world.settings.lifetimes.refresh_idle
    assert await world.introspect(second.refresh_token) == NO


async def test_only_clients_with_the_right_may_ask(world):
    tokens = await world.log_in("alice")
    assert await world.refused(world.introspect(tokens.access_token, client="app")) == ("invalid_client", "BW401")
    assert await world.refused(world.introspect(tokens.access_token, client="nobody")) == ("invalid_client", "BW401")
    assert await world.refused(world.introspect(tokens.access_token, secret="wrong")) == ("invalid_client", "BW401")
    assert await world.refused(world.introspect(tokens.access_token, client="web")) == ("unauthorized_client", "BW411")


async def test_cve_2026_37979_a_resource_server_learns_nothing_about_tokens_for_another_one(world):
    made = await world.admin.create_client(
        "files", grants=["client_credentials"], scopes=["files:*"], introspects=[world.files]
    )
    world.secrets["files"] = made.secret
    theirs = await world.log_in("root", scope="files:read", resource=world.files)
    ours = await world.log_in("root")
    assert (await world.introspect(theirs.access_token, client="files"))["active"]
    assert (await world.introspect(theirs.refresh_token, client="files"))["active"]
    assert await world.introspect(ours.access_token, client="files") == NO
    assert await world.introspect(ours.refresh_token, client="files") == NO
    assert (await world.introspect(ours.access_token, client="service"))["active"]


async def test_whatever_is_in_doubt_is_inactive(world):
    tokens = await world.log_in("alice")
    key = SigningKey.generate("ES256")
    forged = Signer(key).sign(world.claims(tokens), typ="at+jwt")
    for token in (
        "x", "a.b.c", forged, tokens.access_token[:-2], tokens.access_token + "A", "bwr_" + secrets.token_urlsafe(32),
        tokens.refresh_token[:-1], tokens.refresh_token.upper(), "\u00e5",
    ):  # fmt: skip
        assert await world.introspect(token) == NO, token


@pytest.mark.parametrize(
    "change",
    [
        {"exp": 1},
        {"nbf": 4_000_000_000},
        {"iss": "https://evil.example"},
        {"aud": "https://evil.example"},
        {"client_id": "nobody"},
        {"sub": "usr_nobody"},
        {"authz": "atz_nobody"},
        {"authz": None},
        {"scope": "users:delete"},
        {"jti": None},
        {"iat": None},
    ],
)
async def test_a_token_of_ours_with_one_thing_wrong_is_inactive(world, change):
    claims = {name: value for name, value in (world.claims(await world.log_in("alice")) | change).items() if value}
    token = (await world.authority.keys.signer()).sign(claims, typ="at+jwt")
    assert await world.introspect(token) == NO


async def test_an_expired_token_is_inactive_at_its_second(world):
    tokens = await world.log_in("alice")
    world.now += 599
    assert (await world.introspect(tokens.access_token))["active"]
    world.now += 1
    assert await world.introspect(tokens.access_token) == NO


async def test_disabled_people_and_clients_have_no_active_tokens(world):
    one, two = await world.log_in("alice"), await world.log_in("erin", client="other")
    await world.admin.disable_account("alice")
    await world.admin.disable_client("other")
    for tokens in (one, two):
        assert await world.introspect(tokens.access_token) == NO
        assert await world.introspect(tokens.refresh_token) == NO


async def test_what_a_person_was_logged_in_to_stays_ended_after_they_are_enabled_again(world):
    tokens = await world.log_in("alice")
    await world.admin.disable_account("alice")
    await world.admin.enable_account("alice")
    assert await world.introspect(tokens.access_token) == NO
    world.now += 2
    assert (await world.introspect((await world.log_in("alice")).access_token))["active"]


async def test_one_withdrawn_scope_is_gone_at_once_and_the_others_stay(world):
    tokens = await world.log_in("alice")
    await world.admin.withdraw(world.claims(tokens)["authz"], "users:read")
    assert (await world.introspect(tokens.access_token))["scope"] == "posts:read"
    assert (await world.introspect(tokens.refresh_token))["scope"] == "posts:read"


async def test_roles_and_ceilings_count_at_once(world):
    tokens = await world.log_in("erin")
    await world.admin.set_client_scopes("app", ["posts:*"])
    assert (await world.introspect(tokens.access_token))["scope"] == "posts:read posts:write"
    await world.admin.take_role("erin", "editor")
    assert await world.introspect(tokens.access_token) == NO


async def test_a_token_revoked_by_its_id_is_inactive(world):
    tokens = await world.log_in("alice")
    assert await world.admin.revoke_token(world.claims(tokens)["jti"]) == 1
    assert await world.introspect(tokens.access_token) == NO


async def test_a_line_of_the_feed_about_one_scope_does_not_end_a_token(world):
    tokens = await world.log_in("alice")
    authz = world.claims(tokens)["authz"]
    line = Revocation(Revoked.SCOPE, authz, world.now, world.now + 600, "posts:read", "person")
    await world.store.revoke(line, (await world.lines())[0])
    assert (await world.introspect(tokens.access_token))["scope"] == "users:read"


async def test_tokens_of_a_resource_that_is_gone_are_inactive(world, make_world):
    tokens = await world.log_in("root", scope="files:read", resource=world.files)
    later = make_world(store=world.store, settings=Settings(world.issuer, world.api))
    later.secrets = world.secrets
    assert await later.introspect(tokens.access_token) == NO
    assert await later.introspect(tokens.refresh_token) == NO
