"""Where the server stands: alone, below a path, mounted, opened lazily; and what it does when it cannot open."""

import sqlite3

import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Mount

from bailiwick import Catalog, ConfigurationError, Scope
from bailiwick.errors import InvalidToken, StoreError
from bailiwick.fastapi import Guard as FastAPIGuard
from bailiwick.fasterapi import Guard as FasterAPIGuard
from bailiwick.server import AuthorizationServer, Settings
from bailiwick.tokens import jws

pytestmark = pytest.mark.anyio

CATALOG = Catalog([Scope("a:read"), Scope("a:write")])
WELL_KNOWN = "/.well-known/oauth-authorization-server"
FORM = {"grant_type": "client_credentials", "client_id": "service", "client_secret": "5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"}


def http(app, base="http://127.0.0.1:8000"):
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)


async def with_service(server):
    admin = await server.admin()
    await admin.create_client(
        "service", grants=["client_credentials"], scopes=["a:*"], secret="5f1d0c9b8a7e6d4c3b2a19080f7e6d5c"
    )
    return server


@pytest.mark.parametrize("path", ["", "/auth", "/a/b"])
async def test_alone_it_answers_below_its_issuer(path):
    issuer = f"https://login.example.com{path}"
    server = await with_service(AuthorizationServer(CATALOG, issuer=issuer))
    async with http(server, "https://login.example.com") as client:
        assert (await client.post(f"{path}/token", data=FORM)).status_code == 200
        for well_known in (f"{path}{WELL_KNOWN}", f"{WELL_KNOWN}{path}"):
            assert (await client.get(well_known)).json()["issuer"] == issuer


async def test_behind_a_proxy_that_strips_the_issuers_path_it_answers_too():
    server = await with_service(AuthorizationServer(CATALOG, issuer="https://x.example/auth"))
    async with http(server) as client:
        assert (await client.post("/token", data=FORM)).status_code == 200


async def test_mounted_by_hand_it_opens_at_the_first_request():
    server = AuthorizationServer(CATALOG, issuer="http://127.0.0.1:8000/auth")
    async with http(Starlette(routes=[Mount("/auth", app=server)])) as client:
        assert (await client.get("/auth/jwks.json")).json()["keys"]


@pytest.mark.parametrize("guarding", [FastAPIGuard, FasterAPIGuard])
@pytest.mark.parametrize(
    ("issuer", "base"),
    [("http://127.0.0.1:8000/auth", "/auth"), ("https://login.example.com", "https://login.example.com")],
)
async def test_a_guard_beside_its_authority_documents_where_that_is(guarding, issuer, base):
    server = AuthorizationServer(CATALOG, issuer=issuer)
    guard = guarding(CATALOG, server.verifier())
    scheme = guard.scheme if guarding is FasterAPIGuard else guard.model.model_dump(exclude_none=True)
    assert scheme["flows"]["authorizationCode"]["authorizationUrl"] == f"{base}/authorize"
    assert scheme["flows"]["authorizationCode"]["tokenUrl"] == f"{base}/token"
    assert "password" not in scheme["flows"]  # Swagger UI stacks a form for each flow

    told = guarding(CATALOG, server.verifier(), token_url="/elsewhere")
    scheme = told.scheme if guarding is FasterAPIGuard else told.model.model_dump(exclude_none=True)
    assert scheme["flows"]["password"]["tokenUrl"] == "/elsewhere"
    assert "authorizationCode" not in scheme["flows"]


async def test_what_a_guard_documents_of_its_authority_is_served():
    server = AuthorizationServer(CATALOG, issuer="http://127.0.0.1:8000/auth")
    app = FastAPI()
    guard = FastAPIGuard(CATALOG, server.verifier())
    server.mount_on(app)
    guard.protect(app)
    app.get("/a", dependencies=[guard.requires("a:read")])(lambda: 1)
    async with http(app) as client:
        document = (await client.get("/openapi.json")).json()
        flows = document["components"]["securitySchemes"]["oauth2"]["flows"]
        assert (await client.post(flows["authorizationCode"]["tokenUrl"])).status_code == 400
        assert (await client.get(flows["authorizationCode"]["authorizationUrl"])).status_code == 400


async def test_an_issuer_without_a_path_is_not_mounted():
    server = AuthorizationServer(CATALOG, issuer="https://login.example.com")
    with pytest.raises(ConfigurationError, match="has no path"):
        server.mount_on(FastAPI())


@pytest.mark.parametrize(
    "issuer", ["http://login.example.com", "https://x.example/?a", "", "login", "https://x.example/"]
)
def test_what_is_no_issuer_is_refused(issuer):
    with pytest.raises(ConfigurationError):
        AuthorizationServer(CATALOG, issuer=issuer)


def test_settings_of_another_issuer_are_refused():
    with pytest.raises(ConfigurationError, match="another issuer"):
        AuthorizationServer(CATALOG, issuer="https://a.example", settings=Settings("https://b.example"))


def test_a_verifier_for_an_api_that_the_server_does_not_know_is_refused():
    server = AuthorizationServer(CATALOG, issuer="https://a.example")
    with pytest.raises(ConfigurationError, match="no tokens for the audience"):
        server.verifier(audience="https://elsewhere.example")


