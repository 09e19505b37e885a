"""An authority that is served alone: `authority.py STORE SECRET`, the secret being that of the API that follows it. It prints its address and answers until it is ended."""

import asyncio
import socket
import sys

import uvicorn
from catalog import CATALOG

from bailiwick.server import AuthorizationServer

listening = socket.create_server(("127.0.0.1", 0))
issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
server = AuthorizationServer(CATALOG, issuer=issuer, store=sys.argv[1])


async def furnish():
    async with server:
        admin = await server.admin()
        if "api" not in [client.id for client in await admin.clients()]:
            # The secret is handed to the API by the test, which made it.
            await admin.create_client("api", follows_revocations=True, secret=sys.argv[2])


asyncio.run(furnish())
sys.stdout.write(f"{issuer}\n")
sys.stdout.flush()
uvicorn.Server(uvicorn.Config(server, log_level="error", lifespan="on")).run(sockets=[listening])
