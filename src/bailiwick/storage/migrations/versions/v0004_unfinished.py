"""Requests that wait for a person are counted by network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = ("bw_device_code", "bw_pushed_request")


def upgrade() -> None:
    """Add the column; what stands in the tables ends within minutes, and is counted by its client until then."""
    for table in TABLES:
        op.add_column(table, sa.Column("network", sa.Text(), nullable=False, server_default=""))
        op.create_index(op.f(f"ix_{table}_network_client"), table, ["network", "client"])


def downgrade() -> None:
    """Drop it."""
    for table in TABLES:
        op.drop_index(op.f(f"ix_{table}_network_client"), table_name=table)
        with op.batch_alter_table(table) as changed:
            changed.drop_column("network")
