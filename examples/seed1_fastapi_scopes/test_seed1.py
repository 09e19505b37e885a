"""Every behaviour that the tutorial "Securing API Routes with FastAPI Scopes" states, sentence by sentence.

Where the tutorial is wrong, the test says what is right; README.md lists those places.
"""

import base64
import json
import time
from typing import Annotated

import pytest
from fastapi import FastAPI, Security
from fastapi.testclient import TestClient

from bailiwick import Catalog, ConfigurationError, Principal, ScopeSet
from bailiwick.fastapi import Guard

from . import main

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def client():
    main.add_user("alice", PASSWORD, "user")
    main.add_user("root", PASSWORD, "admin")
    with TestClient(main.app) as client:
        yield client


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def with_scopes(text, **more):
    return bearer(main.create_access_token("alice", ScopeSet.parse(text), **more))


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def log_in(client, username="alice", password=PASSWORD, **more):
    return client.post("/login", json={"username": username, "password": password, **more})


class TestWhatAreScopes:
    """Introduction and "What Are Scopes?"."""

    def test_the_token_of_a_login_carries_scopes(self, client):
        assert claims_of(log_in(client).json()["access_token"])["scopes"] == "users:read posts:read"

    @pytest.mark.parametrize(
        ("method", "path", "needed", "body"),
        [
            ("GET", "/profile", "users:read", None),
            ("POST", "/profile", "users:write", None),
            ("DELETE", "/users/7", "users:delete", None),
            ("POST", "/my-posts", "posts:write", {"title": "Hello"}),
        ],
    )
    def test_each_protected_route_checks_that_the_token_includes_the_required_scope(
        self, client, method, path, needed, body
    ):
        others = " ".join(name for name in main.catalog if name not in {needed, "admin:*"})
        assert client.request(method, path, json=body, headers=with_scopes(needed)).status_code == 200
        refused = client.request(method, path, json=body, headers=with_scopes(others))
        assert refused.status_code == 403
        assert refused.json()["scope"] == needed

    def test_a_scope_is_not_a_role(self, client):
        # "Scopes differ from roles": a role is a bundle of scopes here, and its name opens nothing.
        catalog = Catalog(main.catalog.scopes.values(), roles=main.catalog.roles.values())
        assert catalog.roles["admin"].scopes >= {"users:delete"}
        assert client.delete("/users/7", headers=with_scopes("admin")).status_code == 403

    def test_users_get_only_the_minimum_that_they_ask_for(self, client):
        token = log_in(client, "root", scopes=["posts:read"]).json()["access_token"]
        assert claims_of(token)["scopes"] == "posts:read"
        assert client.get("/profile", headers=bearer(token)).status_code == 403


class TestDesigningYourHierarchy:
    def test_the_catalog_holds_the_scopes_of_the_tutorial(self):
        assert list(main.catalog) == [
            "users:read",
            "users:write",
            "users:delete",
            "posts:read",
            "posts:write",
            "admin:*",
        ]

    @pytest.mark.parametrize(
        "name",
        ["read:all", "write:protected", "delete:own", "https://www.googleapis.com/auth/drive", "repo:status", "gist"],
    )
    def test_other_patterns_are_scopes_as_well(self, name):
        assert Catalog([name]).covers(name, name)

    @pytest.mark.parametrize("name", ["read: all", "users\u202fread", "users:\tread"])
    def test_but_not_everything_is_a_scope(self, name):
        with pytest.raises(ConfigurationError):
            Catalog([name])


class TestStoringScopesInTokens:
    def test_the_claim_is_one_space_separated_text(self):
        token = main.create_access_token("alice", ScopeSet(["users:read", "posts:read"]))
        assert claims_of(token)["scopes"] == "users:read posts:read"

    def test_without_scopes_the_claim_is_the_empty_text_and_opens_nothing_that_needs_one(self, client):
        token = main.create_access_token("alice", ScopeSet())
        assert claims_of(token)["scopes"] == ""
        assert client.get("/profile", headers=bearer(token)).status_code == 403

    def test_a_token_expires_after_the_configured_minutes_counted_from_now(self):
        before = int(time.time())
        claims = claims_of(main.create_access_token("alice", ScopeSet()))
        assert before <= claims["iat"] <= time.time()
        assert claims["exp"] - claims["iat"] == 60 * main.ACCESS_TOKEN_EXPIRE_MINUTES

    def test_a_token_expires_after_another_time_if_that_is_given(self):
        claims = claims_of(main.create_access_token("alice", ScopeSet(), lifetime=5))
        assert claims["exp"] - claims["iat"] == 5

    def test_the_subject_is_the_user(self):
        assert claims_of(main.create_access_token("alice", ScopeSet()))["sub"] == "alice"


