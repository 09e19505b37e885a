"""What a callable depends on, read from its signature. It calls nothing and knows no framework.

A framework's markers (`Depends`, `Security`, ...) are recognised by a small function that its door hands
in: given a default value or one item of `Annotated`, it answers with an `Edge` or None.

What cannot be read must be said: a parameter whose annotation stayed a string may hide a guard, and a
framework serves such a route open (PEP 563 with a name that only a local scope knows).
"""

from __future__ import annotations

import inspect
import re
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, Final, ForwardRef, Literal, Union, get_args, get_origin

from bailiwick.errors import ConfigurationError, InvalidScope
from bailiwick.scopes import ScopeSet

from .dependant import (
    Call,
    Dependant,
    Parameter,
    SecurityScopes,
    Unresolved,
    behaviour_of,
    describe,
    innermost,
    join_scopes,
)

__all__ = ["Edge", "EdgeOf", "Reader", "read_tree"]

# No application nests dependencies this deep; a tree that does was made by code that never ends.
MAX_DEPTH: Final = 100

# What a guard's annotation looks like as text. It errs on the side of asking the developer.
SUSPICIOUS: Final = re.compile(r"depend|secur|guard|principal|caller|auth|requires|annotated", re.IGNORECASE)

_NOTHING: Final = inspect.Parameter.empty
_VARIADIC: Final = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Edge:
    """One dependency as it was declared.

    Args:
        call: what is depended on; None to take the parameter's annotation, as a bare `Depends()` does.
        scopes: exactly what was declared, or None where no scopes were spoken of. An empty list and a
            string are handed on as they are, so that they can be refused.
        use_cache: whether a value made earlier in the same request may be shared.
        lifetime: "request" or "function" as declared, or None.
        marker: the framework's own object.
    """

    call: Call | None
    scopes: Iterable[str] | None = None
    use_cache: bool = True
    lifetime: str | None = None
    marker: object = None


EdgeOf = Callable[[object], Edge | None]


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
            annotation, metadata = _split(one.annotation)
            found = self._edge(call, one, metadata)
            if found is not None:
                target = annotation if found.call is None else found.call
                child = self._read(found, target, one.name, self._declared(found, target), scopes, (*above, call))
                _check_lifetimes(call, edge, child)
                children.append(child)
            elif self._takes_scopes(annotation):
                scopes_parameters.append(one.name)
            else:
                unresolved.extend(_unresolved(one))
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
            annotation, _ = _split(annotation)
        return isinstance(annotation, type) and issubclass(annotation, self.scopes_type)


def read_tree(
    call: Call,
    edge_of: EdgeOf,
    *,
    scopes_type: type = SecurityScopes,
    is_scheme: Callable[[object], bool] = _no_scheme,
    own_oauth_scopes: Iterable[str] = (),
    parent_oauth_scopes: Iterable[str] = (),
    strict: bool = True,
    closures: bool = True,
) -> Dependant:
    """The tree of dependencies below one callable; `Reader` reads many by the same rules.

    Args:
        call: an endpoint or a dependency.
        edge_of: recognises the framework's markers.
        scopes_type: see `Reader`.
        is_scheme: see `Reader`.
        own_oauth_scopes: declared on it.
        parent_oauth_scopes: of what depends on it, outermost first.
        strict: see `Reader`.
        closures: see `Reader`.

    Raises:
        ConfigurationError: the tree is a cycle, cannot be read, or (if strict) declares scopes wrongly.
    """
    reader = Reader(edge_of, scopes_type=scopes_type, is_scheme=is_scheme, strict=strict, closures=closures)
    return reader.read(call, own_oauth_scopes=own_oauth_scopes, parent_oauth_scopes=parent_oauth_scopes)


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


# --- reading --------------------------------------------------------------------------------------


def read_signature(call: Call, *, closures: bool) -> list[inspect.Parameter]:
    """The parameters that are still open, with annotations resolved where possible.

    What `functools.partial` has bound is no parameter: a keyword bound to it is listed by `inspect` with
    the bound value as a default, and a framework would let the caller overwrite it from the query.
    """
    if isinstance(call, partial):
        return _unbound(call, read_signature(call.func, closures=closures))
    evaluated = _evaluated(call)
    if evaluated is not None:
        return evaluated
    names = _names(call, closures=closures)
    return [one.replace(annotation=_resolved(one.annotation, names)) for one in _raw_signature(call)]


def _evaluated(call: Call) -> list[inspect.Parameter] | None:
    """All parameters with their annotations evaluated; None if one of these cannot be."""
    try:
        return list(inspect.signature(call, eval_str=True).parameters.values())
    except Exception:  # noqa: BLE001 - evaluating an annotation runs any code and may raise anything
        return None


def _raw_signature(call: Call) -> list[inspect.Parameter]:
    try:
        if sys.version_info >= (3, 14):
            # PEP 649: names that are unknown become ForwardRefs instead of an error.
            from annotationlib import Format

            return list(inspect.signature(call, annotation_format=Format.FORWARDREF).parameters.values())
        return list(inspect.signature(call).parameters.values())
    except (ValueError, TypeError) as unreadable:
        raise ConfigurationError(f"{describe(call)} has no signature that can be read.", id="BW122") from unreadable


