"""The house rules, read from the source with `ast`: who imports whom, and what never stands in a file."""

import ast
import re
import subprocess
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from bailiwick.errors import IDS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "bailiwick"

# -- the law -------------------------------------------------------------------------------

# The modules at the root that hold a Guard; each sees the adapter of its framework, and what that one sees.
GUARDS = {"asgi", "starlette", "fastapi", "fasterapi"}
ENGINE = {"scopes", "graph", "tokens", "guard"}

# Besides these, every room may import `errors`. `testing` may import anything.
MAY_IMPORT = {
    "errors": set(),
    "scopes": set(),
    "graph": {"scopes"},
    "tokens": {"scopes"},
    "remote": {"tokens", "scopes"},
    "authority": {"scopes", "tokens"},
    "machine": {"authority"},
    "storage": {"authority", "scopes"},
    "audit": {"graph", "scopes"},
    "guard": {"scopes", "graph", "tokens"},
    "frameworks": set(),
    "frameworks.starlette": ENGINE,
    "frameworks.fastapi": ENGINE | {"frameworks.starlette"},
    "frameworks.fasterapi": ENGINE,
    "asgi": ENGINE,
    "starlette": ENGINE | {"asgi", "frameworks.starlette"},
    "fastapi": ENGINE | {"asgi", "frameworks.starlette", "frameworks.fastapi"},
    "fasterapi": ENGINE | {"asgi", "frameworks.fasterapi"},
    "web": {"authority", "tokens", "scopes", "starlette"},
    "server": {"authority", "machine", "storage", "web", "tokens", "remote", "scopes"},
    # The demo prints the plan that its door enforces; the plan's words are graph's.
    "demo": {*GUARDS, "server", "scopes", "graph"},
    "cli": {"server", "storage", "authority", "audit", "scopes", "demo", "(the package)"},
    "(the package)": {"scopes"},
    "__main__": {"cli"},
}
# The folder behind a public module is that module's own.
SAME_ROOM = {"_server": "server", "__init__": "(the package)"}
# Of these rooms others see a part only.
SEEN_OF = {("storage", "authority"): {"records", "store"}}
LAZILY = {"cli": GUARDS}  # inside functions, so that a command starts without a framework

PURE = {"errors", "scopes", "graph", "authority"}
# Files that are as pure, in rooms that are not: what runs a guard has to be testable without a framework.
PURE_FILES = {"frameworks/fasterapi/dependency_reader.py", "frameworks/fasterapi/dependency_solver.py"}
# Sockets, files, clocks, dice, processes, and everything that has them inside.
IMPURE = set(
    re.findall(
        r"\S+",
        "socket ssl select selectors asyncio anyio trio multiprocessing concurrent subprocess os io "
        "pathlib shutil tempfile glob fileinput time sched random secrets uuid logging sqlite3 dbm shelve http "
        "ftplib smtplib socketserver xmlrpc webbrowser signal mmap urllib.request httpx httpx2 requests aiohttp ",
    )
)
IMPURE_CALLS = {"open", "input", "print", "__import__"}
CLOCKS = {"now", "utcnow", "today"}

# A foreign package appears where its kind of knowledge lives, and nowhere else.
FOREIGN = {
    "fastapi": {"fastapi", "frameworks.fastapi", "demo"},
    "faster_api": {"frameworks.fasterapi"},
    "faster_api_web": {"frameworks.fasterapi"},
    "FasterAPI": {"frameworks.fasterapi"},
    "starlette": {"starlette", "fastapi", "frameworks.starlette", "frameworks.fastapi", "web", "server", "demo"},
    "pydantic": {"frameworks.fastapi", "demo", "web", "server", "cli"},
    "pydantic_settings": {"server", "cli"},
    "joserfc": {"tokens"},
    "cryptography": {"tokens", "machine"},
    "httpx": {"remote"},
    "sqlalchemy": {"storage", "demo"},
    "alembic": {"storage"},
    "aiosqlite": {"storage"},
    "asyncpg": {"storage"},
    "argon2": {"machine"},
    "jinja2": {"web"},
    "uvicorn": {"cli"},
    "typer": {"cli"},
    "click": {"cli"},
    "rich": {"cli", "demo"},
    "prometheus_client": {"web", "server"},
    "limits": {"machine"},
}

