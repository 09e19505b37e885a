"""How a command ends: its exit code, and what it says when it could not do what was asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import typer

from bailiwick.errors import BailiwickError, ConfigurationError, InvalidScope, Refused

__all__ = ["EXIT_CANNOT", "EXIT_REFUSED", "plain", "reason", "refusals"]

# What was asked for is not there, or may not be; nothing was changed.
EXIT_REFUSED: Final = 1
# The settings, the catalog or the store stand in the way, whatever is asked. Also a wrong command line.
EXIT_CANNOT: Final = 2

# A key that does not open is the operator's configuration, in the middle of an act too.
_KEYS: Final = frozenset({"BW110", "BW111"})


@contextmanager
def refusals(*, acting: bool = False) -> Iterator[None]:
    """Turn Bailiwick's own errors into a message and an exit code, and Ctrl-C into a quiet end.

    Args:
        acting: everything stands ready, so that what is refused now is the act itself.
    """
    try:
        yield
    except BailiwickError as why:
        # A detail that begins with the description says all of it, and more.
        longer = why.detail.startswith(why.description.removesuffix("."))
        typer.echo(f"bailiwick: {plain(why.detail if longer else why.description)} [{why.id}]", err=True)
        if not longer:
            typer.echo(f"  {plain(why.detail)}", err=True)
        refused = acting and isinstance(why, ConfigurationError | InvalidScope | Refused) and why.id not in _KEYS
        raise typer.Exit(EXIT_REFUSED if refused else EXIT_CANNOT) from why
    except KeyboardInterrupt:
        raise typer.Exit(130) from None  # 128 + SIGINT, as shells have it


def plain(text: str) -> str:
    """Text that cannot talk to the terminal.

    A client that registers itself chooses its own name; an escape sequence in it could rewrite what the
    operator reads, or type for them.
    """
    return "".join(letter if letter.isprintable() or letter == "\n" else ascii(letter)[1:-1] for letter in text)


def reason(bad: OSError | UnicodeError) -> str:
    """What went wrong with a file or an address: without a number, and without the name, which the message has said."""
    return (bad.strerror if isinstance(bad, OSError) else None) or str(bad)
