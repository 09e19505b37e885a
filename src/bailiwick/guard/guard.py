"""The base of every Guard: what is declared, who calls, and how a refusal is answered."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from bailiwick.errors import BailiwickError, ConfigurationError, InsufficientScope, MissingCredentials
from bailiwick.graph.plan import Access, Kind, Plan, RoutePlan, combine
from bailiwick.guard.asgi_types import ASGIApp, Conn, Receive, Send, authorization_of
from bailiwick.guard.gate import POLICY_VIOLATION, Gate, gate_around, tells, verify_now_of
from bailiwick.guard.policy import Public, check_step_up, closes_on_expiry, step_up_of
from bailiwick.guard.protected_resource import Resource
from bailiwick.scopes import Catalog, Denied, Principal, Requirement, all_of
from bailiwick.tokens.bearer import Challenge, bearer_token
from bailiwick.tokens.clock import system_clock
from bailiwick.tokens.verify import FORGERY

__all__ = ["Decision", "Guard", "Verifier"]

log = logging.getLogger("bailiwick.guard")


class Verifier(Protocol):
    """Anything that proves who calls: `JWTVerifier`, the authority's own verifier, an issuer's."""

    async def verify(self, token: str) -> Principal:
        """Return who calls.

        Raises:
            InvalidToken: the token is not acceptable.
            Unavailable: it cannot be decided now.
        """
        ...


@dataclass(frozen=True, slots=True)
class Decision:
    """What a guard decided about one request; handed to `on_decision`. It never holds the token.

    Attributes:
        route: the entry of the plan.
        principal: who called, if that was proved.
        error: the refusal, or None if the request was let through.
    """

    route: RoutePlan
    principal: Principal | None
    error: BailiwickError | None

    @property
    def allowed(self) -> bool:
        """Whether the request was let through."""
        return self.error is None


class Guard:
    """Decides who may pass: declare what is needed, and wrap what is to be protected.

    Args:
        catalog: the scopes that exist.
        verifier: proves who calls; `await verifier.verify(token)` returns a `Principal`.
        realm: the protection space named in challenges.
        resource: what this API is to OAuth clients; `protect` then serves its metadata, and challenges name it.
        resource_metadata: URL of a metadata document (RFC 9728) that somebody else serves, or None.
        disclose_scopes: whether a refusal says which scopes would have been needed.
        on_decision: a plain function, called with a `Decision` after each decision of a gate, which is to say in an
            application given to `protect` or `wrap`; if it raises, the request is denied and the failure logged.
        on_expiry: "close" ends a WebSocket when its token expires, with code 1008; "ignore" lets it live.
        now: the clock, in seconds since 1970-01-01 UTC.

    Source: RFC 6750 section 3; RFC 9728 section 5.1.
    """

    def __init__(
        self,
        catalog: Catalog,
        verifier: Verifier,
        *,
        realm: str = "api",
        resource: Resource | None = None,
        resource_metadata: str | None = None,
        disclose_scopes: bool = True,
        on_decision: Callable[[Decision], None] | None = None,
        on_expiry: str = "close",
        now: Callable[[], float] = system_clock,
    ) -> None:
        if not isinstance(catalog, Catalog):
            raise ConfigurationError(f"A guard needs a Catalog, not a {type(catalog).__name__}.")
        if not callable(getattr(verifier, "verify", None)):
            raise ConfigurationError("A guard needs a verifier with an async verify(token) method.")
        if on_expiry not in {"close", "ignore"}:
            raise ConfigurationError('on_expiry is "close" or "ignore".')
        _check_hook(on_decision)
        if resource_metadata is not None and not urlsplit(resource_metadata).scheme:
            raise ConfigurationError("resource_metadata is an absolute URL (RFC 9728 section 5.1).")
        if resource is not None and resource_metadata is not None:
            raise ConfigurationError("Give a guard resource or resource_metadata, not both.")
        if resource is not None:
            resource_metadata = resource.metadata_url
        self.resource = resource
        self.catalog = catalog
        self.verifier = verifier
        self.on_decision = on_decision
        self.on_expiry = on_expiry
        self.now = now
        # One key for each guard: two guards with different verifiers never take over each other's caller.
        self._key = f"bailiwick.caller.{id(self)}"
        self._proof = f"bailiwick.proof.{id(self)}"  # the header that the caller was proved by
        self._answered = f"bailiwick.answered.{id(self)}"  # whom `authenticate` named, and from which headers
        self.challenge = Challenge(realm, resource_metadata, disclose_scopes)
        self._no_credentials = MissingCredentials("Authentication is required.")
        # What a flood consists of is written once, so that it costs next to nothing.
        floods: tuple[BailiwickError, ...] = (self._no_credentials, FORGERY)
        self._answers = {error: self.challenge.answer(error) for error in floods}
        # Who derives a guard to refuse more means each request.
        self._decides_alone = all(getattr(type(self), name) is getattr(Guard, name) for name in _DECIDING)
        self._tell = tells(verify_now_of(verifier), catalog, self._key, self._proof, self._no_credentials)

    def __setattr__(self, name: str, value: object) -> None:
        # Gates are compiled from these; an exchange would reach some of them and not others.
        if name in _FIXED and hasattr(self, name):
            raise AttributeError(f"A guard's {name} cannot be exchanged; make another guard.")
        object.__setattr__(self, name, value)

    # -- declared ------------------------------------------------------------------------------

    def public(self, reason: str) -> Any:
        """State that something is open to everyone.

        Args:
            reason: why; it stands in the plan, for whoever reviews it.
        """
        return Public(reason)

    def wrap(
        self,
        app: ASGIApp,
        requirement: Requirement | str | None = None,
        *,
        path: str = "",
        acr: str | tuple[str, ...] = (),
        max_age: int | None = None,
        on_expiry: str | None = None,
    ) -> "Gate":
        """Put a gate in front of any ASGI application: a mounted framework, static files, anything.

        Args:
            app: the application; HTTP and WebSocket connections are guarded, the lifespan passes.
            requirement: what is needed; None means any valid token.
            path: where it is mounted, for the plan.
            acr: acceptable authentication context classes (RFC 9470).
            max_age: the greatest age of the authentication, in seconds (RFC 9470).
            on_expiry: "close" also ends long HTTP responses when the token expires.

        Raises:
            ConfigurationError: the requirement names a scope that is not catalogued.
        """
        needed = [all_of(requirement)] if requirement is not None else []
        name = getattr(app, "__name__", type(app).__name__)
        both, rule = combine(needed, self.catalog, where=path or name)
        step_up = step_up_of(acr, max_age)
        route = RoutePlan(
            path,
            (),
            Kind.MOUNT,
            name,
            "",
            Access.GUARDED,
            both,
            rule=rule,
            step_up=step_up,
            close_on_expiry=closes_on_expiry(on_expiry),
        )
        return gate_around(app, Gate, self, route)

    def resource_document(self, plan: Plan) -> dict[str, Any]:
        """The protected resource metadata, written from the plan: the scopes that some route really needs.

        Args:
            plan: of the application.

        Raises:
            ConfigurationError: the guard was made without `resource=`.

        Source: RFC 9728 section 2.
        """
        if self.resource is None:
            raise ConfigurationError("This guard stands for no resource; make it with resource=Resource(...).")
        document: dict[str, Any] = {
            "resource": self.resource.identifier,
            "authorization_servers": list(self.resource.authorization_servers),
            "scopes_supported": list(plan.scopes),
            "bearer_methods_supported": ["header"],
        }
        if self.resource.name:
            document["resource_name"] = self.resource.name
        if self.resource.documentation:
            document["resource_documentation"] = self.resource.documentation
        # Section 3.2: "parameters with zero values MUST be omitted".
        return {name: value for name, value in document.items() if value}

    # -- decided, for each request -----------------------------------------------------------------

    def caller(self, conn: Conn) -> Principal | None:
        """Who was let through on this connection, or None.

        Args:
            conn: the ASGI connection scope, as `request.scope` in Starlette.
        """
        if not self._decides_alone:
            known: tuple[Any, Principal] | None = conn.get(self._answered)
            return known[1] if known is not None and known[0] == tuple(conn["headers"]) else None
        found: Principal | None = conn.get(self._key)
        # A copy of a connection, with headers of its own, does not inherit who called on the other.
        return found if found is not None and conn.get(self._proof) == authorization_of(conn) else None

    async def authenticate(self, conn: Conn) -> Principal:
        """Prove who calls, once for each request however many guards the tree holds.

        Args:
            conn: the ASGI connection scope.

        Raises:
            BailiwickError: no credentials, bad credentials, or no way to tell.
        """
        token = bearer_token(conn["headers"], conn.get("query_string", b""))
        proof = authorization_of(conn)
        known: Principal | None = conn.get(self._key)
        # A connection may be a copy of another, with headers of its own, as in an endpoint that takes batches.
        if known is not None and conn.get(self._proof) == proof:
            return known
        caller = (await self.verifier.verify(token)).under(self.catalog)
        conn[self._key] = caller
        conn[self._proof] = proof
        return caller

    async def _named(self, conn: Conn) -> Principal:
        """Whom `authenticate` names, asked once for each request: a derived guard may name another at each call.

        Raises:
            BailiwickError: the refusal.
        """
        known: tuple[Any, Principal] | None = conn.get(self._answered)
        # A connection may be a copy of another, with headers of its own; and who reads headers may exchange the list of them.
        asked = tuple(conn["headers"])
        if known is not None and known[0] == asked:
            return known[1]
        caller = (await self.authenticate(conn)).under(self.catalog)
        conn[self._answered] = (asked, caller)
        return caller

    async def admit(self, route: RoutePlan, conn: Conn) -> Principal | None:
        """Decide about one connection; the caller, or None where anonymous is fine.

        Args:
            route: the entry of the plan.
            conn: the ASGI connection scope.

        Raises:
            BailiwickError: the refusal.
        """
        if self.on_decision is None:
            return await self._decide(route, conn)
        error: BailiwickError | None = None
        try:
            caller = await self._decide(route, conn)
        except BailiwickError as refusal:
            error, caller = refusal, conn.get(self._key)
        try:
            _heard(self.on_decision(Decision(route, caller, error)))
        except Exception as broken:
            # A hook may write an audit trail that must not have gaps: fail closed, and say so.
            log.exception("on_decision failed for %s; the request is denied", route.label)
            raise InsufficientScope("The request was denied.", id="BW302") from broken
        if error is not None:
            try:
                raise error
            finally:
                del error  # it knows this frame by now
        return caller

    async def _decide(self, route: RoutePlan, conn: Conn) -> Principal | None:
        if route.access is Access.UNDECLARED:
            raise InsufficientScope(
                "This route is closed.", detail=f"{route.label} is not part of the plan", id="BW303"
            )
        if route.access is Access.OPTIONAL:
            if authorization_of(conn) is None:
                conn.pop(self._key, None)  # of the connection that this one was copied from
                return None
        elif route.access is Access.PUBLIC:
            return None
        caller = await (self.authenticate(conn) if self._decides_alone else self._named(conn))
        rule = route.rule
        if rule is not None and not rule.allows(caller.held):
            decision = rule.decide(caller.held)
            assert isinstance(decision, Denied)  # noqa: S101 - allows() said no a line above
            raise InsufficientScope(
                "The token's scopes are too few for this operation.",
                required=str(decision.required),
                detail=f"{route.label}: {caller.subject!r} lacks {str(decision.missing)!r}",
            )
        if route.step_up is not None:
            check_step_up(route.step_up, caller, self.now())
        return caller

    def note(self, error: BailiwickError) -> None:
        """Log a refusal, for whoever is to know of it.

        Args:
            error: why.
        """
        if error is not self._no_credentials:  # of which every browser sends some
            # What is wrong with the server nobody else is told.
            level = log.error if error.status == 500 else log.info
            level("refused: %s %s: %s", error.status, error.id, error.detail)

    async def refuse(self, error: BailiwickError, conn: Conn, receive: Receive, send: Send) -> None:
        """Send a refusal: an HTTP answer, or for a WebSocket a denial before it is accepted.

        Args:
            error: what to say.
            conn: the ASGI connection scope.
            receive: ASGI receive; the body of the request is not read.
            send: ASGI send.
        """
        answer = self._answers.get(error) or self.challenge.answer(error)
        self.note(error)
        prefix = "http.response"
        if conn["type"] == "websocket":
            await receive()  # websocket.connect; the ASGI specification wants it taken before an answer
            if "websocket.http.response" not in (conn.get("extensions") or {}):
                await send(
                    {"type": "websocket.close", "code": POLICY_VIOLATION, "reason": error.code or "unauthorized"}
                )
                return
            prefix = "websocket.http.response"
        await send({"type": f"{prefix}.start", "status": answer.status, "headers": list(answer.headers)})
        await send({"type": f"{prefix}.body", "body": answer.body})


# What a guard decides by, and its gates were compiled from.
_FIXED: Final = frozenset({"catalog", "on_decision", "on_expiry", "resource", "verifier"})


# What decides about a connection; a gate takes its short way past it only where nobody has changed it.
_DECIDING: Final = ("admit", "authenticate", "_decide")


def _check_hook(hook: Any) -> None:
    """Refuse a hook that nobody would hear: a coroutine function would be called and never awaited."""
    if hook is None:
        return
    if not callable(hook):
        raise ConfigurationError(f"on_decision is a function, not a {type(hook).__name__}.")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
        raise ConfigurationError("on_decision is a plain function: an async one would never be awaited.")


def _heard(returned: Any) -> None:
    """Insist that a hook has run: what is to be awaited has not."""
    if inspect.isawaitable(returned):
        close = getattr(returned, "close", None)
        if close is not None:
            close()
        raise TypeError("on_decision returned something to await; it must be a plain function")