class TestValidatingOnProtectedRoutes:
    def test_a_token_with_every_required_scope_passes_and_the_handler_learns_who_calls(self, client):
        answer = client.get("/profile", headers=with_scopes("users:read"))
        assert (answer.status_code, answer.json()) == (200, {"username": "alice"})

    @pytest.mark.parametrize("token", ["nonsense", "a.b.c", "", "\x7f"])
    def test_what_is_no_token_is_401(self, client, token):
        answer = client.get("/profile", headers=bearer(token))
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_token"

    def test_an_expired_token_is_401(self, client):
        answer = client.get("/profile", headers=with_scopes("users:read", lifetime=-1))
        assert answer.status_code == 401
        assert "expired" in answer.json()["detail"]
        assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]

    def test_no_token_is_401_with_a_challenge_and_no_error_code(self, client):
        # RFC 6750 section 3.1. HTTPBearer answered 403 here for years.
        answer = client.get("/profile")
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
        assert "error" not in answer.json()

    def test_too_few_scopes_are_403_and_the_answer_names_the_required_one(self, client):
        answer = client.post("/profile", headers=with_scopes("users:read"))
        assert answer.status_code == 403
        assert answer.json()["scope"] == "users:write"
        assert 'error="insufficient_scope"' in answer.headers["WWW-Authenticate"]
        assert 'scope="users:write"' in answer.headers["WWW-Authenticate"]

    def test_of_several_required_scopes_every_one_is_needed_and_all_are_named_at_once(self, client):
        post = {"title": "Hello", "author": "erin"}
        answer = client.post("/admin/posts", json=post, headers=with_scopes("posts:write"))
        assert answer.status_code == 403
        assert answer.json()["scope"] == "posts:write admin:*"

    def test_a_token_of_another_secret_algorithm_or_audience_is_401(self, client):
        from bailiwick.tokens import Signer, SigningKey

        claims = claims_of(main.create_access_token("alice", ScopeSet.parse("users:read")))
        forged = Signer(SigningKey.from_secret("x1" * 20 + "another secret")).sign(claims)
        elsewhere = main.signer.sign({**claims, "aud": "https://other.example"})
        head = base64.urlsafe_b64encode(b'{"alg":"none","typ":"at+jwt"}').rstrip(b"=").decode()
        unsigned = f"{head}.{forged.split('.')[1]}."
        for token in (forged, elsewhere, unsigned):
            assert client.get("/profile", headers=bearer(token)).status_code == 401

    @pytest.mark.parametrize("scopes", [None, 7, {"users:read": True}, "users:read\tadmin:*", ["users:read admin:*"]])
    def test_a_claim_of_another_form_is_401_and_never_a_crash(self, client, scopes):
        claims = claims_of(main.create_access_token("alice", ScopeSet()))
        token = main.signer.sign({**claims, "scopes": scopes})
        assert client.get("/profile", headers=bearer(token)).status_code == 401

    def test_the_claim_of_another_name_is_not_looked_at(self, client):
        claims = claims_of(main.create_access_token("alice", ScopeSet()))
        token = main.signer.sign({**claims, "scope": "users:read", "scp": ["users:read"]})
        assert client.get("/profile", headers=bearer(token)).status_code == 403


class TestDeclaringOnRoutes:
    def test_reading_the_profile_requires_users_read(self, client):
        assert client.get("/profile", headers=with_scopes("users:read")).json() == {"username": "alice"}
        assert client.get("/profile", headers=with_scopes("users:write")).status_code == 403

    def test_updating_the_profile_requires_users_write(self, client):
        answer = client.post("/profile", headers=with_scopes("users:write"))
        assert answer.json() == {"message": "Profile updated for alice"}
        assert client.post("/profile", headers=with_scopes("users:read")).status_code == 403

    @pytest.mark.parametrize("enough", ["users:delete", "admin:*", "users:delete admin:*"])
    def test_deleting_a_user_requires_users_delete_or_admin(self, client, enough):
        answer = client.delete("/users/7", headers=with_scopes(enough))
        assert (answer.status_code, answer.json()) == (200, {"message": "User 7 deleted"})

    def test_deleting_a_user_with_neither_is_refused(self, client):
        answer = client.delete("/users/7", headers=with_scopes("users:read users:write posts:read posts:write"))
        assert answer.status_code == 403
        assert answer.json()["scope"] == "users:delete"  # the smallest that would be enough

    def test_the_spelling_of_the_tutorial_means_all_of_and_not_or(self):
        # `Security(guard, scopes=["users:delete", "admin:*"])` with the comment "OR": a token with
        # `users:delete` alone never gets past it, whatever the handler then compares.
        guard = Guard(main.catalog, main.verifier)
        app = FastAPI()
        guard.protect(app)

        @app.delete("/users/{user_id}")
        async def delete_user(
            user_id: str, caller: Annotated[Principal, Security(guard, scopes=["users:delete", "admin:*"])]
        ):
            return {"message": f"User {user_id} deleted"}

        with TestClient(app) as client:
            refused = client.delete("/users/7", headers=with_scopes("users:delete"))
            assert refused.status_code == 403
            assert refused.json()["scope"] == "users:delete admin:*"
            assert client.delete("/users/7", headers=with_scopes("admin:*")).status_code == 200


