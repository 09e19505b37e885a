"""`bailiwick serve`: the authority alone, for APIs that run elsewhere."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Annotated

import typer

from bailiwick.errors import ConfigurationError
from bailiwick.scopes import Catalog

from .serving import address_of, listen, refusals, run_async, serve_on

__all__ = ["serve"]


def serve(
    *,
    catalog: Annotated[Path, typer.Option(help="TOML file with [scopes] and [roles].")],
    issuer: Annotated[str, typer.Option(help="The authority's public URL, https (http on loopback).")],
    audience: Annotated[str, typer.Option(help="The API that tokens are for; the issuer's origin if empty.")] = "",
    store: Annotated[str, typer.Option(help="SQLite file that keeps people, clients, keys and tokens.")] = (
        "authority.db"
    ),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
) -> None:
    """Serve an authority: token, revocation, introspection, keys and metadata."""
    with refusals():
        scopes = _read(catalog)
        with listen(host, port) as sock:
            run_async(lambda: _serve(sock, host, scopes, issuer, audience, store))


def _read(path: Path) -> Catalog:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError(f"The catalog {str(path)!r} cannot be read: {bad}.") from bad
    return Catalog.from_toml(text)


async def _serve(sock: socket.socket, host: str, catalog: Catalog, issuer: str, audience: str, store: str) -> None:
    from bailiwick.server import AuthorizationServer

    where = address_of(sock, host)
    async with AuthorizationServer(catalog, issuer=issuer, audience=audience, store=store) as server:
        await serve_on(
            sock,
            server,
            ready=lambda: typer.echo(f"The authority {issuer} listens on {where}. Stop: Ctrl-C"),
            log_level="info",
        )
