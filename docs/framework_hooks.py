"""Writes the page about what the adapters use of their frameworks that these do not promise; the facts stand in each `compat.py`."""

from bailiwick.frameworks.fastapi import compat as fastapi
from bailiwick.frameworks.fasterapi import compat as fasterapi
from bailiwick.frameworks.starlette import compat as starlette
from bailiwick.guard.framework_hooks import FrameworkHook

HOOKS: dict[str, tuple[FrameworkHook, ...]] = {
    "Starlette": starlette.FRAMEWORK_HOOKS,
    "FastAPI": fastapi.FRAMEWORK_HOOKS,
    "FasterAPI": fasterapi.FRAMEWORK_HOOKS,
}


def framework_hooks() -> str:
    """Write the page."""
    every = [one for hooks in HOOKS.values() for one in hooks]
    patched = sum(one.use == "patched" for one in every)
    page = [
        "# Framework hooks\n",
        (
            "What the guard uses of a framework that the framework does not promise. Only the `compat.py` of an adapter touches these, and a test "
            "notices when a release changes one. *Patched* means that the adapter changes or replaces it in a protected application, *read* that it only "
            "looks at it or calls it. FastAPI's adapter uses Starlette's as well.\n"
        ),
        f"There are {len(every)}: {patched} are patched, {len(every) - patched} are read.\n",
    ]
    for framework, hooks in HOOKS.items():
        own = sum(one.use == "patched" for one in hooks)
        page += [f"## {framework}\n", f"{own} patched, {len(hooks) - own} read.\n"]
        page += ["| what | use | releases | why | without it | the test that notices |", "|---|---|---|---|---|---|"]
        page += [_row(one) for one in hooks] + [""]
    return "\n".join(page)


def _row(hook: FrameworkHook) -> str:
    file, _, function = hook.test.partition("::")
    words = function.removeprefix("test_").replace("_", " ")
    test = f"[{words}](../../tests/doors/{file})"
    return f"| {hook.name} | {hook.use} | {hook.versions} | {hook.reason} | {hook.without} | {test} |"
