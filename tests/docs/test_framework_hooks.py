"""What the adapters use of a framework without its promise stands in compat.py, is listed, and has a test that notices."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "bailiwick"
sys.path.insert(0, str(ROOT / "docs"))

from framework_hooks import HOOKS, framework_hooks  # noqa: E402 - found by the line above

EVERY = [one for hooks in HOOKS.values() for one in hooks]
# Objects of ours whose underscore attributes another object of the same class looks at.
OURS = {"write._protection"}
# What a framework's object serves from or answers with; to set one is a patch.
SERVING = {
    "__class__",
    "build_middleware_stack",
    "default",
    "handle",
    "lifespan_context",
    "middleware_stack",
    "routes",
}
# Files that set one by the adapter's own methods for it, and what they set.
SETTERS = {
    "frameworks/starlette/adapter.py": {"router.routes", "route.handle"},
    "frameworks/starlette/fallback.py": {"self.router.default"},
    "frameworks/fasterapi/protection.py": {"app.__class__"},
}


def adapters():
    """The files that know a framework, but for each adapter's compat.py."""
    public = [SOURCE / f"{name}.py" for name in ("starlette", "fastapi", "fasterapi")]
    return [path for path in (*public, *(SOURCE / "frameworks").rglob("*.py")) if path.name != "compat.py"]


def private_accesses(tree):
    """Attributes with one underscore of anything but `self`, `cls`, `super()` and the `other` of a comparison, also by `getattr` and `setattr`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if ast.unparse(node.value) not in {"self", "cls", "super()", "other"}:  # of an object of the same class
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {"getattr", "setattr", "hasattr"}:
            name = node.args[1]
            if isinstance(name, ast.Constant) and is_private(str(name.value)):
                yield node.lineno, ast.unparse(node)


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def set_attributes(tree):
    """What is assigned that a framework's object serves from, of anything but `self`."""
    for node in ast.walk(tree):
        targets = node.targets if isinstance(node, ast.Assign) else []
        for target in targets:
            for one in ast.walk(target):
                if isinstance(one, ast.Attribute) and one.attr in SERVING and ast.unparse(one.value) != "self":
                    yield node.lineno, ast.unparse(one)


def test_no_file_but_compat_looks_at_a_frameworks_private_names():
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in adapters()
        for line, text in private_accesses(ast.parse(path.read_text()))
        if text not in OURS
    ]
    assert not found


def test_no_other_file_replaces_what_a_framework_serves_from():
    found = [
        f"{name}:{line}: {text}"
        for path in adapters()
        if (name := path.relative_to(SOURCE).as_posix())
        for line, text in set_attributes(ast.parse(path.read_text()))
        if text not in SETTERS.get(name, ())
    ]
    assert not found


@pytest.mark.parametrize(
    "code",
    ["request._scope", "getattr(mount, '_base_app', None)", "app._mounts[:] = []", "setattr(app, '_router', 1)"],
)
def test_the_check_sees_private_names(code):
    assert list(private_accesses(ast.parse(code)))


def test_the_check_lets_pass_what_is_ours():
    assert not list(private_accesses(ast.parse("self._x; cls._y; super()._z; a.__class__; getattr(a, 'b')")))
    assert [text for _, text in set_attributes(ast.parse("app.routes = 1; a, b.handle = 2; self.routes = 3"))] == [
        "app.routes",
        "b.handle",
    ]


@pytest.mark.parametrize("hook", EVERY, ids=lambda hook: hook.name)
def test_each_hook_names_a_test_that_is_there(hook):
    file, _, function = hook.test.partition("::")
    tree = ast.parse((ROOT / "tests" / "doors" / file).read_text())
    assert function in {one.name for one in tree.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}


def test_no_hook_is_listed_twice_and_the_page_says_how_many_there_are():
    assert len({one.name for one in EVERY}) == len(EVERY)
    patched = sum(one.use == "patched" for one in EVERY)
    assert f"There are {len(EVERY)}: {patched} are patched" in framework_hooks()
