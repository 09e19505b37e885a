"""What a command prints: tables for people, JSON for machines, from the same records."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import typer

from .ending import plain

__all__ = ["Output", "moment"]

Record = Mapping[str, Any]

# A pipe has no width of its own; lines that a program reads are not to be broken at 80.
PIPED_WIDTH: Final = 200


def moment(seconds: float | None) -> str | None:
    """A time as people and machines read it: ISO 8601, UTC, whole seconds; None stays None.

    Args:
        seconds: since the epoch.
    """
    return None if seconds is None else datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Output:
    """Where a command's answer goes.

    Args:
        as_json: one JSON document on standard output, and nothing else there.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json

    def document(self, value: Any) -> None:
        """Print JSON; keys stay in the order in which the documents have them."""
        typer.echo(json.dumps(value, indent=2))

    def line(self, text: str) -> None:
        """Say something to a person; a machine is told nothing."""
        if not self.as_json:
            typer.echo(plain(text))

    def listing(self, records: Sequence[Record], columns: Mapping[str, str], *, title: str, empty: str) -> None:
        """Print records: all their keys as JSON, some of them as a table.

        Args:
            records: one for each line.
            columns: the keys that the table shows, with their headings.
            title: above the table.
            empty: said instead of a table without lines.
        """
        if self.as_json:
            self.document(list(records))
            return
        self.table(records, columns, title=title, empty=empty)

    def table(self, records: Sequence[Record], columns: Mapping[str, str], *, title: str, empty: str) -> None:
        """The table alone, whatever `--json` says."""
        if not records:
            typer.echo(empty)
            return
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = Console()
        if not console.is_terminal:
            console = Console(width=PIPED_WIDTH)
        table = Table(title=title, title_justify="left", header_style="bold")
        for heading in columns.values():
            table.add_column(heading, overflow="fold")
        for record in records:
            # As Text, so that square brackets in a name are no markup.
            table.add_row(*(Text(plain(_cell(record.get(key)))) for key in columns))
        console.print(table)

    def facts(self, record: Record, headings: Mapping[str, str]) -> None:
        """Print one record: JSON, or a line for each heading that has something to say."""
        if self.as_json:
            self.document(dict(record))
            return
        width = max(len(heading) for heading in headings.values())
        for key, heading in headings.items():
            if shown := _cell(record.get(key), between=" "):
                typer.echo(f"{heading:<{width}}  {plain(shown)}")

    def done(self, said: str, record: Record) -> None:
        """Tell how an act went: a sentence, or the record as it is afterwards."""
        if self.as_json:
            self.document(dict(record))
        else:
            typer.echo(plain(said))


def _cell(value: Any, between: str = "\n") -> str:
    if value is None or value is False:
        return ""
    if value is True:
        return "yes"
    if isinstance(value, list | tuple):
        return between.join(map(str, value))
    return str(value)
