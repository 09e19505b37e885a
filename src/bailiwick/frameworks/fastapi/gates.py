"""The gate in front of a route of FastAPI: it honours `app.dependency_overrides`, and what it has settled does not run again."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_, is_
from typing import Any

from bailiwick.frameworks.fastapi.compat import (
    Dependant,
    Place,
    fast_app,
    has_own_handler,
    is_observed,
    list_parts,
    overrides_of,
)
from bailiwick.frameworks.fastapi.dependency_tree import Declared, Part
from bailiwick.frameworks.fastapi.settled_dependencies import DependencyPruner
from bailiwick.graph import Access, RoutePlan, combine
from bailiwick.guard.gate import Gate
from bailiwick.guard.route_gate import UNDER, RouteGate

__all__ = ["APIRouteGate"]

Kept = tuple[int, ...]  # which of a route's declarations nothing stands in for


class RouteBuilder:
    """Builds a route over a tree without what its gate has settled: once, for as long as the route stays as it is.

    Libraries put theirs around a route's parts at each build, so that a change of another route must not lead to one.
    """

    __slots__ = ("_app", "_parts")

    def __init__(self) -> None:
        self._app: Any = None
        self._parts: list[Any] = []

    def app_for(self, guard: Any, place: Place, full: Any, conn: Any) -> Any:
        """Return the application that connections are passed on to.

        Args:
            guard: whose gate it is.
            place: the route.
            full: the route as the framework built it.
            conn: the first connection that is passed on.
        """
        if place.is_websocket or place.dependant is None or is_observed(conn):
            return full
        # A derived guard may name another caller than the one that was verified: only its own answer is handed out.
        if guard.overrides_authenticate:
            return full
        parts = list_parts(place.dependant)
        if self._app is None or len(parts) != len(self._parts) or not all(map(is_, parts, self._parts)):
            self._app = _build(guard, place, full, place.dependant)
            self._parts = parts
        return self._app


def _build(guard: Any, place: Place, full: Any, tree: Dependant) -> Any:
    pruned, calls = DependencyPruner(guard).prune(tree, compiled=has_own_handler(place, full))
    if pruned is None:
        return full
    return fast_app(place, full, pruned, [] if calls is None else [calls.before]) or full


class APIRouteGate(RouteGate):
    """The gate in front of one route of FastAPI.

    `full` is the route as FastAPI built it; `app` the same route over a tree from which everything
    that the gate has settled is pruned. With overrides in force the full one runs.

    The pruned one is built for the first request that is let through: a thousand routes would take long, and
    hold two handlers each, of which a process may never need most.
    """

    __slots__ = ("_builder", "_by_override", "_declared", "_overridden", "_place")

    def __init__(self, protection: Any, place: Place, full: Any) -> None:
        super().__init__(protection, full)
        self._builder = RouteBuilder()
        self.stand_before(place)
        self._declared = Declared()
        self._by_override: dict[tuple[Kept, Kept], Any] = {}

    def stand_before(self, place: Place) -> None:
        """Take over the route as it is now.

        Args:
            place: the route, as it was read last.
        """
        self._place = place
        self._overridden = overrides_of(place)

    def settle(self, entries: Sequence[RoutePlan], declared: Any = None) -> None:
        """Enforce these entries of the plan from now on."""
        self._declared = declared if declared is not None else Declared()
        self._by_override = {}
        self.app = self._first
        super().settle(entries, declared)

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Decide, and return what is to be awaited."""
        overrides = self._overridden.dependency_overrides
        if overrides and self.served is None and not self.reports and conn.get(UNDER) is self.protection():
            self.ensure_settled()
            if self.route.access is Access.PUBLIC:
                return self.full(conn, receive, send)
            return self._with(overrides).enter(conn, receive, send)
        return RouteGate.enter(self, conn, receive, send)

    def _first(self, conn: Any, receive: Any, send: Any) -> Any:
        self.app = app = self._builder.app_for(self.guard, self._place, self.full, conn)
        return app(conn, receive, send)

    def _with(self, overrides: Mapping[Any, Any]) -> Any:
        """The gate for what is not overridden, in front of the full route."""
        guard: Any = self.guard

        def kept(parts: Sequence[Part], *own: Any) -> Kept:
            if any(map(overrides.__contains__, own)):
                return ()
            return tuple(at for at, (calls, _) in enumerate(parts) if not any(map(overrides.__contains__, calls)))

        left = kept(self._declared.parts, guard), kept(self._declared.optional, guard, guard.anonymous)
        gate = self._by_override.get(left)
        if gate is None:
            gate = self._by_override[left] = Gate(guard, self._with_only(*left), self.full)
        return gate

    def _with_only(self, parts: Kept, optional: Kept) -> RoutePlan:
        """The route's plan, less what is overridden: what stands in for it runs in FastAPI's solver."""
        route, declared = self.route, self._declared
        if route.access is Access.UNDECLARED:
            return route
        if len(parts) == len(declared.parts) and len(optional) == len(declared.optional):
            return route
        left = [declared.parts[at] for at in parts]
        all_left = [*left, *(declared.optional[at] for at in optional)]
        if not all_left:
            return replace(
                route, access=Access.PUBLIC, requirement=None, rule=None, step_up=None, close_on_expiry=False
            )
        requirement, rule = combine(
            [one for _, one in all_left if one is not None], self.guard.catalog, where=route.label
        )
        demanded = [one for calls, _ in left if (one := getattr(calls[-1], "step_up", None)) is not None]
        return replace(
            route,
            access=Access.GUARDED if left else Access.OPTIONAL,
            requirement=requirement,
            rule=rule,
            step_up=reduce(and_, demanded) if demanded else None,
            close_on_expiry=any(getattr(calls[-1], "close_on_expiry", False) for calls, _ in left),
        )
