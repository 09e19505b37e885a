"""`bailiwick db`: the store as a whole."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from . import records
from .desk import Desk, Ground, at_desk, on_ground, to_read
from .ending import EXIT_CANNOT, EXIT_REFUSED
from .output import Output

__all__ = ["db"]

db = typer.Typer(help="Look at the store, bring it up to date, copy it, clear it out.", no_args_is_help=True)


@db.command("status")
@on_ground
async def status(ground: Ground) -> None:
    """Say what the store is, without writing a byte.

    Exit code 0 if it is up to date, 1 if it is missing or behind, 2 if it is newer than this code.
    """
    from bailiwick.storage.upkeep import Condition, look

    found = await asyncio.to_thread(look, ground.configured.store)
    ground.out.facts(
        {
            "path": str(found.path),
            "condition": found.condition.value,
            "version": found.version,
            "newest": found.newest,
            "octets": found.octets,
            "others_may_read": found.others_may_read,
        },
        {
            "path": "file",
            "condition": "condition",
            "version": "version",
            "newest": "newest version",
            "octets": "bytes",
            "others_may_read": "others may read it",
        },
    )
    if found.condition is Condition.NEWER:
        raise typer.Exit(EXIT_CANNOT)
    if found.condition is not Condition.CURRENT:
        ground.out.line("Next: bailiwick db upgrade")
        raise typer.Exit(EXIT_REFUSED)


@db.command("upgrade")
@on_ground
async def upgrade(ground: Ground) -> None:
    """Make the store, or bring it up to date; whole or not at all.

    The previous release can still use it, so that servers are replaced one after the other.
    """
    from bailiwick.storage import open_store
    from bailiwick.storage.upkeep import Condition, look

    before = await asyncio.to_thread(look, ground.configured.store)
    store = await open_store(before.path)
    await store.close()
    after = await asyncio.to_thread(look, ground.configured.store)
    said = {
        Condition.MISSING: f"Made {after.path}, version {after.newest}.",
        Condition.BEHIND: f"Brought {after.path} from version {before.version or 'none'} to {after.newest}.",
    }.get(before.condition, f"{after.path} is up to date, version {after.newest}.")
    record = {"path": str(after.path), "was": before.version, "version": after.version}
    ground.out.done(said, record)


@db.command("backup")
@on_ground
async def backup(
    ground: Ground, to: Annotated[Path, typer.Argument(help="The file to make; one that is there is not replaced.")]
) -> None:
    """Copy the store while it is in use: one moment of it, whole. The copy holds secrets as the store does."""
    from bailiwick.storage.upkeep import back_up

    copy = await asyncio.to_thread(back_up, ground.configured.store, to)
    octets = copy.stat().st_size
    ground.out.done(f"Wrote {copy}, {octets} bytes, readable by you alone.", {"path": str(copy), "octets": octets})


@db.command("purge")
@at_desk
async def purge(desk: Desk) -> None:
    """Delete what has expired and proves nothing any more, old lines of the journal among it."""
    gone = await desk.admin.purge()
    desk.out.done(f"Deleted {gone} {'row' if gone == 1 else 'rows'}.", {"deleted": gone})


@db.command("journal")
@to_read
async def journal(
    desk: Desk,
    *,
    user: Annotated[str | None, typer.Option(help="Only what concerns this person.")] = None,
    client: Annotated[str | None, typer.Option(help="Only what concerns this client.")] = None,
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="How many lines.")] = 50,
    before: Annotated[int | None, typer.Option(help="Lines before the one of this number.")] = None,
) -> None:
    """Show who did what, newest first.

    Refusals that are alike share a line for each minute, with their count and the time of the last one.
    """
    lines = await desk.admin.journal(limit=limit, before=before, person=user, client=client)
    names = {one.id: one.name for one in await desk.admin.accounts()}
    _show(desk.out, [records.event(one, names) for one in lines])


def _show(out: Output, lines: list[dict[str, object]]) -> None:
    columns = {name: name for name in ("number", "at", "what", "count", "actor", "user", "client", "object", "detail")}
    out.listing(lines, columns, title="Journal, newest first", empty="The journal has no such line.")
