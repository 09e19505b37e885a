"""The guard for Starlette's routes, mounts and WebSockets.

from bailiwick.starlette import Guard

guard = Guard(catalog, verifier)

@guard.requires("reports:read")
async def report(request):
    caller = guard.caller(request.scope)
    ...

app = Starlette(routes=[Route("/report", report), Mount("/files", guard.wrap(StaticFiles(...), "files:read"))])
guard.protect(app)
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.websockets import WebSocket

from . import asgi
from .errors import BailiwickError, ConfigurationError
from .frameworks.starlette.adapter import ReadingAdapter, StarletteAdapter, is_starlettes
from .frameworks.starlette.compat import lift_body_limit
from .frameworks.starlette.endpoint_metadata import MARK, PublicMark
from .frameworks.starlette.endpoints import RequirementMark
from .frameworks.starlette.error_handlers import answer
from .graph import Access, Kind, Plan, RoutePlan, combine
from .guard.asgi_types import Conn, Receive, Send
from .guard.policy import OnExpiry, as_requirement, closes_on_expiry, step_up_of
from .guard.protection import Protection, protection_of
from .scopes import Requirement

__all__ = ["Guard"]


class Guard(asgi.Guard):
    """Guards Starlette endpoints, routes and whole applications.

    Takes what `bailiwick.asgi.Guard` takes.

    Source: RFC 6750 section 3.
    """

    def requires(
        self,
        *scopes: str | Requirement,
        acr: str | Sequence[str] = (),
        max_age: int | None = None,
        on_expiry: OnExpiry | None = None,
    ) -> RequirementMark:
        """Decorate an endpoint: a function (sync or async) or a class, for HTTP or WebSocket.

        Args:
            scopes: scope names or requirements, all of which are needed; none means any valid token.
            acr: acceptable authentication context classes (RFC 9470).
            max_age: the greatest age of the authentication in seconds (RFC 9470).
            on_expiry: "close" ends a long response when the token expires.

        Raises:
            ConfigurationError: a scope is not in the catalog.
        """
        requirement = as_requirement(scopes, self.catalog, where="requires()")
        return self._mark(
            Access.GUARDED,
            requirement,
            step_up=step_up_of(acr if isinstance(acr, str) else tuple(acr), max_age),
            close_on_expiry=closes_on_expiry(on_expiry),
        )

    def optional(self, *scopes: str | Requirement) -> RequirementMark:
        """Decorate an endpoint for which a caller may be anonymous; a bad token is always answered 401.

        Args:
            scopes: what a caller needs who does present a token.
        """
        return self._mark(Access.OPTIONAL, as_requirement(scopes, self.catalog, where="optional()"))

    def public(self, reason: str) -> PublicMark:  # type: ignore[override]  # each framework has its own form
        """State that an endpoint is open to everyone; also for `default=` and `mounts=` of `protect`.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return PublicMark(reason)

    def _mark(self, access: Access, requirement: Requirement | None, **more: Any) -> RequirementMark:
        both, rule = combine([requirement] if requirement is not None else [], self.catalog, where="requires()")
        return RequirementMark(self, RoutePlan("", (), Kind.HTTP, "", "", access, both, rule=rule, **more))

    def protect(
        self,
        app: Starlette,
        *,
        mounts: Mapping[str, RequirementMark | PublicMark] | None = None,
        default: RequirementMark | PublicMark | None = None,
        report_only: bool = False,
    ) -> None:
        """Close an application by default: its start fails if a reachable route is not settled.

        Args:
            app: the application; routes may be added before or after this call.
            mounts: what mounted applications need, by their path: `guard.requires(...)` or `guard.public(...)`.
            default: what a route needs that declares nothing.
            report_only: log what is not settled and what would be refused, and enforce nothing by it: for trying the guard out in an API
                that runs. What a route declares itself enforces itself, as without `protect`.

        Raises:
            ConfigurationError: the application is not Starlette's own or protected already, or an argument is not a declaration.
        """
        if not isinstance(app, Starlette) or not is_starlettes(app):
            raise ConfigurationError(
                f"protect() takes a Starlette application, not a {type(app).__name__}; for FastAPI there is bailiwick.fastapi."
            )
        if protection_of(app) is not None:
            raise ConfigurationError("This application is protected already.")
        for where, value in [("default", default), *(mounts or {}).items()]:
            if value is not None and not isinstance(getattr(value, MARK, None), RoutePlan):
                raise ConfigurationError(f"{where} takes guard.requires(...) or guard.public(...).")
            if getattr(value, "guard", self) is not self:
                raise ConfigurationError(f"{where} was made by another guard; its tokens would not be verified here.")
        if self.resource is not None:
            app.router.routes.insert(0, Route(self.resource.metadata_path, self._metadata_of(app)))
        Protection(StarletteAdapter(), self, app, mounts=mounts, default=default, report_only=report_only).install()

    def plan(self, app: Starlette) -> Plan:
        """What every reachable route of an application needs; of one that is not protected, what it declares.

        Args:
            app: the application.

        Raises:
            ConfigurationError: a route of a protected application is not settled.
        """
        protection = protection_of(app)
        if protection is not None:
            return protection.settle()
        return Protection(ReadingAdapter(), self, app).read()

    def _metadata_of(self, app: Starlette) -> Callable[[Request], Response]:
        def metadata(_request: Request) -> Response:
            return JSONResponse(self.resource_document(self.plan(app)))

        endpoint: Callable[[Request], Response] = self.public("protected resource metadata (RFC 9728)")(metadata)
        return endpoint

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
