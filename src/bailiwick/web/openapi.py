"""The authority described as OpenAPI 3.1: for people who look things up, and for programs that try everything.

It says what the endpoints read and every status that they answer with. Browsers' pages are in it too,
as far as an address and a form can be described.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bailiwick.authority import Settings
from bailiwick.authority.records import GrantType
from bailiwick.scopes import Catalog

__all__ = ["openapi"]

Schema = Mapping[str, Any]

FORM: Final = "application/x-www-form-urlencoded"
TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}
# What is read of `Authorization: Basic` may as well stand in the form, or be signed.
CLIENT: Final[Schema] = {
    "client_id": TEXT,
    "client_secret": TEXT,
    "client_assertion_type": {"type": "string", "enum": ["urn:ietf:params:oauth:client-assertion-type:jwt-bearer"]},
    "client_assertion": TEXT,
}
ASKED: Final[Schema] = {"scope": TEXT, "resource": {"type": "string", "format": "uri"}}
AUTHORIZATION: Final[Schema] = {
    "response_type": {"type": "string", "enum": ["code"]},
    "redirect_uri": {"type": "string", "format": "uri"},
    "state": TEXT,
    "code_challenge": {"type": "string", "pattern": "^[A-Za-z0-9_-]{43}$"},
    "code_challenge_method": {"type": "string", "enum": ["S256"]},
    "response_mode": {"type": "string", "enum": ["query", "form_post"]},
    "prompt": {"type": "string", "enum": ["none", "login", "consent"]},
    "login_hint": TEXT,
    "max_age": {"type": "string", "pattern": "^[0-9]{1,9}$"},
    **ASKED,
}
SCHEMAS: Final[Mapping[str, Schema]] = {
    "Error": {
        "type": "object",
        "description": "RFC 6749 section 5.2; `id` is stable and documented.",
        "properties": {
            "error": TEXT,
            "error_description": {"type": "string", "pattern": "^[ !#-\\[\\]-~]*$"},
            "id": {"type": "string", "pattern": "^BW[0-9]{3}$"},
        },
        "required": ["error", "error_description", "id"],
    },
    "Tokens": {
        "type": "object",
        "description": "RFC 6749 section 5.1.",
        "properties": {
            "access_token": TEXT,
            "token_type": {"type": "string", "enum": ["Bearer"]},
            "expires_in": NUMBER,
            "scope": TEXT,
            "refresh_token": TEXT,
            "issued_token_type": TEXT,
        },
        "required": ["access_token", "token_type", "expires_in", "scope"],
    },
    "Introspection": {
        "type": "object",
        "description": "RFC 7662 section 2.2.",
        "properties": {
            "active": {"type": "boolean"},
            "scope": TEXT,
            "client_id": TEXT,
            "sub": TEXT,
            "exp": NUMBER,
            "iat": NUMBER,
        },
        "required": ["active"],
    },
    "Device": {
        "type": "object",
        "description": "RFC 8628 section 3.2.",
        "properties": {
            "device_code": TEXT,
            "user_code": TEXT,
            "verification_uri": TEXT,
            "verification_uri_complete": TEXT,
            "expires_in": NUMBER,
            "interval": NUMBER,
        },
        "required": ["device_code", "user_code", "verification_uri", "expires_in", "interval"],
    },
    "Pushed": {
        "type": "object",
        "description": "RFC 9126 section 2.2.",
        "properties": {"request_uri": TEXT, "expires_in": NUMBER},
        "required": ["request_uri", "expires_in"],
    },
    "Metadata": {
        "type": "object",
        "description": "RFC 8414 section 2.",
        "properties": {"issuer": TEXT, "token_endpoint": TEXT, "jwks_uri": TEXT},
        "required": ["issuer", "token_endpoint", "response_types_supported"],
    },
    "Keys": {
        "type": "object",
        "description": "RFC 7517 section 5.",
        "properties": {"keys": {"type": "array", "items": {"type": "object"}}},
        "required": ["keys"],
    },
    "Status": {"type": "object", "properties": {"status": TEXT}, "required": ["status"]},
    "Client": {
        "type": "object",
        "description": "RFC 7591 section 2: what a client says of itself.",
        "properties": {
            "client_id": TEXT,
            "client_secret": TEXT,
            "client_name": TEXT,
            "redirect_uris": {"type": "array", "items": {"type": "string", "format": "uri"}},
            "grant_types": TEXTS,
            "response_types": TEXTS,
            "token_endpoint_auth_method": {
                "type": "string",
                "enum": ["none", "client_secret_basic", "client_secret_post", "private_key_jwt"],
            },
            "scope": TEXT,
            "jwks": {"type": "object"},
        },
    },
    "Registered": {
        "type": "object",
        "description": "RFC 7591 section 3.2.1.",
        "properties": {"client_id": TEXT, "client_id_issued_at": NUMBER, "scope": TEXT},
        "required": ["client_id", "grant_types", "token_endpoint_auth_method", "scope"],
    },
}

# The statuses of refusals, with what each is about.
REFUSALS: Final[Mapping[str, str]] = {
    "400": "The request is malformed, or what it presents is not good for it.",
    "401": "The client, or whoever asks, did not prove who they are.",
    "403": "They did, and may not.",
    "404": "There is nothing here.",
    "405": "Another method is needed.",
    "413": "The body is larger than 64 KiB.",
    "429": "Too many wrong guesses or unfinished requests; `Retry-After` says when to come back.",
    "503": "The service cannot answer just now; `Retry-After` says when to come back.",
}
# What a refusal says besides, by its status.
TOLD: Final[Mapping[str, Mapping[str, Any]]] = {
    "401": {
        "WWW-Authenticate": {
            "description": "How to prove it: `Basic` for a client, `Bearer` at the registration (RFC 9110 section 11.6.1).",
            "required": True,
            "schema": TEXT,
        }
    },
    **{
        status: {
            "Retry-After": {
                "description": "Seconds until another try makes sense (RFC 9110 section 10.2.3).",
                "required": True,
                "schema": {"type": "integer", "minimum": 0},
            }
        }
        for status in ("429", "503")
    },
}
PROGRAM: Final = ("400", "401", "403", "413", "429", "503")


def openapi(settings: Settings, catalog: Catalog) -> dict[str, Any]:
    """The description of an authority's endpoints, relative to its issuer.

    Args:
        settings: its issuer, and what is switched on.
        catalog: the scopes that clients can ask for.

    Source: OpenAPI Specification 3.1.
    """
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Authorization server",
            "version": "1",
            "description": f"OAuth 2 authorization server {settings.issuer}.",
        },
        "servers": [{"url": settings.issuer}],
        "paths": _programs()
        | (_registration() if settings.registration is not None else {})
        | _documents(settings)
        | _pages(),
        "components": {
            "schemas": dict(SCHEMAS),
            "securitySchemes": {
                "client": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The client's id and secret, each form-encoded first (RFC 6749 section 2.3.1).",
                },
                "registration": {"type": "http", "scheme": "bearer", "description": "RFC 7592 section 3."},
                "user": {
                    "type": "oauth2",
                    "flows": {
                        "authorizationCode": {
                            "authorizationUrl": f"{settings.issuer}/authorize",
                            "tokenUrl": f"{settings.issuer}/token",
                            "scopes": {name: scope.description for name, scope in catalog.scopes.items()},
                        }
                    },
                },
            },
        },
    }


def _programs() -> dict[str, Any]:
    grants = [grant.value for grant in GrantType]
    token = {
        "grant_type": {"type": "string", "enum": grants},
        "code": TEXT,
        "redirect_uri": TEXT,
        "code_verifier": {"type": "string", "pattern": "^[A-Za-z0-9._~-]{43,128}$"},
        "refresh_token": TEXT,
        "username": TEXT,
        "password": TEXT,
        "device_code": TEXT,
        "subject_token": TEXT,
        "subject_token_type": TEXT,
        "actor_token": TEXT,
        "actor_token_type": TEXT,
        "requested_token_type": TEXT,
        "audience": TEXT,
        **ASKED,
    }
    told = {"token": TEXT, "token_type_hint": {"type": "string", "enum": ["access_token", "refresh_token"]}}
    return {
        "/token": {"post": _form("Get tokens", "RFC 6749 section 3.2", token, ["grant_type"], "Tokens")},
        "/revoke": {"post": _form("Revoke a token", "RFC 7009", told, ["token"], None)},
        "/introspect": {"post": _form("Ask about a token", "RFC 7662", told, ["token"], "Introspection")},
        "/device_authorization": {"post": _form("Begin at a device", "RFC 8628 section 3.1", ASKED, [], "Device")},
        "/par": {
            "post": _form(
                "Push an authorization request", "RFC 9126", AUTHORIZATION, ["response_type"], "Pushed", status="201"
            )
        },
    }


def _registration() -> dict[str, Any]:
    sent = {"required": True, "content": {"application/json": {"schema": _ref("Client")}}}
    registered, refused = _json("Registered"), _refusals(*PROGRAM)
    own: dict[str, Any] = {
        "parameters": [{"name": "client_id", "in": "path", "required": True, "schema": {**TEXT, "minLength": 1}}],
    }
    asked: dict[str, Any] = {"security": [{"registration": []}]}
    # A name with a slash in it is another path.
    here = {**refused, **_refusals("404")}
    return {
        "/register": {
            "post": {
                "summary": "Register a client (RFC 7591)",
                "requestBody": sent,
                "responses": {"201": registered, **refused},
                "security": [{}, {"registration": []}],
            }
        },
        "/register/{client_id}": own
        | {
            "get": {"summary": "Look at one's entry (RFC 7592)", "responses": {"200": registered, **here}, **asked},
            "put": {
                "summary": "Change one's entry (RFC 7592)",
                "requestBody": sent,
                "responses": {"200": registered, **here},
                **asked,
            },
            "delete": {
                "summary": "End one's entry (RFC 7592)",
                "responses": {"204": {"description": "It is gone."}, **here},
                **asked,
            },
        },
    }


def _documents(settings: Settings) -> dict[str, Any]:
    feed = {
        "summary": "What was revoked, signed",
        "parameters": [
            _query("after", {"type": "integer", "minimum": 0}, "The number of the last line that one has."),
            _query(
                "limit",
                {"type": "integer", "minimum": 0},
                "Lines at most; `newest` above `last` says that there are more.",
            ),
            _query("wait", {"type": "integer", "minimum": 0}, "Seconds to wait for news, with If-None-Match."),
            {"name": "If-None-Match", "in": "header", "schema": TEXT},
        ],
        "responses": {
            "200": {
                "description": "A JWT of the type revocations+jwt.",
                "headers": {"ETag": {"schema": TEXT}},
                "content": {"application/revocations+jwt": {"schema": TEXT}},
            },
            "304": {"description": "There is nothing new."},
            **_refusals("400", "401", "403", "429", "503"),
        },
        "security": [{"client": []}, *([{}] if settings.public_revocations else [])],
    }
    return {
        "/revocations": {"get": feed},
        "/jwks.json": _get("The keys that verify access tokens", "Keys"),
        "/.well-known/oauth-authorization-server": _get("What the server says about itself (RFC 8414)", "Metadata"),
        "/health": _get("Whether the process answers", "Status"),
        "/ready": _get("Whether the store answers too", "Status"),
    }


def _pages() -> dict[str, Any]:
    request = {**AUTHORIZATION, "client_id": TEXT, "request_uri": TEXT}
    flow = {"flow": TEXT, "csrf": TEXT}
    forms: dict[str, tuple[str, Schema, Schema]] = {
        "/authorize": ("Ask a person for authorization (RFC 6749 section 3.1)", request, request),
        "/login": ("Log in", {"flow": TEXT}, {**flow, "name": TEXT, "password": TEXT}),
        "/consent": ("Decide on a client's request", {"flow": TEXT}, {**flow, "decision": TEXT, "scope": TEXT}),
        "/device": (
            "Connect a device (RFC 8628 section 3.3)",
            {"flow": TEXT, "user_code": TEXT},
            {**flow, "code": TEXT, "decision": TEXT, "scope": TEXT},
        ),
        "/logout": ("Log out", {}, {"csrf": TEXT}),
    }
    page = {"description": "A page.", "content": {"text/html": {"schema": TEXT}}}
    elsewhere = {"description": "It goes on there.", "headers": {"Location": {"schema": TEXT}}}
    answered = {"200": page, "303": elsewhere} | {
        status: {"description": REFUSALS[status], "content": {"text/html": {"schema": TEXT}}}
        # Who is to log in is shown a form, so that there is no challenge with a page.
        | ({"headers": dict(TOLD[status])} if status in TOLD and status != "401" else {})
        for status in ("400", "401", "403", "413", "429", "503")
    }
    return {
        path: {
            "get": {
                "summary": summary,
                "parameters": [_query(name, schema) for name, schema in query.items()],
                "responses": answered,
            },
            "post": {
                "summary": summary,
                "requestBody": {"content": {FORM: {"schema": {"type": "object", "properties": dict(form)}}}},
                "responses": answered,
            },
        }
        for path, (summary, query, form) in forms.items()
    }


def _form(
    summary: str, source: str, fields: Schema, required: list[str], answer: str | None, *, status: str = "200"
) -> dict[str, Any]:
    """An endpoint that clients post a form to, after they have proved who they are in one of the ways of RFC 6749."""
    schema = {"type": "object", "properties": {**fields, **CLIENT}, "required": required}
    good = _json(answer) if answer is not None else _described("It is done, or there was nothing to do.", {})
    return {
        "summary": f"{summary} ({source})",
        "requestBody": {"required": True, "content": {FORM: {"schema": schema}}},
        "responses": {status: good, **_refusals(*PROGRAM)},
        "security": [{}, {"client": []}],
    }


def _get(summary: str, answer: str) -> dict[str, Any]:
    return {"get": {"summary": summary, "responses": {"200": _json(answer), **_refusals("503")}}}


def _query(name: str, schema: Schema, description: str = "") -> dict[str, Any]:
    parameter: dict[str, Any] = {"name": name, "in": "query", "schema": schema}
    return parameter | ({"description": description} if description else {})


def _refusals(*statuses: str) -> dict[str, Any]:
    return {
        status: _described(REFUSALS[status], _ref("Error"))
        | ({"headers": dict(TOLD[status])} if status in TOLD else {})
        for status in statuses
    }


def _json(name: str) -> dict[str, Any]:
    return _described(str(SCHEMAS[name].get("description", name)), _ref(name))


def _described(description: str, schema: Schema) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}
