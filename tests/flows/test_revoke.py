"""Revocation over HTTP (RFC 7009), and how soon the API beside the authority knows."""

import time

import pytest


def test_a_revoked_access_token_opens_nothing_from_the_next_request_on(live):
    token = live.log_in("ada").json()["access_token"]
    assert live.call("GET", "/notes", token).status_code == 200
    assert live.revoke(token).status_code == 200
    refused = live.call("GET", "/notes", token)
    assert refused.status_code == 401
    assert 'error="invalid_token"' in refused.headers["www-authenticate"]
    assert live.introspect(token).json() == {"active": False}


def test_revoking_a_refresh_token_ends_its_access_tokens_too(live):
    body = live.log_in("ada").json()
    assert live.revoke(body["refresh_token"], token_type_hint="access_token").status_code == 200
    assert live.refresh(body["refresh_token"]).json()["error"] == "invalid_grant"
    assert live.call("GET", "/notes", body["access_token"]).status_code == 401


def test_another_login_of_the_same_person_is_not_touched(live):
    one, two = live.log_in("wim").json(), live.log_in("wim").json()
    live.revoke(one["refresh_token"])
    assert live.call("GET", "/notes", two["access_token"]).status_code == 200
    assert live.refresh(two["refresh_token"]).status_code == 200


@pytest.mark.parametrize("token", ["nonsense", "bwr_" + "A" * 43, "a.b.c", "ü"])
def test_an_unknown_token_is_a_success(live, token):
    """Section 2.2: the client cannot do anything about it, and what it wanted is so."""
    answer = live.revoke(token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


def test_a_token_of_another_client_is_not_revoked(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.revoke(token, client_id="other")
    assert answer.status_code == 400
    assert live.call("GET", "/notes", token).status_code == 200


def test_who_does_not_say_who_he_is_revokes_nothing(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.http.post("/auth/revoke", data={"token": token})
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"
    assert live.call("GET", "/notes", token).status_code == 200


def test_a_missing_token_is_an_invalid_request(live):
    assert live.http.post("/auth/revoke", data={"client_id": "cli"}).json()["error"] == "invalid_request"


def test_one_withdrawn_scope_is_refused_within_a_second_and_the_others_stay(live):
    body = live.log_in("wim").json()
    token = body["access_token"]
    assert live.call("POST", "/notes", token).status_code == 200
    (authorization,) = live.admin(lambda admin: admin.authorizations(person="wim", client="cli"))
    live.admin(lambda admin: admin.withdraw(authorization.id, "notes:write"))
    end = time.monotonic() + 2
    while live.call("POST", "/notes", token).status_code == 200:
        assert time.monotonic() < end, "the withdrawn scope still opens its route"
        time.sleep(0.05)
    assert live.call("POST", "/notes", token).status_code == 403
    assert live.call("GET", "/notes", token).json()["scopes"] == ["notes:read", "notes:share"]
    assert live.refresh(body["refresh_token"]).json()["scope"] == "notes:read notes:share"
    live.admin(lambda admin: admin.give_back(authorization.id, ["notes:write"]))


def test_a_disabled_person_is_out_within_a_second(live):
    live.admin(lambda admin: admin.create_account("mallory", "a long enough password", roles=["reader"]))
    token = live.log_in("mallory", "a long enough password").json()["access_token"]
    assert live.call("GET", "/notes", token).status_code == 200
    live.admin(lambda admin: admin.disable_account("mallory"))
    end = time.monotonic() + 2
    while live.call("GET", "/notes", token).status_code == 200:
        assert time.monotonic() < end, "the token of a disabled person still opens its route"
        time.sleep(0.05)
    assert live.call("GET", "/notes", token).status_code == 401
