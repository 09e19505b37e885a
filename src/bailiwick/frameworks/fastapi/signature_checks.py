"""Guards that stand in a signature where FastAPI does not see them: the route would look guarded, and be open."""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import FunctionType
from typing import Any

from fastapi import params

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import Dependant, Place
from bailiwick.frameworks.fastapi.scope_dependency import Anonymous, Need
from bailiwick.graph.signature import metadata_in, plain_type, read_signature, unresolved_in
from bailiwick.guard.guard import Guard
from bailiwick.guard.policy import Public

__all__ = ["Signatures", "check_signatures"]

Marked = tuple[inspect.Parameter, tuple[Any, ...]]


class Signatures:
    """What the signatures of handlers and dependencies mention; each is read once while an application starts."""

    def __init__(self) -> None:
        # By identity: what is equal may still be written differently. The callable is kept, and so is its id().
        self._read: dict[int, Signature] = {}

    def of(self, call: Callable[..., Any]) -> "Signature":
        """The signature as FastAPI sees it, which knows module-level names only."""
        known = self._read.get(id(call))
        if known is None:
            known = self._read[id(call)] = Signature(call)
        return known


class Signature:
    """What of one signature can concern a guard.

    Attributes:
        call: whose it is.
        hidden: the parameters whose annotations stayed text that may be a guard's, with the text.
        marked: the parameters with a dependency or a guard, and all of those in their order.
    """

    __slots__ = ("call", "hidden", "marked")

    def __init__(self, call: Callable[..., Any]) -> None:
        self.call = call
        parameters = [] if _takes_values_only(call) else read_signature(call, closures=False)
        self.hidden = tuple(_hidden(parameters))
        self.marked = tuple(_marked(parameters))


def _takes_values_only(call: Callable[..., Any]) -> bool:
    """Whether nothing can hide in a signature: a plain function without defaults, annotated with classes alone.

    Many handlers are that plain, and `inspect` takes longer over one than all the rest of reading its route.
    """
    if type(call) is not FunctionType or call.__defaults__ or call.__kwdefaults__ or call.__dict__:
        return False
    if sys.version_info >= (3, 14):
        return False  # annotations are evaluated when they are asked for (PEP 649), and may raise anything
    return all(isinstance(annotation, type) for annotation in call.__annotations__.values())


def _hidden(parameters: list[inspect.Parameter]) -> Iterator[tuple[str, str]]:
    for parameter in parameters:
        for one in unresolved_in([parameter]):
            # `Boss` may stand for a guard as well as for a number. Without a default FastAPI answers 422 or 500; with
            # one that is a dependency it runs that; with any other it runs the handler, and nobody notices.
            if one.suspicious or not (one.required or isinstance(parameter.default, params.Depends)):
                yield one.parameter, one.text


def _marked(parameters: list[inspect.Parameter]) -> Iterator[Marked]:
    for parameter in parameters:
        markers = tuple(
            one
            for one in (parameter.default, *metadata_in(parameter.annotation))
            if isinstance(one, params.Depends) or _is_guard(one)
        )
        if markers:
            yield parameter, markers


def check_signatures(place: Place, where: str, signatures: Signatures) -> None:
    """Refuse a guard that FastAPI does not see, and so never runs.

    A parameter whose annotation stayed a string (fastapi#13056) is taken for a query parameter. Of several
    markers in one `Annotated` FastAPI takes the last, so that a `Query()` behind a guard turns it into a query
    parameter too. A marker inside another type (`Annotated[...] | None`) is not seen at all, and neither is a guard
    without `Security(...)` around it.

    Args:
        place: the route.
        where: its name for messages.
        signatures: where to look them up.

    Raises:
        ConfigurationError: there is one.
    """
    for node in _nodes(place):
        signature = signatures.of(node.call)  # type: ignore[arg-type]  # nodes without a call are not among them
        for parameter, text in signature.hidden:
            raise ConfigurationError(
                f"{where}: the annotation of the parameter {parameter!r} stayed text ({text!r}), so a "
                "guard in it would never run. Move what it names to module level, drop 'from __future__ import annotations', or declare the "
                "requirement with dependencies=[guard.requires(...)].",
                id="BW121",
            )
        for marked in signature.marked:
            _check_lists(_running(marked), where, signatures)
            if _is_ignored(marked, node, signatures):
                _refuse_ignored(marked, node.call, where)
    for holder in (place.route,) if place.route is place.original else (place.route, place.original):
        declared = getattr(holder, "dependencies", None) or ()
        _check_lists([(one, one.dependency) for one in declared if isinstance(one, params.Security)], where, signatures)


