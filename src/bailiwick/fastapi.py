"""The guard for FastAPI.

    from bailiwick.fastapi import Guard

    guard = Guard(catalog, verifier)
    app = FastAPI()
    guard.protect(app)

    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]): ...

Requirements are declared in FastAPI's own ways. When the application starts, `protect` reads them
from the dependency tree that FastAPI will run, and puts a gate in front of each route: a request
is refused before its body is read and before any other dependency runs. What the guard supplies to
handlers then no longer goes through FastAPI's solver.
"""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Final

from fastapi import FastAPI, params
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowAuthorizationCode, OAuthFlowClientCredentials, OAuthFlowPassword
from fastapi.openapi.models import OAuthFlows as OAuthFlowsModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response

from . import asgi
from ._asgi.declared import Public, as_requirement, closes_on_expiry, step_up_of
from ._fastapi import internals
from ._fastapi.declarations import Anonymous, Need
from ._fastapi.protection import Protection, protection_of
from .errors import BailiwickError, ConfigurationError
from .graph import Plan
from .scopes import Catalog, Ownership, Principal, Requirement, Rule, all_of, any_of
from .starlette import answer_here

__all__ = ["Guard", "Ownership"]

DOCUMENTATION: Final = "API documentation"
KEPT_RULES: Final = 4096


