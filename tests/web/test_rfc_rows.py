"""Rows of the RFCs' checklist that concern the authority's side, each as requests over HTTP."""

import base64
import json
import re
from urllib.parse import parse_qs, quote, quote_plus, unquote, urlsplit

import pytest

from bailiwick import Catalog, Scope
from bailiwick.authority import Registration
from bailiwick.authority.records import GrantType
from bailiwick.scopes import ScopeSet
from bailiwick.server import AuthorizationServer
from bailiwick.tokens import JWTVerifier, Keyring, SigningKey, opaque

pytestmark = pytest.mark.anyio

SECRET = "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"
BASIC = ("service", SECRET)
# Every client's, on these pages.
PASSWORD = "correct horse battery staple"
REDIRECT = "https://app.example/callback"
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS = "urn:ietf:params:oauth:token-type:access_token"
WELL_KNOWN = "/.well-known/oauth-authorization-server"
FORM = {"content-type": "application/x-www-form-urlencoded"}
# RFC 6749 section 5.2: error_description holds only %x20-21 / %x23-5B / %x5D-7E.
DESCRIPTION = re.compile(r"[\x20\x21\x23-\x5b\x5d-\x7e]+")
# RFC 7636 appendix B.
VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def hidden(page):
    return dict(re.findall(r'<input type="hidden" name="(flow|csrf)" value="([^"]*)"', page.text))


