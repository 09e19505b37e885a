"""The guard for any ASGI application.

    from bailiwick.asgi import Guard

    guard = Guard(catalog, verifier)
    app = guard.wrap(app, all_of("reports:read"))

A gate decides from the request's headers alone: before the body is read, before a WebSocket is
accepted, and before anything of the application runs.
"""

from .guard.asgi_types import Conn
from .guard.decision import Decision, Verifier
from .guard.gate import Gate
from .guard.guard import Guard
from .guard.policy import OnExpiry, Public
from .guard.protected_resource import Resource

__all__ = ["Conn", "Decision", "Gate", "Guard", "OnExpiry", "Public", "Resource", "Verifier"]
