"""What a route needs: all of some scopes, any of some scopes, and compositions of the two.

A bare list never means a requirement here, because nobody can tell "all" from "any" by reading one
(authlib#432 and microsoft-identity-web#1977 were reported as security bugs). The two words are the
names of the two functions.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import product
from typing import Final, Protocol

from bailiwick.errors import ConfigurationError, InvalidScope

from .grammar import ScopeSet, shown
from .held import Held

__all__ = ["Allowed", "Denied", "Requirement", "Rule", "all_of", "any_of"]

# A requirement is kept as its alternatives ("any of these sets is enough"). (a|b)&(c|d)&... doubles
# with each factor; nobody can review more than this many, and OpenAPI would list each.
MAX_ALTERNATIVES: Final = 256


@dataclass(frozen=True, slots=True)
class Allowed:
    """The decision to let a caller through, with the scopes that it rests on."""

    by: ScopeSet

    def __bool__(self) -> bool:
        return True


@dataclass(frozen=True, slots=True)
class Denied:
    """The decision to refuse, with the reason.

    Attributes:
        missing: what the caller lacks of `required`.
        required: all that the operation needs; of several alternatives the smallest, and of equally
            small ones the first. It goes unchanged into the challenge, the log, the test and the audit.
    """

    missing: ScopeSet
    required: ScopeSet

    def __bool__(self) -> bool:
        return False


class Requirement:
    """What an operation needs. Immutable, hashable, and equal to any requirement of the same meaning.

    Build it with `all_of` and `any_of`, and combine it with `&` and `|`.

    Attributes:
        alternatives: the sets of scopes, any one of which is enough, in the order of declaration.
            No alternative contains another.
    """

    __slots__ = ("_meaning", "alternatives")
    alternatives: tuple[ScopeSet, ...]
    _meaning: frozenset[ScopeSet]

    def __init__(self, alternatives: Iterable[ScopeSet]) -> None:
        given = list(alternatives)
        for one in given:
            if not isinstance(one, ScopeSet):
                raise ConfigurationError(
                    f"A requirement is made of ScopeSets, not of {shown(one)}; write all_of(...) or any_of(...).",
                    id="BW104",
                )
        if not given or not all(given):
            raise ConfigurationError("A requirement needs at least one scope.", id="BW103")
        kept = _minimal(given)
        object.__setattr__(self, "alternatives", kept)
        object.__setattr__(self, "_meaning", frozenset(kept))

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("A Requirement cannot be changed; combine it with & and | instead.")

    def __reduce__(self) -> tuple[type[Requirement], tuple[tuple[ScopeSet, ...]]]:
        return (Requirement, (self.alternatives,))

    def __and__(self, other: Requirement) -> Requirement:
        if not isinstance(other, Requirement):
            return NotImplemented
        return Requirement(
            ScopeSet(dict.fromkeys((*left, *right))) for left, right in product(self.alternatives, other.alternatives)
        )

    def __or__(self, other: Requirement) -> Requirement:
        if not isinstance(other, Requirement):
            return NotImplemented
        return Requirement((*self.alternatives, *other.alternatives))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Requirement):
            return NotImplemented
        return self._meaning == other._meaning

    def __hash__(self) -> int:
        return hash(self._meaning)

    def __iter__(self) -> Iterator[ScopeSet]:
        return iter(self.alternatives)

    @property
    def scopes(self) -> ScopeSet:
        """Every scope that the requirement mentions."""
        if len(self.alternatives) == 1:
            return self.alternatives[0]
        return ScopeSet(dict.fromkeys(name for names in self.alternatives for name in names))

    @property
    def smallest(self) -> ScopeSet:
        """The alternative with the fewest scopes; of equally small ones the first."""
        return min(self.alternatives, key=len)

    def __repr__(self) -> str:
        parts = [
            repr(next(iter(names)))
            if len(names) == 1 and len(self.alternatives) > 1
            else f"all_of({', '.join(map(repr, names))})"
            for names in self.alternatives
        ]
        return parts[0] if len(parts) == 1 else f"any_of({', '.join(parts)})"

    def __str__(self) -> str:
        """How a person reads it: `users:read and users:write`, `users:delete or admin:*`."""
        many = len(self.alternatives) > 1
        texts = [" and ".join(names) for names in self.alternatives]
        return " or ".join(
            f"({text})" if many and len(names) > 1 else text
            for text, names in zip(texts, self.alternatives, strict=True)
        )


def _minimal(given: list[ScopeSet]) -> tuple[ScopeSet, ...]:
    """The alternatives that contain no other, in the order of declaration: a | (a & b) needs only a."""
    if len(given) == 1:
        return (given[0],)
    # Smallest first, so that what is kept stays kept and the work is bounded: two requirements of 256
    # alternatives each make 65,536 products, and comparing every pair of them would take hours.
    kept: dict[frozenset[str], ScopeSet] = {}
    for one in sorted(given, key=len):
        names = frozenset(one)
        if any(other <= names for other in kept):
            continue
        kept[names] = one
        if len(kept) > MAX_ALTERNATIVES:
            raise ConfigurationError(
                f"A requirement has more than {MAX_ALTERNATIVES} alternatives; nobody could review it. "
                "Declare a scope that stands for the combination.",
                id="BW108",
            )
    left = set(kept)
    return tuple(one for one in dict.fromkeys(given) if frozenset(one) in left)


@dataclass(frozen=True, slots=True)
class Rule:
    """A requirement compiled against one catalog, by `Catalog.compile`: a few bits to look at.

    What is held is looked at octet by octet and not as one number: `mask & need` would copy 1,250
    bytes for a catalog of 10,000 scopes, at each check.

    Attributes:
        requirement: what was compiled.
        probes: for each alternative, in the same order, which octets to look at and the bits needed in each.
        smallest: the scopes of the smallest alternative with their probes, to say which one is missing.
        only: the probe, if there is but one, as for the one scope that most routes need; else None.
    """

    requirement: Requirement
    probes: tuple[tuple[tuple[int, int], ...], ...]
    smallest: tuple[tuple[str, tuple[int, int]], ...]
    only: tuple[int, int] | None

    def decide(self, held: Held) -> Allowed | Denied:
        """Whether what is held is enough.

        Args:
            held: made by the same catalog's `hold`.
        """
        octets = held.octets
        for names, probes in zip(self.requirement.alternatives, self.probes, strict=True):
            if all(octets[at] & bits == bits for at, bits in probes):
                return Allowed(names)
        missing = ScopeSet([name for name, (at, bits) in self.smallest if octets[at] & bits != bits])
        return Denied(missing=missing, required=self.requirement.smallest)

    def allows(self, held: Held) -> bool:
        """`decide`, without the reason: for the path on which every request passes."""
        octets = held.octets
        if self.only is not None:
            at, bits = self.only
            return octets[at] & bits == bits
        for probes in self.probes:
            for at, bits in probes:
                if octets[at] & bits != bits:
                    break
            else:
                return True
        return False


class Covering(Protocol):
    """What knows which scopes cover which: a catalog."""

    def covers(self, held: Held, required: str | ScopeSet) -> bool:
        """Whether what is held covers all that is required."""
        ...


def decide(requirement: Requirement, held: Held, catalog: Covering) -> Allowed | Denied:
    """Answer one question that was not compiled beforehand, as an in-handler check does.

    Args:
        requirement: what the operation needs.
        held: made by `catalog.hold`.
        catalog: the catalog of both.

    Returns:
        `Allowed` with the alternative that is met, or `Denied` with what is missing of the smallest one.
    """
    for names in requirement.alternatives:
        if catalog.covers(held, names):
            return Allowed(names)
    smallest = requirement.smallest
    missing = ScopeSet([name for name in smallest if not catalog.covers(held, name)])
    return Denied(missing=missing, required=smallest)


def _read(function: str, parts: tuple[str | Requirement | Iterable[str], ...]) -> list[Requirement]:
    if not parts:
        raise ConfigurationError(
            f"{function}() needs at least one scope: an empty list would let everyone in.", id="BW103"
        )
    read = []
    for part in parts:
        if isinstance(part, Requirement):
            read.append(part)
        elif isinstance(part, str):
            try:
                read.append(Requirement([ScopeSet([part])]))
            except InvalidScope as bad:
                raise ConfigurationError(f"{function}(): {bad.description}", id="BW101") from bad
        else:
            raise ConfigurationError(
                f"{function}() takes scopes one by one, as {function}('a', 'b'), not {shown(part)}.",
                id="BW104",
            )
    return read


def all_of(*parts: str | Requirement) -> Requirement:
    """Every one of these scopes or requirements is needed.

    Args:
        parts: scope names, or other requirements.

    Raises:
        ConfigurationError: nothing was given, or something that is neither.
    """
    first, *rest = _read("all_of", parts)
    for part in rest:
        first = first & part
    return first


def any_of(*parts: str | Requirement) -> Requirement:
    """One of these scopes or requirements is enough.

    Args:
        parts: scope names, or other requirements.

    Raises:
        ConfigurationError: nothing was given, or something that is neither.
    """
    return Requirement(names for part in _read("any_of", parts) for names in part.alternatives)
