"""`bailiwick run`: the demo API with its authority, on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .ending import refusals

if TYPE_CHECKING:
    import socket

__all__ = ["run"]

# Secrets come through the environment and never as an option, which `ps` would show to everybody.
PASSWORD = "BAILIWICK_DEMO_PASSWORD"  # noqa: S105 - the name of a variable
SECRET = "BAILIWICK_DEMO_SECRET"  # noqa: S105 - the name of a variable


def run(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Folder of the demo's two SQLite files. Remove it to begin anew.")] = Path(
        ".bailiwick"
    ),
) -> None:
    """Start the demo: users, posts and items behind scopes, with its own authority at /auth.

    The environment variables BAILIWICK_DEMO_PASSWORD and BAILIWICK_DEMO_SECRET set the passwords of alice, erin and
    root and the secret of demo-service. Without them they are made at the first start, and printed once.
    """
    from .serving import listen, run_async

    with refusals(), listen(host, port) as sock:
        run_async(lambda: _serve(sock, host, data))


async def _serve(sock: socket.socket, host: str, data: Path) -> None:
    from rich.console import Console

    from bailiwick.demo.show import show
    from bailiwick.demo.start import open_demo

    from .logs import Logging, logged
    from .serving import address_of, serve_on

    base = address_of(sock, host)
    given = {"password": os.environ.get(PASSWORD) or None, "secret": os.environ.get(SECRET) or None}
    # A demo that tells of every request hides the lines that are to be pasted.
    with logged(Logging("warning")):
        async with open_demo(data, base, **given) as demo:
            await serve_on(
                sock,
                demo.app,
                ready=lambda: show(Console(), base, demo),
            )
