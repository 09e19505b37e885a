"""Introspection over HTTP (RFC 7662)."""

import time

import pytest


def test_an_access_token_is_told_about_to_those_who_may_ask(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.introspect(token)
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"
    body = answer.json()
    assert body["active"] is True
    assert body["scope"] == "notes:read"
    assert body["client_id"] == "cli"
    assert body["iss"] == live.issuer
    assert body["aud"] == live.base
    assert time.time() < body["exp"] <= time.time() + 601


def test_a_refresh_token_is_told_about_too(live):
    assert live.introspect(live.log_in("ada").json()["refresh_token"]).json()["active"] is True


@pytest.mark.parametrize("token", ["nonsense", "a.b.c", "bwr_" + "A" * 43, "x" * 10_000, "é"])
def test_anything_doubtful_is_inactive_and_nothing_else_is_said(live, token):
    answer = live.introspect(token)
    assert answer.status_code == 200
    assert answer.json() == {"active": False}


def test_a_wrong_type_hint_changes_nothing(live):
    token = live.log_in("ada").json()["access_token"]
    assert live.introspect(token, token_type_hint="refresh_token").json()["active"] is True


def test_a_client_without_the_right_is_refused(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.http.post(
        "/auth/introspect", data={"token": token}, auth=("nosy", "9b8a7e6d4c3b2a19080f7e6d5c5f1d0c")
    )
    assert answer.status_code == 403
    assert answer.json()["id"] == "BW411"


def test_a_public_client_cannot_ask(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.http.post("/auth/introspect", data={"token": token, "client_id": "cli"})
    assert answer.status_code == 401
    assert answer.json()["error"] == "invalid_client"


def test_who_does_not_say_who_he_is_learns_nothing(live):
    token = live.log_in("ada").json()["access_token"]
    answer = live.http.post("/auth/introspect", data={"token": token})
    assert answer.status_code == 401
    assert "active" not in answer.json()


def test_a_missing_token_is_an_invalid_request(live):
    answer = live.http.post("/auth/introspect", data={"x": "y"}, auth=("service", "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"))
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_request"
