"""Requests that wait for a person are counted by network."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

TABLES = {
    "bw_device_code": ["network", "client", "state", "expires_at"],
    "bw_pushed_request": ["network", "client", "expires_at"],
}


def upgrade() -> None:
    """Add the column; what stands in the tables ends within minutes, and is counted by its client until then."""
    for table, counted in TABLES.items():
        op.add_column(table, sa.Column("network", sa.Text(), nullable=False, server_default=""))
        op.create_index(op.f(f"ix_{table}_{'_'.join(counted)}"), table, counted)


def downgrade() -> None:
    """Drop it."""
    for table, counted in TABLES.items():
        op.drop_index(op.f(f"ix_{table}_{'_'.join(counted)}"), table_name=table)
        with op.batch_alter_table(table) as changed:
            changed.drop_column("network")
