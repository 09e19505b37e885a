"""`bailiwick check`: what an operator should look at twice."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.errors import ConfigurationError

from .desk import Desk, to_read
from .ending import EXIT_REFUSED, plain, refusals

if TYPE_CHECKING:
    from bailiwick.authority.posture import Finding

__all__ = ["check"]


@to_read
async def check(
    desk: Desk,
    *,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 if there is anything to look at.")] = False,
    ignore: Annotated[
        list[str] | None, typer.Option(help="A rule whose findings are known and wanted; may be repeated.")
    ] = None,
) -> None:
    """Look for what works and should not stay: password grants, plain http, clients that may everything, old keys."""
    from bailiwick.authority.posture import RULES, Situation, examine

    from .settings import unknown_variables

    with refusals():
        # Whatever would keep `serve` from its work is found here first.
        desk.configured.server()
        await desk.authority.keys.open_stored()
    rules = (*RULES, *OF_THE_MACHINE)
    ignored = set(ignore or ())
    if unknown := sorted(ignored - set(rules)):
        raise ConfigurationError(f"There is no rule {unknown[0]!r}. Known are: {', '.join(rules)}.", id="BW130")
    authority = desk.authority
    found = examine(
        Situation(
            authority.catalog,
            authority.settings,
            await desk.admin.clients(),
            await desk.admin.accounts(),
            await desk.admin.roles(),
            await authority.keys.stored(),
            authority.clock(),
        )
    )
    found += await asyncio.to_thread(_of_the_machine, desk.configured.store, unknown_variables(os.environ))
    kept = [one for one in found if one.rule not in ignored]
    _show(desk, kept)
    if kept and strict:
        raise typer.Exit(EXIT_REFUSED)


# Rules about what only this machine knows.
OF_THE_MACHINE = ("readable-store", "unknown-variable")


def _of_the_machine(store: str, variables: list[str]) -> tuple[Finding, ...]:
    from bailiwick.authority.posture import Finding
    from bailiwick.storage.upkeep import look

    found = [
        Finding(
            "unknown-variable",
            name,
            "It looks like a setting and is none, so it changes nothing.",
            "Mend its name, or unset it.",
        )
        for name in variables
    ]
    status = look(store)
    if status.others_may_read:
        found.append(
            Finding(
                "readable-store",
                str(status.path),
                "Other users of this machine may read or write it; it holds signing keys and digests.",
                f"Run {status.chmod}",
            )
        )
    return tuple(found)


def _show(desk: Desk, found: list[Finding]) -> None:
    if desk.out.as_json:
        desk.out.document(
            {
                "findings": [
                    {"rule": one.rule, "about": one.about, "says": one.says, "advice": one.advice} for one in found
                ]
            }
        )
        return
    for one in found:
        typer.echo(plain(f"{one.about}: {one.says} [{one.rule}]"))
        typer.echo(plain(f"  {one.advice}"))
    typer.echo(f"{len(found)} to look at." if found else "Nothing to look at.")
