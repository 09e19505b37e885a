"""Write docs/reference from the code, so that it cannot tell another story: `make docs`, and `--check` in CI."""

import sys
from pathlib import Path

import typer.main
from click import Command, Context, Option

from bailiwick.cli.app import app
from bailiwick.errors import IDS

REFERENCE = Path(__file__).parent / "reference"
MADE = "<!-- Made by `make docs`; edit docs/generate.py or the code instead. -->\n"

FAMILIES = {
    "BW1": ("Configuration", "Raised when the application starts. Whoever writes or runs it has something to mend."),
    "BW2": ("The access token", "401, or 400 where credentials come twice. The caller needs another token."),
    "BW3": ("Scopes", "403. The token is good, and carries too little."),
    "BW4": ("The authority", "Answers of the authorization server to a client (RFC 6749 section 5.2 and its kin)."),
    "BW5": ("Faults", "500 or 503. Not the caller's doing; never an answer of 'allowed', and never 401."),
}


def errors() -> str:
    """Every id with its meaning, each under an anchor of its own."""
    page = [
        MADE,
        "# Errors\n",
        "Each refusal carries an `id`. It stays the same when the wording changes, and it is in the JSON body, in the log and in the exception (`error.id`).\n",
    ]
    for start, (title, whose) in FAMILIES.items():
        page.append(f"## {title}\n\n{whose}\n")
        page.append("| id | what it means |\n|---|---|")
        page += [
            f'| <a id="{name.lower()}"></a>`{name}` | {text} |' for name, text in IDS.items() if name.startswith(start)
        ]
        page.append("")
    return "\n".join(page)


def command_line() -> str:
    """Every command with its options, as `--help` has them."""
    root = typer.main.get_command(app)
    page = [MADE, "# Command line\n", "`bailiwick --help`, and `bailiwick COMMAND --help`, say the same.\n"]
    page += [part for name, command in _commands(root, "bailiwick") for part in _describe(name, command)]
    return "\n".join(page) + "\n"


def _commands(command: Command, name: str) -> list[tuple[str, Command]]:
    children = getattr(command, "commands", {})
    if not children:
        return [(name, command)]
    return [one for child, inner in children.items() for one in _commands(inner, f"{name} {child}")]


def _describe(name: str, command: Command) -> list[str]:
    arguments = " ".join(
        one.make_metavar(Context(command)) for one in command.params if one.param_type_name == "argument"
    )
    lines = [f"## {name}\n", f"`{name}{' ' + arguments if arguments else ''} [options]`\n", (command.help or "") + "\n"]
    options = [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]
    if options:
        lines.append("| option | default | what it does |\n|---|---|---|")
        lines += [_option(one) for one in options]
        lines.append("")
    return lines


def _option(option: Option) -> str:
    default = option.default
    shown = "" if default in (None, False, "") or callable(default) else f"`{default}`"
    names = ", ".join(f"`{name}`" for name in option.opts)
    envvar = f" Environment: `{option.envvar}`." if option.envvar else ""
    return f"| {names} | {shown} | {' '.join((option.help or '').split())}{envvar} |"


PAGES = {"errors.md": errors, "command-line.md": command_line}


def main() -> int:
    """Write the pages, or with `--check` say which are stale."""
    check = "--check" in sys.argv[1:]
    stale = []
    REFERENCE.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = REFERENCE / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(name)
        if not check:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"Stale in docs/reference: {', '.join(stale)}. Run `make docs` and commit.\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
