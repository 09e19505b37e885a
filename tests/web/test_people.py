"""Sessions, anti-forgery tokens and sealed requests: whose browser may finish what, and when nobody's may."""

import html
import re

import pytest

from bailiwick import Catalog, Role, Scope
from bailiwick.errors import Refused
from bailiwick.server import AuthorizationServer
from bailiwick.tokens import opaque
from bailiwick.web.seal import Seal

pytestmark = pytest.mark.anyio

HOUR = 3600


def fields(page):
    found = re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)"', page.text)
    return {name: html.unescape(value) for name, value in found if name != "scope"}


def flow_of(response):
    return re.search(r"[?&]flow=([^&]+)", response.headers["location"])[1]


async def what(site):
    return [line.what for line in reversed(await (await site.admin()).journal(limit=1000))]


def refused(page, id, status):
    assert page.status_code == status, page.text
    assert id in page.text
    return True


# -- the cookie --------------------------------------------------------------------------------


async def test_the_cookie_is_secure_http_only_lax_and_bound_to_the_host(visitor):
    answered = await visitor.authorize()
    name, _, rest = answered.headers["set-cookie"].partition("=")
    assert name == "__Host-bailiwick"
    parts = {part.strip().lower() for part in rest.split(";")[1:]}
    assert parts == {"secure", "httponly", "samesite=lax", "path=/"}


async def test_on_loopback_without_https_the_cookie_has_a_plain_name_and_is_not_secure(open_site):
    async with open_site("http://127.0.0.1:8000") as site:
        cookie = (await site.visitor().authorize()).headers["set-cookie"]
        assert cookie.startswith("bailiwick=")
        assert "secure" not in cookie.lower()
        assert "httponly" in cookie.lower()
        assert (await site.visitor().consent_page()).status_code == 200


async def test_the_cookie_has_256_bits_and_the_store_only_its_digest(site, visitor):
    await visitor.log_in()
    value = visitor.cookie()
    assert opaque.is_well_formed(value, opaque.Kind.SESSION)
    store = (await site.server.open()).store
    assert value not in repr(store.__dict__)
    assert (await store.session(opaque.digest(value), site.now)).digest == opaque.digest(value)


@pytest.mark.parametrize("value", ["", "x", "bws_" + "A" * 42, "bws_" + "A" * 5000, "bwr_" + "A" * 43, "é"])
async def test_a_cookie_that_is_none_of_ours_is_replaced(site, value):
    header = f"__Host-bailiwick={value}".encode("latin-1")
    answered = await site.visitor().http.get("/auth/authorize", params=site.asked(), headers={b"cookie": header})
    assert answered.status_code == 303
    assert opaque.is_well_formed(answered.headers["set-cookie"].split("=", 1)[1].split(";")[0], opaque.Kind.SESSION)


async def test_two_cookies_of_our_name_are_nobodys(site, visitor):
    await visitor.log_in()
    own, planted = visitor.cookie(), opaque.mint(lambda n: b"x" * n, opaque.Kind.SESSION)
    for both in ((own, planted), (planted, own)):
        header = "; ".join(f"__Host-bailiwick={value}" for value in both)
        answered = await site.visitor().http.get("/auth/login", headers={"cookie": header})
        assert "/auth/login?flow=" in answered.headers["location"]


async def test_no_secret_of_a_session_is_logged_or_shown(site, visitor, caplog):
    caplog.set_level(0)
    page = await visitor.consent_page()
    value = visitor.cookie()
    assert value not in page.text
    assert value not in caplog.text
    session = await (await site.server.open()).store.session(opaque.digest(value), site.now)
    assert opaque.digest(value) not in repr(session)


# -- logging in --------------------------------------------------------------------------------


async def test_logging_in_gives_the_browser_a_new_value_and_what_it_held_is_worth_nothing(site, visitor):
    page = await visitor.login_page()
    before = visitor.cookie()
    await visitor.log_in(page)
    assert visitor.cookie() != before
    thief = site.visitor()
    thief.plant(before)
    assert "/auth/login?flow=" in (await thief.get("/login")).headers["location"]


async def test_logging_in_again_ends_the_session_before_it(site, visitor):
    await visitor.log_in()
    old = visitor.cookie()
    site.now += 1
    await visitor.log_in(await visitor.get((await visitor.authorize(prompt="login")).headers["location"]))
    thief = site.visitor()
    thief.plant(old)
    assert "/auth/login?flow=" in (await thief.get("/login")).headers["location"]
    assert "You are ada" in (await visitor.get("/login")).text


