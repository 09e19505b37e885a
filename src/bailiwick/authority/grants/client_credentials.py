"""The client credentials grant: a program that acts for itself."""

from __future__ import annotations

from bailiwick.authority.issue import Permit
from bailiwick.authority.records import Client, GrantType
from bailiwick.authority.request import TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.errors import Refused

from .base import resource_for

__all__ = ["ClientCredentialsGrant"]


class ClientCredentialsGrant:
    """RFC 6749 section 4.4. Its `sub` is the client's own id (RFC 9068 section 2.2).

    Args:
        settings: knows the resources.
    """

    type = GrantType.CLIENT_CREDENTIALS

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:  # noqa: ARG002 - one signature for all
        """Check that the client could prove who it is: its name alone is no credential."""
        if client.public:
            raise Refused("unauthorized_client", "A public client cannot act for itself.", id="BW403")
        return Permit(self.type, subject=client.id, resource=resource_for(self._settings, request))