# Ids whose refusals come with a later part of the work; each with the part. It must not be in use yet.
RESERVED: dict[str, str] = {
    "BW214": "introspection at another server",
}

# -- reading the source --------------------------------------------------------------------


@dataclass(frozen=True)
class Import:
    """One import statement's target, as an absolute dotted name."""

    file: Path
    line: int
    target: str
    at_start: bool

    def __str__(self):
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.target}"


def sources():
    return sorted(PACKAGE.rglob("*.py"))


@cache
def tree_of(path):
    return ast.parse(path.read_text(), str(path))


def room_of(path):
    return room_at(path.relative_to(PACKAGE).with_suffix("").parts)


def is_pure(path):
    return room_of(path) in PURE or path.relative_to(PACKAGE).as_posix() in PURE_FILES


def test_the_files_that_are_called_pure_are_there():
    assert not [name for name in PURE_FILES if not (PACKAGE / name).is_file()]


def room_at(parts):
    """The room of a module by its path below the package: each adapter of a framework is one of its own."""
    if parts[0] == "frameworks" and parts[1:2] != ("__init__",):
        return ".".join(parts[:2])
    return SAME_ROOM.get(parts[0], parts[0])


def room_named(dotted):
    """The room of an absolute name in the package, or None for a foreign one."""
    parts = dotted.split(".")
    if parts[0] != "bailiwick":
        return None
    if len(parts) == 1:
        return "(the package)"
    top = parts[1]
    if not ((PACKAGE / top).is_dir() or (PACKAGE / f"{top}.py").is_file()):
        return "(the package)"  # `from bailiwick import ScopeSet`
    return room_at(parts[1:])


def targets(node, path):
    """What an import statement names, absolutely: `from .a import b` is read as `bailiwick.<here>.a.b`."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    base = node.module or ""
    if node.level:
        here = ["bailiwick", *path.relative_to(PACKAGE).with_suffix("").parts]
        stem = here[: len(here) - node.level]
        base = ".".join([*stem, node.module] if node.module else stem)
    return [f"{base}.{alias.name}" for alias in node.names]


@cache
def imports():
    found = []
    for path in sources():
        tree = tree_of(path)
        inside = {
            id(node)
            for function in ast.walk(tree)
            if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            for node in ast.walk(function)
        }
        found += [
            Import(path, node.lineno, target, id(node) not in inside)
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for target in targets(node, path)
        ]
    return tuple(found)


def may(importer, imported, *, at_start):
    return (
        imported in {importer, "errors"}
        or importer == "testing"
        or imported in MAY_IMPORT.get(importer, set())
        or (not at_start and imported in LAZILY.get(importer, set()))
    )


@cache
def tracked():
    """The text files that go into a commit."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split("\0")
    files = []
    for name in filter(None, listed):
        path = ROOT / name
        if path.is_file() and b"\0" not in path.read_bytes()[:1000]:
            files.append(path)
    return tuple(files) or tuple(sources())


# -- the rules -----------------------------------------------------------------------------


def test_the_source_is_where_these_tests_look_for_it():
    assert len(sources()) > 10
    assert len(imports()) > 50
    assert {"errors", "scopes"} <= {room_of(path) for path in sources()}


def test_every_room_is_in_the_table():
    assert {room_of(path) for path in sources()} - {"testing"} <= MAY_IMPORT.keys()


def test_rooms_import_only_the_rooms_that_they_may():
    breaches = [
        str(one)
        for one in imports()
        if (room := room_named(one.target)) and not may(room_of(one.file), room, at_start=one.at_start)
    ]
    assert not breaches


def test_of_the_authority_the_storage_sees_only_records_and_store():
    breaches = []
    for one in imports():
        seen = SEEN_OF.get((room_of(one.file), room_named(one.target)))
        if seen is not None and one.target.split(".")[2:3] and one.target.split(".")[2] not in seen:
            breaches.append(str(one))
    assert not breaches


def test_nothing_imports_the_testing_room():
    assert not [str(one) for one in imports() if room_named(one.target) == "testing" and room_of(one.file) != "testing"]


