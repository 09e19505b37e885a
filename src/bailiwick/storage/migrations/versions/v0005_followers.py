"""Clients that may follow the revocation feed; and in what each of its lines lies, so that one person's are few."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

PLACES = ("family", "authorization", "subject")


def upgrade() -> None:
    """Add the columns; the lines that are there end within minutes, and are counted to nobody until then."""
    op.add_column(
        "bw_client", sa.Column("follows_revocations", sa.Boolean(), nullable=False, server_default=sa.false())
    )
    for place in PLACES:
        op.add_column("bw_revocation", sa.Column(place, sa.Text(), nullable=False, server_default=""))
        op.create_index(op.f(f"ix_bw_revocation_{place}"), "bw_revocation", [place])


def downgrade() -> None:
    """Drop them."""
    for place in PLACES:
        op.drop_index(op.f(f"ix_bw_revocation_{place}"), table_name="bw_revocation")
    with op.batch_alter_table("bw_revocation") as changed:
        for place in PLACES:
            changed.drop_column(place)
    with op.batch_alter_table("bw_client") as changed:
        changed.drop_column("follows_revocations")
