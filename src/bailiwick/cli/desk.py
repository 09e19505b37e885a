"""Where an operator sits: the options that commands share, the authority opened for them, their name in the journal."""

from __future__ import annotations

import asyncio
import getpass
import inspect
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, Final, ParamSpec

import typer

from bailiwick.errors import StoreError

from .ending import refusals
from .output import Output

if TYPE_CHECKING:
    from bailiwick.authority import Authority
    from bailiwick.authority.admin import Admin

    from .settings import Configured

__all__ = ["SHARED", "Desk", "Ground", "at_desk", "on_ground", "to_read"]

P = ParamSpec("P")

_SETTINGS = Annotated[
    Path | None, typer.Option("--settings", help="Settings file; bailiwick.toml if it is there.", show_default=False)
]
_STORE = Annotated[str | None, typer.Option("--store", help="The authority's SQLite file.", show_default=False)]
_CATALOG = Annotated[Path | None, typer.Option("--catalog", help="TOML file of scopes and roles.", show_default=False)]
_ISSUER = Annotated[str | None, typer.Option("--issuer", help="The authority's public URL.", show_default=False)]
_JSON = Annotated[bool, typer.Option("--json", help="Answer in JSON, for machines.")]

_OF_GROUND: Final[dict[str, Any]] = {"store": _STORE, "settings": _SETTINGS, "as_json": _JSON}
_OF_DESK: Final[dict[str, Any]] = {"issuer": _ISSUER, "catalog": _CATALOG, **_OF_GROUND}
# The options that the reference describes once, and not with each command.
SHARED: Final = ("--issuer", "--catalog", "--store", "--settings", "--json")


@dataclass(frozen=True, slots=True)
class Ground:
    """What a command has that needs no open authority.

    Args:
        configured: the settings.
        out: where the answer goes.
    """

    configured: Configured
    out: Output


@dataclass(frozen=True, slots=True)
class Desk:
    """What an operator has before them.

    Args:
        configured: the settings.
        out: where the answer goes.
        authority: opened.
        admin: its acts, under the operator's name.
        actor: that name, as the journal has it.
    """

    configured: Configured
    out: Output
    authority: Authority
    admin: Admin
    actor: str


def on_ground(act: Callable[Concatenate[Ground, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of a function that works with the settings, and opens what it needs itself."""

    def run(ground: Ground, given: dict[str, Any]) -> None:
        with refusals(acting=True):
            asyncio.run(_awaited(act(ground, **given)))  # type: ignore[call-arg]  # typer passes by name

    return _command(act, _OF_GROUND, run)


def at_desk(act: Callable[Concatenate[Desk, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of an operator's act: the function is given the desk, and everything else by its options."""
    return _desk_command(act, read_only=False)


def to_read(act: Callable[Concatenate[Desk, P], Awaitable[None]]) -> Callable[..., None]:
    """Make a command of a function that looks: as `at_desk`, with a store of which not a byte can change.

    The store may be another application's, whose roles and keys are not those of the catalog and settings at hand.
    """
    return _desk_command(act, read_only=True)


def _desk_command(act: Callable[Concatenate[Desk, P], Awaitable[None]], *, read_only: bool) -> Callable[..., None]:
    def run(ground: Ground, given: dict[str, Any]) -> None:
        with refusals():
            _check_store(ground.configured.store)
            # An operator guesses at nothing: Redis, and what speaks to it, may be on another machine than this one.
            server = ground.configured.server(counting=False)

        async def sit_down() -> None:
            with refusals():
                authority = await (server.open_to_read() if read_only else server.open())
            try:
                with refusals(acting=True):
                    actor = operator()
                    admin = authority.admin.acting_as(actor, _origin())
                    await act(Desk(ground.configured, ground.out, authority, admin, actor), **given)  # type: ignore[call-arg]
            finally:
                await server.close()

        with refusals():
            asyncio.run(sit_down())

    return _command(act, _OF_DESK, run)


async def _awaited(work: Awaitable[None]) -> None:
    await work


def _command(
    act: Callable[..., Awaitable[None]], shared: dict[str, Any], run: Callable[[Ground, dict[str, Any]], None]
) -> Callable[..., None]:
    """A function with the act's parameters but the first, and the shared options after them."""

    def command(**given: Any) -> None:
        options = {name: given.pop(name) for name in shared}
        out = Output(as_json=options.pop("as_json"))
        with refusals():
            from .settings import load

            file = options.pop("settings")
            ground = Ground(load(options, file), out)
        run(ground, given)

    own = list(inspect.signature(act, eval_str=True).parameters.values())[1:]
    after = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=kind, default=False if name == "as_json" else None
        )
        for name, kind in shared.items()
    ]
    parameters = [*(one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in own), *after]
    command.__name__, command.__doc__, command.__module__ = act.__name__, act.__doc__, act.__module__
    # typer reads either of the two, depending on its version.
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def _check_store(store: str) -> None:
    """Refuse to make or migrate a store in passing: a misspelt name would be a new, empty authority."""
    from bailiwick.storage.upkeep import Condition, look

    found = look(store)
    if found.condition is Condition.MISSING:
        raise StoreError(
            f"There is no store {found.path}. Name it with --store, or make it with: bailiwick db upgrade", id="BW502"
        )
    if found.condition is Condition.BEHIND:
        raise StoreError(
            f"The store {found.path} is of version {found.version or 'none'}, and this code needs {found.newest}. "
            "Bring it up to date with: bailiwick db upgrade",
            id="BW502",
        )


def operator() -> str:
    """Who acts, for the journal: "operator:" and a login name."""
    name = _login()
    behind = os.environ.get("SUDO_USER", "")
    if name == "root" and behind.isprintable() and 0 < len(behind) <= 64 and behind != name:
        return f"operator:{behind} as root"
    return f"operator:{name}"


def _login() -> str:
    if sys.platform == "win32":
        return getpass.getuser()
    import pwd

    # By the process's user, and not by $USER or $LOGNAME, which anybody sets.
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return f"uid {os.getuid()}"  # a container's user often has no name


def _origin() -> Any:
    from bailiwick.authority.records import Origin

    return Origin(agent="command line")
