"""The gate in front of an endpoint that is an ASGI application, as a decorator puts it there."""

from typing import Any

from bailiwick.errors import BailiwickError
from bailiwick.frameworks.starlette.error_handlers import answer_here
from bailiwick.guard.gate import Gate

__all__ = ["EndpointGate"]


class EndpointGate(Gate):
    """A gate in front of one endpoint; in-handler checks are answered as exactly as its own refusals."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        # As a class is asked for its methods by whoever describes an API.
        if name.startswith("_") or name == "app":
            raise AttributeError(name)
        return getattr(self.app, name)

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        """Decide, and call the endpoint or refuse."""
        answer_here(conn, BailiwickError, self.guard.handle_error)  # type: ignore[attr-defined]  # the guard is of this door
        await Gate.__call__(self, conn, receive, send)
