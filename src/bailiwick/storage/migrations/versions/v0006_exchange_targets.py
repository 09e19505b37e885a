"""Clients have a list of the resources that they may exchange other clients' tokens for."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column, empty: a client that exchanged for any resource until now does so when an operator names it."""
    op.add_column("bw_client", sa.Column("exchange_targets", sa.Text(), nullable=False, server_default="[]"))


def downgrade() -> None:
    """Drop it."""
    with op.batch_alter_table("bw_client") as changed:
        changed.drop_column("exchange_targets")
