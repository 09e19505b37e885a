"""What a client cannot be, however it came to be."""

from __future__ import annotations

import re
from typing import Final

from bailiwick.authority.assertion import client_keys
from bailiwick.authority.clients import was_strong
from bailiwick.authority.records import ACCOUNT_PREFIX, EVERY_RESOURCE, Client, ClientAuth, GrantType
from bailiwick.authority.redirects import why_unfit
from bailiwick.authority.settings import Settings
from bailiwick.errors import ConfigurationError

__all__ = ["check_client", "check_redirect", "inconsistent"]

# A client id is a path segment, a form value and half of a Basic header; these letters need no escape in any.
CLIENT_ID: Final = re.compile(r"[A-Za-z0-9._~-]{1,100}")


def check_client(client: Client, settings: Settings) -> None:
    """Refuse a client that contradicts itself.

    Raises:
        ConfigurationError: BW130, naming the client and the contradiction.
    """
    contradictions = (
        # One that describes itself has the address of its document for an id.
        (
            not client.described and not CLIENT_ID.fullmatch(client.id),
            "its id may hold letters, digits and . _ ~ - only, at most 100",
        ),
        # RFC 9700 section 4.15: a client that acts for itself must not be taken for a person.
        (client.id.startswith(ACCOUNT_PREFIX), f"its id begins with {ACCOUNT_PREFIX!r}, as people's do"),
        # One that only follows or introspects needs no grant, and then no scope.
        (not client.ceiling and bool(client.grants), "it may get no scope at all"),
        (
            client.public and GrantType.CLIENT_CREDENTIALS in client.grants,
            "a public client cannot act for itself (RFC 6749 section 4.4)",
        ),
        (client.public and client.introspects, "a public client cannot introspect (RFC 7662 section 2.1)"),
        # A GET has no body in which it could sign who it is, and whoever can guess its secret reads along, or has it locked
        # out: then every API that follows with it would refuse everybody.
        (
            client.follows_revocations and (client.secret is None or not was_strong(client.secret)),
            "it follows the revocation feed, for which it needs a secret that nobody can guess (128 bits)",
        ),
        (client.public and client.secret is not None, "it is public, so it cannot have a secret"),
        (client.auth is ClientAuth.SECRET and client.secret is None, "it has no secret and is not public"),
        (
            client.auth is not ClientAuth.SECRET and client.secret is not None,
            "it has a secret and another method of authentication (RFC 6749 section 2.3)",
        ),
        (
            (client.auth is ClientAuth.PRIVATE_KEY_JWT) != bool(client.jwks)
            or (client.jwks and not _has_keys(client.jwks)),
            "it signs who it is with keys that are missing or of no use",
        ),
        (
            (client.auth is ClientAuth.TLS) != bool(client.tls) or (client.tls and not _is_certificate(client.tls)),
            "its certificate is named as subject_dn=, san_dns=, san_uri=, san_ip=, san_email= or x5t#S256=",
        ),
        (
            client.auth is ClientAuth.TLS and not settings.client_certificates,
            "it shows a certificate, and the setting client_certificates is off",
        ),
        (
            client.public and GrantType.TOKEN_EXCHANGE in client.grants,
            "a public client cannot exchange tokens (RFC 8693 section 2.1)",
        ),
        (
            client.exchange_targets and GrantType.TOKEN_EXCHANGE not in client.grants,
            "it has targets for exchanged tokens and may not exchange any (RFC 8693)",
        ),
        (
            GrantType.PASSWORD in client.grants and not client.first_party,
            "only the operator's own clients may take passwords (RFC 9700 section 2.4)",
        ),
        (
            GrantType.AUTHORIZATION_CODE in client.grants and not client.redirects,
            "it uses authorization codes and has no redirect URI (RFC 6749 section 3.1.2.2)",
        ),
    )
    for contradicts, why in contradictions:
        if contradicts:
            raise inconsistent(client.id, why)
    for uri in client.redirects:
        check_redirect(client.id, uri)
    for identifier in client.introspects - {EVERY_RESOURCE}:
        if settings.resource(identifier) is None:
            raise inconsistent(client.id, f"it introspects {identifier!r}, which is no resource here")
    for identifier in client.exchange_targets:
        # No word stands for all of them: a resource that is added tomorrow would be within reach, and nobody decided.
        if settings.resource(identifier) is None:
            raise inconsistent(client.id, f"it exchanges tokens for {identifier!r}, which is no resource here")


def check_redirect(client: str, uri: str) -> None:
    """Refuse a redirect URI that could not be compared exactly, or that would run code.

    Raises:
        ConfigurationError: BW130.
    """
    if why := why_unfit(uri):
        raise inconsistent(client, f"the redirect URI {uri!r} {why}")


def _has_keys(jwks: str) -> bool:
    try:
        return bool(client_keys(jwks).keys)
    except ConfigurationError:
        return False


def _is_certificate(tls: str) -> bool:
    kind, _, value = tls.partition("=")
    return kind in ("subject_dn", "san_dns", "san_uri", "san_ip", "san_email", "x5t#S256") and value != ""


def inconsistent(client: str, why: str) -> ConfigurationError:
    """A client's contradiction, said."""
    return ConfigurationError(f"The client {client!r} cannot be: {why}.", id="BW130")
