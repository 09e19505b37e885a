"""The keys and tokens of one run. Servers in other processes get the secret through the environment."""

import os
import secrets
import time

from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

ISSUER = "https://issuer.example"
AUDIENCE = "https://api.example"
ALGORITHM = "HS256"
SECRET = os.environ.setdefault("BAILIWICK_BENCH_SECRET", secrets.token_urlsafe(48))
LIFETIME = 6 * 3600  # seconds: longer than any run, so that nothing expires while it is measured
HELD = "users:read users:write items me read:items"


def claims(scope: str = HELD, **more):
    """The claims of a good token; `scopes` stands beside `scope` for the documents that read that one."""
    now = int(time.time())
    return {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "alice",
        "client_id": "bench",
        "iat": now,
        "exp": now + LIFETIME,
        "jti": "bench-1",
        "scope": scope,
        **more,
    }


def token(scope: str = HELD, **more) -> str:
    """A good token, signed with the shared secret."""
    return Signer(SigningKey.from_secret(SECRET)).sign(claims(scope, **more))


def tutorial_token(scopes) -> str:
    """A token as the tutorials make it: a subject, scopes, an end, and no audience."""
    body = {"sub": "alice", "scopes": scopes, "exp": int(time.time()) + LIFETIME}
    return Signer(SigningKey.from_secret(SECRET)).sign(body, typ="JWT")


def verifier(**settings) -> JWTVerifier:
    """Takes the tokens of this run, and remembers them for as long as it lasts."""
    settings = {"cache_seconds": LIFETIME, **settings}
    return JWTVerifier(Keyring.from_secret(SECRET), issuer=ISSUER, audience=AUDIENCE, **settings)


def forged(good: str, n: int = 0) -> str:
    """The same token under a signature that its key never made; each `n` gives another one."""
    signed, _, signature = good.rpartition(".")
    swapped = f"{n:06d}".translate(str.maketrans("0123456789", "ABCDEFGHIJ"))
    if signature.startswith(swapped):
        swapped = "KLMNOP"
    return f"{signed}.{swapped}{signature[len(swapped) :]}"


def bearer(text: str) -> list[tuple[bytes, bytes]]:
    """The headers of a request with this token, as a server hands them over."""
    return [*BROWSER, (b"authorization", b"Bearer " + text.encode())]


# What an ordinary client sends besides.
BROWSER = [(b"host", b"127.0.0.1:8000"), (b"accept", b"*/*"), (b"user-agent", b"bench")]
