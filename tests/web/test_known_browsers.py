"""Browsers that logged in before have guesses of their own, so that a stranger's guesses keep nobody out for ever."""

import asyncio
import threading

import pytest
from argon2 import Parameters, Type

from bailiwick.machine.passwords import Argon2Hasher
from bailiwick.server import AuthorizationServer, Lifetimes

from .conftest import CATALOG, PASSWORD, fields

pytestmark = pytest.mark.anyio

KNOWN = "__Host-bailiwick-known"
CHEAP = Parameters(
    type=Type.ID, version=19, salt_len=16, hash_len=32, time_cost=1, memory_cost=8, parallelism=1
)  # fmt: skip


def hasty(server):
    """A server whose hashes cost next to nothing."""
    server._hasher = Argon2Hasher(CHEAP)
    return server


@pytest.fixture(params=["in this process", "shared"])
def counting(request):
    """Where guesses are counted; tests of more than a hundred guesses do it in one of the two."""
    return request.param


@pytest.fixture
async def site(make_site, counting):
    site = make_site("https://id.example")
    if counting == "shared":
        pytest.importorskip("limits", reason="limits is not installed: pip install 'bailiwick[redis]'")
        issuer = site.server.issuer
        site.server = AuthorizationServer(CATALOG, issuer=issuer, attempts="memory://", now=lambda: site.now)
    async with hasty(site.server):
        await site.fill()
        yield site
        for visitor in site.visitors:
            await visitor.http.aclose()


async def guess(site, times=1, name="ada", address="127.0.0.1"):
    """Wrong passwords by a stranger; the status of the last."""
    for _ in range(times):
        page = await site.visitor(address).log_in(name=name, password="wrong")
    return page.status_code


async def known(site, name="ada", address="127.0.0.1"):
    """A browser that logged in and out."""
    visitor = site.visitor(address)
    assert (await visitor.log_in(name=name)).status_code == 303
    await visitor.post("/logout", fields(await visitor.get("/logout")))
    return visitor


def cookie_of(visitor):
    return next((cookie.value for cookie in visitor.http.cookies.jar if cookie.name == KNOWN), None)


def holding(site, value, address="127.0.0.1"):
    """A browser that never logged in, with somebody's cookie."""
    thief = site.visitor(address)
    thief.http.cookies.set(KNOWN, value, domain="id.example")
    return thief


async def log_in(visitor, name="ada", password=PASSWORD):
    page = await visitor.login_page(prompt="login")
    return (await visitor.log_in(page, name=name, password=password)).status_code


async def test_a_stranger_who_guesses_keeps_out_no_browser_that_was_let_in_before(site):
    visitor = await known(site)
    await guess(site, 10)
    assert await log_in(site.visitor()) == 429
    assert await log_in(visitor) == 303


@pytest.mark.parametrize("counting", ["in this process"])
async def test_nor_do_strangers_who_guess_from_everywhere(site):
    visitor = await known(site, address="192.0.2.1")
    for number in range(101):
        await guess(site, address=f"203.0.113.{number}")
    assert await log_in(site.visitor("192.0.2.1")) == 429
    assert await log_in(visitor) == 303


@pytest.mark.parametrize("counting", ["in this process"])
async def test_nor_does_somebody_in_the_same_office_who_tries_a_password_on_everybody(site):
    visitor = await known(site)
    for number in range(101):
        await guess(site, name=f"person {number}")
    assert await log_in(site.visitor()) == 429
    assert await log_in(visitor) == 303


@pytest.mark.parametrize("counting", ["in this process"])
async def test_the_cookie_is_set_by_a_login_only_and_is_for_the_browser_alone(site):
    page = await site.visitor().log_in()
    sent = [one for one in page.headers.get_list("set-cookie") if one.startswith(f"{KNOWN}=")]
    assert len(sent) == 1
    parts = {part.strip().lower() for part in sent[0].split(";")[1:]}
    assert parts == {"secure", "httponly", "samesite=strict", "path=/", f"max-age={180 * 24 * 60 * 60}"}
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("nobody", PASSWORD)):
        refused = await site.visitor().log_in(name=name, password=password)
        assert KNOWN not in str(refused.headers)


@pytest.mark.parametrize("counting", ["in this process"])
async def test_the_cookie_names_nobody_and_two_browsers_have_different_ones(site):
    account = await (await site.server.open()).store.account_named("ada")
    one, two = cookie_of(await known(site)), cookie_of(await known(site))
    assert one != two
    for value in (one, two):
        assert "ada" not in value
        assert account.id not in value


