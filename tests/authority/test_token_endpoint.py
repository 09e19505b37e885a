"""The token endpoint: who gets a token, and with which scopes."""

import base64
from dataclasses import replace

import pytest

from bailiwick.authority import STRICT, Settings
from bailiwick.authority.accounts import Verdict
from bailiwick.authority.records import GrantType, Resource
from bailiwick.errors import Refused, Unavailable
from bailiwick.scopes import Catalog, ScopeSet

pytestmark = pytest.mark.anyio


# -- password ---------------------------------------------------------------------------------------


async def test_a_person_logs_in_and_gets_what_their_role_gives(world):
    tokens = await world.log_in("alice")
    body = tokens.as_json()
    assert set(body) == {"access_token", "token_type", "expires_in", "scope", "refresh_token"}
    assert (body["token_type"], body["expires_in"]) == ("Bearer", 600)
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    claims = world.claims(tokens)
    assert set(claims) == {"iss", "aud", "sub", "client_id", "iat", "exp", "jti", "scope", "rev", "authz", "auth_time"}
    assert (claims["iss"], claims["aud"], claims["client_id"]) == (world.issuer, world.api, "app")
    assert claims["sub"] == world.people["alice"].id
    assert claims["exp"] - claims["iat"] == 600
    assert claims["scope"] == body["scope"]


async def test_the_token_verifies_with_the_published_keys(world):
    tokens = await world.log_in("alice")
    principal = await world.authority.verifier.verify(tokens.access_token)
    assert principal.subject == world.people["alice"].id
    assert principal.scopes == tokens.scope
    (key,) = (await world.authority.jwks())["keys"]
    assert key["alg"] == "ES256"
    assert "d" not in key


async def test_scopes_asked_for_are_narrowed_to_what_the_person_may_have(world):
    tokens = await world.log_in("alice", scope="users:read users:write posts:read")
    assert tokens.scope == ScopeSet(["users:read", "posts:read"])
    assert tokens.as_json()["scope"] == "users:read posts:read"


async def test_wildcards_are_asked_for_and_issued_as_what_they_stand_for(world):
    assert (await world.log_in("erin", scope="posts:*")).scope == ScopeSet(["posts:read", "posts:write"])
    assert (await world.log_in("root", scope="users:delete")).scope == ScopeSet(["users:delete"])
    assert (await world.log_in("root", scope="admin:*")).scope == ScopeSet(["admin:*"])


async def test_nothing_that_may_be_issued_is_invalid_scope(world):
    assert await world.refused(world.log_in("alice", scope="users:delete")) == ("invalid_scope", "BW405")


@pytest.mark.parametrize("scope", ["unknown", "users:read unknown", "Users:read", "unknown:*", "*"])
async def test_an_unknown_scope_is_invalid_and_never_widened(world, scope):
    assert await world.refused(world.log_in("root", scope=scope)) == ("invalid_scope", "BW405")


async def test_order_and_repetition_of_scopes_do_not_matter(world):
    one = await world.log_in("alice", scope="users:read posts:read")
    two = await world.log_in("alice", scope="posts:read users:read posts:read")
    assert one.scope == two.scope


async def test_wrong_password_unknown_name_and_disabled_person_get_one_answer(world):
    await world.admin.disable_account("erin")
    answers = set()
    for name, password in (("alice", "wrong"), ("nobody", "wrong"), ("erin", "erin's password"), ("x" * 300, "x")):
        with pytest.raises(Refused) as caught:
            await world.log_in(name, password=password)
        answers.add((caught.value.code, caught.value.status, caught.value.id, caught.value.description))
    assert len(answers) == 1
    assert next(iter(answers))[:3] == ("invalid_grant", 400, "BW407")


