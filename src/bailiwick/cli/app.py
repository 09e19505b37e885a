"""The table of commands. Each module beside this one is one noun or verb; what it does is loaded when it is called."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

import bailiwick

from .check import check
from .client import client
from .db import db
from .init import init
from .key import key
from .role import role
from .run import run
from .serve import serve
from .token import token
from .user import user

__all__ = ["app"]

app = typer.Typer(
    name="bailiwick",
    help="Scopes for Python web APIs: try the demo, serve an authority, look after it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would print secrets
)
app.command("run")(run)
app.command("serve")(serve)
app.command("init")(init)
app.command("check")(check)
for noun, acts in {"db": db, "user": user, "role": role, "client": client, "key": key, "token": token}.items():
    app.add_typer(acts, name=noun)


def _in_paragraphs(text: str) -> str:
    """A docstring as --help shows it: typer keeps the line breaks of all paragraphs but the first, wherever they fall."""
    return "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))


class _FlagsAlone:
    """In a command's or a group's `--help`: a flag without the `<bool>` that newer versions of typer put behind it.

    Nobody can type a value there, and whoever tries is told that there is an extra argument.
    """

    def get_params(self, ctx: Any) -> list[Any]:
        """The options and arguments, `--help` among them."""
        params: list[Any] = super().get_params(ctx)  # type: ignore[misc]  # of the class beside this one
        for one in params:
            if getattr(one, "is_flag", False) and one.metavar is None:
                one.metavar = ""
        return params


class _Command(_FlagsAlone, TyperCommand):
    """A command."""


class _Group(_FlagsAlone, TyperGroup):
    """A noun with its commands."""


for table in (app, *(group.typer_instance for group in app.registered_groups)):
    if table is None:
        continue
    table.info.cls = _Group
    for one in table.registered_commands:
        one.cls = _Command
        one.help = _in_paragraphs(getattr(one.callback, "__doc__", None) or "")


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
    """Scopes for Python web APIs: try the demo, serve an authority, look after it."""
