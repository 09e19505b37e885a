"""The adapter of FastAPI: its routes and their dependency trees, gates, and the OpenAPI document."""

import weakref
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI

from bailiwick.frameworks.fastapi import compat
from bailiwick.frameworks.fastapi.dependency_tree import (
    Declared,
    check_scopes_are_read,
    documentation_paths,
    read_tree,
    settle,
)
from bailiwick.frameworks.fastapi.gates import APIRouteGate
from bailiwick.frameworks.fastapi.openapi import Document, Operations, needed_of_others
from bailiwick.frameworks.fastapi.signature_checks import Signatures, check_signatures
from bailiwick.frameworks.starlette.adapter import StarletteAdapter
from bailiwick.frameworks.starlette.compat import Served
from bailiwick.graph import Kind, RoutePlan, combine
from bailiwick.guard.gate import Gate
from bailiwick.guard.policy import Public, access_of
from bailiwick.guard.protection import Protection
from bailiwick.guard.route_gate import RouteGate

__all__ = ["FastAPIAdapter"]


class FastAPIAdapter(StarletteAdapter):
    """Reads and gates the routes of a FastAPI application.

    Args:
        guard: whose declarations count.
        docs: what settles the documentation pages.
    """

    frameworks = frozenset({"starlette", "fastapi"})

    def __init__(self, guard: Any, docs: Any) -> None:
        self._guard = guard
        self._publishes = isinstance(docs, Public)
        self._inclusions: list[weakref.ref[compat.GatedContexts]] = []  # added to by whichever thread includes a router
        self._operations: dict[Any, Operations] = {}
        self._signatures = Signatures()

    # -- what is hooked ------------------------------------------------------------------------------

    def install(self, protection: Protection) -> None:
        """Hook the start, the entrance and the OpenAPI document of the application, and close it."""
        super().install(protection)
        self._describe(protection, protection.app)

    def close(self, protection: Protection, app: Any) -> Served:
        """Have a gate in front of whatever an application serves: what is there, and what comes."""
        frontends = compat.frontend_list(getattr(app, "router", app))
        if frontends is not None:
            frontends.close_for(protection)
        return super().close(protection, app)

    def _describe(self, protection: Protection, app: Any) -> None:
        """See to it that an application's OpenAPI document is true, also if it writes its own."""
        write = app.openapi
        if isinstance(write, Document):
            if write.belongs_to(protection):
                return
            write = write.plain
        app.openapi = Document(app, write, protection)

    def operations_of(self, app: Any) -> Operations | None:
        """What the operations of one application need: of the protected one, or of one that it mounts.

        Args:
            app: a FastAPI application.
        """
        return self._operations.get(app)

    # -- routes and their gates -------------------------------------------------------------------------

    def places(self, app: Any) -> Iterator[Any]:
        """Everything that an application serves, in the order in which it tries it."""
        router = getattr(app, "router", app)
        provider = getattr(router, "dependency_overrides_provider", None)
        routes = list(router.routes)
        for route in routes:
            yield from compat.served_by(route, provider)
        for route in compat.frontend_list(router) or ():
            yield compat.place_of(route, provider)
        for route in routes:
            yield from compat.frontends_of(route, provider)
        for route in self.beside(router):
            yield compat.place_of(route, provider)

    def place(self, route: Any) -> Any:
        """One route, or what stands for it where it is included, as a place."""
        return compat.place_of(route)

    def put_gate(self, protection: Protection, route: Any) -> None:
        """Put a gate in front of a route, or of each that an included router serves."""
        if compat.is_inclusion(route):
            for listed in compat.gate_inclusion(route, protection):
                self._inclusions.append(weakref.ref(listed))
        else:
            super().put_gate(protection, route)

    def gate_at(self, protection: Protection, place: Any) -> RouteGate:
        """The protection's gate at a place, which knows the place as it is now."""
        gate = super().gate_at(protection, place)
        if isinstance(gate, APIRouteGate):
            gate.stand_before(place)
        return gate

    def make_gate(self, protection: Protection, place: Any, full: Any) -> RouteGate:
        """A gate for a place."""
        return APIRouteGate(protection, place, full)

    def get_app(self, place: Any) -> Any:
        """What a connection that matched a place is handed over to."""
        return compat.get_app(place)

    def set_app(self, place: Any, app: Any) -> None:
        """Put something else there."""
        compat.set_app(place, app)

    def hands_over(self, place: Any) -> bool:
        """Whether a route passes every matched connection on to its `app`."""
        return compat.hands_over(place)

    def own_gates(self, place: Any, gate: RouteGate) -> list[tuple[Gate | None, RoutePlan]]:
        """The gates that a plain route was put behind when it was declared; FastAPI's own declare by their trees."""
        return super().own_gates(place, gate) if place.dependant is None else []

    # -- what is declared ---------------------------------------------------------------------------------

    def begin(self) -> None:
        """Routes are about to be read."""
        self._operations = {}
        for one in [one for one in list(self._inclusions) if one() is None]:
            self._inclusions.remove(one)

    def refresh(self) -> None:
        """Have FastAPI make the routes of included routers that have changed."""
        for one in self._inclusions:  # what is asked may add to them
            listed = one()
            if listed is not None:
                listed()

    def rebuild(self, app: Any) -> None:  # noqa: ARG002 - and of what it mounts
        """Have FastAPI make the routes of included routers anew: a start-up may change what they are made from."""
        for one in list(self._inclusions):
            listed = one()
            if listed is not None:
                listed.build_anew()

    def read(self, place: Any, where: str) -> Any:
        """What a route's dependency tree declares."""
        declared = Declared()
        if place.dependant is not None:
            read_tree(self._guard, place.dependant, declared, where)
        check_signatures(place, where, self._signatures)
        return declared

    def nothing_declared(self) -> Any:
        """What a route declares that declares nothing."""
        return Declared()

    def settle(self, declared: Any, value: Any) -> None:
        """Add what `docs=`, `mounts=` or `default=` say."""
        settle(declared, value)

    def is_documentation(self, app: Any, place: Any) -> bool:
        """Whether FastAPI made this page or document itself."""
        return place.path in documentation_paths(app) and compat.is_documentation(place)

    def entry(self, place: Any, path: str, declared: Any) -> RoutePlan:
        """The entry of the plan."""
        where = place.label(path)
        check_scopes_are_read(declared, where, self._guard.catalog)
        access, reason = access_of(
            where, required=bool(declared.parts), optional=bool(declared.optional), public=declared.public
        )
        needed = [one for _, one in (*declared.parts, *declared.optional) if one is not None]
        requirement, rule = combine(needed, self._guard.catalog, where=where)
        return RoutePlan(
            path or "/",
            place.methods if place.kind is Kind.HTTP else (),
            place.kind,
            place.name,
            place.source,
            access,
            requirement,
            reason,
            rule,
            declared.step_up,
            declared.close_on_expiry,
            documented=self._publishes and place.in_schema and bool(getattr(place.provider, "openapi_url", None)),
        )

    def note(self, app: Any, place: Any, entry: RoutePlan, declared: Any, where: str) -> None:
        """Note what a route needs, for the OpenAPI document of its application."""
        if not isinstance(app, FastAPI):
            return
        operations = self._operations.get(app)
        if operations is None:
            operations = self._operations[app] = Operations(self._guard, described=bool(app.openapi_url))
        others = []
        if declared.others:
            others = needed_of_others(place, declared, where)
            operations.check_names(place, declared, where)
        operations.add(place, entry, others)

    def finish(self, protection: Protection) -> None:
        """All gates are settled: the documents are written anew, and signatures are needed again only if routes are added."""
        for app in self._operations:
            self._describe(protection, app)
            app.openapi_schema = None
        self._signatures = Signatures()