async def test_cve_2026_22746_an_unknown_name_costs_the_same_hashing_as_a_known_one(make_world):
    class Watching:
        def __init__(self):
            self.seen = []

        async def hash(self, password, caller=None):
            return f"hash of {password}"

        async def verify(self, hash, password, caller=None):
            self.seen.append(hash)
            return Verdict.RIGHT if hash == f"hash of {password}" else Verdict.WRONG

    hasher = Watching()
    world = await make_world(hasher=hasher).furnish()
    await world.admin.disable_account("erin")
    for name in ("alice", "nobody", "erin"):
        await world.refused(world.log_in(name, password="wrong"))
    assert hasher.seen == ["hash of alice's password", None, "hash of erin's password"]
    await world.refused(world.log_in("alice", password="x" * 1_025))
    assert hasher.seen[-1] is None


async def test_a_failed_login_is_written_down_without_name_or_password(world):
    await world.refused(world.log_in("alice", password="typed-wrong"))
    await world.refused(world.log_in("pa55word-in-the-wrong-field", password="typed-wrong"))
    one, two = await world.lines("login.failed")
    assert (one.subject, one.detail) == (world.people["alice"].id, "wrong password")
    assert (two.subject, two.detail) == ("", "unknown name")
    assert (one.origin.address, one.client) == ("192.0.2.1", "app")
    assert "typed-wrong" not in repr((one, two))
    assert "pa55word" not in repr((one, two))


async def test_a_name_is_known_in_any_case_and_a_password_in_any_keyboards_form(world):
    await world.admin.create_account("Zo\u00eb", "caf\u00e9 cr\u00e8me", roles=["reader"])
    tokens = await world.log_in("zo\u00eb", username="ZO\u00cb", password="cafe\u0301 cre\u0300me")
    assert tokens.scope


async def test_a_hash_with_weaker_parameters_is_renewed_at_login(make_world):
    class Ageing:
        strength = 1

        async def hash(self, password, caller=None):
            return f"{self.strength}:{password}"

        async def verify(self, hash, password, caller=None):
            if hash is None or hash.partition(":")[2] != password:
                return Verdict.WRONG
            return Verdict.RIGHT if hash.startswith(f"{self.strength}:") else Verdict.RIGHT_BUT_WEAK

    hasher = Ageing()
    world = await make_world(hasher=hasher).furnish()
    hasher.strength = 2
    await world.refused(world.log_in("alice", password="wrong"))
    assert (await world.admin.account("alice")).password.startswith("1:")
    await world.log_in("alice")
    assert (await world.admin.account("alice")).password.startswith("2:")
    await world.log_in("alice")


async def test_a_person_disabled_while_their_password_is_checked_gets_nothing(make_world):
    class Slow:
        world = None

        async def hash(self, password, caller=None):
            return password

        async def verify(self, hash, password, caller=None):
            if self.world is not None:
                await self.world.admin.disable_account("alice")
            return Verdict.RIGHT

    hasher = Slow()
    world = await make_world(hasher=hasher).furnish()
    hasher.world = world
    assert await world.refused(world.log_in("alice")) == ("invalid_grant", "BW407")


async def test_a_person_without_a_password_cannot_log_in_by_one(world):
    await world.admin.create_account("robot", None, roles=["reader"])
    assert await world.refused(world.log_in("robot", password="anything")) == ("invalid_grant", "BW407")


async def test_too_many_logins_are_told_to_come_back(make_world):
    class Full:
        async def hash(self, password, caller=None):
            return password

        async def verify(self, hash, password, caller=None):
            raise Unavailable("Too many logins at this moment.", id="BW504", retry_after=3)

    world = await make_world(hasher=Full()).furnish()
    assert await world.refused(world.log_in("alice")) == ("temporarily_unavailable", "BW504")


async def test_only_the_operators_own_client_may_take_passwords(world):
    # The admin refuses to make such a client; if one came into the store otherwise, the grant refuses too.
    app = await world.store.client("app")
    await world.store.change(replace(app, first_party=False), (await world.store.journal())[0])
    assert await world.refused(world.log_in("alice")) == ("unauthorized_client", "BW403")


