"""The client credentials grant over HTTP (RFC 6749 section 4.4), and how clients prove who they are (section 2.3)."""

import base64

import pytest

SECRET = "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"  # of the client "service"
GRANT = {"grant_type": "client_credentials"}


def test_a_client_gets_a_token_for_itself_without_a_refresh_token(live):
    answer = live.token(auth=("service", SECRET), **GRANT)
    assert answer.status_code == 200
    body = answer.json()
    assert body["scope"] == "notes:read notes:write notes:share"
    assert "refresh_token" not in body
    assert live.call("GET", "/notes", body["access_token"]).json()["caller"] == "service"


def test_the_secret_may_stand_in_the_body_instead(live):
    assert live.token(client_id="service", client_secret=SECRET, **GRANT).status_code == 200


def test_a_wrong_secret_by_basic_is_answered_401_with_a_basic_challenge(live):
    answer = live.token(auth=("service", "wrong"), **GRANT)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert answer.headers["www-authenticate"].startswith("Basic ")


@pytest.mark.parametrize(("client", "secret"), [("service", "wrong"), ("unknown", SECRET), ("service", "")])
def test_an_unknown_client_and_a_wrong_secret_get_the_same_answer(live, client, secret):
    form = {"client_id": client, **({"client_secret": secret} if secret else {})}
    answer = live.token(**form, **GRANT)
    assert answer.status_code == 401
    assert answer.json() == live.token(client_id="service", client_secret="nonsense", **GRANT).json()


def test_two_ways_at_once_are_refused(live):
    answer = live.token(auth=("service", SECRET), client_secret=SECRET, **GRANT)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"


def test_two_authorization_headers_are_refused_whichever_comes_first(live):
    good = "Basic " + base64.b64encode(f"service:{SECRET}".encode()).decode()
    for pair in ((good, "Basic eDp5"), ("Basic eDp5", good)):
        answer = live.token(headers=[("authorization", value) for value in pair], **GRANT)
        assert answer.status_code == 400
        assert answer.json()["error"] == "invalid_request"


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"nocolon").decode(), "Bearer x"])
def test_unreadable_credentials_are_invalid_client(live, header):
    answer = live.token(headers={"authorization": header}, **GRANT)
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_a_public_client_cannot_act_for_itself(live):
    answer = live.token(client_id="cli", **GRANT)
    assert answer.status_code == 400
    assert answer.json()["error"] == "unauthorized_client"


def test_a_client_never_gets_more_than_its_ceiling(live):
    answer = live.token(auth=("nosy", "9b8a7e6d4c3b2a19080f7e6d5c5f1d0c"), scope="notes:read notes:write", **GRANT)
    assert answer.json()["scope"] == "notes:read"
    assert (
        live.token(auth=("nosy", "9b8a7e6d4c3b2a19080f7e6d5c5f1d0c"), scope="admin:*", **GRANT).json()["error"]
        == "invalid_scope"
    )


def test_a_disabled_client_is_refused_and_its_tokens_with_it(live):
    live.admin(
        lambda admin: admin.create_client(
            "shortlived",
            grants=["client_credentials"],
            scopes=["notes:read"],
            secret="0c9b8a7e6d4c3b2a19080f7e6d5c5f1d",
        )
    )
    token = live.token(auth=("shortlived", "0c9b8a7e6d4c3b2a19080f7e6d5c5f1d"), **GRANT).json()["access_token"]
    live.admin(lambda admin: admin.disable_client("shortlived"))
    assert live.token(auth=("shortlived", "0c9b8a7e6d4c3b2a19080f7e6d5c5f1d"), **GRANT).status_code == 401
    assert live.introspect(token).json() == {"active": False}
