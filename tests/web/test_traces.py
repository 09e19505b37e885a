"""Attacks leave a trace: each of these stands in the journal, with how often, and through which client."""

import logging
import re

import httpx
import pytest

from bailiwick.authority import Registration
from bailiwick.scopes import ScopeSet
from bailiwick.storage import open_store

from .conftest import PASSWORD, VERIFIER, Site, fields

pytestmark = pytest.mark.anyio

EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
MANY = 30


class Scene(Site):
    """A site with confidential clients, somebody's tokens, and whoever wants them."""

    async def fill(self):
        await super().fill()
        admin = await self.admin()
        program = {"scopes": ["notes:read"]}
        made = await admin.create_client("svc", grants=["client_credentials"], **program)
        self.svc = {"client_id": "svc", "client_secret": made.secret}
        made = await admin.create_client("gate", grants=[EXCHANGE], **program)
        self.gate = {"client_id": "gate", "client_secret": made.secret}
        await admin.create_client("weak", grants=["client_credentials"], secret="hunter2-hunter2", **program)
        await admin.create_client(
            "cli", public=True, first_party=True, grants=["password", "refresh_token"], scopes=["notes:*"]
        )
        await admin.create_account("gone", PASSWORD, roles=["reader"])
        await admin.disable_account("gone")
        self.tokens = (await self.log_in_by("cli")).json()

    async def send(self, path, data=None, *, method="POST", address="192.0.2.66", **more):
        transport = httpx.ASGITransport(self.server, client=(address, 1024))
        async with httpx.AsyncClient(transport=transport, base_url=self.origin) as http:
            return await http.request(method, f"/auth{path}", data=data, **more)

    async def log_in_by(self, client, name="ada", password=PASSWORD):
        form = {"grant_type": "password", "client_id": client, "username": name, "password": password}
        return await self.send("/token", form)

    async def lines(self):
        return await (await self.admin()).journal(limit=1_000)


async def guess_secret(scene, client="svc"):
    return await scene.send(
        "/token", {"grant_type": "client_credentials", "client_id": client, "client_secret": "x" * 40}
    )


async def steal_refresh(scene):
    return await scene.send(
        "/token", {"grant_type": "refresh_token", "client_id": "app", "refresh_token": scene.tokens["refresh_token"]}
    )


async def revoke_others(scene, which="refresh_token"):
    return await scene.send("/revoke", {"client_id": "app", "token": scene.tokens[which]})


async def exchange_others(scene):
    form = {"grant_type": EXCHANGE, "subject_token": scene.tokens["access_token"], "subject_token_type": ACCESS}
    return await scene.send("/token", form | scene.gate)


async def poll_others(scene, client="cli", times=1):
    scene.device = (
        getattr(scene, "device", None) or (await scene.send("/device_authorization", {"client_id": "tv"})).json()
    )
    form = {"grant_type": DEVICE, "client_id": client, "device_code": scene.device["device_code"]}
    for _ in range(times):
        answer = await scene.send("/token", form)
    return answer


async def forge_consent(scene):
    if not hasattr(scene, "theirs"):
        scene.theirs, scene.victim = fields(await scene.visitor().consent_page()), scene.visitor()
        await scene.victim.log_in(name="bob")
    return await scene.victim.post("/consent", {**scene.theirs, "decision": "allow", "scope": "notes:read"})


async def from_another_site(scene):
    return await scene.send("/login", {"name": "ada"}, headers={"sec-fetch-site": "cross-site"})


async def mistype_code(scene):
    visitor = scene.visitor()
    await visitor.log_in()
    page = await visitor.get("/device")
    return await visitor.post("/device", {**fields(page), "code": "BCDF-GHJK"})


async def log_in_on_the_page(scene, times=1):
    visitor = scene.visitor("192.0.2.66")
    page = await visitor.login_page()
    for _ in range(times):
        answer = await visitor.post("/login", {**fields(page), "name": "ada", "password": "wrong"})
    return answer


async def spend_foreign_code(scene):
    visitor = scene.visitor()
    page = await visitor.consent_page(prompt="consent")
    chosen = re.findall(r'name="scope" value="([^"]+)"', page.text)
    answer = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": chosen})
    code = httpx.URL(answer.headers["location"]).params["code"]
    return await scene.send(
        "/token", {"grant_type": "authorization_code", "client_id": "own", "code": code, "code_verifier": VERIFIER}
    )


async def throttle(scene, attack, *more):
    for _ in range(11):
        answer = await attack(scene, *more)
    return answer