# -- clients ------------------------------------------------------------------------------------------------


async def test_a_program_acts_for_itself_within_its_ceiling(world):
    tokens = await world.serve()
    assert tokens.scope == ScopeSet(["users:read", "posts:read", "posts:write"])
    assert tokens.refresh_token is None
    assert "refresh_token" not in tokens.as_json()
    claims = world.claims(tokens)
    assert (claims["sub"], claims["client_id"]) == ("service", "service")
    assert "authz" not in claims
    assert "auth_time" not in claims


async def test_cve_2024_52287_the_ceiling_holds_on_client_credentials(world):
    assert (await world.serve(scope="users:read users:delete")).scope == ScopeSet(["users:read"])
    assert await world.refused(world.serve(scope="users:delete")) == ("invalid_scope", "BW405")
    assert await world.refused(world.serve(scope="admin:*")) == ("invalid_scope", "BW405")


async def test_a_client_with_a_default_gets_that_when_it_asks_for_nothing(world):
    made = await world.admin.create_client(
        "narrow", grants=["client_credentials"], scopes=["users:*"], default=["users:read"]
    )
    form = {"grant_type": "client_credentials", "client_id": "narrow", "client_secret": made.secret}
    assert (await world.ask(**form)).scope == ScopeSet(["users:read"])
    assert (await world.ask(**form, scope="users:write")).scope == ScopeSet(["users:write"])


async def test_every_failed_authentication_has_one_answer(world):
    await world.admin.create_client("gone", grants=["client_credentials"], scopes=["users:read"], secret="s" * 40)
    await world.admin.disable_client("gone")
    texts = set()
    for client, secret in (
        ("service", "wrong"), ("service", None), ("nobody", "x"), ("nobody", None), ("gone", "s" * 40), ("app", "x"),
    ):  # fmt: skip
        form = {"grant_type": "client_credentials", "client_id": client} | ({"client_secret": secret} if secret else {})
        with pytest.raises(Exception) as caught:  # noqa: PT011 - compared whole below
            await world.ask(**form)
        texts.add((caught.value.code, caught.value.status, caught.value.id, caught.value.description))
    assert len(texts) == 1
    assert next(iter(texts))[:3] == ("invalid_client", 401, "BW401")


async def test_a_secret_works_by_header_too(world):
    header = "Basic " + base64.b64encode(f"service:{world.secrets['service']}".encode()).decode()
    request = world.read({"grant_type": "client_credentials"}, authorization=[header])
    assert (await world.authority.token.answer(request, now=world.now)).scope


async def test_a_secret_that_people_chose_is_hashed_like_a_password(world):
    await world.admin.create_client("short", grants=["client_credentials"], scopes=["users:read"], secret="s3cret")
    assert (await world.store.client("short")).secret.startswith("$argon2id$")
    form = {"grant_type": "client_credentials", "client_id": "short"}
    assert (await world.ask(**form, client_secret="s3cret")).scope
    assert await world.refused(world.ask(**form, client_secret="s3cres")) == ("invalid_client", "BW401")


async def test_cve_2026_27840_a_secret_with_a_letter_more_less_or_in_another_case_is_wrong(world):
    secret = world.secrets["service"]
    for wrong in (secret[:-1], secret + "A", secret.swapcase(), secret[:10], " " + secret):
        assert await world.refused(world.serve(client_secret=wrong)) == ("invalid_client", "BW401"), wrong


async def test_a_public_client_cannot_act_for_itself(world):
    form = {"grant_type": "client_credentials", "client_id": "app"}
    assert await world.refused(world.ask(**form)) == ("unauthorized_client", "BW403")
    app = await world.store.client("app")
    allowed = replace(app, grants=app.grants | {GrantType.CLIENT_CREDENTIALS})
    await world.store.change(allowed, (await world.store.journal())[0])
    assert await world.refused(world.ask(**form)) == ("unauthorized_client", "BW403")


