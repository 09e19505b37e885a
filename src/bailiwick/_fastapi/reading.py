"""What a route's dependency tree declares, read from the tree that FastAPI will run."""

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from fastapi import params
from fastapi.security.base import SecurityBase

from bailiwick import asgi
from bailiwick._asgi.declared import Public
from bailiwick.errors import ConfigurationError
from bailiwick.graph import StepUp
from bailiwick.graph.signature import metadata_in, plain_type, read_signature, unresolved_in
from bailiwick.scopes import Requirement, all_of

from .declarations import Anonymous, Need
from .internals import Dependant, Place

__all__ = [
    "Declared",
    "Signatures",
    "check_hidden",
    "check_ignored",
    "check_scopes_are_read",
    "documentation_paths",
    "is_empty",
    "read_tree",
    "settle",
]


class Declared:
    """What one route's dependency tree declares for one guard."""

    def __init__(self) -> None:
        # The calls from the route down to the guard, and what is required there.
        self.parts: list[tuple[tuple[Any, ...], Requirement | None]] = []
        self.optional: list[tuple[tuple[Any, ...], Requirement | None]] = []
        self.public: list[Public] = []
        # Nodes that are given scopes which nothing at or below them looks at.
        self.unread: list[Dependant] = []
        self.step_up: StepUp | None = None
        self.close_on_expiry = False


def is_empty(declared: Declared) -> bool:
    """Whether nothing settles the route."""
    return not (declared.parts or declared.optional or declared.public)


def settle(declared: Declared, settled: Need | Public | None) -> None:
    """Add a declaration that does not come from the dependency tree."""
    if isinstance(settled, Public):
        declared.public.append(settled)
    elif settled is not None:
        _add_need(declared, settled, settled.requirement)


def _add_need(declared: Declared, need: Need, requirement: Requirement | None, above: tuple[Any, ...] = ()) -> None:
    if need.optional:
        declared.optional.append(((*above, need), requirement))
    else:
        declared.parts.append(((*above, need), requirement))
    if need.step_up is not None:
        declared.step_up = need.step_up if declared.step_up is None else declared.step_up & need.step_up
    declared.close_on_expiry = declared.close_on_expiry or need.close_on_expiry


def check_scopes_are_read(declared: Declared, where: str) -> None:
    """Refuse scopes on a guarded route that nothing could enforce: they would only look like protection.

    Raises:
        ConfigurationError: there are such scopes (microsoft-identity-web#1571).
    """
    if not declared.parts:
        return
    for node in declared.unread:
        name = getattr(node.call, "__name__", type(node.call).__name__)
        raise ConfigurationError(
            f"{where}: Security({name}, scopes={list(node.own_oauth_scopes or ())!r}) declares scopes, but neither {name} "
            "nor anything below it looks at them. Use guard.requires(...), or let it depend on the guard.",
            id="BW123",
        )


def _scopes_of(node: Dependant, where: str) -> Requirement | None:
    """The scopes that a node sees: those of the places above it, then its own."""
    names = dict.fromkeys([*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ())])
    if not names:
        return None
    try:
        return all_of(*names)
    except ConfigurationError as bad:
        raise ConfigurationError(f"{where}: {bad.description}", id=bad.id) from bad


def read_tree(guard: Any, node: Dependant, declared: Declared, where: str, above: tuple[Any, ...] = ()) -> None:
    """Collect what a route's tree declares for this guard; FastAPI ANDs all of it, and so does the plan.

    Args:
        guard: whose declarations count.
        node: FastAPI's tree of the route.
        declared: what is added to.
        where: the route's name for messages.
        above: the calls between the route and this node.

    Raises:
        ConfigurationError: scopes that break the grammar, or that nothing would look at.
    """
    for child in node.dependencies:
        call: Any = child.call
        if isinstance(getattr(call, "__self__", None), asgi.Guard) and call.__name__ in _DECLARATIONS:
            raise ConfigurationError(
                f"{where}: Depends(guard.{call.__name__}) checks nothing; write guard.{call.__name__}(...) without Depends.",
                id="BW123",
            )
        if isinstance(call, Need) and call.guard is guard:
            inherited = _scopes_of(child, where)
            if inherited is None or call.requirement is None:
                requirement = call.requirement or inherited
            else:
                requirement = inherited & call.requirement
            _add_need(declared, call, requirement, above)
        elif call is guard:
            declared.parts.append(((*above, call), _scopes_of(child, where)))
        elif isinstance(call, Public):
            declared.public.append(call)
        else:
            if child.own_oauth_scopes and not _reads_scopes(child):
                declared.unread.append(child)
            read_tree(guard, child, declared, where, (*above, call))


_DECLARATIONS: Final = frozenset({"optional", "owner_or", "public", "requires"})


def _reads_scopes(node: Dependant) -> bool:
    return (
        node.security_scopes_param_name is not None
        or isinstance(node.call, SecurityBase | Need | Anonymous)
        or any(_reads_scopes(child) for child in node.dependencies)
    )


