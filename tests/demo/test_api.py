"""The demo's routes: who may do what."""

import pytest

ROUTES = [
    ("GET", "/profile", None, {"alice", "erin", "root"}),
    ("PATCH", "/profile", {"about": "me"}, {"root"}),
    ("GET", "/users", None, {"alice", "erin", "root"}),
    ("POST", "/users", {"id": "bob", "full_name": "Bob"}, {"root"}),
    ("DELETE", "/users/bob", None, {"root"}),
    ("GET", "/posts", None, {"alice", "erin", "root"}),
    ("POST", "/posts", {"title": "Hi"}, {"erin", "root"}),
    ("DELETE", "/posts/2", None, {"root"}),
    ("GET", "/items", None, {"alice", "erin", "root"}),
    ("POST", "/items", {"name": "Rope"}, {"erin", "root"}),
    ("DELETE", "/items/1", None, {"root"}),
    ("GET", "/admin", None, {"root"}),
]


@pytest.fixture(scope="module")
def tokens(demo):
    return {name: demo.token(name).json()["access_token"] for name in ("alice", "erin", "root")}


@pytest.mark.parametrize(
    ("method", "path", "body", "allowed"), ROUTES, ids=lambda one: str(sorted(one) if isinstance(one, set) else one)
)
def test_each_role_may_do_what_it_holds_and_nothing_else(demo, tokens, method, path, body, allowed):
    assert demo.http.request(method, path, json=body).status_code == 401
    for name, token in tokens.items():
        answer = demo.call(method, path, token, json=body)
        assert (answer.status_code < 300) is (name in allowed), (name, answer.text)
        if name not in allowed:
            assert answer.status_code == 403


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("alice", "users:read posts:read items:read"),
        ("erin", "users:read posts:read posts:write items:read items:write"),
    ],
)
def test_a_token_carries_what_the_role_holds(demo, name, scope):
    assert set(demo.token(name).json()["scope"].split()) == set(scope.split())


def test_a_token_that_was_asked_for_less_opens_less(demo):
    token = demo.token("root", scope="posts:read").json()["access_token"]
    assert demo.call("GET", "/posts", token).status_code == 200
    assert demo.call("GET", "/items", token).status_code == 403


def test_health_and_the_documents_are_public_and_the_front_door_leads_to_them(demo):
    assert demo.http.get("/health").json() == {"status": "ok"}
    assert demo.http.get("/docs").status_code == 200
    assert demo.http.get("/").headers["location"] == "/docs"


def test_what_is_written_is_there_afterwards(demo, tokens):
    post = demo.call("POST", "/posts", tokens["erin"], json={"title": "News", "body": "b"}).json()
    assert post["author"] == "erin"
    assert post in demo.call("GET", "/posts", tokens["alice"]).json()
    assert demo.call("DELETE", f"/posts/{post['id']}", tokens["root"]).status_code == 204
    assert demo.call("DELETE", f"/posts/{post['id']}", tokens["root"]).status_code == 404
    assert post not in demo.call("GET", "/posts", tokens["alice"]).json()
    item = demo.call("POST", "/items", tokens["erin"], json={"name": "Key"}).json()
    assert demo.call("DELETE", f"/items/{item['id']}", tokens["root"]).status_code == 204
    assert demo.call("DELETE", f"/items/{item['id']}", tokens["root"]).status_code == 404
    assert demo.call("PATCH", "/profile", tokens["root"], json={"about": "the boss"}).json()["about"] == "the boss"
    assert demo.call("GET", "/profile", tokens["root"]).json()["about"] == "the boss"


def test_a_user_can_be_added_once_and_is_no_login(demo, tokens):
    new = {"id": "carol", "full_name": "Carol"}
    assert demo.call("POST", "/users", tokens["root"], json=new).status_code == 201
    assert demo.call("POST", "/users", tokens["root"], json=new).status_code == 409
    assert demo.token("carol", "whatever").status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/posts", {"title": ""}, 422),
        ("POST", "/posts", {"title": "x", "author": "root"}, 422),
        ("POST", "/users", {"id": "Not An Id", "full_name": "x"}, 422),
        ("PATCH", "/profile", {"subject": "usr_x"}, 422),
        ("DELETE", "/items/99999999999999999999", None, 422),
        ("DELETE", "/items/0", None, 422),
        ("DELETE", "/posts/0", None, 422),
        ("DELETE", "/users/nobody", None, 404),
        ("POST", "/posts", {"title": "\x00 \U0001f600 '; drop table posts; --"}, 201),
    ],
)
def test_bad_input_is_a_4xx_and_never_a_500(demo, tokens, method, path, body, status):
    assert demo.call(method, path, tokens["root"], json=body).status_code == status


def test_the_service_acts_for_itself_and_may_introspect(demo):
    secret = demo.password("demo-service")
    answer = demo.http.post("/auth/token", data={"grant_type": "client_credentials"}, auth=("demo-service", secret))
    token = answer.json()["access_token"]
    assert set(answer.json()["scope"].split()) == {"posts:read", "items:read"}
    assert demo.call("GET", "/posts", token).status_code == 200
    assert demo.call("GET", "/profile", token).status_code == 403
    asked = demo.http.post("/auth/introspect", data={"token": token}, auth=("demo-service", secret))
    assert asked.json()["active"] is True


def test_the_openapi_document_has_the_scheme_its_scopes_and_those_of_each_route(demo):
    document = demo.http.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    assert scheme["type"] == "oauth2"
    assert scheme["flows"]["authorizationCode"]["tokenUrl"] == "/auth/token"
    assert scheme["flows"]["authorizationCode"]["scopes"]["posts:write"] == "Write posts"
    assert len(scheme["flows"]["authorizationCode"]["scopes"]) == 10
    (name,) = document["components"]["securitySchemes"]
    assert document["paths"]["/posts"]["post"]["security"] == [{name: ["posts:write"]}]
    assert document["paths"]["/users/{id}"]["delete"]["security"] == [{name: ["users:delete"]}, {name: ["admin:*"]}]
    assert "security" not in document["paths"]["/health"]["get"]


def test_the_metadata_is_found_where_clients_look(demo):
    issuer = f"{demo.base}/auth"
    for path in ("/auth/.well-known/oauth-authorization-server", "/.well-known/oauth-authorization-server/auth"):
        assert demo.http.get(path).json()["issuer"] == issuer


def test_every_scope_that_can_be_ticked_is_needed_by_a_route(demo):
    document = demo.http.get("/openapi.json").json()
    (scheme,) = document["components"]["securitySchemes"].values()
    needed = {
        scope
        for operations in document["paths"].values()
        for operation in operations.values()
        for alternative in operation.get("security", [])
        for scopes in alternative.values()
        for scope in scopes
    }
    assert needed == set(scheme["flows"]["authorizationCode"]["scopes"])


def test_the_documentation_says_who_logs_in_through_which_client(demo):
    (scheme,) = demo.http.get("/openapi.json").json()["components"]["securitySchemes"].values()
    people, program = scheme["description"].split(" A program ")
    assert "alice, erin or root, client_id demo-docs, no secret" in people
    assert "(client credentials): client_id demo-service and the secret printed at the first start" in program
    assert "clientCredentials" in scheme["flows"]
