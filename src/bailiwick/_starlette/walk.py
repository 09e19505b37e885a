"""Reading every route that can be reached, and how it is settled."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, Final

from starlette.applications import Starlette
from starlette.routing import BaseRoute, Host, Mount, Router, WebSocketRoute

from bailiwick._asgi.gate import Gate, standing_at
from bailiwick.graph import Access, Kind, RoutePlan

from .gates import SettledGate, gate_of
from .marks import MARK, declared_by, name_of, source_of
from .routers import Fallback, fallback_of, is_readable

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
    """

    def __init__(
        self, mounts: Mapping[str, Any], default: Any, reached: Callable[[Any], None] = lambda _app: None
    ) -> None:
        self.mounts = mounts
        self.default = default
        self._reached = reached
        self.applications: list[Starlette] = []
        self.unused = set(mounts)

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

    def _entry(self, route: BaseRoute, path: str) -> tuple[RoutePlan, Any | None]:
        declared = None if gate_of(route) is not None else declared_by(route)
        todo = declared is None
        if declared is None:
            declared = self._settled(path, self.default)
        else:
            self.unused.discard(_key(path))
        endpoint = getattr(route, "endpoint", route)
        kind = Kind.MOUNT if isinstance(route, Fallback) else Kind.HTTP
        return (
            replace(
                declared or NOT_DECLARED,
                path=path or "/",
                methods=tuple(sorted(getattr(route, "methods", None) or ())),
                kind=Kind.WEBSOCKET if isinstance(route, WebSocketRoute) else kind,
                name=getattr(route, "name", "") or name_of(endpoint),
                source=source_of(endpoint),
            ),
            route if todo else None,
        )

    def _settled(self, path: str, otherwise: Any) -> RoutePlan | None:
        """What `mounts=` says about a path."""
        self.unused.discard(_key(path))
        found: RoutePlan | None = getattr(self.mounts.get(_key(path), otherwise), MARK, None)
        return found

    def _mounted(self, route: Any, path: str) -> Iterator[tuple[RoutePlan, Any | None]]:
        standing = route.app
        settled = self._settled(path, None)
        if isinstance(standing, SettledGate):
            standing = standing.app
        inner = getattr(route, "_base_app", None) or standing
        if isinstance(inner, SettledGate):
            inner = inner.app
        if isinstance(gate := standing_at(standing), Gate):
            yield replace(gate.route, path=path, kind=Kind.MOUNT), None
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
        yield replace(settled, path=path, kind=Kind.MOUNT, name=name_of(inner), source=""), route


def _key(path: str) -> str:
    return path.rstrip("/") or "/"
