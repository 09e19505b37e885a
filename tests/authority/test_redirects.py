"""Which redirect URIs may be registered, and which registered one a request means."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bailiwick.authority.redirects import is_https, match, why_unfit

GOOD = "https://app.example.com/cb"

HOSTILE = [
    "https://app.example.com/cb/",
    "https://app.example.com/cb?",
    "https://app.example.com/cb#",
    "https://app.example.com/cb#x",
    "https://app.example.com/CB",
    "https://APP.example.com/cb",
    "HTTPS://app.example.com/cb",
    "http://app.example.com/cb",
    "https://app.example.com:443/cb",
    "https://app.example.com./cb",
    "https://app.example.com/./cb",
    "https://app.example.com/x/../cb",
    "https://app.example.com/%2e/cb",
    "https://app.example.com/x/%2e%2e/cb",
    "https://app.example.com/%63b",
    "https://app.example.com//cb",
    "https://app.example.com\\cb",
    "https://app.example.com/cb\\..\\evil",
    "https://evil.example\\@app.example.com/cb",
    "https://evil.example@app.example.com/cb",
    "https://app.example.com@evil.example/cb",
    "https://app.example.com@@evil.example/cb",
    "https://app.example.com:x@evil.example/cb",
    "https://app.example.com.evil.example/cb",
    "https://evilapp.example.com/cb",
    "https://app.example.com%2eevil.example/cb",
    "https://app.example.com%00.evil.example/cb",
    "https://app.example.com%0d%0a.evil.example/cb",
    "https://app.example.com/cb\r\nset-cookie: x=y",
    "https://app.example.com/cb ",
    " https://app.example.com/cb",
    "https://app.example.com/cb\t",
    "//app.example.com/cb",
    "https:app.example.com/cb",
    "https:///app.example.com/cb",
    "https://app.ex\u0430mple.com/cb",  # a Cyrillic letter
    "https://app\uff0eexample.com/cb",  # a full-width stop
    "https://app.example.com\u2044cb",
    "javascript:alert(1)",
    "JavaScript:alert(1)//https://app.example.com/cb",
    "data:text/html,x",
    "app.example.com/cb",
    "",
    "*",
    "https://*.example.com/cb",
]


@pytest.mark.parametrize("asked", HOSTILE)
def test_r6749_18_only_the_very_text_that_was_registered_matches(asked):
    assert not match([GOOD], asked)
    assert match([GOOD], GOOD)


def test_cve_2024_52289_a_registered_uri_is_no_pattern():
    assert not match(["https://app.example.com/cb"], "https://appxexample.com/cb")
    assert not match([".*", "https://.*"], GOOD)


@given(st.text())
def test_nothing_but_the_registered_text_matches(asked):
    assert match([GOOD], asked) == (asked == GOOD)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
@pytest.mark.parametrize("port", ["", ":1", ":8080", ":65535"])
def test_only_the_port_of_a_loopback_address_may_differ(host, port):
    registered = f"http://{host}/callback?x=1"
    assert match([registered], f"http://{host}{port}/callback?x=1")
    assert match([f"http://{host}:3000/callback?x=1"], f"http://{host}{port}/callback?x=1")
    assert not match([registered], f"http://{host}{port}/callback")
    assert not match([registered], f"https://{host}{port}/callback?x=1")


@pytest.mark.parametrize(
    "asked",
    [
        "http://localhost/callback",
        "http://localhost:8080/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:8080@evil.example/callback",
        "http://127.0.0.1:80:80/callback",
        "http://127.0.0.1:/callback",
        "http://127.0.0.1:0/callback",
        "http://127.0.0.1:65536/callback",
        "http://127.0.0.1:+80/callback",
        "http://127.0.0.1:8080\\.evil.example/callback",
        "http://127.0.0.1:\u0661/callback",  # a digit, though no ASCII one
        "http://127.0.0.2/callback",
        "http://127.1/callback",
        "http://0x7f.0.0.1/callback",
        "http://[::1]/callback",
        "http://[0:0:0:0:0:0:0:1]/callback",
        "http://127.0.0.1/callback/",
        "http://127.0.0.1/callback\n",
        "HTTP://127.0.0.1/callback",
        "http://user@127.0.0.1/callback",
    ],
)
def test_what_only_looks_like_the_loopback_address_is_another(asked):
    assert not match(["http://127.0.0.1/callback"], asked)


def test_cve_2026_18211_localhost_is_compared_like_any_other_name():
    assert not match(["http://localhost/cb"], "http://localhost:8080/cb")
    assert not match(["http://localhost"], "http://localhost.evil.example")
    assert why_unfit("http://localhost/cb")


@pytest.mark.parametrize(
    "uri",
    [
        GOOD,
        "https://app.example.com",
        "https://app.example.com:8443/cb?tenant=a&x=%2F",
        "https://[2001:db8::1]/cb",
        "http://127.0.0.1/callback",
        "http://127.0.0.1:8080/",
        "http://[::1]:3000/cb",
        "com.example.app:/oauth2redirect",
    ],
)
def test_r7591_14_https_loopback_and_an_apps_own_scheme_may_be_registered(uri):
    assert why_unfit(uri) == ""
    assert match([uri], uri)


@pytest.mark.parametrize(
    "uri",
    [
        "http://app.example.com/cb",
        "http://10.0.0.1/cb",
        "http://0.0.0.0/cb",
        "myapp:/cb",
        "app:cb",
        "com.example.app://evil.example/cb",
        "urn:ietf:wg:oauth:2.0:oob",
        "file:///etc/passwd",
        "blob:https://app.example.com/x",
        "view-source:https://app.example.com/",
        "vbscript:x",
        "about:blank",
        "https://",
        "https://?x",
        "https://user:secret@app.example.com/cb",
        "https://app.example.com:/cb",
        "https://app.example.com:0/cb",
        "https://app.example.com:99999/cb",
        "https://[::1/cb",
        "https://app_x.example.com%2f/cb",
        "https://" + "a" * 3000,
    ],
)
def test_r9700_16_everything_else_may_not(uri):
    assert why_unfit(uri)


@pytest.mark.parametrize("uri", ["javascript:alert(1)", "JavaScript:alert(1)", "jAvAsCrIpT:x", "DATA:text/html,x"])
def test_cve_2026_9086_schemes_are_compared_in_lower_case(uri):
    assert why_unfit(uri)


@pytest.mark.parametrize(
    "uri", ["https://a@b@app.example.com/cb", "https://@app.example.com/cb", "https://app.example.com@/cb"]
)
def test_cve_2026_7504_at_signs_before_the_host_are_refused(uri):
    assert why_unfit(uri)
    assert not match([GOOD], uri)


@pytest.mark.parametrize(
    "uri", [one for one in HOSTILE if not one.startswith(("https://app.example.com", "https://evil"))]
)
def test_hostile_forms_are_no_registration_either(uri):
    fit = {"https://APP.example.com/cb", "HTTPS://app.example.com/cb"}  # odd, but nothing but themselves
    assert bool(why_unfit(uri)) == (uri not in fit)


def test_only_https_is_sure_of_who_receives():
    assert is_https(GOOD)
    assert not is_https("http://127.0.0.1/cb")
    assert not is_https("com.example.app:/cb")
