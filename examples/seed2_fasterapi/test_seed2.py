"""Every behaviour that the FasterAPI documentation page "OAuth2 Scopes" states, section by section.

Where the page is wrong, the test says what is right; README.md lists those places.
"""
# ruff: noqa: B008 - the page's spelling is a call in a default

import base64
import json

import pytest
from FasterAPI import Depends, Faster
from starlette.testclient import TestClient

from bailiwick import ConfigurationError, ScopeSet
from bailiwick.fasterapi import require_scope

from . import main

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def client():
    for username, role in (("bob", "user"), ("alice", "editor"), ("root", "admin")):
        main.add_user(username, PASSWORD, role)
    with TestClient(main.app) as client:
        yield client


def with_scopes(text, **more):
    return {"Authorization": f"Bearer {main.create_access_token('alice', ScopeSet.parse(text), **more)}"}


def claims_of(token):
    payload = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))


def log_in(client, username, **more):
    return client.post("/auth/token", data={"username": username, "password": PASSWORD, **more})


class TestIntroduction:
    def test_a_token_may_grant_access_to_a_subset_of_operations(self, client):
        only_read = with_scopes("read:items")

        assert client.get("/items", headers=only_read).status_code == 200
        assert client.post("/items", headers=only_read).status_code == 403


class TestDefiningScopes:
    def test_the_scopes_and_their_descriptions_are_what_the_api_documents(self, client):
        document = client.get("/openapi.json").json()
        flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["password"]

        assert flow["scopes"] == {
            "read:items": "Read access to items",
            "write:items": "Create and update items",
            "delete:items": "Delete items",
            "admin": "Full administrative access",
        }
        assert flow["tokenUrl"] == "/auth/token"
        assert document["paths"]["/items"]["post"]["security"] == [{"oauth2": ["write:items"]}]
        assert "security" not in document["paths"]["/auth/token"]["post"]

    def test_a_scope_that_is_not_defined_cannot_be_required(self):
        app = Faster()
        guard = main.Guard(main.catalog, main.verifier)
        guard.protect(app)

        @app.get("/typo")
        async def typo(_: dict = Depends(require_scope("read:item"))):
            return 1

        with pytest.raises(ConfigurationError, match=r"read:item.*read:items"), TestClient(app):
            pass


class TestEncodingScopesInTheToken:
    def test_the_token_has_a_scopes_claim_that_is_a_list(self):
        token = main.create_access_token("alice", ScopeSet.parse("read:items write:items"))

        assert claims_of(token)["sub"] == "alice"
        assert claims_of(token)["scopes"] == ["read:items", "write:items"]

    def test_it_lasts_thirty_minutes_and_not_longer(self, client):
        claims = claims_of(main.create_access_token("alice", ScopeSet.parse("read:items")))

        assert claims["exp"] - claims["iat"] == 30 * 60
        expired = client.get("/items", headers=with_scopes("read:items", lifetime=-1))
        assert (expired.status_code, expired.json()["id"]) == (401, "BW208")


class TestSecurityDependency:
    @pytest.mark.parametrize("header", [None, "", "Basic YTpi", "read:items"])
    def test_without_a_bearer_token_it_is_401_with_a_challenge(self, client, header):
        refused = client.get("/items", headers={} if header is None else {"Authorization": header})

        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert "error" not in refused.json()

    @pytest.mark.parametrize("token", ["", "x", "a.b.c", "null"])
    def test_a_token_that_cannot_be_decoded_is_401(self, client, token):
        refused = client.get("/items", headers={"Authorization": f"Bearer {token}"})

        assert refused.status_code == 401
        assert refused.headers["www-authenticate"].startswith("Bearer")
        assert refused.json()["error"] == "invalid_token"

    def test_a_token_of_another_service_with_the_same_secret_is_401(self, client):
        claims = claims_of(main.create_access_token("alice", ScopeSet.parse("read:items")))
        for changed in ({"iss": "https://other.example"}, {"aud": "https://other.example"}):
            token = main.signer.sign(claims | changed)
            assert client.get("/items", headers={"Authorization": f"Bearer {token}"}).status_code == 401
        other_kind = main.signer.sign(claims, typ="JWT")
        assert client.get("/items", headers={"Authorization": f"Bearer {other_kind}"}).status_code == 401

    def test_a_missing_scope_is_403_and_text_and_challenge_name_it(self, client):
        refused = client.post("/items", headers=with_scopes("read:items"))

        assert refused.status_code == 403
        assert refused.json()["detail"] == "Insufficient scope. Required: write:items"
        assert refused.json()["error"] == "insufficient_scope"
        assert refused.headers["www-authenticate"].startswith("Bearer ")
        assert 'scope="write:items"' in refused.headers["www-authenticate"]
        assert 'error="insufficient_scope"' in refused.headers["www-authenticate"]

    def test_a_token_without_scopes_holds_none(self, client):
        claims = claims_of(main.create_access_token("alice", ScopeSet.parse("read:items")))
        del claims["scopes"]
        bearer = {"Authorization": f"Bearer {main.signer.sign(claims)}"}

        assert client.get("/items", headers=bearer).status_code == 403

    def test_scopes_in_one_text_are_scopes_and_not_a_place_to_search_in(self, client):
        claims = claims_of(main.create_access_token("alice", ScopeSet.parse("read:items")))
        for text, status in [("read:items write:items", 200), ("unread:itemsplus", 403)]:
            bearer = {"Authorization": f"Bearer {main.signer.sign(claims | {'scopes': text})}"}
            assert client.get("/items", headers=bearer).status_code == status

    def test_several_required_scopes_are_all_needed_and_all_named(self):
        app = Faster()
        main.Guard(main.catalog, main.verifier).protect(app)

        @app.get("/both")
        async def both(_: dict = Depends(require_scope("read:items", "write:items"))):
            return "in"

        client = TestClient(app)

        assert client.get("/both", headers=with_scopes("read:items write:items")).text == "in"
        for one in ("read:items", "write:items"):
            assert client.get("/both", headers=with_scopes(one)).json()["scope"] == "read:items write:items"

    def test_the_handler_is_given_who_calls(self, client):
        assert client.get("/admin", headers=with_scopes("admin")).json() == {"panel": "admin", "for": "alice"}


