"""A list of calls, known when the application starts, written out as one function.

A loop over such a list takes twice as long as the same calls written by hand: for each of them it gathers arguments in a
dictionary and spreads it out again. So they are written by hand, by a program, as `dataclasses` writes `__init__`.
Of what an application declares only the names of parameters go into the text, which Python has read as identifiers.
"""

import keyword
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi.concurrency import run_in_threadpool
from fastapi.security import SecurityScopes

from bailiwick.scopes import Principal

__all__ = ["Call", "Supply", "itself", "written_out"]

Supply = Callable[[Principal | None], Any]


def itself(caller: Principal | None) -> Principal | None:
    """What most parameters are supplied with: the caller."""
    return caller


@dataclass(frozen=True, slots=True)
class Call:
    """One call: of what, and where its arguments come from.

    Attributes:
        call: what is called.
        in_thread: whether it would block the loop.
        results: its parameters that take the result of an earlier call, by that one's number.
        supplied: those that the guard supplies.
        connection: those that take the request.
        scopes_name: the one that takes `SecurityScopes`, or None.
        scopes: which.
    """

    call: Callable[..., Any]
    in_thread: bool
    results: tuple[tuple[str, int], ...]
    supplied: tuple[tuple[str, Supply], ...]
    connection: tuple[str, ...]
    scopes_name: str | None
    scopes: tuple[str, ...]


def written_out(
    calls: Sequence[Call],
    results: Sequence[tuple[str, int]],
    supplied: Sequence[tuple[str, Supply]],
    *,
    key: str,
    values: str,
) -> Callable[[Any], Awaitable[None]]:
    """One coroutine function of a request, which makes these calls in their order.

    Args:
        calls: what to call; a later one may take the results of earlier ones.
        results: by name, whose results are left in the connection scope.
        supplied: by name, what the guard supplies there.
        key: where the connection scope has the caller.
        values: where it is left what was found.

    Raises:
        ValueError: a parameter's name is none that Python would read.
    """
    known: dict[str, Any] = {
        "KEY": key,
        "VALUES": values,
        "SecurityScopes": SecurityScopes,
        "run_in_threadpool": run_in_threadpool,
    }
    lines = ["async def run(request):", "    conn = request.scope", "    caller = conn.get(KEY)"]

    def named(value: Any) -> str:
        name = f"given{len(known)}"
        known[name] = value
        return name

    def filled(pairs: Sequence[tuple[str, int]], supplies: Sequence[tuple[str, Supply]]) -> list[tuple[str, str]]:
        found = [(name, f"result{number}") for name, number in pairs]
        return found + [
            (name, "caller" if supply is itself else f"{named(supply)}(caller)") for name, supply in supplies
        ]

    for number, one in enumerate(calls):
        arguments = filled(one.results, one.supplied) + [(name, "request") for name in one.connection]
        if one.scopes_name is not None:
            # A list of its own for each call: whoever is given it may change it.
            arguments.append((one.scopes_name, f"SecurityScopes([*{named(one.scopes)}])"))
        written = "".join(f", {_checked(name)}={value}" for name, value in arguments)
        call = named(one.call)
        called = f"run_in_threadpool({call}{written})" if one.in_thread else f"{call}({written.removeprefix(', ')})"
        lines.append(f"    result{number} = await {called}")
    left = ", ".join(f"{name!r}: {value}" for name, value in filled(results, supplied))
    lines.append(f"    conn[VALUES] = {{{left}}}")
    exec(compile("\n".join(lines), NAMED, "exec"), known)  # noqa: S102 - our own text; see above
    run: Callable[[Any], Awaitable[None]] = known["run"]
    return run


NAMED: Final = "<dependencies, written out by bailiwick>"  # in tracebacks


def _checked(name: str) -> str:
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} is no name of a parameter.")
    return name
