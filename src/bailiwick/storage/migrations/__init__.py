"""The database's versions, oldest first. Alembic runs them; this list is read before Alembic is even imported.

A version only ever adds (expand); what is no longer read goes in a later release (contract), so
that the previous release can still run on a database that the next one has opened.
"""

from __future__ import annotations

from typing import Final

__all__ = ["HEAD", "REVISIONS", "VERSION_TABLE"]

REVISIONS: Final = ("0001", "0002", "0003", "0004", "0005", "0006", "0007")
HEAD: Final = REVISIONS[-1]
VERSION_TABLE: Final = "bw_version"
