"""The guard for any ASGI application, and the gate that all doors put in front of their routes.

    from bailiwick.asgi import Guard

    guard = Guard(catalog, verifier)
    app = guard.wrap(app, all_of("reports:read"))

A gate decides from the request's headers alone: before the body is read, before a WebSocket is
accepted, and before anything of the application runs.
"""

import inspect
import logging
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

import anyio

from bailiwick.errors import (
    BailiwickError,
    ConfigurationError,
    InsufficientScope,
    InvalidToken,
    MissingCredentials,
)
from bailiwick.graph.plan import Access, Kind, Plan, RoutePlan, StepUp, combine
from bailiwick.scopes import Catalog, Denied, Principal, Requirement, ScopeSet, all_of
from bailiwick.tokens.bearer import Challenge, StepUpNeeded, bearer_token

__all__ = ["Decision", "Guard", "Public", "Resource", "Verifier"]

log = logging.getLogger("bailiwick.guard")

Conn = MutableMapping[str, Any]  # an ASGI connection scope; "scope" means an OAuth scope in this project
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Conn, Receive, Send], Awaitable[None]]

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
NOBODY: Final = Principal("", ScopeSet())  # stands for "no credentials"; compared by identity, never passed on


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


@dataclass(frozen=True, slots=True)
class Public:
    """The statement that something is open to everyone, with the reason.

    Raises:
        ConfigurationError: the reason is empty: it is what a reviewer reads.
    """

    reason: str

    def __post_init__(self) -> None:
        if not isinstance(self.reason, str) or not self.reason.strip():
            raise ConfigurationError('public() needs a reason, such as guard.public("liveness probe").')

    async def __call__(self) -> None:
        """Nothing to do: as a dependency it lets everyone pass."""


@dataclass(frozen=True, slots=True)
class Resource:
    """The protected resource that a guard stands for, as clients discover it.

    Args:
        identifier: its URL, which is also the audience of its tokens.
        authorization_servers: the issuers whose tokens it takes.
        name: what people call it.
        documentation: URL of the developers' documentation, or None.

    Raises:
        ConfigurationError: the identifier is no absolute URL without query and fragment.

    Source: RFC 9728 section 2.
    """

    identifier: str
    authorization_servers: tuple[str, ...] = ()
    name: str = ""
    documentation: str | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.identifier)
        if parts.scheme not in {"https", "http"} or not parts.netloc or parts.query or parts.fragment:
            raise ConfigurationError(
                f"A resource identifier is an absolute URL without query and fragment, not {self.identifier!r}."
            )

    @property
    def metadata_path(self) -> str:
        """Where its metadata is served: the well-known part is put before the path (RFC 9728 section 3.1)."""
        return "/.well-known/oauth-protected-resource" + urlsplit(self.identifier).path.rstrip("/")

    @property
    def metadata_url(self) -> str:
        """The URL that challenges name."""
        parts = urlsplit(self.identifier)
        return f"{parts.scheme}://{parts.netloc}{self.metadata_path}"


