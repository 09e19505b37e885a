"""A client that signs who it is: `private_key_jwt` (RFC 7521, RFC 7523).

Its public keys stand in its record, so nothing is fetched here. A signed text proves something once:
whoever reads one on its way must not be able to show it again (GHSA-3p3g-vpw6-4w66 in Hydra,
GHSA-v3q9-2p3m-7g43 in fosite), neither to another process of this authority nor to another server.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeGuard

from bailiwick.errors import ConfigurationError, InvalidToken
from bailiwick.tokens import ALGORITHMS, Key, Keyring
from bailiwick.tokens.encoding import Malformed, read_json

from .records import Client
from .request import Assertion
from .settings import Settings
from .store import Claimed, Store

__all__ = [
    "ASSERTION_ALGORITHMS",
    "LEEWAY",
    "MAX_CLIENT_KEYS",
    "ClientAssertions",
    "check_number_of_keys",
    "client_keys",
]

# Asymmetric ones only. A client's shared secret is digested and cannot verify anything, which keeps
# `client_secret_jwt` out and with it the confusion of a public key for a secret (CVE-2022-29217).
ASSERTION_ALGORITHMS: Final = tuple(name for name in ALGORITHMS if not name.startswith("HS"))
# Seconds that the client's clock may differ: as the verifier of access tokens has it.
LEEWAY: Final = 30
MAX_JTI: Final = 512
# Keys of one client: the one that signs, the next one, the last one, for a few algorithms. Each key costs time to be read and
# to be tried, and whoever forges an assertion makes us do it (230 keys: 58 ms for each).
MAX_CLIENT_KEYS: Final = 10
# RFC 7523 section 3 names no type; section 4 of its successor does. A token of another kind, such as an access
# token that names the client as its subject, is no assertion (RFC 8725 section 3.11).
_TYPES: Final = (None, "jwt", "client-authentication+jwt")


def client_keys(jwks: str) -> Keyring:
    """Read a client's public keys.

    Args:
        jwks: a JWK set as JSON.

    Raises:
        ConfigurationError: BW110: it cannot be read, or holds no usable asymmetric key.
    """
    ring = Keyring.from_jwks(jwks)
    if any(key.symmetric for key in ring.keys):
        raise ConfigurationError("A client's keys are public keys; a secret is none.", id="BW110")
    return ring


def check_number_of_keys(jwks: str) -> None:
    """Refuse a key set that is larger than any client needs, before a client gets it.

    Args:
        jwks: a JWK set as JSON.

    Raises:
        ConfigurationError: BW110: it holds more than `MAX_CLIENT_KEYS`.
    """
    if len(_members(jwks)) > MAX_CLIENT_KEYS:
        raise ConfigurationError(
            f"A client has at most {MAX_CLIENT_KEYS} keys; leave out those that it signs with no more.", id="BW110"
        )


def _candidates(jwks: str, kid: str | None, alg: str) -> Sequence[Key]:
    """The keys that may have signed, at most `MAX_CLIENT_KEYS`: those of the name, or those without one if none has it.

    Only these are read: a set at rest may be from before it was bounded, and to read a key costs more than to try it.

    Raises:
        ConfigurationError: one of them cannot be read.
    """
    # A key that names no algorithm is bound to one when it is read.
    fitting = [key for key in _members(jwks) if key.get("alg", alg) == alg]
    if kid is not None:
        fitting = [key for key in fitting if key.get("kid") == kid] or [key for key in fitting if "kid" not in key]
    few = fitting[:MAX_CLIENT_KEYS]
    return client_keys(json.dumps({"keys": few})).find_now(kid, alg) if few else ()


def _members(jwks: str) -> list[dict[str, Any]]:
    """The keys of a set as they stand in it; none if it is no key set, which `client_keys` says."""
    try:
        document = read_json(jwks.encode())
    except (Malformed, UnicodeEncodeError):
        return []
    keys = document.get("keys") if isinstance(document, dict) else None
    return [key for key in keys if isinstance(key, dict)] if isinstance(keys, list) else []


class ClientAssertions:
    """Checks what clients sign.

    Args:
        settings: the issuer, for which an assertion has to be meant.
        store: remembers what was shown before.
    """

    def __init__(self, settings: Settings, store: Store) -> None:
        self._store = store
        self._longest = settings.lifetimes.assertion
        # RFC 7523 section 3 allows the issuer or the token endpoint, and RFC 9126 section 2 asks for the
        # same of its own endpoint.
        self._audiences = (settings.issuer, f"{settings.issuer}/token", f"{settings.issuer}/par")

    async def prove(self, client: Client, assertion: Assertion, now: float) -> bool:
        """Whether an assertion proves that its bearer is the client, for this one time.

        Args:
            client: whom it has to name.
            assertion: what it signed.
            now: seconds since the epoch.

        Raises:
            StoreError: the store cannot answer.
        """
        try:
            envelope = assertion.envelope
            typ = envelope.typ.lower().removeprefix("application/") if envelope.typ is not None else None
            if typ not in _TYPES or envelope.alg not in ASSERTION_ALGORITHMS:
                return False
            keys = _candidates(client.jwks, envelope.kid, envelope.alg)
            if not any(key.verify(envelope.signing_input, envelope.signature) for key in keys):
                return False
            claims = assertion.claims
        except (InvalidToken, ConfigurationError):
            return False
        ends = self._end_of(claims, client.id, now)
        if ends is None:
            return False
        # Claimed last: what is refused for another reason must not use a name up. It is hashed because
        # a client chooses it, whatever it is.
        name = hashlib.sha256(f"{client.id}\0{claims['jti']}".encode("utf-8", "surrogatepass")).hexdigest()
        return await self._store.claim(f"assertion:{name}", now, ends + LEEWAY) is Claimed.FIRST_TIME

    def _end_of(self, claims: Mapping[str, Any], client: str, now: float) -> float | None:
        """When the assertion ends; None if it claims anything but what it must (RFC 7523 section 3)."""
        if claims.get("iss") != client or claims.get("sub") != client:
            return None
        audience = claims.get("aud")
        # One audience, ours. With several, the same assertion serves at another server too, whoever
        # runs that one (CVE-2025-27370, CVE-2025-27371).
        if isinstance(audience, list) and len(audience) == 1:
            audience = audience[0]
        if not isinstance(audience, str) or audience not in self._audiences:
            return None
        jti, ends = claims.get("jti"), claims.get("exp")
        if not isinstance(jti, str) or not 0 < len(jti) <= MAX_JTI:
            return None
        if not _is_time(ends) or not now - LEEWAY < ends <= now + self._longest + LEEWAY:
            return None
        for name in ("iat", "nbf"):
            if name in claims and not (_is_time(claims[name]) and claims[name] <= now + LEEWAY):
                return None
        return float(ends)


def _is_time(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