def test_rooms_do_not_import_each_other_in_a_circle():
    edges = {}
    for one in imports():
        here, there = room_of(one.file), room_named(one.target)
        if there and there != here:
            edges.setdefault(here, set()).add(there)
    reached = {room: set(direct) for room, direct in edges.items()}
    for _ in edges:
        for beyond in reached.values():
            beyond |= {far for near in set(beyond) for far in edges.get(near, ())}
    assert not [room for room, beyond in reached.items() if room in beyond]


def module_of(path):
    """The dotted name of a file of the package."""
    parts = ["bailiwick", *path.relative_to(PACKAGE).with_suffix("").parts]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def file_named(dotted, files):
    """The file that an import loads: a module, or what holds the name that is imported from it."""
    return files.get(dotted) or files.get(dotted.rpartition(".")[0])


def circles(edges):
    """The groups of nodes that reach each other (Tarjan, "Depth-first search and linear graph algorithms", 1972)."""
    index, low, stack, found = {}, {}, [], []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(edges.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return found


def test_no_two_files_import_each_other_by_whatever_way_round():
    """Imports for types, and those inside functions, count: who reads the one file has to know the other."""
    files = {module_of(path): path for path in sources()}
    edges = {}
    for one in imports():
        loaded = file_named(one.target, files)
        if loaded is not None and loaded != one.file:
            edges.setdefault(module_of(one.file), set()).add(module_of(loaded))
    assert circles(edges) == []


def test_a_circle_of_files_is_found_however_long():
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]
    assert circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_pure_rooms_import_no_socket_file_clock_dice_or_framework():
    breaches = [
        str(one)
        for one in imports()
        if is_pure(one.file)
        and ({one.target, one.target.split(".")[0], one.target.rpartition(".")[0]} & IMPURE or foreign(one.target))
    ]
    assert not breaches


def test_pure_rooms_call_no_clock_and_open_no_file():
    breaches = []
    for path in sources():
        if not is_pure(path):
            continue
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.Call):
                continue
            called = node.func
            builtin = isinstance(called, ast.Name) and called.id in IMPURE_CALLS
            clock = (
                isinstance(called, ast.Attribute)
                and called.attr in CLOCKS
                and ast.unparse(called.value) in {"datetime", "date", "datetime.datetime", "datetime.date"}
            )
            if builtin or clock:
                breaches.append(f"{path.relative_to(ROOT)}:{node.lineno} calls {ast.unparse(called)}")
    assert not breaches


def foreign(target):
    return target.split(".")[0] if target.split(".")[0] in FOREIGN else None


def test_each_foreign_package_appears_only_where_its_kind_of_knowledge_lives():
    breaches = [
        str(one)
        for one in imports()
        if (package := foreign(one.target)) and room_of(one.file) not in FOREIGN[package] | {"testing"}
    ]
    assert not breaches


def test_importing_the_package_imports_no_framework_and_no_network():
    code = "import sys, bailiwick; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = set(subprocess.run([sys_python(), "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "bailiwick" in loaded
    assert not loaded & {*FOREIGN, "socket", "ssl", "asyncio", "http"}


def sys_python():
    import sys

    return sys.executable


def test_every_module_says_what_it_knows():
    python = [path for path in tracked() if path.suffix == ".py"] + sources()
    silent = [
        str(path.relative_to(ROOT))
        for path in dict.fromkeys(python)
        if path.read_text().strip() and not ast.get_docstring(tree_of(path))
    ]
    assert not silent


@pytest.mark.parametrize("drawer", ["helpers", "utils", "util", "common", "core", "services", "misc", "managers"])
def test_there_is_no_drawer_for_everything(drawer):
    assert not [path for path in PACKAGE.rglob("*") if path.name.removesuffix(".py").strip("_") == drawer]


def test_no_error_is_swallowed_whole():
    breaches = []
    for path in sources():
        for node in ast.walk(tree_of(path)):
            if not isinstance(node, ast.ExceptHandler):
                continue
            broad = node.type is None or (isinstance(node.type, ast.Name) and node.type.id.endswith("Exception"))
            if broad and all(isinstance(line, ast.Pass | ast.Continue | ast.Constant) for line in node.body):
                breaches.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert not breaches


