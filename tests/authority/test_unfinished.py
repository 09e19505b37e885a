"""Nobody fills the store with requests that no person ever finishes."""

import asyncio
import json
import secrets

import pytest

from bailiwick.authority import DeviceRequest, PushingRequest, Registration, RegistrationRequest, Settings, Unfinished
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import ConfigurationError, Refused
from bailiwick.scopes import ScopeSet
from bailiwick.storage.sqlite import SQLiteStore

pytestmark = pytest.mark.anyio

CROWDED = ("slow_down", "BW416")
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
HERE, THERE = "203.0.113.5", "198.51.100.5"
SMALL = Unfinished(client=3, network=5, everybody=30, confidential=8)


async def furnished(make_flows, store=None, bounds=SMALL):
    resources = (Resource(make_flows.api), Resource(make_flows.files))
    registration = Registration(ScopeSet(["users:read"]))
    settings = Settings(
        make_flows.issuer, make_flows.api, resources, registration=registration, unfinished=bounds
    )  # fmt: skip
    flows = await make_flows(store=store, settings=settings).furnish()
    for name, public in (("radio", True), ("box", False)):
        made = await flows.admin.create_client(name, public=public, grants=[DEVICE], scopes=["users:read"])
        if made.secret:
            flows.secrets[name] = made.secret
    return flows


@pytest.fixture
async def small(make_flows):
    return await furnished(make_flows)


async def begin(flows, client="tv", address=HERE):
    request = DeviceRequest.read(flows.proof(client).items(), origin=Origin(address))
    return await flows.authority.device.answer(request, now=flows.now)


async def push(flows, client="spa", address=HERE, **more):
    pairs = flows.query(client, **more)
    proof = [pair for pair in flows.proof(client).items() if pair[0] not in dict(pairs)]
    request = PushingRequest.read([*pairs, *proof], origin=Origin(address))
    return await flows.authority.pushed.answer(request, now=flows.now)


async def stranger(flows, **metadata):
    """A client that a stranger registers, from somewhere new each time."""
    given = {"redirect_uris": ["https://x.example.com/"], "grant_types": ["authorization_code", DEVICE]} | metadata
    address = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    request = RegistrationRequest.read(json.dumps(given).encode(), origin=Origin(address))
    made = await flows.authority.registration.answer(request, now=flows.now)
    if made.secret:
        flows.secrets[made.client.id] = made.secret
    return made.client.id


@pytest.mark.parametrize(("act", "client", "life"), [(begin, "tv", 600), (push, "spa", 60)])
async def test_a_public_client_is_told_to_wait_and_how_long(small, act, client, life):
    for _ in range(3):
        await act(small, client)
    with pytest.raises(Refused) as caught:
        await act(small, client)
    why = caught.value
    assert (why.code, why.id, why.status, why.retry_after) == (*CROWDED, 429, life)
    assert HERE not in f"{why!r} {why.detail} {why.description}"
    small.now += life
    await act(small, client)


@pytest.mark.parametrize(("act", "client"), [(begin, "tv"), (push, "spa")])
async def test_who_fills_up_one_network_keeps_nobody_out_of_another(small, act, client):
    for _ in range(10):
        await quietly(act(small, client))
    await act(small, client, THERE)


async def quietly(work):
    try:
        return await work
    except Refused as why:
        assert (why.code, why.id) == CROWDED
        return None


async def test_clients_that_a_stranger_registered_share_what_their_network_has(small):
    for metadata in ({"token_endpoint_auth_method": "none"}, {}):
        ids = [await stranger(small, **metadata) for _ in range(6)]
        told = [await quietly(begin(small, one)) for one in ids]
        assert sum(one is not None for one in told) <= 5
        told = [await quietly(push(small, one, redirect_uri="https://x.example.com/")) for one in ids]
        assert sum(one is not None for one in told) <= 5
    # A secret that anybody may have is no proof of anything: the second six found the room used up.
    assert await quietly(begin(small, ids[0])) is None
    assert await quietly(push(small, ids[0], redirect_uri="https://x.example.com/")) is None


async def test_the_addresses_of_one_ipv6_network_are_one_callers(small):
    told = [await quietly(begin(small, address=f"2001:db8:1:2::{number}")) for number in range(1, 7)]
    assert [one is not None for one in told] == [True] * 3 + [False] * 3
    await begin(small, address="2001:db8:1:3::1")


