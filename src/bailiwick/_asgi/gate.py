"""The gate in front of one ASGI application: it decides from the headers alone, and then passes the connection on."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

import anyio

from bailiwick.errors import BailiwickError, InvalidToken
from bailiwick.graph.plan import Access, RoutePlan
from bailiwick.scopes import Principal, ScopeSet

from .connection import ASGIApp, Conn, Message, Receive, Send

if TYPE_CHECKING:
    from bailiwick.asgi import Guard

__all__ = ["NOBODY", "POLICY_VIOLATION", "Gate"]

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
                guard = self.guard
                try:
                    caller = self._known(conn)
                except BailiwickError as refusal:  # the verifier remembers that the token is forged
                    return guard.refuse(refusal, conn, receive, send)
                if caller is NOBODY:
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

        Raises:
            BailiwickError: the verifier refuses the token from memory.
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
