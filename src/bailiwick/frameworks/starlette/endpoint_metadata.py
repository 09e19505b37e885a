"""What an endpoint declares by itself, and how it is called."""

import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from bailiwick.errors import ConfigurationError
from bailiwick.graph import Access, Kind, RoutePlan
from bailiwick.graph.signature import source_of
from bailiwick.guard.gate import Gate, gate_behind
from bailiwick.guard.policy import Public

__all__ = ["GATE", "MARK", "Endpoint", "PublicMark", "declared_at", "gates_at", "name_of"]

Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])

# Where a decorated endpoint keeps what it declared.
MARK = "__bailiwick__"
# Where a guarded function keeps its gate.
GATE = "__bailiwick_gate__"


class PublicMark:
    """`guard.public(reason)`: a decorator that marks an endpoint and changes nothing about it."""

    def __init__(self, reason: str) -> None:
        setattr(self, MARK, RoutePlan("", (), Kind.HTTP, "", "", Access.PUBLIC, reason=Public(reason).reason))

    def __call__(self, endpoint: Endpoint) -> Endpoint:
        """Mark an endpoint as public."""
        earlier = declared_at(endpoint)
        if earlier is not None and earlier.access is not Access.PUBLIC:
            reason = getattr(self, MARK).reason
            raise ConfigurationError(
                f"{name_of(endpoint)} has a requirement ({earlier.needs}) and is declared public ({reason}) as well."
            )
        mark = replace(getattr(self, MARK), name=name_of(endpoint), source=source_of(endpoint))
        marked: Any = endpoint
        if inspect.ismethod(endpoint):  # nothing can be written on a method; a partial stands for it
            marked = partial(endpoint)
        setattr(marked, MARK, mark)
        result: Endpoint = marked
        return result


def declared_at(*holders: Any) -> RoutePlan | None:
    """What the first of these declares that declares anything; or None.

    Args:
        holders: endpoints, and applications.
    """
    for holder in holders:
        standing = gate_behind(holder)
        if isinstance(standing, Gate):
            return standing.route
        # Of a class only its own mark counts: what opens a base class must not open all that are derived from it.
        found = vars(holder).get(MARK) if isinstance(holder, type) else getattr(holder, MARK, None)
        if isinstance(found, RoutePlan):
            return found
    return None


def gates_at(*holders: Any) -> Iterator[Gate]:
    """The gates that endpoints and applications were put behind when they were declared, from the outside to the inside.

    Args:
        holders: endpoints, and applications; the first counts that has a gate.
    """
    for holder in holders:
        standing = gate_behind(holder)
        gate = standing if isinstance(standing, Gate) else getattr(standing, GATE, None)
        if gate is None:
            continue
        while isinstance(gate, Gate):
            yield gate
            gate = gate.app if isinstance(gate.app, Gate) else getattr(gate.app, GATE, None)
        return


def name_of(endpoint: Any) -> str:
    """Return an endpoint's own name, or that of its class."""
    return getattr(endpoint, "__name__", type(endpoint).__name__)
