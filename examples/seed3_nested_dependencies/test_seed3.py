"""Every behaviour that the page "Security and OAuth2 Scopes" states, sentence by sentence.

Where the page is wrong, the test says what is right; README.md lists those places.
"""

from typing import Annotated, Any

import pytest
from fastapi import FastAPI, Security
from fastapi.params import Depends as DependsParam
from fastapi.params import Security as SecurityParam
from fastapi.security import SecurityScopes
from fastapi.testclient import TestClient

from bailiwick import Principal, ScopeSet, all_of
from bailiwick.fastapi import Guard
from bailiwick.graph import Dependant

from . import main

PASSWORD = "correct horse battery staple"


@pytest.fixture(scope="module")
def client():
    main.accounts["johndoe"] = main.hasher.hash(PASSWORD)
    with TestClient(main.app) as client:
        yield client


def with_scopes(text, **more):
    return {"Authorization": f"Bearer {main.token_with(ScopeSet.parse(text), **more)}"}


class CountingVerifier:
    """The example's verifier, counting how often it is asked."""

    def __init__(self):
        self.asked = 0

    async def verify(self, token):
        self.asked += 1
        return await main.verifier.verify(token)


class TestIntroduction:
    def test_a_token_may_allow_to_read_items_but_not_to_delete_them(self, client):
        reading = with_scopes("items:read")
        assert client.get("/items/", headers=reading).status_code == 200
        refused = client.delete("/items/7", headers=reading)
        assert refused.status_code == 403
        assert refused.json()["scope"] == "items:delete"
        assert client.delete("/items/7", headers=with_scopes("items:delete")).json() == {
            "deleted": 7,
            "by": "johndoe",
        }


