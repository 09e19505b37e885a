"""What the demo is about: its scopes, its roles, the people who have them, and the clients."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bailiwick.scopes import Catalog, Role, Scope

__all__ = ["CATALOG", "CLIENTS", "DOCS_CLIENT", "PEOPLE", "DemoClient", "Person"]

CATALOG: Final = Catalog(
    [
        Scope("users:read", "See who uses the service"),
        Scope("users:write", "Add users, and change your profile"),
        Scope("users:delete", "Remove users"),
        Scope("posts:read", "Read posts"),
        Scope("posts:write", "Write posts"),
        Scope("posts:delete", "Remove posts"),
        Scope("items:read", "See items"),
        Scope("items:write", "Add items"),
        Scope("items:delete", "Remove items"),
        Scope("admin:*", "Everything"),
    ],
    roles=[
        Role("reader", ["users:read", "posts:read", "items:read"]),
        Role("editor", ["users:read", "posts:read", "items:read", "posts:write", "items:write"]),
        Role("admin", ["admin:*"]),
    ],
    superuser="admin:*",
)


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who can log in to the demo.

    Args:
        name: the login name.
        role: one of the catalog's roles.
        full_name: for the row in the API's own table of users.
    """

    name: str
    role: str
    full_name: str


PEOPLE: Final = (
    Person("alice", "reader", "Alice Reader"),
    Person("erin", "editor", "Erin Editor"),
    Person("root", "admin", "Root Admin"),
)


@dataclass(frozen=True, slots=True)
class DemoClient:
    """A program that may ask the demo's authority for tokens.

    Args:
        client_id: its public name.
        title: what a person is shown.
        grants: the grant types that it may use.
        scopes: what it may ever get; wildcards are allowed.
        default: what it gets when it does not say what it wants.
        confidential: whether it has a secret.
        may_introspect: whether it may ask about tokens (RFC 7662).
        redirect_uris: where codes may be sent; a loopback address stands for every port of it.
    """

    client_id: str
    title: str
    grants: tuple[str, ...]
    scopes: tuple[str, ...]
    default: tuple[str, ...]
    confidential: bool = False
    may_introspect: bool = False
    redirect_uris: tuple[str, ...] = ()


DEVICE_CODE: Final = "urn:ietf:params:oauth:grant-type:device_code"  # RFC 8628 section 3.4
TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"  # noqa: S105 - RFC 8693 section 2.1

READING: Final = ("users:read", "posts:read", "items:read")

DOCS_CLIENT: Final = "demo-docs"

CLIENTS: Final = (
    DemoClient(
        "demo-cli",
        "Demo command line",
        grants=("password", DEVICE_CODE, "refresh_token"),
        scopes=("admin:*",),
        default=tuple(CATALOG),
    ),
    DemoClient(
        "demo-web",
        "Demo web page",
        grants=("authorization_code", "refresh_token"),
        scopes=("admin:*",),
        default=READING,
        redirect_uris=("http://127.0.0.1/callback",),
    ),
    DemoClient(
        DOCS_CLIENT,
        "Demo API documentation",
        grants=("authorization_code", "password", "refresh_token"),
        scopes=("admin:*",),
        default=READING,
        redirect_uris=("http://127.0.0.1/docs/oauth2-redirect", "http://[::1]/docs/oauth2-redirect"),
    ),
    DemoClient(
        "demo-service",
        "Demo nightly job",
        grants=("client_credentials", TOKEN_EXCHANGE),
        scopes=("users:read", "posts:*", "items:*"),
        default=("posts:read", "items:read"),
        confidential=True,
        may_introspect=True,
    ),
)