def sent_back(answer):
    """The parameters with which a browser was sent back to its client."""
    assert answer.status_code == 303, answer.text
    return {name: value for name, (value,) in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def claims_of(body):
    payload = body["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


class Desk:
    """A site with a client for every grant, and a person at a browser."""

    def __init__(self, site):
        self.site, self.browser = site, site.visitor()
        self.http = self.browser.http

    async def furnish(self):
        admin = await self.site.admin()
        await admin.create_client(
            "cli", public=True, grants=["password", "refresh_token"], scopes=["notes:*"], first_party=True
        )
        every = [grant for grant in GrantType if grant is not GrantType.PASSWORD]
        await admin.create_client(
            "service", grants=every, scopes=["notes:*"], secret=SECRET, redirects=[REDIRECT], introspects=True
        )
        return self

    async def token(self, auth=None, **form):
        more = {} if auth is None else {"auth": auth}
        return await self.http.post("/auth/token", data=form, **more)

    async def log_in(self, **form):
        given = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": PASSWORD}
        return await self.token(**given | form)

    async def consented(self, **asked):
        """Ask for a code at the browser, and allow whatever the page asks."""
        page = await self.browser.authorize(**asked)
        if "/auth/login" in page.headers["location"]:
            page = await self.browser.log_in(await self.browser.get(page.headers["location"]))
        if "/auth/consent" not in page.headers["location"]:
            return page
        shown = await self.browser.get(page.headers["location"])
        ticked = re.findall(r'name="scope" value="([^"]+)"', shown.text)
        return await self.browser.post("/consent", {**hidden(shown), "decision": "allow", "scope": ticked})

    async def code(self, **asked):
        return sent_back(await self.consented(**asked))["code"]

    async def redeem(self, code, auth=None, **form):
        given = {
            "grant_type": "authorization_code",
            "client_id": "app",
            "code": code,
            "redirect_uri": REDIRECT,
            "code_verifier": "v" * 43,
        }
        return await self.token(auth, **{name: value for name, value in (given | form).items() if value is not None})

    async def device(self, **form):
        begun = await self.http.post("/auth/device_authorization", data={"client_id": "tv"} | form)
        assert begun.status_code == 200, begun.text
        return begun.json()

    async def approve(self, user_code):
        entry = await self.browser.get("/device")
        if entry.status_code == 303:
            await self.browser.log_in(await self.browser.get(entry.headers["location"]))
            entry = await self.browser.get("/device")
        shown = await self.browser.post("/device", {**hidden(entry), "code": user_code})
        page = await self.browser.get(shown.headers["location"])
        ticked = re.findall(r'name="scope" value="([^"]+)"', page.text)
        await self.browser.post("/device", {**hidden(page), "decision": "allow", "scope": ticked})

    async def poll(self, device_code, **form):
        return await self.token(grant_type=DEVICE, device_code=device_code, **{"client_id": "tv"} | form)

    async def every_grant(self):
        """A good answer of each grant."""
        by_password = await self.log_in()
        begun = await self.device()
        await self.approve(begun["user_code"])
        return {
            GrantType.PASSWORD: by_password,
            GrantType.REFRESH_TOKEN: await self.token(
                grant_type="refresh_token", client_id="cli", refresh_token=by_password.json()["refresh_token"]
            ),
            GrantType.CLIENT_CREDENTIALS: await self.token(BASIC, grant_type="client_credentials"),
            GrantType.AUTHORIZATION_CODE: await self.redeem(await self.code()),
            GrantType.DEVICE_CODE: await self.poll(begun["device_code"]),
            GrantType.TOKEN_EXCHANGE: await self.token(
                BASIC,
                grant_type=EXCHANGE,
                subject_token=by_password.json()["access_token"],
                subject_token_type=ACCESS,
            ),
        }


@pytest.fixture
async def desk(site):
    return await Desk(site).furnish()


def is_refused(answer, error, status=400):
    assert (answer.status_code, answer.json()["error"]) == (status, error), answer.text
    assert "access_token" not in answer.json()
    return True


# -- RFC 6749: who the client is -------------------------------------------------------------------------------------


async def test_r6749_02_r6749_03_a_secret_of_any_characters_is_form_encoded_in_the_header(desk):
    secret = 'a:b%41+c d/?"\\' * 3
    await (await desk.site.admin()).create_client(
        "odd", grants=["client_credentials"], scopes=["notes:read"], secret=secret
    )

    async def shown(text):
        header = "Basic " + base64.b64encode(text.encode()).decode()
        return await desk.http.post(
            "/auth/token", data={"grant_type": "client_credentials"}, headers={"authorization": header}
        )

    assert (await shown(f"odd:{quote_plus(secret)}")).status_code == 200
    assert (await shown(f"odd:{quote(secret, safe='')}")).status_code == 200
    # As it is, its %41 would be an A and its + a space: that is another secret, and never the same one.
    assert is_refused(await shown(f"odd:{secret}"), "invalid_client", 401)
    assert is_refused(await shown(f"odd:{quote_plus(unquote(secret))}"), "invalid_client", 401)


async def test_r6749_04_credentials_in_the_address_are_nobodys(desk):
    url = f"/auth/token?client_id=service&client_secret={SECRET}"
    assert is_refused(await desk.http.post(url, data={"grant_type": "client_credentials"}), "invalid_client", 401)
    # Nor are they read besides what the body says.
    body = {"grant_type": "client_credentials", "client_id": "service"}
    assert is_refused(await desk.http.post(url, data=body), "invalid_client", 401)


async def test_r6749_24_a_public_client_names_itself_when_it_redeems_a_code(desk):
    code = await desk.code()
    assert is_refused(await desk.redeem(code, client_id=None), "invalid_client", 401)
    assert (await desk.redeem(code)).status_code == 200


@pytest.mark.parametrize("thief", ["native", "own"])
async def test_r6749_45_a_code_of_one_public_client_is_worth_nothing_to_another(desk, thief):
    code = await desk.code()
    assert is_refused(await desk.redeem(code, client_id=thief), "invalid_grant")


async def test_r6749_53_a_program_for_itself_gets_no_refresh_token_even_where_it_may_refresh(desk):
    answer = await desk.token(BASIC, grant_type="client_credentials")
    assert answer.status_code == 200
    assert "refresh_token" not in answer.json()
    assert "refresh_token" in (await desk.redeem(await desk.code(client_id="service"), BASIC, client_id=None)).json()


# -- RFC 6749: the authorization endpoint ----------------------------------------------------------------------------


async def test_r6749_07_the_authorization_endpoint_is_asked_by_get(desk):
    answer = await desk.browser.authorize()
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/auth/login?flow=")


OTHERS = [
    REDIRECT + "/",
    REDIRECT + "?x",
    REDIRECT + "#x",
    "https://APP.example/callback",
    "HTTPS://app.example/callback",
    "https://app.example/CALLBACK",
    "https://app.example:443/callback",
    "https://app.example./callback",
    "https://app.example/%63allback",
    "https://app.example/callback/../callback",
    "https://app.example/%2e/callback",
    "https://app.example@evil.example/callback",
    "https://app.example.evil.example/callback",
    "https://app.example/callback\\@evil.example",
    " " + REDIRECT,
    REDIRECT + "\r\nx: y",
]


async def test_r6749_18_r6749_19_any_other_spelling_of_a_redirect_uri_is_shown_and_goes_nowhere(desk):
    for asked in OTHERS:
        for prompt in (None, "none"):
            answer = await desk.browser.authorize(redirect_uri=asked, prompt=prompt)
            assert answer.status_code == 400, asked
            assert "location" not in answer.headers
            assert "BW418" in answer.text


@pytest.mark.parametrize(
    "state",
    ["x", "s" * 2000, "".join(map(chr, range(0x20, 0x7F))), "%41%0d%0a", "a+b c", '"><script>alert(1)</script>'],
)
async def test_r6749_33_r6749_38_r6749_77_the_state_comes_back_byte_for_byte_and_splits_no_header(desk, state):
    await desk.browser.log_in()
    for more in ({}, {"scope": "nonsense"}):
        answer = await desk.browser.authorize(client_id="own", state=state, **more)
        assert answer.status_code == 303
        values = [value for name, value in answer.headers.items() if name == "location"]
        assert len(values) == 1
        raw = re.search(r"[?&]state=([^&]*)", values[0])[1]
        assert unquote(raw.replace("+", " ")) == state
    assert "state" not in sent_back(await desk.browser.authorize(client_id="own", state=None))


HOSTILE = ["'\"\\", "a\r\nset-cookie: x=y", "\u00e5\u2713", "\x7f\x1b[2J", "<script>"]


async def test_r6749_42_no_hostile_parameter_gets_into_what_the_browser_brings_back(desk):
    for name in ("response_type", "response_mode", "code_challenge", "scope", "resource", "max_age"):
        for value in HOSTILE:
            answer = await desk.browser.authorize(**{name: value})
            back = sent_back(answer)
            assert back["error"]
            assert DESCRIPTION.fullmatch(back["error_description"]), (name, value)
            assert back["iss"] == "https://id.example/auth"
            assert "x=y" not in answer.headers.get("set-cookie", "")


async def test_r6749_42_no_hostile_parameter_gets_into_an_error_of_the_token_endpoint(desk):
    for name in ("grant_type", "client_id", "client_secret", "scope", "resource", "username", "foo\r\n"):
        for value in HOSTILE:
            answers = [await desk.http.post("/auth/token", data={name: [value, value]})]
            if name != "foo\r\n":
                answers.append(await desk.log_in(**{name: value}))
            for answer in answers:
                assert answer.status_code in {400, 401}, (name, value)
                assert DESCRIPTION.fullmatch(answer.json()["error_description"]), (name, value)
                assert "x=y" not in str(answer.headers)


async def test_r9207_01_r9207_03_every_answer_names_the_issuer_of_the_metadata(desk):
    issuer = (await desk.http.get(f"/auth{WELL_KNOWN}")).json()["issuer"]
    assert sent_back(await desk.consented())["iss"] == issuer
    for asked in ({"scope": "nonsense"}, {"response_type": "token"}, {"code_challenge": None}, {"max_age": "x"}):
        back = sent_back(await desk.browser.authorize(**asked))
        assert (back["iss"], back["state"]) == (issuer, "xyz")
        assert "code" not in back
    page = await desk.browser.get((await desk.browser.authorize(prompt="consent")).headers["location"])
    denied = sent_back(await desk.browser.post("/consent", {**hidden(page), "decision": "deny"}))
    assert (denied["error"], denied["iss"], denied["state"]) == ("access_denied", issuer, "xyz")


@pytest.mark.parametrize("name", ["redirect", "redirect_uri", "post_logout_redirect_uri", "next", "return_to"])
async def test_r9700_02_no_page_sends_anybody_where_an_address_says(desk, name):
    evil = "https://evil.example/"
    await desk.browser.log_in()
    for path in ("/logout", "/login", "/device", "/consent", "/authorize"):
        answer = await desk.browser.get(path, params={name: evil})
        assert "evil.example" not in answer.headers.get("location", "")
        assert "evil.example" not in answer.text
    page = await desk.browser.get("/logout")
    out = await desk.browser.http.post("/auth/logout", params={name: evil}, data={**hidden(page), name: evil})
    assert out.headers["location"] == "/auth/logout"


async def test_r9700_17_a_form_that_holds_a_password_or_a_decision_is_never_repeated(desk):
    """RFC 9700 section 4.12: 307 and 308 would send the body on."""
    login = await desk.browser.login_page()
    answers = [await desk.browser.log_in(login)]
    begun = await desk.device()
    entry = await desk.browser.get("/device")
    answers.append(await desk.browser.post("/device", {**hidden(entry), "code": begun["user_code"]}))
    page = await desk.browser.get(answers[-1].headers["location"])
    answers.append(await desk.browser.post("/device", {**hidden(page), "decision": "deny"}))
    answers.append(await desk.consented())
    assert [answer.status_code for answer in answers] == [303] * 4


# -- RFC 6749: scopes ------------------------------------------------------------------------------------------------

LEGAL = [chr(code) for code in range(0x21, 0x7F) if chr(code) not in '"\\']


@pytest.fixture
async def letters(make_site):
    """An authority whose scopes are single characters, and some that look like several."""
    names = [*LEGAL, "a,b", "Read", "read"]
    site = make_site("https://id.example")
    site.server = AuthorizationServer(Catalog([Scope(name, "") for name in names]), issuer="https://id.example/auth")
    async with site.server:
        await (await site.admin()).create_client(
            "service",
            grants=["client_credentials", "authorization_code"],
            scopes=names,
            secret=SECRET,
            redirects=[REDIRECT],
        )
        desk = Desk(site)
        yield desk
        await desk.http.aclose()


async def test_r6749_25_each_octet_is_a_scope_exactly_where_the_grammar_has_it(letters):
    for octet in range(256):
        body = f"grant_type=client_credentials&scope=%{octet:02X}"
        answer = await letters.http.post("/auth/token", content=body, headers=FORM, auth=BASIC)
        if chr(octet) in LEGAL:
            assert (octet, answer.json().get("scope")) == (octet, chr(octet))
        else:
            # NUL is no parameter's; from 0x80 on a single octet is no UTF-8.
            error = "invalid_request" if octet == 0 or octet >= 0x80 else "invalid_scope"
            assert (octet, answer.status_code, answer.json()["error"]) == (octet, 400, error)
        asked = {"client_id": "service", "response_type": "code", "redirect_uri": REDIRECT, "state": "x"}
        asked |= {"code_challenge": CHALLENGE, "code_challenge_method": "S256", "scope": chr(octet)}
        at_browser = await letters.browser.get("/authorize", params=asked)
        if chr(octet) in LEGAL:
            assert at_browser.headers["location"].startswith("/auth/login"), octet
        elif octet:
            assert (octet, sent_back(at_browser)["error"]) == (octet, "invalid_scope")


@pytest.mark.parametrize(
    ("asked", "granted"),
    [
        ("a b", {"a", "b"}),
        ("b a", {"a", "b"}),
        ("a a", {"a"}),
        ("a,b", {"a,b"}),
        ("Read", {"Read"}),
        ("read", {"read"}),
    ],
)
async def test_r6749_26_r6749_27_r6749_28_r6749_29_one_space_parts_scopes_and_nothing_else(letters, asked, granted):
    answer = await letters.token(BASIC, grant_type="client_credentials", scope=asked)
    assert answer.status_code == 200
    told = answer.json()["scope"].split(" ")
    assert set(told) == granted
    assert len(told) == len(granted)
    assert claims_of(answer.json())["scope"] == answer.json()["scope"]


@pytest.mark.parametrize(
    "asked", ["a  b", " a", "a ", "a\tb", "a\nb", "a\u00a0b", "a\u2003b", "a\x0bb", "a\x1fb", "READ", "rEad"]
)
async def test_r6749_26_r6749_27_r6749_64_whatever_else_parts_names_or_changes_their_case_is_invalid(letters, asked):
    assert is_refused(await letters.token(BASIC, grant_type="client_credentials", scope=asked), "invalid_scope")


async def test_r6749_31_without_a_scope_the_default_is_issued_and_said(desk):
    await (await desk.site.admin()).create_client(
        "narrow", grants=["client_credentials"], scopes=["notes:*"], default=["notes:share"], secret=SECRET
    )
    answer = await desk.token(("narrow", SECRET), grant_type="client_credentials")
    assert answer.json()["scope"] == claims_of(answer.json())["scope"] == "notes:share"
    # Where nobody named one, it is all that the client may have.
    answer = await desk.token(BASIC, grant_type="client_credentials")
    assert answer.json()["scope"] == "notes:read notes:write notes:share"


# -- RFC 6749: answers -----------------------------------------------------------------------------------------------


async def test_r6749_55_r6749_56_r6749_57_r6750_20_r9068_03_what_every_grant_answers(desk):
    answers = await desk.every_grant()
    assert answers.keys() == set(GrantType)
    for grant, answer in answers.items():
        assert answer.status_code == 200, (grant, answer.text)
        assert answer.headers["content-type"] == "application/json"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        body, claims = answer.json(), claims_of(answer.json())
        assert body["token_type"] == "Bearer"
        assert type(body["expires_in"]) is int
        assert body["expires_in"] == claims["exp"] - desk.site.now == 600
        assert body["scope"] == claims["scope"] != ""
        assert {"iss", "exp", "aud", "sub", "client_id", "iat", "jti"} <= claims.keys()
        assert (claims["iss"], claims["aud"]) == ("https://id.example/auth", "https://id.example")
        assert claims["jti"] != ""
        header = json.loads(base64.urlsafe_b64decode(body["access_token"].split(".")[0] + "=="))
        assert header["typ"] == "at+jwt"
        # R9068-04: whose it is, can be told from the sub alone.
        itself = grant is GrantType.CLIENT_CREDENTIALS
        assert claims["sub"].startswith("usr_") is not itself
        assert (claims["sub"] == claims["client_id"]) is itself


async def test_r6749_56_no_answer_of_an_endpoint_that_handles_credentials_may_be_kept(desk):
    failing = [
        await desk.log_in(password="wrong"),
        await desk.log_in(scope="nonsense"),
        await desk.token(("service", "wrong"), grant_type="client_credentials"),
        await desk.token(BASIC, grant_type="foo"),
        await desk.token(BASIC, grant_type="password", username="a", password="b"),
        await desk.http.post("/auth/token", json={}),
        await desk.http.post("/auth/token", content=b"x" * 70_000, headers=FORM),
        await desk.http.get("/auth/token"),
        await desk.http.post("/auth/revoke", data={}),
        await desk.http.post("/auth/introspect", data={"token": "x"}),
        await desk.http.post("/auth/introspect", data={"token": "x"}, auth=BASIC),
        await desk.http.post("/auth/revoke", data={"token": "x"}, auth=BASIC),
        await desk.http.post("/auth/device_authorization", data={"client_id": "tv"}),
        await desk.http.post("/auth/par", data={}),
    ]
    statuses = {answer.status_code for answer in failing}
    assert statuses == {200, 400, 401, 405, 413}
    for answer in failing:
        assert answer.headers["cache-control"] == "no-store", answer.request.url
        assert answer.headers["pragma"] == "no-cache", answer.request.url
        assert answer.headers["content-type"] == "application/json"
        if answer.status_code == 401:
            assert answer.headers["www-authenticate"].startswith("Basic realm=")


async def test_r6749_48_an_empty_password_tells_nobody_who_is_known(desk):
    known, unknown = await desk.log_in(password=""), await desk.log_in(username="nobody", password="")
    assert is_refused(known, "invalid_request")
    assert known.json() == unknown.json()


async def test_r6749_78_a_name_is_read_as_utf_8_and_as_nothing_else(desk):
    await (await desk.site.admin()).create_account("\u00e5", PASSWORD, roles=["reader"])
    form = f"grant_type=password&client_id=cli&password={quote_plus(PASSWORD)}&username="

    async def named(raw):
        return await desk.http.post("/auth/token", content=form + raw, headers=FORM)

    assert (await named("%C3%A5")).status_code == 200
    assert is_refused(await named("%E5"), "invalid_request")
    # U+00C3 U+00A5 in UTF-8: what a latin-1 reader would have made of the first.
    assert is_refused(await named("%C3%83%C2%A5"), "invalid_grant")


# -- RFC 7636 --------------------------------------------------------------------------------------------------------


async def test_r7636_03_the_rfcs_own_pair_opens_the_whole_flow(desk):
    code = await desk.code(code_challenge=CHALLENGE)
    answer = await desk.redeem(code, code_verifier=VERIFIER)
    assert answer.status_code == 200
    assert answer.json()["access_token"]


async def test_r7636_05_the_verifiers_of_two_flows_cannot_be_swapped(desk):
    one, two = await desk.code(code_challenge=CHALLENGE), await desk.code()
    assert is_refused(await desk.redeem(one, code_verifier="v" * 43), "invalid_grant")
    assert is_refused(await desk.redeem(two, code_verifier=VERIFIER), "invalid_grant")


@pytest.mark.parametrize(
    "verifier", [CHALLENGE, VERIFIER[:-1] + "l", "e" + VERIFIER[1:], VERIFIER + "a", VERIFIER.lower()]
)
async def test_r7636_09_neither_the_challenge_nor_one_character_off_is_the_verifier(desk, verifier):
    code = await desk.code(code_challenge=CHALLENGE)
    assert is_refused(await desk.redeem(code, code_verifier=verifier), "invalid_grant")


@pytest.mark.parametrize("verifier", [None, "", "v" * 42, "v" * 129, "v" * 42 + "=", "v" * 42 + "\u00e5"])
async def test_r7636_01_r7636_08_without_a_verifier_of_the_grammar_there_is_no_token(desk, verifier):
    answer = await desk.redeem(await desk.code(), code_verifier=verifier)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}
    assert "access_token" not in answer.json()


async def test_r7636_07_r7636_11_another_method_is_refused_where_the_client_can_read_it(desk):
    for method in ("S512", "s256", "plain", "Plain", "", None):
        back = sent_back(await desk.browser.authorize(code_challenge_method=method))
        assert (method, back["error"]) == (method, "invalid_request")
        assert "code" not in back


@pytest.mark.parametrize("client", ["app", "own", "service"])
async def test_r7636_02_r9700_03_no_client_gets_a_code_without_a_challenge(desk, client):
    await desk.browser.log_in()
    for challenge in ("", CHALLENGE[:-1], CHALLENGE + "=", CHALLENGE[:-1] + "+", CHALLENGE[:-1] + "/", None):
        back = sent_back(await desk.browser.authorize(client_id=client, code_challenge=challenge))
        assert (challenge, back["error"]) == (challenge, "invalid_request")
        assert "code" not in back


# -- RFC 7009 and RFC 7662 -------------------------------------------------------------------------------------------


async def test_r7009_01_either_token_can_be_given_back(desk):
    body = (await desk.log_in()).json()
    for kind in ("access_token", "refresh_token"):
        answer = await desk.http.post("/auth/revoke", data={"token": body[kind], "client_id": "cli"})
        assert answer.status_code == 200
        told = await desk.http.post("/auth/introspect", data={"token": body[kind]}, auth=BASIC)
        assert told.json() == {"active": False}
    refused = await desk.token(grant_type="refresh_token", client_id="cli", refresh_token=body["refresh_token"])
    assert is_refused(refused, "invalid_grant")


async def test_r7662_07_r7662_08_the_members_of_an_answer_have_the_types_of_the_rfc(desk):
    body = (await desk.log_in()).json()
    for kind in ("access_token", "refresh_token"):
        told = (await desk.http.post("/auth/introspect", data={"token": body[kind]}, auth=BASIC)).json()
        assert told["active"] is True
        assert told["scope"] == body["scope"] == "notes:read notes:write notes:share"
        assert {type(told[name]) for name in ("iat", "exp", "nbf", "auth_time") if name in told} == {int}
        for name in ("client_id", "sub", "token_type", "iss", "jti", "aud"):
            assert type(told.get(name, "")) is str
        assert told["exp"] > desk.site.now


async def test_r7662_02_nobody_learns_anything_of_a_token_without_proving_themselves(desk):
    body = (await desk.log_in()).json()
    for auth in ({}, {"auth": ("service", "wrong")}, {"auth": ("nobody", SECRET)}, {"auth": ("cli", "")}):
        answer = await desk.http.post("/auth/introspect", data={"token": body["access_token"]}, **auth)
        assert is_refused(answer, "invalid_client", 401)
        assert "active" not in answer.json()


# -- RFC 7591 --------------------------------------------------------------------------------------------------------

POLICY = Registration(ScopeSet(["notes:read"]))
SAID = {"redirect_uris": ["https://new.example/cb"], "token_endpoint_auth_method": "none"}


@pytest.fixture
async def office(open_site):
    async with open_site(registration=POLICY) as site:
        yield site.visitor().http


async def test_r7591_01_what_is_no_json_object_is_400_and_what_is_no_post_405(office):
    asked = await office.get("/auth/register")
    assert (asked.status_code, asked.headers["allow"]) == (405, "POST")
    form = await office.post("/auth/register", data={"redirect_uris": "https://new.example/cb"})
    assert is_refused(form, "invalid_request")
    for body in (b"", b"[]", b"[1]", b'"x"', b"{", b"\xff", b'{"redirect_uris": [], "redirect_uris": []}'):
        answer = await office.post("/auth/register", content=body, headers={"content-type": "application/json"})
        assert is_refused(answer, "invalid_client_metadata"), body


async def test_r7591_02_r7591_03_open_registration_asks_for_no_token(office):
    for headers in ({}, {"authorization": "Bearer whatever"}):
        made = await office.post("/auth/register", json=SAID, headers=headers)
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        assert made.headers["content-type"] == "application/json"
        assert made.json()["client_id"]


async def test_r7591_02_closed_registration_challenges_whoever_has_no_token(open_site):
    token = "t" * 43
    policy = Registration(ScopeSet(["notes:read"]), initial_tokens=(opaque.digest(token),))
    async with open_site(registration=policy) as site:
        http = site.visitor().http
        for sent in ({}, {"authorization": f"Bearer {token[1:]}"}, {"authorization": f"Basic {token}"}):
            refused = await http.post("/auth/register", json=SAID, headers=sent)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Bearer ")
        made = await http.post("/auth/register", json=SAID, headers={"authorization": f"Bearer {token}"})
        assert made.status_code == 201


@pytest.mark.parametrize(
    "uri",
    ["http://127.0.0.1", "http://127.0.0.1:8080/cb", "http://[::1]/cb", "com.example.app:/cb", "https://a.example/"],
)
async def test_r7591_14_a_native_app_registers_a_loopback_address_or_its_own_scheme(office, uri):
    made = await office.post("/auth/register", json=SAID | {"redirect_uris": [uri]})
    assert made.status_code == 201
    assert made.json()["redirect_uris"] == [uri]


@pytest.mark.parametrize(
    "uris",
    [
        None,
        [],
        ["http://evil.example/cb"],
        ["http://localhost:1/cb"],
        ["javascript:alert(1)"],
        ["data:text/html,x"],
        ["/relative"],
        ["new.example/cb"],
        ["https://new.example/cb#x"],
        ["*"],
        ["https://new.example/*"],
        ["https://new.example/cb", "http://evil.example/cb"],
    ],
)
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
async def test_r6749_16_r7591_12_r9700_16_a_client_of_the_code_grant_registers_fit_addresses_only(office, uris, method):
    said = {"token_endpoint_auth_method": method} | ({} if uris is None else {"redirect_uris": uris})
    assert is_refused(await office.post("/auth/register", json=said), "invalid_redirect_uri")


async def test_r7591_09_keys_are_said_or_pointed_at_but_not_both(office):
    keys = {"keys": [SigningKey.generate("ES256").to_jwk()]}
    said = SAID | {"token_endpoint_auth_method": "private_key_jwt", "jwks": keys}
    assert (await office.post("/auth/register", json=said)).status_code == 201
    both = said | {"jwks_uri": "https://new.example/jwks"}
    assert is_refused(await office.post("/auth/register", json=both), "invalid_client_metadata")


# -- RFC 8414 --------------------------------------------------------------------------------------------------------


async def test_r8414_02_r8414_03_r8414_05_r8414_10_r8414_11_the_metadata_is_a_json_object_that_leaves_nothing_open(
    desk,
):
    answer = await desk.http.get(f"/auth{WELL_KNOWN}")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    document = answer.json()
    assert isinstance(document, dict)
    assert document["response_types_supported"] == ["code"]
    assert document["authorization_endpoint"] == "https://id.example/auth/authorize"
    assert document["token_endpoint"] == "https://id.example/auth/token"
    # What the RFC would read into their absence is not so, and so they are there.
    assert "implicit" not in document["grant_types_supported"]
    assert "authorization_code" in document["grant_types_supported"]
    assert set(document["response_modes_supported"]) == {"query", "form_post"}
    assert "client_secret_basic" in document["token_endpoint_auth_methods_supported"]
    assert all(value not in ([], {}, "", None) for value in document.values())


async def test_r8414_12_the_issuer_is_the_same_text_wherever_it_stands(desk):
    issuer = (await desk.http.get(f"/auth{WELL_KNOWN}")).json()["issuer"]
    body = (await desk.log_in()).json()
    told = (await desk.http.post("/auth/introspect", data={"token": body["access_token"]}, auth=BASIC)).json()
    back = sent_back(await desk.consented())
    assert {issuer, claims_of(body)["iss"], told["iss"], back["iss"]} == {"https://id.example/auth"}


# -- RFC 8628 --------------------------------------------------------------------------------------------------------


async def test_r8628_02_an_empty_scope_is_none_an_unknown_field_nothing_and_a_repeated_one_an_error(desk):
    assert (await desk.device(scope="", foo="1"))["user_code"]
    twice = await desk.http.post("/auth/device_authorization", content="client_id=tv&scope=a&scope=a", headers=FORM)
    assert is_refused(twice, "invalid_request")


@pytest.mark.parametrize(
    ("left_out", "status", "error"),
    [
        ("grant_type", 400, "invalid_request"),
        ("device_code", 400, "invalid_request"),
        ("client_id", 401, "invalid_client"),
    ],
)
async def test_r8628_07_what_a_poll_has_to_say(desk, left_out, status, error):
    form = {"grant_type": DEVICE, "device_code": (await desk.device())["device_code"], "client_id": "tv"}
    whole = await desk.token(**form)
    assert is_refused(whole, "authorization_pending")
    del form[left_out]
    assert is_refused(await desk.token(**form), error, status)


@pytest.mark.parametrize("secret", [None, "wrong"])
async def test_r8628_08_a_confidential_client_proves_itself_when_it_begins_and_when_it_polls(desk, secret):
    shown = {"client_id": "service"} | ({} if secret is None else {"client_secret": secret})
    begun = await desk.http.post("/auth/device_authorization", data=shown)
    assert is_refused(begun, "invalid_client", 401)
    begun = (await desk.http.post("/auth/device_authorization", data={}, auth=BASIC, headers=FORM)).json()
    await desk.approve(begun["user_code"])
    assert is_refused(await desk.poll(begun["device_code"], **shown), "invalid_client", 401)
    answer = await desk.token(BASIC, grant_type=DEVICE, device_code=begun["device_code"])
    assert answer.status_code == 200


async def test_r8628_10_a_slower_interval_stays_slower(desk):
    device_code = (await desk.device())["device_code"]

    async def after(seconds):
        desk.site.now += seconds
        return (await desk.poll(device_code)).json()["error"]

    assert await after(0) == "authorization_pending"
    assert await after(2) == "slow_down"
    assert await after(6) == "slow_down"
    # Twice five seconds more, for this request and all later ones.
    assert await after(15) == "authorization_pending"
    assert await after(14) == "slow_down"
    assert await after(20) == "authorization_pending"


# -- RFC 9068 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
async def test_r9068_02_a_token_of_each_algorithm_verifies_with_the_published_keys(open_site, algorithm):
    async with open_site(signing_algorithm=algorithm) as site:
        desk = await Desk(site).furnish()
        token = (await desk.log_in()).json()["access_token"]
        header = json.loads(base64.urlsafe_b64decode(token.split(".")[0] + "=="))
        assert header["alg"] == algorithm
        keys = Keyring.from_jwks((await desk.http.get("/auth/jwks.json")).text)
        verifier = JWTVerifier(
            keys, issuer="https://id.example/auth", audience="https://id.example", now=lambda: site.now
        )
        assert (await verifier.verify(token)).client_id == "cli"
