"""Roles: named bundles of scopes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from bailiwick.errors import ConfigurationError, InvalidScope

from .grammar import ScopeSet

__all__ = ["Role"]


@dataclass(frozen=True, slots=True)
class Role:
    """A named bundle of scopes that people are given.

    Args:
        name: such as "editor".
        scopes: the scopes it holds; wildcards are allowed here and expanded when a token is issued.

    Raises:
        ConfigurationError: the name is empty, or the scopes are a string, empty or malformed.
    """

    name: str
    scopes: ScopeSet

    def __init__(self, name: str, scopes: Iterable[str]) -> None:
        if not isinstance(name, str) or not name:
            raise ConfigurationError("A role needs a name.")
        try:
            held = scopes if isinstance(scopes, ScopeSet) else ScopeSet(scopes)
        except InvalidScope as bad:
            raise ConfigurationError(f"The role {name!r}: {bad.description}", id=bad.id) from bad
        except TypeError as bad:
            raise ConfigurationError(f"The role {name!r} needs a list of scopes.") from bad
        if not held:
            raise ConfigurationError(f"The role {name!r} holds no scopes.", id="BW103")
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "scopes", held)
