"""What an operator may do, and what is refused before it can do harm."""

import asyncio

import pytest

from bailiwick.authority.admin import check_redirect
from bailiwick.authority.records import ClientAuth, GrantType
from bailiwick.errors import ConfigurationError
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio


async def refusal(work):
    with pytest.raises(ConfigurationError) as caught:
        await work
    return str(caught.value)


# -- roles ----------------------------------------------------------------------------------------------


async def test_the_catalogs_roles_are_seeded_once_and_an_operators_change_stays(world):
    assert [role.name for role in await world.admin.roles()] == ["admin", "editor", "reader"]
    await world.admin.set_role("reader", ["posts:read"])
    assert await world.admin.seed_roles() == 0
    assert (await world.log_in("alice")).scope == ScopeSet(["posts:read"])


async def test_a_new_role_can_be_made_given_and_dropped(world):
    await world.admin.set_role("deleter", ["users:delete"])
    await world.admin.give_role("alice", "deleter")
    assert "users:delete" in (await world.log_in("alice")).scope
    await world.admin.drop_role("deleter")
    assert "users:delete" not in (await world.log_in("alice")).scope
    assert "no role 'deleter'" in await refusal(world.admin.drop_role("deleter"))
    assert "no role 'deleter'" in await refusal(world.admin.give_role("alice", "deleter"))


async def test_a_role_with_an_unknown_scope_names_the_nearest_known_one(world):
    message = await refusal(world.admin.set_role("reader", ["user:read"]))
    assert "'user:read'" in message
    assert "'users:read'" in message
    assert "at least one scope" in await refusal(world.admin.set_role("empty", []))


# -- people -------------------------------------------------------------------------------------------


async def test_a_name_is_taken_once(world):
    assert "taken" in await refusal(world.admin.create_account("ALICE", "a password"))


@pytest.mark.parametrize("name", ["", " x", "x ", "a\nb", "a\0b", "x" * 257])
async def test_a_name_that_cannot_be_read_aloud_is_refused(world, name):
    assert "printable" in await refusal(world.admin.create_account(name, "a password"))


async def test_a_short_or_giant_password_is_refused(world):
    assert "at least 8" in await refusal(world.admin.create_account("bob", "1234567"))
    assert "at most 1024" in await refusal(world.admin.create_account("bob", "x" * 1_025))
    assert "at least 8" in await refusal(world.admin.set_password("alice", "short"))


async def test_direct_scopes_are_given_and_taken(world):
    await world.admin.give_scopes("alice", ["users:delete", "posts:*"])
    assert {"users:delete", "posts:write"} <= set((await world.log_in("alice")).scope)
    await world.admin.take_scopes("alice", ["posts:*", "users:delete"])
    assert (await world.log_in("alice")).scope == ScopeSet(["users:read", "posts:read"])
    assert "catalog does not know" in await refusal(world.admin.give_scopes("alice", ["user:delete"]))


async def test_nobody_unknown_can_be_changed(world):
    for work in (
        world.admin.set_password("nobody", "a password"),
        world.admin.give_role("nobody", "reader"),
        world.admin.disable_account("nobody"),
        world.admin.revoke_account_tokens("nobody"),
        world.admin.authorizations(person="nobody"),
        world.admin.journal(person="nobody"),
    ):
        assert "no person 'nobody'" in await refusal(work)
    for work in (world.admin.disable_client("nobody"), world.admin.set_client_secret("nobody")):
        assert "no client 'nobody'" in await refusal(work)
    assert "no authorization" in await refusal(world.admin.withdraw("atz_none"))


async def test_operators_who_change_one_person_at_once_both_have_their_way(world):
    await asyncio.gather(
        world.admin.give_role("alice", "editor"),
        world.admin.give_role("alice", "admin"),
        world.admin.give_scopes("alice", ["users:delete"]),
    )
    alice = await world.admin.account("alice")
    assert alice.roles == {"reader", "editor", "admin"}
    assert alice.grants == ScopeSet(["users:delete"])


