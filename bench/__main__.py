"""`make bench`: what the guard costs beside the same route without it, in one process, without a network.

Rounds of the open and the guarded routes are interleaved, so that a slow moment of the machine is
everybody's; the median of the rounds is shown, and each route's rate relative to the open one's.
"""

import argparse
import asyncio
import json
import statistics
import time
from typing import Annotated

from fastapi import FastAPI, Security

from bailiwick import Catalog, Principal, Scope
from bailiwick.fastapi import Guard
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

ISSUER, AUDIENCE = "https://login.example.com", "https://api.example.com"


def build(scopes):
    """One application: the same handler open, with its requirement declared, and with the caller injected."""
    key = SigningKey.generate("ES256")
    catalog = Catalog([Scope("users:read"), *(Scope(f"other{number}:read") for number in range(scopes))])
    guard = Guard(catalog, JWTVerifier(Keyring.from_keys(key), issuer=ISSUER, audience=AUDIENCE))
    app = FastAPI(openapi_url=None)

    @app.get("/open", dependencies=[guard.public("the measure")])
    async def open_():
        return {"ok": True}

    @app.get("/declared", dependencies=[guard.requires("users:read")])
    async def declared():
        return {"ok": True}

    @app.get("/injected")
    async def injected(_caller: Annotated[Principal, Security(guard, scopes=["users:read"])]):
        return {"ok": True}

    guard.protect(app)
    now = int(time.time())
    held = " ".join(["users:read", *(f"other{number}:read" for number in range(scopes))])
    claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "u", "client_id": "c", "jti": "1", "iat": now, "exp": now + 3600}
    return app, Signer(key).sign({**claims, "scope": held})


async def call(app, path, headers):
    """One request; its status."""
    status = 0

    async def receive():
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message):
        nonlocal status
        status = message.get("status", status)

    conn = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    await app(conn, receive, send)
    return status


async def measure(app, token, rounds, calls):
    """Seconds for one request of each kind: the median of the rounds."""
    bearer = [(b"host", b"x"), (b"authorization", b"Bearer " + token.encode())]
    kinds = {
        "open": ("/open", bearer, 200),
        "declared": ("/declared", bearer, 200),
        "injected": ("/injected", bearer, 200),
        "refused, no token": ("/declared", bearer[:1], 401),
        "refused, forged": ("/declared", [(b"authorization", b"Bearer " + token[:-8].encode() + b"AAAAAAAA")], 401),
    }
    took = {kind: [] for kind in kinds}
    for path, headers, expected in kinds.values():
        status = await call(app, path, headers)
        if status != expected:
            raise SystemExit(f"{path} answered {status}, not {expected}; nothing was measured.")
    for _ in range(rounds):
        for kind, (path, headers, _) in kinds.items():
            start = time.perf_counter()
            for _ in range(calls):
                await call(app, path, headers)
            took[kind].append((time.perf_counter() - start) / calls)
    return {kind: statistics.median(times) for kind, times in took.items()}


def main():
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--calls", type=int, default=300, help="requests of each kind in a round")
    parser.add_argument("--scopes", type=int, default=10, help="further scopes in the catalog and in the token")
    parser.add_argument("--json", action="store_true", help="figures for programs")
    args = parser.parse_args()
    app, token = build(args.scopes)
    figures = asyncio.run(measure(app, token, args.rounds, args.calls))
    if args.json:
        print(json.dumps({kind: {"seconds": s, "rate": figures["open"] / s} for kind, s in figures.items()}, indent=2))
        return
    print(f"| request ({args.scopes + 1} scopes held) | us | rate beside the open route |\n|---|---|---|")
    for kind, seconds in figures.items():
        print(f"| {kind} | {seconds * 1e6:.1f} | {figures['open'] / seconds:.2f} |")


if __name__ == "__main__":
    main()
