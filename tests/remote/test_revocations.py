"""The follower of the revocation feed, against a real authority, and against answers that nobody honest gives."""

import asyncio
import base64
import gzip
import logging
import time
from timeit import repeat
from urllib.parse import unquote_plus

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from bailiwick import Catalog, ConfigurationError, InvalidToken, Principal, Scope, ScopeSet
from bailiwick.errors import Unavailable
from bailiwick.remote import RevocationFeed
from bailiwick.server import AuthorizationServer
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

pytestmark = pytest.mark.anyio

ISSUER = "https://auth.example.com"
API = "https://auth.example.com"
CATALOG = Catalog([Scope("notes:read", "Read"), Scope("notes:write", "Write")], roles={"writer": ["notes:*"]})
PASSWORD = "correct horse battery staple"


class World:
    """An authority, an API's verifier that follows it without a network, and clocks that tests can turn."""

    def __init__(self, **settings):
        self.offset = 0.0
        self.unreachable = False
        self.asked = []
        self.server = AuthorizationServer(CATALOG, issuer=ISSUER)
        inner = httpx.ASGITransport(app=self.server)
        world = self

        class Line(httpx.AsyncBaseTransport):
            async def handle_async_request(self, request):
                world.asked.append(dict(request.url.params) | {"if-none-match": request.headers.get("if-none-match")})
                if world.unreachable:
                    raise httpx.ConnectError("nobody there")
                return await inner.handle_async_request(request)

        self.http = httpx.AsyncClient(transport=Line())
        self.settings = settings

    async def __aenter__(self):
        authority = await self.server.open()
        self.admin = await self.server.admin("operator:test")
        await self.admin.create_account("ada", PASSWORD, roles=["writer"])
        await self.admin.create_client(
            "cli", public=True, grants=["password", "refresh_token"], scopes=["notes:*"], first_party=True
        )
        api = await self.admin.create_client("api", follows_revocations=True)
        keys = Keyring.from_jwks(await authority.jwks(), published=True)
        self.feed = RevocationFeed(
            ISSUER,
            keys=keys,
            client_id="api",
            client_secret=api.secret,
            http=self.http,
            monotonic=lambda: time.monotonic() + self.offset,
            **self.settings,
        )
        self.verifier = JWTVerifier(keys, issuer=ISSUER, audience=API, checks=(self.feed.check,))
        return self

    async def __aexit__(self, *_):
        await self.http.aclose()
        await self.server.close()

    async def log_in(self):
        form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": PASSWORD}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=self.server), base_url=ISSUER) as http:
            answer = await http.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        return answer.json()["access_token"]

    async def refused(self, token):
        with pytest.raises((InvalidToken, Unavailable)) as caught:
            await self.verifier.verify(token)
        return caught.value.id

    async def until(self, happened):
        end = time.monotonic() + 5
        while not await happened():
            assert time.monotonic() < end
            await asyncio.sleep(0.02)


async def test_each_kind_of_revocation_arrives():
    async with World() as world, world.feed as feed:

        async def token():
            made = await world.log_in()
            return made, await world.verifier.verify(made)

        async def dies(text):
            await feed.refresh()
            assert await world.refused(text) == "BW213"
            assert world.verifier.verify_cached(text) is None

        text, caller = await token()
        other, _ = await token()
        await world.admin.revoke_token(caller.token_id)
        await dies(text)
        assert (await world.verifier.verify(other)).subject == caller.subject
        await world.admin.revoke_family((await world.verifier.verify(other)).token_id.rpartition(".")[0])
        await dies(other)
        text, caller = await token()
        await world.admin.withdraw(caller.claims["authz"])
        await dies(text)
        await world.admin.give_back(caller.claims["authz"], ["notes:read", "notes:write"])
        text, caller = await token()
        await world.admin.disable_client("cli")
        await dies(text)
        await world.admin.enable_client("cli")
        text, caller = await token()
        await world.admin.disable_account("ada")
        await dies(text)