async def test_unknown_names_and_wrong_passwords_read_alike_and_set_no_session(site):
    answers = []
    for name, password in (("ada", "wrong"), ("nobody", "wrong"), ("", "x"), ("ada", "")):
        visitor = site.visitor()
        page = await visitor.log_in(name=name, password=password)
        assert page.status_code == 400
        assert "set-cookie" not in page.headers
        text = re.sub(r'value="[^"]*"', "", page.text)
        answers.append(re.sub(r' autofocus| aria-[a-z]+="[^"]*"', "", text))
    assert len(set(answers)) == 1
    assert "The name or the password is wrong." in answers[0]


async def test_a_password_is_never_written_back(site):
    page = await site.visitor().log_in(password="not my password")
    assert "not my password" not in page.text
    assert 'value="ada"' in page.text


async def test_after_ten_wrong_passwords_the_account_has_to_wait_and_is_told_how_long(site):
    for _ in range(10):
        assert (await site.visitor().log_in(password="wrong")).status_code == 400
    page = await site.visitor().log_in()
    assert page.status_code == 429
    wait = int(page.headers["retry-after"])
    assert f"Try again in {wait} seconds" in page.text
    site.now += wait
    assert (await site.visitor().log_in()).status_code == 303


async def test_right_passwords_are_not_held_against_anybody(site):
    for _ in range(30):
        assert (await site.visitor().log_in()).status_code == 303


async def test_logging_in_and_out_stands_in_the_journal(site, visitor):
    await visitor.log_in()
    await visitor.post("/logout", fields(await visitor.get("/logout")))
    assert [name for name in await what(site) if name.startswith("session.")] == ["session.opened", "session.closed"]


async def test_a_request_that_wants_a_fresh_login_asks_again_and_then_goes_on(site, visitor):
    await visitor.log_in()
    for fresh in ({"prompt": "login"}, {"max_age": "30"}):
        site.now += 60
        answered = await visitor.authorize(**fresh)
        page = await visitor.get(answered.headers["location"])
        assert "type your password again" in page.text
        site.now += 60
        assert "/auth/consent" in (await visitor.log_in(page)).headers["location"]


# -- how a session ends ------------------------------------------------------------------------


async def is_logged_in(visitor):
    return (await visitor.get("/login")).status_code == 200


async def test_a_session_ends_by_silence_but_not_while_it_is_used(site, visitor):
    await visitor.log_in()
    for _ in range(5):
        site.now += HOUR // 2 - 1
        assert await is_logged_in(visitor)
    site.now += HOUR // 2
    assert not await is_logged_in(visitor)


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(site, visitor):
    await visitor.log_in()
    for _ in range(12 * 3 - 1):
        site.now += HOUR / 3
        assert await is_logged_in(visitor)
    site.now += HOUR / 3
    assert not await is_logged_in(visitor)


async def test_logging_out_ends_the_session_and_not_only_the_cookie(site, visitor):
    await visitor.log_in()
    stolen = visitor.cookie()
    answered = await visitor.post("/logout", fields(await visitor.get("/logout")))
    assert answered.status_code == 303
    assert "max-age=0" in answered.headers["set-cookie"].lower()
    thief = site.visitor()
    thief.plant(stolen)
    assert not await is_logged_in(thief)


@pytest.mark.parametrize("act", ["password", "disable", "revoke"])
async def test_a_new_password_a_disabled_account_and_revoked_tokens_end_every_session(site, act):
    visitors = [site.visitor(), site.visitor()]
    other = site.visitor()
    for visitor in visitors:
        await visitor.log_in()
    await other.log_in(name="bob")
    admin = await site.admin()
    if act == "password":
        await admin.set_password("ada", "another long password")
    elif act == "disable":
        await admin.disable_account("ada")
    else:
        await admin.revoke_account_tokens("ada")
    for visitor in visitors:
        assert not await is_logged_in(visitor)
    assert await is_logged_in(other)


async def test_a_person_disabled_while_the_consent_page_is_open_consents_to_nothing(site, visitor):
    page = await visitor.consent_page()
    await (await site.admin()).disable_account("ada")
    answered = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:read"})
    assert "/auth/login" in answered.headers["location"]
    assert "code.issued" not in await what(site)


