"""One application under one guard: closed by default, and refused early."""

import logging
import threading
import weakref
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, Final

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, Router

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.frameworks.fastapi import compat
from bailiwick.frameworks.fastapi.dependency_tree import (
    Declared,
    check_scopes_are_read,
    documentation_paths,
    is_empty,
    read_tree,
    settle,
)
from bailiwick.frameworks.fastapi.gates import Open, RouteGate, Several, Standing
from bailiwick.frameworks.fastapi.openapi import Document, Operations, needed_of_others
from bailiwick.frameworks.fastapi.scope_dependency import ScopeDependency
from bailiwick.frameworks.fastapi.signature_checks import Signatures, check_signatures
from bailiwick.frameworks.starlette.endpoint_metadata import declared_by
from bailiwick.frameworks.starlette.error_handlers import answer_errors
from bailiwick.frameworks.starlette.route_list import watched_routes
from bailiwick.frameworks.starlette.route_tracker import Changes, Reading
from bailiwick.frameworks.starlette.router_middleware import Entrance, entrance_of, follow_router, watch_entrance
from bailiwick.graph import Access, Kind, Plan, RoutePlan, combine
from bailiwick.graph.plan import located
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate
from bailiwick.guard.policy import Public, access_of, idle_mounts, settled_twice

__all__ = ["Protection", "protection_of"]

log = logging.getLogger("bailiwick.guard")

# What stands at a route of one application: its place, its entry of the plan, and what it declares.
Found = tuple[compat.Place | None, RoutePlan, Declared]


