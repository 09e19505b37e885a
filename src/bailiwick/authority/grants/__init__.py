"""Grants: each proves one right to a token, and never issues one."""

from .base import Grant, resource_for
from .client_credentials import ClientCredentialsGrant
from .password import PasswordGrant
from .refresh import RefreshGrant

__all__ = ["ClientCredentialsGrant", "Grant", "PasswordGrant", "RefreshGrant", "resource_for"]
