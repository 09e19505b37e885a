"""One node of a tree of dependencies: which scopes reach it, and what it shares with others.

Scopes flow down one chain, from the route to the leaf, and never to a sibling: a hand-written "any of"
over the scopes of a neighbour would let callers in who hold only the neighbour's scope. A node knows
nothing of how it was declared (`signature` reads that) nor of when it runs (its framework, or the adapter, does that).

The word *scope* is an OAuth scope here; how long a dependency's value lives is its `lifetime`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from typing import Any, Final

__all__ = [
    "Behaviour",
    "CacheKey",
    "Call",
    "Dependant",
    "Edge",
    "EdgeOf",
    "Parameter",
    "SecurityScopes",
    "Unresolved",
    "join_scopes",
]

Call = Callable[..., Any]
CacheKey = tuple[Hashable, tuple[str, ...], str]

# A callable object whose __call__ is a callable object, and so on: nobody nests them deeper on purpose.
MAX_WRAPPERS: Final = 100


class SecurityScopes:
    """The scopes that a dependency is asked for: those of the routes and dependencies above it, then its own.

    A dependency that takes a parameter of this type is handed a fresh one at each run.

    Args:
        scopes: the names, outermost first, each once.

    Attributes:
        scopes: the names; the list is the receiver's own and may be changed.
        scope_str: the names joined by spaces, as the `scope` parameter writes them.

    Source: RFC 6749 section 3.3 for the joined form.
    """

    __slots__ = ("scope_str", "scopes")

    def __init__(self, scopes: Iterable[str] | None = None) -> None:
        self.scopes: list[str] = list(scopes or ())
        self.scope_str: str = " ".join(self.scopes)

    def __repr__(self) -> str:
        return f"SecurityScopes({self.scopes!r})"


def join_scopes(parents: Iterable[str], own: Iterable[str]) -> tuple[str, ...]:
    """The scopes that reach a node: the parents' first, then its own, each where it was first named."""
    return tuple(dict.fromkeys((*parents, *own)))


class Behaviour(Enum):
    """What calling a dependency gives, as far as its form tells."""

    COROUTINE = "an async def: awaited"
    ON_LOOP = "wraps an async def, or yields: called on the event loop, then awaited or entered"
    BLOCKING = "anything else: may block, so a door can run it in a thread"
    CONSTRUCTOR = "a class: its instance is the value, awaitable or not"


def behaviour_of(call: Call) -> tuple[Behaviour, bool]:
    """How to run a callable, and whether it yields its value.

    Every form counts that a user may write: functions, bound methods, `functools.partial`, callable objects,
    `functools.wraps` around any of them. A form that is not seen here would be a guard that never runs.
    """
    outer = _without_partials(call)
    if inspect.isclass(outer):
        return Behaviour.CONSTRUCTOR, False
    layers = list(_layers(outer))
    yields = any(inspect.isgeneratorfunction(one) or inspect.isasyncgenfunction(one) for one in layers)
    # The first layer that is code is the one that really runs; what it wraps only says what to expect.
    runs = next((one for one in layers if inspect.isroutine(one)), outer)
    if inspect.iscoroutinefunction(runs):
        return Behaviour.COROUTINE, yields
    if yields or any(inspect.iscoroutinefunction(one) for one in layers):
        return Behaviour.ON_LOOP, yields
    return Behaviour.BLOCKING, False


def innermost(call: Call) -> object:
    """What is left of a callable without `functools.partial` and `functools.wraps`: where a scheme shows."""
    return inspect.unwrap(_without_partials(call))


def _without_partials(call: Any) -> Any:
    while isinstance(call, partial):
        call = call.func
    return call


def _layers(call: Any) -> Iterator[Any]:
    """The callable and everything that it wraps, outermost first."""
    for _ in range(MAX_WRAPPERS):
        yield call
        if isinstance(call, partial):
            call = call.func
        elif (wrapped := getattr(call, "__wrapped__", None)) is not None and callable(wrapped):
            call = wrapped
        elif not inspect.isroutine(call) and not inspect.isclass(call):
            call = call.__call__
        else:
            return


class _ByIdentity:
    """Stands in a cache key for a callable that cannot be hashed."""

    __slots__ = ("call",)

    def __init__(self, call: Call) -> None:
        self.call = call

    def __hash__(self) -> int:
        return id(self.call)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _ByIdentity) and self.call is other.call


