"""The base of every Guard: what is declared, who calls, and how a refusal is answered."""

import inspect
import logging
import re
from collections.abc import Callable, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from bailiwick.errors import BailiwickError, ConfigurationError, MissingCredentials
from bailiwick.graph.plan import Access, Kind, Plan, RoutePlan, combine
from bailiwick.guard.asgi_types import ASGIApp, Conn, Receive, Send, authorization_of
from bailiwick.guard.decision import (
    Decision,
    Refusals,
    Render,
    Verifier,
    identify,
    read_credentials,
    verify,
    verify_now_of,
)
from bailiwick.guard.gate import Gate, gate_around
from bailiwick.guard.policy import OnExpiry, Public, closes_on_expiry, step_up_of
from bailiwick.guard.protected_resource import Resource
from bailiwick.guard.token_deadline import POLICY_VIOLATION
from bailiwick.scopes import Catalog, Principal, Requirement, all_of
from bailiwick.tokens.bearer import Challenge
from bailiwick.tokens.clock import system_clock

__all__ = ["Guard"]

log = logging.getLogger("bailiwick.guard")


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
        render: a plain function that is given a refusal and returns its content: the media type and the octets, as in
            `("application/problem+json", b"...")`. Status and challenge stay what they are. If it raises, or a server's fault is answered,
            the content is that of the contract.
        websocket_subprotocol: lets a WebSocket, for which a browser can send no `Authorization`, bring its token as the sub-protocol
            `NAME.TOKEN`, the token in base64url without padding; None takes none. It is taken out of the handshake: neither
            the application nor its log sees it, and a client offers a second sub-protocol, which the application accepts.
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
        on_expiry: OnExpiry = "close",
        render: Render | None = None,
        websocket_subprotocol: str | None = None,
        now: Callable[[], float] = system_clock,
    ) -> None:
        if not isinstance(catalog, Catalog):
            raise ConfigurationError(f"A guard needs a Catalog, not a {type(catalog).__name__}.")
        _check_verifier(verifier)
        if websocket_subprotocol is not None and not _SUBPROTOCOL.fullmatch(websocket_subprotocol):
            raise ConfigurationError(
                f"websocket_subprotocol is the name of a sub-protocol (RFC 6455 section 4.1), not {websocket_subprotocol!r}."
            )
        if on_expiry not in {"close", "ignore"}:
            raise ConfigurationError('on_expiry is "close" or "ignore".')
        _check_hook(on_decision)
        if resource_metadata is not None and not urlsplit(resource_metadata).scheme:
            raise ConfigurationError("resource_metadata is an absolute URL (RFC 9728 section 5.1).")
        if resource is not None and resource_metadata is not None:
            raise ConfigurationError("Give a guard resource or resource_metadata, not both.")
        if resource is not None:
            resource_metadata = resource.metadata_url
            if resource.scopes_supported:
                catalog.check(all_of(*resource.scopes_supported), where="Resource(scopes_supported=...)")
        self.resource = resource
        self.catalog = catalog
        self.verifier = verifier
        self.on_decision = on_decision
        self.on_expiry = on_expiry
        self.now = now
        self.websocket_subprotocol = websocket_subprotocol
        self.challenge = Challenge(realm, resource_metadata, disclose_scopes)
        # What `decision` needs besides. One key for each guard: two with different verifiers never take over each other's caller.
        self.caller_key = f"bailiwick.caller.{id(self)}"
        self.proof_key = f"bailiwick.proof.{id(self)}"
        self.named_key = f"bailiwick.named.{id(self)}"
        self.refusals = Refusals(self.challenge, render)
        self.verify_now = verify_now_of(verifier)
        self.overrides_authenticate = type(self).authenticate is not Guard.authenticate

    def __setattr__(self, name: str, value: object) -> None:
        # Gates are compiled from these; an exchange would reach some of them and not others.
        if name in _FIXED and hasattr(self, name):
            raise AttributeError(f"A guard's {name} cannot be exchanged; make another guard.")
        object.__setattr__(self, name, value)

    # -- declared ------------------------------------------------------------------------------

    def public(self, reason: str) -> Public:
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
        acr: str | Sequence[str] = (),
        max_age: int | None = None,
        on_expiry: OnExpiry | None = None,
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
        step_up = step_up_of(acr if isinstance(acr, str) else tuple(acr), max_age)
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
            "scopes_supported": list(dict.fromkeys((*plan.scopes, *self.resource.scopes_supported))),
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
        if self.overrides_authenticate:
            known: tuple[Any, Principal] | None = conn.get(self.named_key)
            return known[1] if known is not None and known[0] == tuple(conn["headers"]) else None
        found: Principal | None = conn.get(self.caller_key)
        # A copy of a connection, with headers of its own, does not inherit who called on the other.
        return found if found is not None and conn.get(self.proof_key) == authorization_of(conn) else None

    async def authenticate(self, conn: Conn) -> Principal:
        """Prove who calls, once for each request however many guards the tree holds.

        A derived guard that refuses more, or names another caller, overrides this method and nothing else.

        Args:
            conn: the ASGI connection scope.

        Raises:
            BailiwickError: no credentials, bad credentials, or no way to tell.
        """
        credentials = read_credentials(self, conn)
        if isinstance(credentials, BailiwickError):
            try:
                raise credentials
            finally:
                del credentials  # it knows this frame by now
        if credentials is None:
            raise MissingCredentials("Authentication is required.")
        return await verify(self, conn, credentials)

    async def identify(self, conn: Conn) -> Principal:
        """Who calls, as `authenticate` names him; a derived guard's is asked once for each request.

        Args:
            conn: the ASGI connection scope.

        Raises:
            BailiwickError: the refusal.
        """
        return await identify(self, conn)

    def note(self, error: BailiwickError) -> None:
        """Log a refusal, for whoever is to know of it.

        Args:
            error: why.
        """
        if not isinstance(error, MissingCredentials):  # of which every browser sends some
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
        answer = self.refusals.answer(error)
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
_SUBPROTOCOL: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # a token of RFC 9110 section 5.6.2