async def test_who_loses_every_race_is_told(world, monkeypatch):
    async def somebody_else(*_args, **_more):
        return False

    monkeypatch.setattr(world.store, "change", somebody_else)
    assert "Somebody else" in await refusal(world.admin.disable_account("alice"))
    assert "Somebody else" in await refusal(world.admin.disable_client("app"))
    assert "Somebody else" in await refusal(world.admin.set_role("reader", ["posts:read"]))


async def test_a_person_can_be_logged_out_everywhere(world):
    tokens = await world.log_in("alice")
    assert await world.admin.revoke_account_tokens("alice") == 1
    assert await world.refused(world.refresh(tokens)) == ("invalid_grant", "BW402")
    assert await world.introspect(tokens.access_token) == {"active": False}


# -- clients --------------------------------------------------------------------------------------------


async def test_a_made_secret_is_shown_once_and_kept_as_a_digest(world):
    made = await world.admin.create_client("batch", grants=["client_credentials"], scopes=["users:read"])
    assert made.secret.startswith("bwk_")
    assert made.secret not in repr(made)
    assert made.secret not in repr(await world.store.client("batch"))
    assert (await world.store.client("batch")).secret.startswith("sha256:")
    assert made.secret not in repr(await world.lines())


async def test_a_client_without_an_id_gets_one(world):
    made = await world.admin.create_client(name="Batch", grants=["client_credentials"], scopes=["users:read"])
    assert made.client.id.startswith("cli_")
    assert (await world.admin.client(made.client.id)).name == "Batch"
    assert made.client in await world.admin.clients()


async def test_a_new_secret_replaces_the_old_one(world):
    old = world.secrets["service"]
    made = await world.admin.set_client_secret("service")
    assert await world.refused(world.serve(client_secret=old)) == ("invalid_client", "BW401")
    assert (await world.serve(client_secret=made.secret)).scope
    await world.admin.set_client_secret("service", "chosen")
    assert (await world.serve(client_secret="chosen")).scope
    assert "public" in await refusal(world.admin.set_client_secret("app"))


EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
API = "https://api.example.com"
GOOD = {"grants": ["client_credentials"], "scopes": ["users:read"]}


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"id": "a b"}, "letters"),
        ({"id": ""}, "letters"),
        ({"id": "x" * 101}, "letters"),
        ({"id": "a/b"}, "letters"),
        ({"id": "usr_x"}, "as people's do"),
        ({"scopes": []}, "no scope"),
        ({"scopes": ["user:read"]}, "Did you mean 'users:read'"),
        ({"default": ["nothing"]}, "catalog does not know"),
        ({"public": True}, "act for itself"),
        ({"public": True, "grants": [], "introspects": True}, "cannot introspect"),
        ({"public": True, "grants": [], "secret": "x" * 40}, "cannot have a secret"),
        ({"grants": ["password"]}, "RFC 9700 section 2.4"),
        ({"grants": ["authorization_code"]}, "no redirect URI"),
        ({"grants": ["implicit"]}, "no grant type 'implicit'"),
        ({"redirects": ["http://example.com/cb"]}, "neither https"),
        ({"introspects": ["https://unknown.example"]}, "no resource here"),
        ({"exchange_targets": [API]}, "may not exchange any"),
        ({"grants": [EXCHANGE], "exchange_targets": ["https://unknown.example"]}, "no resource here"),
        ({"grants": [EXCHANGE], "exchange_targets": ["*"]}, "no resource here"),
        ({"secret": "\u00e5" * 40}, "printable ASCII"),
        ({"secret": ""}, "printable ASCII"),
    ],
)
async def test_a_client_that_contradicts_itself_is_refused(world, wrong, why):
    before = await world.admin.clients()
    given = {"id": "new"} | GOOD | wrong
    assert why in await refusal(world.admin.create_client(given.pop("id"), **given))
    assert await world.admin.clients() == before


