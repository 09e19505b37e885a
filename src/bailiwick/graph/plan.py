"""The plan: for every route, what it needs. The object that is enforced is the object that is audited.

A door reads its framework's routes when the application starts and makes one `Plan`; the gates in
front of the routes decide from its entries, and a report prints the same entries.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import reduce
from operator import and_

from bailiwick.errors import ConfigurationError
from bailiwick.scopes import Catalog, Requirement, Rule
from bailiwick.scopes.grammar import shown

__all__ = ["Access", "Kind", "Plan", "RoutePlan", "StepUp", "combine", "place"]


class Access(Enum):
    """How a route is settled."""

    GUARDED = "guarded"
    OPTIONAL = "optional"
    PUBLIC = "public"
    UNDECLARED = "undeclared"


class Kind(Enum):
    """What stands behind a route."""

    HTTP = "http"
    WEBSOCKET = "websocket"
    MOUNT = "mount"


@dataclass(frozen=True, slots=True)
class StepUp:
    """How strong and how fresh the authentication behind a token must be (RFC 9470).

    Args:
        acr: acceptable authentication context classes; empty if any will do.
        max_age: the greatest age of the authentication in seconds, or None.
    """

    acr: tuple[str, ...] = ()
    max_age: int | None = None

    def __and__(self, other: StepUp) -> StepUp:
        if self.acr and other.acr:
            acr = tuple(one for one in self.acr if one in other.acr)
            if not acr:
                raise ConfigurationError("Two declarations of one route demand acr values that exclude each other.")
        else:
            acr = self.acr or other.acr
        ages = [age for age in (self.max_age, other.max_age) if age is not None]
        return StepUp(acr, min(ages) if ages else None)


@dataclass(frozen=True, slots=True)
class RoutePlan:
    """What one route needs.

    Attributes:
        path: the full path template, mounts and prefixes included.
        methods: the HTTP methods, sorted; empty for a WebSocket or a mount.
        kind: what stands behind it.
        name: the endpoint's name.
        source: "file:line" of the endpoint, or "" where it cannot be known.
        access: how the route is settled.
        requirement: the scopes needed, or None where a valid token is enough or none is needed.
        reason: why it is public.
        rule: the requirement, compiled.
        step_up: how fresh and how strong the authentication must be, or None.
        close_on_expiry: whether a connection is ended when its token expires.
        documented: whether a document that is open to everyone says what it needs.
        scope: what a challenge names: the scopes of the smallest alternative, space-separated; "" without any.
    """

    path: str
    methods: tuple[str, ...]
    kind: Kind
    name: str
    source: str
    access: Access
    requirement: Requirement | None = None
    reason: str = ""
    rule: Rule | None = field(default=None, repr=False, compare=False)
    step_up: StepUp | None = None
    close_on_expiry: bool = False
    documented: bool = field(default=False, repr=False, compare=False)
    scope: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "scope", str(self.requirement.smallest) if self.requirement is not None else "")

    @property
    def public(self) -> str:
        """The reason for which the route is public, or ""."""
        return self.reason if self.access is Access.PUBLIC else ""

    @property
    def decision(self) -> tuple[Access, Requirement | None, StepUp | None, bool]:
        """What is decided here, wherever the route stands: two routes with the same one let the same callers through."""
        return self.access, self.requirement, self.step_up, self.close_on_expiry

    @property
    def label(self) -> str:
        """How a person names the route: "GET /users"."""
        # What no application has placed anywhere has a name only.
        where = self.path or self.name
        if self.kind is Kind.HTTP:
            return f"{'|'.join(self.methods)} {where}".lstrip()
        return f"{'WS' if self.kind is Kind.WEBSOCKET else 'MOUNT'} {where}"

    @property
    def needs(self) -> str:
        """What it needs, in words."""
        if self.access is Access.PUBLIC:
            return "public"
        if self.access is Access.UNDECLARED:
            return "undeclared"
        words = str(self.requirement) if self.requirement is not None else "any valid token"
        return f"optional: {words}" if self.access is Access.OPTIONAL else words


@dataclass(frozen=True, slots=True)
class Plan:
    """What every route of one application needs. Immutable; made when the application starts."""

    routes: tuple[RoutePlan, ...]

    def __iter__(self) -> Iterator[RoutePlan]:
        return iter(self.routes)

    def __len__(self) -> int:
        return len(self.routes)

    @property
    def undeclared(self) -> tuple[RoutePlan, ...]:
        """The routes that nobody settled."""
        return tuple(route for route in self.routes if route.access is Access.UNDECLARED)

    @property
    def scopes(self) -> tuple[str, ...]:
        """Every scope that some route mentions, in the order of the routes."""
        return tuple(
            dict.fromkeys(
                name for route in self.routes if route.requirement is not None for name in route.requirement.scopes
            )
        )

    def check(self, wrong: Sequence[ConfigurationError] = ()) -> Plan:
        """Insist that every route is settled, and that nothing else was found wrong.

        Args:
            wrong: what is wrong with routes that are not in the plan for that reason, or with what should settle them.

        Raises:
            ConfigurationError: one error that lists them all, with file and line.
        """
        texts, ids = [one.description for one in wrong], {one.id for one in wrong}
        if len(wrong) > 1:
            texts = [f"{len(wrong)} declarations are wrong:\n" + "\n".join(f"  {text}" for text in texts)]
        if self.undeclared:
            lines = "\n".join(f"  {route.label}  {place(route.name, route.source)}" for route in self.undeclared)
            ids.add("BW120")
            texts.append(
                f"{len(self.undeclared)} reachable route(s) have neither a requirement nor a reason to be public:\n{lines}\n"
                'Give each one guard.requires(...) or guard.public("reason"), or settle groups with the arguments '
                "docs=, mounts= and default= of protect()."
            )
        if not texts:
            return self
        # One id always means one cause; several causes have the one that means any.
        raise ConfigurationError("\n".join(texts), id=ids.pop() if len(ids) == 1 else "BW100")


def place(name: str, source: str) -> str:
    """Where an endpoint is written, for messages.

    Args:
        name: the endpoint's name.
        source: "file:line", or "" where it cannot be known.
    """
    return f"({', '.join(one for one in (name, source) if one)})"


def located(wrong: ConfigurationError, where: str, name: str, source: str) -> ConfigurationError:
    """The same error, with the route that it is about, its file and its line.

    Args:
        wrong: what is wrong.
        where: the route's name for messages.
        name: the endpoint's name.
        source: "file:line", or "" where it cannot be known.
    """
    text = wrong.description
    if not text.startswith((f"{where}: ", f"{where} ")):
        text = f"{where}: {text}"
    return ConfigurationError(f"{text}  {place(name, source)}" if source else text, id=wrong.id)


def combine(requirements: list[Requirement], catalog: Catalog, *, where: str) -> tuple[Requirement | None, Rule | None]:
    """AND together what app, router, route and parameters require, and compile it once.

    Args:
        requirements: every requirement that applies to the route.
        catalog: the scopes that exist.
        where: the route's name for messages.

    Raises:
        ConfigurationError: scopes are not catalogued; all of them are named.
    """
    if not requirements:
        return None, None
    requirement = reduce(and_, requirements)
    unknown = [name for name in requirement.scopes if name not in catalog]
    if len(unknown) > 1:
        told = "; ".join(f"{shown(name)}.{catalog.nearest(name)}".rstrip(".") for name in unknown)
        raise ConfigurationError(f"{where}: required scopes are not in the catalog: {told}.", id="BW102")
    return requirement, catalog.compile(requirement, where=where)