def as_requirement(scopes: tuple[str | Requirement, ...], catalog: Catalog, *, where: str = "") -> Requirement | None:
    """What `requires(*scopes)` means: all of them; nothing means "any valid token".

    Raises:
        ConfigurationError: a scope is unknown to the catalog, or something is not a scope.
    """
    if not scopes:
        return None
    requirement = all_of(*scopes)
    catalog.compile(requirement, where=where)
    return requirement


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
        now: Callable[[], float] = time.time,
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
        self._verify_cached: Callable[[str], Principal | None] = getattr(verifier, "verify_cached", _never_cached)
        # One key for each guard: two guards with different verifiers never take over each other's caller.
        self._key = f"bailiwick.caller.{id(self)}"
        self._proof = f"bailiwick.proof.{id(self)}"  # the header that the caller was proved by
        self._set_challenge(Challenge(realm, resource_metadata, disclose_scopes))

    def __setattr__(self, name: str, value: object) -> None:
        # Gates are compiled from these; an exchange would reach some of them and not others.
        if name in _FIXED and hasattr(self, name):
            raise AttributeError(f"A guard's {name} cannot be exchanged; make another guard.")
        object.__setattr__(self, name, value)

    def _set_challenge(self, challenge: Challenge) -> None:
        self.challenge = challenge
        # The most frequent refusal is made once: a flood without tokens costs next to nothing.
        self._no_credentials = MissingCredentials("Authentication is required.")
        self._no_credentials_answer = challenge.answer(self._no_credentials)

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
        where = path or getattr(app, "__qualname__", type(app).__name__)
        both, rule = combine(needed, self.catalog, where=where)
        step_up = step_up_of(acr, max_age)
        route = RoutePlan(
            path,
            (),
            Kind.MOUNT,
            where,
            "",
            Access.GUARDED,
            both,
            rule=rule,
            step_up=step_up,
            close_on_expiry=closes_on_expiry(on_expiry),
        )
        return Gate(self, route, app)

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
        found: Principal | None = conn.get(self._key)
        # A copy of a connection, with headers of its own, does not inherit who called on the other.
        return found if found is not None and conn.get(self._proof) == _authorization(conn) else None

    async def authenticate(self, conn: Conn) -> Principal:
        """Prove who calls, once for each request however many guards the tree holds.

        Args:
            conn: the ASGI connection scope.

        Raises:
            BailiwickError: no credentials, bad credentials, or no way to tell.
        """
        token = bearer_token(conn["headers"], conn.get("query_string", b""))
        proof = _authorization(conn)
        known: Principal | None = conn.get(self._key)
        # A connection may be a copy of another, with headers of its own, as in an endpoint that takes batches.
        if known is not None and conn.get(self._proof) == proof:
            return known
        caller = (await self.verifier.verify(token)).under(self.catalog)
        conn[self._key] = caller
        conn[self._proof] = proof
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
            raise error
        return caller

    async def _decide(self, route: RoutePlan, conn: Conn) -> Principal | None:
        if route.access is Access.UNDECLARED:
            raise InsufficientScope(
                "This route is closed.", detail=f"{route.label} is not part of the plan", id="BW303"
            )
        if route.access is Access.OPTIONAL:
            if _authorization(conn) is None:
                conn.pop(self._key, None)  # of the connection that this one was copied from
                return None
        elif route.access is Access.PUBLIC:
            return None
        caller = await self.authenticate(conn)
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

    async def refuse(self, error: BailiwickError, conn: Conn, receive: Receive, send: Send) -> None:
        """Send a refusal: an HTTP answer, or for a WebSocket a denial before it is accepted.

        Args:
            error: what to say.
            conn: the ASGI connection scope.
            receive: ASGI receive; the body of the request is not read.
            send: ASGI send.
        """
        if error is self._no_credentials:
            answer = self._no_credentials_answer
        else:
            answer = self.challenge.answer(error)
            log.info("refused: %s %s: %s", error.status, error.id, error.detail)
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