class TestDeclaringSecurityRequirements:
    def test_security_is_a_depends_with_scopes(self):
        declared = Security(main.guard, scopes=["items:read"])
        assert isinstance(declared, SecurityParam)
        assert isinstance(declared, DependsParam)
        assert list(declared.scopes) == ["items:read"]

    def test_reading_items_requires_items_read(self, client):
        # On the page, the scheme alone stands behind this route, and any text in the header passes.
        assert client.get("/items/", headers=with_scopes("items:read")).status_code == 200
        assert client.get("/items/", headers=with_scopes("items me")).status_code == 403
        assert client.get("/items/", headers={"Authorization": "Bearer anything"}).status_code == 401
        assert client.get("/items/").status_code == 401

    def test_the_answer_does_not_repeat_the_token(self, client):
        headers = with_scopes("items:read")
        answer = client.get("/items/", headers=headers)
        assert answer.json() == {"user": "johndoe", "scopes": ["items:read"]}
        assert headers["Authorization"].split(" ")[1] not in answer.text

    def test_openapi_documents_the_required_scopes_of_the_endpoint(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        assert paths["/items/"]["get"]["security"] == [{"oauth2": ["items:read"]}]
        assert paths["/items/{item_id}"]["delete"]["security"] == [{"oauth2": ["items:delete"]}]

    def test_openapi_documents_what_the_whole_chain_requires_once(self, client):
        paths = client.get("/openapi.json").json()["paths"]
        assert paths["/users/me/items/"]["get"]["security"] == [{"oauth2": ["items", "me"]}]
        assert paths["/users/me"]["get"]["security"] == [{"oauth2": ["me"]}]
        assert paths["/users/"]["get"]["security"] == [{"oauth2": []}]

    def test_openapi_names_the_token_url_and_it_is_there(self, client):
        flows = client.get("/openapi.json").json()["components"]["securitySchemes"]["oauth2"]["flows"]
        form = {"username": "johndoe", "password": PASSWORD, "scope": "me items"}
        answer = client.post(flows["password"]["tokenUrl"], data=form)
        assert answer.json()["scope"] == "me items"
        opened = {"Authorization": f"Bearer {answer.json()['access_token']}"}
        assert client.get("/users/me/items/", headers=opened).status_code == 200

    def test_the_token_endpoint_gives_no_more_than_a_customer_may_have(self, client):
        def ask(**form):
            return client.post("/token", data={"username": "johndoe", "password": PASSWORD, **form})

        assert ask().json()["scope"] == "items:read items me"
        assert ask(scope="items:read items:delete").json()["scope"] == "items:read"
        assert ask(scope="items:delete").status_code == 400
        assert ask(password="wrong").status_code == ask(username="mallory").status_code == 401
        assert ask(password="wrong").json() == ask(username="mallory").json() == {"detail": "Invalid credentials"}


class TestAccessingRequiredScopes:
    def test_a_dependency_sees_exactly_which_scopes_are_required(self, client):
        answer = client.get("/users/me", headers=with_scopes("me items items:read items:delete"))
        assert answer.json()["scopes"] == ["me"]

    def test_scope_str_is_the_list_joined_by_spaces(self, client):
        assert client.get("/users/me/items/", headers=with_scopes("me items")).json()["scope_str"] == "items me"

    def test_the_challenge_names_all_required_scopes(self, client):
        refused = client.get("/users/me/items/", headers=with_scopes("me"))
        assert 'scope="items me"' in refused.headers["WWW-Authenticate"]
        assert refused.headers["WWW-Authenticate"].startswith("Bearer ")

    def test_too_few_scopes_are_403_and_not_401(self, client):
        # RFC 6750 section 3.1: 401 would tell the client to fetch a new token, again and again.
        refused = client.get("/users/me/items/", headers=with_scopes("me"))
        assert refused.status_code == 403
        assert 'error="insufficient_scope"' in refused.headers["WWW-Authenticate"]

    def test_where_no_scope_is_required_the_challenge_names_none(self, client):
        refused = client.get("/users/")
        assert refused.status_code == 401
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")
        assert "scope=" not in refused.headers["WWW-Authenticate"]
        assert client.get("/users/", headers=with_scopes("")).json()["scopes"] == []

    @pytest.mark.parametrize("missing", ["items", "me"])
    def test_every_one_of_the_required_scopes_is_checked(self, client, missing):
        held = {"items", "me"} - {missing}
        assert client.get("/users/me/items/", headers=with_scopes(" ".join(held))).status_code == 403

    def test_the_current_user_is_the_subject_of_the_token(self, client):
        assert client.get("/users/", headers=with_scopes("", subject="erin")).json()["user"] == "erin"


class TestInternalScopeManagement:
    """What the page says of `Dependant`, held by Bailiwick's own."""

    def test_own_scopes_are_those_declared_in_that_very_security_call(self):
        node = Dependant(call=main.get_user_me, own_oauth_scopes=("me",), parent_oauth_scopes=("items",))
        assert list(node.own_oauth_scopes) == ["me"]

    def test_parent_scopes_are_those_of_what_depends_on_it(self):
        node = Dependant(call=main.get_user_me, own_oauth_scopes=("me",), parent_oauth_scopes=("items",))
        assert list(node.parent_oauth_scopes) == ["items"]

    def test_both_are_merged_with_the_parents_first(self):
        node = Dependant(call=main.get_user_me, own_oauth_scopes=("me",), parent_oauth_scopes=("items",))
        assert list(node.oauth_scopes) == ["items", "me"]

    def test_merging_drops_an_own_scope_that_a_parent_has(self):
        node = Dependant(call=main.get_user_me, own_oauth_scopes=("me", "items"), parent_oauth_scopes=("items",))
        assert list(node.oauth_scopes) == ["items", "me"]

    def test_merging_keeps_no_duplicates_among_parents_either(self):
        # The page's code copies the parents as they are.
        node = Dependant(call=main.get_user_me, parent_oauth_scopes=("items", "me", "items"))
        assert list(node.oauth_scopes) == ["items", "me"]

    def test_a_node_without_scopes_has_the_empty_list(self):
        assert list(Dependant(call=main.get_user_me).oauth_scopes) == []

    def test_the_cache_key_is_the_callable_the_sorted_scopes_and_the_lifetime(self):
        def key(*scopes, uses=True, lifetime=None):
            return Dependant(
                call=main.get_current_user,
                parent_oauth_scopes=scopes,
                scopes_parameters=("security_scopes",) if uses else (),
                lifetime=lifetime,
            ).cache_key

        assert key("items", "me") == key("me", "items")
        assert key("items") != key("me")
        assert key("items", uses=False) == key("me", uses=False)
        assert key("me", lifetime="function") != key("me", lifetime="request")
        assert key("items", "me")[1] == ("items", "me")


class TestDependencyCaching:
    @pytest.fixture
    def seen(self, client):
        return client.get("/cache", headers=with_scopes("items:read items:delete")).json()

    def test_a_function_runs_once_for_each_unique_set_of_scopes(self, seen):
        assert seen["counts"]["permissions"] == 3
        assert seen["reading"] == "run 1 for items:read"
        assert seen["deleting"] == "run 2 for items:delete"

    def test_the_same_scopes_again_give_the_same_result(self, seen):
        assert seen["reading_again"] == seen["reading"]

    def test_the_same_scopes_in_another_order_are_the_same_set(self, seen):
        assert seen["both"] == seen["both_the_other_way"] == "run 3 for items:read items:delete"

    def test_a_function_that_uses_no_scopes_runs_once_whatever_it_is_asked_for(self, seen):
        assert seen["counts"]["settings"] == 1

    def test_results_are_cached_within_one_request_only(self, client):
        first, second = (client.get("/cache", headers=with_scopes("items:read items:delete")).json() for _ in "ab")
        assert first == second

    def test_the_token_is_verified_once_however_many_guards_the_tree_holds(self):
        verifier = CountingVerifier()
        guard = Guard(main.catalog, verifier)
        app = FastAPI()
        guard.protect(app)

        def leaf(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]) -> str:
            return caller.subject

        @app.get("/")
        def root(
            a: Annotated[str, Security(leaf, scopes=["items"])],
            b: Annotated[str, Security(leaf, scopes=["me"])],
            c: Annotated[Principal, Security(guard, scopes=["items:read"])],
        ) -> str:
            return a + b + c.subject

        with TestClient(app) as client:
            assert client.get("/", headers=with_scopes("items me items:read")).json() == "johndoe" * 3
            assert verifier.asked == 1


