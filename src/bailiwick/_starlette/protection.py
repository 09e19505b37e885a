"""One Starlette application under one guard: closed by default, and settled when it starts."""

import logging
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.graph import Plan, RoutePlan

from .answers import answer_errors
from .gates import SettledGate
from .routers import Changes, watched_routes
from .walk import Walk

__all__ = ["Protection", "protection_of"]

log = logging.getLogger("bailiwick.guard")


class Protection:
    """One application under one guard: settled at start, and again if its routes change."""

    def __init__(self, guard: Any, app: Starlette, mounts: Mapping[str, Any], default: Any) -> None:
        self.guard = guard
        self.app = app
        self.mounts = {path.rstrip("/") or "/": value for path, value in mounts.items() if value is not None}
        self.default = default
        self._plan: Plan | None = None
        self._changes = Changes()
        self._lock = threading.RLock()

    def install(self) -> None:
        """Hook the start and the entrance of the application."""
        app, router = self.app, self.app.router
        PROTECTED[app] = weakref.ref(self)  # the router's entrance keeps it
        watched_routes(router, self._changes.heard)  # early: who asks for the list from now on is given this one
        answer_errors(app, BailiwickError, self.guard.handle_error)
        lifespan, inner = router.lifespan_context, router.middleware_stack

        @asynccontextmanager
        async def checked_first(started: Any) -> AsyncIterator[Any]:
            if self._plan is None:
                walk = Walk(self.mounts, self.default)
                Plan(tuple(entry for entry, _ in walk.entries(app, ""))).check()
            async with lifespan(started) as state:
                self.settle()  # what starts up may have added routes
                yield state

        def entrance(conn: Any, receive: Any, send: Any) -> Any:
            if self._changes.pending() and conn["type"] != "lifespan":
                self.settle()
            return inner(conn, receive, send)

        router.lifespan_context = checked_first
        router.middleware_stack = entrance  # type: ignore[assignment]  # Starlette's own types are wider

    def settle(self) -> Plan:
        """Read every route, insist that each is settled, and put gates where none stands yet.

        Raises:
            ConfigurationError: a route is not settled; but one that was added later is closed.
        """
        if self._plan is not None and not self._changes.pending():
            return self._plan
        with self._lock:
            if self._plan is not None and not self._changes.pending():
                return self._plan  # another thread was first
            reading = self._changes.begin()
            walk = Walk(self.mounts, self.default, reading.add)
            found = list(walk.entries(self.app, ""))
            plan = Plan(tuple(entry for entry, _ in found))
            if self._plan is None:
                plan.check()
                if walk.unused:
                    raise ConfigurationError(
                        f"mounts= settles paths at which nothing is served: {', '.join(sorted(walk.unused))}."
                    )
            elif plan.undeclared:
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            for inner in walk.applications:
                answer_errors(inner, BailiwickError, self.guard.handle_error)
            for entry, route in found:
                if route is not None:
                    self._gate(entry, route)
            self._plan = plan
            self._changes.finish(reading)
            return plan

    def _gate(self, entry: RoutePlan, route: Any) -> None:
        standing = route.app
        if isinstance(standing, SettledGate):
            other = standing.protection()
            if other is not None and other is not self:
                if other.guard is self.guard and standing.route == entry:
                    return
                raise ConfigurationError(
                    f"{entry.label} is served by two protected applications that settle it differently; build it for each."
                )
            standing = standing.app
        route.app = SettledGate(self, entry, standing)


# Which applications are protected.
PROTECTED: Final["weakref.WeakKeyDictionary[Starlette, weakref.ref[Protection]]"] = weakref.WeakKeyDictionary()


def protection_of(app: Starlette) -> Protection | None:
    """The protection of an application, or None."""
    found = PROTECTED.get(app)
    return found() if found is not None else None
