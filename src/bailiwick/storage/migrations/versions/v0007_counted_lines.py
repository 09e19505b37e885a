"""Lines of the journal that tell of many events, with their number."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

INDEX = "ix_bw_journal_minute_key"


def upgrade() -> None:
    """Add the columns; every line that is there tells of one event."""
    op.add_column("bw_journal", sa.Column("count", sa.Integer(), nullable=False, server_default="1"))
    op.add_column("bw_journal", sa.Column("until", sa.Double(), nullable=False, server_default="0"))
    op.add_column("bw_journal", sa.Column("minute", sa.Integer()))
    op.add_column("bw_journal", sa.Column("key", sa.Text()))
    shared = sa.text("minute IS NOT NULL")
    op.create_index(
        op.f(INDEX), "bw_journal", ["minute", "key"], unique=True, sqlite_where=shared, postgresql_where=shared
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_index(op.f(INDEX), table_name="bw_journal")
    # Not rebuilt as a whole: the numbers of lines, which are never given twice, would begin anew.
    for column in ("key", "minute", "until", "count"):
        op.drop_column("bw_journal", column)
