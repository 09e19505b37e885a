"""What an authority is told, what it signs with, and what it says about itself."""

import asyncio
import base64
import json
from dataclasses import fields, replace

import pytest

from bailiwick.authority import BALANCED, STRICT, Lifetimes, Settings
from bailiwick.authority.keys import SigningKeys
from bailiwick.authority.records import EVERY_RESOURCE, KeyState, Resource
from bailiwick.errors import ConfigurationError, StoreError
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.storage import MemoryStore
from bailiwick.tokens import SigningKey

# -- settings -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "issuer",
    [
        "https://auth.example.com",
        "https://example.com/auth",
        "http://127.0.0.1:8000/auth",
        "http://localhost",
        "http://[::1]:1",
    ],
)
def test_an_issuer_is_an_https_url_or_on_loopback(issuer):
    assert Settings(issuer).issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "", "example.com", "http://example.com", "ftp://example.com", "https://", "https://example.com/",
        "https://example.com?x=1", "https://example.com#x", "https://user@example.com", "https://ex\u00e4mple.com",
        "https://example.com/a b", "https://[::1", "https://example.com:port", "http://127.0.0.1.evil.example",
        "http://10.0.0.1", None, 1, b"https://example.com",
    ],
)  # fmt: skip
def test_anything_else_is_no_issuer(issuer):
    with pytest.raises(ConfigurationError, match="issuer"):
        Settings(issuer)


def test_the_audience_is_the_issuers_origin_unless_it_is_told():
    assert Settings("https://example.com/auth").audience == "https://example.com"
    assert Settings("http://127.0.0.1:8000/auth").audience == "http://127.0.0.1:8000"
    assert Settings("https://example.com", "https://api").audience == "https://api"
    first = Settings("https://example.com", resources=(Resource("https://a"), Resource("https://b")))
    assert first.audience == "https://a"


def test_a_resource_is_found_by_its_exact_name():
    settings = Settings("https://example.com", "https://api", (Resource("https://files", ScopeSet(["files:*"])),))
    assert settings.default_resource == Resource("https://api")
    assert settings.resource("https://files").scopes == ScopeSet(["files:*"])
    assert settings.resource("https://files/") is None
    assert EVERY_RESOURCE not in [resource.identifier for resource in settings.resources]


def test_two_resources_of_one_name_are_refused():
    for resources in ((Resource("a"), Resource("a")), (Resource(""),)):
        with pytest.raises(ConfigurationError):
            Settings("https://example.com", resources=resources)


def test_a_password_of_no_length_is_refused():
    with pytest.raises(ConfigurationError):
        Settings("https://example.com", password_min_length=0)


@pytest.mark.parametrize("name", [one.name for one in fields(Lifetimes)])
@pytest.mark.parametrize("value", [-1, 1.5, True, "60", None])
def test_a_lifetime_is_a_positive_whole_number(name, value):
    with pytest.raises(ConfigurationError, match=name):
        Lifetimes(**{name: value})


def test_lifetimes_that_would_be_dangerous_are_refused():
    assert Lifetimes(refresh_grace=0).refresh_grace == 0
    for wrong in ({"refresh_grace": 301}, {"code": 601}, {"access": 0}):
        with pytest.raises(ConfigurationError):
            Lifetimes(**wrong)


def test_the_profiles_are_what_the_contract_says():
    assert (BALANCED.access, BALANCED.refresh_grace, BALANCED.code) == (600, 30, 60)
    assert all(getattr(STRICT, one.name) <= getattr(BALANCED, one.name) for one in fields(Lifetimes))
    assert Settings("https://example.com").with_lifetimes(STRICT).lifetimes is STRICT


# -- keys --------------------------------------------------------------------------------------------------

pytestmark = pytest.mark.anyio


class Clock:
    now = 1_800_000_000.0

    def __call__(self):
        return self.now


def keys_over(store, algorithm="ES256", clock=None, **more):
    settings = Settings("https://example.com", signing_algorithm=algorithm)
    return SigningKeys(store, settings, clock=clock or Clock(), **more)


async def test_the_first_key_is_made_once_however_many_begin():
    store = MemoryStore()
    processes = [keys_over(store) for _ in range(8)]
    signers = await asyncio.gather(*(keys.signer() for keys in processes))
    assert len({signer.sign({}).split(".")[0] for signer in signers}) == 1
    assert len(await store.keys()) == 1
    assert len(await store.journal()) == 1


