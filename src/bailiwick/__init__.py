"""Scopes for Python web APIs: declare them, guard routes with them, grant them, prove them.

The names here import no framework and open no socket. The rest stands behind doors:
`bailiwick.fastapi`, `bailiwick.fasterapi`, `bailiwick.starlette`, `bailiwick.asgi` guard routes,
`bailiwick.tokens` verifies and signs, `bailiwick.remote` asks other servers, and
`bailiwick.server` is the authorization server.
"""

from .errors import BailiwickError, ConfigurationError, InsufficientScope, InvalidScope, InvalidToken, Refused
from .scopes import Allowed, Catalog, Denied, Principal, Requirement, Role, Scope, ScopeSet, all_of, any_of

__version__ = "0.1.0"

__all__ = [
    "Allowed",
    "BailiwickError",
    "Catalog",
    "ConfigurationError",
    "Denied",
    "InsufficientScope",
    "InvalidScope",
    "InvalidToken",
    "Principal",
    "Refused",
    "Requirement",
    "Role",
    "Scope",
    "ScopeSet",
    "__version__",
    "all_of",
    "any_of",
]