class Protection:
    """One application under one guard: compiled at start, and again if routes are added later."""

    def __init__(
        self,
        guard: Any,
        app: FastAPI,
        docs: ScopeDependency | Public | None,
        mounts: Mapping[str, ScopeDependency | Public | None],
        default: ScopeDependency | Public | None,
    ) -> None:
        self.guard = guard
        self.app = app
        self.docs = docs
        self.mounts = {path.rstrip("/") or "/": settled for path, settled in mounts.items()}
        self.default = default
        self._plan: Plan | None = None
        self._operations: dict[Any, Operations] = {}
        self._wrong: list[ConfigurationError] = []
        self._unused: set[str] = set()
        self._by_themselves: set[str] = set()  # the paths of routes that declare something
        self._settled_first: dict[int, tuple[Any, RoutePlan]] = {}  # by the identity of what a gate stands in front of
        self._signatures = Signatures()
        self._changes = Changes(self.compile)
        self._lock = threading.RLock()
        self._entrances: list[Entrance] = []
        self._shares = False
        self._metadata: Route | None = None

    def install(self) -> None:
        """Hook the start, the entrance and the OpenAPI document of the application."""
        app, router = self.app, self.app.router
        for other in [one() for one in PROTECTED.values()]:
            if other is not None:
                other.read_again()
        PROTECTED[app] = weakref.ref(self)  # the router's entrance keeps it
        answer_errors(app, BailiwickError, self.guard.handle_error)
        follow_router(app, self._enter)

        resource = self.guard.resource
        if resource is not None:

            async def metadata(_request: Request) -> JSONResponse:
                return JSONResponse(self.guard.resource_document(self.compile()))

            # Before all others: a catch-all or a mount at "/" would take what clients look for (RFC 9728 section 3).
            self._metadata = Route(resource.metadata_path, metadata, include_in_schema=False)
            compat.serve_first(router, self._metadata)

        self._describe(app)

    def _enter(self, router: Any) -> None:
        """Hook the start and the entrance of the application's router."""
        watched_routes(router, self._changes.heard)  # early: who asks for the list from now on is given this one
        entrance = watch_entrance(router, self._changes)
        if entrance is not None:
            other = entrance.protection
            if other is not None and other is not self and other.app.router is router:
                raise ConfigurationError(
                    "This application's router is another protected application's too; only one of their guards would be asked."
                )
            entrance.protection = self
            self._entrances.append(entrance)
            if self._shares:
                entrance.name()
        lifespan = router.lifespan_context

        @asynccontextmanager
        async def compiled_first(started: Any) -> AsyncIterator[Any]:
            self.check()
            async with lifespan(started) as state:
                # What starts up may add routes, and build anew what is there.
                self.read_again()
                self.compile()
                yield state

        router.lifespan_context = compiled_first

    def read_again(self) -> None:
        """Read the routes before the next connection: what is mounted may have been protected since, and settle itself."""
        self._changes.heard()

    def share(self) -> None:
        """Have connections say that they came in by this application: another one serves some of its routes as well."""
        self._shares = True
        for entrance in self._entrances:
            entrance.name()

    def check(self) -> None:
        """Insist that each route is settled; no gate is put in place yet.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        if self._plan is None:
            with self._lock:
                found = self._read_all(self._changes.begin())
                Plan(tuple(route for _, route, _ in found)).check(self._wrong)

    def compile(self) -> Plan:
        """Read every route, insist that each is settled, and put the gates in place.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        if self._plan is not None and not self._changes.pending():
            return self._plan
        with self._lock:
            if self._plan is not None and not self._changes.pending():
                return self._plan  # another thread was first
            reading = self._changes.begin()
            found = self._read_all(reading)
            plan = Plan(tuple(route for _, route, _ in found))
            if self._plan is None:
                plan.check([*self._wrong, *idle_mounts(self._unused, self._by_themselves)])
            elif plan.undeclared:
                # Added while the application runs: the others go on, and these stay closed (BW303).
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            for place, route, declared in found:
                if place is not None:
                    self._gate(place, route, declared)
            for app in self._operations:
                self._describe(app)
                app.openapi_schema = None
            self._plan = plan
            self._signatures = Signatures()  # the memory is needed again only if routes are added
            self._changes.finish(reading)
            return plan

    def operations_of(self, app: Any) -> Operations | None:
        """What the operations of one application need: of the protected one, or of one that it mounts.

        Args:
            app: a FastAPI application.
        """
        return self._operations.get(app)

    def _describe(self, app: Any) -> None:
        """See to it that an application's OpenAPI document is true, also if it writes its own."""
        write = app.openapi
        if isinstance(write, Document):
            if write.belongs_to(self):
                return
            write = write.plain
        app.openapi = Document(app, write, self)

    # -- reading ------------------------------------------------------------------------------------

    def _read_all(self, reading: Reading) -> list[Found]:
        """Every route that can be reached."""
        self._operations = {}
        self._wrong = []
        self._unused = set(self.mounts)
        self._by_themselves.clear()
        self._settled_first.clear()
        return list(self._walk(self.app, "", reading))

    def _walk(self, app: Any, prefix: str, reading: Reading) -> Iterator[Found]:
        router = getattr(app, "router", app)
        reading.add(app)
        compat.watch_changes(router, reading)
        operations = Operations(self.guard, described=bool(getattr(app, "openapi_url", None)))
        if isinstance(app, FastAPI):
            self._operations[app] = operations
        own_paths = documentation_paths(app)
        for place in compat.places(router, reading):
            path = prefix + place.path
            where = self._where(place, path)
            try:
                if place.is_mount:
                    yield from self._walk_mount(place, path, reading)
                    continue
                found = self._find(place, path, where, own_paths)
                others = []
                if found[2].others:
                    others = needed_of_others(place, found[2], where)
                    operations.check_names(place, found[2], where)
            except ConfigurationError as wrong:
                if self._plan is None:  # the start fails, and says all that is wrong
                    self._unused.discard(path.rstrip("/") or "/")  # it may have come too late to be noted
                    self._wrong.append(located(wrong, where, name_of(place), source_of(place.endpoint)))
                    continue
                if place.is_mount:
                    raise
                log.error("a route was added that is declared wrongly; it is closed: %s", wrong.description)  # noqa: TRY400 - its traceback says nothing more
                declared = Declared()
                found, others = (place, self._entry(place, path, Kind.HTTP, declared), declared), []
            operations.add(place, found[1], others)
            yield found

    def _find(self, place: compat.Place, path: str, where: str, own_paths: set[str]) -> Found:
        kind = Kind.WEBSOCKET if place.is_websocket else Kind.MOUNT if place.is_fallback else Kind.HTTP
        by_hand = declared_by(place.served) if place.dependant is None else None
        standing = Standing.at(getattr(place.served, "app", None))
        if by_hand is not None and not (
            isinstance(standing, RouteGate) and standing.route is by_hand
        ):  # the Starlette door, or guard.wrap(app, ...), settled it and enforces it
            self._by_themselves.add(path.rstrip("/") or "/")
            there = self._entry(place, path, kind, Declared())
            entry = replace(by_hand, path=there.path, methods=there.methods, kind=kind, name=there.name)
            return None, entry, Declared()
        declared = self._read(place, where)
        if not is_empty(declared):
            self._by_themselves.add(path.rstrip("/") or "/")
        if is_empty(declared) and place.original is self._metadata:
            settle(declared, Public("protected resource metadata (RFC 9728)"))
        if is_empty(declared) and place.path in own_paths and compat.is_documentation(place):
            settle(declared, self.docs)
        if is_empty(declared):
            settle(declared, self._settled(path, self.default))
        check_scopes_are_read(declared, where, self.guard.catalog)
        entry = self._entry(place, path, kind, declared)
        self._check_alike(place, entry)
        return place, entry, declared

    def _check_alike(self, place: compat.Place, entry: RoutePlan) -> None:
        """Insist that a route needs the same by each path that leads to it: one gate stands in front of it.

        Raises:
            ConfigurationError: it is mounted twice, and settled differently.
        """
        _, first = self._settled_first.setdefault(id(place.route), (place.route, entry))
        if first.decision != entry.decision:
            raise ConfigurationError(
                f"{first.label} and {entry.label} are one route, and settled differently; build it for each of its paths."
            )

    def _settled(self, path: str, otherwise: ScopeDependency | Public | None) -> ScopeDependency | Public | None:
        """What `mounts=` says about a path."""
        key = path.rstrip("/") or "/"
        self._unused.discard(key)
        return self.mounts.get(key, otherwise)

    def _walk_mount(self, place: compat.Place, path: str, reading: Reading) -> Iterator[Found]:
        inner = getattr(place.original, "app", None)
        while (standing := Standing.at(inner)) is not None:  # from an earlier compilation
            inner = standing.full
        if not (isinstance(inner, FastAPI) and inner in PROTECTED):
            answer_errors(getattr(inner, "app", inner), BailiwickError, self.guard.handle_error)
        settled = self._settled(path, None)
        if isinstance(inner, Gate):  # guard.wrap(app, ...) settled it, and enforces it
            if settled is None:
                entry = replace(inner.route, path=path)
                # It may be mounted at several paths.
                inner.stand_at(self, [*(one for one in inner.entries_of(self) if one.path != path), entry])
                yield None, entry, Declared()
                return
            wrong = settled_twice(path, "guard.wrap(...)")
            if self._plan is None:
                raise ConfigurationError(wrong)
            log.error("a route was added that is declared wrongly; it is closed: %s", wrong)
            yield place, self._entry(place, path, Kind.MOUNT, Declared()), Declared()
            return
        if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
            settled = Public(reason)
        # A protected application, or its router without it, goes by its own guard.
        other = protection_of(inner)
        if settled is None and other is not None:
            for route in other.compile():
                yield None, replace(route, path=path + route.path), Declared()
            return
        if settled is None and isinstance(inner, Starlette | Router):
            yield from self._walk(inner, path, reading)
            return
        declared = Declared()
        settle(declared, settled if settled is not None else self.default)
        entry = self._entry(place, path, Kind.MOUNT, declared)
        self._check_alike(place, entry)
        yield place, entry, declared

    def _read(self, place: compat.Place, where: str) -> Declared:
        declared = Declared()
        if place.dependant is not None:
            read_tree(self.guard, place.dependant, declared, where)
        check_signatures(place, where, self._signatures)
        return declared

    def _where(self, place: compat.Place, path: str) -> str:
        """A route's name for messages."""
        other = "MOUNT" if place.is_mount or place.is_fallback else "WS"
        return f"{'|'.join(place.methods) or other} {path}"

    def _entry(self, place: compat.Place, path: str, kind: Kind, declared: Declared) -> RoutePlan:
        where = self._where(place, path)
        access, reason = access_of(
            where, required=bool(declared.parts), optional=bool(declared.optional), public=declared.public
        )
        needed = [one for _, one in (*declared.parts, *declared.optional) if one is not None]
        requirement, rule = combine(needed, self.guard.catalog, where=where)
        return RoutePlan(
            path or "/",
            place.methods if kind is Kind.HTTP else (),
            kind,
            name_of(place),
            source_of(place.endpoint),
            access,
            requirement,
            reason,
            rule,
            declared.step_up,
            declared.close_on_expiry,
        )

    # -- enforcing -----------------------------------------------------------------------------------

    def _gate(self, place: compat.Place, route: RoutePlan, declared: Declared) -> None:
        def made(full: Any) -> Standing:
            if route.access is Access.PUBLIC:
                return Open(self, place, full)
            return RouteGate(self, place, route, full, declared)

        def wrap(app: Any) -> Any:
            standing = Standing.at(app)
            if isinstance(standing, Several):
                standing.add(self, made(standing.full))
                return app
            if standing is None:
                return made(app).enter
            other = standing.protection()
            if other is None or other is self:  # compiled again: what stood there goes
                return made(standing.full).enter
            several = Several(standing.full)
            several.add(other, standing)
            several.add(self, made(standing.full))
            return several.enter

        compat.set_app(place, wrap)


def name_of(place: compat.Place) -> str:
    """How a route is named by whoever wrote it."""
    return getattr(place.original, "name", None) or getattr(place.endpoint, "__name__", "") or ""


# Which applications are protected, so that one mounted in another is not asked for twice.
PROTECTED: Final["weakref.WeakKeyDictionary[FastAPI, weakref.ref[Protection]]"] = weakref.WeakKeyDictionary()


def protection_of(app: Any) -> Protection | None:
    """The protection of an application, or of the one whose router this is; or None.

    Args:
        app: a FastAPI application, a router, or whatever else may be mounted.
    """
    if isinstance(app, Router):
        entrance = entrance_of(app)
        found = entrance.protection if entrance is not None else None
        return found if isinstance(found, Protection) else None
    known = PROTECTED.get(app) if isinstance(app, FastAPI) else None
    return known() if known is not None else None