async def test_a_wrong_password_takes_the_cookie_from_nobody(site):
    visitor = await known(site)
    value = cookie_of(visitor)
    assert await log_in(visitor, password="wrong") == 400
    assert cookie_of(visitor) == value


@pytest.mark.parametrize("change", ["another account", "cut", "a letter", "empty", "junk", "many", "not ASCII"])
async def test_a_cookie_of_another_account_or_a_forged_one_is_worth_nothing(site, change):
    value = cookie_of(await known(site, name="bob" if change == "another account" else "ada"))
    value = {
        "another account": value,
        "cut": value[:-4],
        "a letter": ("A" if value[0] != "A" else "B") + value[1:],
        "empty": "",
        "junk": "A" * 4000,
        "many": ".".join(["A" * 100] * 30) + "." + value,  # ours is past those that are looked at
        "not ASCII": "\u00e9",
    }[change]
    await guess(site, 10)
    stranger = site.visitor()
    form = {**fields(await stranger.login_page()), "name": "ada", "password": PASSWORD}
    held = f"{site.cookie}={stranger.cookie()}; {KNOWN}={value}"
    stranger.http.cookies.clear()
    page = await stranger.post("/login", form, headers=[(b"cookie", held.encode("latin-1"))])
    assert page.status_code == 429


async def test_two_cookies_of_the_name_are_nobodys(site):
    value = cookie_of(await known(site))
    await guess(site, 10)
    stranger = site.visitor()
    form = {**fields(await stranger.login_page()), "name": "ada", "password": PASSWORD}
    held = f"{site.cookie}={stranger.cookie()}; {KNOWN}={value}; {KNOWN}={value}"
    stranger.http.cookies.clear()
    assert (await stranger.post("/login", form, headers={"cookie": held})).status_code == 429


async def test_after_a_new_password_the_cookie_is_worth_nothing(site):
    visitor = await known(site)
    await (await site.admin()).set_password("ada", "quite another password")
    await guess(site, 10)
    assert await log_in(visitor, password="quite another password") == 429


async def test_a_browser_is_known_for_as_long_as_the_settings_say(make_site):
    site = make_site("https://id.example", lifetimes=Lifetimes(known_browser=1000))
    async with hasty(site.server):
        await site.fill()
        visitor = await known(site)
        await guess(site, 10)
        site.now += 999
        await guess(site, 10)
        assert await log_in(holding(site, cookie_of(visitor))) == 303
        site.now += 1
        await guess(site, 10)
        assert await log_in(holding(site, cookie_of(visitor))) == 429


@pytest.mark.parametrize("counting", ["shared"])
async def test_whoever_stole_a_cookie_has_as_few_guesses_as_anybody_and_is_a_stranger_then(site):
    value = cookie_of(await known(site))
    outcomes = [await log_in(holding(site, value, f"203.0.113.{number}"), password="wrong") for number in range(130)]
    # Ten by the cookie, and then those that strangers from everywhere have together.
    assert outcomes[:110] == [400] * 110
    assert set(outcomes[110:]) == {429}
    assert await log_in(holding(site, value, "203.0.113.200")) == 429


async def test_a_browser_that_used_up_its_own_guesses_still_has_those_of_a_stranger(site):
    visitor = await known(site)
    for _ in range(10):
        assert await log_in(visitor, password="wrong") == 400
    assert await log_in(visitor) == 303
    await guess(site, 10)
    site.now += 1
    assert await log_in(visitor) == 429


async def test_earlier_copies_of_a_cookie_are_counted_with_the_later_ones(site):
    visitor = await known(site)
    copies = [cookie_of(visitor)]
    for _ in range(4):
        site.now += 100
        assert await log_in(visitor) == 303
        copies.append(cookie_of(visitor))
    assert len(set(copies)) == 5
    for copy in copies * 2:
        assert await log_in(holding(site, copy, "203.0.113.1"), password="wrong") == 400
    await guess(site, 10, address="203.0.113.2")
    assert await log_in(holding(site, copies[0], "203.0.113.2")) == 429