def _running(marked: Marked) -> list[tuple[Any, Any]]:
    return list(zip(marked[1], _calls(marked), strict=True))


def _check_lists(running: Sequence[tuple[Any, Any]], where: str, signatures: Signatures) -> None:
    """Refuse `Security(guard, scopes=[])` and `scopes="a"`: FastAPI drops the one, and takes the other letter by letter.

    Raises:
        ConfigurationError: a list of scopes is empty, a text, or spent once it was read (rule 7).
    """
    for marker, call in running:
        scopes = getattr(marker, "scopes", None) if isinstance(marker, params.Security) else None
        if scopes is None or not (wrong := _wrong_list(scopes)) or not _leads_to_guard(call, set(), signatures):
            continue
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


def _refuse_ignored(marked: Marked, call: Any, where: str) -> None:
    parameter, markers = marked
    name = getattr(call, "__qualname__", type(call).__qualname__)
    raise ConfigurationError(
        f"{where}: the parameter {parameter.name!r} of {name} names a guard that FastAPI never runs. "
        + (
            "Put Security(...) around it, or take guard.requires(...)."
            if any(map(_is_guard, markers))
            else "It takes only the last marker of an Annotated, and none inside another type. Let the guard be the only one, "
            "or declare the requirement with dependencies=[guard.requires(...)]."
        ),
        id="BW123",
    )


def _is_ignored(marked: Marked, node: Dependant, signatures: Signatures) -> bool:
    """Whether a guard is among the markers of a parameter, or below one, that FastAPI does not run."""
    parameter, markers = marked
    calls = _calls(marked)
    run = next((child.call for child in reversed(node.dependencies) if child.name == parameter.name), None)
    if not _is_guard(markers[-1]) and run is not None and run == calls[-1]:
        calls = calls[:-1]
    return any(_leads_to_guard(one, set(), signatures) for one in calls)


def _calls(marked: Marked) -> Sequence[Any]:
    """What the markers of a parameter would run: a bare Depends() means the annotation itself."""
    parameter, markers = marked
    return [getattr(one, "dependency", one) or plain_type(parameter.annotation) for one in markers]


def _nodes(place: Place) -> Iterator[Dependant]:
    """A node for every callable in a route's tree; but not for our own, which hide nothing."""
    seen: set[int] = set()
    todo: list[Any] = [place.dependant]
    while todo:
        node = todo.pop()
        if node is None or id(node.call) in seen or _is_guard(node.call) or isinstance(node.call, Public):
            continue
        seen.add(id(node.call))
        todo += node.dependencies
        if node.call is not None:
            yield node


def _is_guard(thing: Any) -> bool:
    return isinstance(thing, Guard | Need | Anonymous)


def _leads_to_guard(call: Any, seen: set[int], signatures: Signatures) -> bool:
    """Whether a dependency is a guard, or depends on one."""
    if _is_guard(call):
        return True
    if id(call) in seen or not callable(call):
        return False
    seen.add(id(call))
    return any(
        _leads_to_guard(below, seen, signatures)
        for parameter, markers in signatures.of(call).marked
        for below in _calls((parameter, tuple(one for one in markers if isinstance(one, params.Depends))))
    )
