"""`bailiwick run`: the demo API with its authority, on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    *,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8000,
    data: Annotated[Path, typer.Option(help="Folder for the demo's two SQLite files. Remove it to begin anew.")] = Path(
        ".bailiwick"
    ),
    password: Annotated[
        str | None,
        typer.Option(
            envvar="BAILIWICK_DEMO_PASSWORD", hidden=True, help="Password for alice, erin and root.", show_envvar=False
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(envvar="BAILIWICK_DEMO_SECRET", hidden=True, help="Secret of demo-service.", show_envvar=False),
    ] = None,
) -> None:
    """Start the demo: users, posts and items behind scopes, with its own authority at /auth.

    BAILIWICK_DEMO_PASSWORD and BAILIWICK_DEMO_SECRET set the passwords of alice, erin and root and the secret of
    demo-service; without them they are made at the first start and printed once.
    """
