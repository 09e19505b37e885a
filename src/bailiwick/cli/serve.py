"""`bailiwick serve`: the authority alone, for APIs that run elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .ending import refusals

if TYPE_CHECKING:
    import socket

    from bailiwick.server import AuthorizationServer

    from .settings import Configured

__all__ = ["serve"]


def serve(
    *,
    issuer: Annotated[
        str | None, typer.Option(help="The authority's public URL, https (http on loopback).", show_default=False)
    ] = None,
    audience: Annotated[
        str | None,
        typer.Option(help="The API that tokens are for; the issuer's origin if nothing says.", show_default=False),
    ] = None,
    catalog: Annotated[
        Path | None, typer.Option(help="TOML file of scopes and roles; catalog.toml.", show_default=False)
    ] = None,
    store: Annotated[
        str | None,
        typer.Option(help="SQLite file that keeps people, clients, keys and tokens; authority.db.", show_default=False),
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Settings file; bailiwick.toml if it is there.", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on; 127.0.0.1.", show_default=False)] = None,
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="Port to listen on; 8000. 0 takes a free one.", show_default=False),
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(
            help="The least that is logged: error, warning, info or debug; info, which has each refusal and each request.",
            show_default=False,
        ),
    ] = None,
    log_format: Annotated[
        str | None, typer.Option(help="Lines as text, or as json for programs; text.", show_default=False)
    ] = None,
) -> None:
    """Serve an authority: tokens, consent, devices, revocation, introspection, keys and metadata.

    What no option says comes from the variables BAILIWICK_*, then from the settings file. The store is made if
    it is not there, and brought up to date if this code is newer.
    """
    with refusals():
        from .serving import listen, run_async
        from .settings import load

        given = {
            "issuer": issuer,
            "audience": audience,
            "catalog": catalog,
            "store": store,
            "host": host,
            "port": port,
            "log_level": log_level,
            "log_format": log_format,
        }
        configured = load(given, settings)
        server = configured.server()
        with listen(configured.host, configured.port) as sock:
            run_async(lambda: _serve(sock, configured, server))


async def _serve(sock: socket.socket, configured: Configured, server: AuthorizationServer) -> None:
    from .connections import ConnectionLimits
    from .logs import Logging, logged
    from .serving import address_of, serve_on

    where = address_of(sock, configured.host)
    with logged(Logging(configured.log_level, configured.log_format, configured.log_lines)):
        async with server:
            _warn_of_readers(configured.store)
            await serve_on(
                sock,
                server,
                ready=lambda: typer.echo(f"The authority {server.issuer} listens on {where}. Stop: Ctrl-C"),
                limits=ConnectionLimits(**configured.connections.model_dump()),
            )


def _warn_of_readers(store: str) -> None:
    """Say in the log that others may read the store; it is their operator's to decide, so it does not stop."""
    import logging

    from bailiwick.storage.upkeep import look

    status = look(store)
    if status.others_may_read:
        logging.getLogger("bailiwick.serve").warning(
            "Other users of this machine may read or write %s, which holds signing keys and digests: %s",
            status.path,
            status.chmod,
        )
