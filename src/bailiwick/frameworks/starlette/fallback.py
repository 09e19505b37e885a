"""What a router serves besides its routes."""

from typing import Any

from starlette.routing import BaseRoute, Router

__all__ = ["Fallback", "fallback_of"]


class Fallback(BaseRoute):
    """What a router serves where no route matches, if somebody put something there.

    Args:
        router: the router.
    """

    path = "/{fallback}"
    name = "fallback"

    def __init__(self, router: Any) -> None:
        self.router = router

    @property
    def app(self) -> Any:
        """What is served."""
        return self.router.default

    @app.setter
    def app(self, app: Any) -> None:
        self.router.default = app


def fallback_of(router: Any) -> Fallback | None:
    """What a router serves where no route matches; None if that is 404.

    Args:
        router: a router of Starlette's kind.
    """
    default = getattr(router, "default", None)
    if default is None or getattr(default, "__func__", None) is Router.not_found:
        return None
    return Fallback(router)
