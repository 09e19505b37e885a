"""An API in a process of its own: `api.py ISSUER SECRET`. It knows its authority by its address, keys and feed only."""

import socket
import sys
from contextlib import asynccontextmanager
from typing import Annotated

import httpx
import uvicorn
from catalog import CATALOG
from fastapi import FastAPI, Security

from bailiwick import Principal
from bailiwick.fastapi import Guard
from bailiwick.remote import RevocationFeed
from bailiwick.tokens import JWTVerifier, Keyring

issuer = sys.argv[1]
keys = Keyring.from_jwks(httpx.get(f"{issuer}/jwks.json").content, published=True)
feed = RevocationFeed(issuer, keys=keys, client_id="api", client_secret=sys.argv[2])
guard = Guard(CATALOG, JWTVerifier(keys, issuer=issuer, audience=issuer, checks=(feed.check,)))


@asynccontextmanager
async def followed(app):
    async with feed:
        yield


app = FastAPI(lifespan=followed)


@app.get("/notes")
async def read(caller: Annotated[Principal, Security(guard, scopes=["notes:read"])]):
    return {"scopes": list(caller.scopes)}


@app.post("/notes")
async def write(caller: Annotated[Principal, Security(guard, scopes=["notes:write"])]):
    return {"scopes": list(caller.scopes)}


guard.protect(app)
listening = socket.create_server(("127.0.0.1", 0))
sys.stdout.write(f"http://127.0.0.1:{listening.getsockname()[1]}\n")
sys.stdout.flush()
uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on")).run(sockets=[listening])
