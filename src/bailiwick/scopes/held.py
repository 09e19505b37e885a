"""What somebody holds, compiled against one catalog."""

from __future__ import annotations

from dataclasses import dataclass, field

from .grammar import ScopeSet

__all__ = ["Held"]


@dataclass(frozen=True, slots=True)
class Held:
    """What somebody holds, compiled against one catalog.

    Args:
        mask: one bit for each catalogued scope that is covered.
        names: the scopes exactly as they were named; a name that the catalog does not know covers only itself.
        octets: the mask in little-endian order, as wide as the catalog.
        below: of each wildcard `P:*` among the names, the `P:` with which whatever it covers begins.
    """

    mask: int
    names: ScopeSet = field(compare=False)
    octets: bytes = field(compare=False, repr=False)
    below: tuple[str, ...] = field(compare=False, repr=False)
