"""`bailiwick init`: a catalog and settings to start from."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Final

import typer

from bailiwick.errors import ConfigurationError

from .ending import EXIT_REFUSED, refusals

__all__ = ["init"]

CATALOG: Final = """\
# The scopes that your API knows, and the roles that a new store begins with.
# Scopes: a name and one sentence, which people read when they are asked for consent.

# Whoever holds this scope may do everything. Leave it out if nobody should.
superuser = "admin:*"

[scopes]
"posts:read" = "Read posts"
"posts:write" = { description = "Write posts", implies = ["posts:read"] }
"posts:delete" = "Delete posts"
"admin:*" = "Everything"

[roles]
reader = ["posts:read"]
editor = ["posts:write"]
admin = ["admin:*"]
"""

SETTINGS: Final = """\
# What `bailiwick serve` and the other commands read. Options and the variables BAILIWICK_* come first, such as
# BAILIWICK_ISSUER, or BAILIWICK_LIFETIMES__ACCESS for a table's entry. File names are seen from this file's folder.

# The authority's public URL: the `iss` of every token, so it does not change once tokens are out. https, but on loopback.
issuer = {issuer}

# The API that tokens are for; the issuer's origin if nothing is said here.
# audience = "https://api.example.com"

catalog = "catalog.toml"
store = "authority.db"
host = "127.0.0.1"
port = {port}

# "strict" where a stolen token must be worth little.
profile = "balanced"

# A file with 32 random bytes (openssl rand -hex 32), apart from the store and its backups, readable by its owner
# alone: signing keys are then encrypted at rest.
# key_encryption_key_file = "signing.kek"

# Seconds; each replaces the profile's.
# [lifetimes]
# access = 600
# refresh_idle = 1209600

# Further APIs with scopes of their own (RFC 8707).
# [[resources]]
# identifier = "https://files.example.com"
# scopes = ["posts:*"]
"""


def init(
    folder: Annotated[Path, typer.Argument(help="Where to write them; it is made if it is not there.")] = Path(),
    *,
    issuer: Annotated[
        str, typer.Option(help="The authority's public URL, https (http on loopback).")
    ] = "http://127.0.0.1:8000",
) -> None:
    """Write catalog.toml and bailiwick.toml to start from. Files that are there already stay as they are."""
    with refusals(acting=True):
        from urllib.parse import urlsplit

        from bailiwick.authority.settings import check_issuer

        parts = urlsplit(check_issuer(issuer))
        port = parts.port or 8000
    texts = {
        folder / "catalog.toml": CATALOG,
        folder / "bailiwick.toml": SETTINGS.format(issuer=f'"{issuer}"', port=port),
    }
    there = [str(path) for path in texts if path.exists() or path.is_symlink()]
    if there:
        typer.echo(f"bailiwick: {' and '.join(there)} exist already; nothing was written.", err=True)
        raise typer.Exit(EXIT_REFUSED)
    with refusals():
        _write(folder, texts)
    typer.echo(f"Wrote {' and '.join(map(str, texts))}. Say in the first which scopes your API has, then:\n")
    if folder != Path():
        typer.echo(f"  cd {folder}")
    typer.echo("  bailiwick db upgrade                    # make the store")
    typer.echo("  bailiwick user add ada --role admin     # asks for a password")
    typer.echo("  bailiwick client add --help")
    typer.echo("  bailiwick serve")


def _write(folder: Path, texts: dict[Path, str]) -> None:
    made: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in texts.items():
            # Exclusively: a file that came between the look and this moment stays, too.
            with os.fdopen(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644), "w", encoding="utf-8") as file:
                made.append(path)
                file.write(text)
    except OSError as bad:
        for path in made:
            path.unlink(missing_ok=True)
        raise ConfigurationError(
            f"Cannot write to {str(folder)!r}: {bad.strerror or bad}. Choose another folder."
        ) from bad
