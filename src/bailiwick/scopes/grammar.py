"""How scopes are written: one scope-token, and sets of them. It knows no catalog.

A scope is case-sensitive text. Nothing is trimmed, folded or normalised: `str.split()` would split
at a tab, a no-break space or U+001F and make two scopes out of one (hostile tokens 233 to 239).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

from bailiwick.errors import InvalidScope

__all__ = ["ScopeSet", "check_scope"]

#     scope       = scope-token *( SP scope-token )
#     scope-token = 1*( %x21 / %x23-5B / %x5D-7E )                      RFC 6749 section 3.3
SCOPE_TOKEN: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

# How much of a bad scope an error repeats: enough to find it, too little to flood a log.
SHOWN: Final = 80


def shown(name: object) -> str:
    """A scope, or what stands in its place, as an error message repeats it: plain ASCII, quoted, and cut."""
    if not isinstance(name, str):
        return f"a value of type {type(name).__name__}"
    return ascii(str.__str__(name[:SHOWN])) + ("..." if len(name) > SHOWN else "")


def check_scope(name: object) -> str:
    """Return `name` if it is one scope-token.

    Raises:
        InvalidScope: it is not text, is empty, or holds a character outside RFC 6749 section 3.3.
    """
    if not isinstance(name, str):
        raise InvalidScope(f"A scope is text, not {type(name).__name__}.")
    if not SCOPE_TOKEN.fullmatch(name):
        if not name:
            raise InvalidScope("A scope cannot be empty.")
        raise InvalidScope(
            f"{shown(name)} is not a scope: only printable ASCII without space, quote and backslash is allowed.",
        )
    # Not str(name): that of a member of `class Permission(str, Enum)` is "Permission.READ", not its text.
    return str.__str__(name)


class ScopeSet(AbstractSet[str]):
    """An immutable set of scopes that remembers the order in which they were named.

    Two sets are equal when they hold the same scopes, in whatever order; `str()` writes them as
    the space-separated `scope` parameter.

    Args:
        scopes: names, each one scope-token. A single string is refused, because `"admin"` is also
            a sequence of five one-letter scopes; use `ScopeSet.parse` for text.

    Raises:
        InvalidScope: a name breaks the grammar, or a string stands where a list belongs.

    Source: RFC 6749 section 3.3.
    """

    __slots__ = ("_frozen", "_names")
    _names: tuple[str, ...]
    _frozen: frozenset[str]

    def __init__(self, scopes: Iterable[str] = ()) -> None:
        if isinstance(scopes, str | bytes):
            raise InvalidScope(
                "A list of scopes was expected, not one text; write ScopeSet.parse(text) for a scope string.",
                id="BW104",
            )
        self._adopt(dict.fromkeys(check_scope(name) for name in scopes))

    def _adopt(self, names: Iterable[str]) -> None:
        object.__setattr__(self, "_names", tuple(names))
        object.__setattr__(self, "_frozen", frozenset(self._names))

    @classmethod
    def _of(cls, names: Iterable[str]) -> ScopeSet:
        """A set of names that are known to be scopes."""
        made = cls.__new__(cls)
        made._adopt(names)  # noqa: SLF001 - its own, not yet handed out
        return made

    @classmethod
    def parse(cls, text: str) -> ScopeSet:
        """Read a space-separated scope string; the empty string is the empty set.

        Raises:
            InvalidScope: anything but single spaces between scope-tokens.
        """
        if not isinstance(text, str):
            raise InvalidScope(f"A scope string was expected, not {type(text).__name__}.")
        if not text:
            return cls._of(())
        return cls(text.split(" "))

    @classmethod
    def from_claim(cls, claim: object) -> ScopeSet:
        """Read a token's scope claim: a space-separated string, or a list of scopes.

        Args:
            claim: the value of the claim as JSON gave it.

        Raises:
            InvalidScope: another type, or an item that is not one scope. An item with a space in
                it is an error and never split: it is not two scopes.
        """
        if isinstance(claim, str):
            return cls.parse(claim)
        if isinstance(claim, list):
            return cls(claim)
        raise InvalidScope(f"The scope claim is neither text nor a list, but {type(claim).__name__}.", id="BW211")

    @classmethod
    def _from_iterable(cls, it: Iterable[Any]) -> ScopeSet:  # type: ignore[override]  # narrower: only text
        # What `&`, `|`, `-` and `^` of collections.abc.Set call. Both sides were checked when they
        # were made; a foreign set on the other side is checked here.
        return cls(it)

    # As with the built-in sets, only a set may stand on the other side. collections.abc would take
    # anything iterable: `scopes | "admin"` would add five scopes of one letter each.

    def __and__(self, other: AbstractSet[Any]) -> ScopeSet:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return self._of(name for name in self._names if name in other)

    def __or__(self, other: AbstractSet[Any]) -> ScopeSet:
        if not isinstance(other, AbstractSet):
            return NotImplemented
        return self._from_iterable((*self._names, *other))

    __rand__ = __and__
    __ror__ = __or__

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("A ScopeSet cannot be changed; build another one.")

    def __reduce__(self) -> tuple[type[ScopeSet], tuple[tuple[str, ...]]]:
        return (ScopeSet, (self._names,))

    def __copy__(self) -> ScopeSet:
        return self

    def __deepcopy__(self, _memo: object) -> ScopeSet:
        return self

    @classmethod
    def __get_pydantic_core_schema__(cls, _source: object, handler: Any) -> dict[str, Any]:
        # In a user's model: a list of scopes, as JSON has it. The dictionaries are what pydantic_core's functions make.
        names = handler.generate_schema(list[str])
        read = {"type": "no-info", "function": cls._validated}
        return {
            "type": "json-or-python",
            "json_schema": {"type": "function-after", "function": read, "schema": names},
            "python_schema": {"type": "function-plain", "function": read},
            "serialization": {"type": "function-plain", "function": list, "return_schema": names},
        }

    @classmethod
    def _validated(cls, value: object) -> ScopeSet:
        if isinstance(value, cls):
            return value
        if not isinstance(value, list | tuple | AbstractSet):  # rule 7: a text is no list
            raise ValueError("A list of scopes was expected.")  # noqa: TRY004 - pydantic answers 422 to a ValueError only
        try:
            return cls(value)
        except InvalidScope as bad:
            raise ValueError(bad.description) from bad

    def __contains__(self, name: object) -> bool:
        return name in self._frozen

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ScopeSet):
            return self._frozen == other._frozen
        if isinstance(other, AbstractSet):
            return self._frozen == other
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._frozen)

    def __str__(self) -> str:
        return " ".join(self._names)

    def __repr__(self) -> str:
        return f"ScopeSet.parse({str(self)!r})"
