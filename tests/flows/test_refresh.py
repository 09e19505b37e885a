"""The refresh grant over HTTP (RFC 6749 section 6, RFC 9700 section 4.14.2)."""

import asyncio

import httpx
import pytest


def test_a_refresh_gives_a_new_pair_and_the_new_token_works(live):
    first = live.log_in("wim").json()
    second = live.refresh(first["refresh_token"])
    assert second.status_code == 200
    body = second.json()
    assert body["refresh_token"] != first["refresh_token"]
    assert body["access_token"] != first["access_token"]
    assert live.call("GET", "/notes", body["access_token"]).status_code == 200


def test_an_honest_retry_gets_the_same_successor(live):
    first = live.log_in("ada").json()
    one, two = live.refresh(first["refresh_token"]), live.refresh(first["refresh_token"])
    assert one.status_code == two.status_code == 200
    assert one.json()["refresh_token"] == two.json()["refresh_token"]


def test_64_who_refresh_the_same_token_at_once_get_one_successor(live):
    token = live.log_in("ada").json()["refresh_token"]
    form = {"grant_type": "refresh_token", "client_id": "cli", "refresh_token": token}

    async def all_at_once():
        limits = httpx.Limits(max_connections=64)
        async with httpx.AsyncClient(base_url=live.base, timeout=60, limits=limits) as http:
            return await asyncio.gather(*(http.post("/auth/token", data=form) for _ in range(64)))

    answers = asyncio.run(all_at_once())
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["refresh_token"] for answer in answers}) == 1


def test_an_older_token_revokes_the_family_and_its_access_tokens(live):
    first = live.log_in("ada").json()
    second = live.refresh(first["refresh_token"]).json()
    third = live.refresh(second["refresh_token"]).json()
    assert live.call("GET", "/notes", third["access_token"]).status_code == 200
    replayed = live.refresh(first["refresh_token"])
    assert replayed.status_code == 400
    assert replayed.json()["error"] == "invalid_grant"
    assert replayed.json()["id"] == "BW406"
    assert live.refresh(third["refresh_token"]).json()["error"] == "invalid_grant"
    refused = live.call("GET", "/notes", third["access_token"])
    assert refused.status_code == 401
    assert "revoked" in refused.headers["www-authenticate"]


def test_a_refresh_token_of_another_client_is_refused_and_stays_good_for_its_own(live):
    token = live.log_in("ada").json()["refresh_token"]
    foreign = live.refresh(token, client_id="other")
    assert foreign.status_code == 400
    assert foreign.json()["error"] == "invalid_grant"
    assert live.refresh(token).status_code == 200


def test_a_refresh_may_narrow_and_never_widens(live):
    first = live.log_in("wim", scope="notes:read notes:write").json()
    narrow = live.refresh(first["refresh_token"], scope="notes:read").json()
    assert narrow["scope"] == "notes:read"
    whole = live.refresh(narrow["refresh_token"]).json()
    assert whole["scope"] == "notes:read notes:write"
    wider = live.refresh(whole["refresh_token"], scope="notes:read notes:share")
    assert "notes:share" not in wider.json().get("scope", "")


def test_a_role_that_is_taken_away_is_gone_at_the_next_refresh(live):
    live.admin(lambda admin: admin.create_account("eve", "a long enough password", roles=["reader", "writer"]))
    first = live.log_in("eve", "a long enough password").json()
    assert "notes:write" in first["scope"]
    live.admin(lambda admin: admin.take_role("eve", "writer"))
    assert live.refresh(first["refresh_token"]).json()["scope"] == "notes:read"


@pytest.mark.parametrize("token", ["nonsense", "bwr_" + "A" * 43, "", "a.b.c", "ä" * 50, "x" * 20_000])
def test_a_made_up_refresh_token_is_refused(live, token):
    answer = live.refresh(token)
    assert answer.status_code == 400
    assert answer.json()["error"] in {"invalid_grant", "invalid_request"}


def test_an_access_token_is_no_refresh_token(live):
    assert live.refresh(live.log_in("ada").json()["access_token"]).json()["error"] == "invalid_grant"


def test_a_refresh_token_opens_no_route(live):
    answer = live.call("GET", "/notes", live.log_in("ada").json()["refresh_token"])
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