# -- forms that are not ours -------------------------------------------------------------------


def spoilt(sent, token):
    """The form without its anti-forgery token, and with wrong ones."""
    yield {name: value for name, value in sent.items() if name != "csrf"}
    yield {**sent, "csrf": ""}
    yield {**sent, "csrf": token}
    yield {**sent, "csrf": ("B" if sent["csrf"][0] == "A" else "A") + sent["csrf"][1:]}
    yield {**sent, "csrf": "é"}


async def test_no_login_without_the_forms_own_token(site, visitor):
    page = await visitor.login_page()
    other = fields(await site.visitor().login_page())["csrf"]
    for sent in spoilt({**fields(page), "name": "ada", "password": "correct horse battery staple"}, other):
        refused(await visitor.post("/login", sent), "BW419", 403)
    assert "session.opened" not in await what(site)


async def test_no_consent_without_the_forms_own_token(site, visitor):
    login = fields(await visitor.login_page())["csrf"]
    page = await visitor.consent_page()
    for sent in spoilt({**fields(page), "decision": "allow", "scope": "notes:read"}, login):
        refused(await visitor.post("/consent", sent), "BW419", 403)
    assert "code.issued" not in await what(site)


async def test_the_token_of_one_request_does_not_serve_another(visitor):
    one = fields(await visitor.consent_page())
    location = (await visitor.authorize(scope="notes:share")).headers["location"]
    other = fields(await visitor.get(location))
    assert one["csrf"] != other["csrf"]
    mixed = {"flow": other["flow"], "csrf": one["csrf"], "decision": "allow", "scope": "notes:share"}
    refused(await visitor.post("/consent", mixed), "BW419", 403)


async def test_no_logout_without_the_forms_own_token(site, visitor):
    await visitor.log_in()
    stranger = site.visitor()
    await stranger.log_in(name="bob")
    theirs = fields(await stranger.get("/logout"))
    for sent in ({"csrf": ""}, theirs, {"csrf": "x"}):
        refused(await visitor.post("/logout", sent), "BW419", 403)
    assert await is_logged_in(visitor)


async def test_no_device_is_approved_without_the_forms_own_token(site, visitor):
    await visitor.log_in()
    begun = (await visitor.post("/device_authorization", {"client_id": "tv"})).json()
    entry = fields(await visitor.get("/device"))
    for sent in spoilt({**entry, "code": begun["user_code"]}, "x"):
        refused(await visitor.post("/device", sent), "BW419", 403)
    shown = await visitor.post("/device", {**entry, "code": begun["user_code"]})
    page = await visitor.get(shown.headers["location"])
    decided = {**fields(page), "decision": "allow", "scope": "notes:read"}
    for sent in spoilt(decided, entry["csrf"]):
        refused(await visitor.post("/device", sent), "BW419", 403)
    assert "device.approved" not in await what(site)


@pytest.mark.parametrize("site_said", ["cross-site", "same-site", "none"])
async def test_a_form_that_the_browser_calls_foreign_is_refused_whatever_it_holds(visitor, site_said):
    page = await visitor.consent_page()
    sent = {**fields(page), "decision": "allow", "scope": "notes:read"}
    answered = await visitor.post("/consent", sent, headers={"sec-fetch-site": site_said})
    refused(answered, "BW419", 403)
    ours = await visitor.post("/consent", sent, headers={"sec-fetch-site": "same-origin"})
    assert "code=" in ours.headers["location"]


@pytest.mark.parametrize("path", ["/login", "/consent", "/device", "/logout"])
async def test_only_a_form_is_a_form(visitor, path):
    page = await visitor.consent_page()
    answered = await visitor.http.post(f"/auth{path}", json=fields(page))
    refused(answered, "BW408", 400)
    multipart = await visitor.http.post(f"/auth{path}", files={"csrf": b"x"})
    refused(multipart, "BW408", 400)
    large = await visitor.post(path, {"csrf": "x" * 70_000})
    refused(large, "BW409", 413)


async def test_a_field_that_comes_twice_is_refused(visitor):
    page = await visitor.consent_page()
    body = "&".join(f"{name}={value}" for name, value in [*fields(page).items(), *fields(page).items()])
    answered = await visitor.http.post(
        "/auth/consent", content=body, headers={"content-type": "application/x-www-form-urlencoded"}
    )
    refused(answered, "BW400", 400)