@pytest.mark.parametrize(("act", "client", "own"), [(begin, "tv", "box"), (push, "spa", "site")])
async def test_who_has_thousands_of_networks_does_not_fill_the_disk_either(small, act, client, own):
    told = [await quietly(act(small, client, f"2001:db8:7:{number:x}::1")) for number in range(100)]
    assert sum(one is not None for one in told) == 30
    await act(small, own)


async def test_callers_of_unknown_address_are_bounded_too(small):
    told = [await quietly(begin(small, address="")) for _ in range(5)]
    assert sum(one is not None for one in told) == 3


@pytest.mark.parametrize(("act", "client", "crowd"), [(begin, "box", "tv"), (push, "site", "spa")])
async def test_a_confidential_client_has_its_own_room_wherever_it_asks_from(small, act, client, crowd):
    for _ in range(10):
        await quietly(act(small, crowd))
    for number in range(8):
        await act(small, client, (HERE, THERE)[number % 2])
    assert await small.refused(act(small, client, "192.0.2.77")) == CROWDED


async def test_what_a_person_decided_is_no_longer_in_the_way(small):
    for approved in (True, False, True, False, True, False):
        device = await begin(small)
        await small.settle(await small.enter(device.user_code), approved=approved)
    for _ in range(6):
        pushed = await push(small)
        await small.authorize(pairs=[("client_id", "spa"), ("request_uri", pushed.request_uri)])


async def test_a_home_with_televisions_and_a_terminal_never_meets_the_bound(flows):
    for _ in range(20):
        await begin(flows)
        await push(flows)


async def test_10_000_requests_of_one_network_leave_as_many_rows_as_the_bound_says(make_flows):
    flows = await furnished(make_flows, bounds=Unfinished())
    clients = ["tv", "radio", *[await stranger(flows, token_endpoint_auth_method="none") for _ in range(8)]]
    pushing = ["spa", "native", *clients[2:]]
    kept = 0
    for number in range(5_000):
        kept += await quietly(begin(flows, clients[number % 10])) is not None
        client = pushing[number % 10]
        more = {} if client in flows.redirects else {"redirect_uri": "https://x.example.com/"}
        kept += await quietly(push(flows, client, **more)) is not None
    assert kept == 400
    assert await flows.store.purge(flows.now + 3_600) == 400


async def test_of_200_that_come_at_once_no_more_begin_than_there_is_room_for(make_flows, tmp_path):
    store = await SQLiteStore.open(tmp_path / "authority.db")
    try:
        flows = await furnished(make_flows, store)
        for act, client in ((begin, "tv"), (push, "spa")):
            told = await asyncio.gather(*(quietly(act(flows, client)) for _ in range(200)))
            assert sum(one is not None for one in told) == 3
    finally:
        await store.close()


async def test_no_address_is_kept_with_a_request_nor_a_digest_that_addresses_can_be_tried_on(make_flows):
    networks = set()
    for _ in range(2):
        flows = await furnished(make_flows)
        seen = []
        add = flows.store.add_device_code

        async def look(code, *more, add=add, seen=seen):
            seen.append(code)
            return await add(code, *more)

        flows.store.add_device_code = look
        await begin(flows)
        await begin(flows)
        assert HERE not in repr(seen)
        assert seen[0].network == seen[1].network != ""
        networks.add(seen[0].network)
    # Another authority, and another digest of the same address.
    assert len(networks) == 2


async def test_bounds_outlast_a_restart(make_flows, tmp_path):
    path = tmp_path / "authority.db"
    for first in (True, False):
        store = await SQLiteStore.open(path)
        try:
            if first:
                flows = await furnished(make_flows, store)
                for _ in range(3):
                    await begin(flows)
            else:
                again = make_flows(store=store, settings=flows.settings)
                again.now = flows.now
                assert await again.refused(begin(again)) == CROWDED
        finally:
            await store.close()


@pytest.mark.parametrize(
    "bounds",
    [{"client": 0}, {"network": -1}, {"confidential": True}, {"client": 1.5}, {"network": 49}, {"everybody": 199}],
)
def test_a_bound_that_is_none_or_makes_no_sense_is_refused(bounds):
    with pytest.raises(ConfigurationError):
        Unfinished(**bounds)
