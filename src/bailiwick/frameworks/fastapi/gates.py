"""What stands at each route of a protected application, in the place of what the framework built."""

import weakref
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import and_
from typing import Any

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import Place, fast_app, has_own_handler, is_observed, overrides_of
from bailiwick.frameworks.fastapi.dependency_tree import Declared, Part
from bailiwick.frameworks.fastapi.settled_dependencies import DependencyPruner
from bailiwick.frameworks.starlette.route_tracker import Placed
from bailiwick.frameworks.starlette.router_middleware import UNDER
from bailiwick.graph import Access, RoutePlan, combine
from bailiwick.guard.gate import Gate, gate_behind

__all__ = ["Open", "RouteGate", "Several", "Standing"]

Kept = tuple[int, ...]  # which of a route's declarations nothing stands in for


class Standing(Placed):
    """What a protection puts in the place of a route's application, by its method `enter`.

    Attributes:
        full: the route as the framework built it.
        protection: whose it is, if that is still there.
    """

    __slots__ = ()
    full: Any
    protection: Callable[[], Any]

    @staticmethod
    def at(app: Any) -> "Standing | None":
        """What a protection has put there; None if that is no protection's.

        Args:
            app: what is called for a connection.
        """
        standing = gate_behind(app)
        return standing if isinstance(standing, Standing) else None

    @abstractmethod
    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Decide about a connection, and return what is to be awaited.

        Args:
            conn: the ASGI connection scope.
            receive: ASGI receive.
            send: ASGI send.
        """


def pruned_app(guard: Any, place: Place, full: Any, conn: Any) -> Any:
    """A route over a tree from which everything is pruned that its gate has settled, as far as that can be done.

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
    pruned, calls = DependencyPruner(guard).prune(place.dependant, compiled=has_own_handler(place))
    if pruned is None:
        return full
    return fast_app(place, full, pruned, [] if calls is None else [calls.before]) or full


class Open(Standing):
    """In front of a route that is open to everyone. It decides nothing, but one application's reason opens no other's route."""

    __slots__ = ("_app", "_guard", "_overridden", "_place", "full", "protection")

    def __init__(self, protection: Any, place: Place, full: Any) -> None:
        self.protection = weakref.ref(protection)
        self.full = full
        self._guard = protection.guard
        self._place = place
        self._overridden = overrides_of(place)
        self._app = self._first

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Pass the connection on."""
        return (self.full if self._overridden.dependency_overrides else self._app)(conn, receive, send)

    def _first(self, conn: Any, receive: Any, send: Any) -> Any:
        self._app = pruned_app(self._guard, self._place, self.full, conn)
        return self._app(conn, receive, send)


class Several(Standing):
    """In front of a route that several protected applications share: each decides about the connections that came in by it."""

    __slots__ = ("_each", "full")

    def __init__(self, full: Any) -> None:
        self.full = full
        self._each: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()

    def add(self, protection: Any, gate: Any) -> None:
        """Put a protection's gate here, in the place of an earlier one.

        Args:
            protection: whose gate it is.
            gate: decides about what came in by that protection's application.
        """
        protection.share()
        self._each[protection] = gate

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Find the gate of the application through which the connection came."""
        protection = conn.get(UNDER)
        gate = self._each.get(protection) if protection is not None else None
        if gate is None:
            raise ConfigurationError("A route of protected applications was reached around all of them.", id="BW303")
        return gate.enter(conn, receive, send)


class RouteGate(Gate, Standing):
    """A gate that also honours `app.dependency_overrides`.

    `full` is the route as FastAPI built it; `app` the same route over a tree from which everything
    that the gate has settled is pruned. With overrides in force the full one runs.

    The pruned one is built for the first request that is let through: a thousand routes would take long, and
    hold two handlers each, of which a process may never need most.
    """

    __slots__ = ("_by_override", "_place", "declared", "full", "overridden", "protection")

    def __init__(self, protection: Any, place: Place, route: RoutePlan, full: Any, declared: Declared) -> None:
        super().__init__(protection.guard, route, self._first)
        self.protection = weakref.ref(protection)
        self.full = full
        self.declared = declared
        self.overridden = overrides_of(place)
        self._place = place
        self._by_override: dict[tuple[Kept, Kept], Any] = {}

    def _first(self, conn: Any, receive: Any, send: Any) -> Any:
        self.app = app = pruned_app(self.guard, self._place, self.full, conn)
        return app(conn, receive, send)

    def enter(self, conn: Any, receive: Any, send: Any) -> Any:
        """Decide, and return what is to be awaited."""
        overrides = self.overridden.dependency_overrides
        if overrides:
            return self._with(overrides).enter(conn, receive, send)
        return Gate.enter(self, conn, receive, send)

    def _with(self, overrides: Mapping[Any, Any]) -> Any:
        """The gate for what is not overridden, in front of the full route."""
        guard: Any = self.guard

        def kept(parts: Sequence[Part], *own: Any) -> Kept:
            if any(map(overrides.__contains__, own)):
                return ()
            return tuple(at for at, (calls, _) in enumerate(parts) if not any(map(overrides.__contains__, calls)))

        left = kept(self.declared.parts, guard), kept(self.declared.optional, guard, guard.anonymous)
        gate = self._by_override.get(left)
        if gate is None:
            gate = self._by_override[left] = Gate(guard, self._with_only(*left), self.full)
        return gate

    def _with_only(self, parts: Kept, optional: Kept) -> RoutePlan:
        """The route's plan, less what is overridden: what stands in for it runs in FastAPI's solver."""
        route, declared = self.route, self.declared
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
