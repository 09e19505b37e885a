"""Reads the tree of dependencies below a callable, with the scopes that were declared on the way. It calls nothing.

FasterAPI's own solver knows no scopes, so its adapter reads the trees itself, here, and runs them by `dependency_solver`. It is pure: markers
(`Depends`, `Security`, ...) are recognised by a small function that is handed in. Given a default value or one item of `Annotated`, that function
returns an `Edge` or None.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, Union, get_args, get_origin

from bailiwick.errors import ConfigurationError, InvalidScope
from bailiwick.graph.dependant import (
    Call,
    Dependant,
    Edge,
    EdgeOf,
    Parameter,
    SecurityScopes,
    Unresolved,
    behaviour_of,
    describe,
    innermost,
    join_scopes,
)
from bailiwick.graph.signature import read_signature, split_annotation, unresolved_in
from bailiwick.scopes import ScopeSet

__all__ = ["Reader"]

# No application nests dependencies this deep; a tree that does was made by code that never ends.
MAX_DEPTH: Final = 100

_NOTHING: Final = inspect.Parameter.empty
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def _no_scheme(_: object) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads trees of dependencies by one framework's rules.

    Args:
        edge_of: looks at a default value or one item of `Annotated`; None if it marks no dependency.
        scopes_type: the class whose parameters are handed the scopes; made with a list of names.
        is_scheme: whether an object is a security scheme of the framework.
        strict: refuse declarations that mean nothing or something else than they say. A door that reads
            code written for a laxer framework says False and sees what that framework sees.
        closures: read string annotations with the names of closures as well. A door whose
            framework does not says False: else a guard would be seen here that nobody runs.
    """

    edge_of: EdgeOf
    scopes_type: type = SecurityScopes
    is_scheme: Callable[[object], bool] = _no_scheme
    strict: bool = True
    closures: bool = True

    def read(
        self,
        call: Call,
        *,
        name: str | None = None,
        own_oauth_scopes: Iterable[str] = (),
        parent_oauth_scopes: Iterable[str] = (),
        use_cache: bool = True,
        lifetime: str | None = None,
    ) -> Dependant:
        """The tree below a callable, which is an endpoint or the stand-in for a dependency.

        Args:
            call: what to read.
            name: the parameter that takes its value.
            own_oauth_scopes: declared on it.
            parent_oauth_scopes: of what depends on it, outermost first.
            use_cache: as declared.
            lifetime: as declared.

        Raises:
            ConfigurationError: the tree is a cycle, cannot be read, or (if strict) declares scopes wrongly.
        """
        own = _own_scopes(own_oauth_scopes, call, strict=self.strict) if own_oauth_scopes else ()
        parents = join_scopes(parent_oauth_scopes, ())
        return self._read(Edge(call, use_cache=use_cache, lifetime=lifetime), call, name, own, parents, ())

    def read_marker(self, marker: object) -> Dependant:
        """The tree below one item of `dependencies=[...]`: a root of its own, whose value nobody takes.

        Args:
            marker: the framework's object.

        Raises:
            ConfigurationError: it is no dependency, names no callable, or its tree cannot be read.
        """
        edge = self.edge_of(marker)
        if edge is None:
            raise ConfigurationError(f"{type(marker).__name__} is not a dependency.", id="BW122")
        if edge.call is None:
            raise ConfigurationError("A dependency that no parameter takes must name its callable.", id="BW122")
        own = self._declared(edge, edge.call)
        return self._read(edge, edge.call, None, own, (), ())

    def _declared(self, edge: Edge, call: Call) -> tuple[str, ...]:
        return () if edge.scopes is None else _own_scopes(edge.scopes, call, strict=self.strict)

    def _read(
        self,
        edge: Edge,
        call: Call,
        name: str | None,
        own: tuple[str, ...],
        parents: tuple[str, ...],
        above: tuple[Call, ...],
    ) -> Dependant:
        _check_callable(call, name, above)
        _check_no_cycle(call, above)
        signature = read_signature(call, closures=self.closures)
        if self.strict:
            _check_readable(call, signature)
        scopes = join_scopes(parents, own)
        children: list[Dependant] = []
        parameters: list[Parameter] = []
        scopes_parameters: list[str] = []
        unresolved: list[Unresolved] = []
        for one in signature:
            if one.kind in _VARIADIC:
                continue
            annotation, metadata = split_annotation(one.annotation)
            found = self._edge(call, one, metadata)
            if found is not None:
                target = annotation if found.call is None else found.call
                child = self._read(found, target, one.name, self._declared(found, target), scopes, (*above, call))
                _check_lifetimes(call, edge, child)
                children.append(child)
            elif self._takes_scopes(annotation):
                scopes_parameters.append(one.name)
            else:
                unresolved.extend(unresolved_in((one,)))
                parameters.append(
                    Parameter(
                        name=one.name,
                        annotation=annotation,
                        default=one.default,
                        metadata=metadata,
                        positional_only=one.kind is inspect.Parameter.POSITIONAL_ONLY,
                        owner=call,
                    )
                )
        return Dependant(
            call=call,
            name=name,
            own_oauth_scopes=own,
            parent_oauth_scopes=parents,
            use_cache=edge.use_cache,
            lifetime=edge.lifetime,
            dependencies=tuple(children),
            parameters=tuple(parameters),
            scopes_parameters=tuple(scopes_parameters),
            scopes_type=self.scopes_type,
            is_scheme=self.is_scheme(innermost(call)),
            unresolved=tuple(unresolved),
        )

    def _edge(self, call: Call, parameter: inspect.Parameter, metadata: tuple[object, ...]) -> Edge | None:
        """The dependency that a parameter declares. Of several, a framework runs the last and forgets the others."""
        found = [edge for item in metadata if (edge := self.edge_of(item)) is not None]
        by_default = None if parameter.default is _NOTHING else self.edge_of(parameter.default)
        if by_default is not None and found:
            raise ConfigurationError(
                f"{describe(call)}: {parameter.name!r} declares a dependency in Annotated and another as its default.",
                id="BW122",
            )
        if len(found) > 1 and self.strict:
            raise ConfigurationError(
                f"{describe(call)}: {parameter.name!r} declares {len(found)} dependencies in one Annotated; "
                "only the last would run.",
                id="BW123",
            )
        return by_default if by_default is not None else (found[-1] if found else None)

    def _takes_scopes(self, annotation: object) -> bool:
        """Whether it is the scopes' type, a subclass of it, or either `| None`: a guard that was handed None
        in place of its scopes would find nothing to check."""
        if get_origin(annotation) in (Union, types.UnionType):
            rest = [one for one in get_args(annotation) if one is not type(None)]
            annotation = rest[0] if len(rest) == 1 else annotation
            annotation, _ = split_annotation(annotation)
        return isinstance(annotation, type) and issubclass(annotation, self.scopes_type)


