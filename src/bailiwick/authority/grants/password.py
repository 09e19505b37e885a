"""The password grant: a person's name and password, shown through the operator's own client.

RFC 9700 section 2.4 forbids it for everybody else's clients; it is here for first-party tools and
only where a client is both the operator's own and explicitly allowed to use it.
"""

from __future__ import annotations

from bailiwick.authority.accounts import Accounts
from bailiwick.authority.issue import Permit
from bailiwick.authority.records import Client, GrantType
from bailiwick.authority.request import PasswordAsked, TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.errors import Refused

from .base import resource_for

__all__ = ["PasswordGrant"]


class PasswordGrant:
    """RFC 6749 section 4.3.

    Args:
        settings: knows the resources.
        accounts: checks the password.
    """

    type = GrantType.PASSWORD

    def __init__(self, settings: Settings, accounts: Accounts) -> None:
        self._settings = settings
        self._accounts = accounts

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Check the name and the password; typing them into the operator's own client is the consent."""
        asked = request.asked
        assert isinstance(asked, PasswordAsked)  # noqa: S101 - the reader of this grant type made it
        if not client.first_party:
            raise Refused(
                "unauthorized_client",
                "Passwords may only be given to the operator's own clients.",
                id="BW403",
            )
        resource = resource_for(self._settings, request)
        standing = await self._accounts.log_in(
            asked.username,
            asked.password,
            client=client.id,
            origin=request.origin,
            now=now,
            disconnected=request.presented.disconnected,
        )
        return Permit(
            self.type,
            subject=standing.account.id,
            resource=resource,
            standing=standing,
            consent="password",
            authenticated_at=now,
        )
