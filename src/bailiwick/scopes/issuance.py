"""The one formula by which scopes are issued."""

from __future__ import annotations

from dataclasses import dataclass

from bailiwick.errors import InvalidScope

from .catalog import Catalog
from .grammar import ScopeSet, shown
from .held import Held

__all__ = ["Ceilings", "issue"]


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Everything that bounds what may be issued; each is a set of scopes, wildcards allowed.

    Args:
        client: what the client may ever get.
        resource: what the resource (the API) knows, or None for the whole catalog.
        subject: the person's roles and direct grants; None for a client that acts for itself.
        authorization: what was consented to and not withdrawn; None where no consent is involved.
        presented: the scopes of the token that is refreshed or exchanged; None where there is none.
    """

    client: ScopeSet
    resource: ScopeSet | None = None
    subject: ScopeSet | None = None
    authorization: ScopeSet | None = None
    presented: ScopeSet | None = None


def issue(
    catalog: Catalog,
    requested: ScopeSet | None,
    default: ScopeSet,
    within: Ceilings,
    *,
    issue_wildcards: bool = False,
) -> ScopeSet:
    """The one scope formula: what an issuance gives, whatever the grant, refresh and exchange included.

        issued = (requested, or the default) & client & resource & subject & authorization & presented

    A scope passes a ceiling when the ceiling *covers* it and all that it would cover in a token: a
    person whose role holds `users:*` may be issued `users:read`, and one who holds the superuser scope
    anything that the client may have.

    Args:
        catalog: the scopes that exist.
        requested: what the client asked for; None if it did not say.
        default: what it gets if it did not say.
        within: the ceilings.
        issue_wildcards: keep wildcards as they are instead of expanding them (rule 8).

    Returns:
        The scopes to issue, concrete, never empty.

    Raises:
        InvalidScope: a requested scope is unknown (it names it), or nothing is left to issue.
    """
    wanted = default if requested is None else requested
    if requested is not None:
        for name in requested:
            if not catalog.knows(name):
                raise InvalidScope(f"The scope {shown(name)} is unknown.", id="BW405")
    concrete = catalog.expand(wanted)
    bounds = [
        catalog.hold(bound)
        for bound in (within.client, within.resource, within.subject, within.authorization, within.presented)
        if bound is not None
    ]
    passed = [name for name in concrete if name in catalog and all(_within(catalog, name, bound) for bound in bounds)]
    if issue_wildcards:
        passed = _contract(catalog, wanted, passed)
    if not passed:
        raise InvalidScope("None of the requested scopes may be issued here.", id="BW405")
    return ScopeSet(passed)


def _within(catalog: Catalog, name: str, bound: Held) -> bool:
    # Not merely "the ceiling covers the name": a ceiling that *implies* the catalogued `admin:*` covers
    # that name and nothing below it (wildcards first, implications after), whereas a token that carries
    # `admin:*` covers everything below. What is issued must never reach further than its ceiling.
    return not catalog.hold([name]).mask & ~bound.mask


def _contract(catalog: Catalog, wanted: ScopeSet, passed: list[str]) -> list[str]:
    """Put a wanted wildcard back in place of its expansion, where all of its expansion passed."""
    left = dict.fromkeys(passed)
    for name in wanted:
        below = catalog.expand([name])
        if name not in catalog and below and all(one in left for one in below):
            for one in below:
                left.pop(one)
            left[name] = None
    return list(left)