class Gate:
    """One guarded ASGI application: decides, then passes the connection on.

    Args:
        guard: who decides.
        route: the entry of the plan that is enforced here.
        app: what is guarded.
    """

    __slots__ = ("_headers_only", "app", "guard", "route")

    def __init__(self, guard: Guard, route: RoutePlan, app: ASGIApp) -> None:
        self.guard = guard
        self.route = route
        self.app = app
        self._headers_only = (
            route.access is Access.GUARDED
            and route.step_up is None
            and guard.on_decision is None
            and not route.close_on_expiry
        )

    async def __call__(self, conn: Conn, receive: Receive, send: Send) -> None:
        """Decide, and call the application or refuse."""
        await self.enter(conn, receive, send)

    def enter(self, conn: Conn, receive: Receive, send: Send) -> Awaitable[None]:
        """Decide, and return what is to be awaited.

        It is no coroutine itself: a layer of one costs more than the decision. Servers recognise an
        application by its coroutine, though, and call the gate.
        """
        kind = conn["type"]
        if kind == "http":
            if self._headers_only:
                caller = self._known(conn)
                if caller is NOBODY:
                    guard = self.guard
                    return guard.refuse(guard._no_credentials, conn, receive, send)  # noqa: SLF001 - gate and guard are one
                if caller is not None:
                    return self.app(conn, receive, send)
        elif kind == "lifespan":
            return self.app(conn, receive, send)
        elif kind != "websocket":
            raise RuntimeError(f"A gate lets no connection of the unknown type {kind!r} through.")
        return self._enter(conn, receive, send)

    async def _enter(self, conn: Conn, receive: Receive, send: Send) -> None:
        guard = self.guard
        try:
            caller = await guard.admit(self.route, conn)
        except BailiwickError as error:
            await guard.refuse(error, conn, receive, send)
            return
        lasting = conn["type"] == "websocket" and guard.on_expiry == "close"
        if caller is not None and (lasting or self.route.close_on_expiry):
            await self._until_expiry(caller, conn, receive, send)
        else:
            await self.app(conn, receive, send)

    def _known(self, conn: Conn) -> Principal | None:
        """The path of nearly every request: a token that was verified before, and scopes that suffice.

        `NOBODY` means that there is no credential at all, None "not so simple": `admit` then decides from the start.
        """
        guard = self.guard
        value = None
        for name, content in conn["headers"]:
            if name == b"authorization":
                if value is not None:
                    return None
                value = content
        if value is None:
            return NOBODY
        if value[:7] != b"Bearer " or b"access_token=" in conn.get("query_string", b""):
            return None
        try:
            caller = guard._verify_cached(value[7:].decode("ascii"))  # noqa: SLF001
        except UnicodeDecodeError:
            return None
        if caller is None:
            return None
        caller = caller.under(guard.catalog)
        rule = self.route.rule
        if rule is not None and not rule.allows(caller.held):
            return None
        conn[guard._key] = caller  # noqa: SLF001
        conn[guard._proof] = value  # noqa: SLF001
        return caller

    async def _until_expiry(self, caller: Principal, conn: Conn, receive: Receive, send: Send) -> None:
        """Run the application, and end the connection at the token's `exp` (MCP SDK #2718, CVE-2026-33946)."""
        if caller.expires_at is None:
            await self.app(conn, receive, send)
            return
        begun = closed = False

        async def watched(message: Message) -> None:
            nonlocal begun, closed
            begun = True
            closed = closed or message["type"] == "websocket.close"
            await send(message)

        left = caller.expires_at - self.guard.now()
        with anyio.move_on_after(max(left, 0)) as window:
            await self.app(conn, receive, watched)
        if window.cancelled_caught and conn["type"] == "websocket" and not closed:
            log.info("the token of %r expired; the WebSocket %s is closed", caller.subject, self.route.label)
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "token expired"})
        elif window.cancelled_caught and not begun:
            await self.guard.refuse(InvalidToken("The access token has expired.", id="BW208"), conn, receive, send)


def closes_on_expiry(on_expiry: str | None) -> bool:
    """What `on_expiry=` of one route means.

    Raises:
        ConfigurationError: it is misspelt, and would be ignored.
    """
    if on_expiry not in {None, "close", "ignore"}:
        raise ConfigurationError(f'on_expiry is "close" or "ignore", not {on_expiry!r}.')
    return on_expiry == "close"


def step_up_of(acr: str | tuple[str, ...], max_age: int | None) -> StepUp | None:
    """What `acr=` and `max_age=` mean, or None if neither was given.

    Raises:
        ConfigurationError: `max_age` is no whole number of seconds.
    """
    if isinstance(acr, str):
        acr = (acr,)
    if max_age is not None and (not isinstance(max_age, int) or isinstance(max_age, bool) or max_age < 0):
        raise ConfigurationError(f"max_age is a whole number of seconds, 0 or more, not {max_age!r}.")
    return StepUp(tuple(acr), max_age) if acr or max_age is not None else None


def check_step_up(needed: StepUp, caller: Principal, now: float) -> None:
    """Refuse if the authentication behind the token is too weak or too old.

    Args:
        needed: what the route demands.
        caller: who calls; the claims `acr` and `auth_time` are read.
        now: seconds since 1970-01-01 UTC.

    Raises:
        StepUpNeeded: 401 with `acr_values` and `max_age` (RFC 9470 section 3).
    """
    if needed.acr and caller.claims.get("acr") not in needed.acr:
        raise StepUpNeeded("A stronger authentication is required.", acr=needed.acr, max_age=needed.max_age)
    if needed.max_age is not None:
        at = caller.claims.get("auth_time")
        # Written so that not-a-number refuses.
        if not isinstance(at, int | float) or isinstance(at, bool) or not now - at <= needed.max_age:
            raise StepUpNeeded("A more recent authentication is required.", acr=needed.acr, max_age=needed.max_age)


# What a guard decides by, and its gates were compiled from.
_FIXED: Final = frozenset({"catalog", "on_decision", "on_expiry", "resource", "verifier"})


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


def _authorization(conn: Conn) -> bytes | None:
    for name, content in conn["headers"]:
        if name == b"authorization":
            value: bytes = content
            return value
    return None


def _never_cached(_token: str) -> None:
    return None