class Guard(asgi.Guard, SecurityBase):
    """Guards the routes of a FastAPI application.

    Args:
        catalog: the scopes that exist.
        verifier: proves who calls; `await verifier.verify(token)` returns a `Principal`.
        token_url: the authority's token endpoint, for OpenAPI and Swagger UI.
        authorization_url: the authority's authorization endpoint; documents code + PKCE.
        password_flow: document the password flow, which Swagger UI can log in with.
        client_credentials_flow: document the client credentials flow.
        scheme_name: the name of the security scheme in OpenAPI.
        description: the description of the security scheme.
        options: what `bailiwick.asgi.Guard` takes: `realm`, `resource`, `resource_metadata`, `disclose_scopes`,
            `on_decision`, `on_expiry`, `now`.

    Source: RFC 6750; OpenAPI 3.1 section 4.8.27.
    """

    def __init__(
        self,
        catalog: Catalog,
        verifier: asgi.Verifier,
        *,
        token_url: str | None = None,
        authorization_url: str | None = None,
        password_flow: bool = True,
        client_credentials_flow: bool = False,
        scheme_name: str = "oauth2",
        description: str | None = None,
        **options: Any,
    ) -> None:
        internals.check_version()
        asgi.Guard.__init__(self, catalog, verifier, **options)
        self.scheme_name = scheme_name
        self.anonymous = Anonymous(self)
        self._rules: dict[tuple[str, ...], Rule] = {}
        # FastAPI reads it anew for each route that mentions the guard.
        self.__signature__ = inspect.signature(self.__call__)
        described = {name: scope.description for name, scope in catalog.scopes.items()}
        flows = OAuthFlowsModel()
        if authorization_url is not None:
            flows.authorizationCode = OAuthFlowAuthorizationCode(
                authorizationUrl=authorization_url,
                tokenUrl=token_url or "token",
                refreshUrl=token_url,
                scopes=described,
            )
        if password_flow:
            flows.password = OAuthFlowPassword(tokenUrl=token_url or "token", refreshUrl=token_url, scopes=described)
        if client_credentials_flow:
            flows.clientCredentials = OAuthFlowClientCredentials(tokenUrl=token_url or "token", scopes=described)
        self.model = OAuth2Model(flows=flows, description=description)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    # -- declared ------------------------------------------------------------------------------

    def requires(
        self,
        *scopes: str | Requirement,
        acr: str | Sequence[str] = (),
        max_age: int | None = None,
        on_expiry: str | None = None,
    ) -> Any:
        """What an operation needs: all of these scopes or requirements; none means any valid token.

        Use it in `dependencies=[...]` of app, router or route, or for a parameter, which then
        receives the `Principal`: `caller: Annotated[Principal, guard.requires("users:read")]`.

        Args:
            scopes: scope names or requirements.
            acr: acceptable authentication context classes (RFC 9470).
            max_age: the greatest age of the authentication in seconds (RFC 9470).
            on_expiry: "close" ends a long response or stream when the token expires.

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        requirement = as_requirement(scopes, self.catalog, where="requires()")
        step_up = step_up_of(acr if isinstance(acr, str) else tuple(acr), max_age)
        return self._declare(Need(self, requirement, step_up=step_up, close_on_expiry=closes_on_expiry(on_expiry)))

    def optional(self, *scopes: str | Requirement) -> Any:
        """Where a caller may be anonymous: no token gives None, a bad token is always answered 401.

        Args:
            scopes: what a caller needs who does present a token.
        """
        requirement = as_requirement(scopes, self.catalog, where="optional()")
        return self._declare(Need(self, requirement, optional=True))

    def owner_or(self, anyone: str | Requirement, *, own: str | Requirement) -> Any:
        """Own things with `own`, anybody's with `anyone`; the parameter receives an `Ownership`.

        Args:
            anyone: what is needed to touch what belongs to others, such as "posts:admin".
            own: what is needed to touch one's own, such as "posts:write".

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        wide, narrow = all_of(anyone), all_of(own)
        requirement = as_requirement((any_of(narrow, wide),), self.catalog, where="owner_or()")
        return self._declare(Need(self, requirement, owner=wide))

    def public(self, reason: str) -> Any:
        """State that a route is open to everyone.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return params.Depends(Public(reason))

    def _declare(self, need: Need) -> Any:
        return params.Depends(need)

    # -- as a dependency: Security(guard, scopes=[...]) ----------------------------------------------

    async def __call__(self, conn: HTTPConnection, security_scopes: SecurityScopes) -> Principal:
        """What FastAPI runs where no gate decided before: verify once, then check this place's scopes.

        Raises:
            BailiwickError: the refusal; it is answered as RFC 6750 says.
        """
        answer_here(conn.scope, BailiwickError, self.handle_error)
        caller = await self.authenticate(conn.scope)
        if security_scopes.scopes:
            rule = self._rule(tuple(security_scopes.scopes))
            if not rule.allows(caller.held):
                caller.require(rule.requirement)
        return caller

    def _rule(self, scopes: tuple[str, ...]) -> Rule:
        rule = self._rules.get(scopes)
        if rule is None:
            rule = self.catalog.compile(all_of(*scopes), where="Security(scopes=...)")
            # Scopes stand in declarations, of which there are few; but nothing keeps others from making them.
            if len(self._rules) < KEPT_RULES:
                self._rules[scopes] = rule
        return rule

    async def handle_error(self, _request: Request, error: Exception) -> Response:
        """The exception handler that answers Bailiwick's errors exactly.

        Args:
            error: a `BailiwickError`.
        """
        if not isinstance(error, BailiwickError):
            raise error
        answer = self.challenge.answer(error)
        return Response(answer.body, status_code=answer.status, headers=answer.text_headers)

    # -- the whole application ------------------------------------------------------------------------

    def protect(
        self,
        app: FastAPI,
        *,
        docs: Any = Public(DOCUMENTATION),  # noqa: B008 - immutable
        mounts: Mapping[str, Any] | None = None,
        default: Any = None,
    ) -> None:
        """Close an application by default, and refuse early.

        When the application starts, every reachable route must have a requirement or a reason to
        be public; otherwise the start fails with one error that lists them all.

        Args:
            app: the application; routes may be added before or after this call.
            docs: what its documentation pages and OpenAPI document need: `guard.requires(...)`,
                `guard.public(...)`, or None to treat them like any other route.
            mounts: what mounted applications need, by their path.
            default: what a route needs that declares nothing.

        Raises:
            ConfigurationError: the app is protected already, or an argument is not a declaration.
        """
        if not isinstance(app, FastAPI):
            raise ConfigurationError(f"protect() takes a FastAPI application, not a {type(app).__name__}.")
        if protection_of(app) is not None:
            raise ConfigurationError("This application is protected already.")
        settled = {path: self._settling(value, f"mounts[{path!r}]") for path, value in (mounts or {}).items()}
        Protection(self, app, self._settling(docs, "docs"), settled, self._settling(default, "default")).install()

    def plan(self, app: FastAPI) -> Plan:
        """What every route of a protected application needs: the object that is enforced.

        Args:
            app: an application given to `protect`.

        Raises:
            ConfigurationError: it is not protected, or a route is declared wrongly.
        """
        protection = protection_of(app)
        if protection is None or protection.guard is not self:
            raise ConfigurationError("This application is not protected; call guard.protect(app) first.")
        return protection.compile()

    def _settling(self, value: Any, where: str) -> Need | Public | None:
        """What `docs=`, `mounts=` and `default=` take: the result of `requires`, `optional` or `public`."""
        if isinstance(value, params.Depends):
            value = value.dependency
        if isinstance(value, Need) and value.guard is not self:
            raise ConfigurationError(f"{where} was made by another guard; its tokens would not be verified here.")
        if value is None or isinstance(value, Need | Public):
            return value
        raise ConfigurationError(
            f"{where} takes guard.requires(...) or guard.public(...), not a {type(value).__name__}."
        )
