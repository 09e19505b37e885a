"""Those who follow the revocation feed: who may, how much their waiting costs, and that none keeps out another."""

import asyncio
import base64
import logging
import time

import httpx
import pytest

from bailiwick.authority.records import Event, Revocation, Revoked
from bailiwick.errors import InvalidToken
from bailiwick.tokens.jws import read, read_claims
from bailiwick.web import followers as module
from bailiwick.web.followers import Followers

pytestmark = pytest.mark.anyio


class Looked:
    """A store of which only the newest line is known, and how often somebody looked."""

    def __init__(self):
        self.newest, self.looks = 7, 0

    async def look(self):
        self.looks += 1
        return self.newest


async def forever():
    await asyncio.Event().wait()


async def test_one_look_is_shared_by_all_who_wait_however_many(monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    ticks = {}
    for waiting in (1, 50, 200):
        looked = Looked()
        followers = Followers(looked.look)
        tasks = [asyncio.create_task(followers.wait("api", 7, 30, forever)) for _ in range(waiting)]
        await asyncio.sleep(0.1)
        began = looked.looks  # each looks for itself once, when it comes
        await asyncio.sleep(0.5)
        ticks[waiting] = looked.looks - began
        looked.newest = 8
        assert await asyncio.gather(*tasks) == [True] * waiting
    # As often as the clock says; a look for each of them would be thousands.
    assert all(3 <= count <= 11 for count in ticks.values()), ticks


async def test_nobody_looks_while_nobody_waits(monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 0.05)
    looked = Looked()
    followers = Followers(looked.look)
    assert not await followers.wait("api", 7, 0.1, forever)
    seen = looked.looks
    await asyncio.sleep(0.3)
    assert looked.looks == seen
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "bailiwick revocation feed"]


async def test_what_happens_in_this_process_wakes_them_and_a_flood_of_it_costs_little(monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 60.0)
    looked = Looked()
    followers = Followers(looked.look)
    waiting = asyncio.create_task(followers.wait("api", 7, 30, forever))
    await asyncio.sleep(0.1)
    before, end = looked.looks, time.monotonic() + 0.5
    while time.monotonic() < end:
        followers.wake()
        await asyncio.sleep(0)
    assert looked.looks - before <= 0.5 / module.SOONEST + 2
    looked.newest = 8
    followers.wake()
    began = time.monotonic()
    assert await waiting
    assert time.monotonic() - began < 5


async def test_news_between_two_who_come_is_lost_to_neither():
    looked = Looked()
    followers = Followers(looked.look)
    first = asyncio.create_task(followers.wait("api", 7, 30, forever))
    await asyncio.sleep(0)
    looked.newest = 8
    second = asyncio.create_task(followers.wait("api", 8, 0.2, forever))
    assert await first
    assert not await second
    assert await followers.wait("api", 7, 30, forever)


async def test_one_client_waits_in_so_many_requests_and_keeps_no_other_out(monkeypatch):
    monkeypatch.setattr(module, "WAITING", 5)
    looked = Looked()
    followers = Followers(looked.look)
    tasks = [asyncio.create_task(followers.wait("greedy", 7, 30, forever)) for _ in range(5)]
    await asyncio.sleep(0.05)
    began = time.monotonic()
    assert not await followers.wait("greedy", 7, 30, forever)  # answered at once, and not refused
    assert time.monotonic() - began < 5
    other = asyncio.create_task(followers.wait("api", 7, 30, forever))
    await asyncio.sleep(0.05)
    assert not other.done()
    looked.newest = 8
    assert all(await asyncio.gather(other, *tasks))
    assert not followers._waiting


async def test_one_that_is_gone_keeps_no_place():
    looked, gone = Looked(), asyncio.Event()
    followers = Followers(looked.look)
    waiting = asyncio.create_task(followers.wait("api", 7, 30, gone.wait))
    await asyncio.sleep(0.05)
    gone.set()
    assert not await waiting
    assert not followers._waiting


# -- over HTTP -----------------------------------------------------------------------------------


def basic(client, secret):
    return {"authorization": "Basic " + base64.b64encode(f"{client}:{secret}".encode()).decode()}


