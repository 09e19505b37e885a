"""The Starlette and ASGI doors: endpoints of every kind, mounts, static files, anything."""

import pytest
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint
from starlette.responses import JSONResponse, PlainTextResponse
from starlette.routing import Mount, Route, Router, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.testclient import TestClient, WebSocketDenialResponse

from bailiwick import Catalog, all_of, any_of
from bailiwick import asgi as plain
from bailiwick.asgi import Resource
from bailiwick.errors import ConfigurationError
from bailiwick.starlette import Guard


def serve(guard, *routes, **protect):
    app = Starlette(routes=list(routes))
    guard.protect(app, **protect)
    return TestClient(app)


def test_async_and_sync_functions_and_classes_are_guarded(guard, issuer):
    @guard.requires("items")
    async def later(request):
        return JSONResponse(guard.caller(request.scope).subject)

    @guard.requires("items")
    def now(request):
        return JSONResponse(guard.caller(request.scope).subject)

    @guard.requires("items")
    class Thing(HTTPEndpoint):
        async def get(self, request):
            return JSONResponse(guard.caller(request.scope).subject)

    client = serve(guard, Route("/later", later), Route("/now", now), Route("/thing", Thing))

    for path in ("/later", "/now", "/thing"):
        assert client.get(path).status_code == 401
        assert client.get(path, headers=issuer.bearer("me")).status_code == 403
        assert client.get(path, headers=issuer.bearer("items")).json() == "alice"
    assert client.post("/later", headers=issuer.bearer("items")).status_code == 405


def test_functions_keep_their_methods_and_names(guard):
    @guard.requires("items")
    async def report(request):
        """What it says."""
        return PlainTextResponse("x")

    route = Route("/report", report)

    assert route.methods == {"GET", "HEAD"}
    assert route.name == "report"
    assert report.__doc__ == "What it says."


def test_websockets_are_refused_before_they_are_accepted(guard, issuer):
    @guard.requires("items")
    async def socket(websocket):
        await websocket.accept()
        await websocket.send_text(guard.caller(websocket.scope).subject)
        await websocket.close()

    @guard.requires("items")
    class Socket(WebSocketEndpoint):
        async def on_connect(self, websocket):
            await websocket.accept()
            await websocket.send_text("class")

    client = serve(guard, WebSocketRoute("/f", socket), WebSocketRoute("/c", Socket))

    for path, text in (("/f", "alice"), ("/c", "class")):
        with client.websocket_connect(path, headers=issuer.bearer("items")) as connection:
            assert connection.receive_text() == text
        for headers, status in (({}, 401), (issuer.bearer("me"), 403)):
            with pytest.raises(WebSocketDenialResponse) as denied, client.websocket_connect(path, headers=headers):
                pass
            assert denied.value.status_code == status


def test_decorators_add_up(guard, issuer):
    @guard.requires("me")
    @guard.requires("items")
    async def both(request):
        return PlainTextResponse("in")

    client = serve(guard, Route("/both", both))

    assert client.get("/both", headers=issuer.bearer("items")).status_code == 403
    assert client.get("/both", headers=issuer.bearer("me")).status_code == 403
    assert client.get("/both", headers=issuer.bearer("items me")).text == "in"
    assert issuer.asked == 3
    plan = guard.plan(client.app)
    assert next(iter(plan)).requirement == all_of("items", "me")


def test_optional_and_in_handler_checks_answer_exactly(guard, issuer):
    @guard.optional()
    async def maybe(request):
        caller = guard.caller(request.scope)
        if caller is not None:
            caller.require("posts:admin")
        return PlainTextResponse("anonymous")

    client = serve(guard, Route("/maybe", maybe))

    assert client.get("/maybe").text == "anonymous"
    assert client.get("/maybe", headers={"Authorization": "Bearer x"}).status_code == 401
    refused = client.get("/maybe", headers=issuer.bearer("items"))
    assert refused.status_code == 403
    assert refused.json()["scope"] == "posts:admin"


def test_mounts_static_files_and_other_applications_are_wrapped(guard, issuer, tmp_path):
    (tmp_path / "a.txt").write_text("static")
    files = StaticFiles(directory=tmp_path)
    client = serve(guard, Mount("/files", guard.wrap(files, any_of("items", "me"))))

    assert client.get("/files/a.txt").status_code == 401
    assert client.get("/files/a.txt", headers=issuer.bearer("users:read")).json()["scope"] == "items"
    assert client.get("/files/a.txt", headers=issuer.bearer("me")).text == "static"


