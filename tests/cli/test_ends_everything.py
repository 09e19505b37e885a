"""Disabling somebody stops everything that hangs on them: the command in one process, the server in another."""

import base64
import json

import pytest


def feed(http, secret, client="api"):
    """The lines of the revocation feed: number, kind, key, at, until, scope."""
    body = http.get("/revocations", auth=(client, secret)).text.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))["lines"]


@pytest.fixture
def tool(house):
    house(
        "client", "add", "tool", "--public", "--first-party", "--grant", "password", "--grant", "refresh_token",
        "--scope", "posts:*",
    )  # fmt: skip
    return house.json("client", "add", "api", "--grant", "client_credentials", "--scope", "posts:read",
                      "--introspects", "*", "--follows-revocations")["secret"]  # fmt: skip


def log_in(http, password):
    form = {"grant_type": "password", "client_id": "tool", "username": "ada", "password": password}
    return http.post("/token", data=form)


def refresh(http, tokens):
    form = {"grant_type": "refresh_token", "client_id": "tool", "refresh_token": tokens["refresh_token"]}
    return http.post("/token", data=form)


def is_active(http, secret, token):
    return http.post("/introspect", data={"token": token}, auth=("api", secret)).json()["active"]


def test_a_disabled_person_has_no_refresh_no_login_no_token_and_stands_in_the_feed(house, tool, password):
    with house.serve() as http:
        tokens = log_in(http, password).json()
        assert is_active(http, tool, tokens["access_token"])
        assert feed(http, tool) == []
        person = house.json("user", "disable", "ada")["id"]
        assert refresh(http, tokens).json()["error"] == "invalid_grant"
        assert log_in(http, password).json()["error"] == "invalid_grant"
        assert not is_active(http, tool, tokens["access_token"])
        assert ["subject", person] in [line[1:3] for line in feed(http, tool)]
        house("user", "enable", "ada")
        assert log_in(http, password).status_code == 200
        assert refresh(http, tokens).json()["error"] == "invalid_grant"  # what was ended stays so


def test_a_disabled_client_has_no_request_no_refresh_no_token_and_stands_in_the_feed(house, tool, password):
    with house.serve() as http:
        tokens = log_in(http, password).json()
        assert is_active(http, tool, tokens["access_token"])
        house("client", "disable", "tool")
        assert refresh(http, tokens).json()["error"] == "invalid_client"
        assert log_in(http, password).json()["error"] == "invalid_client"
        assert not is_active(http, tool, tokens["access_token"])
        assert ["client", "tool"] in [line[1:3] for line in feed(http, tool)]


def test_one_scope_withdrawn_leaves_the_others_and_the_next_refresh_issues_the_rest(house, tool, password):
    house("user", "grant", "ada", "--scope", "posts:delete")
    with house.serve() as http:
        tokens = log_in(http, password).json()
        assert "posts:delete" in tokens["scope"]
        (allowed,) = house.json("token", "list", "--user", "ada")["authorizations"]
        house("token", "withdraw", allowed["id"], "posts:delete")
        again = refresh(http, tokens).json()
        assert set(again["scope"].split()) == set(tokens["scope"].split()) - {"posts:delete"}
        assert ["scope", allowed["id"], "posts:delete"] in [[line[1], line[2], line[5]] for line in feed(http, tool)]
        (listed,) = house.json("token", "list", "--user", "ada")["authorizations"]
        assert [row["scope"] for row in listed["withdrawn"]] == ["posts:delete"]
        house("token", "give-back", allowed["id"], "posts:delete")
        assert "posts:delete" in log_in(http, password).json()["scope"]


def test_a_found_token_is_ended_by_itself_and_never_as_an_argument(house, tool, password):
    with house.serve() as http:
        tokens = log_in(http, password).json()
        access, fresh = tokens["access_token"], tokens["refresh_token"]
        assert "--found" in house.refusal("token", "revoke", access)
        assert "--found" in house.refusal("token", "revoke", fresh)
        assert is_active(http, tool, access)
        assert house.json("token", "revoke", "--found", input=access + "\n")["kind"] == "token"
        assert not is_active(http, tool, access)
        result = house("token", "revoke", "--found", input=fresh + "\n")
        assert fresh not in result.output
        assert refresh(http, tokens).json()["error"] == "invalid_grant"
        house("token", "revoke", "--found", input=fresh + "\n", code=1)
        assert "no token" in house.refusal("token", "revoke", "--found", input="what is this\n")


def test_a_family_a_person_and_a_client_are_ended_by_name(house, tool, password):
    with house.serve() as http:
        for name in ("family", "--user", "--client"):
            tokens = log_in(http, password).json()
            (family,) = house.json("token", "list", "--client", "tool")["families"]
            assert family["user"] == "ada"
            what = {
                "family": [family["id"]],
                "--user": ["--user", "ada", "--yes"],
                "--client": ["--client", "tool", "-y"],
            }
            assert house.json("token", "revoke", *what[name])["ended"] == 1
            assert refresh(http, tokens).json()["error"] == "invalid_grant"


def test_a_new_secret_ends_the_old_one_at_once(house, tool):
    with house.serve() as http:
        ask = {"grant_type": "client_credentials"}
        assert http.post("/token", data=ask, auth=("api", tool)).status_code == 200
        new = house.json("client", "rotate-secret", "api")["secret"]
        assert http.post("/token", data=ask, auth=("api", tool)).json()["error"] == "invalid_client"
        assert http.post("/token", data=ask, auth=("api", new)).status_code == 200


def test_a_client_that_only_follows_needs_no_grant_and_follows_until_it_is_told_to_stop(house):
    assert "needs a --grant" in house.refusal("client", "add", "nothing")
    made = house.json("client", "add", "watcher", "--follows-revocations")
    assert (made["follows_revocations"], made["grants"], made["scopes"]) == (True, [], [])
    assert "follows revocations" in house("client", "show", "watcher").stdout
    weak = ["client", "add", "weak", "--follows-revocations", "--own-secret"]
    assert "nobody can guess" in house.refusal(*weak, input="s3cret\n")
    assert "for which it needs a secret" in house.refusal("client", "add", "page", "--public", "--follows-revocations")
    with house.serve() as http:
        assert http.get("/revocations").status_code == 401
        assert feed(http, made["secret"], "watcher") == []
        assert not house.json("client", "follow", "watcher", "--stop")["follows_revocations"]
        assert http.get("/revocations", auth=("watcher", made["secret"])).status_code == 403
        house("client", "follow", "watcher")
        assert feed(http, made["secret"], "watcher") == []
