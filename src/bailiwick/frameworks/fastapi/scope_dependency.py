"""What a route can declare, as dependencies of FastAPI: a requirement, ownership, or an anonymous caller."""

import inspect
from typing import Any, Final, NoReturn

from fastapi import params
from fastapi.security import SecurityScopes
from starlette.requests import HTTPConnection

from bailiwick.errors import ConfigurationError
from bailiwick.frameworks.fastapi.compat import is_overridden, solve_here
from bailiwick.guard.dependencies import ScopeDependencyBase
from bailiwick.scopes import Ownership, Principal, Requirement

__all__ = ["Anonymous", "Declaration", "ScopeDependency"]


_CONNECTION: Final = inspect.Parameter("conn", inspect.Parameter.KEYWORD_ONLY, annotation=HTTPConnection)


class Declaration(params.Depends):
    """Marks what `guard.requires(...)`, `optional`, `owner_or` and `public` declare; FastAPI takes it wherever it takes `Depends(...)`."""

    def __call__(self, *_values: object, **_more: object) -> NoReturn:
        """Refuse to decorate.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "guard.requires(...) decorates no FastAPI function: write @app.get(..., dependencies=[guard.requires(...)]), or take "
            "caller: Annotated[Principal, guard.requires(...)] as a parameter.",
            id="BW123",
        )

    @property
    def __signature__(self) -> inspect.Signature:
        # FastAPI asks for it where this is wrapped once more.
        raise ConfigurationError(
            "guard.requires(...) is a dependency already: write it without Depends(...).", id="BW123"
        )


class ScopeDependency(ScopeDependencyBase):
    """A requirement as a dependency of FastAPI; made by `guard.requires`. Equal by value.

    Its own dependency is the guard, so `app.dependency_overrides[guard]` reaches it too.
    """

    def __init__(self, guard: Any, requirement: Requirement | None, **more: Any) -> None:
        self._declare(guard, requirement, **more)
        scopes = list(requirement.smallest) if requirement is not None and len(requirement.alternatives) == 1 else []
        source: Any = guard.anonymous if self.optional else guard
        caller = inspect.Parameter(
            "caller", inspect.Parameter.KEYWORD_ONLY, default=params.Security(source, scopes=scopes)
        )
        self.__signature__ = inspect.Signature([_CONNECTION, caller])

    async def __call__(self, *, conn: HTTPConnection, caller: Any) -> Any:
        """Check the requirement of whoever the guard found; reached only where no gate decided before."""
        if caller is None or is_overridden(self.guard, conn) or is_overridden(self.guard.anonymous, conn):
            # Anonymous where that is fine, or a stand-in from app.dependency_overrides.
            if self.owner is not None and isinstance(caller, Principal):
                return Ownership(caller.under(self.guard.catalog), self.owner)
            return caller
        return self.check(caller)


class Anonymous:
    """The guard's dependency where a caller may be anonymous: no token is None, a bad token always 401.

    FastAPI looks for a stand-in by what the tree holds, which is this and not the guard; so it looks for the guard's itself.
    """

    def __init__(self, guard: Any) -> None:
        self.guard = guard

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anonymous) and self.guard is other.guard

    def __hash__(self) -> int:
        return hash((Anonymous, id(self.guard)))

    async def __call__(self, conn: HTTPConnection, security_scopes: SecurityScopes) -> Principal | None:
        """The caller, or None without credentials; in a test whatever stands in for the guard."""
        if is_overridden(self.guard, conn):
            return await solve_here(self.guard, security_scopes.scopes, conn)  # type: ignore[no-any-return]
        if "authorization" not in conn.headers:
            return None
        caller: Principal = await self.guard(conn, security_scopes)
        return caller