async def test_one_scope_is_taken_from_the_caller_and_the_others_stay():
    async with World() as world, world.feed as feed:
        token = await world.log_in()
        caller = await world.verifier.verify(token)
        assert str(caller.scopes) == "notes:read notes:write"
        await world.admin.withdraw(caller.claims["authz"], "notes:write")
        await feed.refresh()
        for left in (await world.verifier.verify(token), world.verifier.verify_cached(token)):
            assert str(left.scopes) == "notes:read"
            assert (left.subject, left.claims, left.token_id) == (caller.subject, caller.claims, caller.token_id)
            assert not left.under(CATALOG).has("notes:write")
            assert left.under(CATALOG).has("notes:read")


async def test_a_revocation_is_known_within_a_second_of_waiting():
    async with World() as world, world.feed:
        token = await world.log_in()
        caller = await world.verifier.verify(token)
        await asyncio.sleep(1.2)  # the follower waits for news by now
        assert world.asked[-1]["if-none-match"]
        began = time.monotonic()
        await world.admin.revoke_token(caller.token_id)

        async def is_refused():
            return world.verifier.verify_cached(token) is None

        await world.until(is_refused)
        assert time.monotonic() - began < 1
        assert await world.refused(token) == "BW213"


async def test_before_the_first_document_everything_is_refused_or_passes_as_told():
    async with World() as closed, World(stale="open") as opened:
        token = await closed.log_in()
        assert await closed.refused(token) == "BW505"
        assert closed.verifier.verify_cached(token) is None
        token = await opened.log_in()
        assert (await opened.verifier.verify(token)).client_id == "cli"


async def test_past_its_bound_the_feed_fails_closed_says_so_once_and_recovers(caplog):
    caplog.set_level(logging.INFO, "bailiwick.remote")
    async with World(max_age=30) as world, world.feed as feed:
        token = await world.log_in()
        await world.verifier.verify(token)
        world.unreachable = True
        assert not await feed.refresh()
        world.offset += 29
        await world.verifier.verify(token)
        world.offset += 2
        for _ in range(3):
            with pytest.raises(Unavailable) as caught:
                await world.verifier.verify(token)
        assert caught.value.id == "BW505"
        assert caught.value.status == 503
        assert caught.value.retry_after >= 1
        said = [line for line in caplog.records if "BW505" in line.getMessage()]
        assert len(said) == 1
        assert "every token is refused" in said[0].getMessage()
        assert token not in caplog.text
        world.unreachable = False

        async def is_well():
            return world.verifier.verify_cached(token) is not None or await feed.refresh()

        await world.until(is_well)
        await world.verifier.verify(token)
        assert "is followed again" in caplog.text


async def test_past_its_bound_an_open_feed_keeps_what_it_knew_and_says_so_once(caplog):
    async with World(stale="open", max_age=30) as world, world.feed as feed:
        good, bad = await world.log_in(), await world.log_in()
        await world.admin.revoke_token((await world.verifier.verify(bad)).token_id)
        await feed.refresh()
        world.unreachable = True
        world.offset += 31
        for _ in range(3):
            await world.verifier.verify(good)
        assert await world.refused(bad) == "BW213"
        said = [line for line in caplog.records if "BW505" in line.getMessage()]
        assert len(said) == 1
        assert "tokens pass although they may be revoked" in said[0].getMessage()


async def test_a_304_proves_nothing_about_age():
    async with World(max_age=3) as world, world.feed as feed:
        await asyncio.sleep(2.5)
        # Each third of the bound a signed document is fetched, though there was no news.
        assert feed.age < 2
        whole = [one for one in world.asked if "wait" not in one]
        assert len(whole) >= 3
        assert all(one["if-none-match"] is None for one in whole)


async def test_many_who_ask_at_once_share_one_request():
    async with World() as world, world.feed as feed:
        await asyncio.sleep(0.1)
        before = len([one for one in world.asked if "wait" not in one])
        assert all(await asyncio.gather(*(feed.refresh() for _ in range(50))))
        assert len([one for one in world.asked if "wait" not in one]) == before + 1


