"""Sessions: people who are logged in at a browser."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "bw_session",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("authenticated_at", sa.Double(), nullable=False),
        sa.Column("idle_until", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bw_session")),
    )
    op.create_index(op.f("ix_bw_session_subject"), "bw_session", ["subject"])
    op.create_index(op.f("ix_bw_session_idle_until"), "bw_session", ["idle_until"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("bw_session")
