"""One application under one guard: closed by default from `protect()` on, and settled when it starts.

Every route has a gate before anybody can see it. A gate that is not settled has its protection read all routes, make the plan, and settle
all gates; a gate whose route is not in the plan lets nobody in. What differs between frameworks is in an `Adapter`.
"""

from __future__ import annotations

import logging
import threading
import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from bailiwick.errors import ConfigurationError
from bailiwick.graph import Kind, Plan, RoutePlan
from bailiwick.graph.plan import located
from bailiwick.guard.gate import Gate, gate_behind
from bailiwick.guard.policy import Public, idle_mounts, settled_twice
from bailiwick.guard.route_gate import PASSES, RouteGate, closed

__all__ = ["Adapter", "Protection", "Served", "protection_of"]

log = logging.getLogger("bailiwick.guard")


class Served(Protocol):
    """What an application or a router serves from, as it was when it was closed."""

    def is_current(self) -> bool:
        """Whether it still does: its router, its list and what it serves otherwise are the same objects."""
        ...


class Adapter(ABC):
    """What a framework has to supply, for one protected application.

    A *place* is one thing that an application serves, as its framework keeps it. It has `path`, `route` (the framework's object; places with
    the same one share a gate), `original` (as it was declared), `is_mount`, `name`, `source` ("file:line", or "") and
    `label(path)`, its name for messages. What a route *declares* is the adapter's own, and has `is_empty`.
    """

    @abstractmethod
    def install(self, protection: Protection) -> None:
        """Hook the start, the entrance and the OpenAPI document of the application."""

    @abstractmethod
    def close(self, protection: Protection, app: Any) -> Served:
        """Have a gate in front of whatever an application serves: what is there, and what comes."""

    @abstractmethod
    def put_gate(self, protection: Protection, route: Any) -> None:
        """Put a gate in front of a route, unless the protection's own stands there."""

    @abstractmethod
    def places(self, app: Any) -> Iterator[Any]:
        """Everything that an application serves, in the order in which it tries it."""

    @abstractmethod
    def gate_at(self, protection: Protection, place: Any) -> RouteGate:
        """The protection's gate at a place; it is put there if it is missing."""

    @abstractmethod
    def own_gates(self, place: Any, gate: RouteGate) -> list[tuple[Gate | None, RoutePlan]]:
        """The gates that a route was put behind when it was declared, from the outside to the inside, each with its part; or none."""

    @abstractmethod
    def mounted_at(self, place: Any, gate: RouteGate) -> tuple[Any, ...]:
        """What is mounted at a place: what is wrapped around it, and the application last."""

    @abstractmethod
    def is_plain_mount(self, place: Any, layers: tuple[Any, ...]) -> bool:
        """Whether a mount hands what it matches over to its application, and nothing between them answers."""

    @abstractmethod
    def is_readable(self, app: Any) -> bool:
        """Whether what is mounted answers by its list of routes, and in no other way."""

    @abstractmethod
    def protection_of(self, app: Any) -> Protection | None:
        """The protection of what is mounted, or None."""

    @abstractmethod
    def answer_errors(self, protection: Protection, app: Any) -> None:
        """Have an application answer what is refused inside of it."""

    @abstractmethod
    def read(self, place: Any, where: str) -> Any:
        """What a route declares.

        Raises:
            ConfigurationError: it is declared wrongly.
        """

    @abstractmethod
    def nothing_declared(self) -> Any:
        """What a route declares that declares nothing."""

    @abstractmethod
    def settle(self, declared: Any, value: Any) -> None:
        """Add what `docs=`, `mounts=` or `default=` say, or None."""

    @abstractmethod
    def entry(self, place: Any, path: str, declared: Any) -> RoutePlan:
        """The entry of the plan.

        Raises:
            ConfigurationError: the declarations exclude each other, or name unknown scopes.
        """

    def is_documentation(self, app: Any, place: Any) -> bool:  # noqa: ARG002 - few frameworks make pages
        """Whether the framework made this page or document itself."""
        return False

    def begin(self) -> None:  # noqa: B027 - few frameworks need it
        """Routes are about to be read."""

    def refresh(self) -> None:  # noqa: B027 - few frameworks need it
        """Have the framework build what it builds only when it is asked, so that it is known whether something changed."""

    def rebuild(self, app: Any) -> None:  # noqa: B027 - few frameworks need it
        """Have the framework build anew what it keeps: the application's start-up may have changed what that was made from."""

    def note(self, app: Any, place: Any, entry: RoutePlan, declared: Any, where: str) -> None:  # noqa: B027 - few frameworks need it
        """Note what a route needs, for the OpenAPI document of its application."""

    def finish(self, protection: Protection) -> None:  # noqa: B027 - few frameworks need it
        """All gates are settled."""


