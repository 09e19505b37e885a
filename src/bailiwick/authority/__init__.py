"""The OAuth 2 authorization server's logic, over a store. No socket, no file, no clock, no dice, no framework.

`request` reads a form once, `clients` finds out who asks, a grant proves a right, `issue` makes the
tokens, and `token` has these steps in order on one page. `authorize` has those of the endpoint where
people decide, and `consent` knows what they must be asked.
"""

from .authority import Authority
from .device import DeviceRequest
from .par import PushingRequest
from .register import RegistrationRequest
from .request import IntrospectionRequest, RevocationRequest, TokenRequest, read_form
from .settings import BALANCED, STRICT, Lifetimes, MetadataDocuments, Registration, Settings, Unfinished
from .store import Store

__all__ = [
    "BALANCED",
    "STRICT",
    "Authority",
    "DeviceRequest",
    "IntrospectionRequest",
    "Lifetimes",
    "MetadataDocuments",
    "PushingRequest",
    "Registration",
    "RegistrationRequest",
    "RevocationRequest",
    "Settings",
    "Store",
    "TokenRequest",
    "Unfinished",
    "read_form",
]