@pytest.mark.parametrize("algorithm", ["ES256", "RS256", "EdDSA"])
async def test_a_key_of_each_algorithm_is_published_without_its_private_half(algorithm):
    keys = keys_over(MemoryStore(), algorithm)
    document = await keys.jwks()
    (key,) = document["keys"]
    assert key["alg"] == algorithm
    assert not {"d", "p", "q", "k"} & set(key)


async def test_a_shared_secret_is_never_published():
    keys = keys_over(MemoryStore(), "HS256")
    assert await keys.jwks() == {"keys": []}
    assert await keys.find((await keys._store.keys())[0].kid, "HS256")


async def test_a_change_of_algorithm_keeps_the_old_key_for_verifying():
    store = MemoryStore()
    old = keys_over(store, "ES256")
    await old.signer()
    new = keys_over(store, "RS256")
    assert {key["alg"] for key in (await new.jwks())["keys"]} == {"ES256", "RS256"}
    symmetric = keys_over(store, "HS256")
    assert await symmetric.jwks() == {"keys": []}


async def test_a_key_that_another_process_made_is_found_at_once_but_not_looked_for_at_every_token():
    class Counting(MemoryStore):
        looks = 0

        async def keys(self):
            self.looks += 1
            return await super().keys()

    store, clock = Counting(), Clock()
    keys = keys_over(store, clock=clock)
    await keys.signer()
    looks = store.looks
    for _ in range(100):
        assert await keys.find("made-up", "ES256") == ()
    assert store.looks == looks
    await keys_over(store, "EdDSA", clock).signer()
    kid = next(key.kid for key in await store.keys() if key.alg == "EdDSA")
    clock.now += 1
    assert len(await keys.find(kid, "EdDSA")) == 1
    assert len(keys.find_now(kid, "EdDSA")) == 1


async def test_before_anything_was_read_no_key_is_known():
    assert keys_over(MemoryStore()).find_now("k", "ES256") == ()


async def test_a_clock_that_was_set_back_does_not_keep_old_keys():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock)
    await keys.signer()
    clock.now -= 10_000
    await keys_over(store, "EdDSA", clock).signer()
    assert len((await keys.jwks())["keys"]) == 2


async def test_a_store_that_keeps_no_key_is_an_error_and_no_endless_loop():
    class Forgetful(MemoryStore):
        async def keys(self):
            return []

    with pytest.raises(StoreError, match="signing key"):
        await keys_over(Forgetful()).signer()


async def test_a_retired_key_verifies_and_does_not_sign():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock)
    await keys.signer()
    (old,) = await store.keys()
    made = SigningKey.generate("ES256")
    new = replace(old, kid=made.kid, private=json.dumps(made.to_jwk(private=True)), created_at=clock.now + 1)
    retired = replace(old, state=KeyState.RETIRED)
    line = (await store.journal())[0]
    assert await store.turn_keys([retired, new], [], [f"{old.kid}:active"], line)
    clock.now += 60
    published = {key["kid"] for key in (await keys.jwks())["keys"]}
    assert published == {old.kid, new.kid}
    assert (await keys.find(old.kid, "ES256")) != ()
    header = (await keys.signer()).sign({}).split(".")[0]
    assert json.loads(base64.urlsafe_b64decode(header + "=="))["kid"] == new.kid


# -- metadata --------------------------------------------------------------------------------------------------


async def test_the_metadata_says_what_is_there(world):
    document = world.authority.metadata()
    assert document["issuer"] == world.issuer
    for name in ("token", "revocation", "introspection"):
        assert document[f"{name}_endpoint"].startswith(world.issuer + "/")
    assert document["jwks_uri"] == f"{world.issuer}/jwks.json"
    # What it says that it does, it does: each grant named here is answered by the token endpoint.
    assert document["grant_types_supported"] == [grant.value for grant in world.authority.token.grant_types]
    assert {"password", "client_credentials", "refresh_token"} <= set(document["grant_types_supported"])
    assert document["scopes_supported"] == list(world.catalog.scopes)
    assert "none" in document["token_endpoint_auth_methods_supported"]
    assert "none" not in document["introspection_endpoint_auth_methods_supported"]


async def test_r8414_11_members_without_elements_are_left_out(make_world):
    world = make_world(catalog=Catalog({}))
    assert "scopes_supported" not in world.authority.metadata()
