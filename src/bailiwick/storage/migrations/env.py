"""Alembic's entry: run the versions on the connection that the store hands over."""

from __future__ import annotations

from alembic import context

from bailiwick.storage.migrations import VERSION_TABLE
from bailiwick.storage.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    # SQLite cannot alter a column in place; Alembic then makes the table anew.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
