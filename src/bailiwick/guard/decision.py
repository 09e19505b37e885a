"""The one place where a connection is decided: credentials, principal, rule, step-up.

`decide` answers at once where it can, which is nearly always. What has to be awaited it hands back as a `NeedsAwait`, which carries on
with the credentials that were parsed. Nothing is raised: a decision is a value.
"""

from __future__ import annotations

import base64
import binascii
import inspect
import logging
from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from types import MethodType
from typing import Any, Final, Protocol, TypeVar

from bailiwick.errors import BailiwickError, InsufficientScope, InvalidToken, MissingCredentials, Refused
from bailiwick.graph.plan import Access, RoutePlan
from bailiwick.guard.asgi_types import Conn
from bailiwick.guard.policy import check_step_up
from bailiwick.scopes import Catalog, Denied, Principal
from bailiwick.tokens.bearer import BEARER, Answer, Challenge, StepUpNeeded, credentials_in, token_of
from bailiwick.tokens.verify import FORGERY

__all__ = [
    "Admitted",
    "Decider",
    "Decision",
    "NeedsAwait",
    "Refusals",
    "Render",
    "Verifier",
    "VerifyNow",
    "decide",
    "identify",
    "read_credentials",
    "strip_traceback",
    "verify",
    "verify_now_of",
]

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


Admitted = Principal | None  # the caller, or None where a caller may be anonymous
Error = TypeVar("Error", bound=BailiwickError)
Render = Callable[[BailiwickError], tuple[str, bytes]]
VerifyNow = Callable[[bytes], Principal | BailiwickError | None]


class Decider(Protocol):
    """What a decision needs of a guard."""

    catalog: Catalog
    verifier: Verifier
    verify_now: VerifyNow
    refusals: Refusals
    on_decision: Callable[[Decision], None] | None
    now: Callable[[], float]
    websocket_subprotocol: str | None
    # Whether a derived class has an `authenticate` of its own, which is asked then.
    overrides_authenticate: bool
    # Where a connection keeps the caller, the header that proved him, and whom `authenticate` named for which headers.
    caller_key: str
    proof_key: str
    named_key: str

    async def authenticate(self, conn: Conn) -> Principal:
        """Prove who calls."""
        ...


class NeedsAwait:
    """A decision that cannot be made at once: the verifier has to be awaited, or a derived guard's `authenticate`.

    Args:
        guard: who decides.
        route: the entry of the plan.
        conn: the ASGI connection scope.
        credentials: the value of its `Authorization` header; None where `authenticate` reads the connection itself.
    """

    __slots__ = ("_conn", "_credentials", "_guard", "_route")

    def __init__(self, guard: Decider, route: RoutePlan, conn: Conn, credentials: bytes | None) -> None:
        self._guard = guard
        self._route = route
        self._conn = conn
        self._credentials = credentials

    async def finish(self) -> Admitted | BailiwickError:
        """The decision: the caller, or the refusal."""
        guard, route, conn = self._guard, self._route, self._conn
        outcome: Admitted | BailiwickError
        try:
            if self._credentials is None:
                caller = await identify(guard, conn)
            else:
                caller = await verify(guard, conn, self._credentials)
        except BailiwickError as refusal:
            outcome = guard.refusals.for_route(strip_traceback(refusal), route)
        else:
            outcome = _test_rule(guard, route, caller)
        return outcome if guard.on_decision is None else _report(guard, route, conn, outcome)


def decide(guard: Decider, route: RoutePlan, conn: Conn) -> Admitted | BailiwickError | NeedsAwait:
    """Decide about one connection from its headers alone.

    Args:
        guard: who decides.
        route: the entry of the plan.
        conn: the ASGI connection scope.

    Returns:
        The caller, or None where anonymous is fine; the refusal; or what has to be awaited.
    """
    if guard.on_decision is None:
        return _decide(guard, route, conn)
    outcome = _decide(guard, route, conn)
    return outcome if isinstance(outcome, NeedsAwait) else _report(guard, route, conn, outcome)