async def furnished(site):
    admin = await site.admin()
    return {
        "api": (await admin.create_client("api", follows_revocations=True)).secret,
        "other": (await admin.create_client("other", grants=["client_credentials"], scopes=["notes:read"])).secret,
    }


async def test_who_follows_says_who_they_are_and_may(site, caplog):
    caplog.set_level(logging.DEBUG)
    secrets, visitor = await furnished(site), site.visitor()
    unknown = await visitor.get("/revocations")
    assert (unknown.status_code, unknown.json()["id"]) == (401, "BW401")
    assert unknown.headers["www-authenticate"].startswith("Basic ")
    for client, secret, status, error in (
        ("api", "wrong" * 8, 401, "BW401"),
        ("nobody", secrets["api"], 401, "BW401"),
        ("other", secrets["other"], 403, "BW411"),
        ("app", "", 403, "BW411"),  # public: anybody may say so
    ):
        refused = await visitor.get("/revocations", headers=basic(client, secret))
        assert (refused.status_code, refused.json()["id"]) == (status, error), client
    # Not in the address, which stands in logs; nor in the body, which a GET does not have.
    asked = {"client_id": "api", "client_secret": secrets["api"]}
    assert (await visitor.get("/revocations", params=asked)).status_code == 401
    assert (await visitor.get("/revocations", headers=basic("api", secrets["api"]))).status_code == 200
    await (await site.admin()).set_client_follows_revocations("api", False)
    assert (await visitor.get("/revocations", headers=basic("api", secrets["api"]))).status_code == 403
    await (await site.admin()).set_client_follows_revocations("api", True)
    await (await site.admin()).disable_client("api")
    assert (await visitor.get("/revocations", headers=basic("api", secrets["api"]))).status_code == 401
    assert secrets["api"] not in caplog.text.replace(
        "client_secret=" + secrets["api"], ""
    )  # httpx tells its own address


async def test_anybody_follows_where_a_setting_says_so(open_site):
    async with open_site(public_revocations=True) as site:
        secrets, visitor = await furnished(site), site.visitor()
        assert (await visitor.get("/revocations")).status_code == 200
        # Who says who they are has to be right, so that a mistake shows before the setting is turned off.
        assert (await visitor.get("/revocations", headers=basic("api", "wrong" * 8))).status_code == 401
        assert (await visitor.get("/revocations", headers=basic("api", secrets["api"]))).status_code == 200
        metadata = (await visitor.get("/.well-known/oauth-authorization-server")).json()
        methods = metadata["revocation_feed_endpoint_auth_methods_supported"]
        assert methods == ["client_secret_basic", "none"]
        described = (await visitor.get("/openapi.json")).json()["paths"]["/revocations"]["get"]
        assert described["security"] == [{"client": []}, {}]


async def test_the_documents_say_how_to_follow(site, visitor):
    metadata = (await visitor.get("/.well-known/oauth-authorization-server")).json()
    assert metadata["revocation_feed_endpoint_auth_methods_supported"] == ["client_secret_basic"]
    described = (await visitor.get("/openapi.json")).json()["paths"]["/revocations"]["get"]
    assert described["security"] == [{"client": []}]


async def test_the_feed_is_told_in_pages_to_whoever_asks_for_pages(site):
    secrets, admin = await furnished(site), await site.admin()
    for n in range(5):
        await admin.revoke_token(f"jti {n}")
    visitor = site.visitor()
    visitor.http.auth = ("api", secrets["api"])
    newest = await (await site.server.open()).feed.newest()
    told, after = [], 0
    while True:
        answered = await visitor.get("/revocations", params={"after": after, "limit": 2})
        claims = read_claims(read(answered.text).payload)
        assert (claims["after"], claims["newest"]) == (after, newest)
        assert len(claims["lines"]) <= 2
        told += [line[2] for line in claims["lines"]]
        after = claims["last"]
        if claims["newest"] <= after:
            break
    assert told == [f"jti {n}" for n in range(5)]
    whole = read_claims(read((await visitor.get("/revocations")).text).payload)
    assert [line[2] for line in whole["lines"]] == told
    # A page has a mark of its own: whoever has all of it knows not that there is no more.
    page = await visitor.get("/revocations", params={"limit": 2})
    assert page.headers["etag"] != (await visitor.get("/revocations")).headers["etag"]


