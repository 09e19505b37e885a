"""One Starlette application under one guard: closed by default, and settled when it starts."""

import logging
import threading
import weakref
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from starlette.applications import Starlette

from bailiwick.errors import BailiwickError
from bailiwick.frameworks.starlette.error_handlers import answer_errors
from bailiwick.frameworks.starlette.gates import gate_of, gate_route
from bailiwick.frameworks.starlette.route_list import watched_routes
from bailiwick.frameworks.starlette.route_reader import Walk
from bailiwick.frameworks.starlette.route_tracker import Changes
from bailiwick.frameworks.starlette.router_middleware import follow_router, watch_entrance
from bailiwick.graph import Plan, RoutePlan

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
        self._changes = Changes(self.settle)
        self._lock = threading.RLock()

    def install(self) -> None:
        """Hook the start and the entrance of the application."""
        PROTECTED[self.app] = weakref.ref(self)  # the router's entrance keeps it
        answer_errors(self.app, BailiwickError, self.guard.handle_error)
        follow_router(self.app, self._enter)

    def _enter(self, router: Any) -> None:
        """Hook the start and the entrance of the application's router."""
        watched_routes(router, self._changes.heard)  # early: who asks for the list from now on is given this one
        entrance = watch_entrance(router, self._changes)
        if entrance is not None:
            entrance.protection = self
        lifespan = router.lifespan_context

        @asynccontextmanager
        async def checked_first(started: Any) -> AsyncIterator[Any]:
            if self._plan is None:
                walk = Walk(self.mounts, self.default)
                walk.check(Plan(tuple(entry for entry, _ in walk.entries(self.app, ""))), mounts=False)
            async with lifespan(started) as state:
                # What starts up may add routes, and build anew what is there.
                self._changes.heard()
                self.settle()
                yield state

        router.lifespan_context = checked_first

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
                walk.check(plan, mounts=True)
            elif plan.undeclared:
                for wrong in walk.wrong:
                    log.error("a route was added that is declared wrongly; it is closed: %s", wrong.description)
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            for inner in walk.applications:
                answer_errors(inner, BailiwickError, self.guard.handle_error)
            for entry, route in found:
                if route is not None:
                    gate_route(self, entry, route)
            self._place([*walk.placed, *((gate_of(route), entry) for entry, route in found if route is not None)])
            self._plan = plan
            self._changes.finish(reading)
            return plan

    def _place(self, standing: list[tuple[Any, RoutePlan]]) -> None:
        """Tell each gate which entries of the plan it enforces: one endpoint may stand in several routes, and a route in several mounts."""
        entries: dict[int, list[RoutePlan]] = {}
        for gate, entry in standing:
            entries.setdefault(id(gate), []).append(entry)
        for gate in {id(gate): gate for gate, _ in standing}.values():
            gate.stand_at(self, entries[id(gate)])


# Which applications are protected.
PROTECTED: Final["weakref.WeakKeyDictionary[Starlette, weakref.ref[Protection]]"] = weakref.WeakKeyDictionary()


def protection_of(app: Starlette) -> Protection | None:
    """The protection of an application, or None."""
    found = PROTECTED.get(app)
    return found() if found is not None else None