# --- what is refused ------------------------------------------------------------------------------


def _own_scopes(declared: Iterable[str], call: Call, *, strict: bool) -> tuple[str, ...]:
    if not strict:
        return tuple(declared)
    if isinstance(declared, str | bytes):
        raise ConfigurationError(
            f"The scopes of {describe(call)} are one text, {str(declared)[:80]!r}; a list is needed, "
            "because a text is read letter by letter.",
            id="BW104",
        )
    if not isinstance(declared, Sequence | AbstractSet | Mapping):
        # A generator is spent by whoever reads it first, and the guard would then ask for nothing.
        raise ConfigurationError(
            f"The scopes of {describe(call)} are a {type(declared).__name__}; a list is needed, "
            "because this can be read only once.",
            id="BW104",
        )
    if not declared:
        raise ConfigurationError(
            f"The list of scopes of {describe(call)} is empty. Leave it out where no scope is needed.", id="BW103"
        )
    try:
        ScopeSet(declared)
    except InvalidScope as bad:
        raise ConfigurationError(f"The scopes of {describe(call)}: {bad.description}", id=bad.id) from bad
    # A set has no order; without one, the challenge's text would differ between processes.
    return tuple(sorted(declared)) if isinstance(declared, AbstractSet) else tuple(declared)


def _check_callable(call: object, name: str | None, above: tuple[Call, ...]) -> None:
    if callable(call) and call is not _NOTHING:
        return
    where = f"{describe(above[-1])}: the parameter {name!r}" if above else "A dependency"
    raise ConfigurationError(
        f"{where} depends on {getattr(call, '__forward_arg__', call)!r}, which cannot be called. "
        "Name the callable in the marker.",
        id="BW122",
    )


def _check_no_cycle(call: Call, above: tuple[Call, ...]) -> None:
    if len(above) > MAX_DEPTH:
        raise ConfigurationError(f"{describe(above[0])} has dependencies nested over {MAX_DEPTH} deep.", id="BW122")
    for index, one in enumerate(above):
        if _same(one, call):
            chain = " -> ".join(describe(each) for each in (*above[index:], call))
            raise ConfigurationError(f"The dependencies form a cycle: {chain}.", id="BW122")


def _same(one: Call, other: Call) -> bool:
    """Identity, but that a bound method is a new object each time it is taken."""
    if isinstance(one, types.MethodType) and isinstance(other, types.MethodType):
        return one.__self__ is other.__self__ and one.__func__ is other.__func__
    return one is other


def _check_readable(call: Call, parameters: Sequence[inspect.Parameter]) -> None:
    kinds = [one.kind for one in parameters]
    if sorted(kinds) == sorted(_VARIADIC):
        raise ConfigurationError(
            f"{describe(call)} takes only *args and **kwargs, so that nobody can tell what it depends on. "
            "Put functools.wraps on the wrapper.",
            id="BW122",
        )


def _check_lifetimes(call: Call, edge: Edge, child: Dependant) -> None:
    """What lives as long as the request cannot rest on what is left when the function returns."""
    if child.lifetime != "function" or edge.lifetime == "function":
        return
    _, yields = behaviour_of(call)
    if yields:
        raise ConfigurationError(
            f"{describe(call)} lives as long as the request, and depends on {describe(child.call)}, "
            "which is left as soon as the function returns.",
            id="BW122",
        )
