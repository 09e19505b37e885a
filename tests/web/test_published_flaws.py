"""Flaws that were published of others, about browsers, logins and who administers, as requests over HTTP."""

import re

import httpx
import pytest

from bailiwick import Catalog, Role, Scope
from bailiwick.authority import Registration
from bailiwick.scopes import ScopeSet
from bailiwick.server import AuthorizationServer, Settings

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"
REDIRECT = "https://app.example/callback"


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(flow|csrf)" value="([^"]*)"', page.text))


async def acts(site):
    return {line.what for line in await (await site.admin()).journal(limit=1000)}


# -- forms that another site sends -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data; boundary=x", "", None])
async def test_cve_2021_32677_a_cookie_and_a_body_of_another_type_decide_nothing(site, visitor, kind):
    page = await visitor.consent_page()
    form = {**hidden(page), "decision": "allow", "scope": "notes:read"}
    # Exactly what the page itself would send, but for its type: what a form of another site can send, too.
    body = str(httpx.QueryParams(form))
    headers = {} if kind is None else {"content-type": kind}
    for path in ("/consent", "/login", "/device", "/logout"):
        answer = await visitor.http.post(f"/auth{path}", content=body, headers=headers)
        assert answer.status_code == 400
        assert "location" not in answer.headers
    assert "code.issued" not in await acts(site)
    good = await visitor.http.post(
        "/auth/consent", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert "code=" in good.headers["location"]


@pytest.mark.parametrize("name", ["CVE-2025-68158", "CVE-2026-41425", "CVE-2025-68481", "CVE-2025-14546"])
async def test_cve_2025_68158_cve_2026_41425_cve_2025_68481_cve_2025_14546_nobody_is_logged_in_as_the_attacker(
    site, visitor, name
):
    """What a flow hangs on is this browser's: an attacker's half of it, with the right password, is worth nothing here."""
    attacker = site.visitor()
    theirs = {**hidden(await attacker.login_page()), "name": "bob", "password": PASSWORD}
    own = hidden(await visitor.login_page())
    mixtures = [theirs, {**theirs, "csrf": own["csrf"]}, {**theirs, "flow": own["flow"]}]
    for sent in mixtures:
        answer = await visitor.post("/login", sent)
        assert answer.status_code == 403
        assert "BW419" in answer.text
    # A browser without any cookie has no half of its own either.
    assert (await site.visitor().post("/login", theirs)).status_code == 403
    assert "session.opened" not in await acts(site)
    assert (await visitor.get("/login")).status_code == 303
    assert (await attacker.post("/login", theirs)).status_code == 303


async def test_cve_2026_27124_a_consent_is_given_by_whom_the_page_was_shown_to(site):
    attacker, victim = site.visitor(), site.visitor()
    await victim.log_in()
    page = await attacker.get((await attacker.log_in(name="bob")).headers["location"])
    answer = await victim.post("/consent", {**hidden(page), "decision": "allow", "scope": "notes:read"})
    assert answer.status_code == 403
    assert "code.issued" not in await acts(site)


# -- where errors go -------------------------------------------------------------------------------------------------


async def test_cve_2026_44681_no_error_whatever_it_is_leads_to_an_address_that_nobody_registered(site, visitor):
    wrong = [
        {},
        {"response_type": "token"},
        {"response_type": None},
        {"response_mode": "fragment"},
        {"response_mode": "form_post", "scope": "nonsense"},
        {"scope": "nonsense"},
        {"scope": 'a"b'},
        {"code_challenge": None},
        {"resource": "https://unknown.example"},
        {"request": "eyJ"},
        {"request_uri": "urn:ietf:params:oauth:request_uri:x"},
        {"state": "s" * 5000},
        {"client_id": "nobody"},
        {"client_id": ""},
    ]
    await visitor.log_in()
    for asked in wrong:
        for prompt in ("none", "login", None):
            for uri in ("https://evil.example/cb", REDIRECT + "/evil", "javascript:alert(1)", "//evil.example"):
                answer = await visitor.authorize(**{"prompt": prompt, "redirect_uri": uri} | asked)
                assert answer.status_code == 400, (asked, prompt, uri)
                assert "location" not in answer.headers
                assert "evil.example" not in answer.text
                assert "<form" not in answer.text


# -- who administers -------------------------------------------------------------------------------------------------

PUBLIC_PATHS = {
    "/authorize", "/login", "/consent", "/device", "/logout", "/static/{name}", "/token", "/device_authorization",
    "/par", "/revoke", "/introspect", "/register", "/register/{client_id}", "/revocations", "/jwks.json",
    "/openapi.json", "/health", "/ready", "/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server/auth",
}  # fmt: skip


@pytest.mark.parametrize("name", ["CVE-2026-9795", "CVE-2026-14614", "CVE-2026-3121"])
async def test_cve_2026_9795_cve_2026_14614_cve_2026_3121_no_token_however_powerful_administers_anything(name):
    """There are no delegated administrators: who may change roles, people or clients is at the machine, not on the net."""
    issuer = "https://id.example/auth"
    catalog = Catalog(
        [Scope("notes:read", ""), Scope("notes:write", ""), Scope("admin:*", "")],
        roles=[Role("root", ["admin:*"]), Role("reader", ["notes:read"])],
        superuser="admin:*",
    )
    settings = Settings(issuer, registration=Registration(ScopeSet(["notes:read"])))
    async with AuthorizationServer(catalog, issuer=issuer, settings=settings) as server:
        admin = await server.admin("operator:test")
        await admin.create_account("root", PASSWORD, roles=["root"])
        await admin.create_account("ada", PASSWORD, roles=["reader"])
        await admin.create_client(
            "cli", public=True, grants=["password", "refresh_token"], scopes=["admin:*"], first_party=True
        )
        transport = httpx.ASGITransport(server)
        async with httpx.AsyncClient(transport=transport, base_url="https://id.example") as http:
            form = {"grant_type": "password", "client_id": "cli", "username": "root", "password": PASSWORD}
            token = (await http.post("/auth/token", data=form | {"scope": "admin:*"})).json()["access_token"]
            bearer = {"authorization": f"Bearer {token}"}
            before = [await admin.accounts(), await admin.clients(), await admin.roles()]
            # Every place that there is, by every method, with the most powerful token that can be had.
            assert {route.path for route in server._app.routes} == PUBLIC_PATHS
            for path in [*sorted(PUBLIC_PATHS), "/admin", "/users", "/roles", "/clients", "/console", "/scopes"]:
                place = "/auth" + path.replace("{name}", "x").replace("{client_id}", "cli")
                for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
                    sent = {"json": {"roles": ["root"], "scope": "admin:*", "name": "ada"}} if method != "GET" else {}
                    answer = await http.request(method, place, headers=bearer, **sent)
                    assert answer.status_code < 500
            assert [await admin.accounts(), await admin.clients(), await admin.roles()] == before
            # And a client that it registers has what the policy gives, whoever registers it.
            said = {"redirect_uris": ["https://new.example/cb"], "scope": "admin:* notes:write notes:read"}
            made = await http.post("/auth/register", json=said, headers=bearer)
            assert made.json()["scope"] == "notes:read"
