"""`bailiwick client`: programs that may ask for tokens."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bailiwick.errors import ConfigurationError

from . import records
from .asking import ask_secret
from .desk import Desk, at_desk, to_read
from .ending import reason

if TYPE_CHECKING:  # so that --help loads no authority
    from bailiwick.authority.records import Client

__all__ = ["client"]

client = typer.Typer(help="Clients: programs that may ask for tokens.", no_args_is_help=True)

Id = Annotated[str, typer.Argument(help="The client's id.")]
OwnSecret = Annotated[
    bool, typer.Option("--own-secret", help="Ask for the secret (or read it from standard input), and make none.")
]
SHOWN_ONCE = "The secret is shown once and kept nowhere:"


@client.command("add")
@at_desk
async def add(
    desk: Desk,
    id: Annotated[str | None, typer.Argument(help="Its id; one is made if none is given.")] = None,
    *,
    grant: Annotated[
        list[str] | None,
        typer.Option(
            help="A grant it may use: authorization_code, refresh_token, client_credentials, device_code, "
            "token_exchange, password; may be repeated. None for a client that only follows or introspects."
        ),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option(help="A scope it may get at most; may be repeated. Needed with --grant.")
    ] = None,
    name: Annotated[str, typer.Option(help="How people know it; its id if empty.")] = "",
    public: Annotated[bool, typer.Option("--public", help="It cannot keep a secret: an app, a page, a tool.")] = False,
    redirect: Annotated[list[str] | None, typer.Option(help="An exact redirect URI; may be repeated.")] = None,
    default: Annotated[
        list[str] | None, typer.Option(help="A scope it gets if it asks for none by name; may be repeated.")
    ] = None,
    required: Annotated[
        list[str] | None, typer.Option(help="A scope that people cannot untick; may be repeated.")
    ] = None,
    first_party: Annotated[
        bool, typer.Option("--first-party", help="It is your own: people are not asked for consent.")
    ] = False,
    introspects: Annotated[
        list[str] | None,
        typer.Option(help="An API (its identifier) whose tokens it may introspect, or * for all; may be repeated."),
    ] = None,
    exchange_target: Annotated[
        list[str] | None,
        typer.Option(
            help="An API (its identifier) that it may exchange other clients' tokens for, besides a token's own; may be "
            "repeated."
        ),
    ] = None,
    follows_revocations: Annotated[
        bool,
        typer.Option("--follows-revocations", help="It may read the revocation feed: an API in another process."),
    ] = False,
    jwks: Annotated[
        Path | None, typer.Option(help="File with its public keys (JWK set), if it signs who it is (RFC 7523).")
    ] = None,
    tls: Annotated[
        str, typer.Option(help="What its certificate says, such as san_dns=billing.example.com (RFC 8705).")
    ] = "",
    own_secret: OwnSecret = False,
) -> None:
    """Add a client. A confidential one gets a secret, which is printed once."""
    if not grant and not introspects and not follows_revocations:
        raise ConfigurationError(
            "A client needs a --grant by which it gets tokens, unless it --introspects or --follows-revocations.",
            id="BW130",
        )
    made = await desk.admin.create_client(
        id,
        name=name,
        public=public,
        grants=[_grant_name(one) for one in grant or ()],
        scopes=scope or (),
        default=default or None,
        redirects=redirect or (),
        first_party=first_party,
        introspects=introspects or (),
        follows_revocations=follows_revocations,
        required=required or (),
        jwks=_read(jwks) if jwks is not None else "",
        tls=tls,
        exchange_targets=exchange_target or (),
        secret=ask_secret("Client secret", check=desk.admin.check_secret) if own_secret else None,
    )
    record = records.client(made.client)
    said = f"Added the client {made.client.id}.{_of_secret(made.client)}"
    _hand_over(desk, said, record, None if own_secret else made.secret)


@client.command("list")
@to_read
async def list_clients(desk: Desk) -> None:
    """List the clients."""
    found = [records.client(one) for one in await desk.admin.clients()]
    columns = {
        "id": "id",
        "name": "name",
        "authentication": "authentication",
        "grants": "grants",
        "scopes": "scopes at most",
        "disabled": "disabled",
    }
    desk.out.listing(found, columns, title="Clients", empty="There is no client. Add one: bailiwick client add --help")


@client.command("show")
@to_read
async def show(desk: Desk, id: Id) -> None:
    """Show a client."""
    one = await desk.admin.client(id)
    record = records.client(one) | {
        "authorizations": len(await desk.admin.authorizations(client=id)),
        "families": len(await desk.admin.families(client=id)),
    }
    desk.out.facts(
        record,
        {
            "id": "id",
            "name": "name",
            "authentication": "authentication",
            "grants": "grants",
            "scopes": "scopes at most",
            "default": "scopes by default",
            "required": "scopes required",
            "redirects": "redirects",
            "first_party": "first party",
            "introspects": "introspects",
            "exchange_targets": "exchanges tokens for",
            "follows_revocations": "follows revocations",
            "registered": "registered itself",
            "authorizations": "authorizations",
            "families": "refresh families",
            "created_at": "added",
            "disabled_at": "disabled",
        },
    )


@client.command("scopes")
@at_desk
async def scopes(
    desk: Desk, id: Id, scope: Annotated[list[str], typer.Argument(metavar="SCOPE...", help="All that it may get.")]
) -> None:
    """Say anew what a client may get at most. Its tokens follow at their next issuance."""
    changed = await desk.admin.set_client_scopes(id, scope)
    desk.out.done(f"The client {id} may get {changed.ceiling}", records.client(changed))


@client.command("redirects")
@at_desk
async def redirects(
    desk: Desk,
    id: Id,
    uri: Annotated[list[str], typer.Argument(metavar="URI...", help="All that it may use, exactly.")],
) -> None:
    """Say anew where a client may have people sent back to. What is not named ends at once."""
    changed = await desk.admin.set_client_redirects(id, uri)
    desk.out.done(f"The client {id} redirects to {', '.join(changed.redirects)}", records.client(changed))


@client.command("exchange-targets")
@at_desk
async def exchange_targets(
    desk: Desk,
    id: Id,
    resource: Annotated[
        list[str] | None,
        typer.Argument(metavar="[RESOURCE]...", help="All of them, by identifier; none: a token's own API only."),
    ] = None,
) -> None:
    """Say anew for which APIs a client may exchange other clients' tokens, besides the API that a token is for."""
    changed = await desk.admin.set_exchange_targets(id, resource or ())
    named = ", ".join(sorted(changed.exchange_targets)) or "no API but a token's own"
    desk.out.done(f"The client {id} exchanges tokens for {named}", records.client(changed))


