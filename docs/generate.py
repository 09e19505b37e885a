"""Write docs/reference from the code, so that it cannot tell another story: `make docs`, and `--check` in CI."""

import sys
from pathlib import Path
from typing import Any

import typer.main
from advice import ADVICE
from checklist import rfc_checklist
from flaws import published_flaws
from framework_hooks import framework_hooks
from options import guards, settings

from bailiwick.cli.app import app
from bailiwick.cli.desk import SHARED
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
        page.append("| id | what it means | status | what to do |\n|---|---|---|---|")
        page += [_error(name, text) for name, text in IDS.items() if name.startswith(start)]
        page.append("")
    return "\n".join(page)


def _error(name: str, text: str) -> str:
    statuses, advice = ADVICE[name]
    return f'| <a id="{name.lower()}"></a>`{name}` | {text} | {", ".join(map(str, statuses))} | {advice} |'


def command_line() -> str:
    """Every command with its options, as `--help` has them; options that nearly all of them take stand once."""
    root = typer.main.get_command(app)
    commands = _commands(root, "bailiwick")
    page = [MADE, "# Command line\n", "`bailiwick --help`, and `bailiwick COMMAND --help`, say the same.\n"]
    page += ["| exit code | means |\n|---|---|", *(f"| {code} | {text} |" for code, text in EXITS.items()), ""]
    shared = next(command for name, command in commands if name == "bailiwick user list")
    page += ["## Options of every command about an authority\n", SETTINGS, "| option | default | what it does |"]
    page += ["|---|---|---|", *(_option(one) for one in _options(shared) if _is_shared(one)), ""]
    page += [part for name, command in commands for part in _describe(name, command)]
    return "\n".join(page) + "\n"


EXITS = {
    0: "done",
    1: "refused: what was named is not there, or may not be; nothing was changed",
    2: "the command line, the settings, the catalog or the store stand in the way",
    130: "interrupted",
}
SETTINGS = (
    "What no option says comes from `BAILIWICK_STORE`, `BAILIWICK_ISSUER`, `BAILIWICK_CATALOG` and their like, then from "
    "`bailiwick.toml` (or the file that `--settings` or `BAILIWICK_SETTINGS` names), whose relative paths are seen from "
    "its own folder. `bailiwick serve` reads the same.\n"
)


# The classes of commands and options come from click, or from typer's own copy of it, depending on typer's version.
def _commands(command: Any, name: str) -> list[tuple[str, Any]]:
    children = getattr(command, "commands", {})
    if not children:
        return [(name, command)]
    return [one for child, inner in children.items() for one in _commands(inner, f"{name} {child}")]


def _options(command: Any) -> list[Any]:
    return [one for one in command.params if one.param_type_name == "option" and not getattr(one, "hidden", False)]


def _is_shared(option: Any) -> bool:
    return option.opts[0] in SHARED


def _describe(name: str, command: Any) -> list[str]:
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = _options(command)
    # `serve` says all of its own; the others take the shared ones without a word.
    takes_shared = any(one.opts[0] == "--json" for one in options)
    own = [one for one in options if not (takes_shared and _is_shared(one))]
    usage = " ".join([name, *map(_argument, arguments), *(["[options]"] if options else [])])
    lines = [f"## {name}\n", f"`{usage}`\n", (command.help or "") + "\n"]
    rows = [f"| `{_argument(one)}` |  | {' '.join((one.help or '').split())} |" for one in arguments]
    rows += [_option(one) for one in own]
    if rows:
        lines += [
            "| argument or option | default | what it does |" if arguments else "| option | default | what it does |"
        ]
        lines += ["|---|---|---|", *rows, ""]
    return lines


def _argument(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    return name if argument.required else f"[{name}]"


def _option(option: Any) -> str:
    default = option.default
    shown = "" if default in (None, False, "") or callable(default) else f"`{default}`"
    names = ", ".join(f"`{name}`" for name in option.opts)
    needed = " Required." if option.required else ""
    return f"| {names} | {shown} | {' '.join((option.help or '').split())}{needed} |"


PAGES = {
    "errors.md": errors,
    "settings.md": lambda: f"{MADE}\n{settings()}",
    "guard.md": lambda: f"{MADE}\n{guards()}",
    "command-line.md": command_line,
    "rfc-checklist.md": lambda: f"{MADE}\n{rfc_checklist()}",
    "framework-hooks.md": lambda: f"{MADE}\n{framework_hooks()}",
    "published-flaws.md": lambda: f"{MADE}\n{published_flaws()}",
}


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