class TestLogin:
    def test_gives_a_bearer_token_that_opens_what_the_role_may_open(self, client):
        answer = log_in(client)
        assert answer.status_code == 200
        assert answer.json()["token_type"] == "bearer"
        assert client.get("/profile", headers=bearer(answer.json()["access_token"])).json() == {"username": "alice"}

    def test_of_a_regular_user_gives_read_access(self, client):
        assert log_in(client).json()["scope"] == "users:read posts:read"

    def test_of_an_admin_gives_all_six(self, client):
        scopes = log_in(client, "root").json()["scope"].split(" ")
        assert scopes == ["users:read", "users:write", "users:delete", "posts:read", "posts:write", "admin:*"]

    def test_with_a_wrong_password_or_an_unknown_name_is_the_same_401(self, client):
        wrong, unknown = log_in(client, password="wrong"), log_in(client, "mallory")
        assert wrong.status_code == unknown.status_code == 401
        assert wrong.json() == unknown.json() == {"detail": "Invalid credentials"}

    def test_takes_as_long_for_an_unknown_name_as_for_a_wrong_password(self, client):
        def seconds(username):
            begun = time.perf_counter()
            log_in(client, username, password="wrong")
            return time.perf_counter() - begun

        known = min(seconds("alice") for _ in range(4))
        unknown = min(seconds("mallory") for _ in range(4))
        assert 1 / 3 < unknown / known < 3  # without a hash to check, it would be a hundredth

    def test_keeps_no_password(self):
        stored = main.users_db["alice"]["hashed_password"]
        assert PASSWORD not in stored
        assert stored.startswith("$argon2id$")

    def test_never_gives_more_than_the_role_has(self, client):
        answer = log_in(client, scopes=["users:read", "users:delete", "admin:*"])
        assert answer.json()["scope"] == "users:read"
        assert log_in(client, scopes=["admin:*"]).status_code == 400
        assert log_in(client, scopes=["users:raed"]).status_code == 400
        assert log_in(client, scopes=["users:read admin:*"]).status_code == 400

    def test_is_not_cached_and_says_how_long_the_token_lives(self, client):
        answer = log_in(client)
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.json()["expires_in"] == 60 * main.ACCESS_TOKEN_EXPIRE_MINUTES

    def test_works_as_a_form_for_the_authorize_button(self, client):
        form = {"username": "root", "password": PASSWORD, "scope": "users:read posts:read"}
        assert client.post("/token", data=form).json()["scope"] == "users:read posts:read"


class TestWildcardScopes:
    """The tutorial's `has_scope`, as the catalog's rules have it."""

    def test_a_direct_match_is_enough(self):
        assert main.catalog.covers(["users:read"], "users:read")

    def test_if_users_read_is_required_then_users_wildcard_or_admin_wildcard_works(self, client):
        for held in ("users:*", "admin:*"):
            assert main.catalog.covers([held], "users:read")
            assert client.get("/profile", headers=with_scopes(held)).status_code == 200

    def test_a_wildcard_of_another_resource_does_not_work(self, client):
        refused = client.get("/profile", headers=with_scopes("posts:*"))
        assert refused.status_code == 403
        assert refused.json()["scope"] == "users:read"  # "Missing scope: users:read"

    def test_the_admin_wildcard_is_all_powerful_because_the_catalog_says_so(self):
        undeclared = Catalog(main.catalog.scopes.values())
        assert not undeclared.covers(["admin:*"], "users:read")

    def test_a_wildcard_reaches_names_of_three_segments_too(self):
        # The tutorial's function covers names of exactly two.
        catalog = Catalog(["users:profile:read", "admin:*"], superuser="admin:*")
        assert catalog.covers(["users:*"], "users:profile:read")
        assert catalog.covers(["admin:*"], "users:profile:read")

    def test_a_login_issues_concrete_scopes_for_a_wildcard(self, client):
        answer = log_in(client, "root", scopes=["users:*"])
        assert answer.json()["scope"] == "users:read users:write users:delete"

    @pytest.mark.parametrize("held", ["*", "us*", "*:read", "users", "users:", "users:**"])
    def test_only_a_whole_last_segment_is_a_wildcard(self, client, held):
        assert client.get("/profile", headers=with_scopes(held)).status_code == 403