def _unbound(call: partial[Any], parameters: list[inspect.Parameter]) -> list[inspect.Parameter]:
    try:
        inspect.Signature(parameters).bind_partial(*call.args, **call.keywords)
    except TypeError as unfit:
        raise ConfigurationError(f"The partial of {describe(call)} does not fit: {unfit}.", id="BW122") from unfit
    by_position = [one.name for one in parameters if one.kind in _BY_POSITION][: len(call.args)]
    return [one for one in parameters if one.name not in by_position and one.name not in call.keywords]


def _names(call: Call, *, closures: bool) -> dict[str, Any]:
    """The names that a callable's string annotations may use."""
    if not closures:
        return dict(getattr(inspect.unwrap(call), "__globals__", {}))
    names: dict[str, Any] = {}
    for function in reversed(list(_functions(call))):
        names.update(function.__globals__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
        for parameter in getattr(function, "__type_params__", ()):
            names[parameter.__name__] = parameter
    return names


def _functions(call: Any) -> Iterator[types.FunctionType]:
    """The functions whose names count, innermost last: what was written around them counts less."""
    if inspect.isclass(call):
        for made_by in (call.__init__, call.__new__):
            yield from _functions(made_by)
        return
    if not inspect.isroutine(call) and not isinstance(call, partial):
        call = type(call).__call__
    while isinstance(call, types.MethodType):
        call = call.__func__
    if isinstance(call, types.FunctionType):
        yield call
    if (wrapped := getattr(call, "__wrapped__", None)) is not None:
        yield from _functions(wrapped)


def _resolved(annotation: Any, names: dict[str, Any]) -> Any:
    if not isinstance(annotation, str):
        return annotation
    try:
        # As inspect.signature(eval_str=True) does, but one by one: a name that only a type checker knows
        # must not take the other parameters' guards with it.
        return eval(annotation, names)  # noqa: S307 - the developer's own annotation
    except Exception:  # noqa: BLE001 - it may raise anything; it stays text, and is reported as such
        return annotation


def _split(annotation: Any) -> tuple[Any, tuple[object, ...]]:
    """The type and what `Annotated` adds to it, through aliases (`type X = ...`)."""
    metadata: tuple[object, ...] = ()
    for _ in range(MAX_DEPTH):
        if get_origin(annotation) is Annotated:
            annotation, metadata = annotation.__origin__, (*annotation.__metadata__, *metadata)
        elif type(annotation).__name__ == "TypeAliasType":
            annotation = annotation.__value__
        else:
            break
    return annotation, metadata


def metadata_in(annotation: Any) -> Iterator[Any]:
    """What `Annotated` adds anywhere in a type, in the order in which it is written: also where no framework looks."""
    if type(annotation).__name__ == "TypeAliasType":
        yield from metadata_in(annotation.__value__)
    elif get_origin(annotation) is Annotated:
        yield from metadata_in(annotation.__origin__)
        yield from annotation.__metadata__
    else:
        for part in get_args(annotation):
            yield from metadata_in(part)


def plain_type(annotation: Any) -> Any:
    """A type without what `Annotated` adds to it."""
    while get_origin(annotation) is Annotated:
        annotation = annotation.__origin__
    return annotation


def _unresolved(parameter: inspect.Parameter) -> Iterator[Unresolved]:
    for text in _texts(parameter.annotation):
        yield Unresolved(
            parameter=parameter.name,
            text=text,
            suspicious=SUSPICIOUS.search(text) is not None,
            required=parameter.default is _NOTHING,
        )


def _texts(annotation: Any) -> Iterator[str]:
    """Every part of an annotation that stayed text."""
    if isinstance(annotation, str):
        yield annotation
    elif isinstance(annotation, ForwardRef):
        yield annotation.__forward_arg__
    elif get_origin(annotation) is Annotated:
        yield from _texts(annotation.__origin__)
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _texts(part)


def unresolved_in(parameters: Iterable[inspect.Parameter]) -> Iterator[Unresolved]:
    """The annotations that stayed text when a signature was read.

    Args:
        parameters: as `read_signature` gives them.
    """
    for parameter in parameters:
        yield from _unresolved(parameter)


def source_of(endpoint: Any) -> str:
    """Where a handler is written, as "file:line"; empty where that cannot be known."""
    try:
        endpoint = inspect.unwrap(endpoint)
        while isinstance(endpoint, partial):
            endpoint = endpoint.func
        code = getattr(endpoint, "__code__", None)
        if isinstance(
            code, types.CodeType
        ):  # not getsourcelines, which reads the whole function to find where it begins
            return f"{code.co_filename}:{code.co_firstlineno}"
        if not inspect.isclass(endpoint):
            endpoint = type(endpoint)
        return f"{inspect.getsourcefile(endpoint)}:{inspect.getsourcelines(endpoint)[1]}"
    except (TypeError, OSError):
        return ""