async def test_the_verifier_takes_this_servers_tokens_and_no_others(tmp_path):
    one = await with_service(AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "one.db"))
    two = await with_service(AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "two.db"))
    async with one, two, http(one) as client:
        token = (await client.post("/token", data=FORM)).json()["access_token"]
        assert (await one.verifier().verify(token)).subject == "service"
        with pytest.raises(InvalidToken):
            await two.verifier().verify(token)


async def test_closed_and_opened_again_it_knows_its_clients_keys_and_revocations(tmp_path):
    server = await with_service(AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db"))
    verifier = server.verifier()
    async with http(server) as client:
        good, bad = [(await client.post("/token", data=FORM)).json()["access_token"] for _ in range(2)]
        await client.post("/revoke", data={**FORM, "token": bad})
        await server.close()
        assert (await verifier.verify(good)).subject == "service"
        with pytest.raises(InvalidToken) as refused:
            await verifier.verify(bad)
        assert refused.value.id == "BW213"
        assert verifier.verify_cached(good) is not None
        assert verifier.verify_cached(bad) is None
    await server.close()
    await server.close()


async def test_a_revocation_by_another_process_counts_within_a_second(tmp_path):
    clock = [1_800_000_000.0]
    here, there = (
        AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db", now=lambda: clock[0])
        for _ in range(2)
    )
    async with here, there, http(there) as client:
        await with_service(there)
        verifier = here.verifier()
        token = (await client.post("/token", data=FORM)).json()["access_token"]
        await verifier.verify(token)
        await client.post("/revoke", data={**FORM, "token": token})
        clock[0] += 1.0
        assert verifier.verify_cached(token) is None
        with pytest.raises(InvalidToken):
            await verifier.verify(token)


async def test_a_key_that_another_process_replaced_at_once_signs_and_proves_nothing_a_second_later(tmp_path):
    clock = [1_800_000_000.0]
    here, there = (
        AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db", now=lambda: clock[0])
        for _ in range(2)
    )
    async with here, there, http(here) as client:
        await with_service(there)
        verifier, own = here.verifier(), (await here.open()).verifier
        token = (await client.post("/token", data=FORM)).json()["access_token"]
        for _ in range(3):
            await verifier.verify(token)
            await own.verify(token)
        new = await (await there.open()).keys.replace_at_once()
        clock[0] += 1.0
        assert verifier.verify_cached(token) is None
        assert verifier.verify_now(b"Bearer " + token.encode()) is None
        for each in (verifier, own):
            with pytest.raises(InvalidToken):
                await each.verify(token)
        fresh = (await client.post("/token", data=FORM)).json()["access_token"]
        assert jws.read(fresh).kid == new.kid
        assert (await client.get("/jwks.json")).json()["keys"][0]["kid"] == new.kid
        await verifier.verify(fresh)


async def lifespan(app):
    """What a server says when the application starts."""
    said, messages = [], iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive():
        return next(messages)

    async def send(message):
        said.append(message)

    await app({"type": "lifespan"}, receive, send)
    return [message["type"] for message in said], said[0].get("message", "")


async def test_served_alone_it_opens_and_closes_with_the_application(tmp_path):
    server = AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db")
    assert (await lifespan(server))[0] == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


async def test_a_store_that_cannot_be_opened_stops_the_start_and_is_503_where_it_is_opened_lazily(tmp_path):
    (tmp_path / "a.db").write_bytes(b"this is no database " * 100)
    server = AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db")
    types, message = await lifespan(server)
    assert types == ["lifespan.startup.failed"]
    assert "BW502" in message
    async with http(server) as client:
        answer = await client.post("/token", data=FORM)
    assert answer.status_code == 503
    assert answer.json()["error"] == "server_error"
    assert str(tmp_path) not in answer.text
    assert answer.headers["retry-after"]
    with pytest.raises(StoreError):
        await server.verifier().verify("x")


async def test_a_store_that_fails_later_is_503_and_never_a_success(tmp_path):
    async with AuthorizationServer(CATALOG, issuer="https://a.example", store=tmp_path / "a.db") as server:
        await with_service(server)
        with sqlite3.connect(tmp_path / "a.db") as db:
            (tables,) = zip(*db.execute("SELECT name FROM sqlite_master WHERE type = 'table'"), strict=True)
            for table in tables:
                if "client" in table:
                    db.execute(f"DROP TABLE {table}")
        db.close()
        async with http(server) as client:
            for path in ("/token", "/revoke", "/introspect"):
                answer = await client.post(path, data={**FORM, "token": "x"})
                assert answer.status_code == 503, answer.text
                assert answer.json()["error"] == "server_error"
                assert "sqlite" not in answer.text.lower()


async def test_an_unexpected_fault_says_nothing_on_the_wire_and_everything_in_the_log(caplog):
    server = await with_service(AuthorizationServer(CATALOG, issuer="https://a.example"))
    authority = await server.open()

    async def broken(*_args, **_more):
        raise ZeroDivisionError("the secret cause")

    authority.token.__dict__["answer"] = broken
    async with http(server) as client:
        answer = await client.post("/token", data=FORM)
    assert answer.status_code == 500
    assert answer.json()["error"] == "server_error"
    assert answer.json()["id"] == "BW500"
    assert "secret cause" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_an_authority_without_a_single_scope_is_refused_for_it_could_issue_nothing():
    with pytest.raises(ConfigurationError, match="no token could ever be issued") as refused:
        AuthorizationServer(Catalog([]), issuer="https://login.example.com")
    assert refused.value.id == "BW103"
