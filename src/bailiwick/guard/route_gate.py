"""What a protection puts in front of a route: closed from the beginning, settled when its protection has read the route."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final, Protocol

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.graph import Access, Kind, RoutePlan
from bailiwick.guard.asgi_types import ASGIApp, Conn, Receive, Send
from bailiwick.guard.gate import Gate, gate_behind

__all__ = ["PASSES", "UNDER", "RouteGate", "SharedRouteGate", "closed", "route_gate_at"]

log = logging.getLogger("bailiwick.guard")

UNDER: Final = "bailiwick.protection"  # where a connection names the protection by whose application it came in

_PUBLIC: Final = Access.PUBLIC
UNSETTLED: Final = RoutePlan("", (), Kind.HTTP, "", "", Access.UNDECLARED)
# In front of what decides for itself: a wrapped application, a decorated endpoint, what is mounted and has gates of its own.
PASSES: Final = RoutePlan("", (), Kind.HTTP, "", "", Access.PUBLIC, reason="decides for itself")


class Settling(Protocol):
    """What a gate needs of its protection."""

    guard: Any
    report_only: bool

    def settle_gate(self, gate: RouteGate) -> None:
        """Settle this gate, with all others, if the route is part of the plan."""
        ...

    def follow(self) -> None:
        """Read the routes anew."""
        ...


class RouteGate(Gate):
    """The gate that a protection puts in front of one route, before anybody can see that route.

    Args:
        protection: whose gate it is; it is not kept alive.
        full: what the gate stands in front of, as the framework built it.

    Attributes:
        served: of a mounted application that has gates of its own: what it serves from, as it was read; else None.
        reports: whether refusals are only logged.
    """

    __slots__ = ("__weakref__", "full", "protection", "reports", "served")

    def __init__(self, protection: Settling, full: ASGIApp) -> None:
        super().__init__(protection.guard, UNSETTLED, full)
        self.full = full
        self.protection = weakref.ref(protection)
        self.served: Any = None
        self.reports = protection.report_only

    def __deepcopy__(self, _memo: Any) -> RouteGate:
        return self  # who copies routes does not get one without its gate

    @property
    def is_settled(self) -> bool:
        """Whether the protection has read the route."""
        return self.route is not UNSETTLED

    def settle(self, entries: Sequence[RoutePlan], declared: Any = None) -> None:
        """Enforce these entries of the plan from now on.

        Args:
            entries: of the paths by which the route is reached; one that is settled in two ways is closed.
            declared: what the route declares; a framework's own gate keeps it where tests may put something in its place.
        """
        del declared
        protection = self.protection()
        first = entries[0]
        if any(one.decision != first.decision for one in entries):
            entries = [closed(one) for one in entries]
        if protection is not None and first is not PASSES:
            self.stand_at(protection, entries if len(entries) > 1 else ())
        self.route = entries[0]

    def ensure_settled(self) -> None:
        """Have the protection read the route, if it has not; it stays closed if it is not part of the plan."""
        protection = self.protection()
        if self.route is UNSETTLED and protection is not None:
            protection.settle_gate(self)

    def enter(self, conn: Conn, receive: Receive, send: Send) -> Any:
        """Decide, and return what is to be awaited; what is open is passed on, and no decision."""
        if self.route is UNSETTLED:
            self.ensure_settled()
        if self.route.access is _PUBLIC:
            if self.served is not None and not self.served.is_current():
                protection = self.protection()
                if protection is not None:
                    protection.follow()
                    return self.enter(conn, receive, send)
            app = self.app
            return app(conn, receive, send)
        if UNDER in conn and conn[UNDER] is not self.protection():
            # It came in by another protected application, which reads none of this and has decided about it as a whole.
            return self.full(conn, receive, send)
        if self.reports:
            return self._report(conn, receive, send)
        return Gate.enter(self, conn, receive, send)

    async def _report(self, conn: Conn, receive: Receive, send: Send) -> None:
        """Log a refusal, and pass the connection on to the route as it was: what it declares enforces itself, as without a protection."""
        if conn["type"] in {"http", "websocket"}:
            outcome = await self.decide(conn)
            if isinstance(outcome, BailiwickError):
                label = self.entry(conn).label
                log.warning(
                    "report only: %s would be refused: %s %s: %s", label, outcome.status, outcome.id, outcome.detail
                )
        await self.full(conn, receive, send)


class SharedRouteGate:
    """In front of a route that several protected applications serve: each decides about the connections that came in by it."""

    __slots__ = ("_each", "full")

    def __init__(self, full: ASGIApp) -> None:
        self.full = full
        self._each: weakref.WeakKeyDictionary[Any, RouteGate] = weakref.WeakKeyDictionary()

    def __deepcopy__(self, _memo: Any) -> SharedRouteGate:
        return self

    def add(self, gate: RouteGate) -> None:
        """Put a protection's gate here.

        Args:
            gate: decides about what came in by that protection's application.
        """
        protection = gate.protection()
        if protection is not None:
            self._each[protection] = gate

    def gate_of(self, protection: Any) -> RouteGate | None:
        """The gate of one protection, or None.

        Args:
            protection: whose.
        """
        return self._each.get(protection)

    def enter(self, conn: Conn, receive: Receive, send: Send) -> Any:
        """Find the gate of the application through which the connection came."""
        protection = conn.get(UNDER)
        gate = self._each.get(protection) if protection is not None else None
        if gate is None:
            raise ConfigurationError("A route of protected applications was reached around all of them.", id="BW303")
        return gate.enter(conn, receive, send)


def route_gate_at(app: Any) -> RouteGate | SharedRouteGate | None:
    """What protections have put in front of a route; None if that is nothing.

    Args:
        app: what is called for a connection.
    """
    standing = gate_behind(app)
    return standing if isinstance(standing, RouteGate | SharedRouteGate) else None


def closed(entry: RoutePlan) -> RoutePlan:
    """The entry of a route that is settled in a way that cannot be meant: nobody is let in.

    Args:
        entry: the entry.
    """
    return replace(entry, access=Access.UNDECLARED, requirement=None, rule=None, step_up=None, reason="")
