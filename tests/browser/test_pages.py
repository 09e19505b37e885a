"""The pages in a real browser: log in, consent to a part, connect a device, log out, and Swagger UI's Authorize."""

import re
import time

import pytest

SCOPES = "users:read posts:read posts:write"


def scope_of(answer):
    assert answer.status_code == 200, answer.text
    return set(answer.json()["scope"].split())


def test_a_person_logs_in_unticks_one_scope_and_the_token_lacks_just_that(person, client, demo):
    page = person.page
    page.goto(client.address(scope=SCOPES))
    person.finds_the_cursor_in("Name")
    person.photograph("login")
    person.log_in()
    page.get_by_role("heading", name="Demo web page asks for access").wait_for()
    assert page.get_by_role("checkbox").count() == 3
    page.get_by_label("Write posts").uncheck()
    person.photograph("consent")
    page.get_by_role("button", name="Allow").click()
    told = client.answer()
    assert told["state"] == client.state
    assert told["iss"] == demo.issuer
    tokens = client.redeem(told["code"])
    assert scope_of(tokens) == {"users:read", "posts:read"}
    token = tokens.json()["access_token"]
    assert demo.call("GET", "/posts", token).status_code == 200
    assert demo.call("POST", "/posts", token, json={"title": "No"}).status_code == 403


def test_a_wrong_password_is_told_without_saying_what_was_wrong(person, client):
    page = person.page
    page.goto(client.address())
    person.log_in(password="wrong")
    alert = page.get_by_role("alert")
    assert alert.inner_text() == "The name or the password is wrong."
    assert page.title().startswith("Error: ")
    assert page.get_by_label("Password").get_attribute("aria-describedby") == alert.get_attribute("id")
    person.finds_the_cursor_in("Password")
    person.photograph("login-refused")
    person.log_in()
    page.get_by_role("heading", name="asks for access").wait_for()


def test_whoever_denies_sends_the_client_away_with_an_error(person, client, demo):
    person.page.goto(client.address())
    person.log_in()
    person.page.get_by_role("button", name="Deny").click()
    told = client.answer()
    assert told["error"] == "access_denied"
    assert told["iss"] == demo.issuer
    assert "code" not in told


def test_the_answer_is_posted_by_itself_where_the_client_wants_a_form(person, client):
    person.page.goto(client.address(response_mode="form_post"))
    person.log_in()
    person.page.get_by_role("button", name="Allow").click()
    assert scope_of(client.redeem(client.answer()["code"]))


def test_the_answer_is_posted_by_a_button_where_no_script_runs(chromium, client):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(client.address(response_mode="form_post"))
    page.get_by_label("Name").fill("alice")
    page.get_by_label("Password").fill("correct horse battery staple")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("button", name="Continue").click()
    assert scope_of(client.redeem(client.answer()["code"]))
    context.close()


def test_a_person_who_is_logged_in_is_not_asked_who_they_are_again_until_they_log_out(person, client, demo):
    page = person.page
    page.goto(client.address())
    person.log_in()
    page.get_by_role("heading", name="asks for access").wait_for()
    page.goto(client.address())
    page.get_by_role("heading", name="asks for access").wait_for()
    page.goto(f"{demo.issuer}/logout")
    person.photograph("logout")
    page.get_by_role("button", name="Log out").click()
    page.get_by_role("heading", name="You are logged out").wait_for()
    page.goto(client.address())
    page.get_by_role("heading", name="Log in").wait_for()


def test_everything_can_be_done_with_the_keyboard(person, client):
    page = person.page
    page.goto(client.address(scope=SCOPES))
    person.finds_the_cursor_in("Name")
    page.keyboard.type("erin")
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse battery staple")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="asks for access").wait_for()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    assert page.get_by_role("checkbox").first.is_checked() is False
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    for _ in range(3):
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Allow"
    page.keyboard.press("Enter")
    assert scope_of(client.redeem(client.answer()["code"])) == {"posts:read", "posts:write"}


def test_a_device_is_connected_by_the_code_that_it_shows(person, demo):
    asked = demo.http.post("/auth/device_authorization", data={"client_id": "demo-cli", "scope": SCOPES})
    begun = asked.json()
    page = person.page
    page.goto(begun["verification_uri"])
    person.log_in()
    page.get_by_role("heading", name="Connect a device").wait_for()
    page.get_by_label("Code").fill("BBBB-BBBB")
    page.get_by_role("button", name="Continue").click()
    assert "unknown" in page.get_by_role("alert").inner_text()
    page.goto(begun["verification_uri"])
    page.get_by_label("Code").fill(begun["user_code"].lower().replace("-", " "))
    person.photograph("device-code")
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="Demo command line on a device asks for access").wait_for()
    page.get_by_label("Write posts").uncheck()
    person.photograph("device-consent")
    page.get_by_role("button", name="Allow").click()
    page.get_by_role("heading", name="Your device is connected").wait_for()
    person.photograph("device-done")
    device = {
        "grant_type": "urn:ietf:params:oauth:grant-type:device_code",
        "client_id": "demo-cli",
        "device_code": begun["device_code"],
    }
    assert scope_of(demo.token(**device)) == {"users:read", "posts:read"}
    page.reload()
    page.get_by_role("heading", name="Your device is connected").wait_for()


