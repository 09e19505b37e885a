"""What a route's dependencies declare, read from the tree that our solver will run."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any, Final

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.compat import Depends, PlainSecurityScopes, is_scheme
from bailiwick.frameworks.fasterapi.scope_dependency import Need, SecurityMarker
from bailiwick.graph import Dependant, Edge, Kind, Reader, RoutePlan, StepUp, combine
from bailiwick.graph.dependant import describe
from bailiwick.graph.signature import metadata_in, plain_type, read_signature, source_of
from bailiwick.guard.guard import Guard
from bailiwick.guard.policy import Public, access_of
from bailiwick.scopes import Catalog, Requirement, all_of

__all__ = ["READER", "Declared", "entry_of", "is_ours", "read_declared", "read_route"]


def edge_of(marker: object) -> Edge | None:
    """Recognises FasterAPI's marker and ours."""
    if isinstance(marker, SecurityMarker):
        return Edge(marker.target, marker.scopes, marker.use_cache, None, marker)
    if isinstance(marker, Depends):
        return Edge(marker.dependency, None, marker.use_cache, None, marker)
    return None


# closures=False: an annotation that only a local scope explains is refused instead, because FasterAPI
# and its OpenAPI document would see another route than we do.
READER: Final = Reader(edge_of, scopes_type=PlainSecurityScopes, is_scheme=is_scheme, closures=False)


class Declared:
    """What one route's dependency tree declares for one guard."""

    def __init__(self) -> None:
        self.required: list[Requirement | None] = []
        self.optional: list[Requirement | None] = []
        self.public: list[Public] = []
        self.step_up: StepUp | None = None
        self.close_on_expiry = False
        self.unread: list[Dependant] = []  # with scopes for a scheme of FasterAPI's, which does not look at them

    @property
    def is_empty(self) -> bool:
        """Whether nothing settles the route."""
        return not (self.required or self.optional or self.public)

    def settle(self, settled: Need | Public | None) -> None:
        """Add a declaration that does not come from the tree."""
        if isinstance(settled, Public):
            self.public.append(settled)
        elif settled is not None:
            self.add(settled, settled.requirement)

    def add(self, need: Need, requirement: Requirement | None) -> None:
        """Add a requirement, with what stands beside it."""
        (self.optional if need.optional else self.required).append(requirement)
        if need.step_up is not None:
            self.step_up = need.step_up if self.step_up is None else self.step_up & need.step_up
        self.close_on_expiry = self.close_on_expiry or need.close_on_expiry


def is_ours(call: object, guard: Any) -> bool:
    """Whether a dependency is settled by the gate of this guard and need not run."""
    if isinstance(call, Need):
        return guard is not None and (call.guard is guard or call.guard is None)
    return isinstance(call, Public) or (guard is not None and call is guard)


def read_route(handler: Any, dependencies: Sequence[Any] | None, where: str) -> tuple[list[Dependant], Dependant]:
    """The trees of one route: of `dependencies=[...]`, and of the handler's parameters.

    Raises:
        ConfigurationError: a tree cannot be read, or an annotation that stayed text hides a guard.
    """
    if not isinstance(dependencies, list | tuple | None):
        raise ConfigurationError(
            f"{where}: dependencies= takes a list, not a {type(dependencies).__name__}.", id="BW122"
        )
    try:
        roots = [READER.read_marker(marker) for marker in dependencies or ()]
        target = READER.read(handler)
    except ConfigurationError as bad:
        raise ConfigurationError(f"{where}: {bad.description}", id=bad.id) from bad
    for tree in (*roots, target):
        _check_hidden(tree, where)
        for node in tree.walk():
            _check_ignored(node, where)
    return roots, target


def read_declared(guard: Any, trees: Sequence[Dependant], where: str) -> Declared:
    """Collect what the trees of a route declare for this guard; all of it is needed.

    Raises:
        ConfigurationError: scopes that nothing would look at.
    """
    declared = Declared()
    for tree in trees:
        _collect(guard, tree, declared, where)
    return declared


def _collect(guard: Any, node: Dependant, declared: Declared, where: str) -> None:
    call = node.call
    if isinstance(call, Public):
        declared.public.append(call)
        return
    if is_ours(call, guard):
        inherited = all_of(*node.oauth_scopes) if node.oauth_scopes else None
        if isinstance(call, Need):
            both = [one for one in (inherited, call.requirement) if one is not None]
            declared.add(call, functools.reduce(lambda one, other: one & other, both) if both else None)
        else:
            declared.required.append(inherited)
        return
    if node.own_oauth_scopes and not _reads_scopes(node):
        if not any(below.is_scheme for below in node.walk()):
            raise _inert(node, where)
        declared.unread.append(node)
    for child in node.dependencies:
        _collect(guard, child, declared, where)


def _reads_scopes(node: Dependant) -> bool:
    return bool(node.scopes_parameters) or any(map(_reads_scopes, node.dependencies))


