"""Reading every route that can be reached, and how it is settled."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.starlette.endpoint_metadata import MARK, declared_at, gates_at, name_of
from bailiwick.frameworks.starlette.fallback import Fallback, fallback_of, is_readable
from bailiwick.frameworks.starlette.gates import SettledGate, gate_of
from bailiwick.graph import Access, Kind, Plan, RoutePlan
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate, gate_behind
from bailiwick.guard.policy import idle_mounts, settled_twice

__all__ = ["Walk"]

NOT_DECLARED: Final = RoutePlan("", (), Kind.HTTP, "", "", Access.UNDECLARED)


class Walk:
    """Reads every route that can be reached, and how it is settled.

    Args:
        mounts: what settles mounted applications, by their paths.
        default: what settles a route that declares nothing.
        reached: called with each application or router before its routes are read.

    Attributes:
        applications: the mounted Starlette applications.
        unused: the paths of `mounts=` at which nothing was found.
        wrong: what is settled in a way that cannot be meant; it is left closed.
        placed: the gates that stand there already, each with the entry that it enforces.
    """

    def __init__(
        self, mounts: Mapping[str, Any], default: Any, reached: Callable[[Any], None] = lambda _app: None
    ) -> None:
        self.mounts = mounts
        self.default = default
        self._reached = reached
        self.applications: list[Starlette] = []
        self.unused = set(mounts)
        self.wrong: list[ConfigurationError] = []
        self.placed: list[tuple[Gate, RoutePlan]] = []
        self._because_wrong: list[RoutePlan] = []
        self._settled_first: dict[int, RoutePlan] = {}  # by the identity of the route
        self._by_themselves: set[str] = set()  # the paths of routes that declare something

    def entries(self, app: Any, prefix: str) -> Iterator[tuple[RoutePlan, Any | None]]:
        """Each route's entry, and the route itself where a gate is still to be put in front of it."""
        router = getattr(app, "router", app)
        self._reached(app)
        if isinstance(app, Starlette):
            self.applications.append(app)
        fallback = fallback_of(router)
        for route in [*router.routes, *([fallback] if fallback is not None else [])]:
            path = prefix + getattr(route, "path", "")
            if isinstance(route, Mount | Host):
                yield from self._mounted(route, path)
            else:
                yield self._entry(route, path)

    def check(self, plan: Plan, *, mounts: bool) -> None:
        """Insist that what was read is settled, and in a way that can be meant.

        Args:
            plan: all that was read.
            mounts: whether everything was read, so that each path of `mounts=` must have settled something.

        Raises:
            ConfigurationError: one error that lists all that is not.
        """
        right = Plan(tuple(entry for entry in plan if entry not in self._because_wrong))
        right.check([*self.wrong, *(idle_mounts(self.unused, self._by_themselves) if mounts else ())])

    def _entry(self, route: BaseRoute, path: str) -> tuple[RoutePlan, Any | None]:
        gate = gate_of(route)  # from an earlier reading, or another protection's
        behind = getattr(route, "endpoint", None), getattr(route, "app", None) if gate is None else gate.app
        declared = declared_at(*behind)
        todo = declared is None
        if declared is None:
            declared = self._settled(path, self.default)
        else:
            self._by_themselves.add(_key(path))
        endpoint = getattr(route, "endpoint", route)
        kind = Kind.MOUNT if isinstance(route, Fallback) else Kind.HTTP
        entry = replace(
            declared or NOT_DECLARED,
            path=path or "/",
            methods=tuple(sorted(getattr(route, "methods", None) or ())),
            kind=Kind.WEBSOCKET if isinstance(route, WebSocketRoute) else kind,
            name=getattr(route, "name", "") or name_of(endpoint),
            source=source_of(endpoint),
        )
        if todo:
            return self._alike(entry, route), route
        self._place(entry, gates_at(*behind))
        return entry, None

    def _place(self, entry: RoutePlan, gates: Iterator[Gate]) -> None:
        """Note where declared gates stand: the first enforces the entry itself, another behind it what it was made for."""
        self.placed += [(gate, entry) for gate in islice(gates, 1)]
        at = {name: getattr(entry, name) for name in ("path", "methods", "kind", "name", "source")}
        self.placed += [(gate, replace(gate.route, **at)) for gate in gates]

    def _alike(self, entry: RoutePlan, route: Any) -> RoutePlan:
        """The entry of a route in front of which one gate is put, whatever mounts it is reached by."""
        first = self._settled_first.setdefault(id(route), entry)
        if first.decision == entry.decision:
            return entry
        return self._closed(
            entry,
            f"{first.label} and {entry.label} are one route, and settled differently; build it for each of its paths.",
        )

    def _settled(self, path: str, otherwise: Any) -> RoutePlan | None:
        """What `mounts=` says about a path."""
        self.unused.discard(_key(path))
        found: RoutePlan | None = getattr(self.mounts.get(_key(path), otherwise), MARK, None)
        return found

    def _closed(self, entry: RoutePlan, why: str) -> RoutePlan:
        """The entry of what is settled in a way that cannot be meant."""
        closed = replace(entry, access=Access.UNDECLARED, requirement=None, rule=None, step_up=None, reason="")
        self.wrong.append(ConfigurationError(why))
        self._because_wrong.append(closed)
        return closed

    def _mounted(self, route: Any, path: str) -> Iterator[tuple[RoutePlan, Any | None]]:
        standing = route.app
        settled = self._settled(path, None)
        if isinstance(standing, SettledGate):
            standing = standing.app
        inner = getattr(route, "_base_app", None) or standing
        if isinstance(inner, SettledGate):
            inner = inner.app
        if isinstance(gate := gate_behind(standing), Gate) or isinstance(gate := gate_behind(inner), Gate):
            if settled is None:
                entry = replace(gate.route, path=path or "/", kind=Kind.MOUNT)
                self._place(entry, gates_at(gate))
                yield entry, None
            else:
                entry = replace(NOT_DECLARED, path=path, kind=Kind.MOUNT, name=gate.route.name)
                # Only one of the two would be asked.
                yield self._closed(entry, settled_twice(path, "guard.wrap(...)")), route
            return
        if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
            settled = RoutePlan("", (), Kind.MOUNT, "", "", Access.PUBLIC, reason=reason)
        if settled is None and isinstance(inner, Starlette | Router) and is_readable(inner):
            yield from self.entries(inner, path)
            return
        if isinstance(inner, Starlette):
            self.applications.append(inner)
        if settled is None:
            settled = getattr(self.default, MARK, None) or NOT_DECLARED
        entry = replace(settled, path=path, kind=Kind.MOUNT, name=name_of(inner), source="")
        yield self._alike(entry, route), route


def _key(path: str) -> str:
    return path.rstrip("/") or "/"
