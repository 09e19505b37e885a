"""Grants: each proves one right to a token, and never issues one."""

from .authorization_code import AuthorizationCodeGrant
from .base import Grant, resource_for, standing_of
from .client_credentials import ClientCredentialsGrant
from .device_code import DeviceCodeGrant
from .password import PasswordGrant
from .refresh import RefreshGrant
from .token_exchange import TokenExchangeGrant

__all__ = [
    "AuthorizationCodeGrant",
    "ClientCredentialsGrant",
    "DeviceCodeGrant",
    "Grant",
    "PasswordGrant",
    "RefreshGrant",
    "TokenExchangeGrant",
    "resource_for",
    "standing_of",
]
