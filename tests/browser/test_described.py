"""A client that describes itself, as a person meets it in a real browser."""

from urllib.parse import parse_qs, urlsplit

import pytest
from tests.flows.test_client_documents import BACK, CHALLENGE, Library, Town, good

PASSWORD = "correct horse battery staple"


@pytest.fixture
def library():
    library = Library()
    library.start()
    yield library
    library.server.shutdown()
    library.server.server_close()


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    town.start()
    yield town
    town.stop()


def test_a_person_sees_whose_word_they_take_and_where_it_goes_before_they_allow(chromium, library, town):
    client = library.put(client_name="Your Bank", redirect_uris=[BACK, "https://bank.example.com/cb"])
    place = urlsplit(client).netloc
    context = chromium.new_context(viewport={"width": 380, "height": 720})
    page = context.new_page()
    page.set_default_timeout(15_000)
    arrived = []
    page.route(lambda url: url.startswith("https://bank.example.com/"), lambda route: arrive(route, arrived))
    asked = {"response_type": "code", "client_id": client, "redirect_uri": "https://bank.example.com/cb"}
    asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "scope": "notes:read", "state": "xyz"}
    page.goto(f"{town.issuer}/authorize?" + "&".join(f"{name}={value}" for name, value in asked.items()))
    assert f"to continue to {place}" in page.inner_text("main")
    page.get_by_label("Name").fill("wim")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("heading", name=f"{place} asks for access").wait_for()
    words = page.inner_text("main")
    assert "Your Bank" in words
    assert "Nobody here has checked who runs it" in words
    assert "What you allow here goes to bank.example.com." in words
    # Nothing of it runs off a narrow screen, however long an address is.
    assert page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    page.get_by_role("button", name="Allow").click()
    page.wait_for_url("https://bank.example.com/**")
    told = parse_qs(urlsplit(arrived[0]).query)
    assert told["iss"] == [town.issuer]
    assert (
        good(town.redeem(client, told["code"][0], redirect_uri="https://bank.example.com/cb"))["scope"] == "notes:read"
    )
    context.close()


def arrive(route, arrived):
    """The client's own page, which lies nowhere."""
    arrived.append(route.request.url)
    route.fulfill(status=200, content_type="text/html", body="<title>Back</title>")
