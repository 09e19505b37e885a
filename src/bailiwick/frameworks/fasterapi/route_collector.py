"""Collects the routes of a FasterAPI application, and makes the plan of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.compat import address_of
from bailiwick.graph import Plan, RoutePlan
from bailiwick.graph.plan import located
from bailiwick.graph.signature import source_of

__all__ = ["MountedPlan", "RouteCollector", "ServedRoute", "plan_of", "plans_below"]

Found = TypeVar("Found")


class RouteCollector:
    """Reads one after the other what an application serves, and goes on where something is declared wrongly.

    Attributes:
        wrong: what is, each with its route, file and line.
        failed: the method and path of each.
    """

    def __init__(self) -> None:
        self.wrong: list[ConfigurationError] = []
        self.failed: list[tuple[str, str]] = []

    def __call__(self, read: Callable[[str, str, Any], Found], places: Iterable[tuple[str, str, Any]]) -> list[Found]:
        """Read each place; return what was read of those that are declared rightly."""
        found = []
        for method, path, served in places:
            try:
                found.append(read(method, path, served))
            except ConfigurationError as wrong:
                handler = served["handler"] if isinstance(served, Mapping) else served
                name = getattr(handler, "__name__", type(handler).__name__)
                self.wrong.append(located(wrong, f"{method} {path}", name, source_of(handler)))
                self.failed.append((method, path))
        return found


class HasPlan(Protocol):
    """Describes what can make a plan: a protection."""

    def compile(self, *, strict: bool = True) -> Plan:
        """Return the plan."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class MountedPlan:
    """Stands for a mounted FasterAPI application in the plan of the outer one."""

    path: str
    inner: HasPlan


def plans_below(parts: Sequence[RoutePlan | MountedPlan]) -> list[Plan]:
    """Return the plans of mounted applications as they are now; taken before the whole, which is then never older than they are."""
    return [part.inner.compile(strict=False) for part in parts if isinstance(part, MountedPlan)]


def plan_of(parts: Sequence[RoutePlan | MountedPlan]) -> Plan:
    """Return the plan that these parts make now."""
    routes: list[RoutePlan] = []
    for part in parts:
        if isinstance(part, MountedPlan):
            routes += [replace(entry, path=part.path + entry.path) for entry in part.inner.compile(strict=False)]
        else:
            routes.append(part)
    return Plan(tuple(routes))


@dataclass(frozen=True, slots=True)
class ServedRoute:
    """Describes one route as FasterAPI is to serve it."""

    method: str
    path: str
    entry: RoutePlan
    handler: Any
    metadata: dict[str, Any]

    @property
    def operation(self) -> tuple[str, str, RoutePlan]:
        """Return the route as an OpenAPI document lists it: by the path as it was registered, which may be empty or have other slashes."""
        return self.path, self.method.lower(), self.entry

    @property
    def address(self) -> tuple[str, ...]:
        """Return the place of the route in the radix tree."""
        return address_of(self.method, self.path)
