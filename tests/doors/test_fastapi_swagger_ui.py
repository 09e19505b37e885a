"""FastAPI's documentation page logs in by code and PKCE without settings of the application's, and shows one flow."""

import json
import re

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from bailiwick import Catalog
from bailiwick.fastapi import Guard

CATALOG = Catalog({"items": "Read items"})
CODE = {"authorization_url": "https://as.example/authorize", "token_url": "https://as.example/token"}


def page_of(app, path="/docs"):
    text = TestClient(app).get(path).text
    init = re.search(r"initOAuth\((\{.*?\})\)", text, re.DOTALL)
    back = re.search(r"oauth2RedirectUrl: window\.location\.origin \+ '([^']+)'", text)
    return json.loads(init[1]) if init else None, back and back[1]


def protected(issuer, app, **options):
    guard = Guard(CATALOG, issuer, **options)
    app.get("/x", dependencies=[guard.requires("items")])(lambda: 1)
    guard.protect(app)
    return app


@pytest.mark.parametrize("path", ["/docs", "/elsewhere"])
def test_the_page_uses_pkce_and_its_redirect_address_is_served(issuer, path):
    app = protected(issuer, FastAPI(docs_url=path), **CODE)

    init, back = page_of(app, path)
    assert init == {"usePkceWithAuthorizationCodeGrant": True}
    assert TestClient(app).get(back).status_code == 200


@pytest.mark.parametrize("said", [{}, {"clientId": "docs"}, {"usePkceWithAuthorizationCodeGrant": False}])
def test_what_the_application_says_is_left_alone(issuer, said):
    app = protected(issuer, FastAPI(swagger_ui_init_oauth=said), **CODE)

    assert app.swagger_ui_init_oauth == said


def test_without_an_authorization_endpoint_nothing_is_said_of_pkce(issuer):
    assert page_of(protected(issuer, FastAPI(), token_url="token"))[0] is None


@pytest.mark.parametrize(
    ("options", "flows"),
    [
        (CODE, {"authorizationCode"}),
        ({"token_url": "token"}, {"password"}),
        ({}, {"password"}),
        (CODE | {"password_flow": True}, {"authorizationCode", "password"}),
        (CODE | {"client_credentials_flow": True}, {"authorizationCode", "clientCredentials"}),
        ({"token_url": "token", "password_flow": False, "client_credentials_flow": True}, {"clientCredentials"}),
    ],
)
def test_one_flow_is_documented_and_others_by_choice(issuer, options, flows):
    document = protected(issuer, FastAPI(), **options).openapi()

    assert document["components"]["securitySchemes"]["oauth2"]["flows"].keys() == flows