def test_the_start_fails_if_a_route_is_not_settled(guard, tmp_path):
    async def nothing(request):
        return PlainTextResponse("open")

    app = Starlette(
        routes=[
            Route("/nothing", nothing),
            Mount("/files", StaticFiles(directory=tmp_path)),
            Mount("/sub", Router([Route("/inner", nothing)])),
        ]
    )
    guard.protect(app)

    with pytest.raises(ConfigurationError) as failed, TestClient(app):
        pass
    for label in ("GET|HEAD /nothing", "MOUNT /files", "GET|HEAD /sub/inner"):
        assert label in str(failed.value)


def test_default_and_mounts_settle_groups(guard, issuer, tmp_path):
    (tmp_path / "a.txt").write_text("static")

    async def nothing(request):
        return PlainTextResponse("in")

    @guard.public("liveness probe")
    async def health(request):
        return PlainTextResponse("well")

    client = serve(
        guard,
        Route("/nothing", nothing),
        Route("/health", health),
        Mount("/files", StaticFiles(directory=tmp_path)),
        default=guard.requires("items"),
        mounts={"/files": guard.public("logos")},
    )

    assert client.get("/nothing").status_code == 401
    assert client.get("/nothing", headers=issuer.bearer("items")).text == "in"
    assert client.get("/health").text == "well"
    assert client.get("/files/a.txt").text == "static"


def test_public_and_a_requirement_on_one_endpoint_are_refused(guard):
    with pytest.raises(ConfigurationError, match="public"):

        @guard.requires("items")
        @guard.public("why")
        async def both(request):
            return PlainTextResponse("x")


def test_unknown_scopes_fail_at_declaration(guard):
    with pytest.raises(ConfigurationError, match="itmes"):
        guard.requires("itmes")
    with pytest.raises(ConfigurationError, match="itmes"):
        guard.wrap(StaticFiles(), "itmes")


def test_rfc_9728_metadata_is_served_and_named_in_challenges(catalog, issuer):
    guard = Guard(
        catalog,
        issuer,
        resource=Resource("https://api.example/v1", authorization_servers=("https://as.example",), name="Example"),
    )

    @guard.requires("items")
    async def items(request):
        return PlainTextResponse("in")

    client = serve(guard, Route("/items", items))

    assert client.get("/.well-known/oauth-protected-resource/v1").json() == {
        "resource": "https://api.example/v1",
        "authorization_servers": ["https://as.example"],
        "scopes_supported": ["items"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Example",
    }
    for headers in ({}, issuer.bearer("me")):
        assert (
            'resource_metadata="https://api.example/.well-known/oauth-protected-resource/v1"'
            in client.get("/items", headers=headers).headers["www-authenticate"]
        )


def test_any_asgi_application_is_wrapped_and_its_lifespan_passes(catalog, issuer):
    guard = plain.Guard(catalog, issuer)
    events = []

    async def app(conn, receive, send):
        events.append(conn["type"])
        if conn["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        await PlainTextResponse(guard.caller(conn).subject)(conn, receive, send)

    with TestClient(guard.wrap(app, "items")) as client:
        assert client.get("/").status_code == 401
        assert client.get("/", headers=issuer.bearer("me")).status_code == 403
        assert client.get("/", headers=issuer.bearer("items")).text == "alice"
    assert events == ["lifespan", "http"]


def test_a_server_without_denial_responses_gets_a_close(catalog, issuer):
    import asyncio

    guard = plain.Guard(catalog, issuer)
    sent = []

    async def app(conn, receive, send):
        raise AssertionError("reached")

    async def receive():
        return {"type": "websocket.connect"}

    async def send(message):
        sent.append(message)

    asyncio.run(guard.wrap(app, "items")({"type": "websocket", "headers": [], "path": "/"}, receive, send))

    assert sent == [{"type": "websocket.close", "code": 1008, "reason": "unauthorized"}]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"catalog": {"a": ""}}, "Catalog"),
        ({"verifier": object()}, "verifier"),
        ({"on_expiry": "explode"}, "on_expiry"),
        ({"resource_metadata": "/relative"}, "absolute"),
    ],
)
def test_a_guard_that_is_made_wrongly_says_so(catalog, issuer, arguments, message):
    made = {"catalog": catalog, "verifier": issuer} | arguments
    with pytest.raises(ConfigurationError, match=message):
        plain.Guard(made.pop("catalog"), made.pop("verifier"), **made)


def test_a_resource_identifier_is_an_absolute_url():
    for wrong in ("api", "/v1", "https://", "https://a/b?c=d", "https://a/#f", "ftp://a/b"):
        with pytest.raises(ConfigurationError):
            Resource(wrong)
    assert Resource("https://a.example/").metadata_path == "/.well-known/oauth-protected-resource"
    assert Catalog(["a"])