class TestOpenApi:
    def test_documents_the_scopes_of_each_route(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        assert paths["/profile"]["get"]["security"] == [{"oauth2": ["users:read"]}]
        assert paths["/profile"]["post"]["security"] == [{"oauth2": ["users:write"]}]
        assert paths["/admin/posts"]["post"]["security"] == [{"oauth2": ["posts:write", "admin:*"]}]

    def test_documents_an_or_as_alternatives(self, client):
        delete = client.get("/openapi.json").json()["paths"]["/users/{user_id}"]["delete"]
        assert delete["security"] == [{"oauth2": ["users:delete"]}, {"oauth2": ["admin:*"]}]
        assert {"401", "403"} <= delete["responses"].keys()

    def test_describes_every_scope(self, client):
        scheme = client.get("/openapi.json").json()["components"]["securitySchemes"]["oauth2"]
        described = scheme["flows"]["password"]["scopes"]
        assert described == {name: scope.description for name, scope in main.catalog.scopes.items()}
        assert all(described.values())

    def test_docs_are_served(self, client):
        assert client.get("/docs").status_code == 200

    def test_the_login_needs_no_token(self, client):
        assert "security" not in client.get("/openapi.json").json()["paths"]["/login"]["post"]


class TestTestingScopeValidation:
    """The two tests that the tutorial shows."""

    def test_endpoint_rejects_token_without_required_scope(self, client):
        response = client.get("/profile", headers=with_scopes("posts:read"))
        assert response.status_code == 403
        assert response.json()["error"] == "insufficient_scope"
        assert "too few" in response.json()["detail"]

    def test_endpoint_accepts_token_with_required_scope(self, client):
        assert client.get("/profile", headers=with_scopes("users:read")).status_code == 200


class TestFrequentlyAskedQuestions:
    def test_one_scope_can_mean_different_things_on_two_endpoints(self, client):
        post = {"title": "Hello", "author": "erin"}
        own = client.post("/my-posts", json=post, headers=with_scopes("posts:write"))
        assert own.json() == {"title": "Hello", "author": "alice"}  # whoever is named, it becomes the caller's
        assert client.post("/admin/posts", json=post, headers=with_scopes("posts:write")).status_code == 403
        any_ = client.post("/admin/posts", json=post, headers=with_scopes("posts:write admin:*"))
        assert any_.json() == post

    def test_a_token_cannot_be_modified_after_its_issue(self, client):
        head, payload, signature = main.create_access_token("alice", ScopeSet.parse("posts:read")).split(".")
        claims = {**claims_of(f"{head}.{payload}.{signature}"), "scopes": "users:read"}
        changed = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        assert client.get("/profile", headers=bearer(f"{head}.{changed}.{signature}")).status_code == 401

    def test_a_token_on_the_blacklist_is_refused_at_once_and_others_are_not(self, client):
        given_back, kept = log_in(client).json()["access_token"], log_in(client).json()["access_token"]
        assert client.get("/profile", headers=bearer(given_back)).status_code == 200
        assert client.post("/logout", headers=bearer(given_back)).status_code == 204
        refused = client.get("/profile", headers=bearer(given_back))
        assert refused.status_code == 401
        assert refused.json()["id"] == "BW213"
        assert client.get("/profile", headers=bearer(kept)).status_code == 200

    def test_scopes_travel_with_the_token_and_the_store_is_asked_when_the_next_one_is_issued(self, client):
        main.add_user("erin", PASSWORD, "admin")
        token = log_in(client, "erin").json()["access_token"]
        main.users_db["erin"]["role"] = "user"
        assert client.delete("/users/7", headers=bearer(token)).status_code == 200  # until it expires
        again = log_in(client, "erin").json()["access_token"]
        assert client.delete("/users/7", headers=bearer(again)).status_code == 403
