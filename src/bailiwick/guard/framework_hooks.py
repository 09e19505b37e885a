"""Describes what an adapter uses of a framework that the framework does not promise."""

from dataclasses import dataclass
from typing import Literal

__all__ = ["FrameworkHook"]


@dataclass(frozen=True, slots=True)
class FrameworkHook:
    """Describes one such use; `docs/reference/framework-hooks.md` is made of them.

    Args:
        name: the attributes or functions.
        use: "patched" if the adapter changes or replaces it, "read" if it only looks at it or calls it.
        versions: the framework's releases that have it.
        reason: why a public way does not do.
        without: what breaks if it is no longer there.
        test: the test that notices, as `file::function` below `tests/doors`.
    """

    name: str
    use: Literal["patched", "read"]
    versions: str
    reason: str
    without: str
    test: str
