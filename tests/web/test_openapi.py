"""The authority's OpenAPI document is true: it has every route, and no other, and no secret."""

import json
import re

import httpx
import pytest

from bailiwick import Catalog, ScopeSet
from bailiwick.authority import Registration
from bailiwick.server import AuthorizationServer, Settings

pytestmark = pytest.mark.anyio

ISSUER = "https://auth.example.com"
CATALOG = Catalog({"notes:read": "Read notes", "notes:write": "Write notes"})


async def described(**settings):
    server = AuthorizationServer(CATALOG, issuer=ISSUER, settings=Settings(ISSUER, **settings))
    async with server, httpx.AsyncClient(transport=httpx.ASGITransport(server), base_url=ISSUER) as http:
        answer = await http.get("/openapi.json")
        assert answer.status_code == 200
        routes = {
            (route.path, method)
            for route in server._app.routes
            for method in route.methods - {"HEAD"}
            if not route.path.startswith("/static/") and route.path != "/openapi.json"
        }
        return answer.json(), routes


async def test_every_route_is_described_and_nothing_else():
    document, routes = await described(registration=Registration(ScopeSet(["notes:*"])))
    told = {
        (path, method.upper())
        for path, item in document["paths"].items()
        for method in item
        if method in {"get", "post", "put", "delete"}
    }
    assert told == routes


async def test_registration_is_described_only_where_it_is_on():
    document, _ = await described()
    assert not [path for path in document["paths"] if path.startswith("/register")]


async def test_the_catalogs_scopes_and_the_issuer_are_in_it():
    document, _ = await described()
    flow = document["components"]["securitySchemes"]["user"]["flows"]["authorizationCode"]
    assert flow["scopes"] == {"notes:read": "Read notes", "notes:write": "Write notes"}
    assert flow["tokenUrl"] == f"{ISSUER}/token"
    assert document["servers"] == [{"url": ISSUER}]


async def test_every_reference_leads_somewhere():
    document, _ = await described(registration=Registration(ScopeSet(["notes:*"])))
    named = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))
    assert named <= document["components"]["schemas"].keys()
    assert document["openapi"].startswith("3.1")


@pytest.mark.parametrize(
    ("status", "header", "kind"),
    [("401", "WWW-Authenticate", "string"), ("429", "Retry-After", "integer"), ("503", "Retry-After", "integer")],
)
async def test_a_refusal_is_described_with_the_header_that_says_how_or_when_to_come_back(status, header, kind):
    document, _ = await described(registration=Registration(ScopeSet(["notes:*"])))
    told = [
        (path, method, answer)
        for path, item in document["paths"].items()
        for method in ("get", "post", "put", "delete")
        if method in item and (answer := item[method]["responses"].get(status)) is not None
    ]
    programs = [answer for _, _, answer in told if "application/json" in answer["content"]]
    assert programs
    for answer in programs if status == "401" else [answer for _, _, answer in told]:
        assert answer["headers"][header]["required"] is True
        assert answer["headers"][header]["schema"]["type"] == kind
