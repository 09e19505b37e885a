"""Reads what a route's dependencies declare, from the tree that our solver will run."""

import functools
import inspect
from collections.abc import Sequence
from typing import Any, Final

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fasterapi.compat import Depends, PlainSecurityScopes, is_scheme
from bailiwick.frameworks.fasterapi.dependency_reader import Reader
from bailiwick.frameworks.fasterapi.scope_dependency import ScopeDependency, SecurityMarker
from bailiwick.graph import Dependant, Edge, Kind, RoutePlan, StepUp, combine
from bailiwick.graph.dependant import describe
from bailiwick.graph.signature import read_signature, source_of
from bailiwick.guard.dependencies import is_uncalled
from bailiwick.guard.guard import Guard
from bailiwick.guard.policy import Public, access_of
from bailiwick.guard.signature_checks import SignatureChecks, check_inert_scopes
from bailiwick.scopes import Catalog, Requirement, all_of

__all__ = ["READER", "Declaration", "entry_of", "is_ours", "read_declared", "read_route"]


def edge_of(marker: object) -> Edge | None:
    """Recognise FasterAPI's marker and ours."""
    if isinstance(marker, SecurityMarker):
        return Edge(marker.target, marker.scopes, marker.use_cache, None, marker)
    if isinstance(marker, Depends):
        return Edge(marker.dependency, None, marker.use_cache, None, marker)
    return None


# closures=False: an annotation that only a local scope explains is refused instead, because FasterAPI
# and its OpenAPI document would see another route than we do.
READER: Final = Reader(edge_of, scopes_type=PlainSecurityScopes, is_scheme=is_scheme, closures=False)


class Declaration:
    """Collects the requirements that one route's dependency tree declares for one guard."""

    def __init__(self) -> None:
        self.required: list[Requirement | None] = []
        self.optional: list[Requirement | None] = []
        self.public: list[Public] = []
        self.step_up: StepUp | None = None
        self.close_on_expiry = False
        self.unread: list[Dependant] = []  # with scopes that nothing looks at

    @property
    def is_empty(self) -> bool:
        """Whether nothing settles the route."""
        return not (self.required or self.optional or self.public)

    def settle(self, settled: ScopeDependency | Public | None) -> None:
        """Add a declaration that does not come from the tree."""
        if isinstance(settled, Public):
            self.public.append(settled)
        elif settled is not None:
            self.add(settled, settled.requirement)

    def add(self, need: ScopeDependency, requirement: Requirement | None) -> None:
        """Add a requirement, with what stands beside it."""
        (self.optional if need.optional else self.required).append(requirement)
        if need.step_up is not None:
            self.step_up = need.step_up if self.step_up is None else self.step_up & need.step_up
        self.close_on_expiry = self.close_on_expiry or need.close_on_expiry


def is_ours(call: object, guard: Any) -> bool:
    """Whether a dependency is settled by the gate of this guard and need not run."""
    if isinstance(call, ScopeDependency):
        return guard is not None and (call.guard is guard or call.guard is None)
    return isinstance(call, Public) or (guard is not None and call is guard)


def read_route(handler: Any, dependencies: Sequence[Any] | None, where: str) -> tuple[list[Dependant], Dependant]:
    """Read the trees of one route: of `dependencies=[...]`, and of the handler's parameters.

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
    signatures = SignatureChecks(_parameters_of, edge_of, _is_guard)
    for tree in (*roots, target):
        _check_tree(tree, where, signatures)
    return roots, target


def _parameters_of(call: Any) -> list[inspect.Parameter]:
    return read_signature(call, closures=False)


def read_declared(guard: Any, trees: Sequence[Dependant], where: str) -> Declaration:
    """Collect what the trees of a route declare for this guard; all of it is needed.

    Raises:
        ConfigurationError: scopes that nothing would look at.
    """
    declared = Declaration()
    for tree in trees:
        _collect_declarations(guard, tree, declared, where)
    return declared


def _collect_declarations(guard: Any, node: Dependant, declared: Declaration, where: str) -> None:
    call = node.call
    if isinstance(call, Public):
        declared.public.append(call)
        return
    if is_ours(call, guard):
        inherited = all_of(*node.oauth_scopes) if node.oauth_scopes else None
        if isinstance(call, ScopeDependency):
            both = [one for one in (inherited, call.requirement) if one is not None]
            declared.add(call, functools.reduce(lambda one, other: one & other, both) if both else None)
        else:
            declared.required.append(inherited)
        return
    if node.own_oauth_scopes and not _reads_scopes(node):
        declared.unread.append(node)
    for child in node.dependencies:
        _collect_declarations(guard, child, declared, where)


def _reads_scopes(node: Dependant) -> bool:
    return bool(node.scopes_parameters) or any(map(_reads_scopes, node.dependencies))


def _check_tree(tree: Dependant, where: str, signatures: SignatureChecks) -> None:
    """Refuse a guard that stands in a signature or a class and is not run: the route would look guarded, and be open.

    A marker inside another type (`Annotated[...] | None`) is not seen by the reader, and neither is a guard without
    `Security(...)` around it, nor a declaration that nobody called, nor an attribute of a class.

    Raises:
        ConfigurationError: there is one.
    """
    for node in tree.walk():
        if is_uncalled(node.call) or _is_maker(node.call):
            raise ConfigurationError(
                f"{where}: Depends({describe(node.call)}) checks nothing; call it, as in guard.requires(...).",
                id="BW123",
            )
        if isinstance(node.call, ScopeDependency | Public | Guard):
            continue
        signatures.check(node, tree, where)
        if inspect.isclass(node.call) and callable(maker := getattr(node.call, "from_request", None)):
            # FasterAPI hands it the request, and resolves nothing of what it declares.
            signatures.check(Dependant(maker), tree, where)


def _is_maker(thing: Any) -> bool:
    """Whether it is `require_scope` itself, which the public module above this one defines."""
    return (
        getattr(thing, "__module__", "") == "bailiwick.fasterapi" and getattr(thing, "__name__", "") == "require_scope"
    )


def _is_guard(thing: Any) -> bool:
    return (
        isinstance(thing, ScopeDependency | Guard)
        or is_uncalled(thing)
        or _is_maker(thing)
        or (inspect.isclass(thing) and issubclass(thing, SecurityMarker | Guard))
    )


def entry_of(
    catalog: Catalog, path: str, methods: tuple[str, ...], kind: Kind, handler: Any, declared: Declaration
) -> RoutePlan:
    """Make the plan's entry for one route.

    Raises:
        ConfigurationError: it is public and needs something as well, or needs a scope that is not catalogued, or
            declares scopes beside its requirement that nothing looks at.
    """
    where = f"{'|'.join(methods) or kind.value} {path}"
    for node in declared.unread:
        check_inert_scopes(
            where,
            describe(node.call),
            node.own_oauth_scopes,
            catalog,
            is_guarded=bool(declared.required) or declared.is_empty,
        )
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