class TestUsingScopeDependencies:
    @pytest.mark.parametrize(
        ("method", "path", "needed", "status", "body"),
        [
            ("GET", "/items", "read:items", 200, [{"name": "Widget"}]),
            ("POST", "/items", "write:items", 201, {"created": True}),
            ("DELETE", "/items/7", "delete:items", 204, None),
            ("GET", "/admin", "admin", 200, {"panel": "admin", "for": "alice"}),
        ],
    )
    def test_each_route_needs_its_scope_and_no_other(self, client, method, path, needed, status, body):
        answer = client.request(method, path, headers=with_scopes(needed))

        assert answer.status_code == status
        assert (answer.json() if answer.content else None) == body
        others = " ".join(name for name in main.SCOPES if name != needed)
        assert client.request(method, path, headers=with_scopes(others)).status_code == 403
        assert client.request(method, path).status_code == 401

    def test_the_tags_are_documented(self, client):
        paths = client.get("/openapi.json").json()["paths"]

        assert paths["/items"]["get"]["tags"] == ["items"]
        assert paths["/admin"]["get"]["tags"] == ["admin"]


class TestScopedLogin:
    @pytest.mark.parametrize(
        ("username", "scopes"),
        [
            ("bob", ["read:items"]),
            ("alice", ["read:items", "write:items"]),
            ("root", ["read:items", "write:items", "delete:items", "admin"]),
        ],
    )
    def test_a_login_gives_the_scopes_of_the_role(self, client, username, scopes):
        answer = log_in(client, username)

        assert answer.status_code == 200
        assert answer.json()["token_type"] == "bearer"
        assert answer.json()["scopes"] == scopes
        claims = claims_of(answer.json()["access_token"])
        assert (claims["sub"], claims["scopes"]) == (username, scopes)
        assert answer.headers["cache-control"] == "no-store"

    def test_the_token_of_a_login_opens_what_its_role_may_do(self, client):
        expected = {"bob": (200, 403, 403, 403), "alice": (200, 201, 403, 403), "root": (200, 201, 204, 200)}
        for username, statuses in expected.items():
            bearer = {"Authorization": f"Bearer {log_in(client, username).json()['access_token']}"}
            seen = (
                client.get("/items", headers=bearer),
                client.post("/items", headers=bearer),
                client.delete("/items/1", headers=bearer),
                client.get("/admin", headers=bearer),
            )
            assert tuple(answer.status_code for answer in seen) == statuses, username

    def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(self, client):
        wrong = client.post("/auth/token", data={"username": "alice", "password": "wrong"})
        unknown = client.post("/auth/token", data={"username": "nobody", "password": "wrong"})
        nothing = client.post("/auth/token")

        assert wrong.status_code == unknown.status_code == nothing.status_code == 401
        assert wrong.json() == unknown.json() == nothing.json() == {"detail": "Incorrect credentials"}
        assert wrong.headers == unknown.headers

    def test_the_role_is_user_where_none_is_given(self, client):
        main.add_user("carol", PASSWORD)

        assert log_in(client, "carol").json()["scopes"] == ["read:items"]

    def test_a_role_that_does_not_exist_is_an_error_and_not_a_person_without_scopes(self):
        with pytest.raises(KeyError):
            main.add_user("dave", PASSWORD, "edtior")

    def test_a_changed_role_counts_at_the_next_login(self, client):
        main.add_user("erin", PASSWORD, "editor")
        assert "write:items" in log_in(client, "erin").json()["scopes"]
        main.add_user("erin", PASSWORD, "user")
        assert log_in(client, "erin").json()["scopes"] == ["read:items"]


