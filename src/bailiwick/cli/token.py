"""`bailiwick token`: what was issued, and how it ends."""

from __future__ import annotations

from typing import Annotated

import typer

from bailiwick.errors import ConfigurationError

from . import records
from .asking import ask_secret, confirm
from .desk import Desk, at_desk, to_read
from .ending import EXIT_REFUSED

__all__ = ["token"]

token = typer.Typer(help="Tokens: who holds which, and how to end them.", no_args_is_help=True)

Authorization = Annotated[str, typer.Argument(help="The authorization's id (atz_...).")]


@token.command("list")
@to_read
async def list_tokens(
    desk: Desk,
    *,
    user: Annotated[str | None, typer.Option(help="Only this person's.")] = None,
    client: Annotated[str | None, typer.Option(help="Only this client's.")] = None,
) -> None:
    """List authorizations (what people let clients do) and living refresh families."""
    names = {one.id: one.name for one in await desk.admin.accounts()}
    if client is not None:
        await desk.admin.client(client)
    allowed = [records.authorization(one, names) for one in await desk.admin.authorizations(person=user, client=client)]
    families = [records.family(one, names) for one in await desk.admin.families(person=user, client=client)]
    if desk.out.as_json:
        desk.out.document({"authorizations": allowed, "families": families})
        return
    desk.out.table(
        [one | {"withdrawn": [row["scope"] for row in one["withdrawn"]]} for one in allowed],
        {
            "id": "id",
            "user": "user",
            "client": "client",
            "resource": "API",
            "scopes": "scopes",
            "withdrawn": "withdrawn",
        },
        title="Authorizations",
        empty="Nobody lets any such client do anything.",
    )
    desk.out.table(
        families,
        {
            "id": "id",
            "user": "user",
            "client": "client",
            "scopes": "scopes",
            "created_at": "since",
            "expires_at": "until",
        },
        title="Refresh families",
        empty="No such refresh token lives.",
    )


@token.command("revoke")
@at_desk
async def revoke(
    desk: Desk,
    id: Annotated[
        str | None, typer.Argument(help="A refresh family (fam_...), an authorization (atz_...) or a token's jti.")
    ] = None,
    *,
    found: Annotated[
        bool, typer.Option("--found", help="Ask for a token that was found somewhere (or read it from standard input).")
    ] = False,
    user: Annotated[str | None, typer.Option(help="Everything that this person is logged in to.")] = None,
    client: Annotated[str | None, typer.Option(help="Everything that this client holds, for whomever.")] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """End one token, one family, one authorization, or all of a person's or a client's.

    Exit code 1 if there was nothing to end, or the id can be no token's. A token itself is never an argument, which other users of the
    machine could read; with --found it is asked for.
    """
    if sum((id is not None, found, user is not None, client is not None)) != 1:
        raise ConfigurationError("Name one thing to revoke: an id, --found, --user or --client.", id="BW130")
    if found:
        kind, which, ended = await desk.admin.revoke_presented(ask_secret("Token", twice=False).strip())
        _tell(desk, kind.value, which, ended)
    elif user is not None:
        await desk.admin.account(user)
        confirm(f"Log {user} out everywhere?", sure=yes)
        _tell(desk, "subject", user, await desk.admin.revoke_account_tokens(user), lasting=True)
    elif client is not None:
        await desk.admin.client(client)
        confirm(f"End all that {client} holds, for everybody?", sure=yes)
        _tell(desk, "client", client, await desk.admin.revoke_client_tokens(client), lasting=True)
    elif id is not None:
        await _revoke_id(desk, id)


async def _revoke_id(desk: Desk, id: str) -> None:
    if id.startswith("atz_"):
        _tell(desk, "authorization", id, await desk.admin.withdraw(id))
    elif id.startswith("fam_") and "." not in id:
        _tell(desk, "family", id, await desk.admin.revoke_family(id))
    elif id.startswith(("bw", "ey")):
        # It is in the shell's history now, and was readable with `ps`; and by its text alone nobody would
        # find out that it is no jti.
        raise ConfigurationError("This looks like a token itself. Use --found, and give it when asked.", id="BW130")
    else:
        from bailiwick.authority.ids import is_token_id

        if not is_token_id(id):
            raise ConfigurationError(
                f"No token of this authority has the id {id!r}. Look for a slip, or give the token itself to --found.",
                id="BW130",
            )
        _tell(desk, "token", id, await desk.admin.revoke_token(id))


@token.command("withdraw")
@at_desk
async def withdraw(
    desk: Desk, authorization: Authorization, scope: Annotated[str, typer.Argument(help="The scope to take back.")]
) -> None:
    """Take one scope out of an authorization. It stays out until `give-back`; the other scopes stay good."""
    _tell(desk, "scope", f"{scope} of {authorization}", await desk.admin.withdraw(authorization, scope))


@token.command("give-back")
@at_desk
async def give_back(
    desk: Desk,
    authorization: Authorization,
    scopes: Annotated[list[str], typer.Argument(metavar="SCOPE...", help="The scopes to give back.")],
) -> None:
    """Undo a withdrawal: the person's next login or refresh may bring these scopes again."""
    names = {one.id: one.name for one in await desk.admin.accounts()}
    record = records.authorization(await desk.admin.give_back(authorization, scopes), names)
    desk.out.done(f"{authorization} has {' '.join(record['scopes'])}", record)


def _tell(desk: Desk, kind: str, which: str, ended: int, *, lasting: bool = False) -> None:
    """Say what ended.

    Args:
        desk: where one says so.
        kind: of what was revoked.
        which: its id or name.
        ended: how many families, scopes or tokens.
        lasting: access tokens end too, which nobody has counted, so that 0 is no refusal.
    """
    record = {"kind": kind, "revoked": which, "ended": ended}
    if ended == 0 and not lasting:
        desk.out.done(f"Nothing to revoke: {which} is unknown, or had ended.", record)
        raise typer.Exit(EXIT_REFUSED)
    if lasting:
        families = "family" if ended == 1 else "families"
        desk.out.done(f"All that {which} held has ended: {ended} refresh {families}, and every access token.", record)
        return
    if kind == "token":
        # Nobody knows whether it was issued: access tokens are kept nowhere.
        desk.out.done(f"The token {which} is refused from now on, if it still lived.", record)
        return
    desk.out.done(f"Revoked {kind} {which}; {ended} ended.", record)