async def test_an_unreachable_authority_is_asked_ever_more_rarely():
    async with World() as world:
        world.unreachable = True
        async with world.feed:
            await asyncio.sleep(2.4)
        # 0, 0.5 to 0.75, 1.5 to 2.25 ... and not a request each moment
        assert 2 <= len(world.asked) <= 4


async def test_lines_end_with_the_tokens_that_they_are_about():
    async with World() as world, world.feed as feed:
        await world.admin.revoke_token("one")
        await feed.refresh()
        assert len(feed._revocations) == 1
        feed._revocations.forget_before(time.time() + 10_000)
        assert len(feed._revocations) == 0
        assert not any(feed._revocations._at.values())


@pytest.mark.timing
async def test_a_check_costs_less_than_two_microseconds_when_nothing_is_revoked():
    async with World() as world, world.feed as feed:
        caller = await JWTVerifier(feed._keys, issuer=ISSUER, audience=API).verify(await world.log_in())
        check, times = feed.check, 20_000
        cost = min(repeat(lambda: check(caller), number=times, repeat=7, timer=time.process_time)) / times
        assert cost < 2e-6


async def test_it_refuses_tokens_of_another_issuer():
    async with World() as world, world.feed as feed:
        with pytest.raises(InvalidToken) as caught:
            feed.check(Principal("ada", ScopeSet(["notes:read"]), issuer="https://other.example.com"))
        assert caught.value.id == "BW206"


# -- answers that nobody honest gives ------------------------------------------------------------

KEY = SigningKey.generate()


def altered(text):
    """The same under another signature, whichever it had."""
    signed, _, signature = text.rpartition(".")
    return f"{signed}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def document(key=KEY, typ="revocations+jwt", **claims):
    now = int(time.time())
    told = {"iss": ISSUER, "iat": now, "exp": now + 660, "after": 0, "last": 1, "life": 660}
    told |= {"lines": [[1, "token", "x.y", now, now + 660, ""]]} | claims
    return Signer(key).sign({name: value for name, value in told.items() if value is not None}, typ=typ)


def feed_type(body, **headers):
    return Response(body, headers={"content-type": "application/revocations+jwt", **headers})


NOW = time.time()  # of the collection; on a slow machine a test may run many minutes later
DAY = 86_400
HOSTILE = {
    "signed by somebody else": lambda: feed_type(document(SigningKey.generate())),
    "signed by somebody else under the same name": lambda: feed_type(document(SigningKey.generate(kid=KEY.kid))),
    "an access token": lambda: feed_type(document(typ="at+jwt")),
    "of another issuer": lambda: feed_type(document(iss="https://evil.example.com")),
    "without an issuer": lambda: feed_type(document(iss=None)),
    "kept back": lambda: feed_type(document(iat=int(time.time()) - 120)),
    "of the future": lambda: feed_type(document(iat=int(time.time()) + 120)),
    "expired": lambda: feed_type(document(exp=int(time.time()) - 1)),
    "time as text": lambda: feed_type(document(iat="now")),
    "an answer to another question": lambda: feed_type(document(after=7, last=9)),
    "a number that goes back": lambda: feed_type(document(last=-1)),
    "no lines": lambda: feed_type(document(lines=None)),
    "a line that is too short": lambda: feed_type(document(lines=[[1, "token", "x"]])),
    "a line of an unknown kind": lambda: feed_type(document(lines=[[1, "galaxy", "x", NOW, NOW + 60, ""]])),
    "a scope without a name": lambda: feed_type(document(lines=[[1, "scope", "x", NOW, NOW + 60, ""]])),
    "a moment as text": lambda: feed_type(document(lines=[[1, "token", "x", "now", NOW + 60, ""]])),
    "a line that is no list": lambda: feed_type(document(lines=[{"kind": "token"}])),
    "altered": lambda: feed_type(altered(document())),
    "without a signature": lambda: feed_type(document().rpartition(".")[0] + "."),
    "no document": lambda: feed_type("hello"),
    "not ASCII": lambda: feed_type("é" * 10),
    "nothing": lambda: feed_type(""),
    "HTML": lambda: Response(document(), media_type="text/html"),
    "compressed": lambda: feed_type(gzip.compress(document().encode()), **{"content-encoding": "gzip"}),
    "too long": lambda: feed_type("a" * 20_001),
    "more of which it tells nothing": lambda: feed_type(document(last=0, newest=9, lines=[])),
    "more, and not how much": lambda: feed_type(document(newest="9")),
    "not for us": lambda: Response("no", 401),
    "for others only": lambda: Response("no", 403),
    "a redirect": lambda: RedirectResponse("/elsewhere", 302),
    "a redirect to another host": lambda: RedirectResponse("https://evil.example.com/revocations", 307),
    "not modified": lambda: Response(status_code=304),
    "an error": lambda: Response("no", 500),
    "another success": lambda: Response(document(), 206, media_type="application/revocations+jwt"),
}


