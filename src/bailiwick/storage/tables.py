"""The tables, as SQLAlchemy knows them; the migrations make them.

The names begin with `bw_`, so that they can stand in a database beside an application's own. Types
and constraints are the common ground of SQLite and PostgreSQL. Times are seconds since the epoch.
A column has the name of the record's field in code (its `key`), even where the table has another one.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    false,
    text,
)

from bailiwick.authority.records import ClientAuth, DeviceState, GrantType, KeyState, Revoked

from .columns import Listed, Scopes, Word

__all__ = [
    "account",
    "account_role",
    "authorization",
    "authorization_scope",
    "claimed",
    "client",
    "code",
    "device_code",
    "family",
    "journal",
    "metadata",
    "pushed_request",
    "refresh_token",
    "revocation",
    "role",
    "secret",
    "session",
    "signing_key",
]

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

client = Table(
    "bw_client",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("auth", Word(ClientAuth), nullable=False),
    Column("secret", Text),
    Column("grants", Listed(frozenset, GrantType), nullable=False),
    Column("ceiling", Scopes, nullable=False),
    Column("default_scopes", Scopes, key="default"),
    Column("redirects", Listed(tuple), nullable=False),
    Column("first_party", Boolean, nullable=False),
    Column("introspects", Listed(frozenset), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("version", Integer, nullable=False),
    # Since 0002; the defaults are for rows, and programs, of 0001.
    Column("required_scopes", Scopes, key="required", nullable=False, server_default=""),
    Column("jwks", Text, nullable=False, server_default=""),
    Column("tls", Text, nullable=False, server_default=""),
    Column("registered", Boolean, nullable=False, server_default=false()),
    Column("registration", Text),
    # Since 0006: clients of before reach no resource but a token's own.
    Column("exchange_targets", Listed(frozenset), nullable=False, server_default="[]"),
    Column("follows_revocations", Boolean, nullable=False, server_default=false()),  # since 0005
)

account = Table(
    "bw_account",
    metadata,
    Column("id", Text, primary_key=True),
    Column("name", Text, nullable=False),
    Column("name_key", Text, nullable=False, unique=True),
    Column("password", Text),
    Column("scopes", Scopes, key="grants", nullable=False),
    Column("created_at", Double, nullable=False),
    Column("disabled_at", Double),
    Column("version", Integer, nullable=False),
)

role = Table(
    "bw_role",
    metadata,
    Column("name", Text, primary_key=True),
    Column("scopes", Scopes, nullable=False),
    Column("version", Integer, nullable=False),
)

account_role = Table(
    "bw_account_role",
    metadata,
    Column("account", Text, ForeignKey("bw_account.id", ondelete="CASCADE"), primary_key=True),
    Column("role", Text, ForeignKey("bw_role.name", ondelete="CASCADE"), primary_key=True),
    Index(None, "role"),
)

authorization = Table(
    "bw_authorization",
    metadata,
    Column("id", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    UniqueConstraint("subject", "client", "resource"),
    Index(None, "client"),
)

authorization_scope = Table(
    "bw_authorization_scope",
    metadata,
    Column("authorization", Text, ForeignKey("bw_authorization.id", ondelete="CASCADE"), primary_key=True),
    Column("scope", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("granted_at", Double, nullable=False),
    Column("via", Text, nullable=False),
    Column("withdrawn_at", Double),
    Column("withdrawn_by", Text),
)

family = Table(
    "bw_family",
    metadata,
    Column("id", Text, primary_key=True),
    Column("authorization", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("scopes", Scopes, nullable=False),
    Column("authenticated_at", Double, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("revoked_at", Double),
    Column("reason", Text),
    Index(None, "authorization"),
    Index(None, "subject"),
    Index(None, "client"),
    Index(None, "expires_at"),
)

refresh_token = Table(
    "bw_refresh_token",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("family", Text, ForeignKey("bw_family.id", ondelete="CASCADE"), nullable=False),
    Column("generation", Integer, nullable=False),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("spent_at", Double),
    # One successor for each token, whatever happens: the second of two rotations could not even be written.
    UniqueConstraint("family", "generation"),
)

code = Table(
    "bw_code",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("authorization", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("redirect", Text, nullable=False),
    Column("redirect_given", Boolean, nullable=False),
    Column("challenge", Text, nullable=False),
    Column("scopes", Scopes, nullable=False),
    Column("authenticated_at", Double, nullable=False),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("family", Text, nullable=False),
    Column("spent_at", Double),
    Index(None, "expires_at"),
)

device_code = Table(
    "bw_device_code",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("user_code", Text, nullable=False, unique=True),
    Column("client", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("scopes", Scopes),
    Column("issued_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("interval", Integer, nullable=False),
    Column("polled_at", Double),
    Column("state", Word(DeviceState), nullable=False),
    Column("subject", Text),
    Column("authorization", Text),
    Column("authenticated_at", Double),
    # Since 0004; the default is for rows, and programs, of before.
    Column("network", Text, nullable=False, server_default=""),
    Index(None, "expires_at"),
    # All that is counted stands in the index.
    Index(None, "network", "client", "state", "expires_at"),
)

pushed_request = Table(
    "bw_pushed_request",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("client", Text, nullable=False),
    Column("parameters", Listed(tuple, tuple), nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("network", Text, nullable=False, server_default=""),  # since 0004
    Index(None, "expires_at"),
    Index(None, "network", "client", "expires_at"),
)

session = Table(
    "bw_session",
    metadata,
    Column("digest", Text, primary_key=True),
    Column("subject", Text, nullable=False),
    Column("authenticated_at", Double, nullable=False),
    Column("idle_until", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Index(None, "subject"),
    Index(None, "idle_until"),
)

claimed = Table(
    "bw_claimed",
    metadata,
    Column("name", Text, primary_key=True),
    Column("until", Double, nullable=False),
    Index(None, "until"),
)

revocation = Table(
    "bw_revocation",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("kind", Word(Revoked), nullable=False),
    Column("key", Text, nullable=False),
    Column("at", Double, nullable=False),
    Column("until", Double, nullable=False),
    Column("scope", Text, nullable=False),
    Column("by", Text, nullable=False),
    Column("reason", Text, nullable=False),
    # Since 0005; the defaults are for rows, and programs, of before.
    Column("family", Text, nullable=False, server_default=""),
    Column("authorization", Text, nullable=False, server_default=""),
    Column("subject", Text, nullable=False, server_default=""),
    Index(None, "key"),
    Index(None, "until"),
    Index(None, "family"),
    Index(None, "authorization"),
    Index(None, "subject"),
    # A number is never given twice, so that a follower of the feed who asks for "after 7" misses nothing.
    sqlite_autoincrement=True,
)

signing_key = Table(
    "bw_signing_key",
    metadata,
    Column("kid", Text, primary_key=True),
    Column("alg", Text, nullable=False),
    Column("private", Text, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("state", Word(KeyState), nullable=False),
    Column("changed_at", Double, nullable=False),
    Column("sealed_with", Text, nullable=False),
)

secret = Table(
    "bw_secret",
    metadata,
    Column("name", Text, primary_key=True),
    Column("value", LargeBinary, nullable=False),
)

journal = Table(
    "bw_journal",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=True),
    Column("at", Double, nullable=False),
    Column("what", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("client", Text, nullable=False),
    Column("object", Text, nullable=False),
    Column("detail", Text, nullable=False),
    Column("address", Text, nullable=False),
    Column("agent", Text, nullable=False),
    # Since 0007; the defaults are for rows, and programs, of before.
    Column("count", Integer, nullable=False, server_default="1"),
    Column("until", Double, nullable=False, server_default="0"),
    # Of lines that events share: by what the line is found, and the minute in which it counts against the room that
    # strangers have (0: it does not). Lines of their own have neither, and no place in the index.
    Column("minute", Integer),
    Column("key", Text),
    Index(None, "at"),
    Index(None, "subject", "number"),
    Index(None, "client", "number"),
    Index(
        None,
        "minute",
        "key",
        unique=True,
        sqlite_where=text("minute IS NOT NULL"),
        postgresql_where=text("minute IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)