class Signatures:
    """The signatures of handlers and dependencies, each read once while an application starts."""

    def __init__(self) -> None:
        # By identity: what is equal may still be written differently. The callable is kept, and so is its id().
        self._read: dict[int, tuple[Any, list[inspect.Parameter]]] = {}

    def of(self, call: Callable[..., Any]) -> list[inspect.Parameter]:
        """The parameters as FastAPI sees them, which knows module-level names only."""
        known = self._read.get(id(call))
        if known is None:
            known = self._read[id(call)] = (call, read_signature(call, closures=False))
        return known[1]


def check_hidden(place: Place, where: str, signatures: Signatures) -> None:
    """Refuse a parameter whose annotation stayed a string and hides a guard (fastapi#13056).

    FastAPI takes such a parameter for a query parameter, the guard never runs, and the route is open.
    """
    for call, _ in _callables(place):
        for hidden in unresolved_in(signatures.of(call)):
            if not hidden.suspicious:
                continue
            raise ConfigurationError(
                f"{where}: the annotation of the parameter {hidden.parameter!r} stayed text ({hidden.text!r}), so its "
                "guard would never run. Move what it names to module level, drop 'from __future__ import annotations', or declare the "
                "requirement with dependencies=[guard.requires(...)].",
                id="BW121",
            )


def check_ignored(place: Place, where: str, signatures: Signatures) -> None:
    """Refuse a guard that stands in a signature where FastAPI does not look for it.

    Of several markers in one `Annotated` FastAPI takes the last, so that a `Query()` behind a guard
    turns it into a query parameter. A marker inside another type (`Annotated[...] | None`) is not
    seen at all, and neither is a guard without `Security(...)` around it.

    Raises:
        ConfigurationError: there is one; the route would look guarded, and be open.
    """
    for call, node in _callables(place):
        run = {child.name: child.call for child in node.dependencies}
        for parameter in signatures.of(call):
            markers = [one for one in (parameter.default, *metadata_in(parameter.annotation)) if _is_marker(one)]
            if not markers or not _is_ignored(markers, parameter, run.get(parameter.name), signatures):
                continue
            raise ConfigurationError(
                f"{where}: the parameter {parameter.name!r} of {_name_of(call)} names a guard that FastAPI never runs. "
                + (
                    "Put Security(...) around it, or take guard.requires(...)."
                    if any(map(_is_guard, markers))
                    else "It takes only the last marker of an Annotated, and none inside another type. Let the guard be the only one, "
                    "or declare the requirement with dependencies=[guard.requires(...)]."
                ),
                id="BW123",
            )


def _is_ignored(markers: Sequence[Any], parameter: inspect.Parameter, run: Any, signatures: Signatures) -> bool:
    """Whether a guard is among the markers of a parameter, or below one, that FastAPI does not run.

    Args:
        markers: all that stand in the signature for this parameter, in their order.
        parameter: the parameter.
        run: what FastAPI runs for it, or None.
        signatures: where to look them up.
    """
    # A bare Depends() means the annotation itself.
    calls = [getattr(one, "dependency", one) or plain_type(parameter.annotation) for one in markers]
    if not _is_guard(markers[-1]) and run is not None and run == calls[-1]:
        calls.pop()
    return any(_leads_to_guard(one, set(), signatures) for one in calls)


def _callables(place: Place) -> Iterator[tuple[Callable[..., Any], Dependant]]:
    """Every callable in a route's tree once, with its node; but our own, which hide nothing."""
    seen: set[int] = set()
    todo: list[Any] = [place.dependant]
    while todo:
        node = todo.pop()
        if node is None or id(node.call) in seen or _is_guard(node.call) or isinstance(node.call, Public):
            continue
        seen.add(id(node.call))
        todo += node.dependencies
        if node.call is not None:
            yield node.call, node


def _is_marker(thing: Any) -> bool:
    return isinstance(thing, params.Depends) or _is_guard(thing)


def _is_guard(thing: Any) -> bool:
    return isinstance(thing, asgi.Guard | Need | Anonymous)


def _leads_to_guard(call: Any, seen: set[int], signatures: Signatures) -> bool:
    """Whether a dependency is a guard, or depends on one."""
    if _is_guard(call):
        return True
    if id(call) in seen or not callable(call):
        return False
    seen.add(id(call))
    for parameter in signatures.of(call):
        for marker in (parameter.default, *metadata_in(parameter.annotation)):
            if isinstance(marker, params.Depends):
                below = marker.dependency or plain_type(parameter.annotation)
                if _leads_to_guard(below, seen, signatures):
                    return True
    return False


def _name_of(call: Any) -> str:
    return getattr(call, "__qualname__", type(call).__qualname__)


def documentation_paths(app: Any) -> set[str]:
    names = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
    return {path for name in names if (path := getattr(app, name, None))}
