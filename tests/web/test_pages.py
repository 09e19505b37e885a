"""What every page carries in its headers, how it is written, and what it says when something is wrong."""

import re
from html.parser import HTMLParser

import httpx
import pytest

from bailiwick.authority.consent import Agenda, Question
from bailiwick.authority.device import DeviceConsent, DeviceTicket
from bailiwick.authority.records import Account, Client, ClientAuth, Resource
from bailiwick.scopes import ScopeSet
from bailiwick.web.assets import Assets
from bailiwick.web.pages import Pages, source_of

pytestmark = pytest.mark.anyio

VOID = {"meta", "link", "img", "input", "br"}


class Outline(HTMLParser):
    """A page read strictly enough to notice a tag that is left open, or one that is not ours."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.attributes = [], [], []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def all(self, tag):
        return [attributes for name, attributes in self.attributes if name == tag]


async def every_page(site):
    """One of each, by name."""
    visitor = site.visitor()
    pages = {"login": await visitor.login_page()}
    pages["refused"] = await visitor.log_in(pages["login"], password="wrong")
    pages["consent"] = await visitor.consent_page()
    begun = await visitor.post("/device_authorization", {"client_id": "tv"})
    pages["device code"] = await visitor.get("/device")
    typed = {**hidden(pages["device code"]), "code": begun.json()["user_code"]}
    pages["device consent"] = await visitor.get((await visitor.post("/device", typed)).headers["location"])
    denied = await visitor.post("/device", {**hidden(pages["device consent"]), "decision": "deny"})
    pages["device done"] = await visitor.get(denied.headers["location"])
    pages["logged in"] = await visitor.get("/login")
    pages["logout"] = await visitor.get("/logout")
    pages["logged out"] = await site.visitor().get("/logout")
    pages["error"] = await visitor.authorize(client_id="nobody")
    pages["form post"] = await site.visitor().authorize(client_id="own", prompt="none", response_mode="form_post")
    return pages


def hidden(page):
    return {a["name"]: a["value"] for a in Outline(page.text).all("input") if a["type"] == "hidden"}


async def test_every_page_forbids_frames_scripts_referrers_sniffing_and_keeping(site):
    pages = await every_page(site)
    assert len(pages) == 11
    for name, page in pages.items():
        assert page.headers["content-type"] == "text/html; charset=utf-8", name
        policy = page.headers["content-security-policy"]
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives.pop("form-action").split()[0] == "'self'"
        if name == "form post":
            assert directives.pop("script-src") == "'self'"
        assert directives == {
            "default-src": "'none'",
            "style-src": "'self'",
            "img-src": "'self'",
            "frame-ancestors": "'none'",
            "base-uri": "'none'",
        }, name
        assert page.headers["x-frame-options"] == "DENY"
        assert page.headers["referrer-policy"] == "no-referrer"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["cache-control"] == "no-store"


async def test_every_page_is_whole_names_its_language_and_labels_its_fields(site):
    for name, page in (await every_page(site)).items():
        outline = Outline(page.text)
        assert outline.all("html") == [{"lang": "en"}], name
        assert outline.tags.count("h1") == 1
        assert outline.tags.count("main") == 1
        assert re.search(r"<title>.+ - id\.example</title>", page.text)
        labels = {label.get("for") for label in outline.all("label")}
        for field in outline.all("input"):
            if field["type"] in {"text", "password"}:
                assert field["id"] in labels
        assert sum("autofocus" in a for _, a in outline.attributes) <= 1
        assert not [a for _, a in outline.attributes if "style" in a or any(key.startswith("on") for key in a)]
        assert "style" not in outline.tags
        assert all(script.get("src") for script in outline.all("script"))
        for link in [*outline.all("link"), *outline.all("script"), *outline.all("img")]:
            assert link.get("href", link.get("src")).startswith("/auth/static/")


async def test_forms_are_filled_in_by_password_managers(site):
    fields = {field["name"]: field for field in Outline((await site.visitor().login_page()).text).all("input")}
    assert fields["name"]["autocomplete"] == "username"
    assert fields["password"]["autocomplete"] == "current-password"
    assert "value" not in fields["password"]


async def test_the_files_of_a_page_may_be_kept_for_ever_under_a_name_that_changes_with_them(site):
    page = await site.visitor().login_page()
    visitor = site.visitor()
    for path in set(re.findall(r'"(/auth/static/[^"]+)"', page.text)):
        assert re.search(r"-[0-9a-f]{16}\.", path)
        served = await visitor.get(path)
        assert served.status_code == 200
        assert "immutable" in served.headers["cache-control"]
        assert served.headers["x-content-type-options"] == "nosniff"
        again = await visitor.get(path, headers={"if-none-match": served.headers["etag"]})
        assert again.status_code == 304
        assert again.content == b""
    sheet = (await visitor.get(Assets("/auth/static").path("pages.css"))).text
    assert "url(" not in sheet
    assert "@import" not in sheet


@pytest.mark.parametrize("name", ["pages.css", "..%2fpages.py", "%2e%2e/app.py", "base.html", ""])
async def test_no_other_file_is_served(site, name):
    assert (await site.visitor().get(f"/static/{name}")).status_code == 404


@pytest.mark.parametrize("path", ["/authorize", "/login", "/consent", "/device", "/logout"])
@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
async def test_a_page_is_asked_for_by_get_and_post_and_nothing_else(site, path, method):
    answered = await site.visitor().http.request(method, f"/auth{path}", params=site.asked())
    assert answered.status_code == 405
    assert set(answered.headers["allow"].replace(" ", "").split(",")) == {"GET", "POST"}


async def test_a_head_request_issues_no_code(site):
    visitor = site.visitor()
    await visitor.log_in()
    answered = await visitor.http.head("/auth/authorize", params=site.asked(client_id="own"))
    assert answered.status_code == 405
    admin = await site.admin()
    assert "code.issued" not in {line.what for line in await admin.journal()}


async def test_the_policy_lets_a_form_lead_to_the_client_and_nowhere_else(site):
    page = await site.visitor().consent_page()
    policy = page.headers["content-security-policy"]
    assert "form-action 'self' https://app.example;" in policy


@pytest.mark.parametrize(
    ("uri", "source"),
    [
        ("https://app.example/cb?x=1", "https://app.example"),
        ("https://app.example:8443/cb", "https://app.example:8443"),
        ("http://127.0.0.1:5123/cb", "http://127.0.0.1:5123"),
        ("http://[::1]:5123/cb", "http:"),
        ("com.example.app:/cb", "com.example.app:"),
        ("https://a;script-src *@x/", "https:"),
        ("no scheme:x", ""),
    ],
)
def test_a_redirect_uri_as_a_source_of_the_policy(uri, source):
    assert source_of(uri) == source
    assert not set(source_of(uri)) & {";", ",", " ", "*"}


ATTACKS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' autofocus onfocus='alert(1)",
    "</title><svg/onload=alert(1)>",
    "</textarea><b>",
    "{{ 7*7 }}{% raw %}",
    "javascript:alert(1)",
    "&lt;script&gt;",
    "\u202egnp.exe",
    "<!-- -->",
    "\x00\x0b",
    "${7*7}`",
    "\uff1cscript\uff1e",
]


class Text(HTMLParser):
    def __init__(self, page):
        super().__init__()
        self.said = ""
        self.feed(page)

    def handle_data(self, data):
        self.said += data


@pytest.mark.parametrize("attack", ATTACKS)
def test_whatever_a_client_a_scope_a_person_or_an_address_is_called_is_text(attack):
    pages = Pages("https://id.example/auth", "/auth", Assets("/auth/static"))

    def tags(words):
        asked = DeviceConsent(
            DeviceTicket("0", "usr_1"),
            Client("x", words, ClientAuth.NONE, frozenset(), ScopeSet(), 0.0, registered=True),
            Account("usr_1", words, 0.0),
            Resource(words),
            Agenda((Question("a:b", words), Question("a:c", words, required=True)), (Question("a:d", words),)),
        )
        written = [
            pages.device_consent(asked, flow=words, proof=words),
            pages.login(flow=words, proof="p", client=asked.client, device=False, fresh=True, name=words),
            pages.said(words, words),
            pages.device_code(asked.account, proof=words, code=words),
            pages.logout(asked.account, proof=words),
        ]
        return [Outline(page.body.decode()) for page in written], written

    outlines, written = tags(attack)
    expected, _ = tags("harmless")
    for outline, other in zip(outlines, expected, strict=True):
        assert outline.tags == other.tags
        assert [set(a) for _, a in outline.attributes] == [set(a) for _, a in other.attributes]
    if "\x00" not in attack:
        assert attack in Text(written[0].body.decode()).said


@pytest.mark.parametrize("attack", [a for a in ATTACKS if a.isprintable()])
async def test_what_stands_in_the_address_is_text(site, attack):
    visitor = site.visitor()
    page = await visitor.get((await visitor.authorize(login_hint=attack, state=attack)).headers["location"])
    outline = Outline(page.text)
    assert next(a for a in outline.all("input") if a["name"] == "name")["value"] == attack
    assert len(outline.all("input")) == 4
    device = site.visitor()
    await device.log_in()
    typed = await device.get("/device", params={"user_code": attack})
    assert next(a for a in Outline(typed.text).all("input") if a["name"] == "code")["value"] == attack
    error = await visitor.authorize(redirect_uri=attack)
    assert attack not in error.text


async def test_an_error_page_has_its_stable_id_and_says_what_to_do(site):
    page = await site.visitor().authorize(client_id="nobody")
    assert page.status_code == 400
    assert "BW418" in page.text
    assert "tell the makers" in page.text


async def test_a_fault_of_ours_is_a_page_that_says_nothing_about_it(site, monkeypatch, caplog):
    authority = await site.server.open()

    async def broken(*_args, **_more):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(type(authority.authorization), "begin", broken)
    page = await site.visitor().authorize()
    assert page.status_code == 500
    assert "BW500" in page.text
    assert "secret detail" not in page.text
    assert "secret detail" in caplog.text
    assert page.headers["x-frame-options"] == "DENY"


async def test_a_form_post_answer_holds_the_parameters_and_a_button(site):
    visitor = site.visitor()
    await visitor.log_in()
    page = await visitor.authorize(client_id="own", response_mode="form_post", state='"><b>')
    outline = Outline(page.text)
    assert outline.all("form") == [{"method": "post", "action": "https://app.example/callback"}]
    sent = {a["name"]: a["value"] for a in outline.all("input")}
    assert sent["state"] == '"><b>'
    assert sent["iss"] == "https://id.example/auth"
    assert (await site.redeem(sent["code"], "own")).status_code == 200
    assert "button" in outline.tags
    script = await visitor.get(outline.all("script")[0]["src"])
    assert isinstance(script, httpx.Response)
    assert script.headers["content-type"].startswith("text/javascript")


BROWSER = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [("GET", "/auth/", 404, "BW400"), ("GET", "/auth/lgin", 404, "BW400"), ("GET", "/auth/token", 405, "BW417")],
)
async def test_a_browser_that_lost_its_way_is_shown_a_page_and_a_program_json(site, method, path, status, name):
    http = site.visitor().http
    page = await http.request(method, path, headers=BROWSER)
    assert page.status_code == status
    assert page.headers["content-type"].startswith("text/html")
    assert name in page.text
    assert "Look at the address once more" in page.text
    assert "default-src 'none'" in page.headers["content-security-policy"]
    for accept in ("*/*", "application/json", "text/html, application/json"):
        answer = await http.request(method, path, headers={"accept": accept})
        assert (answer.status_code, answer.json()["id"]) == (status, name)
    assert [one.headers.get("allow") for one in (page, answer)] == (["POST"] * 2 if status == 405 else [None] * 2)


async def test_what_stands_in_a_lost_address_is_not_repeated_on_the_page(site):
    page = await site.visitor().http.get("/auth/<script>alert(1)</script>", headers=BROWSER)
    assert page.status_code == 404
    assert "alert(1)" not in page.text
