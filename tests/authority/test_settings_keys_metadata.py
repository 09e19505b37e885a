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
from bailiwick.machine.sealing import KeyEncryptionKey
from bailiwick.scopes import Catalog, ScopeSet
from bailiwick.storage import MemoryStore, open_store

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


def header_of(signer):
    head = signer.sign({}).split(".")[0]
    return json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))


DAY = 24 * 60 * 60


async def test_whoever_fetches_the_keys_every_23_hours_never_meets_an_unknown_one():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock)
    begun, used = clock.now, {}
    while clock.now < begun + 200 * DAY:
        fetched = {key["kid"] for key in (await keys.jwks())["keys"]}
        for _ in range(23):
            kid = header_of(await keys.signer())["kid"]
            assert kid in fetched
            used.setdefault(kid, []).append(clock.now)
            clock.now += 3600
    first, second, _third = used.values()
    for times in (first, second):
        assert 89 * DAY <= times[-1] - times[0] <= 91 * DAY


async def test_a_token_verifies_until_its_end_though_its_key_retired_meanwhile(make_world):
    world = await make_world().furnish()
    await world.authority.keys.rotate()
    world.now += DAY - 30
    tokens = await world.log_in("alice")
    old = world.header(tokens)["kid"]
    world.now += 100
    assert world.header(await world.log_in("alice"))["kid"] != old
    world.now += 495
    assert (await world.authority.verifier.verify(tokens.access_token)).subject
    world.now += 300
    await world.log_in("alice")
    assert old not in [key["kid"] for key in (await world.authority.jwks())["keys"]]


async def test_an_operators_rotation_publishes_first_and_signs_a_day_later(make_world):
    world = await make_world().furnish()
    before = world.header(await world.log_in("alice"))["kid"]
    new = await world.authority.keys.rotate(actor="operator:jane")
    assert (await world.authority.keys.rotate()).kid == new.kid
    assert {key["kid"] for key in (await world.authority.jwks())["keys"]} == {before, new.kid}
    world.now += DAY - 1
    assert world.header(await world.log_in("alice"))["kid"] == before
    world.now += 61
    assert world.header(await world.log_in("alice"))["kid"] == new.kid
    acts = [(line.actor, line.detail) for line in await world.lines("keys.turned")]
    assert acts == [
        ("authority", f"{before} active"),
        ("operator:jane", f"{new.kid} pending"),
        ("authority", f"{new.kid} active, {before} retired"),
    ]


async def test_a_key_that_became_known_is_believed_no_more(make_world):
    world = await make_world().furnish()
    tokens = await world.log_in("alice")
    new = await world.authority.keys.replace_at_once(actor="operator:jane")
    assert [key["kid"] for key in (await world.authority.jwks())["keys"]] == [new.kid]
    assert await world.introspect(tokens.access_token) == {"active": False}
    assert world.header(await world.refresh(tokens))["kid"] == new.kid
    assert [line.actor for line in await world.lines("keys.replaced")] == ["operator:jane"]


async def test_many_processes_turn_their_keys_once(tmp_path):
    store, clock = await open_store(tmp_path / "authority.db"), Clock()
    processes = [keys_over(store, clock=clock) for _ in range(8)]
    await asyncio.gather(*(keys.signer() for keys in processes))
    clock.now += 89 * DAY
    await asyncio.gather(*(keys.signer() for keys in processes))
    assert len(await store.keys()) == 2
    clock.now += DAY
    signers = await asyncio.gather(*(keys.signer() for keys in processes))
    assert len({header_of(signer)["kid"] for signer in signers}) == 1
    assert len(await store.keys()) == 2
    await store.close()


async def test_who_loses_the_turning_is_told(monkeypatch):
    store = MemoryStore()
    keys = keys_over(store)
    await keys.signer()

    async def somebody_else(*_args):
        return False

    monkeypatch.setattr(store, "turn_keys", somebody_else)
    for work in (keys.rotate, keys.replace_at_once):
        with pytest.raises(StoreError, match="Another process"):
            await work()


async def test_two_algorithms_side_by_side_do_not_push_each_other_out():
    store, clock = MemoryStore(), Clock()
    one, two = keys_over(store, "ES256", clock), keys_over(store, "EdDSA", clock)
    for _ in range(5):
        assert header_of(await one.signer())["alg"] == "ES256"
        assert header_of(await two.signer())["alg"] == "EdDSA"
        clock.now += 60
    assert len(await store.keys()) == 2
    # And when nobody uses the former one any more, it goes in its time.
    for _ in range(95):
        clock.now += DAY
        await two.signer()
    assert {key.alg for key in await store.keys()} == {"EdDSA"}