def _decide(guard: Decider, route: RoutePlan, conn: Conn) -> Admitted | BailiwickError | NeedsAwait:
    access = route.access
    if access is _PUBLIC:
        return None
    if access is _UNDECLARED:
        return InsufficientScope("This route is closed.", detail=f"{route.label} is not part of the plan", id="BW303")
    if guard.websocket_subprotocol is None:
        credentials = credentials_in(conn["headers"], conn.get("query_string", b""))
    else:
        credentials = read_credentials(guard, conn)
    if credentials is None and access is _OPTIONAL:
        conn.pop(guard.caller_key, None)  # of the connection that this one was copied from
        return None
    if guard.overrides_authenticate:
        return NeedsAwait(guard, route, conn, None)
    if credentials is None:
        return guard.refusals.missing(route)
    if isinstance(credentials, BailiwickError):
        return guard.refusals.for_route(credentials, route)
    caller = guard.verify_now(credentials)
    if caller is None:
        return NeedsAwait(guard, route, conn, credentials)
    if not isinstance(caller, Principal):
        return guard.refusals.for_route(caller, route)
    caller = caller.under(guard.catalog)
    conn[guard.caller_key] = caller
    conn[guard.proof_key] = credentials
    return _test_rule(guard, route, caller)


# Python 3.11 takes ten times as long to find a member of an enumeration as a name of the module.
_PUBLIC: Final = Access.PUBLIC
_UNDECLARED: Final = Access.UNDECLARED
_OPTIONAL: Final = Access.OPTIONAL


def read_credentials(guard: Decider, conn: Conn) -> bytes | Refused | None:
    """The credentials of a connection, as they were sent: the value of its `Authorization` header.

    Args:
        guard: says whether a WebSocket may bring a token as one of its sub-protocols.
        conn: the ASGI connection scope.

    Returns:
        The value; None without one; or the refusal of what was presented twice, or in two places.

    Source: RFC 6750 sections 2 and 3.1.
    """
    if guard.websocket_subprotocol is not None and conn["type"] == "websocket":
        _take_subprotocol(guard.websocket_subprotocol, conn)
    return credentials_in(conn["headers"], conn.get("query_string", b""))


SUBPROTOCOLS: Final = b"sec-websocket-protocol"


def _take_subprotocol(prefix: str, conn: Conn) -> None:
    """Turn the sub-protocol `prefix.TOKEN`, the token in base64url, into an `Authorization` header.

    It is taken out of what the application sees, so that it is neither echoed in the handshake nor logged. What cannot
    be decoded stays as it is no token, and becomes an empty one.

    Source: Kubernetes' `base64url.bearer.authorization.k8s.io.`; RFC 6455 section 11.3.4 for the header.
    """
    offered: list[str] = list(conn.get("subprotocols") or ())
    carried = [one for one in offered if one.startswith(prefix + ".")]
    if not carried:
        return
    conn["subprotocols"] = [one for one in offered if not one.startswith(prefix + ".")]
    headers = [(name, content) for name, content in conn["headers"] if name != SUBPROTOCOLS]
    if conn["subprotocols"]:
        headers.append((SUBPROTOCOLS, ", ".join(conn["subprotocols"]).encode("latin-1")))
    for one in carried:
        text = one.removeprefix(prefix + ".")
        try:
            token = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            token = b""
        headers.append((b"authorization", BEARER + token))
    conn["headers"] = headers


def _test_rule(guard: Decider, route: RoutePlan, caller: Principal) -> Principal | BailiwickError:
    """Whether a caller may: the one test of scopes and of step-up."""
    rule = route.rule
    if rule is not None and not rule.allows(caller.held):
        decision = rule.decide(caller.held)
        assert isinstance(decision, Denied)  # noqa: S101 - allows() said no a line above
        return InsufficientScope(
            "The token's scopes are too few for this operation.",
            required=str(decision.required),
            detail=f"{route.label}: {caller.subject!r} lacks {str(decision.missing)!r}",
        )
    if route.step_up is not None:
        try:
            check_step_up(route.step_up, caller, guard.now())
        except StepUpNeeded as refusal:
            return guard.refusals.for_route(strip_traceback(refusal), route)
    return caller


