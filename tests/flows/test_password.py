"""The password grant over HTTP: for the operator's own clients only (RFC 6749 section 4.3)."""

import statistics
import time

import pytest

# Of everybody, and of the client "service".
PASSWORD = "correct horse battery staple"
SECRET = "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"


def test_a_person_gets_a_token_that_opens_what_her_role_holds_and_no_more(live):
    answer = live.log_in("ada")
    assert answer.status_code == 200
    body = answer.json()
    assert body["token_type"] == "Bearer"
    assert body["expires_in"] == 600
    assert body["scope"] == "notes:read"
    assert body["refresh_token"]
    assert live.call("GET", "/notes", body["access_token"]).status_code == 200
    refused = live.call("POST", "/notes", body["access_token"])
    assert refused.status_code == 403
    assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]
    assert 'scope="notes:write"' in refused.headers["www-authenticate"]


def test_tokens_are_never_stored_on_the_way(live):
    for answer in (live.log_in("ada"), live.log_in("ada", "wrong")):
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["pragma"] == "no-cache"
        assert answer.headers["content-type"].startswith("application/json")


def test_asking_for_fewer_scopes_gives_fewer(live):
    body = live.log_in("wim", scope="notes:read notes:share").json()
    assert body["scope"] == "notes:read notes:share"
    assert live.call("POST", "/notes", body["access_token"]).status_code == 403


def test_a_known_scope_that_the_person_lacks_is_dropped_and_the_answer_says_so(live):
    assert live.log_in("ada", scope="notes:read notes:write").json()["scope"] == "notes:read"


def test_a_wildcard_is_issued_as_the_scopes_that_it_stands_for(live):
    assert live.log_in("wim", scope="notes:*").json()["scope"] == "notes:read notes:write notes:share"


def test_the_superuser_scope_is_issued_by_its_name_and_opens_everything(live):
    body = live.log_in("root", scope="admin:*").json()
    assert body["scope"] == "admin:*"
    assert live.call("POST", "/notes", body["access_token"]).status_code == 200


@pytest.mark.parametrize("scope", ["notes:reed", "notes:read unknown", 'a"b', "notes:read  notes:write", " notes:read"])
def test_an_unknown_or_malformed_scope_is_invalid_scope(live, scope):
    answer = live.log_in("wim", scope=scope)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_scope"
    assert answer.json()["id"] == "BW405"


def test_nothing_left_to_issue_is_invalid_scope(live):
    assert live.log_in("ada", scope="notes:write").json()["error"] == "invalid_scope"


def test_a_wrong_password_and_an_unknown_name_get_the_same_answer(live):
    wrong, unknown = live.log_in("ada", "wrong"), live.log_in("nobody", "wrong")
    assert wrong.status_code == unknown.status_code == 400
    assert wrong.json() == unknown.json()
    assert wrong.json()["error"] == "invalid_grant"
    assert wrong.json()["id"] == "BW407"
    assert "www-authenticate" not in wrong.headers


@pytest.mark.timing
def test_a_wrong_password_and_an_unknown_name_take_the_same_time(live):
    took = {"ada": [], "nobody": []}
    for _ in range(9):
        for name, times in took.items():
            start = time.perf_counter()
            live.log_in(name, "wrong")
            times.append(time.perf_counter() - start)
    known, unknown = (statistics.median(times) for times in took.values())
    # Argon2id takes tens of milliseconds; an answer without it takes one or two.
    assert 0.5 < known / unknown < 2


def test_a_client_that_may_not_use_the_grant_is_refused(live):
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    answer = live.token(auth=("service", SECRET), **form)
    assert answer.status_code == 400
    assert answer.json()["error"] == "unauthorized_client"


@pytest.mark.parametrize("left_out", ["grant_type", "username", "password", "client_id"])
def test_a_missing_field_is_named(live, left_out):
    form = {"grant_type": "password", "client_id": "cli", "username": "ada", "password": PASSWORD}
    del form[left_out]
    answer = live.token(**form)
    assert answer.status_code in {400, 401}
    assert answer.json()["error"] in {"invalid_request", "invalid_client"}


def test_a_public_client_may_name_itself_by_basic_with_an_empty_secret(live):
    """What Swagger UI's Authorize button sends."""
    form = {"grant_type": "password", "username": "ada", "password": PASSWORD}
    assert live.token(auth=("cli", ""), **form).status_code == 200


def test_a_disabled_person_is_answered_like_an_unknown_one(live):
    live.admin(lambda admin: admin.create_account("gone", PASSWORD, roles=["reader"]))
    token = live.log_in("gone").json()
    live.admin(lambda admin: admin.disable_account("gone"))
    assert live.log_in("gone").json() == live.log_in("nobody").json()
    assert live.refresh(token["refresh_token"]).json()["error"] == "invalid_grant"


def test_names_and_passwords_beyond_ascii_are_read_as_utf_8(live):
    live.admin(lambda admin: admin.create_account("Zoë", "pässwörd ½ 🗝", roles=["reader"]))
    assert live.log_in("Zoë", "pässwörd ½ 🗝").status_code == 200
    assert live.log_in("Zoë", "password ½ 🗝").status_code == 400
