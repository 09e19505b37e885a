"""Protects one FasterAPI application with one guard: closed by default, and refused early."""

import logging
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.frameworks.fasterapi.compat import (
    Faster,
    RadixRouter,
    Router,
    address_of,
    answers_by_its_routes,
    forget_document,
    is_documentation,
    make_protected_class,
    mounts_of,
    path_key,
    router_of,
    served_by,
    sockets_of,
    stop_entering,
    use_router,
)
from bailiwick.frameworks.fasterapi.dependency_runner import RouteRunner, SocketRunner, make_runner
from bailiwick.frameworks.fasterapi.dependency_tree import Declaration, entry_of, read_declared, read_route
from bailiwick.frameworks.fasterapi.error_handlers import Refusals
from bailiwick.frameworks.fasterapi.fast_path import add_fast_path
from bailiwick.frameworks.fasterapi.handlers import make_guarded_handler, make_public_handler, make_socket_handler
from bailiwick.frameworks.fasterapi.route_collector import (
    MountedPlan,
    RouteCollector,
    ServedRoute,
    plan_of,
    plans_below,
)
from bailiwick.frameworks.fasterapi.scope_dependency import ScopeDependency
from bailiwick.graph import Access, Dependant, Kind, Plan, RoutePlan
from bailiwick.graph.openapi import describe
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate
from bailiwick.guard.policy import Public, idle_mounts, settled_twice

__all__ = ["Protection", "protection_of"]

log = logging.getLogger("bailiwick.guard")

Settled = ScopeDependency | Public | None


def protection_of(app: Any) -> "Protection | None":
    """Return the protection of an application, or None."""
    found: Protection | None = getattr(type(app), "bailiwick", None)
    # Another application of the class that it was given is not protected by that.
    return found if found is not None and found.app is app else None