@pytest.mark.parametrize("counting", ["in this process"])
async def test_many_cookies_of_one_account_are_not_many_times_the_guesses(site):
    copies = [cookie_of(await known(site)) for _ in range(15)]
    for address in range(101):  # strangers have none left
        await guess(site, address=f"203.0.113.{address}")
    outcomes = [await log_in(holding(site, copy), password="wrong") for copy in copies for _ in range(10)]
    assert outcomes == [400] * 100 + [429] * 50


@pytest.mark.parametrize("counting", ["in this process"])
async def test_one_browser_is_known_to_the_last_four_accounts(site):
    admin = await site.admin()
    names = ["ada", "bob", "carol", "dan", "erin"]
    for name in names[2:]:
        await admin.create_account(name, PASSWORD)
    visitor = site.visitor()
    for name in names:
        assert await log_in(visitor, name) == 303
        await visitor.post("/logout", fields(await visitor.get("/logout")))
    for name in names:
        await guess(site, 10, name)
    assert len(cookie_of(visitor)) < 1000
    assert [await log_in(holding(site, cookie_of(visitor)), name) for name in names] == [429, 303, 303, 303, 303]


async def test_the_password_grant_is_counted_with_strangers_whatever_cookie_comes_with_it(site):
    value = cookie_of(await known(site))
    await (await site.admin()).create_client(
        "cli", public=True, first_party=True, grants=["password"], scopes=["notes:*"]
    )
    await guess(site, 10)
    form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": PASSWORD}
    answer = await site.visitor().post("/token", form, headers={"cookie": f"{KNOWN}={value}"})
    assert answer.status_code == 429


async def test_on_loopback_the_cookie_has_a_plain_name(open_site):
    async with open_site("http://127.0.0.1:8000") as site:
        sent = (await site.visitor().log_in()).headers.get_list("set-cookie")
        assert any(one.startswith("bailiwick-known=") and "secure" not in one.lower() for one in sent)


async def test_another_process_on_the_same_store_knows_the_browser_too(tmp_path, make_site):
    site = make_site("https://id.example")
    first, second = (
        AuthorizationServer(CATALOG, issuer=site.server.issuer, store=tmp_path / "a.db", now=lambda: site.now)
        for _ in range(2)
    )
    async with hasty(first), hasty(second):
        site.server = first
        await site.fill()
        value = cookie_of(await known(site))
        site.server = second
        await guess(site, 10)
        assert await log_in(holding(site, value)) == 303
        assert await log_in(site.visitor()) == 429


# -- the queue ---------------------------------------------------------------------------------


async def until(true):
    for _ in range(10_000):
        if true():
            return
        await asyncio.sleep(0.001)
    pytest.fail("it never happened")


async def test_whoever_hangs_up_while_waiting_for_the_hasher_is_not_served(make_site):
    """One who sends requests and closes the connections at once would otherwise keep the queue busy afterwards."""
    site = make_site("https://id.example")
    async with hasty(site.server):
        await site.fill()
        await (await site.admin()).create_client(
            "cli", public=True, first_party=True, grants=["password"], scopes=["notes:*"]
        )
        hasher, hashed, go = site.server._hasher, [], threading.Event()
        check = hasher._verify
        hasher._verify = lambda kept, password: (hashed.append(password), go.wait(20), check(kept, password))[-1]
        body = b"grant_type=password&client_id=cli&username=%s&password=%s"
        conn = {
            "type": "http", "http_version": "1.1", "method": "POST", "path": "/auth/token", "raw_path": b"/auth/token",
            "query_string": b"", "root_path": "", "scheme": "https", "server": ("id.example", 443),
            "client": ("192.0.2.1", 1), "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
        }  # fmt: skip

        def ask(name, password):
            gone = asyncio.Event()
            messages = [{"type": "http.request", "body": body % (name, password), "more_body": False}]

            async def receive():
                if messages:
                    return messages.pop()
                await gone.wait()
                return {"type": "http.disconnect"}

            sent = []

            async def send(message):
                sent.append(message)

            return asyncio.create_task(site.server(dict(conn), receive, send)), gone, sent

        first, _, _ = ask(b"ada", b"first")
        await until(lambda: hashed)
        second, hang_up, _ = ask(b"ada", b"second")
        third, _, answer = ask(b"bob", b"third")
        await until(lambda: len(hasher._queue) == 2)
        hang_up.set()
        await second
        go.set()
        await asyncio.gather(first, third)
        assert hashed == ["first", "third"]
        assert answer[0]["status"] == 400
