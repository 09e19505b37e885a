"""`bailiwick user`: people, and what they may do."""

from __future__ import annotations

from typing import Annotated

import typer

from bailiwick.errors import ConfigurationError

from . import records
from .asking import ask_secret
from .desk import Desk, at_desk, to_read

__all__ = ["user"]

user = typer.Typer(help="People: add them, give them roles, disable them.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="What the person logs in with.")]
Roles = Annotated[list[str] | None, typer.Option("--role", help="A role; may be repeated.")]
Scopes = Annotated[list[str] | None, typer.Option("--scope", help="A scope, directly; may be repeated.")]


@user.command("add")
@at_desk
async def add(
    desk: Desk,
    name: Name,
    *,
    role: Roles = None,
    scope: Scopes = None,
    no_password: Annotated[bool, typer.Option("--no-password", help="They cannot log in by password.")] = False,
) -> None:
    """Add a person. Asks for their password, twice; or reads it from standard input."""
    # Before a password is asked for, twice, in vain; what counts is that the act looks at all of it again.
    if await desk.authority.store.account_named(name) is not None:
        raise ConfigurationError(f"The name {name!r} is taken.", id="BW106")
    for each in role or ():
        await desk.admin.role(each)
    password = None if no_password else ask_secret(f"Password for {name}", check=desk.admin.check_password)
    made = await desk.admin.create_account(name, password, roles=role or (), grants=scope or ())
    desk.out.done(f"Added {made.name} ({made.id}).", records.account(made))


@user.command("list")
@to_read
async def list_people(desk: Desk) -> None:
    """List everybody."""
    columns = {"name": "name", "roles": "roles", "scopes": "scopes of their own", "disabled": "disabled", "id": "id"}
    people = [records.account(one) for one in await desk.admin.accounts()]
    desk.out.listing(
        people, columns, title="People", empty="There is nobody yet. Add somebody: bailiwick user add NAME"
    )


@user.command("show")
@to_read
async def show(desk: Desk, name: Name) -> None:
    """Show a person: what they may do now, and which clients they use."""
    one = await desk.admin.account(name)
    standing = await desk.authority.store.standing(one.id)
    catalog = desk.authority.catalog
    # What a guard asks, implications included: whoever reads this wants to know what can happen, not what was written.
    held = catalog.hold(standing.scopes if standing is not None and one.disabled_at is None else ())
    record = records.account(one) | {
        "may": [name for name in catalog if catalog.covers(held, name)],
        "authorizations": [item.id for item in await desk.admin.authorizations(person=name)],
        "families": [item.id for item in await desk.admin.families(person=name)],
    }
    desk.out.facts(
        record,
        {
            "name": "name",
            "id": "id",
            "roles": "roles",
            "scopes": "scopes of their own",
            "may": "may",
            "has_password": "has a password",
            "authorizations": "authorizations",
            "families": "refresh families",
            "created_at": "added",
            "disabled_at": "disabled",
        },
    )


@user.command("password")
@at_desk
async def password(desk: Desk, name: Name) -> None:
    """Give a person a new password, and end what they are logged in to. Asks for it, twice."""
    await desk.admin.account(name)
    given = ask_secret(f"New password for {name}", check=desk.admin.check_password)
    changed = await desk.admin.set_password(name, given)
    desk.out.done(f"{changed.name} has a new password, and has to log in anew.", records.account(changed))


@user.command("grant")
@at_desk
async def grant(desk: Desk, name: Name, *, role: Roles = None, scope: Scopes = None) -> None:
    """Give a person roles, or scopes directly."""
    changed = await desk.admin.give(name, roles=role or (), scopes=scope or ())
    record = records.account(changed)
    desk.out.done(_standing(record), record)


@user.command("withdraw")
@at_desk
async def withdraw(desk: Desk, name: Name, *, role: Roles = None, scope: Scopes = None) -> None:
    """Take roles or direct scopes from a person. Their next refresh notices; `token revoke --user` does not wait."""
    changed = await desk.admin.take(name, roles=role or (), scopes=scope or ())
    record = records.account(changed)
    desk.out.done(_standing(record), record)


@user.command("disable")
@at_desk
async def disable(desk: Desk, name: Name) -> None:
    """Let a person do nothing any more: no login, no refresh, and no token that they have."""
    changed = await desk.admin.disable_account(name)
    desk.out.done(f"{changed.name} is disabled, and all that hung on them has ended.", records.account(changed))


@user.command("enable")
@at_desk
async def enable(desk: Desk, name: Name) -> None:
    """Let a disabled person act again. They have to log in anew."""
    if (await desk.admin.account(name)).disabled_at is None:
        raise ConfigurationError(f"{name!r} is not disabled; nothing was changed.", id="BW130")
    changed = await desk.admin.enable_account(name)
    desk.out.done(f"{changed.name} may log in again.", records.account(changed))


def _standing(record: dict[str, object]) -> str:
    roles, scopes = record["roles"], record["scopes"]
    said = f"{record['name']} has the roles {_list(roles)}"
    return f"{said} and the scopes {_list(scopes)}." if scopes else f"{said}."


def _list(names: object) -> str:
    return ", ".join(names) if isinstance(names, list) and names else "(none)"
