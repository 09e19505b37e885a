"""The gate in front of one ASGI application: it decides from the headers alone, and then passes the connection on or refuses."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Iterable
from types import MethodType
from typing import Any, Final, Protocol

from bailiwick.errors import BailiwickError
from bailiwick.graph.plan import RoutePlan
from bailiwick.guard.asgi_types import ASGIApp, Conn, Receive, Send
from bailiwick.guard.decision import Admitted, Decider, NeedsAwait, decide
from bailiwick.guard.policy import OnExpiry, both_of
from bailiwick.guard.route_match import entry_for
from bailiwick.guard.token_deadline import SOCKET, ConnectionState, TokenDeadline
from bailiwick.scopes import Principal

__all__ = ["Gate", "gate_around", "gate_behind"]


class Refusing(Decider, Protocol):
    """What a gate needs of a guard: a decision, and the words of a refusal."""

    on_expiry: OnExpiry

    async def refuse(self, error: BailiwickError, conn: Conn, receive: Receive, send: Send) -> None:
        """Send a refusal."""
        ...


_DECIDED: Final = frozenset({"http", "websocket"})


class Gate:
    """One guarded ASGI application: decides, then passes the connection on or refuses it.

    Args:
        guard: who decides.
        route: what is needed here; the entry of the plan, if the gate stands at one route only.
        app: what is guarded.
    """

    __slots__ = ("_places", "app", "guard", "route")

    def __init__(self, guard: Refusing, route: RoutePlan, app: ASGIApp) -> None:
        self.guard = guard
        self.route = route
        self.app = app
        self._places: tuple[tuple[weakref.ref[Any], tuple[RoutePlan, ...]], ...] = ()

    @property
    def __name__(self) -> str:
        """The name of what is guarded, by which frameworks name its route."""
        return self.route.name

    @property
    def routes(self) -> list[Any]:
        """The routes of what is guarded, by whose names frameworks write URLs."""
        return getattr(self.app, "routes", [])

    def stand_at(self, owner: object, entries: Iterable[RoutePlan]) -> None:
        """Take over the entries of the plan that are enforced here.

        Args:
            owner: whose plan it is, for as long as it lives.
            entries: of the routes at which this gate stands; they need what the gate was made for.
        """
        others = tuple(one for one in self._places if one[0]() not in {None, owner})
        self._places = (*others, (weakref.ref(owner), tuple(entries)))

    def entries_of(self, owner: object) -> tuple[RoutePlan, ...]:
        """The entries of one plan that are enforced here.

        Args:
            owner: whose plan it is.
        """
        return next((entries for one, entries in self._places if one() is owner), ())

    def entry(self, conn: Conn) -> RoutePlan:
        """The entry of the plan that is enforced for a connection.

        Args:
            conn: the ASGI connection scope.
        """
        if not self._places:
            return self.route
        entries = [one for owner, some in self._places if owner() is not None for one in some]
        if len(entries) == 1:
            return entries[0]
        return (entry_for(conn, entries) if entries else None) or self.route

    async def __call__(self, conn: Conn, receive: Receive, send: Send) -> None:
        """Decide, and call the application or refuse."""
        await self.enter(conn, receive, send)

    def enter(self, conn: Conn, receive: Receive, send: Send) -> Awaitable[None]:
        """Decide, and return what is to be awaited.

        It is no coroutine itself: a layer of one costs more than the decision. Servers recognise an
        application by its coroutine, though, and call the gate; a router is given this method, which Python calls
        in half the time that it takes to call an object.
        """
        kind = conn["type"]
        if kind not in _DECIDED:
            if kind == "lifespan":
                return self.app(conn, receive, send)
            raise RuntimeError(f"A gate lets no connection of the unknown type {kind!r} through.")
        outcome = decide(self.guard, self.entry(conn) if self._places else self.route, conn)
        if isinstance(outcome, Principal) and kind == "http" and not self.route.close_on_expiry:  # as nearly always
            app = (
                self.app
            )  # Python calls what it has taken from an attribute in less time than what it looks up to call
            return app(conn, receive, send)
        if isinstance(outcome, NeedsAwait):
            return self._finish(outcome, conn, receive, send)
        return self._go_on(outcome, conn, receive, send)

    async def _finish(self, awaited: NeedsAwait, conn: Conn, receive: Receive, send: Send) -> None:
        await self._go_on(await awaited.finish(), conn, receive, send)

    def _go_on(self, outcome: Admitted | BailiwickError, conn: Conn, receive: Receive, send: Send) -> Awaitable[None]:
        if isinstance(outcome, BailiwickError):
            return self.guard.refuse(outcome, conn, receive, send)
        if self.route.close_on_expiry or conn["type"] == "websocket":
            return self.watch(outcome, conn, receive, send).run(self.app, conn)
        return self.app(conn, receive, send)

    async def decide(self, conn: Conn) -> Admitted | BailiwickError:
        """Decide about one connection: the caller, or None where anonymous is fine, or the refusal.

        Args:
            conn: the ASGI connection scope.
        """
        outcome = decide(self.guard, self.entry(conn), conn)
        return await outcome.finish() if isinstance(outcome, NeedsAwait) else outcome

    def watch(self, caller: Principal | None, conn: Conn, receive: Receive, send: Send) -> ConnectionState:
        """What passes a connection on and keeps an eye on it: until its token ends, where that ends it.

        Args:
            caller: who was let through, or None.
            conn: the ASGI connection scope.
            receive: ASGI receive.
            send: ASGI send.
        """
        over_socket = conn["type"] == "websocket"
        ends = self.route.close_on_expiry or (over_socket and self.guard.on_expiry == "close")
        state: ConnectionState
        if ends and caller is not None and caller.expires_at is not None:
            left = caller.expires_at - self.guard.now()
            state = TokenDeadline(left, self.entry(conn).label, self.guard.refuse, conn, receive, send)
        else:
            state = ConnectionState(receive, send)
        if over_socket:
            conn[SOCKET] = state
        return state


def gate_around(app: Any, kind: type[Gate], guard: Refusing, route: RoutePlan) -> Gate:
    """A gate around an application, or one for both declarations where the same guard has put one there already.

    Each of two gates would name half of what is needed, in its refusals and in the plan.

    Args:
        app: what is to be guarded.
        kind: the kind of gate.
        guard: who decides.
        route: what is declared.
    """
    standing = type(app)
    # A gate that a protection put somewhere is made in another way, and stays where it is.
    if isinstance(app, Gate) and standing.__init__ is Gate.__init__ and app.guard is guard:
        kind = standing if issubclass(standing, kind) else kind
        return kind(guard, both_of(app.route, route, guard.catalog), app.app)
    return kind(guard, route, app)


def gate_behind(app: Any) -> Any:
    """What stands for an application: itself, or the object whose method is called.

    Args:
        app: what is called for a connection.
    """
    return app.__self__ if isinstance(app, MethodType) else app
