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
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from fastapi import FastAPI
from fastapi.openapi.models import OAuth2 as OAuth2Model
from fastapi.openapi.models import OAuthFlowAuthorizationCode, OAuthFlowClientCredentials, OAuthFlowPassword
from fastapi.openapi.models import OAuthFlows as OAuthFlowsModel
from fastapi.security import SecurityScopes
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from . import asgi
from .errors import BailiwickError, ConfigurationError
from .frameworks.fastapi import compat
from .frameworks.fastapi.adapter import FastAPIAdapter
from .frameworks.fastapi.scope_dependency import Anonymous, Declaration, ScopeDependency
from .frameworks.starlette.compat import lift_body_limit
from .frameworks.starlette.error_handlers import answer, answer_here
from .graph import Plan
from .guard.asgi_types import Conn, Receive, Send
from .guard.decision import Render
from .guard.dependencies import DOCUMENTATION, DeclaringGuard, endpoints_of
from .guard.policy import OnExpiry, Public
from .guard.protection import Protection, protection_of
from .scopes import Catalog, Ownership, Principal, Requirement
from .tokens.clock import system_clock

__all__ = ["Guard", "Ownership"]


class Guard(DeclaringGuard[Declaration], SecurityBase):
    """Guards the routes of a FastAPI application.

    Args:
        catalog: the scopes that exist.
        verifier: proves who calls; `await verifier.verify(token)` returns a `Principal`.
        token_url: the authority's token endpoint, for OpenAPI and Swagger UI. By default what the verifier says of itself, as
            that of an authority in this process does; else "token".
        authorization_url: the authority's authorization endpoint; documents code + PKCE. By default likewise; else none.
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

    Source: RFC 6750; OpenAPI 3.1 section 4.8.27.
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
        compat.check_version()
        DeclaringGuard.__init__(
            self,
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
        self.anonymous = Anonymous(self)
        # FastAPI reads it anew for each route that mentions the guard.
        self.__signature__ = inspect.signature(self.__call__)
        described = {name: scope.description for name, scope in catalog.scopes.items()}
        token_url, authorization_url = endpoints_of(verifier, token_url, authorization_url)
        self._documents_code_flow = authorization_url is not None
        flows = OAuthFlowsModel()
        if authorization_url is not None:
            flows.authorizationCode = OAuthFlowAuthorizationCode(
                authorizationUrl=authorization_url,
                tokenUrl=token_url or "token",
                refreshUrl=token_url,
                scopes=described,
            )
        if password_flow or (password_flow is None and authorization_url is None):
            flows.password = OAuthFlowPassword(tokenUrl=token_url or "token", refreshUrl=token_url, scopes=described)
        if client_credentials_flow:
            flows.clientCredentials = OAuthFlowClientCredentials(tokenUrl=token_url or "token", scopes=described)
        self.model = OAuth2Model(flows=flows, description=description)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    # -- declared ------------------------------------------------------------------------------

    def public(self, reason: str) -> Declaration:  # type: ignore[override]  # each framework has its own form
        """State that a route is open to everyone.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return Declaration(Public(reason))

    def _declaration(self, requirement: Requirement | None, **more: Any) -> Declaration:
        return Declaration(ScopeDependency(self, requirement, **more))

    @property
    def dependency(self) -> NoReturn:
        """Refuse to be taken for `Depends(...)`, as FastAPI takes what stands in `dependencies=[...]`.

        Raises:
            ConfigurationError: always.
        """
        raise ConfigurationError(
            "A guard is no dependency by itself: write guard.requires(...), or Security(guard, scopes=[...]).",
            id="BW123",
        )

    # -- as a dependency: Security(guard, scopes=[...]) ----------------------------------------------

    async def __call__(self, conn: HTTPConnection, security_scopes: SecurityScopes) -> Principal:
        """What FastAPI runs where no gate decided before: verify once, then check this place's scopes.

        Raises:
            BailiwickError: the refusal; it is answered as RFC 6750 says.
        """
        self._warn_unprotected()
        answer_here(conn.scope, BailiwickError, self.handle_error)
        caller = await self.identify(conn.scope)
        self._insist(caller, security_scopes.scopes)
        return caller

    async def refuse(self, error: BailiwickError, conn: Conn, receive: Receive, send: Send) -> None:
        """Send a refusal: an HTTP answer, or for a WebSocket a denial before it is accepted. It comes before a limit of the body's size.

        Args:
            error: what to say.
            conn: the ASGI connection scope.
            receive: ASGI receive; the body of the request is not read.
            send: ASGI send.
        """
        lift_body_limit(conn)
        await super().refuse(error, conn, receive, send)

    async def handle_error(self, conn: Request | WebSocket, error: Exception) -> Response | None:
        """The exception handler that answers Bailiwick's errors exactly; a WebSocket that was accepted is closed (1008).

        Args:
            conn: the request or the WebSocket that was handled.
            error: a `BailiwickError`.
        """
        return await answer(self, error, conn)

    # -- the whole application ------------------------------------------------------------------------

    def protect(
        self,
        app: FastAPI,
        *,
        docs: Declaration | Public | None = Public(DOCUMENTATION),  # noqa: B008 - immutable
        mounts: Mapping[str, Declaration | Public | None] | None = None,
        default: Declaration | Public | None = None,
        report_only: bool = False,
    ) -> None:
        """Close an application by default, and refuse early.

        When the application starts, every reachable route must have a requirement or a reason to
        be public; otherwise the start fails with one error that lists them all.

        FastAPI's documentation page is set to use PKCE where the guard knows an authorization endpoint and the application says nothing
        of it (`swagger_ui_init_oauth`).

        Args:
            app: the application; routes may be added before or after this call.
            docs: what its documentation pages and OpenAPI document need: `guard.requires(...)`,
                `guard.public(...)`, or None to treat them like any other route.
            mounts: what mounted applications need, by their path.
            default: what a route needs that declares nothing.
            report_only: log what is not settled and what would be refused, and enforce nothing by it: for trying the guard out in an API
                that runs. What a route declares itself enforces itself, as without `protect`.

        Raises:
            ConfigurationError: the app is protected already, an argument is not a declaration, or the guard's class
                overrides `__call__`.
        """
        if type(self).__call__ is not Guard.__call__:
            raise ConfigurationError(
                f"{type(self).__name__} overrides __call__, which never runs under protect(); "
                "override authenticate() instead.",
                id="BW123",
            )
        if not isinstance(app, FastAPI):
            raise ConfigurationError(f"protect() takes a FastAPI application, not a {type(app).__name__}.")
        if protection_of(app) is not None:
            raise ConfigurationError("This application is protected already.")
        self._note_protection()
        if self._documents_code_flow and app.swagger_ui_init_oauth is None:
            # Swagger UI sends no challenge by itself, and every authority that keeps to RFC 9700 section 2.1.1 refuses it.
            app.swagger_ui_init_oauth = {"usePkceWithAuthorizationCodeGrant": True}
        settled = {path: self._settling(value, f"mounts[{path!r}]") for path, value in (mounts or {}).items()}
        docs, default = self._settling(docs, "docs"), self._settling(default, "default")
        protection = Protection(
            FastAPIAdapter(self, docs), self, app, docs=docs, mounts=settled, default=default, report_only=report_only
        )
        protection.install()
        if self.resource is not None:
            # Before all others: a catch-all or a mount at "/" would take what clients look for (RFC 9728 section 3).
            protection.metadata = Route(
                self.resource.metadata_path, self._metadata_of(protection), include_in_schema=False
            )
            compat.serve_first(app.router, protection.metadata)

    def _metadata_of(self, protection: Protection) -> Any:
        async def metadata(_request: Request) -> JSONResponse:
            return JSONResponse(self.resource_document(protection.settle()))

        return metadata

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
        return protection.settle()
