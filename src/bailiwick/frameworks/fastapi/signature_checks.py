"""Checks of FastAPI's signatures: what it reads of them, and which markers it takes."""

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from fastapi import params
from starlette.endpoints import HTTPEndpoint, WebSocketEndpoint

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import Place, parameters_of
from bailiwick.frameworks.fastapi.scope_dependency import Anonymous, ScopeDependency
from bailiwick.graph import Edge
from bailiwick.guard.dependencies import is_uncalled
from bailiwick.guard.guard import Guard
from bailiwick.guard.policy import Public
from bailiwick.guard.signature_checks import Node, SignatureChecks

__all__ = ["Signatures", "check_signatures"]

HTTP_METHODS: Final = ("get", "head", "post", "put", "patch", "delete", "options")  # what `HTTPEndpoint` dispatches to


class Signatures(SignatureChecks):
    """Reads signatures as FastAPI does."""

    def __init__(self) -> None:
        super().__init__(parameters_of, _edge_of, _is_guard)


def _edge_of(marker: object) -> Edge | None:
    if isinstance(marker, params.Depends):
        return Edge(marker.dependency, getattr(marker, "scopes", None))
    return None


def _is_guard(thing: Any) -> bool:
    return isinstance(thing, Guard | ScopeDependency | Anonymous) or is_uncalled(thing)


@dataclass(frozen=True, slots=True)
class _Unsolved:
    """A handler that Starlette calls, and for which FastAPI runs no dependency."""

    call: Any
    name: None = None
    own_oauth_scopes: None = None
    dependencies: tuple[()] = ()


def check_signatures(place: Place, where: str, signatures: Signatures) -> None:
    """Refuse a guard that FastAPI does not see, and so never runs.

    A parameter whose annotation stayed a string (fastapi#13056) is taken for a query parameter. Of several
    markers in one `Annotated` FastAPI takes the last, so that a `Query()` behind a guard turns it into a query
    parameter too. A marker inside another type (`Annotated[...] | None`) is not seen at all, and neither is a guard
    without `Security(...)` around it, nor an attribute of a class, nor anything of a handler that Starlette calls.

    Args:
        place: the route.
        where: its name for messages.
        signatures: where to look them up.

    Raises:
        ConfigurationError: there is one.
    """
    root: Node = place.dependant if place.dependant is not None else _Unsolved(None)
    for node in _nodes(place):
        for marked in signatures.of(node.call).marked:
            _check_lists(marked.markers, marked.annotation, where, signatures)
        signatures.check(node, root, where)
    for holder in (place.route,) if place.route is place.original else (place.route, place.original):
        _check_lists(getattr(holder, "dependencies", None) or (), None, where, signatures)


def _check_lists(markers: Sequence[Any], annotation: Any, where: str, signatures: Signatures) -> None:
    """Refuse `Security(guard, scopes=[])` and `scopes="a"`: FastAPI drops the one, and takes the other letter by letter.

    Raises:
        ConfigurationError: a list of scopes is empty, a text, or spent once it was read (rule 7).
    """
    for marker in markers:
        scopes = marker.scopes if isinstance(marker, params.Security) else None
        if scopes is None or not (wrong := _wrong_list(scopes)):
            continue
        if signatures.leads_to_guard(params.Depends(marker.dependency), annotation):
            raise ConfigurationError(f"{where}: {wrong[0]}", id=wrong[1])


def _wrong_list(scopes: object) -> tuple[str, str] | None:
    """What is wrong with a list of scopes, and its id."""
    if isinstance(scopes, str | bytes):
        return "Security(scopes=...) takes a list of scopes, not a text, which is read letter by letter.", "BW104"
    if not isinstance(scopes, Sequence | AbstractSet | Mapping):
        # FastAPI reads it when the route is declared, and finds it empty when the router is included.
        return "Security(scopes=...) takes a list of scopes, not what can be read only once.", "BW104"
    if not scopes:
        return "Security(scopes=[]) is empty: leave scopes out where any valid token will do.", "BW103"
    return None


def _nodes(place: Place) -> Iterator[Node]:
    """A node for every callable in a route's tree; but not for our own, which hide nothing."""
    if place.dependant is None:
        yield from map(_Unsolved, _handlers_of(getattr(place.original, "endpoint", None)))
        return
    seen: set[int] = set()
    todo: list[Any] = [place.dependant]
    while todo:
        node = todo.pop()
        if id(node.call) in seen or _is_guard(node.call) or isinstance(node.call, Public):
            continue
        seen.add(id(node.call))
        todo += node.dependencies
        if node.call is not None:
            yield node


def _handlers_of(endpoint: Any) -> list[Any]:
    """What Starlette calls for a route of its own: a function; or a class, and then its methods."""
    found = [endpoint] if callable(endpoint) else []
    if isinstance(endpoint, type) and issubclass(endpoint, HTTPEndpoint | WebSocketEndpoint):
        named = (getattr(endpoint, name, None) for name in (*HTTP_METHODS, "on_connect", "on_receive", "on_disconnect"))
        found += [one for one in named if callable(one)]
    return found
