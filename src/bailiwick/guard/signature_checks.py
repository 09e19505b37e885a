"""Checks for guards that a signature or a class names and that the framework does not run: the route would look guarded, and be open.

An adapter hands in what its framework does: how it reads a signature, and what it takes for a marker. What really runs is
read from the framework's own tree. Annotations may make something new each time they are evaluated (`Depends(require_role("editor"))`
under PEP 563), so a marker and a dependency are compared by the guards and the scopes that they lead to, not by identity.
"""

import inspect
import logging
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from types import FunctionType, MethodType
from typing import Any, Final, Protocol

from bailiwick.errors import ConfigurationError
from bailiwick.graph import EdgeOf
from bailiwick.graph.signature import class_annotations, metadata_in, plain_type, texts_in, unresolved_in
from bailiwick.scopes import Catalog, Ownership, Principal

log = logging.getLogger("bailiwick.guard")

__all__ = ["Node", "Place", "Signature", "SignatureChecks", "check_inert_scopes", "takes_values_only"]


class Node(Protocol):
    """One dependency, or a handler, in the tree that a framework runs."""

    @property
    def call(self) -> Any:
        """What is called."""

    @property
    def name(self) -> str | None:
        """The parameter that takes its value."""

    @property
    def own_oauth_scopes(self) -> Sequence[str] | None:
        """The scopes that were declared on it."""

    @property
    def dependencies(self) -> Sequence[Any]:
        """The nodes below it."""


# A guard, with the scopes that reach it.
Mention = tuple[Any, frozenset[str]]


@dataclass(frozen=True, slots=True)
class Place:
    """A parameter, or an attribute of a class, that names markers or guards.

    Attributes:
        name: its name.
        annotation: its annotation, evaluated.
        markers: the default first, then those of the annotation in their order.
    """

    name: str
    annotation: Any
    markers: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Signature:
    """What of one callable can concern a guard.

    Attributes:
        call: the callable.
        hidden: names of parameters whose annotations stayed text that may be a guard's, with the text.
        marked: the parameters with a marker or a guard.
        attributes: attributes of its class with a marker or a guard.
        unsupplied: names of parameters annotated `Principal` or `Ownership` and nothing else.
    """

    call: Any
    hidden: tuple[tuple[str, str], ...] = ()
    marked: tuple[Place, ...] = ()
    attributes: tuple[Place, ...] = ()
    unsupplied: tuple[str, ...] = ()