async def test_all_at_once_is_refused_rather_than_cut_where_there_is_too_much(site, monkeypatch):
    monkeypatch.setattr("bailiwick.authority.feed.WHOLE", 4)
    secrets, admin = await furnished(site), await site.admin()
    visitor = site.visitor()
    visitor.http.auth = ("api", secrets["api"])
    for n in range(4):
        await admin.revoke_token(f"jti {n}")
    assert (await visitor.get("/revocations")).status_code == 200
    await admin.revoke_token("one more")
    refused = await visitor.get("/revocations")
    assert (refused.status_code, refused.json()["id"]) == (400, "BW400")
    assert "limit" in refused.json()["error_description"]
    assert (await visitor.get("/revocations", params={"limit": "100"})).status_code == 200


async def test_waiting_reads_no_lines_however_many_wait_and_however_long_the_feed_is(site, monkeypatch):
    """200 who waited read all lines twice a second each, and the authority did nothing else any more."""
    monkeypatch.setattr(module, "LOOK_EVERY", 0.1)
    secrets, admin = await furnished(site), await site.admin()
    authority = await site.server.open()
    read_lines, lines = type(authority.store).revocations, []

    async def counted(self, **asked):
        found = await read_lines(self, **asked)
        lines.append(len(found))
        return found

    monkeypatch.setattr(type(authority.store), "revocations", counted)
    for n in range(300):
        await admin.revoke_token(f"jti {n}")
    headers = basic("api", secrets["api"])
    known = (await site.visitor().get("/revocations", headers=headers)).headers["etag"]
    lines.clear()
    waiting = [
        asyncio.create_task(
            site.visitor().get("/revocations", params={"wait": "2"}, headers=headers | {"if-none-match": known})
        )
        for _ in range(40)
    ]
    answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {304}
    assert lines == []


async def test_a_revocation_over_http_is_told_at_once(site, monkeypatch):
    monkeypatch.setattr(module, "LOOK_EVERY", 60.0)
    secrets, admin = await furnished(site), await site.admin()
    await admin.create_client(
        "cli", public=True, first_party=True, grants=["password", "refresh_token"], scopes=["notes:*"]
    )
    visitor = site.visitor()
    form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": "correct horse battery staple"}
    tokens = (await visitor.post("/token", form)).json()
    headers = basic("api", secrets["api"])
    known = (await visitor.get("/revocations", headers=headers)).headers["etag"]
    waiting = asyncio.create_task(
        site.visitor().get("/revocations", params={"wait": "20"}, headers=headers | {"if-none-match": known})
    )
    await asyncio.sleep(0.2)
    began = time.monotonic()
    await visitor.post("/revoke", {"client_id": "cli", "token": tokens["refresh_token"]})
    answered = await waiting
    assert isinstance(answered, httpx.Response)
    assert answered.status_code == 200
    assert time.monotonic() - began < 5


# -- the verifier in the server's own process ------------------------------------------------------


async def test_what_gave_its_place_to_one_line_does_not_stay_in_this_processs_memory(site, monkeypatch):
    monkeypatch.setattr("bailiwick._server.verifier.ROOM", 50)
    admin = await site.admin()
    await admin.create_client(
        "cli", public=True, first_party=True, grants=["password", "refresh_token"], scopes=["notes:*"]
    )
    form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": "correct horse battery staple"}
    good = (await site.visitor().post("/token", form)).json()["access_token"]
    verifier = site.server.verifier()
    who = await verifier.verify(good)
    store, most, until = (await site.server.open()).store, 0, site.now + 10_000
    for n in range(40):
        for m in range(20):
            line = Revocation(Revoked.TOKEN, f"fam_x.{n}-{m}", site.now, until, subject="usr_other")
            await store.revoke(line, Event(site.now, "tested", "tester"))
        site.now += 2
        assert (await verifier.verify(good)).subject == who.subject
        most = max(most, len(verifier._revoked))
    assert most < 200  # of 800
    await admin.revoke_token(who.token_id)
    site.now += 2
    with pytest.raises(InvalidToken):
        await verifier.verify(good)