# What is done, the line that it leaves, and whose client it names ("" for nobody's).
ATTACKS = {
    "a wrong client secret": (guess_secret, "token.refused.BW401", "svc"),
    "a client that nobody knows": (lambda s: guess_secret(s, "nobody"), "token.refused.BW401", ""),
    "guesses at a short secret": (lambda s: throttle(s, guess_secret, "weak"), "token.refused.BW416", "weak"),
    "another client's refresh token": (steal_refresh, "token.refused.BW402", "app"),
    "revoking another client's": (revoke_others, "revoke.refused.BW411", "app"),
    "revoking another's access token": (lambda s: revoke_others(s, "access_token"), "revoke.refused.BW411", "app"),
    "exchanging another client's": (exchange_others, "token.refused.BW402", "gate"),
    "introspection without the right": (
        lambda s: s.send("/introspect", s.svc | {"token": s.tokens["access_token"]}), "introspect.refused.BW411", "svc",
    ),
    "introspection by a public client": (
        lambda s: s.send("/introspect", {"client_id": "app", "token": "x"}), "introspect.refused.BW401", "app",
    ),
    "an unregistered redirect URI": (
        lambda s: s.visitor().authorize(redirect_uri="https://evil.example/"), "authorize.refused.BW418", "app",
    ),
    "authorize for an unknown client": (
        lambda s: s.visitor().authorize(client_id="nobody"), "authorize.refused.BW418", "",
    ),
    "another browser's form": (forge_consent, "consent.refused.BW419", ""),
    "another site's form": (from_another_site, "login.refused.BW419", ""),
    "another client's code": (spend_foreign_code, "code.refused", "own"),
    "another client's device code": (poll_others, "token.refused.BW403", "cli"),
    "a device that does not wait": (lambda s: poll_others(s, "tv", 3), "token.refused.BW414", "tv"),
    "an initial token, guessed": (
        lambda s: s.send("/register", json={}, headers={"authorization": "Bearer guess"}), "register.refused.BW401", "",
    ),
    "a registration token, guessed": (
        lambda s: s.send("/register/app", method="GET", headers={"authorization": "Bearer guess"}),
        "register.refused.BW401", "app",
    ),
    "a wrong password": (lambda s: s.log_in_by("cli", password="wrong"), "login.failed", "cli"),
    "a disabled person": (lambda s: s.log_in_by("cli", "gone"), "login.failed", "cli"),
    "logins, throttled": (lambda s: throttle(s, log_in_on_the_page), "login.refused.BW416", "app"),
    "a grant, throttled": (lambda s: throttle(s, lambda s: s.log_in_by("cli", password="x")), "token.refused.BW416", "cli"),
    "a wrong user code": (mistype_code, "device.mistyped", ""),
    "a grant that the client may not use": (lambda s: s.log_in_by("app"), "token.refused.BW403", "app"),
    "a device request of another client": (
        lambda s: s.send("/device_authorization", {"client_id": "app"}), "device_authorization.refused.BW403", "app",
    ),
    "a pushed request without a proof": (
        lambda s: s.send("/par", {"client_id": "svc"}), "par.refused.BW401", "svc",
    ),
}  # fmt: skip


@pytest.fixture
async def scene():
    registration = Registration(ScopeSet(["notes:read"]), initial_tokens=("ab" * 32,))
    made = Scene("https://id.example", registration=registration)
    async with made.server:
        await made.fill()
        yield made
        for visitor in made.visitors:
            await visitor.http.aclose()


@pytest.mark.parametrize("name", ATTACKS)
async def test_an_attack_leaves_one_line_a_minute_with_its_number(scene, name):
    act, what, client = ATTACKS[name]
    before = {line.number for line in await scene.lines()}
    await act(scene)
    await scene.lines()  # written once already, as after some seconds
    await act(scene)
    found = [line for line in await scene.lines() if line.number not in before and line.what == what]
    if what == "code.refused":  # each is another code
        assert [line.count for line in found] == [1, 1]
    else:
        (line,) = found
        assert line.count >= 2
    assert {line.client for line in found} == {client}
    assert found[0].origin.address in ("192.0.2.66", "127.0.0.1")


async def test_growth_is_that_of_kinds_and_not_of_requests(scene):
    grown = []
    for times in (MANY, 2 * MANY, 4 * MANY):
        before = len(await scene.lines())
        for number in range(times):
            await guess_secret(scene, f"nobody {times} {number}")
            await guess_secret(scene)
            await steal_refresh(scene)
            await revoke_others(scene)
        grown.append(len(await scene.lines()) - before)
    assert grown == [4, 0, 0]
    counts = {(line.what, line.client): line.count for line in await scene.lines() if line.count > 1}
    assert set(counts.values()) == {7 * MANY}
    assert len(counts) == 4


async def test_what_honest_clients_do_wrong_is_no_attack(scene):
    before = len(await scene.lines())
    await scene.send("/token", {"grant_type": "nonsense", "client_id": "cli"})
    await scene.send("/token", {})
    await scene.send("/nothing")
    first = await scene.send("/device_authorization", {"client_id": "tv"})
    pending = await scene.send(
        "/token", {"grant_type": DEVICE, "client_id": "tv", "device_code": first.json()["device_code"]}
    )
    assert pending.json()["error"] == "authorization_pending"
    assert len(await scene.lines()) == before


async def test_a_refusal_on_a_page_where_one_can_try_again_is_in_the_log_too(scene, caplog):
    with caplog.at_level(logging.INFO, "bailiwick.web"):
        await log_in_on_the_page(scene)
        await mistype_code(scene)
    assert "[BW407]" in caplog.text
    assert "[BW415]" in caplog.text


async def test_a_server_that_ends_writes_what_it_counted(tmp_path):
    from bailiwick.server import AuthorizationServer, Settings

    from .conftest import CATALOG

    path, issuer = tmp_path / "authority.db", "https://id.example/auth"
    server = AuthorizationServer(CATALOG, issuer=issuer, store=path, settings=Settings(issuer))
    async with server:
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="https://id.example") as http:
            for _ in range(3):
                await http.post("/auth/token", data={"grant_type": "client_credentials", "client_id": "x"})
    store = await open_store(path)
    try:
        assert [(one.what, one.count) for one in await store.journal(limit=1)] == [("token.refused.BW401", 3)]
    finally:
        await store.close()
