"""The pages of options: every setting of the authority, and what guards and the verifier take. From the code and its docstrings."""

import dataclasses
import inspect
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import SecretStr
from pydantic_core import PydanticUndefined

from bailiwick import asgi, fastapi, fasterapi, server, starlette
from bailiwick.cli.connections import ConnectionLimits
from bailiwick.cli.settings import FILE, OTHER_VARIABLES, PREFIX, TABLES, Configured
from bailiwick.tokens import JWTVerifier

__all__ = ["guards", "settings"]

LIFETIMES = "lifetimes"
# What documents the entries of each table.
DESCRIBED = {
    LIFETIMES: server.Lifetimes,
    "resources": server.Resource,
    "registration": server.Registration,
    "metadata_documents": server.MetadataDocuments,
    "unfinished": server.Unfinished,
    "connections": ConnectionLimits,
}
SOURCES = (
    f"The entries of `{FILE}`, which `bailiwick serve` and the other commands read: options first, then variables, then the "
    "file. `bailiwick init` writes one to start from. In Python, `bailiwick.server.Settings` takes those of the same name.\n"
)
JSON = (
    f"A variable for a list holds JSON, as in `{PREFIX}TRUSTED_PROXIES='[\"10.0.0.0/8\"]'`. The name of one for what stands in "
    "a table has two underscores.\n"
)
DOORS = (
    "Each door has a `Guard`, made once: `Guard(catalog, verifier, ...)`; options are given by name. How they are used: "
    "[FastAPI](../how-to/close-an-api-by-default.md), [FasterAPI](../how-to/guard-fasterapi.md), "
    "[Starlette and ASGI](../how-to/guard-starlette-and-asgi.md).\n"
)
KINDS = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Path: "file",
    SecretStr: "text, secret",
}
# Of each door, what applications call; the rest is for doors of one's own.
METHODS = ("requires", "require_scope", "optional", "owner_or", "public", "protect", "plan", "wrap", "caller")


def arguments(documented: object) -> dict[str, str]:
    """What a docstring says of each argument."""
    found: dict[str, str] = {}
    section, name = "", ""
    for line in (inspect.getdoc(documented) or "").splitlines():
        if line and not line.startswith(" "):
            section = line
        elif section in {"Args:", "Attributes:"} and (begun := re.match(r"    (\w+): (.*)", line)):
            name = begun[1]
            found[name] = begun[2]
        elif section in {"Args:", "Attributes:"} and line.strip() and name:
            found[name] += f" {line.strip()}"
    return found


# -- settings -------------------------------------------------------------------------------


def settings() -> str:
    """Every key of bailiwick.toml: its type, default, meaning and variable."""
    known = {**arguments(server.Settings), **arguments(Configured)}
    top = {name: field for name, field in Configured.model_fields.items() if name not in DESCRIBED}
    page = [
        "# Settings\n",
        SOURCES,
        JSON,
        f"## {FILE}, above the first table\n",
        *_table(("setting", "type", "default", "what it is", "variable")),
        *(_setting(name, field, known[name], f"{PREFIX}{name.upper()}") for name, field in top.items()),
        "",
    ]
    for table, documented in DESCRIBED.items():
        page += [f"## {f'[[{table}]]' if table == 'resources' else f'[{table}]'}\n", f"{_summary(documented)}\n"]
        page += _lifetimes() if table == LIFETIMES else _entries(table, arguments(documented))
        page.append("")
    page += ["## Other variables\n", *_table(("variable", "what it is"))]
    page += [f"| `{name}` | {text} |" for name, text in sorted(OTHER_VARIABLES.items())]
    return "\n".join(page) + "\n"


def _setting(name: str, field: Any, meaning: str, variable: str) -> str:
    # Python's None is an entry that the file does not have.
    meaning = re.sub(r"\bNone\b", "left out", meaning)
    return _row(f"`{name}`", _kind(field.annotation), _default(field), meaning, f"`{variable}`")


def _entries(table: str, known: Mapping[str, str]) -> Iterator[str]:
    yield from _table(("setting", "type", "default", "what it is", "variable"))
    # A list of tables is one variable.
    whole = table == "resources"
    for name, field in TABLES[table].model_fields.items():
        variable = f"{PREFIX}{table.upper()}" + ("" if whole else f"__{name.upper()}")
        yield _setting(name, field, known[name], variable)


