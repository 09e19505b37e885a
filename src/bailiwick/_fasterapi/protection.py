"""One FasterAPI application under one guard: closed by default, and refused early."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from bailiwick.asgi import Gate, Public
from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.graph import Access, Dependant, Kind, Plan, RoutePlan

from .declarations import Need
from .internals import Faster, HTTPException, RadixRouter, address_of, answer_to, is_documentation
from .openapi import describe
from .reading import Declared, entry_of, read_declared, read_route, source_of
from .running import SocketProgram, run_of
from .serving import STRAIGHT, Sent, guarded, guarded_socket, ungated

__all__ = ["Protection", "protection_of"]

log = logging.getLogger("bailiwick.guard")

Settled = Need | Public | None


def protection_of(app: Any) -> "Protection | None":
    """Under what an application stands, or None."""
    found: Protection | None = getattr(type(app), "bailiwick", None)
    return found


class Protection:
    """One application under one guard: compiled at start; what is added later is closed unless it is declared."""

    def __init__(self, guard: Any, app: Any, docs: Settled, mounts: Mapping[str, Settled], default: Settled) -> None:
        self.guard = guard
        self.app = app
        self.docs = docs
        self.mounts = mounts
        self.default = default
        self._plan: Plan | None = None
        self._lock = threading.RLock()
        self._at: dict[tuple[str, ...], RoutePlan] = {}
        self._refusals = Refusals(guard, app)

    def install(self) -> None:
        """Hook the start, the entrance, the router and the OpenAPI document of the application.

        FasterAPI's application has slots and no place for hooks. It is given a class of its own, derived
        from the one it has, that differs in what is hooked and carries this protection.
        """
        app = self.app
        app.__class__ = hooked(type(app), self)
        app._router = Router(self, app._router)  # noqa: SLF001
        app.exception_handlers.setdefault(BailiwickError, self._refusals.handler)

    def compile(self, *, strict: bool = True) -> Plan:
        """Read every route, insist that each is settled, and put the gates in place; once.

        Args:
            strict: refuse unsettled routes; otherwise they are only closed.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        plan = self._plan
        if plan is not None:
            return plan
        with self._lock:
            if self._plan is not None:
                return self._plan
            self._at = {}
            routes = [self._read(route) for route in self._routes()]
            for served in routes:
                self._check_address(served.method, served.path, served.entry)
            sockets = [self._read_socket(path, handler) for path, handler in self.app._ws_routes.items()]  # noqa: SLF001
            mounts = [self._read_mount(path, mounted) for path, mounted in self.app._mounts]  # noqa: SLF001
            # Of two equal registrations at one address the later one is served, and stands in the plan once.
            entries = {served.address: served.entry for served in routes}
            plan = Plan(
                (
                    *entries.values(),
                    *(entry for entry, _ in sockets),
                    *(entry for inner, _ in mounts for entry in inner),
                )
            )
            if strict:
                plan.check()
            for served in routes:
                self._put(served)
            for (path, _), (_, socket) in zip(list(self.app._ws_routes.items()), sockets, strict=True):  # noqa: SLF001
                self.app._ws_routes[path] = socket  # noqa: SLF001
            self.app._mounts[:] = [  # noqa: SLF001
                (path, gate)
                for (path, _), (_, gate) in zip(self.app._mounts, mounts, strict=True)  # noqa: SLF001
            ]
            self._plan = plan
            self.app._openapi_cache = None  # noqa: SLF001
            # From now on the way in is FasterAPI's own, at no cost.
            del type(self.app)._asgi_app  # noqa: SLF001
            return plan

    async def start(self, receive: Any, send: Any) -> None:
        """Compile when the server starts the application, and tell it if that fails.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        try:
            self.compile().check()
        except ConfigurationError as wrong:
            # Said in the protocol's words, or a server would take the failure for a missing lifespan and go on.
            await receive()
            await send({"type": "lifespan.startup.failed", "message": str(wrong)})
            raise

    # -- reading ------------------------------------------------------------------------------------

    def _routes(self) -> Iterator[dict[str, Any]]:
        yield from self.app.routes
        resource = self.guard.resource
        if resource is not None:

            async def metadata() -> Any:
                return self.guard.resource_document(self.compile())

            public = self.guard.public("protected resource metadata (RFC 9728)")
            yield {"method": "GET", "path": resource.metadata_path, "handler": metadata, "dependencies": [public]}

    def _read(self, route: Mapping[str, Any]) -> "Served":
        """One route as it is to be served.

        Raises:
            ConfigurationError: it is declared wrongly.
        """
        method, path, handler = route["method"].upper(), route["path"], route["handler"]
        where = f"{method} {path}"
        roots, target = read_route(handler, route.get("dependencies"), where)
        declared = read_declared(self.guard, (*roots, target), where)
        if declared.is_empty and is_documentation(self.app, path, handler):
            declared.settle(self.docs)
        if declared.is_empty:
            declared.settle(self.mounts.get(path, self.default))
        entry = entry_of(self.guard.catalog, path, (method,), Kind.HTTP, handler, declared)
        metadata = {name: value for name, value in route.items() if name not in {"method", "path", "handler"}}
        metadata["dependencies"] = None  # they are run behind the gate
        return Served(method, path, entry, self._behind_gate(entry, handler, roots, target, metadata), metadata)

    def _behind_gate(
        self, entry: RoutePlan, handler: Any, roots: list[Dependant], target: Dependant, metadata: Mapping[str, Any]
    ) -> Any:
        guard, refuse = self.guard, self._refusals.make
        try:
            run = run_of(handler, roots, target, guard)
        except ConfigurationError as bad:
            raise ConfigurationError(f"{entry.label}: {bad.description}", id=bad.id) from bad
        if entry.access is not Access.PUBLIC:
            return guarded(guard, entry, handler, run, refuse, metadata)
        return ungated(handler, run, metadata)

    def _read_socket(self, path: str, handler: Any) -> tuple[RoutePlan, Any]:
        where = f"WS {path}"
        _, target = read_route(handler, None, where)
        declared = read_declared(self.guard, [target], where)
        if declared.is_empty:
            declared.settle(self.mounts.get(path, self.default))
        entry = entry_of(self.guard.catalog, path, (), Kind.WEBSOCKET, handler, declared)
        program = SocketProgram(handler, target, self.guard, where)
        return entry, guarded_socket(self.guard, entry, program, self.app)

    def _read_mount(self, path: str, mounted: Any) -> tuple[Sequence[RoutePlan], Any]:
        """What a mounted application declares, and what is to stand in its place."""
        if isinstance(mounted, Gate):  # guard.wrap(app, ...) settled it, and enforces it
            return [replace(mounted.route, path=path, kind=Kind.MOUNT)], mounted
        settled = self.mounts.get(path or "/")
        if settled is None and isinstance(reason := getattr(mounted, "public_reason", None), str):
            settled = Public(reason)
        if settled is None and isinstance(mounted, Faster):
            inner = protection_of(mounted)
            if inner is None:
                below = {
                    key[len(path) :]: value
                    for key, value in self.mounts.items()
                    if key.startswith(path.rstrip("/") + "/")
                }
                inner = Protection(self.guard, mounted, self.docs, below, self.default)
                inner.install()
            return [replace(entry, path=path + entry.path) for entry in inner.compile(strict=False)], mounted
        declared = Declared()
        declared.settle(settled if settled is not None else self.default)
        entry = entry_of(self.guard.catalog, path or "/", (), Kind.MOUNT, mounted, declared)
        entry = replace(entry, source=source_of(mounted))
        return [entry], mounted if entry.access is Access.PUBLIC else Gate(self.guard, entry, mounted)

    def _check_address(self, method: str, path: str, entry: RoutePlan) -> None:
        """Refuse two routes at one address that are not settled alike: only the later one is ever served.

        Raises:
            ConfigurationError: they differ.
        """
        address = address_of(method, path)
        earlier = self._at.setdefault(address, entry)
        if (earlier.access, earlier.requirement, earlier.step_up) != (entry.access, entry.requirement, entry.step_up):
            raise ConfigurationError(
                f"{entry.label} is declared twice, first as {earlier.label} ({earlier.needs}, {earlier.source}), then "
                f"({entry.needs}, {entry.source}). FasterAPI serves the later one only; remove one of them.",
                id="BW106",
            )
        self._at[address] = entry

    def _put(self, served: "Served") -> None:
        RadixRouter.add_route(
            self.app._router,  # noqa: SLF001
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
        served = self._read({"method": method, "path": path, "handler": handler, **metadata})
        with self._lock:
            self._check_address(served.method, path, served.entry)
            self._put(served)
            self._extend([served.entry])
        return True

    def late_socket(self, path: str, handler: Any) -> Any:
        """What is to be served for a WebSocket handler that is added now."""
        if self._plan is None:
            return handler
        entry, served = self._read_socket(path, handler)
        self._extend([entry])
        return served

    def late_mount(self, path: str, mounted: Any) -> Any:
        """What is to be mounted for an application that is mounted now."""
        if self._plan is None:
            return mounted
        entries, gate = self._read_mount(path.rstrip("/"), mounted)
        self._extend(entries)
        return gate

    def _extend(self, entries: Sequence[RoutePlan]) -> None:
        with self._lock:
            kept = self._plan.routes if self._plan is not None else ()
            labels = {entry.label for entry in entries}
            self._plan = Plan((*(entry for entry in kept if entry.label not in labels), *entries))
            self.app._openapi_cache = None  # noqa: SLF001
        closed = [entry.label for entry in entries if entry.access is Access.UNDECLARED]
        if closed:
            log.error("routes were added that nobody settled; they are closed: %s", closed)

    def describe(self, document: dict[str, Any] | None) -> None:
        """Write the security into an OpenAPI document that FasterAPI has just generated; None is none."""
        if document is not None:
            describe(document, self.compile(), self.guard.scheme_name, self.guard.scheme)


@dataclass(frozen=True, slots=True)
class Served:
    """One route as FasterAPI is to serve it."""

    method: str
    path: str
    entry: RoutePlan
    handler: Any
    metadata: dict[str, Any]

    @property
    def address(self) -> tuple[str, ...]:
        """Where the radix tree keeps it."""
        return address_of(self.method, self.path)


class Refusals:
    """How one application answers what its guard refuses.

    A handler that the application registered for Bailiwick's errors or for FasterAPI's `HTTPException`
    is asked; otherwise the answer is the exact one of the error contract.
    """

    def __init__(self, guard: Any, app: Any) -> None:
        self._guard = guard
        self._app = app
        self._nobody = guard._no_credentials  # noqa: SLF001
        self._nobody_answer = sent(guard._no_credentials_answer)  # noqa: SLF001
        self.handler = self.answer  # one object, to be known again

    def make(self, error: BailiwickError) -> Any:
        """The answer to a refusal of the gate, as a response of FasterAPI.

        Raises:
            BailiwickError: the application has a handler of its own for it.
            HTTPException: the application has a handler for that.
        """
        if self._is_exact(error):
            if error is self._nobody:
                return self._nobody_answer
            log.info("refused: %s %s: %s", error.status, error.id, error.detail)
            return sent(self._guard.challenge.answer(error))
        # FasterAPI asks the application's handlers; ours, if it is still there, asks the one for HTTPException.
        raise error

    def _is_exact(self, error: BailiwickError) -> bool:
        """Whether nobody but us has a say in the answer."""
        handlers = self._app.exception_handlers
        if len(handlers) == 1:  # nearly always, and then it is ours
            return handlers.get(BailiwickError) is self.handler
        asked = next((handlers[kind] for kind in type(error).__mro__ if kind in handlers), None)
        return asked is self.handler and HTTPException not in handlers

    async def answer(self, request: Any, error: BailiwickError) -> Sent:
        """The exception handler for Bailiwick's errors, wherever in the application they were raised."""
        refusal = self._guard.as_http(error)
        if HTTPException in self._app.exception_handlers:
            status, body, headers = await answer_to(self._app, request, refusal)
            return Sent(status, headers, body)
        return sent(self._guard.challenge.answer(error))