def _check_verifier(verifier: object) -> None:
    """Refuse what cannot verify, and say what was meant.

    Raises:
        ConfigurationError: it has no method `verify`, or is a class.
    """
    name = verifier.__name__ if inspect.isclass(verifier) else type(verifier).__name__
    wrong = "A guard needs a verifier: an object with an async verify(token) method"
    if callable(getattr(verifier, "verifier", None)):  # an AuthorizationServer; or its class
        raise ConfigurationError(
            f"{wrong}. Of an {name} that is server.verifier(): write Guard(catalog, server.verifier())."
        )
    if inspect.ismethod(verifier) and verifier.__name__ == "verifier":
        raise ConfigurationError(f"{wrong}. Call the method: write Guard(catalog, server.verifier()).")
    if inspect.isclass(verifier):
        raise ConfigurationError(f"{wrong}, not a class: write Guard(catalog, {name}(...)).")
    if isinstance(verifier, Catalog):
        raise ConfigurationError(f"{wrong}, and the catalog first: write Guard(catalog, verifier).")
    if not callable(getattr(verifier, "verify", None)):
        raise ConfigurationError(f"{wrong}, not a {name}.")


def _check_hook(hook: Any) -> None:
    """Refuse a hook that nobody would hear: a coroutine function would be called and never awaited."""
    if hook is None:
        return
    if not callable(hook):
        raise ConfigurationError(f"on_decision is a function, not a {type(hook).__name__}.")
    if inspect.iscoroutinefunction(hook) or inspect.iscoroutinefunction(getattr(hook, "__call__", None)):  # noqa: B004
        raise ConfigurationError("on_decision is a plain function: an async one would never be awaited.")