@dataclass(frozen=True, slots=True)
class Found:
    """One entry of the plan, or the gate of a mount, which needs none.

    Attributes:
        entry: the entry, or None.
        gate: the protection's gate, if it has one there.
        declared: what the route declares.
        passes: whether the gate passes everything on, because what stands behind it decides.
        served: what is mounted there and has gates of its own, as it was read.
        is_wrong: whether it is closed because of how it is declared.
    """

    entry: RoutePlan | None
    gate: RouteGate | None = None
    declared: Any = None
    passes: bool = False
    served: Served | None = None
    is_wrong: bool = False


class Contradiction(ConfigurationError):
    """What is settled in two ways; the text names both."""


class Protection:
    """One application under one guard.

    Args:
        adapter: knows the framework.
        guard: who decides.
        app: the application.
        docs: what the pages need that the framework makes itself, or None.
        mounts: what settles mounted applications, by their paths.
        default: what settles a route that declares nothing, or None.
        report_only: log what is not settled and what would be refused, and enforce nothing.
    """

    def __init__(
        self,
        adapter: Adapter,
        guard: Any,
        app: Any,
        *,
        docs: Any = None,
        mounts: Mapping[str, Any] | None = None,
        default: Any = None,
        report_only: bool = False,
    ) -> None:
        self.adapter = adapter
        self.report_only = report_only
        self.guard = guard
        self.app = app
        self.metadata: Any = None  # the route of the resource's metadata, which is public (RFC 9728)
        self._docs = docs
        self._mounts = {_key(path): value for path, value in (mounts or {}).items() if value is not None}
        self._default = default
        self.served: Served | None = None  # what connections come in by, as it was read; None before
        self._plan: Plan | None = None
        # A change is a new object; what was read last is the one that was there before the reading began.
        self._latest = object()
        self._read: object = None
        self._lock = threading.RLock()
        self._strays: weakref.WeakSet[RouteGate] = weakref.WeakSet()  # gates of routes that are in no list
        self._wrong: list[ConfigurationError] = []
        self._unused: set[str] = set()
        self._by_themselves: set[str] = set()  # the paths of routes that declare something
        self._settled_first: dict[int, tuple[Any, RoutePlan]] = {}  # by the identity of the route
        self._placed: list[tuple[Gate, RoutePlan]] = []

    def install(self) -> None:
        """Close the application."""
        # What mounts it has read its routes perhaps; from now on it goes by its own guard.
        for other in [one() for one in _PROTECTED.values()]:
            if other is not None:
                other.invalidate()
        _PROTECTED[self.app] = weakref.ref(self)  # the entrance of the application keeps it
        self.adapter.install(self)

    # -- changes ----------------------------------------------------------------------------------------

    def gate(self, route: Any) -> None:
        """Put a gate in front of a route, unless its own stands there already.

        Args:
            route: the framework's.
        """
        self.adapter.put_gate(self, route)

    def invalidate(self) -> None:
        """Read the routes anew before the plan is asked for again."""
        self._latest = object()

    @property
    def is_current(self) -> bool:
        """Whether the plan is that of the routes as they are."""
        return self._plan is not None and self._read is self._latest

    # -- settling ---------------------------------------------------------------------------------------

    def check(self) -> None:
        """Insist that each route is settled, before the application's own start-up; no gate is settled yet.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        if self._plan is None:
            with self._lock:
                self.adapter.close(self, self.app)
                self._insist(_plan_of(self._read_all(), wrong=False), self._wrong)

    def read(self) -> Plan:
        """What every route declares, whether it is settled or not; no gate is settled."""
        with self._lock:
            return _plan_of(self._read_all())

    def settle(self) -> Plan:
        """Read every route, insist that each is settled, and settle the gates.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly; but one that was added later is closed.
        """
        self.adapter.refresh()
        plan = self._plan
        if plan is not None and self._read is self._latest:
            return plan
        with self._lock:
            if self._plan is not None and self._read is self._latest:
                return self._plan  # another thread was first
            began_at = self._latest
            served = self.adapter.close(self, self.app)
            found = self._read_all()
            plan = _plan_of(found)
            if self._plan is None:
                self._insist(
                    _plan_of(found, wrong=False), [*self._wrong, *idle_mounts(self._unused, self._by_themselves)]
                )
            elif plan.undeclared:
                # Added while the application runs: the others go on, and these stay closed (BW303).
                for wrong in self._wrong:
                    log.error("a route was added that is declared wrongly; it is closed: %s", wrong.description)
                log.error(
                    "routes were added that nobody settled; they are closed: %s", [one.label for one in plan.undeclared]
                )
            self._settle_gates(found)
            self.adapter.finish(self)
            self._strays.clear()
            self._plan, self._read, self.served = plan, began_at, served
            return plan

    def follow(self) -> None:
        """Read the routes anew: a router, or its list, was put in the place of what was read."""
        with self._lock:
            self.invalidate()
            self.settle()

    def settle_started(self) -> None:
        """Settle what the application's own start-up left: it may add routes, and change what others are built from.

        Raises:
            ConfigurationError: a route is not settled, or declared wrongly.
        """
        self.adapter.rebuild(self.app)
        self.follow()

    def _insist(self, plan: Plan, wrong: list[ConfigurationError]) -> None:
        """Insist that all is settled; or only say what is not.

        Raises:
            ConfigurationError: something is not.
        """
        try:
            plan.check(wrong)
        except ConfigurationError as unsettled:
            if not self.report_only:
                raise
            log.warning("report only: the application would not start: %s", unsettled.description)

    def settle_gate(self, gate: RouteGate) -> None:
        """Settle a gate that a connection has reached, with all others, if its route is part of the plan.

        Args:
            gate: the gate; it stays closed if its route is in no list.
        """
        with self._lock:
            self.settle()
            if gate.is_settled or gate in self._strays:
                return
            self.invalidate()  # it may be on its way into a list, which has not said so yet
            self.settle()
            if not gate.is_settled:
                self._strays.add(gate)

    def _settle_gates(self, found: list[Found]) -> None:
        gates: dict[int, tuple[RouteGate, list[Found]]] = {}
        for one in found:
            if one.gate is not None:
                gates.setdefault(id(one.gate), (one.gate, []))[1].append(one)
        for gate, parts in gates.values():
            last = parts[-1]
            gate.served = last.served
            gate.settle([PASSES if one.passes or one.entry is None else one.entry for one in parts], last.declared)
        placed: dict[int, tuple[Gate, list[RoutePlan]]] = {}
        for own, entry in self._placed:
            placed.setdefault(id(own), (own, []))[1].append(entry)
        for own, entries in placed.values():
            own.stand_at(self, entries)

    # -- reading ----------------------------------------------------------------------------------------

    def _read_all(self) -> list[Found]:
        """Every entry of what can be reached."""
        self.adapter.begin()
        self._wrong = []
        self._unused = set(self._mounts)
        self._by_themselves.clear()
        self._settled_first.clear()
        self._placed = []
        return list(self._walk(self.app, ""))

    def _walk(self, app: Any, prefix: str) -> Iterator[Found]:
        for place in self.adapter.places(app):
            path = prefix + place.path
            try:
                yield from self._mount(place, path) if place.is_mount else [self._route(app, place, path)]
            except ConfigurationError as wrong:
                self._unused.discard(_key(path))  # it may have come too late to be noted
                if not isinstance(wrong, Contradiction):
                    wrong = located(wrong, place.label(path), place.name, place.source)
                self._wrong.append(wrong)
                entry = closed(self.adapter.entry(place, path, self.adapter.nothing_declared()))
                yield Found(entry, self.adapter.gate_at(self, place), is_wrong=True)

    def _route(self, app: Any, place: Any, path: str) -> Found:
        gate = self.adapter.gate_at(self, place)
        own = self.adapter.own_gates(place, gate)
        if own:
            self._by_themselves.add(_key(path))
            there = self.adapter.entry(place, path, self.adapter.nothing_declared())
            at = {name: getattr(there, name) for name in ("path", "methods", "kind", "name", "source")}
            entry, *others = [replace(part, **at) for _, part in own]
            # What is enforced is the object that is audited.
            self._placed += [
                (one, part) for (one, _), part in zip(own, [entry, *others], strict=True) if one is not None
            ]
            self.adapter.note(app, place, entry, self.adapter.nothing_declared(), place.label(path))
            return Found(entry, gate, passes=True)
        declared = self.adapter.read(place, place.label(path))
        if not declared.is_empty:
            self._by_themselves.add(_key(path))
        elif place.original is self.metadata:
            self.adapter.settle(declared, Public("protected resource metadata (RFC 9728)"))
        elif self._docs is not None and self.adapter.is_documentation(app, place):
            self.adapter.settle(declared, self._docs)
        else:
            self.adapter.settle(declared, self._settled(path, self._default))
        entry = self.adapter.entry(place, path, declared)
        self._check_alike(place, entry)
        self.adapter.note(app, place, entry, declared, place.label(path))
        return Found(entry, gate, declared)

    def _mount(self, place: Any, path: str) -> Iterator[Found]:
        gate = self.adapter.gate_at(self, place)
        layers = self.adapter.mounted_at(place, gate)
        inner = layers[-1]
        settled = self._settled(path, None)
        own = next((one for layer in layers if isinstance(one := gate_behind(layer), Gate)), None)
        if own is not None:  # guard.wrap(app, ...) settled it, and enforces it
            if settled is not None:
                raise Contradiction(settled_twice(path, "guard.wrap(...)"))
            entry = replace(own.route, path=path or "/", kind=Kind.MOUNT)
            self._placed.append((own, entry))
            yield Found(entry, gate, passes=True)
            return
        if settled is None and isinstance(reason := getattr(inner, "public_reason", None), str):
            settled = Public(reason)
        other = self.adapter.protection_of(inner)
        if settled is None and other is not None and other is not self and self.adapter.is_plain_mount(place, layers):
            # It goes by its own guard.
            for route in other.settle():
                yield Found(replace(route, path=path + route.path))
            yield Found(None, gate, passes=True)
            return
        if settled is None and self.adapter.is_plain_mount(place, layers) and self.adapter.is_readable(inner):
            yield Found(None, gate, passes=True, served=self.adapter.close(self, inner))
            yield from self._walk(inner, path)
            return
        self.adapter.answer_errors(self, inner)
        declared = self.adapter.nothing_declared()
        self.adapter.settle(declared, settled if settled is not None else self._default)
        entry = self.adapter.entry(place, path, declared)
        self._check_alike(place, entry)
        yield Found(entry, gate, declared)

    def _settled(self, path: str, otherwise: Any) -> Any:
        """What `mounts=` says about a path."""
        self._unused.discard(_key(path))
        return self._mounts.get(_key(path), otherwise)

    def _check_alike(self, place: Any, entry: RoutePlan) -> None:
        """Insist that a route needs the same by each path that leads to it: one gate stands in front of it.

        Raises:
            ConfigurationError: it is mounted twice, and settled differently.
        """
        _, first = self._settled_first.setdefault(id(place.route), (place.route, entry))
        if first.decision != entry.decision:
            raise Contradiction(
                f"{first.label} and {entry.label} are one route, and settled differently; build it for each of its paths."
            )


def _plan_of(found: list[Found], *, wrong: bool = True) -> Plan:
    return Plan(tuple(one.entry for one in found if one.entry is not None and (wrong or not one.is_wrong)))


def _key(path: str) -> str:
    return path.rstrip("/") or "/"


# Which applications are protected, whatever their framework.
_PROTECTED: Final[weakref.WeakKeyDictionary[Any, weakref.ref[Protection]]] = weakref.WeakKeyDictionary()


def protection_of(app: Any) -> Protection | None:
    """The protection of an application, or None.

    Args:
        app: an application, or whatever else may be mounted.
    """
    try:
        found = _PROTECTED.get(app)
    except TypeError:  # what cannot be hashed, or referred to weakly, was never protected
        return None
    return found() if found is not None else None
