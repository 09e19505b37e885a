"""What can be declared in front of any application: scopes, openness, how strong an authentication, how long."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from bailiwick.errors import ConfigurationError
from bailiwick.graph.plan import Access, RoutePlan, StepUp, combine
from bailiwick.scopes import Catalog, Principal, Requirement, all_of
from bailiwick.tokens.bearer import StepUpNeeded

__all__ = [
    "OnExpiry",
    "Public",
    "access_of",
    "as_requirement",
    "both_of",
    "check_step_up",
    "closes_on_expiry",
    "idle_mounts",
    "settled_twice",
    "step_up_of",
]

CLOCK_SKEW: Final = 300  # seconds by which an issuer's clock may be ahead: the most that a verifier allows


@dataclass(frozen=True, slots=True)
class Public:
    """The statement that something is open to everyone, with the reason.

    Raises:
        ConfigurationError: the reason is empty: it is what a reviewer reads.
    """

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ConfigurationError('public() needs a reason, such as guard.public("liveness probe").')

    async def __call__(self) -> None:
        """Nothing to do: as a dependency it lets everyone pass."""


def as_requirement(scopes: tuple[str | Requirement, ...], catalog: Catalog, *, where: str = "") -> Requirement | None:
    """What `requires(*scopes)` means: all of them; nothing means "any valid token".

    Raises:
        ConfigurationError: a scope is unknown to the catalog, or something is not a scope.
    """
    if not scopes:
        return None
    requirement = all_of(*scopes)
    catalog.check(requirement, where=where)
    return requirement


OnExpiry = Literal["close", "ignore"]  # what becomes of a connection whose token expires


def closes_on_expiry(on_expiry: str | None) -> bool:
    """What `on_expiry=` of one route means.

    Raises:
        ConfigurationError: it is misspelt, and would be ignored.
    """
    if on_expiry not in {None, "close", "ignore"}:
        raise ConfigurationError(f'on_expiry is "close" or "ignore", not {on_expiry!r}.')
    return on_expiry == "close"


def step_up_of(acr: str | tuple[str, ...], max_age: int | None) -> StepUp | None:
    """What `acr=` and `max_age=` mean, or None if neither was given.

    Raises:
        ConfigurationError: `max_age` is no whole number of seconds.
    """
    if isinstance(acr, str):
        acr = (acr,)
    if max_age is not None and (not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 0):
        raise ConfigurationError(f"max_age is a whole number of seconds, 0 or more, not {max_age!r}.")
    return StepUp(tuple(acr), max_age) if acr or max_age is not None else None


def access_of(where: str, *, required: bool, optional: bool, public: Sequence[Public]) -> tuple[Access, str]:
    """How a route is reached by all that is declared at it, and why it is open if it is.

    Args:
        where: the route's name for messages.
        required: whether something needs a caller.
        optional: whether something takes one who has a token.
        public: what says that it is open.

    Raises:
        ConfigurationError: it is public and needs a caller as well.
    """
    if required and public:
        raise ConfigurationError(
            f"{where} is declared public ({public[0].reason}) and inherits a requirement as well; "
            "one of the two is wrong."
        )
    if required or optional:
        return (Access.GUARDED if required else Access.OPTIONAL), ""
    return (Access.PUBLIC, public[0].reason) if public else (Access.UNDECLARED, "")


def both_of(inner: RoutePlan, outer: RoutePlan, catalog: Catalog) -> RoutePlan:
    """What two declarations of one guard around the same thing need together.

    Args:
        inner: what was declared first.
        outer: what was declared around it.
        catalog: the guard's.

    Raises:
        ConfigurationError: they demand `acr` values that exclude each other.
    """
    needed = [one.requirement for one in (inner, outer) if one.requirement is not None]
    requirement, rule = combine(needed, catalog, where=outer.name or inner.name)
    ups = [one.step_up for one in (inner, outer) if one.step_up is not None]
    return replace(
        outer,
        path=outer.path or inner.path,
        name=outer.name or inner.name,
        source=outer.source or inner.source,
        # Anonymous callers come as far as both let them.
        access=inner.access if outer.access is Access.OPTIONAL else outer.access,
        requirement=requirement,
        rule=rule,
        step_up=ups[0] & ups[-1] if ups else None,
        close_on_expiry=inner.close_on_expiry or outer.close_on_expiry,
    )


def check_step_up(needed: StepUp, caller: Principal, now: float) -> None:
    """Refuse if the authentication behind the token is too weak or too old.

    Args:
        needed: what the route demands.
        caller: who calls; the claims `acr` and `auth_time` are read.
        now: seconds since 1970-01-01 UTC.

    Raises:
        StepUpNeeded: 401 with `acr_values` and `max_age` (RFC 9470 section 3).
    """
    if needed.acr and caller.claims.get("acr") not in needed.acr:
        raise StepUpNeeded("A stronger authentication is required.", acr=needed.acr, max_age=needed.max_age)
    if needed.max_age is not None:
        at = caller.claims.get("auth_time")
        # Written so that not-a-number refuses; what lies in the future would stay recent for as long as it liked.
        if not isinstance(at, int | float) or isinstance(at, bool) or not -CLOCK_SKEW <= now - at <= needed.max_age:
            raise StepUpNeeded("A more recent authentication is required.", acr=needed.acr, max_age=needed.max_age)


def settled_twice(path: str, how: str = "its own declaration") -> str:
    """What is wrong where `mounts=` names what is settled already; one of the two would never be asked.

    Args:
        path: of what is served.
        how: what settles it.
    """
    return f"{path or '/'} is settled twice: by {how} and by mounts=. Keep one of them."


def idle_mounts(unused: Collection[str], by_themselves: Collection[str]) -> Iterator[ConfigurationError]:
    """What is wrong with the paths of `mounts=` that settle nothing: what was meant is open to whatever `default=` says.

    Args:
        unused: the paths.
        by_themselves: where something is served that declares something itself.
    """
    for path in sorted(unused):
        if path in by_themselves:
            yield ConfigurationError(settled_twice(path))
    nothing = sorted(set(unused).difference(by_themselves))
    if nothing:
        yield ConfigurationError(
            f"mounts= settles paths at which nothing is served: {', '.join(nothing)}. "
            "What was meant is open to whatever default= says."
        )
