"""Pages about clients for which nobody vouches: what a person reads before they let such a one in."""

import html
import re
from urllib.parse import parse_qs, urlsplit

import pytest

from bailiwick.authority.settings import MetadataDocuments, Registration
from bailiwick.scopes import ScopeSet

from .conftest import REDIRECT, VERIFIER, fields

pytestmark = pytest.mark.anyio

ID = "https://app.example/client.json"
POLICY = MetadataDocuments(ScopeSet(["notes:*"]))


def said(page):
    """What a person reads, without tags and line ends."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", page.text)).split())


def heading(page):
    return html.unescape(re.sub(r"<[^>]*>", "", re.search(r"<h1>(.*?)</h1>", page.text)[1]))


@pytest.fixture
async def site(open_site):
    async with open_site(metadata_documents=POLICY) as site:
        site.put()
        yield site


async def asked_by(site, client_id=ID, redirect=REDIRECT, **more):
    return await site.visitor().consent_page(client_id=client_id, redirect_uri=redirect, scope="notes:read", **more)


async def test_the_page_is_headed_by_the_host_and_not_by_the_name_that_it_gave_itself(site):
    site.put(client_name="Your Bank")
    page = await asked_by(site)
    assert heading(page) == "app.example asks for access"
    assert "<title>app.example asks for access" in page.text
    assert "It calls itself Your Bank and describes itself at https://app.example/client.json." in said(page)
    assert "Nobody here has checked who runs it" in said(page)


async def test_the_login_page_names_the_host_as_well(site):
    site.put(client_name="Your Bank")
    page = await site.visitor().login_page(client_id=ID)
    assert "to continue to app.example" in said(page)
    assert "Your Bank" not in page.text


async def test_a_client_that_calls_itself_like_one_of_ours_does_not_look_like_it(site):
    ours = await asked_by(site, "app")
    site.put(client_name="The app")
    theirs = await asked_by(site)
    assert heading(ours) == "The app asks for access"
    assert heading(theirs) != heading(ours)
    assert 'class="note"' not in ours.text
    assert 'class="note"' in theirs.text


async def test_the_page_tells_where_what_is_allowed_goes(site):
    site.put(redirect_uris=[REDIRECT, "https://elsewhere.example/cb"])
    assert "What you allow here goes to app.example." in said(await asked_by(site))
    page = await asked_by(site, redirect="https://elsewhere.example/cb")
    assert "What you allow here goes to elsewhere.example." in said(page)
    assert "Either way you go back to elsewhere.example." in said(page)


@pytest.mark.parametrize("redirect", ["http://127.0.0.1:5123/cb", "http://[::1]:5123/cb", "com.example.app:/cb"])
async def test_a_page_for_a_program_on_the_persons_machine_says_that_any_program_there_could_be_it(site, redirect):
    # Whether or not the document names another place besides: what counts is where this answer goes.
    site.put(redirect_uris=["http://127.0.0.1/cb", "http://[::1]/cb", "com.example.app:/cb", REDIRECT])
    warning = "any program there can say that it is this one"
    assert warning in said(await asked_by(site, redirect=redirect))
    assert warning not in said(await asked_by(site))


async def test_a_client_that_registered_itself_is_told_apart_too(open_site):
    async with open_site(registration=Registration(ScopeSet(["notes:*"]))) as site:
        body = {"client_name": "The app", "redirect_uris": [REDIRECT], "token_endpoint_auth_method": "none"}
        made = await site.visitor().http.post("/auth/register", json=body)
        page = await asked_by(site, made.json()["client_id"])
        assert "registered itself here, under a name of its own choice" in said(page)
        assert "What you allow here goes to app.example." in said(page)


async def test_what_a_document_says_is_text(site):
    site.put(client_name='<script>alert("x")</script>')
    page = await asked_by(site)
    assert "<script" not in page.text
    assert '<script>alert("x")</script>' in html.unescape(page.text)
    for path in ("<b>x</b>", '"onload="x'):
        refused = await site.visitor().authorize(client_id=f"https://app.example/{path}")
        assert refused.status_code == 400
        assert path not in refused.text


async def test_a_described_client_is_always_asked_for_by_a_page_first(site):
    visitor = site.visitor()
    page = await visitor.consent_page(client_id=ID, scope="notes:read")
    admin = await site.admin()
    assert ID not in {one.id for one in await admin.clients()}
    sent = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:read"})
    code = parse_qs(urlsplit(sent.headers["location"]).query)["code"][0]
    assert (await site.redeem(code, ID)).json()["scope"] == "notes:read"
    (kept,) = [one for one in await admin.clients() if one.id == ID]
    assert not kept.first_party


async def test_a_document_that_goes_away_while_the_page_is_open_gets_nothing(site):
    visitor = site.visitor()
    page = await visitor.consent_page(client_id=ID)
    site.documents.clear()
    site.now += 301
    sent = await visitor.post("/consent", {**fields(page), "decision": "allow", "scope": "notes:read"})
    assert sent.status_code == 400
    assert "BW422" in sent.text
    assert "location" not in sent.headers
    assert not [line for line in await (await site.admin()).journal() if line.what == "authorization.granted"]


async def test_an_unknown_address_is_a_page_without_a_redirect_and_without_words_about_our_network(site):
    page = await site.visitor().authorize(client_id="https://nowhere.example/c", redirect_uri="https://evil.example/")
    assert page.status_code == 400
    assert "BW422" in page.text
    assert "404" not in said(page).replace("BW404", "")
    assert "evil.example" not in page.text


async def test_whoever_pushes_a_request_first_is_asked_for_all_the_same(site):
    visitor = site.visitor()
    pushed = await visitor.post("/par", site.asked(client_id=ID, scope="notes:read"))
    assert pushed.status_code == 201, pushed.text
    login = await visitor.http.get(
        "/auth/authorize", params={"client_id": ID, "request_uri": pushed.json()["request_uri"]}
    )
    page = await visitor.get((await visitor.log_in(await visitor.get(login.headers["location"]))).headers["location"])
    assert heading(page) == "app.example asks for access"
    assert VERIFIER not in page.text


async def test_whoever_asks_for_too_many_that_are_none_is_told_how_long_to_wait(site):
    visitor = site.visitor("203.0.113.66")
    pages = [await visitor.authorize(client_id=f"https://nowhere{n}.example/c") for n in range(11)]
    assert [page.status_code for page in pages] == [400] * 10 + [429]
    assert int(pages[-1].headers["retry-after"]) > 0
    assert "Try again in" in said(pages[-1])
    assert len(site.looked) == 10
    assert (await site.visitor("192.0.2.1").authorize(client_id=ID)).status_code == 303
