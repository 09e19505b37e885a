"""Rows of the RFCs' checklist that no request alone can show: randomness, restarts, and tokens that only a key could make."""

import base64
import secrets
from dataclasses import replace

import pytest

from bailiwick.authority import Settings
from bailiwick.authority.pkce import challenge_of, check_verifier
from bailiwick.authority.records import GrantType, Resource
from bailiwick.errors import InvalidToken, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.server import AuthorizationServer
from bailiwick.storage import open_store
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

pytestmark = pytest.mark.anyio

UNRESERVED = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
SPENT = ("invalid_grant", "BW402")
BAD = ("invalid_request", "BW402")


# -- RFC 6749 --------------------------------------------------------------------------------------------------------


async def test_r6749_72_whose_a_refresh_token_is_outlives_a_restart(tmp_path, make_flows):
    store = await open_store(tmp_path / "authority.db")
    before = await make_flows(store=store).furnish()
    tokens = await before.redeem(await before.code("site"), "site")
    await store.close()

    store = await open_store(tmp_path / "authority.db")
    after = make_flows(store=store)
    after.secrets = before.secrets
    own = {"client_secret": after.secrets["own"]}
    site = {"client_secret": after.secrets["site"]}
    assert await after.refused(after.refresh(tokens, "own", **own)) == SPENT
    assert await after.refused(after.refresh(tokens, "spa")) == SPENT
    assert (await after.refused(after.refresh(tokens, "site")))[0] == "invalid_client"
    assert (await after.refresh(tokens, "site", **site)).scope == tokens.scope
    await store.close()


async def test_r6749_75_whatever_must_not_be_guessed_is_256_bits_of_the_one_source(monkeypatch, make_flows):
    drawn = set()

    def drawing(count, real=secrets.token_bytes):
        octets = real(count)
        drawn.add(octets)
        return octets

    monkeypatch.setattr(secrets, "token_bytes", drawing)
    flows = await make_flows().furnish()
    tokens = await flows.redeem(await flows.code())
    opaque = [
        tokens.refresh_token,
        await flows.code(),
        (await flows.begin_device()).device_code,
        (await flows.push()).request_uri,
        (await flows.admin.create_client(grants=["client_credentials"], scopes=["users:read"])).secret,
    ]
    for text in opaque:
        assert base64.urlsafe_b64decode(text[-43:] + "=") in drawn, text[:8]
    # What a server draws from, unless somebody hands it something else.
    assert AuthorizationServer.__init__.__kwdefaults__["token_bytes"].__module__ == "secrets"


# -- RFC 7636 --------------------------------------------------------------------------------------------------------


def test_r7636_01_of_all_characters_the_unreserved_ones_make_a_verifier():
    for code in range(0x180):
        verifier = "v" * 42 + chr(code)
        if chr(code) in UNRESERVED:
            check_verifier(verifier, challenge_of(verifier))
            continue
        with pytest.raises(Refused) as caught:
            check_verifier(verifier, challenge_of("v" * 43))
        assert caught.value.code == "invalid_request", code
    for length in (1, 42, 129):
        with pytest.raises(Refused):
            check_verifier("v" * length, challenge_of("v" * length))
    for length in (43, 128):
        check_verifier("v" * length, challenge_of("v" * length))


# -- RFC 8693 --------------------------------------------------------------------------------------------------------


@pytest.fixture
async def token(flows):
    return await flows.redeem(await flows.code("spa", "erin", scope="users:read posts:read"))


async def signed(flows, token, typ="at+jwt", key=None, **changes):
    """A token as this authority signs it, but for what is changed; None leaves a claim out."""
    claims = {name: value for name, value in (flows.claims(token) | changes).items() if value is not None}
    signer = Signer(key) if key is not None else await flows.authority.keys.signer()
    return signer.sign(claims, typ=typ)