# -- requests that wait ------------------------------------------------------------------------


async def test_cve_2022_39222_a_flow_begun_in_one_browser_is_not_finished_in_another(site):
    attacker, victim = site.visitor(), site.visitor()
    page = await attacker.login_page()
    await victim.log_in()
    for path in ("/login", "/consent"):
        refused(await victim.get(path, params={"flow": fields(page)["flow"]}), "BW419", 403)
    sent = {**fields(page), "name": "ada", "password": "correct horse battery staple"}
    refused(await victim.post("/login", sent), "BW419", 403)


async def test_ghsa_rww4_4w9c_7733_a_consent_page_belongs_to_the_person_whom_it_was_shown(site):
    attacker, victim = site.visitor(), site.visitor()
    await attacker.log_in(name="bob")
    page = await attacker.get((await attacker.authorize()).headers["location"])
    await victim.log_in()
    for sent in (fields(page), {**fields(page), "csrf": fields(await victim.get("/logout"))["csrf"]}):
        refused(await victim.post("/consent", {**sent, "decision": "allow", "scope": "notes:read"}), "BW419", 403)
    assert "code.issued" not in await what(site)


async def test_a_flow_sealed_before_the_login_is_worth_nothing_after_it(visitor):
    page = await visitor.login_page()
    await visitor.log_in(page)
    refused(await visitor.get("/consent", params={"flow": fields(page)["flow"]}), "BW419", 403)