class TestScopeInheritance:
    def test_an_inner_dependency_receives_the_scopes_of_both_levels(self, client):
        answer = client.get("/users/me/items/", headers=with_scopes("items me"))
        assert answer.json()["scopes"] == ["items", "me"]

    def test_through_another_route_the_same_function_receives_only_its_own(self, client):
        assert client.get("/users/me", headers=with_scopes("items me")).json()["scopes"] == ["me"]

    def test_the_plan_shows_what_the_whole_chain_requires(self):
        needed = {route.path: route.requirement for route in main.guard.plan(main.app)}
        assert needed["/users/me/items/"] == all_of("items", "me")
        assert needed["/users/me"] == all_of("me")

    def test_scopes_flow_down_a_chain_and_never_to_a_sibling(self):
        seen = {}

        def leaf(name):
            def look(scopes: SecurityScopes) -> None:
                seen[name] = list(scopes.scopes)

            return look

        left, right = leaf("left"), leaf("right")
        app = FastAPI()
        guard = Guard(main.catalog, main.verifier)
        guard.protect(app)

        @app.get("/", dependencies=[guard.requires("items:read")])
        def root(a: Annotated[None, Security(left, scopes=["items"])], b: Annotated[None, Security(right)]) -> str:
            return "done"

        with TestClient(app) as client:
            client.get("/", headers=with_scopes("items:read"))
        assert seen == {"left": ["items"], "right": []}

    def test_a_leaf_sees_the_whole_chain_however_deep_it_is(self):
        guard = Guard(main.catalog, main.verifier)
        app = FastAPI()
        guard.protect(app)

        def fourth(scopes: SecurityScopes, caller: Annotated[Principal, Security(guard)]) -> list[str]:
            return scopes.scopes

        def third(below: Annotated[list[str], Security(fourth, scopes=["items:delete"])]) -> list[str]:
            return below

        def second(below: Annotated[list[str], Security(third, scopes=["me", "items"])]) -> list[str]:
            return below

        @app.get("/")
        def first(below: Annotated[Any, Security(second, scopes=["items"])]) -> Any:
            return below

        with TestClient(app) as client:
            answer = client.get("/", headers=with_scopes("items me items:delete"))
            # FastAPI fills SecurityScopes and repeats what two levels name; the requirement says it once.
            assert list(dict.fromkeys(answer.json())) == ["items", "me", "items:delete"]
            refused = client.get("/", headers=with_scopes("items me"))
            assert refused.status_code == 403
            assert refused.json()["scope"] == "items me items:delete"
