"""The device code grant: a device asks again and again whether its person has decided."""

from __future__ import annotations

from typing import Final

from bailiwick.authority.issue import Permit
from bailiwick.authority.records import Client, GrantType
from bailiwick.authority.request import DeviceAsked, TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import Polled, Store
from bailiwick.errors import Refused
from bailiwick.tokens import opaque

from .base import bound_resource, standing_of

__all__ = ["DeviceCodeGrant"]

# RFC 8628 section 3.5.
_ANSWERS: Final = {
    Polled.PENDING: ("authorization_pending", "The person has not decided yet.", "BW413"),
    Polled.TOO_FAST: ("slow_down", "Ask more slowly: five seconds are added to the interval.", "BW414"),
    Polled.DENIED: ("access_denied", "The person denied the request.", "BW412"),
    Polled.EXPIRED: ("expired_token", "The device code has expired.", "BW415"),
    Polled.UNKNOWN: ("invalid_grant", "The device code is invalid, spent, or was issued to another client.", "BW402"),
}


class DeviceCodeGrant:
    """RFC 8628 section 3.4.

    Args:
        settings: knows the resources.
        store: keeps the device codes.
    """

    type = GrantType.DEVICE_CODE

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._store = store

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Ask whether the person has decided; an approval is told once."""
        asked = request.asked
        assert isinstance(asked, DeviceAsked)  # noqa: S101 - the reader of this grant type made it
        outcome, code = Polled.UNKNOWN, None
        if opaque.is_well_formed(asked.code, opaque.Kind.DEVICE):
            outcome, code = await self._store.poll_device_code(opaque.digest(asked.code), client.id, now)
        if outcome is not Polled.APPROVED:
            error, description, stable = _ANSWERS[outcome]
            wait = code.interval if code is not None else None
            raise Refused(error, description, id=stable, retry_after=wait)
        if code is None or code.subject is None or code.authorization is None or code.scopes is None:
            raise Refused("invalid_grant", "The device code is invalid.", id="BW402", detail="approved by nobody")
        resource = bound_resource(self._settings, request, code.resource, "device code")
        standing = await standing_of(self._store, code.subject)
        authorization = await self._store.authorization(code.authorization)
        if authorization is None:
            raise Refused("invalid_grant", "The authorization is gone.", id="BW402")
        return Permit(
            self.type,
            subject=code.subject,
            resource=resource,
            standing=standing,
            authorization=authorization,
            # What the person approved, whatever the device asks for now (CVE-2024-52287).
            presented=code.scopes,
            authenticated_at=code.authenticated_at,
        )