def sent(answer: Any) -> Sent:
    """An answer of the error contract as a response of FasterAPI."""
    return Sent(answer.status, list(answer.headers), answer.body)


class Router(RadixRouter):  # type: ignore[misc]  # FasterAPI ships no types
    """FasterAPI's router, which also gates what is added after the start; it matches as it always did."""

    __slots__ = ("protection",)
    root: Any

    def __init__(self, protection: Protection, router: Any) -> None:
        self.root = router.root
        self.protection = protection

    def add_route(self, method: str, path: str, handler: Any, metadata: dict[str, Any] | None = None) -> None:
        """Add a route, behind its gate if the application has started."""
        if not self.protection.late_route(method, path, handler, metadata or {}):
            super().add_route(method, path, handler, metadata)


# The slot in which FasterAPI keeps the OpenAPI document that it generated.
_DOCUMENT: Final = Faster._openapi_cache  # noqa: SLF001


def hooked(kind: Any, protection: Protection) -> type:
    """The class of an application, with what differs where it is protected.

    Args:
        kind: the application's class; FasterAPI's own or one derived from it.
        protection: of the application that is given the new class.
    """

    class Protected(kind):  # type: ignore[misc]  # known only now
        __slots__ = ()
        bailiwick = protection

        async def _asgi_app(self, conn: Any, receive: Any, send: Any) -> None:
            # A server without a lifespan: compile before anything is matched. Taken away once that is done.
            if conn["type"] != "lifespan":
                protection.compile()
            await super()._asgi_app(conn, receive, send)

        @property
        def _openapi_cache(self) -> Any:
            return _DOCUMENT.__get__(self)

        @_openapi_cache.setter
        def _openapi_cache(self, document: Any) -> None:
            # FasterAPI generates a document once and keeps it: whoever asked for it is given this same object.
            protection.describe(document)
            _DOCUMENT.__set__(self, document)

        async def _handle_lifespan(self, conn: Any, receive: Any, send: Any) -> None:
            await protection.start(receive, send)
            await super()._handle_lifespan(conn, receive, send)

        def websocket(self, path: str) -> Any:
            """Register a WebSocket handler, behind its gate if the application has started."""
            add = super().websocket

            def decorator(handler: Any) -> Any:
                add(path)(protection.late_socket(path.rstrip("/") or "/", handler))
                return handler

            return decorator

        def mount(self, path: str, app: Any, name: str | None = None) -> None:
            """Mount an application, behind its gate if this one has started."""
            super().mount(path, protection.late_mount(path, app), name)

    if kind._handle_http is Faster._handle_http:  # noqa: SLF001
        # An application that handles requests in its own way goes on doing so.
        Protected._handle_http = straight_first(kind._handle_http)  # noqa: SLF001
    Protected.__name__, Protected.__qualname__, Protected.__module__ = kind.__name__, kind.__qualname__, kind.__module__
    return Protected


def straight_first(rest: Any) -> Any:
    """FasterAPI's way of handling a request, by the straight path where the matched route has one.

    Args:
        rest: FasterAPI's own, for all else: 404, and what was raised.
    """

    async def _handle_http(self: Any, conn: Any, receive: Any, send: Any) -> None:
        found = self._router.resolve(conn["method"], conn["path"])
        straight = getattr(found[0], STRAIGHT, None) if found is not None else None
        if straight is not None:
            receive = await straight(conn, found[1], receive, send)
            if receive is None:
                return
        await rest(self, conn, receive, send)

    return _handle_http
