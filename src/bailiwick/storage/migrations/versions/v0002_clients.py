"""Clients that sign assertions, show certificates, or registered themselves; scopes that cannot be unticked."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns; what stands in the table gets their defaults."""
    with op.batch_alter_table("bw_client") as client:
        client.add_column(sa.Column("required_scopes", sa.Text(), nullable=False, server_default=""))
        client.add_column(sa.Column("jwks", sa.Text(), nullable=False, server_default=""))
        client.add_column(sa.Column("tls", sa.Text(), nullable=False, server_default=""))
        client.add_column(sa.Column("registered", sa.Boolean(), nullable=False, server_default=sa.false()))
        client.add_column(sa.Column("registration", sa.Text(), nullable=True))
