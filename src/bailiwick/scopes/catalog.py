"""The scopes an API knows, and what each one covers when it is held.

The catalog is compiled once, when the application starts, into integers used as bit masks: bit i
stands for the i-th catalogued scope. What a token holds becomes one mask, what a route needs
a few bits to look at in it, and a check costs the same whether the token carries 3 scopes or 3,000.

Wildcards are compared segment by segment and never through `re` or `fnmatch`: an allow-list that
was compiled to a pattern without escaping is CVE-2026-25479.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from bailiwick.errors import ConfigurationError, InvalidScope

from .grammar import SHOWN, ScopeSet, check_scope, shown
from .held import Held
from .requirement import Requirement, Rule
from .roles import Role

__all__ = ["Catalog", "Held", "Scope", "wildcard_prefix"]

SEPARATOR: Final = ":"
WILDCARD: Final = "*"

# How many scopes are compared for "Did you mean ...?": about 10 ms for a name that resembles none.
COMPARED: Final = 1000


def wildcard_prefix(name: str) -> str | None:
    """The P of a wildcard `P:*`, or None if `name` is a plain name.

    Only a whole last segment is a wildcard: `us*`, `*:read`, `a:*:b`, `users:**` and a bare `*`
    are plain names.
    """
    prefix, separator, last = name.rpartition(SEPARATOR)
    return prefix if separator and last == WILDCARD else None


def _ancestors(name: str) -> Iterable[str]:
    """Every P such that `P:*` covers `name`: its leading runs of whole segments, at least one left over.

    For names of the catalog only: those of a long name that a stranger sends take quadratic time.
    """
    cut = name.find(SEPARATOR)
    while cut != -1:
        yield name[:cut]
        cut = name.find(SEPARATOR, cut + 1)


@dataclass(frozen=True, slots=True)
class Scope:
    """One permission that an API knows.

    Args:
        name: a scope-token (RFC 6749 section 3.3), such as "users:read".
        description: one sentence for the person who is asked for consent, and for OpenAPI.
        implies: other catalogued scopes that whoever holds this one holds too.

    Raises:
        ConfigurationError: the name breaks the grammar, `implies` is no list, or the description no text.
    """

    name: str
    description: str = ""
    implies: tuple[str, ...] = ()

    def __init__(self, name: str, description: str = "", implies: Iterable[str] = ()) -> None:
        if isinstance(implies, str | bytes) or not isinstance(implies, Iterable):
            raise ConfigurationError(
                f"Scope {shown(name)}: implies takes a list of scopes, not {shown(implies)}.", id="BW104"
            )
        if not isinstance(description, str):
            raise ConfigurationError(f"Scope {shown(name)}: the description is not text, but {shown(description)}.")
        try:
            object.__setattr__(self, "name", check_scope(name))
            object.__setattr__(self, "implies", tuple(check_scope(other) for other in implies))
        except InvalidScope as bad:
            raise ConfigurationError(f"Scope {shown(name)}: {bad.description}", id="BW101") from bad
        object.__setattr__(self, "description", description)


class Catalog:
    """The scopes an API knows, the roles that bundle them, and which one is superuser.

    Args:
        scopes: `Scope`s, or a mapping of names to descriptions.
        roles: `Role`s, or a mapping of role names to lists of scopes. A role may hold wildcards.
        superuser: the catalogued scope that covers the whole catalog, if there is one.

    Raises:
        ConfigurationError: a bad or repeated name, an implication of an unknown scope or in a
            circle, a role with an unknown scope, a superuser that is not catalogued. The message
            names the nearest known scope.

    Source: the scope rules of the Bailiwick contract; RFC 6749 section 3.3 for names.
    """

    def __init__(
        self,
        scopes: Iterable[Scope | str] | Mapping[str, str],
        *,
        roles: Iterable[Role] | Mapping[str, Iterable[str]] = (),
        superuser: str | None = None,
    ) -> None:
        _check_list(scopes, "scopes")
        _check_list(roles, "roles")
        self.scopes: Mapping[str, Scope] = _declared(scopes)
        self._bit: Mapping[str, int] = {name: 1 << i for i, name in enumerate(self.scopes)}
        self._all = (1 << len(self.scopes)) - 1
        if superuser is not None and not isinstance(superuser, str):
            raise ConfigurationError(f"superuser must be the name of a scope, not {_kind(superuser)}.", id="BW102")
        if superuser is not None and superuser not in self.scopes:
            raise ConfigurationError(
                f"The superuser scope {shown(superuser)} is not in the catalog.{self.nearest(superuser)}", id="BW102"
            )
        self.superuser = None if superuser is None else self.scopes[superuser].name
        self._covers = self._compile_implications()
        self._below = self._compile_wildcards()
        self.roles: Mapping[str, Role] = self._compile_roles(roles)

    # -- made once, at start ---------------------------------------------------------------

    def _compile_implications(self) -> dict[str, int]:
        """For each catalogued name, the mask of all that it covers: itself and, transitively, what it implies."""
        for scope in self.scopes.values():
            for implied in scope.implies:
                if implied not in self.scopes:
                    raise ConfigurationError(
                        f"Scope {shown(scope.name)} implies {shown(implied)}, which is not in the catalog."
                        f"{self.nearest(implied)}",
                        id="BW102",
                    )
        covers: dict[str, int] = {}
        for start in self.scopes:
            self._follow(start, covers)
        return covers

    def _follow(self, start: str, covers: dict[str, int]) -> None:
        """Fill in `covers` for one scope and all that it implies."""
        # Depth first with an explicit path, so that a chain of 10,000 implications is no RecursionError.
        path: dict[str, Iterator[str]] = {}
        if start not in covers:
            path[start] = iter(self.scopes[start].implies)
        while path:
            name = next(reversed(path))
            implied = next((other for other in path[name] if other not in covers), None)
            if implied is None:
                mask = self._all if name == self.superuser else self._bit[name]
                for known in self.scopes[name].implies:
                    mask |= covers[known]
                covers[name] = mask
                path.pop(name)
            elif implied in path:
                steps = list(path)
                circle = [*steps[steps.index(implied) :], implied]
                raise ConfigurationError(f"Scopes imply each other in a circle: {' -> '.join(circle)}.", id="BW105")
            else:
                path[implied] = iter(self.scopes[implied].implies)

    def _compile_wildcards(self) -> dict[str, int]:
        """For each P, the mask of all that `P:*` covers: wildcards first, implications after."""
        below: dict[str, int] = {}
        for name in self.scopes:
            for prefix in _ancestors(name):
                below[prefix] = below.get(prefix, 0) | self._covers[name]
        return below

    def _compile_roles(self, roles: Iterable[Role] | Mapping[str, Iterable[str]]) -> dict[str, Role]:
        if isinstance(roles, Mapping):
            roles = [Role(name, scopes) for name, scopes in roles.items()]
        made: dict[str, Role] = {}
        for role in roles:
            if not isinstance(role, Role):
                raise ConfigurationError(f"A role is a Role(name, scopes), not {shown(role)}.")
            if role.name in made:
                raise ConfigurationError(f"The role {role.name!r} is declared twice.", id="BW106")
            for scope in role.scopes:
                if not self.knows(scope):
                    raise ConfigurationError(
                        f"The role {role.name!r} holds {shown(scope)}, which the catalog does not know.{self.nearest(scope)}",
                        id="BW107",
                    )
            made[role.name] = role
        return made

    @classmethod
    def from_toml(cls, text: str) -> Catalog:
        """Read a catalog from TOML.

        Args:
            text: a document with `[scopes]` (name = "description", or a table with `description`
                and `implies`), optionally `superuser = "..."` and `[roles]` (name = list of scopes).

        Raises:
            ConfigurationError: the text is not TOML, or not a catalog, or one without scopes (BW103).
        """
        _check_keys(text)
        try:
            document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as bad:
            raise ConfigurationError(f"The catalog is not valid TOML: {bad}.") from bad
        if unknown := document.keys() - {"scopes", "roles", "superuser"}:
            raise ConfigurationError(
                f"The catalog has unknown entries: {', '.join(sorted(unknown))}; known are scopes, roles and superuser."
            )
        roles = document.get("roles", {})
        if not isinstance(roles, dict):
            raise ConfigurationError("[roles] must be a table of lists of scopes.")
        for role, held in roles.items():
            if not isinstance(held, list):
                raise ConfigurationError(f"The role {role!r} must be a list of scopes, not {_kind(held)}.")
        scopes = document.get("scopes", {})
        if not isinstance(scopes, dict):
            raise ConfigurationError("[scopes] must be a table of scopes.")
        # In code, a catalog without scopes is for guards that ask for any valid token; nobody writes a file to say so.
        if not scopes:
            raise ConfigurationError("The catalog names no scopes; they stand below [scopes].", id="BW103")
        return cls(
            [_scope_from_toml(name, entry) for name, entry in scopes.items()],
            roles=roles,
            superuser=document.get("superuser"),
        )

    # -- asked while the application runs --------------------------------------------------

    def __contains__(self, name: object) -> bool:
        return name in self.scopes

    def __len__(self) -> int:
        return len(self.scopes)

    def __iter__(self) -> Iterator[str]:
        return iter(self.scopes)

    def __repr__(self) -> str:
        return f"<Catalog of {len(self.scopes)} scopes, {len(self.roles)} roles>"

    def knows(self, name: str) -> bool:
        """Whether `name` is catalogued, or a wildcard that covers at least one catalogued scope."""
        prefix = wildcard_prefix(name)
        return name in self.scopes or (prefix is not None and prefix in self._below)

    def nearest(self, name: object) -> str:
        """A hint for error messages: " Did you mean ...?", or what is known."""
        close = self.similar(name)
        if close is not None:
            return f" Did you mean {close!r}?"
        some = ", ".join(list(self.scopes)[:5])
        return f" Known are: {some}{', ...' if len(self.scopes) > 5 else ''}." if some else " The catalog is empty."

    def similar(self, name: object) -> str | None:
        """Return the scope of which a name is likely a mistyping; None if there is none."""
        if not isinstance(name, str):
            return None
        # A caller's words may come here too, so the search is bounded: its cost grows with the name's
        # length and the catalog's, and nobody mistypes a scope by half.
        alike = [known for known in self.scopes if 2 * abs(len(known) - len(name)) <= len(known)]
        alike.sort(key=lambda known: known[:3] != name[:3])  # in a large catalog: mistypings rarely begin a name
        close = difflib.get_close_matches(name, alike[:COMPARED], n=1, cutoff=0.6) if len(name) <= SHOWN else []
        return close[0] if close else None

    def parse(self, text: str) -> ScopeSet:
        """Read a space-separated scope string and insist that the catalog knows each scope.

        Raises:
            InvalidScope: the text breaks the grammar, or names an unknown scope.
        """
        scopes = ScopeSet.parse(text)
        for name in scopes:
            if not self.knows(name):
                raise InvalidScope(f"The scope {shown(name)} is unknown.{self.nearest(name)}", id="BW102")
        return scopes

    def hold(self, scopes: ScopeSet | Iterable[str]) -> Held:
        """Compile what somebody holds: wildcards first, implications after.

        Args:
            scopes: the scopes of a token, a role or a ceiling.
        """
        names = scopes if isinstance(scopes, ScopeSet) else ScopeSet(scopes)
        mask, below = 0, []
        for name in names:
            mask |= self._covers.get(name, 0)
            prefix = wildcard_prefix(name)
            if prefix is not None:
                mask |= self._below.get(prefix, 0)
                below.append(prefix + SEPARATOR)
        return Held(mask, names, mask.to_bytes((len(self.scopes) + 7) // 8, "little"), tuple(below))

    def covers(self, held: ScopeSet | Iterable[str] | Held, required: str | ScopeSet | Requirement) -> bool:
        """Whether what is held is enough for what is required.

        Args:
            held: scopes, as a set, a list, or one space-separated scope string.
            required: one scope name, a `ScopeSet` (all of it), or a requirement.

        Raises:
            InvalidScope: a name breaks the grammar, or `required` is empty or a plain list, of which
                nobody can say whether it means all or any.
        """
        if isinstance(held, str):
            held = ScopeSet.parse(held)
        if not isinstance(held, Held):
            held = self.hold(held)
        if isinstance(required, str):
            return self._covers_one(held, check_scope(required))
        if isinstance(required, ScopeSet):
            if not required:
                raise InvalidScope("A check needs at least one scope: an empty set would let everyone in.", id="BW103")
            return all(self._covers_one(held, name) for name in required)
        if not isinstance(required, Requirement):
            raise InvalidScope(
                f"A check takes one scope, a ScopeSet, all_of(...) or any_of(...), not {shown(required)}.", id="BW104"
            )
        return any(all(self._covers_one(held, name) for name in names) for names in required.alternatives)

    def _covers_one(self, held: Held, name: str) -> bool:
        bit = self._bit.get(name)
        if bit is not None:
            return bool(held.mask & bit)
        if name in held.names:
            return True
        # Not catalogued. One with * in it is met by a shorter wildcard or by the superuser (rule 5); any
        # other unknown name only by itself (rule 6).
        if WILDCARD not in name:
            return False
        if self.superuser is not None and held.mask & self._bit[self.superuser]:
            return True
        # Not each beginning of the name, looked up: a name of 16 KB can have 8,000 of them, each of them long.
        return name.startswith(held.below)

    def expand(self, held: ScopeSet | Iterable[str]) -> ScopeSet:
        """Replace each wildcard by the catalogued scopes that it covers (rule 8).

        Implications stay what they are, the superuser scope stays one name, and a name or a wildcard
        that the catalog does not know stays too.

        Args:
            held: the scopes of a role, a ceiling or a request.
        """
        names = held if isinstance(held, ScopeSet) else ScopeSet(held)
        concrete: dict[str, None] = {}
        for name in names:
            prefix = wildcard_prefix(name)
            covered = prefix is not None and prefix in self._below and name != self.superuser
            if name in self.scopes or not covered:
                concrete[name] = None
            if covered:
                start = f"{prefix}{SEPARATOR}"
                concrete.update(dict.fromkeys(known for known in self.scopes if known.startswith(start)))
        return ScopeSet(concrete)

    def check(self, requirement: Requirement, *, where: str = "") -> None:
        """Insist that every scope of a requirement is catalogued.

        Args:
            requirement: what a route needs.
            where: the route's name, for the message.

        Raises:
            ConfigurationError: the requirement names a scope that is not catalogued (rule 6).
        """
        if not isinstance(requirement, Requirement):
            raise ConfigurationError(
                f"{where + ': ' if where else ''}a requirement is all_of(...) or any_of(...), not {shown(requirement)}.",
                id="BW104",
            )
        for name in requirement.scopes:
            if name not in self.scopes:
                raise ConfigurationError(
                    f"{where + ': ' if where else ''}the required scope {shown(name)} is not in the catalog."
                    f"{self.nearest(name)}",
                    id="BW102",
                )

    def compile(self, requirement: Requirement, *, where: str = "") -> Rule:
        """Turn a requirement into masks; done once for each route, when the application starts.

        Args:
            requirement: what the route needs.
            where: the route's name, for the message.

        Raises:
            ConfigurationError: the requirement names a scope that is not catalogued (rule 6).
        """
        self.check(requirement, where=where)
        probes = tuple(self._probes(names) for names in requirement.alternatives)
        only = probes[0][0] if len(probes) == len(probes[0]) == 1 else None
        smallest = requirement.smallest
        if only is not None and len(smallest) == 1:  # one scope, as most requirements are
            return Rule(requirement, probes, tuple((name, only) for name in smallest), only)
        return Rule(requirement, probes, tuple((name, self._probes([name])[0]) for name in smallest), only)

    def _probes(self, names: Iterable[str]) -> tuple[tuple[int, int], ...]:
        """Which octets of a mask to look at, and the bits needed in each, for all of these scopes."""
        probes: dict[int, int] = {}
        for name in names:
            at, bit = divmod(self._bit[name].bit_length() - 1, 8)
            probes[at] = probes.get(at, 0) | 1 << bit
        return tuple(probes.items())


def _check_list(given: object, kind: str) -> None:
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise ConfigurationError(f"The catalog takes a list of {kind}, not {shown(given)}.", id="BW104")


def _declared(scopes: Iterable[Scope | str] | Mapping[str, str]) -> dict[str, Scope]:
    if isinstance(scopes, Mapping):
        scopes = [Scope(name, description) for name, description in scopes.items()]
    declared: dict[str, Scope] = {}
    for entry in scopes:
        scope = entry if isinstance(entry, Scope) else Scope(entry)
        if scope.name in declared:
            raise ConfigurationError(f"The scope {scope.name!r} is declared twice.", id="BW106")
        declared[scope.name] = scope
    return declared


# What separates the parts of a dotted key, what ends a key, and what either may stand inside of without a meaning.
_KEYS: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*+"*+|"(?:[^"\\\n]|\\.)*+"?|' r"'[^'\n]*+'?|#[^\n]*+|[.\n=,{\[]", re.DOTALL
)
MAX_KEY_PARTS: Final = 64


def _check_keys(text: str) -> None:
    """Refuse a key of very many parts: `tomllib` takes quadratic time over `a.a.a.a`, and no catalog has one.

    Raises:
        ConfigurationError: there is one.
    """
    dots = 0
    for found in _KEYS.finditer(text):
        if found[0] == ".":
            dots += 1
            if dots >= MAX_KEY_PARTS:
                raise ConfigurationError(f"The catalog has a key of more than {MAX_KEY_PARTS} parts.")
        elif found[0] in _ENDS_OF_KEY:
            dots = 0


_ENDS_OF_KEY: Final = frozenset("\n=,{[")


def _scope_from_toml(name: str, entry: object) -> Scope:
    if isinstance(entry, str):
        return Scope(name, entry)
    if not isinstance(entry, dict):
        raise ConfigurationError(
            f"The scope {name!r} must be a description, or a table with description and implies, not {_kind(entry)}."
        )
    if unknown := entry.keys() - {"description", "implies"}:
        raise ConfigurationError(
            f"The scope {name!r} has unknown entries: {', '.join(sorted(unknown))}; known are description and implies."
        )
    return Scope(name, entry.get("description", ""), entry.get("implies", ()))


def _kind(value: object) -> str:
    """What something is that stands in the wrong place, in the words of TOML."""
    kinds = {bool: "true or false", int: "a number", float: "a number", str: "text", list: "a list", dict: "a table"}
    return kinds.get(type(value), f"a value of type {type(value).__name__}")