def test_a_link_with_the_code_fills_it_in_and_still_asks(person, demo):
    begun = demo.http.post("/auth/device_authorization", data={"client_id": "demo-cli"}).json()
    page = person.page
    page.goto(begun["verification_uri_complete"])
    person.log_in()
    assert page.get_by_label("Code").input_value() == begun["user_code"]
    assert "Did somebody send you this code" in page.get_by_role("main").inner_text()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Deny").click()
    page.get_by_role("heading", name="You refused the device").wait_for()


def test_a_foreign_redirect_is_told_on_a_page_and_goes_nowhere(person, client, demo):
    page = person.page
    page.goto(client.address(redirect_uri="https://evil.example/callback"))
    page.get_by_role("heading", name="This cannot go on").wait_for()
    assert "BW418" in page.get_by_role("main").inner_text()
    assert page.url.startswith(demo.issuer)
    person.photograph("error")


@pytest.mark.parametrize("width", [320, 760])
def test_nothing_is_cut_off_or_scrolls_sideways(person, client, demo, width):
    page = person.page
    page.set_viewport_size({"width": width, "height": 640})

    def fits():
        assert page.evaluate("document.documentElement.scrollWidth") <= width

    page.goto(client.address(scope=SCOPES))
    fits()
    person.log_in()
    page.get_by_role("heading", name="asks for access").wait_for()
    fits()
    if width == 320:
        person.photograph("consent-narrow")
    page.goto(f"{demo.issuer}/device")
    fits()
    page.goto(client.address(redirect_uri="https://evil.example/" + "x" * 300))
    fits()


# WCAG 2.2, success criteria 1.4.3 and 1.4.11: how much lighter text, and what must be seen, is than what is behind.
CONTRAST = """() => {
  const canvas = Object.assign(document.createElement('canvas'), {width: 1, height: 1});
  const pen = canvas.getContext('2d', {willReadFrequently: true});
  const rgba = text => {
    pen.clearRect(0, 0, 1, 1); pen.fillStyle = text; pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const light = ([r, g, b]) => {
    const f = c => (c /= 255) <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    return 0.2126 * f(r) + 0.7152 * f(g) + 0.0722 * f(b);
  };
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = rgba(getComputedStyle(node).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const ratio = (one, other) => {
    const [a, b] = [light(one), light(other)].sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  };
  const found = [];
  for (const node of document.querySelectorAll('main *, header *')) {
    const own = [...node.childNodes].some(child => child.nodeType === 3 && child.textContent.trim());
    if (own || node.tagName === 'INPUT') {
      found.push([node.outerHTML.slice(0, 80), ratio(rgba(getComputedStyle(node).color), behind(node))]);
    }
  }
  return found;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_can_be_read_against_what_is_behind_it(person, client, demo, scheme):
    page = person.page
    page.emulate_media(color_scheme=scheme)

    def readable():
        measured = page.evaluate(CONTRAST)
        assert measured
        assert not [one for one in measured if one[1] < 4.5]

    page.goto(client.address(scope=SCOPES))
    readable()
    person.log_in(password="wrong")
    page.get_by_role("alert").wait_for()
    readable()
    person.log_in()
    page.get_by_role("heading", name="asks for access").wait_for()
    readable()
    page.goto(f"{demo.issuer}/device")
    readable()
    page.goto(client.address(redirect_uri="https://evil.example/"))
    readable()


def test_nothing_moves_while_a_page_loads(person, client):
    page = person.page
    page.goto(client.address(scope=SCOPES))
    moved = page.evaluate(
        """() => new Promise(done => {
          let sum = 0;
          new PerformanceObserver(list => list.getEntries().forEach(one => sum += one.value))
            .observe({type: 'layout-shift', buffered: true});
          setTimeout(() => done(sum), 300);
        })"""
    )
    assert moved == 0


def test_the_authorize_button_of_swagger_ui_gets_a_token_by_code_and_pkce(person, demo):
    page = person.page
    page.goto(f"{demo.base}/docs")
    page.get_by_role("button", name="Authorize").click()
    flow = page.locator(".auth-container", has_text="authorizationCode")
    assert flow.locator("#client_id_authorizationCode").input_value() == "demo-docs"
    for scope in ("users:read", "posts:read"):
        flow.locator(f"label[for*='{scope}-authorizationCode']").first.click()
    with page.expect_popup() as opened:
        flow.locator("button.authorize").click()
    popup = opened.value
    popup.get_by_label("Name").fill("alice")
    popup.get_by_label("Password").fill("correct horse battery staple")
    popup.get_by_role("button", name="Log in").click()
    popup.get_by_role("heading", name="Demo API documentation asks for access").wait_for()
    with popup.expect_event("close"):
        popup.get_by_role("button", name="Allow").click()
    flow.get_by_text("Logout", exact=True).wait_for()
    flow.locator("button.btn-done").click()
    operation = page.locator("#operations-users-read_profile_profile_get")
    operation.get_by_role("button").first.click()
    operation.get_by_role("button", name="Try it out").click()
    with page.expect_response(re.compile("/profile$")) as answered:
        operation.get_by_role("button", name="Execute").click()
    assert answered.value.status == 200
    assert set(answered.value.json()["scopes"]) == {"users:read", "posts:read"}


def test_a_page_is_on_the_screen_within_a_blink(person, client):
    page = person.page
    began = time.perf_counter()
    page.goto(client.address())
    assert time.perf_counter() - began < 5  # on a busy machine; milliseconds otherwise
    size = page.evaluate("performance.getEntriesByType('resource').reduce((n, one) => n + one.encodedBodySize, 0)")
    assert size < 20_000
