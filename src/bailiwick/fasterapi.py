"""The guard for FasterAPI.

    from bailiwick.fasterapi import Guard, Security

    guard = Guard(catalog, verifier)
    app = Faster()
    guard.protect(app)

    @app.get("/items")
    async def items(caller: Principal = Depends(guard.require_scope("items:read"))): ...

    @app.get("/users")
    async def users(caller: Annotated[Principal, Security(guard, scopes=["users:read"])]): ...

When the application starts, `protect` reads what each route declares and puts a gate behind FasterAPI's
own match: a request is refused before its body is read and before any other dependency runs. The
dependencies of a protected application are run by Bailiwick's solver, so that a guard runs in whatever form it is
written, and `SecurityScopes` are filled; path, query, header, form and body stay FasterAPI's business.

Without `protect`, what is declared on an HTTP route still enforces itself. WebSocket handlers are given no
dependencies by FasterAPI: only `protect` guards them.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from . import asgi
from .errors import BailiwickError, ConfigurationError
from .frameworks.fasterapi.compat import Faster, Request, check_version, connection_of
from .frameworks.fasterapi.error_handlers import Refusal, sent
from .frameworks.fasterapi.handlers import caller_of
from .frameworks.fasterapi.openapi import scheme_of
from .frameworks.fasterapi.protection import Protection, protection_of
from .frameworks.fasterapi.scope_dependency import PublicDependency, ScopeDependency, SecurityScopes
from .frameworks.fasterapi.security import Security
from .graph import Plan
from .guard.asgi_types import Conn
from .guard.decision import Render
from .guard.dependencies import DOCUMENTATION, DeclaringGuard, endpoints_of
from .guard.policy import OnExpiry, Public
from .scopes import Catalog, Ownership, Principal, Requirement, all_of
from .tokens.clock import system_clock

__all__ = ["Guard", "Ownership", "Security", "SecurityScopes", "require_scope"]


def require_scope(*names: str) -> ScopeDependency:
    """What an operation needs, in an application whose guard is known when it starts: all of these scopes.

    Use it in `Depends(require_scope("items:read"))`, as a default, or in `dependencies=[...]`; a
    parameter receives the `Principal`. The guard is the one that protects the application; where none
    does, every request is answered 500, and never let in.

    Args:
        names: scope names; the guard's catalog must know them.

    Raises:
        ConfigurationError: nothing was given, or a name breaks the grammar.
    """
    return ScopeDependency(None, all_of(*names))


class Guard(DeclaringGuard[ScopeDependency]):
    """Guards the routes of a FasterAPI application.

    Args:
        catalog: the scopes that exist.
        verifier: proves who calls; `await verifier.verify(token)` returns a `Principal`.
        token_url: the authority's token endpoint, for OpenAPI and Swagger UI. By default what the verifier says of itself, as
            that of an authority in this process does; else "token".
        authorization_url: the authority's authorization endpoint; documents the code flow. By default likewise; else none.
        password_flow: document the password flow. None documents it only where no authorization endpoint is known: Swagger UI
            stacks a form for each flow.
        client_credentials_flow: document the client credentials flow.
        scheme_name: the name of the security scheme in OpenAPI.
        description: the description of the security scheme.
        realm: the protection space named in challenges.
        resource: what this API is to OAuth clients; `protect` then serves its metadata, and challenges name it.
        resource_metadata: URL of a metadata document (RFC 9728) that somebody else serves, or None.
        disclose_scopes: whether a refusal says which scopes would have been needed.
        on_decision: a plain function, called with a `Decision` after each decision of a gate; if it raises, the request is denied.
        on_expiry: "close" ends a WebSocket when its token expires, with code 1008; "ignore" lets it live.
        render: a plain function that is given a refusal and returns its content, as for `bailiwick.asgi.Guard`.
        websocket_subprotocol: the name of a sub-protocol in which a WebSocket may bring its token, as for `bailiwick.asgi.Guard`.
        now: the clock, in seconds since 1970-01-01 UTC.

    Raises:
        ConfigurationError: the installed FasterAPI is not supported, or an argument is wrong.

    Source: RFC 6750; OpenAPI 3.0.3 section 4.7.28.
    """

    def __init__(
        self,
        catalog: Catalog,
        verifier: asgi.Verifier,
        *,
        token_url: str | None = None,
        authorization_url: str | None = None,
        password_flow: bool | None = None,
        client_credentials_flow: bool = False,
        scheme_name: str = "oauth2",
        description: str | None = None,
        realm: str = "api",
        resource: asgi.Resource | None = None,
        resource_metadata: str | None = None,
        disclose_scopes: bool = True,
        on_decision: Callable[[asgi.Decision], None] | None = None,
        on_expiry: OnExpiry = "close",
        render: Render | None = None,
        websocket_subprotocol: str | None = None,
        now: Callable[[], float] = system_clock,
    ) -> None:
        check_version()
        super().__init__(
            catalog,
            verifier,
            realm=realm,
            resource=resource,
            resource_metadata=resource_metadata,
            disclose_scopes=disclose_scopes,
            on_decision=on_decision,
            on_expiry=on_expiry,
            render=render,
            websocket_subprotocol=websocket_subprotocol,
            now=now,
        )
        self.scheme_name = scheme_name
        token_url, authorization_url = endpoints_of(verifier, token_url, authorization_url)
        self.scheme = scheme_of(
            catalog,
            token_url=token_url,
            authorization_url=authorization_url,
            password_flow=authorization_url is None if password_flow is None else password_flow,
            client_credentials_flow=client_credentials_flow,
            description=description,
        )

    # -- declared ------------------------------------------------------------------------------

    def require_scope(self, *names: str) -> ScopeDependency:
        """What an operation needs: all of these scopes; usable wherever `requires` is.

        Args:
            names: scope names.

        Raises:
            ConfigurationError: nothing was given, or a scope is not in the catalog.
        """
        requirement = all_of(*names)
        self.catalog.check(requirement, where="require_scope()")
        return self._declaration(requirement)

    def public(self, reason: str) -> PublicDependency:
        """State that a route is open to everyone.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return PublicDependency(Public(reason))

    def _declaration(self, requirement: Requirement | None, **more: Any) -> ScopeDependency:
        return ScopeDependency(self, requirement, **more)

    # -- as a dependency: Security(guard, scopes=[...]) ----------------------------------------------

    async def __call__(self, request: Request, security_scopes: SecurityScopes | None = None) -> Principal:
        """What runs where no gate decided before: verify once, then check this place's scopes.

        Raises:
            HTTPException: FasterAPI's own, with the challenge of RFC 6750.
        """
        conn = connection_of(request)
        try:
            return await self.authorize(conn, security_scopes.scopes if security_scopes is not None else ())
        except BailiwickError as error:
            raise self.as_http(error) from error

    async def authorize(self, conn: Conn, scopes: Sequence[str] = ()) -> Principal:
        """Prove who calls, and insist on scopes.

        Args:
            conn: the ASGI connection scope.
            scopes: all that are needed.

        Raises:
            BailiwickError: the refusal.
        """
        self._warn_unprotected()
        caller = await self.authenticate(conn)
        self._insist(caller, scopes)
        return caller

    def as_http(self, error: BailiwickError) -> Exception:
        """A refusal as FasterAPI's `HTTPException`: its status, and the exact challenge in its headers.

        Args:
            error: the refusal.
        """
        answer = self.challenge.answer(error)
        self.note(error)
        return Refusal(error, answer, "Internal server error." if answer.status == 500 else error.description)

    async def handle_error(self, _give_request: Any, error: Exception) -> Any:
        """An exception handler that answers Bailiwick's errors exactly, for an application without `protect`.

        Register it with `app.add_exception_handler(BailiwickError, guard.handle_error)` to have in-handler checks
        (`caller.require(...)`) answered; `protect` does so itself.

        Args:
            error: a `BailiwickError`.
        """
        if not isinstance(error, BailiwickError):
            raise error
        self.note(error)
        return sent(self.challenge.answer(error))

    def caller(self, conn: Any) -> Principal | None:
        """Who was let through, or None.

        Args:
            conn: FasterAPI's request or WebSocket, or an ASGI connection scope.
        """
        return caller_of(self, conn)

    # -- the whole application ------------------------------------------------------------------------

    def protect(
        self,
        app: Any,
        *,
        docs: ScopeDependency | PublicDependency | Public | None = Public(DOCUMENTATION),  # noqa: B008 - immutable
        mounts: Mapping[str, ScopeDependency | PublicDependency | Public | None] | None = None,
        default: ScopeDependency | PublicDependency | Public | None = None,
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
            ConfigurationError: the app is protected already, an argument is not a declaration, or the guard's class
                refuses more in a method that would never run.
        """
        for name in ("__call__", "authorize"):
            if getattr(type(self), name) is not getattr(Guard, name):
                raise ConfigurationError(
                    f"{type(self).__name__} overrides {name}(): override authenticate() instead; under protect() the "
                    "guard itself is never called by FasterAPI."
                )
        if not isinstance(app, Faster):
            raise ConfigurationError(f"protect() takes a FasterAPI application, not a {type(app).__name__}.")
        if protection_of(app) is not None:
            raise ConfigurationError("This application is protected already.")
        self._note_protection()
        settled = {path: self._settling(value, f"mounts[{path!r}]") for path, value in (mounts or {}).items()}
        Protection(self, app, self._settling(docs, "docs"), settled, self._settling(default, "default")).install()

    def plan(self, app: Any) -> Plan:
        """What every route of a protected application needs: the object that is enforced.

        Args:
            app: an application given to `protect`.

        Raises:
            ConfigurationError: it is not protected, or a route is declared wrongly.
        """
        protection = protection_of(app)
        if protection is None or protection.guard is not self:
            raise ConfigurationError("This application is not protected; call guard.protect(app) first.")
        return protection.finish()