class SignatureChecks:
    """Reads what callables and their classes name, each once while an application starts, and compares it with what runs.

    Args:
        parameters_of: reads the parameters of a callable as the framework does.
        edge_of: recognises the framework's markers.
        is_guard: whether something is a guard of any kind, or `guard.requires` uncalled.
    """

    def __init__(
        self,
        parameters_of: Callable[[Any], Sequence[inspect.Parameter]],
        edge_of: EdgeOf,
        is_guard: Callable[[Any], bool],
    ) -> None:
        self._parameters_of = parameters_of
        self._edge_of = edge_of
        self._is_guard = is_guard
        # By identity: what is equal may still be written differently. The callable is kept, and so is its id().
        self._known: dict[int, Signature] = {}

    def of(self, call: Any) -> Signature:
        """Return what a callable names."""
        known = self._known.get(id(call))
        if known is None:
            plain = takes_values_only(call)
            known = self._known[id(call)] = (
                Signature(
                    call, unsupplied=_unsupplied(call.__annotations__.items()), attributes=self._attributes_of(call)
                )
                if plain
                else self.read(call)
            )
        return known

    def read(self, call: Any) -> Signature:
        """Read what a callable names.

        Raises:
            ConfigurationError: it has no signature that can be read.
        """
        parameters = self._parameters_of(call)
        places = [self._place(one.name, one.annotation, one.default) for one in parameters]
        hidden = [*self._hidden(parameters), *_hidden_attributes(call)]
        bare = [(one.name, one.annotation) for one, place in zip(parameters, places, strict=True) if not place.markers]
        return Signature(
            call,
            tuple(hidden),
            tuple(place for place in places if place.markers),
            self._attributes_of(call),
            _unsupplied(bare),
        )

    def check(self, node: Node, root: Node, where: str) -> None:
        """Refuse a guard that a callable or its class names and the framework does not run.

        Args:
            node: the callable in the tree that the framework runs.
            root: that tree.
            where: the route's name for messages.

        Raises:
            ConfigurationError: there is one (BW123); or text may hide one (BW121).
        """
        signature = self.of(node.call)
        name = _name_of(node.call)
        for parameter, text in signature.hidden:
            raise ConfigurationError(
                f"{where}: the annotation of {parameter!r} of {name} stayed text ({text!r}), so a "
                "guard in it would never run. Move what it names to module level, drop 'from __future__ import annotations', or declare the "
                "requirement with dependencies=[guard.requires(...)].",
                id="BW121",
            )
        for parameter in signature.unsupplied:
            raise ConfigurationError(
                f"{where}: nothing supplies the parameter {parameter!r} of {name}, and the caller must not be read from the "
                f"request. Write {parameter}: Annotated[Principal, Security(guard, scopes=[...])], or guard.requires(...) in place "
                "of Security(...).",
                id="BW123",
            )
        for place in signature.marked:
            child = next((one for one in reversed(node.dependencies) if one.name == place.name), None)
            if not self._runs_plainly(place, child) and self._loses(place, child):
                raise ConfigurationError(
                    f"{where}: the parameter {place.name!r} of {name} names a guard that the framework never runs. "
                    + (
                        "Put Security(...) around it, or take guard.requires(...)."
                        if any(map(self._is_guard, place.markers))
                        else "It takes only the last marker of an Annotated, and none inside another type. Let the guard be the only "
                        "one, or declare the requirement with dependencies=[guard.requires(...)]."
                    ),
                    id="BW123",
                )
        for place in signature.attributes:
            if self._loses(place, root):
                raise ConfigurationError(
                    f"{where}: the attribute {place.name!r} of the class of {name} names a guard that the framework never runs: a "
                    "class as a dependency takes the parameters of its __init__ only, and a class-based view what its decorator reads. "
                    "Declare the requirement with dependencies=[guard.requires(...)], or keep the marker outside of the class.",
                    id="BW123",
                )

    def leads_to_guard(self, marker: Any, annotation: Any = inspect.Parameter.empty) -> bool:
        """Whether a marker's dependency is a guard, or depends on one."""
        return any(True for _ in self._named_by(marker, annotation, frozenset(), set()))

    def _place(self, name: str, annotation: Any, value: Any) -> Place:
        found = (value, *metadata_in(annotation))
        return Place(
            name, annotation, tuple(one for one in found if self._edge_of(one) is not None or self._is_guard(one))
        )

    def _hidden(self, parameters: Iterable[inspect.Parameter]) -> Iterator[tuple[str, str]]:
        for parameter in parameters:
            for one in unresolved_in([parameter]):
                # `Boss` may stand for a guard as well as for a number. Without a default the framework answers 422 or 500; with
                # one that is a dependency it runs that; with any other it runs the handler, and nobody notices.
                if one.suspicious or not (one.required or self._edge_of(parameter.default) is not None):
                    yield one.parameter, one.text

    def _attributes_of(self, call: Any) -> tuple[Place, ...]:
        found: list[Place] = []
        for owner, is_called in _owners_of(call):
            annotations, values = _members_of(owner)
            for name in annotations | values if is_called else annotations:
                value = values.get(name)
                # A class may keep a guard for itself: only a marker promises that it is run.
                place = self._place(
                    name,
                    annotations.get(name, inspect.Parameter.empty),
                    None if self._edge_of(value) is None else value,
                )
                if place.markers:
                    found.append(place)
        return tuple(found)

    def _runs_plainly(self, place: Place, child: Node | None) -> bool:
        """Whether a parameter has one marker, and just what it names is run."""
        edge = self._edge_of(place.markers[0]) if len(place.markers) == 1 else None
        if child is None or edge is None:
            return False
        return bool((plain_type(place.annotation) if edge.call is None else edge.call) == child.call)

    def _loses(self, place: Place, run: Node | None) -> bool:
        """Whether a place names a guard, or scopes for one, that is not among what runs."""
        named = [
            one for marker in place.markers for one in self._named_by(marker, place.annotation, frozenset(), set())
        ]
        if not named:
            return False
        running = list(self._run_by(run, frozenset())) if run is not None else []
        return any(not any(call == one and scopes <= given for one, given in running) for call, scopes in named)

    def _named_by(
        self, marker: Any, annotation: Any, above: frozenset[str], seen: set[tuple[int, frozenset[str]]]
    ) -> Iterator[Mention]:
        if self._is_guard(marker):
            yield marker, above
            return
        edge = self._edge_of(marker)
        if edge is None:
            return
        call = plain_type(annotation) if edge.call is None else edge.call
        scopes = above.union(edge.scopes or ())
        if self._is_guard(call):
            yield call, scopes
        elif callable(call) and (id(call), scopes) not in seen:
            seen.add((id(call), scopes))
            signature = self.of(call)
            for place in (*signature.marked, *signature.attributes):
                for below in place.markers:
                    yield from self._named_by(below, place.annotation, scopes, seen)

    def _run_by(self, node: Node, above: frozenset[str]) -> Iterator[Mention]:
        scopes = above.union(node.own_oauth_scopes or ())
        if self._is_guard(node.call):
            yield node.call, scopes
        for child in node.dependencies:
            yield from self._run_by(child, scopes)


