"""How a command asks: for secrets without an echo, and whether one is sure."""

from __future__ import annotations

import getpass
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import typer

from .ending import EXIT_REFUSED

__all__ = ["ask_secret", "confirm"]

# Nobody types more; a file that was piped in by mistake is not read to its end.
MAX_LINE: Final = 64 * 1024
TRIES: Final = 3


def ask_secret(prompt: str, *, twice: bool = True, check: Callable[[str], object] | None = None) -> str:
    """Read a secret: typed without an echo, or the first line of standard input where that is no terminal.

    Secrets are never arguments: every user of the machine reads those with `ps`, and the shell keeps them.

    Args:
        prompt: what is asked for.
        twice: whether it is typed again, so that a slip of the finger locks nobody out.
        check: refuses one that will not do, before it is asked for again.

    Raises:
        Exit: nothing was given, or the two differed three times.
        ConfigurationError: `check` refused it.
    """
    secret = _typed(prompt, twice=twice, check=check) if sys.stdin.isatty() else _piped()
    if not secret:
        _refuse(f"{prompt}: nothing was given. Type it, or send it as the first line of standard input.")
    return secret


def _typed(prompt: str, *, twice: bool, check: Callable[[str], object] | None) -> str:
    for _ in range(TRIES):
        try:
            with _interruptible():
                first = getpass.getpass(f"{prompt}: ")
                if first and check is not None:
                    check(first)
                if not twice or not first or getpass.getpass(f"{prompt}, again: ") == first:
                    return first
        except EOFError:
            typer.echo(err=True)  # the cursor still stands behind the question
            return ""
        typer.echo("The two differ.", err=True)
    _refuse("The two differed three times; nothing was changed.")
    return ""


def _piped() -> str:
    raw = sys.stdin.buffer.readline(MAX_LINE)
    try:
        return raw.decode("utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        _refuse("What standard input gave is not UTF-8.")
    return ""


def confirm(question: str, *, sure: bool) -> None:
    """Ask before something that cannot be undone.

    Args:
        question: what is about to happen, as a question.
        sure: `--yes` was given, so nobody is asked.

    Raises:
        Exit: the answer is no, or there is no terminal to ask at.
    """
    if sure:
        return
    if not sys.stdin.isatty():
        _refuse(f"{question} Say so with --yes; there is no terminal to ask at.")
    typer.echo(f"{question} [y/N]: ", err=True, nl=False)
    # Not typer.confirm, which makes the same of Ctrl-C as of the end of the input: a refusal.
    with _interruptible():
        answer = sys.stdin.readline(MAX_LINE)
    if not answer:
        typer.echo(err=True)
    if answer.strip().lower() not in {"y", "yes"}:
        _refuse("Nothing was changed.")


@contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end the question. An event loop would only note it down, and wait for the answer."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _refuse(text: str) -> None:
    typer.echo(f"bailiwick: {text}", err=True)
    raise typer.Exit(EXIT_REFUSED)
