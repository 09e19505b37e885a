"""The OAuth 2 authorization server's logic, over a store. No socket, no file, no clock, no dice, no framework.

`request` reads a form once, `clients` finds out who asks, a grant proves a right, `issue` makes the
tokens, and `token` has these steps in order on one page.
"""

from .authority import Authority
from .request import IntrospectionRequest, RevocationRequest, TokenRequest, read_form
from .settings import BALANCED, STRICT, Lifetimes, Settings
from .store import Store

__all__ = [
    "BALANCED",
    "STRICT",
    "Authority",
    "IntrospectionRequest",
    "Lifetimes",
    "RevocationRequest",
    "Settings",
    "Store",
    "TokenRequest",
    "read_form",
]