def _report(
    guard: Decider, route: RoutePlan, conn: Conn, outcome: Admitted | BailiwickError
) -> Admitted | BailiwickError:
    """Tell `on_decision`, and deny if it fails: it may write an audit trail that must not have gaps."""
    refused = isinstance(outcome, BailiwickError)
    # Of who is refused it is known who he is, where he was proved.
    caller = conn.get(guard.caller_key) if refused else outcome
    try:
        _insist_it_ran(guard.on_decision(Decision(route, caller, outcome if refused else None)))  # type: ignore[misc, arg-type]
    except Exception:
        log.exception("on_decision failed for %s; the request is denied", route.label)
        return InsufficientScope("The request was denied.", id="BW302")
    return outcome


def _insist_it_ran(returned: Any) -> None:
    """Refuse what a hook returned to be awaited: it has not run."""
    if inspect.isawaitable(returned):
        close = getattr(returned, "close", None)
        if close is not None:
            close()
        raise TypeError("on_decision returned something to await; it must be a plain function")


# -- who calls ---------------------------------------------------------------------------------


async def verify(guard: Decider, conn: Conn, credentials: bytes) -> Principal:
    """Prove who calls, once for each request however many guards the tree holds.

    Args:
        guard: whose verifier is asked.
        conn: the ASGI connection scope, where the caller is left.
        credentials: the value of its `Authorization` header.

    Raises:
        BailiwickError: no token, a bad one, or no way to tell.
    """
    token = token_of(credentials)
    known: Principal | None = conn.get(guard.caller_key)
    # A connection may be a copy of another, with headers of its own, as in an endpoint that takes batches.
    if known is not None and conn.get(guard.proof_key) == credentials:
        return known
    caller = (await guard.verifier.verify(token)).under(guard.catalog)
    conn[guard.caller_key] = caller
    conn[guard.proof_key] = credentials
    return caller


async def identify(guard: Decider, conn: Conn) -> Principal:
    """Ask `authenticate` who calls, once for each request: a derived guard may name another at each call.

    Args:
        guard: who is asked.
        conn: the ASGI connection scope.

    Raises:
        BailiwickError: the refusal.
    """
    known: tuple[Any, Principal] | None = conn.get(guard.named_key)
    # A connection may be a copy of another, with headers of its own; and who reads headers may exchange the list of them.
    asked = tuple(conn["headers"])
    if known is not None and known[0] == asked:
        return known[1]
    caller = (await guard.authenticate(conn)).under(guard.catalog)
    conn[guard.named_key] = (asked, caller)
    return caller


def verify_now_of(verifier: object) -> VerifyNow:
    """What a verifier can tell without being awaited: its own `verify_now`, or what its `verify_cached` remembers, or nothing.

    Args:
        verifier: anything with `verify`.
    """
    own: VerifyNow | None = _method_beside_verify(verifier, "verify_now")
    if own is not None:
        return own
    cached: Callable[[str], Principal | None] | None = _method_beside_verify(verifier, "verify_cached")

    def remembered(credentials: bytes) -> Principal | BailiwickError | None:
        # What is no ASCII is no token; `verify` says so.
        if cached is None or credentials[: len(BEARER)] != BEARER or not credentials.isascii():
            return None
        try:
            return cached(credentials[len(BEARER) :].decode("ascii"))
        except BailiwickError as refusal:
            return strip_traceback(refusal)

    return remembered


def _method_beside_verify(verifier: object, name: str) -> Any:
    """A verifier's method, unless its `verify` is newer: who derives a class to refuse more in `verify` means each request."""
    kind = type(verifier)
    # Exchanged on the object, or found by __getattr__. Not `vars(verifier)`: who looks into an object's dictionary makes
    # Python look there for each of its attributes from then on.
    method = getattr(verifier, "verify", None)
    # A method itself, and no proxy of one as wrapt makes them: it would say that it is this very method of this verifier.
    if type(method) is not MethodType or method.__self__ is not verifier:
        return None
    if method.__func__ is not getattr(kind, "verify", None):
        return None
    for holder in kind.__mro__:
        if name in vars(holder):
            return getattr(verifier, name)
        if "verify" in vars(holder):
            return None
    return None


