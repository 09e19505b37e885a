"""What nobody should send: always an answer of RFC 6749 section 5.2, never a 500."""

import http.client
from urllib.parse import urlsplit

import pytest

FORM = "application/x-www-form-urlencoded"
GOOD = b"grant_type=password&client_id=cli&username=ada&password=correct+horse+battery+staple"
ENDPOINTS = ["/auth/token", "/auth/revoke", "/auth/introspect"]


def post(live, path, content, kind=FORM, **headers):
    sent = {**({"content-type": kind} if kind else {}), **headers}
    return live.http.post(path, content=content, headers=sent)


def is_an_oauth_error(answer, status=400, error="invalid_request"):
    assert answer.status_code == status
    body = answer.json()
    assert body["error"] == error
    assert body["error_description"]
    assert body["id"].startswith("BW")
    assert answer.headers["cache-control"] == "no-store"
    return True


def test_the_form_itself_is_good(live):
    assert post(live, "/auth/token", GOOD).status_code == 200


@pytest.mark.parametrize(
    "field",
    [b"grant_type=password", b"username=ada", b"password=x", b"client_id=cli", b"client_id=other", b"scope=a&scope=b"],
)
def test_a_repeated_field_is_refused(live, field):
    assert is_an_oauth_error(post(live, "/auth/token", GOOD + b"&" + field))


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data", "", None])
def test_a_wrong_content_type_is_refused(live, path, kind):
    assert is_an_oauth_error(post(live, path, b'{"grant_type": "password"}', kind))


@pytest.mark.parametrize("path", ENDPOINTS)
def test_a_body_over_64_kib_is_refused(live, path):
    assert is_an_oauth_error(post(live, path, GOOD + b"&x=" + b"a" * 65536), status=413)


def test_a_body_over_64_kib_in_chunks_is_refused(live):
    def chunks():
        for _ in range(100):
            yield b"x" * 1024

    answer = live.http.post("/auth/token", content=chunks(), headers={"content-type": FORM})
    assert is_an_oauth_error(answer, status=413)


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "HEAD"])
def test_another_method_is_refused_and_told_which(live, path, method):
    answer = live.http.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_fields_in_the_query_are_not_read(live):
    answer = live.http.post("/auth/token?" + GOOD.decode(), headers={"content-type": FORM})
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"invalid_request", "invalid_client"}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"&&&&",
        b"=",
        b"grant_type",
        b"grant_type=&client_id=cli",
        b"grant_type=implicit&client_id=cli",
        b"%ff=%ff",
        b"grant_type=password&client_id=%00",
        b"grant_type=password&client_id=cli&username=%00&password=%00",
        b"\x00\x01\x02",
        b"&".join([b"a=b"] * 1000),
        b"grant_type=password&client_id=cli&username=" + b"u" * 5000 + b"&password=p",
        b"grant_type=password&client_id=cli&username=u&password=" + b"p" * 5000,
        b"grant_type=password&client_id=" + b"c" * 5000 + b"&username=u&password=p",
        b"grant_type=password&client_id=cli&username=ada&password=x&scope=" + b"a" * 5000,
        b"grant_type=password&client_id=cli&username=ada&password=x&resource=https%3A%2F%2Felsewhere.example",
    ],
)
def test_nonsense_is_answered_with_an_error_of_the_rfc(live, body):
    for path in ENDPOINTS:
        answer = post(live, path, body)
        assert answer.status_code in {400, 401}, (path, answer.text)
        assert answer.json()["error"] in {
            "invalid_request",
            "invalid_client",
            "invalid_grant",
            "invalid_scope",
            "invalid_target",
            "unsupported_grant_type",
        }


def test_an_unknown_field_is_ignored(live):
    assert post(live, "/auth/token", GOOD + b"&audience_hint=x&foo=bar").status_code == 200


def test_markup_and_line_breaks_in_a_value_come_back_harmless(live):
    answer = post(live, "/auth/token", GOOD + b"&scope=%3Cscript%3E%0D%0ASet-Cookie%3A+a%3Db")
    assert is_an_oauth_error(answer, error="invalid_scope")
    assert "set-cookie" not in answer.headers
    assert answer.headers["content-type"].startswith("application/json")
    assert "\r" not in answer.json()["error_description"]


def test_an_authorization_header_of_nonsense_is_no_500(live):
    host = urlsplit(live.base).netloc
    for value in (b"Basic \xff\xfe", b"Basic " + b"A" * 30_000, b"\xe2\x98\x83", b"Basic Og==", b"Basic  Y2xpOg=="):
        connection = http.client.HTTPConnection(host, timeout=30)
        connection.putrequest("POST", "/auth/token")
        connection.putheader("Content-Type", FORM)
        connection.putheader("Content-Length", "0")
        connection.putheader("Authorization", value)
        connection.endheaders()
        assert connection.getresponse().status in {400, 401}, value
        connection.close()


def test_an_unknown_path_is_404_in_the_same_form(live):
    answer = live.http.get("/auth/nowhere")
    assert answer.status_code == 404
    assert answer.json()["error"]