class TestScopeRequest:
    def test_the_curl_line_of_the_page_gets_what_it_asks_for(self, client):
        answer = client.post(
            "/auth/token",
            content=f"username=alice&password={PASSWORD}&scope=read:items write:items",
            headers={"Content-Type": "application/x-www-form-urlencoded"},
        )

        assert answer.json()["scopes"] == ["read:items", "write:items"]

    @pytest.mark.parametrize(
        ("username", "asked", "issued"),
        [
            ("alice", "read:items", ["read:items"]),
            ("bob", "read:items write:items", ["read:items"]),
            ("alice", "write:items delete:items admin", ["write:items"]),
            ("root", "admin", ["admin"]),
        ],
    )
    def test_the_token_holds_only_the_intersection_of_what_was_asked_for_and_what_is_allowed(
        self, client, username, asked, issued
    ):
        answer = log_in(client, username, scope=asked).json()

        assert answer["scopes"] == claims_of(answer["access_token"])["scopes"] == issued
        assert answer["scope"] == " ".join(issued)

    def test_a_request_of_which_nothing_may_be_issued_is_refused(self, client):
        for asked in ("admin", "delete:items admin"):
            refused = log_in(client, "alice", scope=asked)
            assert refused.status_code == 400
            assert "access_token" not in refused.json()

    def test_an_unknown_or_malformed_scope_is_refused(self, client):
        for asked in ("read:everything", 'read:items "', "read:items\twrite:items"):
            assert log_in(client, "alice", scope=asked).status_code == 400

    def test_a_field_that_is_sent_twice_is_refused(self, client):
        for field in ("username", "password", "scope"):
            sent = {"username": "alice", "password": PASSWORD, "scope": "read:items"}
            refused = client.post("/auth/token", data=sent | {field: [sent[field], sent[field]]})
            assert (refused.status_code, refused.json()["detail"]) == (400, "A field was sent twice")
            assert "access_token" not in refused.json()


class TestWhatThePageLeavesOpen:
    MULTIPART = "multipart/form-data; boundary=B"

    @pytest.mark.parametrize(
        ("content_type", "content"),
        [
            ("multipart/form-data", b"x"),
            ("multipart/form-data; boundary=", b"x"),
            (MULTIPART, b"x"),
            (MULTIPART, b"--B\r\nContent-Disposition\r\n\r\nx\r\n--B--\r\n"),
            (MULTIPART, b'--B\r\nContent-Disposition: form-data; name="username"\r\n\r\n\xff\r\n--B--\r\n'),
            (MULTIPART, b'--B\r\nContent-Disposition: form-data; name="\xff"\r\n\r\nx\r\n--B--\r\n'),
        ],
    )
    def test_a_form_that_cannot_be_read_is_the_clients_error_and_not_the_servers(self, client, content_type, content):
        refused = client.post("/auth/token", content=content, headers={"Content-Type": content_type})

        assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
        assert refused.headers["cache-control"] == "no-store"

    def test_a_form_of_many_parts_that_can_be_read_is_a_login(self, client):
        fields = {"username": (None, "alice"), "password": (None, PASSWORD)}

        assert client.post("/auth/token", files=fields).json()["scopes"] == ["read:items", "write:items"]

    def test_refusals_are_told_in_the_words_of_rfc_6749(self, client):
        twice = client.post("/auth/token", data={"username": ["alice", "bob"], "password": PASSWORD})
        unknown = log_in(client, "alice", scope="read:everything")

        assert [answer.json()["error"] for answer in (twice, unknown)] == ["invalid_request", "invalid_scope"]
        for answer in (twice, unknown):
            assert answer.json()["error_description"] == answer.json()["detail"]
        malformed = log_in(client, "alice", scope='a"\\\x00')
        assert malformed.json()["error"] == "invalid_scope"
        assert not set('"\\') & set(malformed.json()["error_description"])

    def test_a_refusal_comes_before_the_body_is_looked_at(self, client):
        assert client.post("/items", content="{bad").status_code == 401

    def test_the_plan_names_every_route_and_why_it_is_open(self):
        plan = {route.label: route.needs for route in main.guard.plan(main.app)}

        assert plan["GET /items"] == "read:items"
        assert plan["DELETE /items/{item_id}"] == "delete:items"
        assert plan["POST /auth/token"] == "public"
        assert "undeclared" not in plan.values()