def follower(answer, **settings):
    asked = []

    async def revocations(request):
        asked.append(str(request.url))
        return answer()

    async def elsewhere(request):
        asked.append(str(request.url))
        return feed_type(document())

    app = Starlette(routes=[Route("/revocations", revocations), Route("/elsewhere", elsewhere)])
    http = httpx.AsyncClient(transport=httpx.ASGITransport(app=app), follow_redirects=True)
    feed = RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), http=http, max_bytes=20_000, max_lines=50, **settings)
    return feed, asked


@pytest.mark.parametrize("what", HOSTILE)
async def test_an_answer_is_not_believed_that_is(what, caplog):
    feed, asked = follower(HOSTILE[what])
    assert not await feed.refresh()
    assert len(asked) == 1  # nobody sends it elsewhere
    assert "could not be followed" in caplog.text
    assert not [line for line in caplog.records if line.exc_info]
    with pytest.raises(Unavailable):
        feed.check(Principal("ada", ScopeSet(["notes:read"]), issuer=ISSUER))


async def test_a_good_answer_is_believed():
    feed, _ = follower(lambda: feed_type(document()))
    assert await feed.refresh()
    who = Principal("ada", ScopeSet(["a"]), issuer=ISSUER, token_id="x.y", claims={"iat": int(NOW) - 5})
    with pytest.raises(InvalidToken):
        feed.check(who)
    assert feed.check(Principal("ada", ScopeSet(["a"]), issuer=ISSUER, token_id="x.z", claims=who.claims)) is None


async def test_what_was_known_is_kept_when_a_bad_answer_follows():
    answers = [feed_type(document()), *(feed_type(document(SigningKey.generate())) for _ in range(2))]
    feed, _ = follower(lambda: answers.pop(0))
    assert await feed.refresh()
    assert not await feed.refresh()
    with pytest.raises(InvalidToken):
        feed.check(Principal("ada", ScopeSet(["a"]), issuer=ISSUER, token_id="x.y", claims={"iat": int(NOW) - 5}))


async def test_an_answer_that_drips_for_ever_is_cut_off():
    class Dripping(httpx.AsyncByteStream):
        async def __aiter__(self):
            while True:
                await asyncio.sleep(0.05)
                yield b"a"

    class Line(httpx.AsyncBaseTransport):
        async def handle_async_request(self, request):
            return httpx.Response(200, headers={"content-type": "application/revocations+jwt"}, stream=Dripping())

    async with httpx.AsyncClient(transport=Line()) as http:
        feed = RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), http=http, timeout=0.2)
        began = time.monotonic()
        assert not await feed.refresh()
        assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "url",
    [
        "http://auth.example.com/revocations",
        "http://192.0.2.1/revocations",
        "ftp://auth.example.com/",
        "https:///revocations",
        "https://ada:secret@auth.example.com/revocations",
        "https://auth.example.com/revocations?x=1",
        "https://auth.example.com/revocations#x",
        "//auth.example.com",
    ],
)
def test_an_address_is_refused_that_others_could_read_along(url):
    with pytest.raises(ConfigurationError):
        RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), url=url)


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "[::1]:8000", "localhost"])
def test_loopback_may_be_plain_http(host):
    assert RevocationFeed(f"http://{host}/auth", keys=Keyring.from_keys(KEY)).url == f"http://{host}/auth/revocations"


