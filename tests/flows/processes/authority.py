"""An authority that is served alone: `authority.py STORE`. It prints its address and answers until it is ended."""

import socket
import sys

import uvicorn
from catalog import CATALOG

from bailiwick.server import AuthorizationServer

listening = socket.create_server(("127.0.0.1", 0))
issuer = f"http://127.0.0.1:{listening.getsockname()[1]}"
server = AuthorizationServer(CATALOG, issuer=issuer, store=sys.argv[1])
sys.stdout.write(f"{issuer}\n")
sys.stdout.flush()
uvicorn.Server(uvicorn.Config(server, log_level="error", lifespan="on")).run(sockets=[listening])