def _lifetimes() -> Iterator[str]:
    known = arguments(server.Lifetimes)
    yield from _table(("setting", "`balanced`", "`strict`", "what it is", "variable"))
    for field in dataclasses.fields(server.Lifetimes):
        both = (str(getattr(profile, field.name)) for profile in (server.BALANCED, server.STRICT))
        variable = f"{PREFIX}{LIFETIMES.upper()}__{field.name.upper()}"
        yield _row(f"`{field.name}`", *both, known[field.name], f"`{variable}`")


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in {typing.Union, types.UnionType}:
        return _kind(next(one for one in inner if one is not type(None)))
    if origin is typing.Literal:
        return " or ".join(f'`"{one}"`' for one in inner)
    if origin is list:
        return f"list of {_kind(inner[0])}s"
    return KINDS[annotation]


def _default(field: Any) -> str:
    default = field.default
    if default is PydanticUndefined:
        return "required"
    if default in (None, "", []):
        return ""
    if isinstance(default, bool):
        return f"`{str(default).lower()}`"
    return f"`{default}`" if isinstance(default, int) else f'`"{default}"`'


# -- guards ---------------------------------------------------------------------------------


def guards() -> str:
    """What Guard takes and offers at each door, and what JWTVerifier takes."""
    page = [
        "# Guard and JWTVerifier\n",
        DOORS,
    ]
    for door in (asgi, starlette, fastapi, fasterapi):
        page += [f"## {door.__name__}.Guard\n", f"{_summary(door.Guard)}\n"]
        if "__init__" in vars(door.Guard):
            page += [*_options(door.Guard), ""]
        offered = {name: getattr(door.Guard, name) for name in METHODS if hasattr(door.Guard, name)}
        shared = [name for name, method in offered.items() if door is not asgi and method is vars(asgi.Guard).get(name)]
        if shared:
            page.append(f"{' and '.join(f'`{name}`' for name in shared)}: as `bailiwick.asgi.Guard` has it.\n")
        for name, method in offered.items():
            if name not in shared:
                page += [f"### {_call(name, method)}\n", f"{_summary(method)}\n", *_parameters(method)]
    page += ["## bailiwick.tokens.JWTVerifier\n", f"{_summary(JWTVerifier)}\n", *_options(JWTVerifier), ""]
    return "\n".join(page)


def _summary(documented: object) -> str:
    """The docstring's paragraphs up to its first section, each on one line."""
    text = re.split(
        r"^(?:Args|Returns|Raises|Source|Attributes|Yields):", inspect.getdoc(documented) or "", flags=re.MULTILINE
    )[0]
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _options(kind: type) -> Iterator[str]:
    yield from _table(("option", "default", "what it is"))
    known = arguments(kind)
    for name, parameter in _of(kind.__init__):
        yield _row(
            f"`{'**' if parameter.kind is parameter.VAR_KEYWORD else ''}{name}`", _value(parameter), known.get(name, "")
        )


def _parameters(method: Any) -> Iterator[str]:
    known = arguments(method)
    rows = [_row(f"`{name}`", _value(one), known[name]) for name, one in _of(method) if name in known]
    if rows:
        yield from [*_table(("argument", "default", "what it is")), *rows, ""]


def _call(name: str, method: Any) -> str:
    stars = {inspect.Parameter.VAR_POSITIONAL: "*", inspect.Parameter.VAR_KEYWORD: "**"}
    shown, keyword = [], False
    for given, parameter in _of(method):
        if parameter.kind is parameter.KEYWORD_ONLY and not keyword and not any(one.startswith("*") for one in shown):
            shown.append("*")
        keyword = keyword or parameter.kind is parameter.KEYWORD_ONLY
        shown.append(
            stars.get(parameter.kind, "") + given + ("=..." if parameter.default is not parameter.empty else "")
        )
    return f"{name}({', '.join(shown)})"


def _of(function: Any) -> list[tuple[str, inspect.Parameter]]:
    return list(inspect.signature(function).parameters.items())[1:]


def _value(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty or default is None:
        return ""
    if inspect.isroutine(default):
        return f"`{default.__module__}.{default.__name__}`"
    if not isinstance(default, str | int | float | tuple | frozenset | list):
        return ""  # a declaration; the text says which
    return f"`{sorted(default) if isinstance(default, frozenset) else default!r}`"


def _table(headings: tuple[str, ...]) -> Iterator[str]:
    yield _row(*headings)
    yield "|" + "---|" * len(headings)


def _row(*cells: str) -> str:
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in cells) + " |"
