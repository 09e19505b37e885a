"""`bailiwick role`: bundles of scopes that people are given."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from . import records
from .asking import confirm
from .desk import Desk, at_desk, to_read

__all__ = ["role"]

role = typer.Typer(help="Roles: bundles of scopes that people are given.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The role's name.")]
Scopes = Annotated[list[str], typer.Argument(metavar="SCOPE...", help="What it holds; wildcards such as posts:* too.")]


@role.command("add")
@at_desk
async def add(desk: Desk, name: Name, scopes: Scopes) -> None:
    """Make a role."""
    made = await desk.admin.add_role(name, scopes)
    desk.out.done(f"Made the role {made.name}: {made.scopes}", records.role(made, ()))


@role.command("list")
@to_read
async def list_roles(desk: Desk) -> None:
    """List the roles, with what each holds and how many people have it."""
    people = await desk.admin.accounts()
    found = [records.role(one, people) for one in await desk.admin.roles()]
    columns = {"name": "role", "scopes": "scopes", "people": "people"}
    desk.out.listing(
        found, columns, title="Roles", empty="There is no role. Make one: bailiwick role add NAME SCOPE..."
    )


@role.command("set")
@at_desk
async def set_scopes(desk: Desk, name: Name, scopes: Scopes) -> None:
    """Say anew what a role holds. Whoever has it notices at their next refresh."""
    await desk.admin.role(name)
    changed = await desk.admin.set_role(name, scopes)
    record = records.role(changed, await desk.admin.accounts())
    desk.out.done(f"The role {changed.name} holds {changed.scopes}; {_people(record)} it.", record)


@role.command("drop")
@at_desk
async def drop(
    desk: Desk, name: Name, *, yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False
) -> None:
    """Delete a role, and take it from everybody."""
    record = records.role(await desk.admin.role(name), await desk.admin.accounts())
    if record["people"]:
        confirm(f"{_people(record)} the role {name}. Take it away and delete it?", sure=yes)
    await desk.admin.drop_role(name)
    desk.out.done(f"Deleted the role {name}; {_people(record, past=True)} it.", record)


def _people(record: dict[str, Any], *, past: bool = False) -> str:
    """How many have the role, with the verb that the number takes."""
    count: int = record["people"]
    verb = "had" if past else "has" if count < 2 else "have"
    return f"{'nobody' if count == 0 else '1 person' if count == 1 else f'{count} people'} {verb}"