async def test_a_changed_flow_is_refused_wherever_it_is_changed(visitor):
    flow = flow_of(await visitor.authorize())
    assert (await visitor.get("/login", params={"flow": flow})).status_code == 200
    for place in range(0, len(flow) - 1, max(1, len(flow) // 40)):
        changed = flow[:place] + ("A" if flow[place] != "A" else "B") + flow[place + 1 :]
        refused(await visitor.get("/login", params={"flow": changed}), "BW419", 403)
    for changed in (flow[:-4], flow + "AAAA", flow * 2, "A" * 17_000, "%00", "é", "."):
        page = await visitor.get("/login", params={"flow": changed})
        assert page.status_code in (400, 403)


async def test_a_flow_that_lay_open_too_long_is_refused_with_the_way_out(site, visitor):
    page = await visitor.login_page()
    site.now += HOUR // 2
    refused(await visitor.get("/login", params={"flow": fields(page)["flow"]}), "BW421", 400)
    again = await visitor.log_in(page)
    refused(again, "BW421", 400)
    assert "start again" in again.text


async def test_what_is_sealed_as_one_thing_is_not_opened_as_another(visitor):
    flow = flow_of(await visitor.authorize())
    await visitor.log_in()
    consent = flow_of(await visitor.authorize())
    refused(await visitor.get("/device", params={"flow": consent}), "BW419", 403)
    refused(await visitor.get("/device", params={"flow": flow}), "BW419", 403)


async def test_a_browser_that_keeps_no_cookies_is_told_so(site):
    first = await site.visitor().authorize()
    page = await site.visitor().get(first.headers["location"])
    refused(page, "BW419", 403)
    assert "cookies" in page.text


def test_a_seal_is_bound_to_kind_browser_key_and_time():
    seal = Seal(b"k" * 32)
    sealed = seal.close("waiting", {"a": ["é", None]}, browser="b", until=10.0)
    assert seal.open("waiting", sealed, browser="b", now=9.9) == {"a": ["é", None]}
    for opener, kind, browser in ((Seal(b"j" * 32), "waiting", "b"), (seal, "device", "b"), (seal, "waiting", "c")):
        with pytest.raises(Refused) as refusal:
            opener.open(kind, sealed, browser=browser, now=1.0)
        assert refusal.value.id == "BW419"
    with pytest.raises(Refused) as refusal:
        seal.open("waiting", sealed, browser="b", now=10.0)
    assert refusal.value.id == "BW421"
    # The parts of what is signed cannot be moved into one another.
    assert seal.proof("a", "bc", browser="d") != seal.proof("ab", "c", browser="d")


# -- what the authority is asked ---------------------------------------------------------------


async def test_consent_to_one_of_three_scopes_gives_a_token_with_one(site, visitor):
    page = await visitor.consent_page()
    assert page.text.count('type="checkbox"') == 3
    answered = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:write"})
    assert answered.status_code == 303
    code = re.search(r"code=([^&]+)", answered.headers["location"])[1]
    assert (await site.redeem(code)).json()["scope"] == "notes:write"


async def test_a_second_request_asks_only_for_what_is_new(visitor):
    page = await visitor.consent_page(scope="notes:read")
    await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:read"})
    silent = await visitor.authorize(scope="notes:read", prompt="none")
    assert "code=" in silent.headers["location"]
    more = await visitor.get((await visitor.authorize(scope="notes:read notes:share")).headers["location"])
    assert more.text.count('type="checkbox"') == 1
    assert "Share notes" in more.text
    assert "Allowed before" in more.text


async def test_a_scope_that_nobody_asked_for_is_not_granted_by_ticking_it(site, visitor):
    page = await visitor.consent_page(scope="notes:read")
    sent = {**fields(page), "decision": "allow", "scope": ["notes:read", "notes:share", "admin:*"]}
    answered = await visitor.post("/consent", sent)
    code = re.search(r"code=([^&]+)", answered.headers["location"])[1]
    assert (await site.redeem(code)).json()["scope"] == "notes:read"


@pytest.mark.parametrize("decision", ["deny", "", "Allow", None])
async def test_anything_but_the_button_that_allows_denies(visitor, decision):
    page = await visitor.consent_page()
    sent = {**fields(page), "scope": "notes:read"}
    answered = await visitor.post("/consent", sent if decision is None else {**sent, "decision": decision})
    assert "error=access_denied" in answered.headers["location"]
    assert "state=xyz" in answered.headers["location"]


async def test_required_scopes_are_marked_fixed_and_sent_along(site, visitor):
    store = (await site.server.open()).store
    from dataclasses import replace

    from bailiwick.authority.records import Event
    from bailiwick.scopes import ScopeSet

    app = await store.client("app")
    assert await store.change(replace(app, required=ScopeSet(["notes:read"])), Event(site.now, "changed", "tester"))
    page = await visitor.consent_page()
    assert '<input type="checkbox" checked disabled>' in page.text
    assert '<input type="hidden" name="scope" value="notes:read">' in page.text
    assert page.text.count(">needed<") == 1
    without = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:write"})
    assert "access_denied" in without.headers["location"]


async def test_nothing_is_ever_redirected_by_anything_but_303(site, visitor):
    seen = [await visitor.authorize(), await visitor.log_in(await visitor.login_page())]
    page = await visitor.get((await visitor.authorize()).headers["location"])
    seen.append(await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:read"}))
    seen.append(await visitor.post("/logout", fields(await visitor.get("/logout"))))
    seen.append(await site.visitor().authorize(prompt="none"))
    seen.append(await visitor.post("/authorize", site.asked()))
    for answered in seen:
        assert answered.status_code == 303
        assert answered.headers["cache-control"] == "no-store"
        assert answered.headers["referrer-policy"] == "no-referrer"


async def test_authorize_by_post_goes_on_as_a_get_with_the_same_parameters(site, visitor):
    await visitor.log_in()
    answered = await visitor.post("/authorize", site.asked())
    assert "set-cookie" not in answered.headers
    assert "/auth/consent" in (await visitor.get(answered.headers["location"])).headers["location"]
    twice = "client_id=app&client_id=own&redirect_uri=https%3A%2F%2Fapp.example%2Fcallback"
    kind = {"content-type": "application/x-www-form-urlencoded"}
    answered = await visitor.http.post("/auth/authorize", content=twice, headers=kind)
    refused(await visitor.get(answered.headers["location"]), "BW418", 400)
    long = await visitor.post("/authorize", site.asked(state="x" * 20_000))
    refused(long, "BW400", 400)


@pytest.mark.parametrize(
    "wrong",
    [
        {"redirect_uri": "https://app.example/callback/../evil"},
        {"redirect_uri": "https://app.example@evil.example/callback"},
        {"redirect_uri": "https://app.example.evil.example/callback"},
        {"redirect_uri": "javascript:alert(1)"},
        {"client_id": "nobody"},
        {"client_id": None},
        {"client_id": "native", "redirect_uri": None},
    ],
)
@pytest.mark.parametrize("prompt", ["none", "login", None])
async def test_a_wrong_client_or_redirect_is_shown_and_never_redirected(visitor, wrong, prompt):
    answered = await visitor.authorize(**wrong, prompt=prompt)
    assert refused(answered, "BW418", 400)
    assert "location" not in answered.headers


async def test_a_query_that_is_not_utf_8_is_a_page_and_no_fault(visitor):
    for query in ("client_id=%ff", "flow=%ff", "&".join("a=b" for _ in range(100))):
        for path in ("/authorize", "/login", "/consent", "/device"):
            assert (await visitor.http.get(f"/auth{path}?{query}")).status_code in (303, 400, 403)


async def test_a_device_is_decided_by_whoever_typed_its_code(site, visitor):
    begun = (await visitor.post("/device_authorization", {"client_id": "tv", "scope": "notes:read"})).json()
    sent_on = await visitor.get("/device", params={"user_code": begun["user_code"]})
    page = await visitor.get(sent_on.headers["location"])
    answered = await visitor.log_in(page)
    assert answered.headers["location"] == f"/auth/device?user_code={begun['user_code']}"
    entry = await visitor.get(answered.headers["location"])
    assert begun["user_code"] in entry.text
    shown = await visitor.post("/device", {**fields(entry), "code": begun["user_code"]})
    asked = await visitor.get(shown.headers["location"])
    assert "The TV" in asked.text
    other = site.visitor()
    await other.log_in(name="bob")
    refused(await other.get(shown.headers["location"]), "BW419", 403)
    done = await visitor.post("/device", {**fields(asked), "decision": "allow", "scope": "notes:read"})
    assert "Your device is connected" in (await visitor.get(done.headers["location"])).text
    again = await visitor.post("/device", {**fields(asked), "decision": "deny"})
    refused(again, "BW415", 400)
    token = await visitor.post(
        "/token",
        {
            "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
            "client_id": "tv",
            "device_code": begun["device_code"],
        },
    )
    assert token.json()["scope"] == "notes:read"


async def test_guessing_user_codes_is_slowed_down(visitor):
    await visitor.log_in()
    for _ in range(10):
        page = await visitor.post("/device", {**fields(await visitor.get("/device")), "code": "BCDF-GHJK"})
        assert page.status_code == 400
    page = await visitor.post("/device", {**fields(await visitor.get("/device")), "code": "BCDF-GHJK"})
    assert page.status_code == 429
    assert int(page.headers["retry-after"]) > 0


async def test_another_sites_scripts_read_no_page(site, visitor):
    origin = {"origin": "https://evil.example"}
    for page in (await visitor.get("/authorize", params=site.asked(), headers=origin), await visitor.consent_page()):
        assert not [name for name in page.headers if name.startswith("access-control-")]
    asked = {**origin, "access-control-request-method": "POST"}
    preflight = await visitor.http.request("OPTIONS", "/auth/authorize", headers=asked)
    assert preflight.status_code == 405
    assert not [name for name in preflight.headers if name.startswith("access-control-")]


async def test_a_hundred_scopes_can_be_asked_for_and_ticked_on_one_page(make_site):
    names = [f"area{number:03}:read" for number in range(150)]
    catalog = Catalog([Scope(name, f"Read area {name}") for name in names], roles=[Role("all", names)])
    server = AuthorizationServer(catalog, issuer="https://id.example/auth")
    async with server:
        admin = await server.admin("operator:test")
        await admin.create_account("ada", "correct horse battery staple", roles=["all"])
        await admin.create_client(
            "app", public=True, grants=["authorization_code"], scopes=names, redirects=["https://app.example/callback"]
        )
        site = make_site("https://id.example")
        site.server = server
        visitor = site.visitor()
        page = await visitor.consent_page(scope=" ".join(names))
        assert page.text.count('type="checkbox"') == 150
        sent = {**fields(page), "decision": "allow", "scope": names[:140]}
        answered = await visitor.post("/consent", sent)
        code = re.search(r"code=([^&]+)", answered.headers["location"])[1]
        assert (await site.redeem(code)).json()["scope"].split() == names[:140]
        await visitor.http.aclose()


async def test_a_session_that_fell_silent_does_not_begin_again_when_the_clock_is_set_back(site, visitor):
    await visitor.log_in()
    for _ in range(4):
        site.now += HOUR // 2 - 1
        assert await is_logged_in(visitor)
    site.now += HOUR // 2
    assert not await is_logged_in(visitor)
    site.now -= HOUR
    assert not await is_logged_in(visitor)