def key_of(call: Call) -> Hashable:
    """The callable itself, compared as it compares; an unhashable one, compared by identity."""
    try:
        hash(call)
    except TypeError:
        return _ByIdentity(call)
    return call


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A parameter that is not a dependency: the framework supplies it. Hashable, by identity.

    Attributes:
        name: as in the signature.
        annotation: without `Annotated`; `inspect.Parameter.empty` if there is none.
        default: `inspect.Parameter.empty` if there is none.
        metadata: what stood in `Annotated` after the type.
        positional_only: it cannot be passed by name.
        owner: the callable that takes it.
    """

    name: str
    annotation: object
    default: object
    metadata: tuple[object, ...]
    positional_only: bool
    owner: Call

    @property
    def required(self) -> bool:
        """Whether it has no default."""
        return self.default is inspect.Parameter.empty


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An annotation that stayed text, so that nobody can tell what it declares.

    A framework takes such a parameter for a query parameter; with a default, the guard in it never runs.

    Attributes:
        parameter: the name.
        text: the annotation as written.
        suspicious: the text looks like a dependency, a guard or a principal.
        required: the parameter has no default, so that a request is refused rather than let in.
    """

    parameter: str
    text: str
    suspicious: bool
    required: bool


@dataclass(frozen=True, slots=True, eq=False)
class Dependant:
    """A callable in its place in a tree, with the scopes that reach it there. Immutable.

    Args:
        call: what is called.
        name: the parameter that takes its value; None where nobody does (`dependencies=[...]`).
        own_oauth_scopes: declared where it is depended on, in that order.
        parent_oauth_scopes: those of everything that depends on it, outermost first.
        use_cache: whether it may share a value that was made earlier in the same request.
        lifetime: "request" or "function", as declared, or None.
        dependencies: its own, in order of declaration, each already linked with `oauth_scopes` as parents.
        parameters: what the framework has to supply.
        scopes_parameters: names of the parameters that take the scopes.
        scopes_type: the class of what these are handed.
        is_scheme: it is a security scheme of the framework, which always depends on scopes.
        unresolved: annotations that nobody could read.

    Attributes:
        oauth_scopes: parents' first, then own, none twice.
        uses_scopes: it, or something below it, can tell one set of scopes from another.
        cache_key: runs with equal keys share a value in one request.
        behaviour: how to run it.
        yields: it is left again, after the request or the function.

    Raises:
        ValueError: a dependency was linked with other scopes than these.
    """

    call: Call
    name: str | None = None
    own_oauth_scopes: tuple[str, ...] = ()
    parent_oauth_scopes: tuple[str, ...] = ()
    use_cache: bool = True
    lifetime: str | None = None
    dependencies: tuple[Dependant, ...] = ()
    parameters: tuple[Parameter, ...] = ()
    scopes_parameters: tuple[str, ...] = ()
    scopes_type: Callable[[list[str]], object] = SecurityScopes
    is_scheme: bool = False
    unresolved: tuple[Unresolved, ...] = ()
    oauth_scopes: tuple[str, ...] = field(init=False)
    uses_scopes: bool = field(init=False)
    cache_key: CacheKey = field(init=False)
    behaviour: Behaviour = field(init=False)
    yields: bool = field(init=False)

    def __post_init__(self) -> None:
        scopes = join_scopes(self.parent_oauth_scopes, self.own_oauth_scopes)
        for child in self.dependencies:
            if child.parent_oauth_scopes != scopes:
                raise ValueError(
                    f"{describe(child.call)} is linked with {child.parent_oauth_scopes}, "
                    f"but stands below {describe(self.call)} with {scopes}."
                )
        uses = bool(
            self.own_oauth_scopes
            or self.scopes_parameters
            or self.is_scheme
            or any(child.uses_scopes for child in self.dependencies)
        )
        behaviour, yields = behaviour_of(self.call)
        lifetime = self.lifetime or ("request" if yields else "")
        put = object.__setattr__
        put(self, "oauth_scopes", scopes)
        put(self, "uses_scopes", uses)
        # The order of scopes is no part of the key: who needs [a, b] is served by what was made for [b, a].
        put(self, "cache_key", (key_of(self.call), tuple(sorted(scopes)) if uses else (), lifetime))
        put(self, "behaviour", behaviour)
        put(self, "yields", yields)

    def walk(self) -> Iterator[Dependant]:
        """This node and all below it: children before parents, in the order in which they run."""
        for child in self.dependencies:
            yield from child.walk()
        yield self

    def __repr__(self) -> str:
        scopes = f" [{' '.join(self.oauth_scopes)}]" if self.oauth_scopes else ""
        return f"<Dependant {describe(self.call)}{scopes}>"


def describe(call: object) -> str:
    """The name under which a developer finds a callable: module and qualified name, never its contents."""
    inner = _without_partials(call)
    named = inner if hasattr(inner, "__qualname__") else type(inner)
    module = getattr(named, "__module__", None)
    name = str(named.__qualname__)
    return f"{module}.{name}" if module else name


@dataclass(frozen=True, slots=True)
class Edge:
    """Describes one dependency as it was declared.

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