async def test_a_client_uses_only_its_own_grants(world):
    form = {"username": "alice", "password": "alice's password", "grant_type": "password"}
    secret = world.secrets["service"]
    refused = await world.refused(world.ask(**form, client_id="service", client_secret=secret))
    assert refused == ("unauthorized_client", "BW403")


async def test_a_confidential_client_authenticates_for_the_password_grant_too(world):
    assert (await world.log_in("alice", client="web")).scope
    assert await world.refused(world.log_in("alice", client="web", client_secret="wrong")) == (
        "invalid_client",
        "BW401",
    )
    form = {"username": "alice", "password": "alice's password", "grant_type": "password", "client_id": "web"}
    assert await world.refused(world.ask(**form)) == ("invalid_client", "BW401")


async def test_a_client_without_the_refresh_grant_gets_no_refresh_token(world):
    await world.admin.create_client("once", public=True, grants=["password"], scopes=["users:*"], first_party=True)
    tokens = await world.log_in("alice", client="once")
    assert tokens.refresh_token is None
    assert "authz" in world.claims(tokens)


# -- resources ---------------------------------------------------------------------------------------------------


async def test_a_token_is_for_the_resource_that_was_asked_for_and_holds_only_its_scopes(world):
    tokens = await world.log_in("root", scope="files:read users:read", resource=world.files)
    assert tokens.scope == ScopeSet(["files:read"])
    assert world.claims(tokens)["aud"] == world.files
    assert world.claims(await world.log_in("root"))["aud"] == world.api


@pytest.mark.parametrize(
    "named", ["https://evil.example", "/api", "https://api.example.com/", "https://api.example.com#x"]
)
async def test_an_unknown_resource_is_an_invalid_target(world, named):
    assert await world.refused(world.log_in("root", resource=named)) == ("invalid_target", "BW410")
    assert await world.refused(world.serve(resource=named)) == ("invalid_target", "BW410")


async def test_wildcards_stay_in_tokens_only_where_the_settings_say_so(make_world):
    world = await make_world(settings=Settings(make_world.issuer, make_world.api, issue_wildcards=True)).furnish()
    assert (await world.log_in("erin", scope="posts:*")).scope == ScopeSet(["posts:*"])


async def test_lifetimes_come_from_the_settings(make_world):
    world = await make_world(settings=Settings(make_world.issuer, lifetimes=STRICT)).furnish()
    tokens = await world.log_in("alice")
    assert tokens.expires_in == 300
    claims = world.claims(tokens)
    assert claims["exp"] - claims["iat"] == 300


async def test_every_issuance_is_written_down_without_the_tokens(world):
    tokens = await world.log_in("alice")
    (line,) = await world.lines("token.issued")
    assert (line.actor, line.client, line.subject) == (world.people["alice"].id, "app", world.people["alice"].id)
    assert line.object.startswith("fam_")
    assert line.detail == "password: users:read posts:read"
    everything = repr(await world.lines())
    assert tokens.access_token not in everything
    assert tokens.refresh_token not in everything


async def test_r6749_75_no_two_tokens_are_alike_and_each_has_256_bits(world):
    opened = [await world.log_in("alice") for _ in range(50)]
    assert len({tokens.refresh_token for tokens in opened}) == 50
    assert len({world.claims(tokens)["jti"] for tokens in opened}) == 50
    assert all(len(tokens.refresh_token) == len("bwr_") + 43 for tokens in opened)


async def test_two_resources_can_be_the_only_ones(make_world):
    settings = Settings(make_world.issuer, resources=(Resource("https://a.example"), Resource("https://b.example")))
    world = await make_world(settings=settings, catalog=Catalog({"users:read": "", "posts:read": "", "posts:write": "",
        "files:read": "", "admin:*": ""}, roles=make_world.catalog.roles.values(), superuser="admin:*")).furnish()  # fmt: skip
    assert world.claims(await world.log_in("root"))["aud"] == "https://a.example"