# -- keys at rest ---------------------------------------------------------------------------------------------


def kek(letter="a"):
    return KeyEncryptionKey(letter.encode() * 31 + b"z")


async def test_private_keys_lie_sealed_where_a_key_encryption_key_is_given():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock, seals=[kek()])
    before = header_of(await keys.signer())["kid"]
    (stored,) = await store.keys()
    assert stored.sealed_with == kek().name
    assert "kty" not in stored.private
    again = keys_over(store, clock=clock, seals=[kek()])
    assert header_of(await again.signer())["kid"] == before


async def test_keys_that_lay_open_are_sealed_at_the_next_start():
    store, clock = MemoryStore(), Clock()
    kid = header_of(await keys_over(store, clock=clock).signer())["kid"]
    sealed = keys_over(store, clock=clock, seals=[kek()])
    assert header_of(await sealed.signer())["kid"] == kid
    (stored,) = await store.keys()
    assert stored.sealed_with == kek().name
    assert (await store.journal())[0].detail == "sealed anew"


async def test_a_new_key_encryption_key_takes_over_from_the_old_one():
    store, clock = MemoryStore(), Clock()
    kid = header_of(await keys_over(store, clock=clock, seals=[kek("a")]).signer())["kid"]
    both = keys_over(store, clock=clock, seals=[kek("b"), kek("a")])
    assert header_of(await both.signer())["kid"] == kid
    assert header_of(await keys_over(store, clock=clock, seals=[kek("b")]).signer())["kid"] == kid


async def test_a_key_changes_its_state_and_its_seal_at_once():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock)
    await keys.signer()
    await keys.rotate()
    clock.now += DAY
    later = keys_over(store, clock=clock, seals=[kek()])
    await later.signer()
    assert {key.state for key in await store.keys()} == {KeyState.ACTIVE, KeyState.RETIRED}
    assert {key.sealed_with for key in await store.keys()} == {kek().name}
    assert len((await keys_over(store, clock=clock, seals=[kek()]).jwks())["keys"]) == 2


async def test_without_the_key_encryption_key_nothing_starts():
    store, clock = MemoryStore(), Clock()
    await keys_over(store, clock=clock, seals=[kek("a")]).signer()
    for seals in ([], [kek("b")]):
        with pytest.raises(ConfigurationError, match="was not given") as caught:
            await keys_over(store, clock=clock, seals=seals).signer()
        assert caught.value.id == "BW110"


async def test_a_sealed_key_cannot_be_put_in_the_place_of_another():
    store, clock = MemoryStore(), Clock()
    keys = keys_over(store, clock=clock, seals=[kek()])
    await keys.signer()
    await keys.rotate()
    one, two = await store.keys()
    line = (await store.journal())[0]
    was = [f"{key.kid}:{key.state.value}" for key in (one, two)]
    assert await store.turn_keys([replace(one, private=two.private)], [], was, line)
    with pytest.raises(ConfigurationError, match="does not open"):
        await keys_over(store, clock=clock, seals=[kek()]).signer()


# -- metadata --------------------------------------------------------------------------------------------------


async def test_the_metadata_says_what_is_there(world):
    document = await world.authority.metadata()
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


async def test_the_metadata_names_the_password_grant_only_while_a_client_has_it(make_world):
    world = make_world()
    await world.authority.prepare()

    async def named():
        world.now += 61
        return "password" in (await world.authority.metadata())["grant_types_supported"]

    assert not await named()
    await world.admin.create_client(
        "app", public=True, first_party=True, grants=["password"], scopes=["users:read"]
    )  # fmt: skip
    assert await named()
    await world.admin.disable_client("app")
    assert not await named()


async def test_strangers_who_ask_for_the_metadata_make_the_store_look_once_a_minute(world, monkeypatch):
    looks = []

    async def look():
        looks.append(world.now)
        raise StoreError("The store cannot answer.")

    assert "password" in (await world.authority.metadata())["grant_types_supported"]
    monkeypatch.setattr(world.store, "grants_in_use", look)
    for _ in range(240):
        world.now += 0.5
        # While it cannot answer, what was known stands.
        assert "password" in (await world.authority.metadata())["grant_types_supported"]
    assert len(looks) == 2


async def test_r8414_11_members_without_elements_are_left_out(make_world):
    world = make_world(catalog=Catalog({}))
    assert "scopes_supported" not in await world.authority.metadata()