@pytest.mark.parametrize(
    "settings",
    [{"keys": "secret"}, {"stale": "ajar"}, {"max_age": 1}, {"max_age": float("nan")}, {"timeout": 0}, {"max_bytes": 0}, {"max_lines": 0}, {"client_id": "x"}, {"client_secret": "x"}],
)  # fmt: skip
def test_a_setting_out_of_range_is_refused(settings):
    with pytest.raises(ConfigurationError):
        RevocationFeed(ISSUER, **{"keys": Keyring.from_keys(KEY)} | settings)


async def test_its_repr_shows_how_it_stands():
    feed, _ = follower(lambda: feed_type(document()))
    assert "0 revocations, inf s old" in repr(feed)
    await feed.refresh()
    assert "1 revocations, 0 s old" in repr(feed)


async def test_it_is_entered_once():
    async with World() as world, world.feed as feed:
        with pytest.raises(RuntimeError):
            await feed.__aenter__()


# -- a feed of whatever length -------------------------------------------------------------------


class Told:
    """An authority with so many lines, told in pages; it counts what it is asked."""

    def __init__(self, lines, *, at_most=10, before_answer=None, **settings):
        now = int(time.time())
        self.lines = [[n + 1, "token", f"x.{n}", now, now + DAY, ""] for n in range(lines)]
        self.at_most, self.before_answer = at_most, before_answer
        self.asked, self.broken = [], set()
        self.offset = 0.0
        app = Starlette(routes=[Route("/revocations", self.answer)])
        self.feed = RevocationFeed(
            ISSUER,
            keys=Keyring.from_keys(KEY),
            http=httpx.AsyncClient(transport=httpx.ASGITransport(app=app)),
            monotonic=lambda: time.monotonic() + self.offset,
            **settings,
        )

    async def answer(self, request):
        after, limit = (int(request.query_params[name]) for name in ("after", "limit"))
        self.asked.append(after)
        if self.before_answer is not None:
            self.before_answer(after)
        if len(self.asked) in self.broken:
            return Response("no", 500)
        most = min(limit, self.at_most)
        page = [line for line in self.lines if line[0] > after][:most]
        newest = self.lines[-1][0] if self.lines else 0
        last = page[-1][0] if len(page) == most else max(after, newest)
        return feed_type(document(after=after, last=last, newest=newest, lines=page))

    def add(self, key):
        now = int(time.time())
        self.lines.append([self.lines[-1][0] + 1, "token", key, now, now + DAY, ""])

    def knows(self, key):
        who = Principal("ada", ScopeSet(["a"]), issuer=ISSUER, token_id=key, claims={"iat": int(NOW) - 5, "rev": 0})
        try:
            self.feed.check(who)
        except InvalidToken:
            return True
        return False


async def test_a_feed_of_whatever_length_is_known_whole_page_after_page(caplog):
    told = Told(95, max_lines=50)
    assert await told.feed.refresh()
    assert told.asked == list(range(0, 100, 10))
    assert all(told.knows(f"x.{n}") for n in range(95))
    assert len([line for line in caplog.records if "more than 50 revocations" in line.getMessage()]) == 1


async def test_twice_the_lines_are_twice_the_requests_and_no_more():
    counts = []
    for lines in (1_000, 2_000, 4_000):
        told = Told(lines, at_most=100)
        assert await told.feed.refresh()
        counts.append(len(told.asked))
    assert counts == [10, 20, 40]