@pytest.mark.parametrize("kind", ["access_token", "jwt"])
async def test_r8693_03_a_subject_token_is_checked_as_what_it_is_called(flows, token, kind):
    kid = flows.header(token)["kid"]
    wrong = {
        "expired": await signed(flows, token, exp=int(flows.now) - 1),
        "not valid yet": await signed(flows, token, nbf=int(flows.now) + 600),
        "of another issuer": await signed(flows, token, iss="https://other.example.com"),
        "of another key": await signed(flows, token, key=SigningKey.generate("ES256", kid=kid)),
        "an ID token": await signed(flows, token, typ="JWT", nonce="n"),
        "a client's assertion": await signed(flows, token, typ="client-authentication+jwt"),
        "a refresh token": token.refresh_token,
        "for nobody": await signed(flows, token, aud=None),
        "cut": token.access_token[:-1],
    }
    named = f"urn:ietf:params:oauth:token-type:{kind}"
    for what, text in wrong.items():
        refused = await flows.refused(flows.exchange(text, subject_token_type=named))
        assert (what, refused) == (what, BAD)
        # The same holds for whoever is said to act.
        acting = flows.exchange(token, actor_token=text, actor_token_type=named)
        assert (what, await flows.refused(acting)) == (what, BAD)
    assert (await flows.exchange(await signed(flows, token), subject_token_type=named)).scope == token.scope
    await flows.admin.revoke_token(flows.claims(token)["jti"])
    assert await flows.refused(flows.exchange(token, subject_token_type=named)) == BAD


@pytest.mark.parametrize("named", ["/api", "api", "https://api.example.com/", "https://api.example.com#x", "urn:x"])
@pytest.mark.parametrize("parameter", ["resource", "audience"])
async def test_r8693_05_r8707_01_a_resource_that_is_not_exactly_one_of_ours_is_an_invalid_target(
    flows, token, named, parameter
):
    refused = await flows.refused(flows.exchange(token, **{parameter: named}))
    assert refused == ("invalid_target", "BW410")


async def test_r8693_10_what_an_actor_claims_decides_nothing(flows, token):
    root = flows.people["root"].id
    act = {"sub": root, "client_id": "service", "scope": "admin:*", "act": {"sub": root, "scope": "admin:*"}}
    acted = await signed(flows, token, act=act)
    assert (await flows.exchange(acted)).scope == token.scope
    assert await flows.refused(flows.exchange(acted, scope="admin:*")) == ("invalid_scope", "BW405")
    told = await flows.introspect(acted)
    assert (told["sub"], told["scope"]) == (flows.people["erin"].id, str(token.scope))


async def test_r8693_14_a_public_client_exchanges_nothing_even_if_the_grant_slipped_in(flows, token):
    spa = await flows.store.client("spa")
    more = replace(spa, grants=spa.grants | {GrantType.TOKEN_EXCHANGE})
    assert await flows.store.change(more, (await flows.lines())[0])
    # Its own token, for its own resource: nothing else could stand in the way.
    assert await flows.refused(flows.exchange(token, "spa")) == ("unauthorized_client", "BW403")


# -- RFC 8707 and RFC 9068 -------------------------------------------------------------------------------------------


async def test_r8707_03_r9068_15_a_token_for_one_resource_is_refused_by_the_other(world):
    keys = Keyring.from_jwks(await world.authority.jwks())
    verifiers = {
        audience: JWTVerifier(keys, issuer=world.issuer, audience=audience, now=lambda: world.now)
        for audience in (world.api, world.files)
    }
    tokens = {
        world.api: await world.log_in("root", resource=world.api),
        world.files: await world.log_in("root", resource=world.files),
    }
    for audience, verifier in verifiers.items():
        for resource, made in tokens.items():
            assert world.claims(made)["aud"] == resource
            if resource == audience:
                assert (await verifier.verify(made.access_token)).audience == (resource,)
                continue
            with pytest.raises(InvalidToken) as caught:
                await verifier.verify(made.access_token)
            assert caught.value.id == "BW207"


async def test_r9068_06_r9068_08_no_token_holds_scopes_of_two_resources(make_world):
    resources = (
        Resource("https://people.example", ScopeSet(["users:*"])),
        Resource("https://posts.example", ScopeSet(["posts:*"])),
    )
    world = make_world(settings=Settings(make_world.issuer, resources=resources))
    await world.authority.prepare()
    await world.admin.create_account("root", "root's password", roles=["admin"])
    await world.admin.create_client(
        "app", public=True, grants=["password"], scopes=["users:*", "posts:*"], first_party=True
    )
    both = "users:read posts:read"
    for resource, scope in (
        (None, "users:read"),
        ("https://people.example", "users:read"),
        ("https://posts.example", "posts:read"),
    ):
        named = {} if resource is None else {"resource": resource}
        tokens = await world.log_in("root", scope=both, **named)
        assert world.claims(tokens)["aud"] == (resource or "https://people.example")
        assert tokens.as_json()["scope"] == world.claims(tokens)["scope"] == scope
    # What only the other one understands is no reason to guess that the other one is meant.
    assert await world.refused(world.log_in("root", scope="posts:read")) == ("invalid_scope", "BW405")
