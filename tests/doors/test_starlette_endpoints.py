"""What stands for a guarded endpoint: several declarations are one, and Starlette and other decorators find what they look for."""

import functools

import pytest
from either_side import asgi_said, said
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.endpoints import HTTPEndpoint
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.schemas import SchemaGenerator
from starlette.testclient import TestClient
from starlette.websockets import WebSocketState

from bailiwick import all_of
from bailiwick.asgi import Guard as PlainGuard
from bailiwick.asgi import Resource
from bailiwick.errors import ConfigurationError
from bailiwick.graph import Access, StepUp
from bailiwick.starlette import Guard


@pytest.fixture
def guard(catalog, issuer, heard):
    return Guard(catalog, issuer, on_decision=heard.append)


def said_in_a_thread(request):
    return PlainTextResponse("reached")


class Said(HTTPEndpoint):
    """Says it."""

    async def get(self, request):
        """Say it."""
        return PlainTextResponse("reached")


ENDPOINTS = [said, said_in_a_thread, Said, functools.partial(said)]


def serve(guard, *routes, protected=True):
    app = Starlette(routes=list(routes))
    if protected:
        guard.protect(app)
    return TestClient(app)


# -- several declarations ----------------------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("protected", [True, False])
def test_several_declarations_are_decided_refused_and_listed_as_one(guard, issuer, heard, endpoint, protected):
    stacked = guard.requires("me")(guard.requires("items")(endpoint))
    client = serve(guard, Route("/x", stacked), protected=protected)

    for few in ("items", "me", "posts:read"):
        refused = client.get("/x", headers=issuer.bearer(few))
        assert refused.status_code == 403
        assert set(refused.json()["scope"].split()) == {"items", "me"}
    assert client.get("/x", headers=issuer.bearer("items me")).text == "reached"
    assert client.get("/x").status_code == 401
    assert [one.allowed for one in heard] == [False, False, False, True, False]
    entry = next(iter(guard.plan(client.app)))
    assert (entry.requirement, entry.access) == (all_of("items", "me"), Access.GUARDED)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_nothing_of_an_inner_declaration_is_lost(guard, issuer, endpoint):
    inner = guard.requires("items", acr=("gold", "silver"), max_age=600, on_expiry="close")(endpoint)
    client = serve(guard, Route("/x", guard.requires("me", acr="gold", max_age=6000)(inner)))

    entry = next(iter(guard.plan(client.app)))
    assert entry.step_up == StepUp(("gold",), 600)
    assert entry.close_on_expiry
    refused = client.get("/x", headers=issuer.bearer("items me"))
    assert 'acr_values="gold", max_age="600"' in refused.headers["www-authenticate"]
    with pytest.raises(ConfigurationError, match="exclude"):
        guard.requires(acr="bronze")(inner)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize("order", ["optional outside", "optional inside", "both"])