async def test_a_load_that_takes_long_makes_nothing_stale_that_was_up_to_date_and_misses_no_news():
    told = Told(200, max_age=60)
    assert await told.feed.refresh()

    def slow(after):
        told.offset += 15  # the whole takes five minutes
        if after == 100:
            told.add("x.news")
        elif after == 120:
            known.append(told.knows("x.news"))
        ages.append(told.feed.age)

    told.before_answer, known, ages = slow, [], []
    assert await told.feed.refresh()
    assert max(ages) < 60
    assert told.knows("x.news")
    assert known == [True]  # long before the load was done
    assert len(told.feed._revocations) == 201


async def test_a_long_load_is_followed_by_a_long_rest():
    told = Told(200, max_age=3)
    told.before_answer = lambda _after: setattr(told, "offset", told.offset + 0.2)
    async with told.feed:
        told.before_answer = None
        loaded = len(told.asked)  # in some five seconds, by its clock
        for _ in range(4):
            await asyncio.sleep(0.3)
            told.offset += 3
        assert told.asked[loaded:]
        assert 0 not in told.asked[loaded:]  # asked for what is new, which proves as much
        told.offset += 60
        await asyncio.sleep(0.6)
        assert 0 in told.asked[loaded:]


async def test_a_load_that_breaks_off_goes_on_where_it_was():
    told = Told(95)
    told.broken = {4, 9}
    assert not await told.feed.refresh()
    assert not told.feed._revocations  # a part is not taken for the whole
    assert not await told.feed.refresh()
    assert await told.feed.refresh()
    assert told.asked.count(0) == 1
    assert all(told.knows(f"x.{n}") for n in range(95))


async def test_numbers_that_begin_anew_bring_everything_anew():
    told = Told(30)
    async with told.feed:
        told.lines = told.lines[:5]  # a backup was brought back
        told.add("x.later")

        async def is_known():
            return told.knows("x.later")

        end = time.monotonic() + 5
        while not await is_known():
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
    assert len(told.feed._revocations) == 6


async def test_pages_that_are_too_long_are_asked_for_in_smaller_ones():
    told = Told(100, at_most=2_000, max_bytes=3_000)
    for _ in range(12):
        if await told.feed.refresh():
            break
    assert len(told.feed._revocations) == 100


async def test_a_line_takes_as_much_memory_as_is_said():
    import tracemalloc

    told = Told(0)
    now = time.time()
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for n in range(5_000):
            key = f"fam_{n:020d}.{n:022d}"
            told.feed._revocations.add("token", key, at=now + n, until=now + 600 + n, number=n)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (after - before) / 5_000 < 500


async def test_who_follows_says_who_they_are_and_no_log_repr_or_address_has_the_secret(caplog):
    caplog.set_level(logging.DEBUG)
    seen = []

    async def revocations(request):
        seen.append((request.headers.get("authorization"), str(request.url)))
        return feed_type(document()) if len(seen) == 1 else Response("no", 401)

    app = Starlette(routes=[Route("/revocations", revocations)])
    secret = "sec ret:/%" * 4
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app)) as http:
        feed = RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), http=http, client_id="a:b", client_secret=secret)
        assert await feed.refresh()
        assert not await feed.refresh()
    # RFC 6749 section 2.3.1: each half form-encoded, so that a colon in the name ends it nowhere.
    told = base64.b64decode(seen[0][0].removeprefix("Basic ")).decode().split(":")
    assert [unquote_plus(half) for half in told] == ["a:b", secret]
    assert "name a client that may follow it" in caplog.text
    for text in (caplog.text, repr(feed), seen[0][1]):
        assert "sec+ret" not in text
        assert secret not in text
        assert seen[0][0] not in text


async def test_an_authority_that_knows_no_followers_is_not_followed_and_says_why(caplog):
    async with World() as world:
        feed = RevocationFeed(ISSUER, keys=world.feed._keys, http=world.http)
        assert not await feed.refresh()
        assert "401: name a client" in caplog.text
        with pytest.raises(Unavailable):
            feed.check(Principal("ada", ScopeSet(["a"]), issuer=ISSUER))