def check_inert_scopes(where: str, name: str, scopes: Sequence[str], catalog: Catalog, *, is_guarded: bool) -> None:
    """Refuse scopes that nothing looks at on a route that needs a caller, if they are this guard's: they only look like protection.

    They are the guard's if its catalog knows them, or a similar name. Any others are another scheme's: FastAPI documents them so, and
    the log says that nobody checks them. A route that is open to anonymous callers promises no protection.

    Args:
        where: the route's name for messages.
        name: on what they were declared.
        scopes: the names.
        catalog: the guard's.
        is_guarded: whether the route needs a caller, or is not settled at all.

    Raises:
        ConfigurationError: there are such scopes (microsoft-identity-web#1571, fastapi-azure-auth#197).
    """
    if not is_guarded:
        return
    said = f"{where}: Security({name}, scopes={list(scopes)!r}) declares scopes, but neither {name} nor anything below it looks at them."
    if any(one in catalog or catalog.similar(one) is not None for one in scopes):
        raise ConfigurationError(
            f"{said} Write Security(guard, scopes=[...]) or guard.requires(...) to have them checked, or let it depend on the guard. "
            "To document them only, leave scopes out, and name them in the route's openapi_extra.",
            id="BW123",
        )
    log.warning("%s The guard's catalog knows none of them: they are documented, and not checked.", said)


def takes_values_only(call: Any) -> bool:
    """Whether nothing can hide in a signature: a plain function without defaults, annotated with classes alone.

    Many handlers are that plain, and `inspect` takes longer over one than all the rest of reading its route.
    """
    if type(call) is not FunctionType or call.__defaults__ or call.__kwdefaults__ or call.__dict__:
        return False
    if sys.version_info >= (3, 14):
        return False  # annotations are evaluated when they are asked for (PEP 649), and may raise anything
    return all(isinstance(annotation, type) for annotation in call.__annotations__.values())


def _unsupplied(annotations: Iterable[tuple[str, Any]]) -> tuple[str, ...]:
    return tuple(
        name
        for name, annotation in annotations
        if name != "return" and (annotation is Principal or annotation is Ownership or annotation == (Principal | None))
    )


def _name_of(call: Any) -> str:
    return str(getattr(call, "__qualname__", type(call).__qualname__))


# -- classes -----------------------------------------------------------------------------------------


def _owners_of(call: Any) -> Iterator[tuple[type, bool]]:
    """The class that a callable belongs to, and whether the class itself, or an object of it, is what is called.

    An attribute without an annotation may also be what another route's `dependencies=[...]` takes; but where the class is a
    dependency, only what its `__init__` takes runs.
    """
    while isinstance(call, partial):
        call = call.func
    if inspect.isclass(call):
        yield call, True
    elif isinstance(call, MethodType):
        yield call.__self__ if inspect.isclass(call.__self__) else type(call.__self__), False
    elif not inspect.isroutine(call):
        yield type(call), True
    elif (owner := _named_class(call)) is not None:
        yield owner, False


def _named_class(function: Any) -> type | None:
    """The class in whose body a function is written, as far as its name tells."""
    holder: Any = sys.modules.get(function.__module__ or "")
    for part in function.__qualname__.split(".")[:-1]:
        holder = getattr(holder, "__dict__", {}).get(part)
    return holder if inspect.isclass(holder) else None


def _members_of(owner: type) -> tuple[dict[str, Any], dict[str, Any]]:
    """The annotations and the attributes of a class, of the nearest base where several have one."""
    annotations: dict[str, Any] = {}
    values: dict[str, Any] = {}
    for base in owner.__mro__[:-1]:
        annotations = class_annotations(base) | annotations
        values = dict(vars(base)) | values
    return annotations, values


# An attribute's annotation is often text for a type checker alone; only one that looks like a marker is asked about.
_MARKER: Final = re.compile(r"\b(Annotated|Depends|Security)\b|\b(requires|optional|owner_or|require_scope)\(")


def _hidden_attributes(call: Any) -> Iterator[tuple[str, str]]:
    for owner, _ in _owners_of(call):
        for name, annotation in _members_of(owner)[0].items():
            yield from ((name, text) for text in texts_in(annotation) if _MARKER.search(text))
