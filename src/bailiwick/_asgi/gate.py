"""The gate in front of one ASGI application: it decides from the headers alone, and then passes the connection on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

import anyio

from bailiwick.errors import BailiwickError, InvalidToken
from bailiwick.graph.plan import Access, RoutePlan
from bailiwick.scopes import Catalog, Principal, Rule, ScopeSet

from .connection import ASGIApp, Conn, Message, Receive, Send

if TYPE_CHECKING:
    from bailiwick.asgi import Guard

__all__ = ["NOBODY", "POLICY_VIOLATION", "Gate", "knows", "recall_of"]

log = logging.getLogger("bailiwick.guard")

POLICY_VIOLATION: Final = 1008  # RFC 6455 section 7.4.1
NOBODY: Final = Principal("", ScopeSet())  # stands for "no credentials"; compared by identity, never passed on


class Gate:
    """One guarded ASGI application: decides, then passes the connection on.

    Args:
        guard: who decides.
        route: the entry of the plan that is enforced here.
        app: what is guarded.
    """

    __slots__ = ("_headers_only", "_known", "_rule", "app", "guard", "route")

    def __init__(self, guard: Guard, route: RoutePlan, app: ASGIApp) -> None:
        self.guard = guard
        self.route = route
        self.app = app
        # At hand here, and not each time through guard and route: most of what a gate costs is looking up.
        self._known = guard._known  # noqa: SLF001 - gate and guard are one
        self._rule = route.rule
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
                try:
                    caller = self._known(conn, self._rule)
                except BailiwickError as refusal:  # the verifier remembers that the token is forged
                    return self.guard.refuse(refusal, conn, receive, send)
                if caller is NOBODY:
                    return self.guard.refuse(self.guard._no_credentials, conn, receive, send)  # noqa: SLF001
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


Recall = Callable[[bytes], Principal | None]
Known = Callable[[Conn, Rule | None], Principal | None]


def knows(recall: Recall, catalog: Catalog, key: str, proof: str) -> Known:
    """The path of nearly every request, for one guard: a token that was verified before, and scopes that suffice.

    What it returns takes a connection and the route's rule. It answers `NOBODY` where there is no credential at all, and None where it
    is "not so simple": then `Guard.admit` decides from the start. It raises what `recall` raises.

    Args:
        recall: the verifier's memory.
        catalog: what says which scopes cover what.
        key: where the caller is left in the connection.
        proof: where the header that proved it is left.
    """

    def known(conn: Conn, rule: Rule | None) -> Principal | None:
        value = None
        for name, content in conn["headers"]:
            if name == b"authorization":
                if value is not None:
                    return None
                value = content
        if value is None:
            return NOBODY
        if value[:7] != b"Bearer ":
            return None
        query = conn.get("query_string")
        if query and b"access_token=" in query:
            return None
        caller = recall(value[7:])
        if caller is None:
            return None
        # `caller.under(catalog)`, without the call: what it remembers is nearly always there.
        bound = caller._bound  # noqa: SLF001
        caller = bound if bound is not None and bound._catalog is catalog else caller.under(catalog)  # noqa: SLF001
        if rule is not None and not rule.allows(caller._held):  # type: ignore[arg-type]  # noqa: SLF001 - `under` has compiled it
            return None
        conn[key] = caller
        conn[proof] = value
        return caller

    return known


def recall_of(verifier: object) -> Recall:
    """The memory of a verifier: its own, or what its `verify_cached` remembers, or none.

    Args:
        verifier: anything with `verify`.
    """
    own: Recall | None = getattr(verifier, "recall", None)
    if own is not None:
        return own
    cached: Callable[[str], Principal | None] | None = getattr(verifier, "verify_cached", None)

    def recall(token: bytes) -> Principal | None:
        # What is no ASCII is no token; `verify` says so.
        return cached(token.decode("ascii")) if cached is not None and token.isascii() else None

    return recall