# -- refusals ----------------------------------------------------------------------------------

MAX_REMEMBERED: Final = 4096  # refusals that are kept ready: two for each set of scopes that routes declare


class Refusals:
    """The refusals of one guard, each with the scopes that its route needs, where those may be told.

    What a flood consists of is written once, so that it costs next to nothing.

    Args:
        challenge: what stays the same in every challenge.
        render: makes the content of a refusal: its media type, and the octets; None for that of the contract.
    """

    def __init__(self, challenge: Challenge, render: Render | None = None) -> None:
        self.challenge = challenge
        self._render = render
        self._missing: dict[str, MissingCredentials] = {}
        self._forged: dict[str, InvalidToken] = {"": FORGERY}
        self._answers: dict[BailiwickError, Answer] = {FORGERY: self._answer(FORGERY)}

    def missing(self, route: RoutePlan) -> MissingCredentials:
        """The refusal where there are no credentials.

        It names scopes only where the public OpenAPI document does: a stranger is told no more than that.

        Args:
            route: the entry of the plan.

        Source: RFC 6750 section 3.
        """
        scope = route.scope if route.documented and self.challenge.disclose_scopes else ""
        found = self._missing.get(scope)
        if found is None:
            found = MissingCredentials("Authentication is required.")
            found.required = scope
            if len(self._missing) < MAX_REMEMBERED:
                self._missing[scope] = found
                self._answers[found] = self._answer(found)
        return found

    def for_route(self, error: BailiwickError, route: RoutePlan) -> BailiwickError:
        """A refusal with the scopes that a route needs, where it is a 401.

        Args:
            error: what was refused, and why; it may be shared, and is not changed.
            route: the entry of the plan.
        """
        scope = route.scope
        if error.status != 401 or not scope or not self.challenge.disclose_scopes:
            return error
        if isinstance(error, MissingCredentials):
            return self._copy(error, scope) if route.documented else error
        if error is not FORGERY:
            return self._copy(error, scope)
        found = self._forged.get(scope)
        if found is None:
            found = self._copy(FORGERY, scope)
            if len(self._forged) < MAX_REMEMBERED:
                self._forged[scope] = found
                self._answers[found] = self._answer(found)
        return found

    @staticmethod
    def _copy(error: Error, scope: str) -> Error:
        named = copy(error)
        named.required = scope
        return named

    def answer(self, error: BailiwickError) -> Answer:
        """The exact answer to a refusal.

        Args:
            error: what was refused, and why.
        """
        return self._answers.get(error) or self._answer(error)

    def _answer(self, error: BailiwickError) -> Answer:
        answer = self.challenge.answer(error)
        if self._render is None or error.status == 500:  # what is wrong with the server nobody else is told
            return answer
        try:
            media_type, content = self._render(error)
            named = {b"content-type": media_type.encode("ascii"), b"content-length": str(len(content)).encode()}
        except Exception:
            log.exception("render failed for %s; the refusal is answered in the contract's words", error.id)
            return answer
        return replace(
            answer, headers=tuple((name, named.get(name, value)) for name, value in answer.headers), body=content
        )


def strip_traceback(refusal: BailiwickError) -> BailiwickError:
    """A refusal that was raised, as a value: without its frames, and those of what it came from.

    They lead to whoever is given it, and that one holds it: garbage that only the collector finds. Frames of coroutines
    that have ended lead to whoever waited for them from Python 3.12 on.

    Args:
        refusal: what was caught, and is not raised again.
    """
    one: BaseException | None = refusal
    while one is not None and one.__traceback__ is not None:
        one.__traceback__ = None
        one = one.__cause__ or one.__context__
    return refusal
