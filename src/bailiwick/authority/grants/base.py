"""What every grant is, and what several of them need."""

from __future__ import annotations

from typing import Protocol

from bailiwick.authority.issue import Permit
from bailiwick.authority.records import Client, GrantType, Resource, Standing
from bailiwick.authority.request import TokenRequest
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import Store
from bailiwick.errors import Refused

__all__ = ["Grant", "bound_resource", "resource_for", "standing_of"]


class Grant(Protocol):
    """One way to prove a right to a token."""

    type: GrantType

    async def prove(self, request: TokenRequest, client: Client, now: float) -> Permit:
        """Check what the request shows.

        Args:
            request: read, and of this grant's type.
            client: who asks, authenticated and allowed to use this grant.
            now: seconds since the epoch.

        Raises:
            Refused: what was shown proves nothing.
        """


def resource_for(settings: Settings, request: TokenRequest) -> Resource:
    """The API that a request wants a token for.

    Raises:
        Refused: invalid_target (BW410), if it is none of ours: RFC 8707 section 2.
    """
    if request.resource is None:
        return settings.default_resource
    resource = settings.resource(request.resource)
    if resource is None:
        raise Refused("invalid_target", "The requested resource is unknown.", id="BW410")
    return resource


def bound_resource(settings: Settings, request: TokenRequest, identifier: str, what: str) -> Resource:
    """The API that what was presented is bound to (RFC 9700 section 4.14.2).

    Args:
        settings: knows the resources.
        request: may name the same one, or none.
        identifier: of the API that was consented to.
        what: is presented, as the client knows it.

    Raises:
        Refused: invalid_target (BW410), if the request names another, or it is none of ours any more.
    """
    resource = settings.resource(identifier)
    if resource is None or request.resource not in (None, identifier):
        raise Refused("invalid_target", f"The {what} is for another resource.", id="BW410")
    return resource


async def standing_of(store: Store, subject: str) -> Standing:
    """What the person behind a code or a token may have right now.

    Raises:
        Refused: invalid_grant (BW402), if they are gone or disabled: whatever was proved before, a person who may
            not act gets nothing by any grant (CVE-2026-16103).
    """
    standing = await store.standing(subject)
    if standing is None or standing.account.disabled_at is not None:
        raise Refused("invalid_grant", "The person may not act any more.", id="BW402", detail="disabled or gone")
    return standing
