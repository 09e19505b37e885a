"""`bailiwick key`: what the authority signs with."""

from __future__ import annotations

from typing import Annotated

import typer

from . import records
from .asking import confirm
from .desk import Desk, at_desk, to_read

__all__ = ["key"]

key = typer.Typer(help="Signing keys: see them, turn them.", no_args_is_help=True)


@key.command("list")
@to_read
async def list_keys(desk: Desk) -> None:
    """List the signing keys: pending (published, not signing yet), active, retired (verifying what it signed)."""
    found = [records.key(one) for one in await desk.authority.keys.stored()]
    columns = {"kid": "key id", "algorithm": "algorithm", "state": "state", "since": "since", "sealed": "sealed"}
    desk.out.listing(found, columns, title="Signing keys", empty="There is no signing key.")


@key.command("rotate")
@at_desk
async def rotate(
    desk: Desk,
    *,
    at_once: Annotated[
        bool,
        typer.Option("--at-once", help="A private key became known: sign with a new one now and believe no other."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Publish a new signing key. It signs when everybody has had the time to fetch it; nobody notices.

    With --at-once it signs now, and every access token that is out becomes invalid; refresh tokens stay good.
    """
    if at_once:
        from bailiwick.authority.keys import PUBLISHED_FOR

        confirm("Every access token that is out becomes invalid. Replace all signing keys?", sure=yes)
        new = await desk.authority.keys.replace_at_once(actor=desk.actor)
        desk.out.done(
            f"{new.kid} signs now, and all other keys are gone. Running servers follow within a second; "
            f"APIs elsewhere when they next fetch the keys, of which a copy is good for {PUBLISHED_FOR // 60} minutes.",
            records.key(new),
        )
        return
    pending = await desk.authority.keys.rotate(actor=desk.actor)
    hours = desk.authority.settings.lifetimes.key_pending / 3600
    desk.out.done(f"{pending.kid} is published, and signs {hours:g} hours after its publication.", records.key(pending))