class Protection:
    """Protects one application with one guard: compiled at start; what is added later is closed unless it is declared."""

    def __init__(self, guard: Any, app: Any, docs: Settled, mounts: Mapping[str, Settled], default: Settled) -> None:
        self.guard = guard
        self.app = app
        self.docs = docs
        self.mounts = {path_key(path): settled for path, settled in mounts.items()}
        self.default = default
        self.is_derived = False  # made for an application that a protected one mounts
        self.unused = set(self.mounts)
        self.by_themselves: set[str] = set()  # the paths of routes that declare something
        # WebSocket handlers whose place another one took before the start.
        self._replaced: list[tuple[str, Any]] = []
        self._plan: Plan | None = None
        self._parts: list[RoutePlan | MountedPlan] = []  # what the plan is made of
        self._below: list[Plan] = []  # of the mounted applications, as they stand in it
        self._operations: list[tuple[str, str, RoutePlan]] = []  # what the OpenAPI document lists, as it writes it
        self._finished = False
        self._lock = threading.RLock()
        # Held while something is added: it is there before all routes are read, or gated as a late one.
        self.adding = self._lock
        self._at: dict[tuple[str, ...], RoutePlan] = {}
        self._refusals = Refusals(guard, app)

    def install(self) -> None:
        """Hook the start, the entrance, the router and the OpenAPI document of the application.

        FasterAPI's application has slots and no place for hooks. It is given a class of its own, derived
        from the one it has, that differs in what is hooked and carries this protection.
        """
        app = self.app
        app.__class__ = make_protected_class(type(app), self, add_fast_path)
        use_router(app, Router(self, router_of(app)))
        app.exception_handlers.setdefault(BailiwickError, self._refusals.handler)

    def compile(self, *, strict: bool = True) -> Plan:
        """Read every route, insist that each is settled, and put the gates in place; once.

        Args:
            strict: refuse unsettled routes; otherwise they are only closed.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        with self._lock:
            if self._plan is not None:
                return self._current(self._plan)
            self._at = {}
            self.unused = set(self.mounts)
            self.by_themselves = set()
            gather = RouteCollector()
            routes = gather(self._read_alone, [(one["method"].upper(), one["path"], one) for one in self._routes()])
            operations = [served.operation for served in routes]
            listed = {served.address for served in routes} | {address_of(*where) for where in gather.failed}
            routes += self._unlisted(listed)
            gather(self._read_socket_alone, [("WS", path, handler) for path, handler in self._replaced])
            sockets = gather(self._read_socket_alone, [("WS", *one) for one in sockets_of(self.app).items()])
            mounts = gather(self._read_mounted_app, [("MOUNT", *one) for one in mounts_of(self.app)])
            # Of two equal registrations at one address the later one is served, and stands in the plan once.
            entries = {served.address: served.entry for served in routes}
            parts = [
                *entries.values(),
                *(entry for entry, _ in sockets),
                *(part for inner, _ in mounts for part in inner),
            ]
            below, plan = plans_below(parts), plan_of(parts)
            (plan if strict else Plan(())).check(gather.wrong)
            for served in routes:
                self._put(served)
            for (path, _), (_, socket) in zip(list(sockets_of(self.app).items()), sockets, strict=True):
                sockets_of(self.app)[path] = socket
            mounted = mounts_of(self.app)
            mounted[:] = [(path, gate) for (path, _), (_, gate) in zip(mounted, mounts, strict=True)]
            self._plan, self._parts, self._below, self._operations = plan, parts, below, operations
            forget_document(self.app)
            if not strict:
                self._open()
            return plan

    def _current(self, plan: Plan) -> Plan:
        """The plan, with what mounted applications have added since it was made."""
        below = plans_below(self._parts)
        if below != self._below:
            self._below, self._plan = below, (plan := plan_of(self._parts))
        return plan

    def finish(self) -> Plan:
        """Compile, and insist on what can be known only when nothing more is added before the start.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly, or `mounts=` settles nothing.
        """
        with self._lock:
            plan = self.compile()
            if not self._finished:
                plan.check([*idle_mounts(self.unused, self.by_themselves)])
                self._open()
            return plan

    def _open(self) -> None:
        """From now on the way in is FasterAPI's own, at no cost."""
        if not self._finished:
            self._finished = True
            stop_entering(self.app)

    def enter(self, app: Any) -> None:
        """See to it that everything is in place before a first request is matched.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly, or `mounts=` settles nothing.
        """
        if app is self.app:
            self.finish()

    async def start(self, app: Any, run: Any, receive: Any, send: Any) -> None:
        """Compile when the server starts the application, and again what its start-up added; tell it if that fails.

        Args:
            app: what starts.
            run: the application's own lifespan.
            receive: ASGI receive.
            send: ASGI send.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly, or `mounts=` settles nothing.
        """
        if app is not self.app:
            await run(receive, send)
            return
        wrong: ConfigurationError | None = None

        async def checked(message: Any) -> None:
            nonlocal wrong
            if message["type"] == "lifespan.startup.complete":
                try:
                    self.finish()
                except ConfigurationError as found:
                    wrong = found
                    await send({"type": "lifespan.startup.failed", "message": str(found)})
                    raise
            # FasterAPI would report the failure to report as another one.
            if wrong is None:
                await send(message)

        try:
            self.compile().check()
        except ConfigurationError as found:
            # Said in the protocol's words, or a server would take the failure for a missing lifespan and go on.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(found)})
            raise
        await run(receive, checked)
        if wrong is not None:
            raise wrong

    # -- reading ------------------------------------------------------------------------------------

    def _routes(self) -> Iterator[dict[str, Any]]:
        yield from self.app.routes
        resource = self.guard.resource
        if resource is not None:

            async def metadata() -> Any:
                return self.guard.resource_document(self.compile())

            public = self.guard.public("protected resource metadata (RFC 9728)")
            yield {"method": "GET", "path": resource.metadata_path, "handler": metadata, "dependencies": [public]}

    def _read(self, route: Mapping[str, Any]) -> ServedRoute:
        """One route as it is to be served.

        Raises:
            ConfigurationError: it is declared wrongly.
        """
        method, path, handler = route["method"].upper(), route["path"], route["handler"]
        where = f"{method} {path}"
        roots, target = read_route(handler, route.get("dependencies"), where)
        declared = read_declared(self.guard, (*roots, target), where)
        is_ours = not declared.is_empty or not is_documentation(self.app, path, handler)
        if not is_ours:
            declared.settle(self.docs)
        self._settle(declared, path, by_itself=is_ours)
        entry = entry_of(self.guard.catalog, path, (method,), Kind.HTTP, handler, declared)
        metadata = {name: value for name, value in route.items() if name not in {"method", "path", "handler"}}
        metadata["dependencies"] = None  # they are run behind the gate
        return ServedRoute(method, path, entry, self._behind_gate(entry, handler, roots, target, metadata), metadata)

    def _read_alone(self, method: str, path: str, route: Mapping[str, Any]) -> ServedRoute:
        """One route as it is to be served, if no other one is at its address.

        Raises:
            ConfigurationError: it is declared wrongly, or another one is there that needs something else.
        """
        served = self._read(route)
        self._check_address(method, path, served.entry)
        return served

    def _unlisted(self, listed: Collection[tuple[str, ...]]) -> Iterator[ServedRoute]:
        """What the router serves and the application does not list: it is reached as well, and so it is closed."""
        for method, path, handler in served_by(router_of(self.app)):
            if address_of(method, path) in listed:
                continue
            entry = entry_of(self.guard.catalog, path, (method,), Kind.HTTP, handler, Declaration())
            closed = make_guarded_handler(self.guard, entry, handler, NEVER, self._refusals.make, {})
            yield ServedRoute(method, path, entry, closed, {})

    def _settle(self, declared: Declaration, path: str, *, by_itself: bool = True) -> None:
        """Let `mounts=`, or else `default=`, settle a route that declares nothing."""
        key = path_key(path)
        if by_itself and not declared.is_empty:
            self.by_themselves.add(key)
            return
        self.unused.discard(key)
        if declared.is_empty:
            declared.settle(self.mounts.get(key, self.default))

    def _behind_gate(
        self, entry: RoutePlan, handler: Any, roots: list[Dependant], target: Dependant, metadata: Mapping[str, Any]
    ) -> Any:
        guard, refuse = self.guard, self._refusals.make
        try:
            run = make_runner(handler, roots, target, guard)
        except ConfigurationError as bad:
            raise ConfigurationError(f"{entry.label}: {bad.description}", id=bad.id) from bad
        if entry.access is not Access.PUBLIC:
            return make_guarded_handler(guard, entry, handler, run, refuse, metadata)
        return make_public_handler(handler, run, metadata)

    def _read_socket(self, path: str, handler: Any) -> tuple[RoutePlan, Any]:
        where = f"WS {path}"
        _, target = read_route(handler, None, where)
        declared = read_declared(self.guard, [target], where)
        self._settle(declared, path)
        entry = entry_of(self.guard.catalog, path, (), Kind.WEBSOCKET, handler, declared)
        program = SocketRunner(handler, target, self.guard, where)
        return entry, make_socket_handler(self.guard, entry, program, self.app)

    def _read_socket_alone(self, method: str, path: str, handler: Any) -> tuple[RoutePlan, Any]:
        """One WebSocket handler, if no other one is at its path.

        Raises:
            ConfigurationError: it is declared wrongly, or another one is there that needs something else.
        """
        found = self._read_socket(path, handler)
        self._check_address(method, path, found[0])
        return found

    def _read_mounted_app(self, _method: str, path: str, mounted: Any) -> tuple[Sequence[RoutePlan | MountedPlan], Any]:
        """What a mounted application declares, and what is to stand in its place.

        Raises:
            ConfigurationError: it is settled twice.
        """
        key = path_key(path)
        if isinstance(mounted, Gate):  # guard.wrap(app, ...) settled it, and enforces it
            if key in self.mounts:
                raise ConfigurationError(settled_twice(path, "guard.wrap(...)"))
            entry = replace(mounted.route, path=path, kind=Kind.MOUNT)
            # It may be mounted at several paths.
            mounted.stand_at(self, [*(one for one in mounted.entries_of(self) if one.path != path), entry])
            return [entry], mounted
        self.unused.discard(key)
        settled = self.mounts.get(key)
        if settled is None and isinstance(reason := getattr(mounted, "public_reason", None), str):
            settled = Public(reason)
        if (
            settled is None
            and isinstance(mounted, Faster)
            and (protection_of(mounted) is not None or answers_by_its_routes(mounted))
        ):
            return self._read_inner(path, mounted), mounted
        declared = Declaration()
        declared.settle(settled if settled is not None else self.default)
        entry = entry_of(self.guard.catalog, path or "/", (), Kind.MOUNT, mounted, declared)
        entry = replace(entry, source=source_of(mounted))
        return [entry], mounted if entry.access is Access.PUBLIC else Gate(self.guard, entry, mounted)

    def _read_inner(self, path: str, mounted: Any) -> Sequence[MountedPlan]:
        """What a mounted FasterAPI application declares, which is protected from now on if it was not.

        Raises:
            ConfigurationError: another protected application mounts it too, and settles it in another way.
        """
        prefix = path_key(path).rstrip("/")
        below = {key[len(prefix) :]: value for key, value in self.mounts.items() if key.startswith(prefix + "/")}
        inner = protection_of(mounted)
        if inner is None:
            inner = Protection(self.guard, mounted, self.docs, below, self.default)
            inner.is_derived = True
            inner.install()
        elif inner.is_derived and (inner.guard, inner.docs, inner.mounts, inner.default) != (
            self.guard,
            self.docs,
            below,
            self.default,
        ):
            raise ConfigurationError(
                f"What is mounted at {path} is mounted elsewhere too, where it is settled in another way. "
                "Protect it by itself, or settle both alike."
            )
        inner.compile(strict=False)
        self.by_themselves |= {prefix + key for key in inner.by_themselves}
        if inner.is_derived:
            self.unused -= {prefix + key for key in below if key not in inner.unused}
        else:
            self.unused |= {prefix + key for key in inner.unused}
        return [MountedPlan(path, inner)]

    def _check_address(self, method: str, path: str, entry: RoutePlan) -> None:
        """Refuse two routes at one address that are not settled alike: only the later one is ever served.

        Raises:
            ConfigurationError: they differ.
        """
        address = address_of(method, path)
        earlier = self._at.setdefault(address, entry)
        if earlier.decision != entry.decision:
            raise ConfigurationError(
                f"{entry.label} is declared twice, first as {earlier.label} ({earlier.needs}, {earlier.source}), then "
                f"({entry.needs}, {entry.source}). FasterAPI serves the later one only; remove one of them.",
                id="BW106",
            )
        self._at[address] = entry

    def _put(self, served: ServedRoute) -> None:
        RadixRouter.add_route(
            router_of(self.app),
            served.method,
            served.path,
            served.handler,
            served.metadata,
        )

    # -- what is added after the start ------------------------------------------------------------------

    def late_route(self, method: str, path: str, handler: Any, metadata: Mapping[str, Any]) -> bool:
        """Put a route in place that is added after the start; False before it, when nothing is to be done yet.

        Raises:
            ConfigurationError: it is declared wrongly, or takes the place of another.
        """
        if self._plan is None:
            return False
        try:
            served = self._read_alone(
                method.upper(), path, {"method": method, "path": path, "handler": handler, **metadata}
            )
        except ConfigurationError:
            # It is not served, and so is not listed either: the OpenAPI document would show it open.
            if self.app.routes and self.app.routes[-1]["handler"] is handler:
                self.app.routes.pop()
            raise
        self._put(served)
        self._operations.append(served.operation)
        self._extend([served.entry])
        return True

    def late_socket(self, app: Any, path: str, handler: Any) -> Any:
        """Return what is served for a WebSocket handler that is added now.

        Raises:
            ConfigurationError: it is declared wrongly, or takes the place of another.
        """
        if app is not self.app:
            return handler
        if self._plan is None:
            if path in sockets_of(self.app):
                self._replaced.append((path, sockets_of(self.app)[path]))
            return handler
        entry, served = self._read_socket_alone("WS", path, handler)
        self._extend([entry])
        return served

    def late_mount(self, app: Any, path: str, mounted: Any) -> Any:
        """Return what is mounted for an application that is mounted now."""
        if self._plan is None or app is not self.app:
            return mounted
        entries, gate = self._read_mounted_app("MOUNT", path.rstrip("/"), mounted)
        self._extend(entries)
        return gate

    def _extend(self, parts: Sequence[RoutePlan | MountedPlan]) -> None:
        added = plan_of(parts)
        with self._lock:
            labels = {entry.label for entry in added}
            kept = [part for part in self._parts if isinstance(part, MountedPlan) or part.label not in labels]
            self._parts = [*kept, *parts]
            self._below, self._plan = plans_below(self._parts), plan_of(self._parts)
            forget_document(self.app)
        closed = [entry.label for entry in added.undeclared]
        if closed:
            log.error("routes were added that nobody settled; they are closed: %s", closed)

    def describe(self, app: Any, document: dict[str, Any] | None) -> None:
        """Write the security into an OpenAPI document that FasterAPI has just generated; None is none."""
        if document is not None and app is self.app:
            self.compile()
            describe(document, self._operations, self.guard.scheme_name, self.guard.scheme)


async def _refuse_entry(_give_request: Any, _tasks: Any, _caller: Any, _stack: Any) -> Any:
    raise RuntimeError("A closed route was entered.")


# How a route runs that is served without being listed: not at all.
NEVER: Final = RouteRunner(_refuse_entry)
