"""The `bailiwick` command. This file knows only how to start it, so that importing it costs nothing."""

from __future__ import annotations

import sys

__all__ = ["main"]

# What each extra brings, to name the one that is missing. The first that holds the module is named.
EXTRAS = {
    "server": {
        "aiosqlite",
        "alembic",
        "argon2",
        "jinja2",
        "multipart",
        "pydantic_settings",
        "python_multipart",
        "rich",
        "sqlalchemy",
        "starlette",
        "typer",
        "uvicorn",
    },
    "fastapi": {"fastapi", "pydantic"},
}


def main() -> None:
    """Run the command line; the entry point of `bailiwick` and of `python -m bailiwick`."""
    try:
        from .app import app

        app()
    except ModuleNotFoundError as missing:
        extra = next((name for name, modules in EXTRAS.items() if (missing.name or "").split(".")[0] in modules), None)
        if extra is None:
            raise
        sys.stderr.write(
            f"This command needs {missing.name}, which is not installed.\n  pip install 'bailiwick[server,fastapi]'\n"
            if extra == "fastapi"
            else f"The command line needs {missing.name}, which is not installed.\n  pip install 'bailiwick[server]'\n"
        )
        sys.exit(2)
