"""The first version: people, clients, roles, authorizations, families, codes, keys and the journal."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "bw_account",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("name_key", sa.Text(), nullable=False),
        sa.Column("password", sa.Text(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bw_account")),
        sa.UniqueConstraint("name_key", name=op.f("uq_bw_account_name_key")),
    )
    op.create_table(
        "bw_authorization",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bw_authorization")),
        sa.UniqueConstraint("subject", "client", "resource", name=op.f("uq_bw_authorization_subject_client_resource")),
    )
    op.create_index(op.f("ix_bw_authorization_client"), "bw_authorization", ["client"])
    op.create_table(
        "bw_claimed",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bw_claimed")),
    )
    op.create_index(op.f("ix_bw_claimed_until"), "bw_claimed", ["until"])
    op.create_table(
        "bw_client",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("auth", sa.Text(), nullable=False),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("grants", sa.Text(), nullable=False),
        sa.Column("ceiling", sa.Text(), nullable=False),
        sa.Column("default_scopes", sa.Text(), nullable=True),
        sa.Column("redirects", sa.Text(), nullable=False),
        sa.Column("first_party", sa.Boolean(), nullable=False),
        sa.Column("introspects", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("disabled_at", sa.Double(), nullable=True),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bw_client")),
    )
    op.create_table(
        "bw_code",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("authorization", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("redirect", sa.Text(), nullable=False),
        sa.Column("redirect_given", sa.Boolean(), nullable=False),
        sa.Column("challenge", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("authenticated_at", sa.Double(), nullable=False),
        sa.Column("issued_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("spent_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bw_code")),
    )
    op.create_index(op.f("ix_bw_code_expires_at"), "bw_code", ["expires_at"])
    op.create_table(
        "bw_device_code",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("user_code", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("issued_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("interval", sa.Integer(), nullable=False),
        sa.Column("polled_at", sa.Double(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=True),
        sa.Column("authorization", sa.Text(), nullable=True),
        sa.Column("authenticated_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bw_device_code")),
        sa.UniqueConstraint("user_code", name=op.f("uq_bw_device_code_user_code")),
    )
    op.create_index(op.f("ix_bw_device_code_expires_at"), "bw_device_code", ["expires_at"])
    op.create_table(
        "bw_family",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("authorization", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("resource", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("authenticated_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bw_family")),
    )
    op.create_index(op.f("ix_bw_family_authorization"), "bw_family", ["authorization"])
    op.create_index(op.f("ix_bw_family_client"), "bw_family", ["client"])
    op.create_index(op.f("ix_bw_family_expires_at"), "bw_family", ["expires_at"])
    op.create_index(op.f("ix_bw_family_subject"), "bw_family", ["subject"])
    op.create_table(
        "bw_journal",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("what", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("agent", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_bw_journal")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_bw_journal_at"), "bw_journal", ["at"])
    op.create_index(op.f("ix_bw_journal_client_number"), "bw_journal", ["client", "number"])
    op.create_index(op.f("ix_bw_journal_subject_number"), "bw_journal", ["subject", "number"])
    op.create_table(
        "bw_pushed_request",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("client", sa.Text(), nullable=False),
        sa.Column("parameters", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bw_pushed_request")),
    )
    op.create_index(op.f("ix_bw_pushed_request_expires_at"), "bw_pushed_request", ["expires_at"])
    op.create_table(
        "bw_revocation",
        sa.Column("number", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("until", sa.Double(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_bw_revocation")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_bw_revocation_key"), "bw_revocation", ["key"])
    op.create_index(op.f("ix_bw_revocation_until"), "bw_revocation", ["until"])
    op.create_table(
        "bw_role",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", sa.Text(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bw_role")),
    )
    op.create_table(
        "bw_secret",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_bw_secret")),
    )
    op.create_table(
        "bw_signing_key",
        sa.Column("kid", sa.Text(), nullable=False),
        sa.Column("alg", sa.Text(), nullable=False),
        sa.Column("private", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("sealed_with", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_bw_signing_key")),
    )
    op.create_table(
        "bw_account_role",
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["role"], ["bw_role.name"], name=op.f("fk_bw_account_role_role"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(
            ["account"], ["bw_account.id"], name=op.f("fk_bw_account_role_account"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("account", "role", name=op.f("pk_bw_account_role")),
    )
    op.create_index(op.f("ix_bw_account_role_role"), "bw_account_role", ["role"])
    op.create_table(
        "bw_authorization_scope",
        sa.Column("authorization", sa.Text(), nullable=False),
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("granted_at", sa.Double(), nullable=False),
        sa.Column("via", sa.Text(), nullable=False),
        sa.Column("withdrawn_at", sa.Double(), nullable=True),
        sa.Column("withdrawn_by", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["authorization"],
            ["bw_authorization.id"],
            name=op.f("fk_bw_authorization_scope_authorization"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("authorization", "scope", name=op.f("pk_bw_authorization_scope")),
    )
    op.create_table(
        "bw_refresh_token",
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("family", sa.Text(), nullable=False),
        sa.Column("generation", sa.Integer(), nullable=False),
        sa.Column("issued_at", sa.Double(), nullable=False),
        sa.Column("expires_at", sa.Double(), nullable=False),
        sa.Column("spent_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(
            ["family"], ["bw_family.id"], name=op.f("fk_bw_refresh_token_family"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_bw_refresh_token")),
        sa.UniqueConstraint("family", "generation", name=op.f("uq_bw_refresh_token_family_generation")),
    )


def downgrade() -> None:
    """Drop them."""
    op.drop_table("bw_refresh_token")
    op.drop_table("bw_authorization_scope")
    op.drop_table("bw_account_role")
    op.drop_table("bw_signing_key")
    op.drop_table("bw_secret")
    op.drop_table("bw_role")
    op.drop_table("bw_revocation")
    op.drop_table("bw_pushed_request")
    op.drop_table("bw_journal")
    op.drop_table("bw_family")
    op.drop_table("bw_device_code")
    op.drop_table("bw_code")
    op.drop_table("bw_client")
    op.drop_table("bw_claimed")
    op.drop_table("bw_authorization")
    op.drop_table("bw_account")