@client.command("follow")
@at_desk
async def follow(
    desk: Desk, id: Id, *, stop: Annotated[bool, typer.Option("--stop", help="Take the right away.")] = False
) -> None:
    """Let a client read the revocation feed, as an API in another process does; or no more, with --stop."""
    changed = await desk.admin.set_client_follows_revocations(id, not stop)
    desk.out.done(
        f"The client {id} may follow the revocation feed{' no more' if stop else ''}.", records.client(changed)
    )


@client.command("rotate-secret")
@at_desk
async def rotate_secret(desk: Desk, id: Id, *, own_secret: OwnSecret = False) -> None:
    """Give a client another secret, which is printed once. The old one ends at once."""
    await desk.admin.client(id)
    given = ask_secret("New client secret", check=desk.admin.check_secret) if own_secret else None
    made = await desk.admin.set_client_secret(id, given)
    record = records.client(made.client)
    said = f"The client {id} has a new secret.{_of_secret(made.client)}"
    _hand_over(desk, said, record, None if own_secret else made.secret)


@client.command("disable")
@at_desk
async def disable(desk: Desk, id: Id) -> None:
    """Let a client do nothing any more: no request, no refresh, and no token that it holds."""
    changed = await desk.admin.disable_client(id)
    desk.out.done(f"The client {id} is disabled, and all that hung on it has ended.", records.client(changed))


@client.command("enable")
@at_desk
async def enable(desk: Desk, id: Id) -> None:
    """Let a disabled client act again."""
    if (await desk.admin.client(id)).disabled_at is None:
        raise ConfigurationError(f"{id!r} is not disabled; nothing was changed.", id="BW130")
    changed = await desk.admin.enable_client(id)
    desk.out.done(f"The client {id} may act again.", records.client(changed))


def _grant_name(given: str) -> str:
    """The wire name of a grant that was named by its short one, or by its wire name."""
    from bailiwick.authority.records import GrantType

    short = given.upper().replace("-", "_")
    if short in GrantType.__members__:
        return GrantType[short].value
    if given not in [one.value for one in GrantType]:
        known = ", ".join(one.name.lower() for one in GrantType)
        raise ConfigurationError(f"There is no grant type {given!r}. Known are: {known}.", id="BW130")
    return given


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as bad:
        raise ConfigurationError(f"The keys {str(path)!r} cannot be read: {reason(bad)}.", id="BW130") from bad


def _of_secret(client: Client) -> str:
    """What there is to say about a secret that can be guessed."""
    from bailiwick.authority.clients import STRONG_SECRET, was_strong

    if client.secret is None or was_strong(client.secret):
        return ""
    return (
        f" Its secret has fewer than {STRONG_SECRET} bits and can be guessed: guesses are counted, and each look at it "
        f"takes as long as at a password. Better: bailiwick client rotate-secret {client.id} makes one; or type what "
        "`openssl rand -hex 32` prints."
    )


def _hand_over(desk: Desk, said: str, record: dict[str, object], secret: str | None) -> None:
    if secret is None:
        desk.out.done(said, record)
        return
    desk.out.done(f"{said} {SHOWN_ONCE}\n\n  {secret}\n", record | {"secret": secret})