def test_anonymous_callers_come_as_far_as_each_declaration_lets_them(guard, issuer, endpoint, order):
    outer = guard.requires("me") if order == "optional inside" else guard.optional("me")
    inner = guard.requires("items") if order == "optional outside" else guard.optional("items")
    client = serve(guard, Route("/x", outer(inner(endpoint))))

    entry = next(iter(guard.plan(client.app)))
    assert entry.access is (Access.OPTIONAL if order == "both" else Access.GUARDED)
    assert entry.requirement == all_of("items", "me")
    assert client.get("/x").status_code == (200 if order == "both" else 401)
    assert client.get("/x", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/x", headers=issuer.bearer("items me")).status_code == 200


def test_the_metadata_of_a_resource_names_the_scopes_of_every_declaration(catalog, issuer):
    guard = Guard(catalog, issuer, resource=Resource("https://api.example"))
    client = serve(guard, Route("/x", guard.requires("me")(guard.requires("items")(Said))))

    assert client.get("/.well-known/oauth-protected-resource").json()["scopes_supported"] == ["items", "me"]


@pytest.mark.parametrize("kind", [Guard, PlainGuard])
def test_what_is_wrapped_twice_is_decided_once(catalog, issuer, heard, kind):
    guard = kind(catalog, issuer, on_decision=heard.append)
    app = guard.wrap(guard.wrap(asgi_said, "items", path="/x", on_expiry="close"), "me", acr="gold")
    client = TestClient(app)

    refused = client.get("/", headers=issuer.bearer("me"))
    assert set(refused.json()["scope"].split()) == {"items", "me"}
    assert client.get("/", headers=issuer.bearer("items me", acr="gold")).text == "reached"
    assert [one.allowed for one in heard] == [False, True]
    assert {(one.route.path, one.route.close_on_expiry, one.route.step_up) for one in heard} == {
        ("/x", True, StepUp(("gold",)))
    }


def test_a_decorated_class_that_is_wrapped_is_decided_once_too(guard, issuer, heard):
    client = serve(guard, Mount("/x", guard.wrap(guard.requires("items")(Said), "me")))

    assert set(client.get("/x/", headers=issuer.bearer("me")).json()["scope"].split()) == {"items", "me"}
    assert next(iter(guard.plan(client.app))).requirement == all_of("items", "me")
    assert len(heard) == 1


def test_two_guards_decide_each_for_itself(guard, catalog, issuer):
    other = Guard(catalog, issuer, realm="other")
    client = serve(guard, Route("/x", guard.requires("me")(other.requires("items")(said))))

    assert 'realm="api"' in client.get("/x").headers["www-authenticate"]
    refused = client.get("/x", headers=issuer.bearer("me"))
    assert (refused.status_code, refused.json()["scope"]) == (403, "items")
    assert 'realm="other"' in refused.headers["www-authenticate"]
    assert client.get("/x", headers=issuer.bearer("items me")).text == "reached"


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_requirement_below_a_statement_of_openness_is_refused(guard, endpoint):
    with pytest.raises(ConfigurationError, match=r"requirement \(items\).*public \(why\)"):
        guard.public("why")(guard.requires("items")(endpoint))


def test_what_is_derived_from_a_public_class_may_have_a_requirement(guard, issuer):
    guard.public("health")(Said)
    try:
        client = serve(guard, Route("/x", guard.requires("items")(type("Derived", (Said,), {}))))
    finally:
        del Said.__bailiwick__

    assert client.get("/x").status_code == 401
    assert client.get("/x", headers=issuer.bearer("items")).text == "reached"


# -- what others find in a guarded endpoint ----------------------------------------------------------------


@pytest.mark.parametrize("endpoint", [said, said_in_a_thread, Said])
def test_a_guarded_endpoint_names_its_route_as_it_would_have_without(guard, issuer, endpoint):
    async def link(request):
        return PlainTextResponse(str(request.url_for(endpoint.__name__)))

    client = serve(
        guard, Route("/there", guard.requires("items")(endpoint)), Route("/link", guard.public("test")(link))
    )

    assert client.get("/link").text == "http://testserver/there"


def test_urls_into_a_wrapped_application_are_written_as_into_any(guard, issuer):
    inner = Starlette(routes=[Route("/user/{id}", said, name="user")])

    async def link(request):
        return PlainTextResponse(str(request.url_for("api:user", id="7")))

    wrapped = guard.wrap(guard.wrap(inner, "items"), "me")
    client = serve(guard, Mount("/api", wrapped, name="api"), Route("/link", guard.public("test")(link)))

    assert client.get("/link").text == "http://testserver/api/user/7"
    assert guard.wrap(asgi_said).routes == []


def test_a_guarded_class_is_described_as_it_would_have_been_without(guard):
    class Described(HTTPEndpoint):
        async def get(self, request):
            """
            summary: Say it.
            """

    def described(endpoint):
        schemas = SchemaGenerator({})
        return [(one.path, one.http_method, one.func.__doc__) for one in schemas.get_endpoints([Route("/x", endpoint)])]

    assert described(guard.requires("items")(Described)) == described(Described) != []


def unstored(endpoint):
    """A decorator that adds to whatever response comes."""

    @functools.wraps(endpoint)
    async def wrapper(request):
        response = await endpoint(request)
        response.headers["cache-control"] = "no-store, private"
        response.set_cookie("seen", "yes")
        return response

    return wrapper


@pytest.mark.parametrize("endpoint", [said, said_in_a_thread])
@pytest.mark.parametrize("on_expiry", [None, "close"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_decorator_above_the_guard_is_given_the_endpoints_own_response(catalog, issuer, endpoint, on_expiry, cached):
    guard = Guard(catalog, issuer.cached() if cached else issuer)
    plain = serve(guard, Route("/x", guard.requires("items", on_expiry=on_expiry)(endpoint)))
    client = serve(guard, Route("/x", unstored(guard.requires("items", on_expiry=on_expiry)(endpoint))))

    for headers, status in ((issuer.bearer("items"), 200), (issuer.bearer("me"), 403), ({}, 401)):
        for _ in range(2):
            answer, expected = client.get("/x", headers=headers), plain.get("/x", headers=headers)
            assert (answer.status_code, answer.content) == (status, expected.content)
            assert answer.headers["cache-control"] == "no-store, private"
            assert answer.headers["set-cookie"].startswith("seen=yes")
            assert answer.headers.get("www-authenticate") == expected.headers.get("www-authenticate")
    assert next(iter(guard.plan(client.app))).needs == "items"


@pytest.mark.parametrize("on_expiry", [None, "close"])
@pytest.mark.parametrize("kind", [JSONResponse, StreamingResponse])
def test_what_a_decorator_does_to_a_response_has_its_effect(guard, issuer, on_expiry, kind):
    done = []

    @guard.requires("items", on_expiry=on_expiry)
    async def endpoint(request):
        return kind({"a": 1}) if kind is JSONResponse else StreamingResponse(iter([b"a", b"b"]))

    async def above(request):
        response = await endpoint(request)
        assert isinstance(response, Response)
        assert isinstance(response, kind)
        response.status_code = 202
        response.background = BackgroundTask(done.append, "after")
        return response

    client = serve(guard, Route("/x", guard.public("test")(above)))
    answer = client.get("/x", headers=issuer.bearer("items"))

    assert (answer.status_code, answer.content) == (202, b'{"a":1}' if kind is JSONResponse else b"ab")
    assert done == ["after"]


def test_a_decorator_between_two_declarations_stays_there(guard, issuer):
    stacked = guard.requires("me")(unstored(guard.requires("items")(said)))
    client = serve(guard, Route("/x", stacked))

    refused = client.get("/x", headers=issuer.bearer("me"))
    assert set(refused.json()["scope"].split()) == {"items", "me"}
    answer = client.get("/x", headers=issuer.bearer("items me"))
    assert (answer.text, answer.headers["cache-control"]) == ("reached", "no-store, private")


def test_a_decorator_above_the_guard_goes_on_with_the_same_websocket(guard, issuer):
    @guard.requires("items")
    async def greet(socket):
        await socket.send_text("hello")

    @functools.wraps(greet)
    async def above(socket):
        await socket.accept()
        await greet(socket)
        if socket.application_state is WebSocketState.CONNECTED:
            await socket.send_text("and goodbye")
            await socket.close()

    client = serve(guard, WebSocketRoute("/x", above))

    with client.websocket_connect("/x", headers=issuer.bearer("items")) as connection:
        assert [connection.receive_text(), connection.receive_text()] == ["hello", "and goodbye"]
    with client.websocket_connect("/x", headers=issuer.bearer("me")) as connection:
        assert connection.receive() == {"type": "websocket.close", "code": 1008, "reason": "insufficient_scope"}


def test_the_method_of_a_class_is_refused_when_it_is_decorated(guard):
    with pytest.raises(ConfigurationError, match=r"get\(self, request\).*[Dd]ecorate the class"):

        class Endpoint(HTTPEndpoint):
            @guard.requires("items")
            async def get(self, request):
                return PlainTextResponse("reached")

    class Pages:
        async def page(self, request):
            return PlainTextResponse("reached")

    def with_pages(endpoint):
        @functools.wraps(endpoint)
        async def wrapper(request):
            return await endpoint(Pages(), request)

        return wrapper

    guard.requires("items")(Pages().page)
    guard.requires("items")(with_pages(Pages.page))
