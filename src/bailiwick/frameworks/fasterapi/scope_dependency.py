"""Declares what a route requires, as dependencies of FasterAPI: a requirement, ownership, nested scopes.

Each also enforces itself where nothing protects the application: FasterAPI then runs it, and it must
never find less to check than was written.
"""

import logging
from typing import Any

from bailiwick.errors import BailiwickError, ConfigurationError
from bailiwick.frameworks.fasterapi.compat import Depends, PlainSecurityScopes, Request, connection_of
from bailiwick.graph.dependant import describe
from bailiwick.guard.dependencies import ScopeDependencyBase
from bailiwick.guard.policy import Public
from bailiwick.scopes import Requirement

__all__ = ["PublicDependency", "ScopeDependency", "SecurityMarker", "SecurityScopes"]

log = logging.getLogger("bailiwick.guard")


class SecurityScopes(PlainSecurityScopes):  # type: ignore[misc]  # FasterAPI ships no types
    """Holds the scopes that a dependency is asked for: those of everything above it, outermost first, then its own.

    FasterAPI's class of this name stays empty; a parameter annotated with either is filled by this door.

    Args:
        scopes: the names, each once.

    Attributes:
        scopes: the names; the list is the receiver's own.
        scope_str: the names joined by spaces.

    Source: RFC 6749 section 3.3 for the joined form.
    """

    __slots__ = ()

    scopes: list[str]
    scope_str: str

    def __init__(self, scopes: list[str] | None = None) -> None:
        super().__init__(scopes)


class ScopeDependency(ScopeDependencyBase, Depends):  # type: ignore[misc]  # FasterAPI ships no types
    """Declares a requirement; made by `guard.requires` and `require_scope`. Equal by value.

    It is a marker and the dependency that it marks at once, so that it stands as a default, in
    `Annotated`, in `dependencies=[...]` and inside `Depends(...)`.
    """

    def __init__(self, guard: Any, requirement: Requirement | None, **more: Any) -> None:
        Depends.__init__(self, self)
        self._declare(guard, requirement, **more)

    async def __call__(self, request: Request, security_scopes: SecurityScopes | None = None) -> Any:
        """What FasterAPI runs where no gate decided before.

        Raises:
            HTTPException: the refusal.
            ConfigurationError: `require_scope` was used in an application that no guard protects.
        """
        guard = self.guard
        if guard is None:
            # FasterAPI answers 500 to what it does not know, and tells nobody why.
            wrong = f"{self!r} belongs to no guard. Call guard.protect(app), or write guard.require_scope(...)."
            log.error(wrong)
            raise ConfigurationError(wrong)
        conn = connection_of(request)
        if self.optional and not any(name == b"authorization" for name, _ in conn["headers"]):
            return None
        try:
            return self.check(await guard.authorize(conn, security_scopes.scopes if security_scopes else ()))
        except BailiwickError as error:
            raise guard.as_http(error) from error


class PublicDependency(Depends):  # type: ignore[misc]  # FasterAPI ships no types
    """Marks a route as open to everyone; made by `guard.public`."""

    def __init__(self, public: Public) -> None:
        super().__init__(public)


class SecurityMarker(Depends):  # type: ignore[misc]  # FasterAPI ships no types
    """Marks a dependency on something with scopes, which is read from it when an application is protected.

    Args:
        target: what is depended on; None for the class in the parameter's annotation.
        scopes: the scopes, all of which are needed; None where only the dependency's own count.
        dependency: what FasterAPI is told to run, in an application that nothing protects.
        use_cache: whether a value made for the same scopes in the same request may be shared.
    """

    __slots__ = ("scopes", "target")

    def __init__(self, target: Any, scopes: tuple[str, ...] | None, dependency: Any, *, use_cache: bool) -> None:
        self.target = target
        self.scopes = scopes
        super().__init__(dependency, use_cache=use_cache)

    def __repr__(self) -> str:
        named = "..." if self.target is None else describe(self.target)
        return f"Security({named}, scopes={list(self.scopes or ())!r})"