def _inert(node: Dependant, where: str) -> ConfigurationError:
    """Scopes that would only look like protection (microsoft-identity-web#1571, fastapi-azure-auth#197)."""
    return ConfigurationError(
        f"{where}: Security({describe(node.call)}, scopes={list(node.own_oauth_scopes)!r}) declares scopes, but nothing "
        "in it or below it looks at them. Use guard.requires(...), or let it depend on the guard.",
        id="BW123",
    )


def _check_hidden(tree: Dependant, where: str) -> None:
    """Refuse a parameter whose annotation stayed a string and hides a guard (PEP 563 in a local scope)."""
    for node in tree.walk():
        for hidden in node.unresolved:
            # `Boss` may stand for a guard as well as for a number; without a default no request is answered, with
            # one the handler runs.
            if hidden.suspicious or not hidden.required:
                raise ConfigurationError(
                    f"{where}: the annotation of the parameter {hidden.parameter!r} stayed text ({hidden.text!r}), so "
                    "a guard in it would never run. Move what it names to module level, drop 'from __future__ import "
                    "annotations', or declare the requirement with dependencies=[guard.requires(...)].",
                    id="BW121",
                )


def _check_ignored(node: Dependant, where: str) -> None:
    """Refuse a guard that stands in a signature and is not run: the route would look guarded, and be open.

    A marker inside another type (`Annotated[...] | None`) is not seen by the reader, and neither is a guard without
    `Security(...)` around it, nor a declaration that nobody called.

    Raises:
        ConfigurationError: there is one.
    """
    if _is_uncalled(node.call):
        raise ConfigurationError(
            f"{where}: Depends({describe(node.call)}) checks nothing; call it, as in guard.requires(...).", id="BW123"
        )
    if isinstance(node.call, Need | Public | Guard):
        return
    run = {child.name: child.call for child in node.dependencies}
    _check_signature(node.call, run, where)
    if inspect.isclass(node.call) and callable(maker := getattr(node.call, "from_request", None)):
        # FasterAPI hands it the request, and resolves nothing of what it declares.
        _check_signature(maker, {}, where)


def _check_signature(call: Any, run: dict[str | None, Any], where: str) -> None:
    """Refuse a parameter that names a guard, unless it is among what is run for the callable."""
    for parameter in read_signature(call, closures=False):
        calls = [
            _target_of(one, parameter.annotation)
            for one in (parameter.default, *metadata_in(parameter.annotation))
            if isinstance(one, Depends) or _is_guard(one)
        ]
        if parameter.name in run and run[parameter.name] in calls:
            calls.remove(run[parameter.name])
        if any(_leads_to_guard(one, set()) for one in calls):
            raise ConfigurationError(
                f"{where}: the parameter {parameter.name!r} of {describe(call)} names a guard that is never run. Put "
                "Security(...) around it, outside of any other type, or declare the requirement with "
                "dependencies=[guard.requires(...)].",
                id="BW123",
            )


def _target_of(marker: Any, annotation: Any) -> Any:
    """What a marker in a signature stands for: a bare Depends() means the annotation itself."""
    edge = edge_of(marker)
    if edge is None:
        return marker
    return plain_type(annotation) if edge.call is None else edge.call


def _is_guard(thing: Any) -> bool:
    return (
        isinstance(thing, Need | Guard)
        or _is_uncalled(thing)
        or (inspect.isclass(thing) and issubclass(thing, SecurityMarker | Guard))
    )


def _is_uncalled(call: Any) -> bool:
    """Whether it is `guard.requires` or one of its like itself, and not what it makes."""
    if getattr(call, "__name__", None) not in _DECLARATIONS:
        return False
    return isinstance(getattr(call, "__self__", None), Guard) or call.__module__ == "bailiwick.fasterapi"


_DECLARATIONS: Final = frozenset({"optional", "owner_or", "public", "require_scope", "requires"})


def _leads_to_guard(call: Any, seen: set[int]) -> bool:
    """Whether a dependency is a guard, or depends on one."""
    if _is_guard(call):
        return True
    if id(call) in seen or not callable(call):
        return False
    seen.add(id(call))
    return any(
        _leads_to_guard(_target_of(one, parameter.annotation), seen)
        for parameter in read_signature(call, closures=False)
        for one in (parameter.default, *metadata_in(parameter.annotation))
        if isinstance(one, Depends)
    )


def entry_of(
    catalog: Catalog, path: str, methods: tuple[str, ...], kind: Kind, handler: Any, declared: Declared
) -> RoutePlan:
    """The plan's entry for one route.

    Raises:
        ConfigurationError: it is public and needs something as well, or needs a scope that is not catalogued, or
            declares scopes beside its requirement that nothing looks at.
    """
    where = f"{'|'.join(methods) or kind.value} {path}"
    if declared.required and declared.unread:
        raise _inert(declared.unread[0], where)
    access, reason = access_of(
        where, required=bool(declared.required), optional=bool(declared.optional), public=declared.public
    )
    needed = [one for one in (*declared.required, *declared.optional) if one is not None]
    requirement, rule = combine(needed, catalog, where=where)
    return RoutePlan(
        path or "/",
        methods,
        kind,
        getattr(handler, "__name__", type(handler).__name__),
        source_of(handler),
        access,
        requirement,
        reason,
        rule,
        declared.step_up,
        declared.close_on_expiry,
    )
