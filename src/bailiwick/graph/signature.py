"""A callable's parameters and what their annotations say, read from its signature. It calls nothing.

What cannot be read must be said: a parameter whose annotation stayed a string may hide a guard, and a
framework serves such a route open (PEP 563 with a name that only a local scope knows).
"""

from __future__ import annotations

import builtins
import inspect
import re
import sys
import types
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Annotated, Any, Final, ForwardRef, Literal, get_args, get_origin

from bailiwick.errors import ConfigurationError

from .dependant import Call, Unresolved, describe

__all__ = [
    "class_annotations",
    "metadata_in",
    "plain_type",
    "read_signature",
    "source_of",
    "split_annotation",
    "texts_in",
    "unresolved_in",
]

# No type is an alias of an alias this many times over; one that is leads back to itself.
MAX_ALIASES: Final = 100

# What a guard's annotation looks like as text. It errs on the side of asking the developer.
SUSPICIOUS: Final = re.compile(r"depend|secur|guard|principal|caller|auth|requires|annotated", re.IGNORECASE)

_BY_POSITION: Final = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


def read_signature(call: Call, *, closures: bool) -> list[inspect.Parameter]:
    """The parameters that are still open, with annotations resolved where possible.

    What `functools.partial` has bound is no parameter: a keyword bound to it is listed by `inspect` with
    the bound value as a default, and a framework would let the caller overwrite it from the query.
    """
    if isinstance(call, partial):
        return _unbound(call, read_signature(call.func, closures=closures))
    found = _evaluated(call)
    if found is None:
        found = _raw_signature(call)
    elif not any(isinstance(one.annotation, str) for one in found):
        return found
    # Or `inspect` has handed out a `__signature__` of the callable's own as it is, which decorators take over from a module with PEP 563.
    names = _names(call, closures=closures)
    return [one.replace(annotation=_resolved(one.annotation, names)) for one in found]


def _evaluated(call: Call) -> list[inspect.Parameter] | None:
    """All parameters with their annotations evaluated; None if one of these cannot be."""
    try:
        return list(inspect.signature(call, eval_str=True).parameters.values())
    except Exception:  # noqa: BLE001 - evaluating an annotation runs any code and may raise anything
        return None


def class_annotations(owner: type) -> dict[str, Any]:
    """Return the annotations in a class's own body, evaluated where module and class know the names; else they stay text."""
    try:
        if sys.version_info >= (3, 14):
            from annotationlib import Format, get_annotations

            written = get_annotations(owner, format=Format.FORWARDREF)
        else:
            written = inspect.get_annotations(owner)
    except Exception:  # noqa: BLE001 - a metaclass may answer anything, and evaluating may raise anything
        return {}
    names = {**vars(sys.modules.get(owner.__module__, builtins)), **vars(owner)}
    return {name: _resolved(annotation, names) for name, annotation in written.items()}


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


def split_annotation(annotation: Any) -> tuple[Any, tuple[object, ...]]:
    """The type and what `Annotated` adds to it, through aliases (`type X = ...`)."""
    metadata: tuple[object, ...] = ()
    for _ in range(MAX_ALIASES):
        if get_origin(annotation) is Annotated:
            annotation, metadata = annotation.__origin__, (*annotation.__metadata__, *metadata)
        elif _is_alias(annotation) and (value := _stands_for(annotation)) is not _UNKNOWN:
            annotation = value
        else:
            break
    return annotation, metadata


def metadata_in(annotation: Any) -> Iterator[Any]:
    """What `Annotated` adds anywhere in a type, in the order in which it is written: also where no framework looks."""
    for part in _parts(annotation, []):
        if get_origin(part) is Annotated:
            yield from part.__metadata__


def plain_type(annotation: Any) -> Any:
    """A type without what `Annotated` adds to it."""
    return split_annotation(annotation)[0]


def _is_alias(annotation: Any) -> bool:
    return type(annotation).__name__ == "TypeAliasType"  # typing's since 3.12, or that of typing_extensions


_UNKNOWN: Final = object()


def _stands_for(alias: Any) -> Any:
    try:
        return alias.__value__
    except Exception:  # noqa: BLE001 - it is evaluated when it is asked for, and may raise anything
        return _UNKNOWN


def _parts(annotation: Any, opened: list[Any], names: dict[str, Any] | None = None) -> Iterator[Any]:
    """Everything that an annotation is made of, innermost first.

    Args:
        annotation: a type, or text.
        opened: the aliases that were looked into; one may lead back to itself (`type Json = list[Json] | int`).
        names: inside an alias, what its text may use.
    """
    if names is not None and (text := _text_of(annotation)) is not None:
        annotation = _resolved(text, names)
    if get_origin(annotation) is Annotated:
        yield from _parts(annotation.__origin__, opened, names)
    elif get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part, opened, names)
    # Of a generic one, `Alias[int]`, the alias is the origin.
    for alias in (annotation, get_origin(annotation)):
        if _is_alias(alias) and all(alias is not one for one in opened):
            opened.append(alias)
            if (value := _stands_for(alias)) is _UNKNOWN:
                yield alias.__name__
            else:
                module = sys.modules.get(alias.__module__, builtins)
                yield from _parts(value, opened, {**vars(module), alias.__name__: alias})
    yield annotation


def _text_of(annotation: Any) -> str | None:
    if isinstance(annotation, ForwardRef):
        return annotation.__forward_arg__
    return annotation if isinstance(annotation, str) else None


def texts_in(annotation: Any) -> Iterator[str]:
    """Every part of an annotation that stayed text."""
    return (text for part in _parts(annotation, []) if (text := _text_of(part)) is not None)


def unresolved_in(parameters: Iterable[inspect.Parameter]) -> Iterator[Unresolved]:
    """The annotations that stayed text when a signature was read.

    Args:
        parameters: as `read_signature` gives them.
    """
    for parameter in parameters:
        for text in texts_in(parameter.annotation):
            yield Unresolved(
                parameter=parameter.name,
                text=text,
                suspicious=SUSPICIOUS.search(text) is not None,
                required=parameter.default is inspect.Parameter.empty,
            )


def source_of(endpoint: Any) -> str:
    """Return where a handler is written, as "file:line"; empty where nobody knows.

    It asks code objects and opens no file: `inspect.getsourcelines` would read the module, in the event loop, and parse
    all of it for each class. Python tells the line of a class from 3.13 on; before, the line of its first method stands for it.
    """
    while isinstance(endpoint, partial):
        endpoint = endpoint.func
    endpoint = inspect.unwrap(endpoint)
    code = getattr(endpoint, "__code__", None)
    if isinstance(code, types.CodeType):
        return f"{code.co_filename}:{code.co_firstlineno}"
    owner = endpoint if inspect.isclass(endpoint) else type(endpoint)
    codes = [method.__code__ for method in map(_plain_function, vars(owner).values()) if method is not None]
    own = [one for one in codes if one.co_qualname.startswith(f"{owner.__qualname__}.")]
    first = getattr(owner, "__firstlineno__", None) or min((one.co_firstlineno for one in own), default=None)
    file = own[0].co_filename if own else getattr(sys.modules.get(owner.__module__), "__file__", None)
    return ":".join(str(part) for part in (file, first) if part is not None) if file else ""


def _plain_function(member: Any) -> types.FunctionType | None:
    """The function behind a member of a class, static and class methods included."""
    function = inspect.unwrap(getattr(member, "__func__", member)) if callable(member) else None
    return function if isinstance(function, types.FunctionType) else None