def test_nothing_is_left_as_a_stub():
    classes = [node for path in sources() for node in ast.walk(tree_of(path)) if isinstance(node, ast.ClassDef)]

    def supplied(owner, method):
        """Whether a class below `owner` says what this abstract method does."""
        return any(
            owner.name in map(ast.unparse, one.bases)
            and any(getattr(line, "name", None) == method.name for line in one.body)
            for one in classes
        )

    abstract = {
        id(line)
        for owner in classes
        for method in owner.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef) and supplied(owner, method)
        for line in method.body
    }
    stubs = []
    for path in sources():
        stubs += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree_of(path))
            if isinstance(node, ast.Raise)
            and node.exc
            and "NotImplementedError" in ast.unparse(node.exc)
            and id(node) not in abstract
        ]
    assert not stubs


def test_no_tracked_file_names_a_path_of_the_machine_on_which_it_was_written():
    folders = "home|root|Users|work|workspace|workspaces|mnt|media|private"
    machine = re.compile(rf"(?<![\w.~*:)\]}}>/-])/(?:{folders})/[\w.-]+/|(?<![\w.])\.\./shared/|/tmp/[\w.]+_jobs")
    here = re.compile(rf"{re.escape(str(ROOT))}(?![\w-])")
    named = []
    for path in tracked():
        lines = path.read_text(errors="replace").splitlines()
        named += [
            f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
            for number, line in enumerate(lines, 1)
            if machine.search(line) or here.search(line)
        ]
    assert not named


# -- error ids -----------------------------------------------------------------------------


@cache
def ids_in_use():
    """Each BW number that the source states outside the table itself, with the places."""
    used = {}
    for path in sources():
        tree = tree_of(path)
        table = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.AnnAssign) and ast.unparse(node.target) == "IDS"
            for inner in ast.walk(node)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in table:
                for found in re.findall(r"\bBW\d+\b", node.value):
                    used.setdefault(found, []).append(f"{path.relative_to(ROOT)}:{node.lineno}")
    return used


def test_every_error_id_that_the_source_states_is_documented():
    assert not {name: places for name, places in ids_in_use().items() if name not in IDS}


def test_every_documented_error_id_is_used_or_reserved_for_a_named_part():
    unused = IDS.keys() - ids_in_use().keys()
    assert not sorted(unused - RESERVED.keys())
    assert not sorted(RESERVED.keys() - unused)


def test_every_error_id_has_its_form_and_one_sentence():
    for name, sentence in IDS.items():
        assert re.fullmatch(r"BW[1-5]\d\d", name)
        assert sentence.endswith(".")
        assert sentence[0].isupper()


# -- the rules themselves can fail ---------------------------------------------------------


class TestTheReader:
    HERE = PACKAGE / "authority" / "grants" / "refresh.py"

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            ("import time", ["time"]),
            ("import a.b, c", ["a.b", "c"]),
            ("from bailiwick.scopes import ScopeSet", ["bailiwick.scopes.ScopeSet"]),
            ("from bailiwick import graph", ["bailiwick.graph"]),
            ("from .base import Grant", ["bailiwick.authority.grants.base.Grant"]),
            ("from ..records import Client", ["bailiwick.authority.records.Client"]),
            ("from ... import storage", ["bailiwick.storage"]),
            ("from ...storage import sql", ["bailiwick.storage.sql"]),
        ],
    )
    def test_understands_absolute_and_relative_imports(self, line, expected):
        assert targets(ast.parse(line).body[0], self.HERE) == expected

    def test_knows_the_room_of_a_name(self):
        assert room_named("bailiwick.scopes.grammar.ScopeSet") == "scopes"
        assert room_named("bailiwick.ScopeSet") == "(the package)"
        assert room_named("time") is None

    def test_refuses_what_the_table_does_not_allow(self):
        assert not may("scopes", "tokens", at_start=True)
        assert not may("web", "storage", at_start=False)
        assert not may("cli", "fastapi", at_start=True)
        assert may("cli", "fastapi", at_start=False)
        assert may("storage", "errors", at_start=True)
