"""One application under one guard: closed by default, and refused early."""

import logging
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Router

from bailiwick.asgi import Gate, Public
from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.graph import Access, Kind, Plan, RoutePlan, combine

from . import internals
from .declarations import Need
from .openapi import describe
from .pruning import Pruning
from .reading import (
    Declared,
    check_hidden,
    check_ignored,
    check_scopes_are_read,
    documentation_paths,
    is_empty,
    read_tree,
    settle,
    source_of,
)

__all__ = ["PROTECTED", "Protection"]

log = logging.getLogger("bailiwick.guard")


class Protection:
    """One application under one guard: compiled at start, and again if routes are added later."""

    def __init__(
        self,
        guard: Any,
        app: FastAPI,
        docs: Need | Public | None,
        mounts: Mapping[str, Need | Public | None],
        default: Need | Public | None,
    ) -> None:
        self.guard = guard
        self.app = app
        self.docs = docs
        self.mounts = mounts
        self.default = default
        self._plan: Plan | None = None
        self._routers: list[tuple[Sequence[Any], int]] = []
        self._stale = True
        self._described: dict[str, Any] | None = None
        self._lock = threading.Lock()

    def install(self) -> None:
        """Hook the start, the entrance and the OpenAPI document of the application."""
        app, router = self.app, self.app.router
        if not any(isinstance(key, type) and issubclass(key, BailiwickError) for key in app.exception_handlers):
            app.add_exception_handler(BailiwickError, self.guard.handle_error)

        resource = self.guard.resource
        if resource is not None:

            async def metadata(_request: Request) -> JSONResponse:
                return JSONResponse(self.guard.resource_document(self.compile()))

            router.add_route(resource.metadata_path, metadata, include_in_schema=False)

        lifespan = router.lifespan_context

        @asynccontextmanager
        async def compiled_first(started: Any) -> AsyncIterator[Any]:
            self.compile()
            async with lifespan(started) as state:
                yield state

        router.lifespan_context = compiled_first

        inner = router.middleware_stack

        def entrance(conn: Any, receive: Any, send: Any) -> Any:
            # A server without lifespan, or routes added later: compile before anything is matched.
            if self._changed_since() and conn["type"] != "lifespan":
                self.compile()
            return inner(conn, receive, send)

        router.middleware_stack = entrance  # type: ignore[assignment]  # Starlette's own types are wider

        generate = app.openapi

        def openapi() -> dict[str, Any]:
            schema = generate()
            if schema is not self._described:  # FastAPI keeps it until routes change
                describe(schema, self.compile(), self.guard)
                self._described = schema
            return schema

        app.openapi = openapi  # type: ignore[method-assign]

    def compile(self) -> Plan:
        """Read every route, insist that each is settled, and put the gates in place.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        if self._plan is not None and not self._changed_since():
            return self._plan
        with self._lock:
            self._routers = []
            found = list(self._walk(self.app, "", self.docs))
            plan = Plan(tuple(route for _, route, _ in found))
            if self._plan is None:
                plan.check()
            elif plan.undeclared:
                # Added while the application runs: the others go on, and these stay closed (BW303).
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            for place, route, declared in found:
                if place is not None:
                    self._gate(place, route, declared)
            self._stale = False
            self._plan = plan
            self.app.openapi_schema = None
            return plan

    def _changed(self) -> None:
        self._stale = True

    def _changed_since(self) -> bool:
        if self._stale:
            return True
        for routes, count in self._routers:  # noqa: SIM110 - asked for each request; a generator would cost more
            if len(routes) != count:
                return True
        return False

    # -- reading ------------------------------------------------------------------------------------

    def _walk(
        self, app: Any, prefix: str, docs: Need | Public | None
    ) -> Iterator[tuple[internals.Place | None, RoutePlan, Declared]]:
        own_paths = documentation_paths(app)
        router = getattr(app, "router", app)
        self._routers.append((router.routes, len(router.routes)))
        internals.watch_changes(router, self._changed)
        for place in internals.places(router):
            path = prefix + place.path
            if place.is_mount:
                yield from self._walk_mount(place, path)
                continue
            declared = self._read(place, path)
            resource = self.guard.resource
            if is_empty(declared) and resource is not None and path == resource.metadata_path:
                settle(declared, Public("protected resource metadata (RFC 9728)"))
            if is_empty(declared) and internals.is_plain_route(place) and place.path in own_paths:
                settle(declared, docs)
            if is_empty(declared):
                settle(declared, self.mounts.get(path, self.default))
            kind = Kind.WEBSOCKET if place.is_websocket else Kind.HTTP
            yield place, self._entry(place, path, kind, declared), declared

    def _walk_mount(
        self, place: internals.Place, path: str
    ) -> Iterator[tuple[internals.Place | None, RoutePlan, Declared]]:
        inner = getattr(place.original, "app", None)
        while isinstance(inner, RouteGate):  # from an earlier compilation
            inner = inner.full
        if isinstance(inner, Gate):  # guard.wrap(app, ...) settled it, and enforces it
            yield None, replace(inner.route, path=path), Declared()
            return
        key = path.rstrip("/") or "/"
        settled = self.mounts.get(key)
        if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
            settled = Public(reason)
        other = PROTECTED.get(inner) if isinstance(inner, FastAPI) else None
        if settled is None and other is not None:
            for route in other.compile():
                yield None, replace(route, path=path + route.path), Declared()
            return
        if settled is None and isinstance(inner, Starlette | Router):
            yield from self._walk(inner, path, self.docs)
            return
        declared = Declared()
        settle(declared, settled if settled is not None else self.default)
        yield place, self._entry(place, path, Kind.MOUNT, declared), declared

    def _read(self, place: internals.Place, path: str) -> Declared:
        declared = Declared()
        if place.dependant is not None:
            where = f"{'|'.join(place.methods) or 'WS'} {path}"
            read_tree(self.guard, place.dependant, declared, where)
            check_scopes_are_read(declared, where)
            check_hidden(place, where)
            check_ignored(place, where)
        else:
            marked = getattr(place.endpoint, "__bailiwick__", None)
            for need in marked or ():
                settle(declared, need)
        return declared

    def _entry(self, place: internals.Place, path: str, kind: Kind, declared: Declared) -> RoutePlan:
        where = f"{'|'.join(place.methods) or kind.value} {path}"
        name = getattr(place.original, "name", None) or getattr(place.endpoint, "__name__", "") or ""
        required = [requirement for _, requirement in declared.parts if requirement is not None]
        access, reason = Access.UNDECLARED, ""
        if declared.parts:
            if declared.public:
                raise ConfigurationError(
                    f"{where} is declared public ({declared.public[0].reason}) and inherits a requirement as well; "
                    "one of the two is wrong."
                )
            access = Access.GUARDED
        elif declared.optional:
            access = Access.OPTIONAL
        elif declared.public:
            access, reason = Access.PUBLIC, declared.public[0].reason
        if declared.optional:
            required += [requirement for _, requirement in declared.optional if requirement is not None]
        requirement, rule = combine(required, self.guard.catalog, where=where)
        return RoutePlan(
            path or "/",
            place.methods if kind is Kind.HTTP else (),
            kind,
            name,
            source_of(place.endpoint),
            access,
            requirement,
            reason,
            rule,
            declared.step_up,
            declared.close_on_expiry,
        )

    # -- enforcing -----------------------------------------------------------------------------------

    def _gate(self, place: internals.Place, route: RoutePlan, declared: Declared) -> None:
        guard = self.guard

        def wrap(app: Any) -> Any:
            while isinstance(app, RouteGate):  # compiled again: the old gate goes
                app = app.full
            fast = None
            if route.kind is Kind.HTTP and place.dependant is not None:
                pruned, chain = Pruning(guard).prune(place.dependant)
                if pruned is not None:
                    fast = internals.fast_app(place, pruned, chain.before if chain is not None else None)
            if route.access is Access.PUBLIC:
                return app
            return RouteGate(guard, route, app, fast, declared, internals.overrides_of(place))

        internals.set_app(place, wrap)


class RouteGate(Gate):
    """A gate that also honours `app.dependency_overrides`.

    `full` is the route as FastAPI built it; `app` the same route over a tree from which everything
    that the gate has settled is pruned. With overrides in force the full one runs.
    """

    __slots__ = ("_by_override", "declared", "full", "overrides")

    def __init__(
        self,
        guard: Any,
        route: RoutePlan,
        full: Any,
        fast: Any,
        declared: Declared,
        overrides: Mapping[Any, Any],
    ) -> None:
        super().__init__(guard, route, fast if fast is not None else full)
        self.full = full
        self.declared = declared
        self.overrides = overrides
        self._by_override: dict[frozenset[int], Gate] = {}

    def __call__(self, conn: Any, receive: Any, send: Any) -> Any:
        """Decide, and return what is to be awaited; a router awaits it, and needs no coroutine function."""
        if self.overrides:
            return self._with_overrides()(conn, receive, send)
        return self.enter(conn, receive, send)

    def _with_overrides(self) -> Any:
        """The gate for what is not overridden, in front of the full route."""
        parts, overrides = self.declared.parts, self.overrides
        guard: Any = self.guard
        if self.route.access is Access.OPTIONAL and (guard in overrides or guard.anonymous in overrides):
            return self.full
        replaced = frozenset(
            index
            for index, (calls, _) in enumerate(parts)
            if guard in overrides or any(map(overrides.__contains__, calls))
        )
        gate = self._by_override.get(replaced)
        if gate is None:
            gate = self._by_override[replaced] = Gate(guard, self._without(replaced), self.full)
        return gate

    def _without(self, replaced: frozenset[int]) -> RoutePlan:
        """The route's plan, less what is overridden: what stands in for it runs in FastAPI's solver."""
        route, guard = self.route, self.guard
        if not replaced:
            return route
        left = [requirement for index, (_, requirement) in enumerate(self.declared.parts) if index not in replaced]
        if not left:
            return replace(route, access=Access.PUBLIC, requirement=None, rule=None, step_up=None)
        requirement, rule = combine([one for one in left if one is not None], guard.catalog, where=route.label)
        return replace(route, requirement=requirement, rule=rule)


# Which applications are protected, so that one mounted in another is not asked for twice.
PROTECTED: Final["weakref.WeakKeyDictionary[FastAPI, Protection]"] = weakref.WeakKeyDictionary()
