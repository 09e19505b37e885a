"""The table of commands. Each module beside this one is one noun or verb; what it does is loaded when it is called."""

from __future__ import annotations

from typing import Annotated

import typer

import bailiwick

from . import run, serve

__all__ = ["app"]

app = typer.Typer(
    name="bailiwick",
    help="Scopes for Python web APIs: try the demo, or serve an authority.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would print secrets
)
app.command("run")(run.run)
app.command("serve")(serve.serve)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bailiwick {bailiwick.__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Say the version and stop.")
    ] = False,
) -> None:
    """Scopes for Python web APIs: try the demo, or serve an authority."""