async def test_a_client_id_is_taken_once(world):
    assert "taken" in await refusal(world.admin.create_client("app", **GOOD))


async def test_a_client_is_made_as_it_was_asked_for(world):
    made = await world.admin.create_client(
        "web2",
        name="Web",
        grants=[GrantType.AUTHORIZATION_CODE, "refresh_token"],
        scopes=["users:*"],
        default=["users:read"],
        redirects=["https://example.com/cb", "http://127.0.0.1/callback", "com.example.app:/cb"],
        introspects=[world.api],
    )
    client = await world.store.client("web2")
    assert client == made.client
    assert client.auth is ClientAuth.SECRET
    assert (client.introspects, client.default, len(client.redirects)) == ({world.api}, ScopeSet(["users:read"]), 3)


@pytest.mark.parametrize(
    "uri",
    [
        "https://example.com/cb",
        "https://example.com/cb?x=y",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:8123/callback",
        "http://[::1]/callback",
        "com.example.app:/callback",
    ],
)
def test_a_redirect_uri_that_can_be_compared_is_accepted(uri):
    check_redirect("app", uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com/cb",
        "http://localhost/cb",
        "http://localhost.evil.example/cb",
        "http://127.0.0.1.evil.example/cb",
        "http://127.0.0.1@evil.example/cb",
        "https://user@example.com/cb",
        "https://a@b@example.com/cb",
        "https://@example.com/cb",
        "https:///cb",
        "https://example.com/cb#fragment",
        "https://*.example.com/cb",
        "https://example.com/\\evil",
        "https://ex\u00e4mple.com/cb",
        "https://example.com/a b",
        "https://example.com/\ncb",
        "https://[::1/cb",
        "https://example.com:port/cb",
        "/cb",
        "",
        "javascript:alert(1)",
        "JavaScript:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "file:///etc/passwd",
        "app:/cb",
        "com.example.app://host/cb",
    ],
)
def test_cve_2026_9086_a_redirect_uri_that_could_run_code_or_be_misread_is_refused(uri):
    with pytest.raises(ConfigurationError, match="redirect URI"):
        check_redirect("app", uri)


# -- authorizations and the journal ---------------------------------------------------------------------


async def test_authorizations_are_listed_by_person_and_client(world):
    await world.log_in("alice")
    await world.log_in("erin")
    await world.log_in("alice", client="other")
    assert len(await world.admin.authorizations()) == 3
    assert len(await world.admin.authorizations(person="alice")) == 2
    assert len(await world.admin.authorizations(client="app")) == 2


async def test_giving_back_an_unknown_scope_is_refused(world):
    tokens = await world.log_in("alice")
    work = world.admin.give_back(world.claims(tokens)["authz"], ["user:read"])
    assert "catalog does not know" in await refusal(work)


async def test_every_act_is_in_the_journal_with_who_what_and_from_where(world):
    await world.admin.set_password("alice", "another password")
    await world.admin.disable_account("alice")
    await world.admin.enable_account("alice")
    await world.admin.disable_client("other")
    await world.admin.set_role("reader", ["users:read"])
    acts = [line for line in await world.lines() if line.actor == "operator:jane"]
    assert [line.what for line in acts][-5:] == [
        "account.password_set", "account.disabled", "account.enabled", "client.disabled", "role.set",
    ]  # fmt: skip
    assert {line.origin.address for line in acts} == {"192.0.2.9"}
    assert "another password" not in repr(acts)
    alice = world.people["alice"].id
    assert {line.subject for line in await world.admin.journal(person="alice")} == {alice}
    assert [line.what for line in await world.admin.journal(client="other", limit=1)] == ["client.disabled"]


async def test_purging_keeps_what_still_matters(world):
    tokens = await world.log_in("alice")
    world.now += world.settings.lifetimes.journal + 1
    assert await world.admin.purge() > 0
    assert await world.refused(world.refresh(tokens)) == ("invalid_grant", "BW402")
    assert (await world.log_in("alice")).scope
    assert not await world.lines("account.created")
