"""Where the guard's time goes on an admitted request, and what a refusal of a forged token cannot do without."""

import asyncio
import timeit
from hashlib import sha256
from typing import Any

from bailiwick import Catalog, all_of
from bailiwick.asgi import Guard
from bailiwick.errors import InvalidToken
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey
from bench import apps, inprocess, tokens

CALLS = 2_000


def _least(call: Any, repeats: int, calls: int = CALLS) -> float:
    """Seconds for one call, without those for calling nothing."""
    nothing = min(timeit.repeat(lambda: None, number=calls, repeat=repeats))
    return (min(timeit.repeat(call, number=calls, repeat=repeats)) - nothing) / calls


def _refused(verifier: JWTVerifier, credentials: bytes) -> None:
    if not isinstance(verifier.verify_now(credentials), InvalidToken):
        raise SystemExit("A forged token was not refused.")


def measure(repeats: int) -> dict[str, float]:
    """Seconds for each part, in isolation; the least of several."""
    verifier = tokens.verifier()
    guard = Guard(Catalog(apps.NAMES[:100]), verifier)
    token = tokens.token()
    headers = tokens.bearer(token)
    caller = asyncio.run(verifier.verify(token)).under(guard.catalog)
    gate = guard.wrap(lambda *_: None, all_of("users:read"))  # type: ignore[arg-type, return-value]
    rule = guard.catalog.compile(all_of("users:read"))
    template = inprocess.connection(headers)
    presented = headers[-1][1]

    def find() -> None:
        value = None
        for name, content in headers:
            if name == b"authorization":
                value = content
        if value is None:
            raise SystemExit("no token")

    es256 = SigningKey.generate("ES256")
    slow = JWTVerifier(Keyring.from_keys(es256), issuer=tokens.ISSUER, audience=tokens.AUDIENCE, cache_size=0)
    fast = tokens.verifier(cache_size=0)
    bad_es256 = tokens.bearer(tokens.forged(Signer(es256).sign(tokens.claims())))[-1][1]
    bad_hs256 = tokens.bearer(tokens.forged(token))[-1][1]
    return {
        "gate": _least(lambda: gate.enter(dict(template), None, None), repeats)  # type: ignore[arg-type]
        - _least(lambda: dict(template), repeats),
        "header": _least(find, repeats),
        "digest": _least(lambda: sha256(presented).digest(), repeats),
        "memory": _least(lambda: verifier.verify_now(presented), repeats),
        "scopes": _least(lambda: rule.allows(caller.under(guard.catalog).held), repeats),
        "forged_hs256": _least(lambda: _refused(fast, bad_hs256), repeats, 200),
        "forged_es256": _least(lambda: _refused(slow, bad_es256), repeats, 200),
    }
