"""What the demo says on the terminal when it has started: the routes, who can log in, and three lines to paste."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.table import Table
from rich.text import Text

from bailiwick.graph.plan import Access, RoutePlan

from .domain import CLIENTS, PEOPLE
from .start import Demo

__all__ = ["curl_lines", "people_table", "routes_table", "show"]

# Read the token out of the JSON with what every Unix has; the answer itself goes to the screen too.
THEN_KEEP = r"""| tee -a /dev/stderr | sed -n 's/.*"access_token": *"\([^"]*\)".*/\1/p'"""


def routes_table(routes: Iterable[RoutePlan]) -> Table:
    """Each route with what it needs, as the guard enforces it."""
    table = Table(title="Routes and what they require", title_justify="left", header_style="bold")
    table.add_column("method", no_wrap=True)
    table.add_column("path", no_wrap=True)
    table.add_column("requires", overflow="fold")
    for route in routes:
        verb = " ".join(route.methods) or route.kind.value
        table.add_row(verb, route.path, _needs(route))
    return table


def _needs(route: RoutePlan) -> Text:
    if route.access is Access.PUBLIC:
        return Text(f"public: {route.public}", style="yellow")
    return Text(route.needs, style="green")


def people_table(passwords: Mapping[str, str], secret: str | None) -> Table:
    """Who can log in. A password that this start did not make or get is not known here, and not shown."""
    table = Table(title="People and clients", title_justify="left", header_style="bold")
    table.add_column("name", no_wrap=True)
    table.add_column("role or grants", overflow="fold")
    table.add_column("password or secret", no_wrap=True)
    for person in PEOPLE:
        table.add_row(person.name, person.role, Text(passwords.get(person.name, "as printed once")))
    for client in CLIENTS:
        known = (secret or "as printed once") if client.confidential else "none (public)"
        table.add_row(client.client_id, "\n".join(grant.rpartition(":")[2] for grant in client.grants), Text(known))
    return table


def curl_lines(base: str, password: str | None) -> tuple[str, str, str]:
    """Three commands for a POSIX shell: get a token, call a route, be refused.

    Args:
        base: the demo's address, without a slash at its end.
        password: alice's, or None where only the reader of the screen knows it: the line then takes it
            from the environment, and says so if it is not there.
    """
    known = shlex.quote(f"password={password}")
    asked = '"password=${BAILIWICK_DEMO_PASSWORD:?must hold the password of alice, as printed at the first start}"'
    fields = f"-d grant_type=password -d client_id=demo-cli -d username=alice --data-urlencode {known if password else asked}"
    show_all = r"-si -w '\n'"  # status line and headers too, and a line break after the body
    bearer = '-H "Authorization: Bearer $TOKEN"'
    return (
        f"TOKEN=$(curl {show_all} {base}/auth/token {fields} {THEN_KEEP})",
        f"curl {show_all} {bearer} {base}/posts",
        f"""curl {show_all} {bearer} -H 'Content-Type: application/json' -d '{{"title": "Hello"}}' {base}/posts""",
    )


def show(console: Console, base: str, demo: Demo) -> None:
    """Print it all.

    Args:
        console: where to.
        base: the demo's address.
        demo: what was started.
    """
    console.print()
    console.print(routes_table(demo.plan))
    console.print()
    console.print(people_table(demo.passwords, demo.secret))
    if demo.first_start:
        console.print("Passwords and the secret are printed this once; only their hashes are kept.", style="bold")
    elif not demo.passwords:
        console.print(
            "People, keys and tokens are those of earlier starts. Forgotten the passwords? "
            "Start with BAILIWICK_DEMO_PASSWORD=... to set a new one."
        )
    console.print(f"\nDocs:   {base}/docs  (Authorize: pick a person and scopes)")
    console.print(f"Issuer: {base}/auth")
    console.print("Stop:   Ctrl-C")
    console.print("\nPaste these into another terminal:", style="bold")
    titles = ("Get a token (200)", "Call a route (200)", "Be refused (403)")
    for title, line in zip(titles, curl_lines(base, demo.passwords.get("alice")), strict=True):
        console.print(f"\n# {title}", style="dim", highlight=False)
        # Neither wrapped nor coloured, whatever the width of the terminal, so that it can be pasted.
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    console.print()
