"""What a route's dependency tree declares, read from the tree that FastAPI will run."""

from typing import Any

from fastapi.security.base import SecurityBase

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import Dependant
from bailiwick.frameworks.fastapi.scope_dependency import Anonymous, ScopeDependency
from bailiwick.graph import StepUp
from bailiwick.guard.dependencies import is_uncalled
from bailiwick.guard.policy import Public
from bailiwick.guard.signature_checks import check_inert_scopes
from bailiwick.scopes import Catalog, Requirement, all_of

__all__ = [
    "Declared",
    "Part",
    "check_scopes_are_read",
    "documentation_paths",
    "read_tree",
    "settle",
]


# The calls from the route down to the guard, and what is required there.
Part = tuple[tuple[Any, ...], Requirement | None]


class Declared:
    """What one route's dependency tree declares for one guard."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.optional: list[Part] = []
        self.public: list[Public] = []
        # The other guards and schemes that FastAPI finds in the tree.
        self.others: list[Any] = []
        # Nodes that are given scopes which nothing at or below them looks at.
        self.unread: list[Dependant] = []
        self.step_up: StepUp | None = None
        self.close_on_expiry = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing settles the route."""
        return not (self.parts or self.optional or self.public)


def settle(declared: Declared, settled: ScopeDependency | Public | None) -> None:
    """Add a declaration that does not come from the dependency tree."""
    if isinstance(settled, Public):
        declared.public.append(settled)
    elif settled is not None:
        _add_need(declared, settled, settled.requirement)


def _add_need(
    declared: Declared,
    need: ScopeDependency,
    requirement: Requirement | None,
    above: tuple[Any, ...] = (),
    where: str = "",
) -> None:
    if need.optional:
        declared.optional.append(((*above, need), requirement))
    else:
        declared.parts.append(((*above, need), requirement))
    if need.step_up is not None:
        try:
            declared.step_up = need.step_up if declared.step_up is None else declared.step_up & need.step_up
        except ConfigurationError as bad:
            raise ConfigurationError(f"{where}: {bad.description}", id=bad.id) from bad
    declared.close_on_expiry = declared.close_on_expiry or need.close_on_expiry


def check_scopes_are_read(declared: Declared, where: str, catalog: Catalog) -> None:
    """Refuse scopes that look like protection, and that nothing enforces.

    Args:
        declared: what the route declares.
        where: the route's name for messages.
        catalog: the guard's.

    Raises:
        ConfigurationError: there are such scopes.
    """
    for node in declared.unread:
        name = getattr(node.call, "__name__", type(node.call).__name__)
        check_inert_scopes(
            where, name, node.own_oauth_scopes or (), catalog, is_guarded=bool(declared.parts) or declared.is_empty
        )


def _scopes_of(node: Dependant, where: str) -> Requirement | None:
    """The scopes that a node sees: those of the places above it, then its own."""
    names = dict.fromkeys([*(node.parent_oauth_scopes or ()), *(node.own_oauth_scopes or ())])
    if not names:
        return None
    try:
        return all_of(*names)
    except ConfigurationError as bad:
        raise ConfigurationError(f"{where}: {bad.description}", id=bad.id) from bad


def read_tree(guard: Any, node: Dependant, declared: Declared, where: str, above: tuple[Any, ...] = ()) -> None:
    """Collect what a route's tree declares for this guard; FastAPI ANDs all of it, and so does the plan.

    Args:
        guard: whose declarations count.
        node: FastAPI's tree of the route.
        declared: what is added to.
        where: the route's name for messages.
        above: the calls between the route and this node.

    Raises:
        ConfigurationError: scopes that break the grammar, or that nothing would look at.
    """
    for child in node.dependencies:
        call: Any = child.call
        if is_uncalled(call):
            raise ConfigurationError(
                f"{where}: Depends(guard.{call.__name__}) checks nothing; write guard.{call.__name__}(...) without Depends.",
                id="BW123",
            )
        if isinstance(call, ScopeDependency) and call.guard is guard:
            inherited = _scopes_of(child, where)
            if inherited is None or call.requirement is None:
                requirement = call.requirement or inherited
            else:
                requirement = inherited & call.requirement
            _add_need(declared, call, requirement, above, where)
        elif call is guard:
            declared.parts.append(((*above, call), _scopes_of(child, where)))
        elif isinstance(call, Public):
            declared.public.append(call)
        else:
            other = call.guard if isinstance(call, ScopeDependency | Anonymous) else call
            if isinstance(other, SecurityBase) and other is not guard and other not in declared.others:
                declared.others.append(other)
            if child.own_oauth_scopes and not _reads_scopes(child):
                declared.unread.append(child)
            read_tree(guard, child, declared, where, (*above, call))


def _reads_scopes(node: Dependant) -> bool:
    # FastAPI's own schemes only read a header: scopes beside one are documented, and nothing checks them
    # (fastapi-azure-auth#197). A scheme that looks at scopes says so in its signature, as any function does.
    return (
        node.security_scopes_param_name is not None
        or isinstance(node.call, ScopeDependency | Anonymous)
        or any(_reads_scopes(child) for child in node.dependencies)
    )


def documentation_paths(app: Any) -> set[str]:
    """List the paths at which an application serves its OpenAPI document and pages."""
    names = ("openapi_url", "docs_url", "redoc_url", "swagger_ui_oauth2_redirect_url")
    return {path for name in names if (path := getattr(app, name, None))}
