"""The gate in front of one ASGI application: it decides from the headers alone, and then passes the connection on."""

from __future__ import annotations

import weakref
from collections.abc import Awaitable, Callable, Iterable
from types import MethodType
from typing import TYPE_CHECKING, Any, Final

from bailiwick.errors import BailiwickError
from bailiwick.graph.plan import Access, RoutePlan
from bailiwick.guard.asgi_types import ASGIApp, Conn, Receive, Send
from bailiwick.guard.policy import both_of
from bailiwick.guard.route_match import entry_for
from bailiwick.guard.token_deadline import POLICY_VIOLATION, SOCKET, Lease, Watched
from bailiwick.scopes import Catalog, Principal, Rule
from bailiwick.tokens.bearer import BEARER

if TYPE_CHECKING:
    from bailiwick.guard.guard import Guard

__all__ = ["POLICY_VIOLATION", "Gate", "NoOverrides", "gate_around", "standing_at", "tells", "verify_now_of"]


class NoOverrides:
    """Stands in where nothing can be overridden."""

    dependency_overrides: Final[dict[Any, Any]] = {}


class Gate:
    """One guarded ASGI application: decides, then passes the connection on.

    Args:
        guard: who decides.
        route: what is needed here; the entry of the plan, if the gate stands at one route only.
        app: what is guarded.

    Attributes:
        overridden: what has the mapping `dependency_overrides`, where a framework knows such a thing.
    """

    __slots__ = ("_headers_only", "_places", "_rule", "_tell", "app", "guard", "overridden", "route")

    def __init__(self, guard: Guard, route: RoutePlan, app: ASGIApp) -> None:
        self.guard = guard
        self.route = route
        self.app = app
        self.overridden: Any = NoOverrides
        self._places: tuple[tuple[weakref.ref[Any], tuple[RoutePlan, ...]], ...] = ()
        # At hand here, and not each time through guard and route: most of what a gate costs is looking up.
        self._tell = guard._tell  # noqa: SLF001 - gate and guard are one
        self._rule = route.rule
        self._headers_only = (
            route.access is Access.GUARDED
            and route.step_up is None
            and guard.on_decision is None
            and not route.close_on_expiry
            and guard._decides_alone  # noqa: SLF001
        )

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
        if self._headers_only and conn["type"] == "http" and not self.overridden.dependency_overrides:
            # Python calls what it has taken from an attribute in less time than what it looks up to call.
            tell = self._tell
            told = tell(conn, self._rule)
            if isinstance(told, Principal):
                app = self.app
                return app(conn, receive, send)
            if told is not None:
                return self.guard.refuse(told, conn, receive, send)
        return self._at_length(conn, receive, send)

    def _at_length(self, conn: Conn, receive: Receive, send: Send) -> Awaitable[None]:
        kind = conn["type"]
        if kind == "lifespan":
            return self.app(conn, receive, send)
        if kind not in {"http", "websocket"}:
            raise RuntimeError(f"A gate lets no connection of the unknown type {kind!r} through.")
        return self._enter(conn, receive, send)

    async def decide(self, conn: Conn) -> Told:
        """Decide about one connection: the caller, or None where anonymous is fine, or the refusal.

        Args:
            conn: the ASGI connection scope.
        """
        if self._headers_only and conn["type"] == "http":
            told = self._tell(conn, self._rule)
            if told is not None:
                return told
        try:
            return await self.guard.admit(self.entry(conn), conn)
        except BailiwickError as refusal:
            return handed_on(refusal)

    async def _enter(self, conn: Conn, receive: Receive, send: Send) -> None:
        guard = self.guard
        try:
            caller = await guard.admit(self.entry(conn), conn)
        except BailiwickError as error:
            await guard.refuse(error, conn, receive, send)
            return
        if self.route.close_on_expiry or conn["type"] == "websocket":
            await self.watched(caller, conn, receive, send).run(self.app, conn)
        else:
            await self.app(conn, receive, send)

    def watched(self, caller: Principal | None, conn: Conn, receive: Receive, send: Send) -> Watched:
        """What passes a connection on and keeps an eye on it: until its token ends, where that ends it.

        Args:
            caller: who was let through, or None.
            conn: the ASGI connection scope.
            receive: ASGI receive.
            send: ASGI send.
        """
        over_socket = conn["type"] == "websocket"
        ends = self.route.close_on_expiry or (over_socket and self.guard.on_expiry == "close")
        ends_at = caller.expires_at if caller is not None and ends else None
        watched = Watched(receive, send) if ends_at is None else Lease(self, ends_at, conn, receive, send)
        if over_socket:
            conn[SOCKET] = watched
        return watched


def gate_around(app: Any, kind: type[Gate], guard: Guard, route: RoutePlan) -> Gate:
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


def standing_at(app: Any) -> Any:
    """What stands in the place of an application: itself, or the object of which a method does.

    Args:
        app: what is called for a connection.
    """
    return app.__self__ if isinstance(app, MethodType) else app


def handed_on(refusal: BailiwickError) -> BailiwickError:
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


Told = Principal | BailiwickError | None  # the caller; or a refusal; or neither, which takes longer to tell
VerifyNow = Callable[[bytes], Told]
Tell = Callable[[Conn, Rule | None], Told]


def tells(  # noqa: C901 - what nearly every request goes through stands on one page, and makes two calls
    verify_now: VerifyNow, catalog: Catalog, key: str, proof: str, nobody: BailiwickError
) -> Tell:
    """The path of nearly every request, for one guard: a token about which nothing has to be waited for, and scopes that suffice.

    What it returns takes a connection and the route's rule. It answers None where it is "not so simple": then
    `Guard.admit` decides from the start.

    Args:
        verify_now: what the verifier can tell at once.
        catalog: what says which scopes cover what.
        key: where the caller is left in the connection.
        proof: where the header that proved it is left.
        nobody: the refusal where there are no credentials.
    """

    def tell(conn: Conn, rule: Rule | None) -> Told:  # noqa: C901 - the same
        value = None
        for name, content in conn["headers"]:
            if name == b"authorization":
                if value is not None:
                    return None
                value = content
        if value is None:
            return nobody
        try:
            query = conn["query_string"]
        except KeyError:
            query = b""
        if query and b"access_token=" in query:
            return None
        caller = verify_now(value)
        if not isinstance(caller, Principal):
            return caller
        # `caller.under(catalog)`, without the call: what it remembers is nearly always there.
        bound = caller._bound  # noqa: SLF001
        caller = bound if bound is not None and bound._catalog is catalog else caller.under(catalog)  # noqa: SLF001
        if rule is not None:
            held: Any = caller._held  # noqa: SLF001 - `under` has compiled it
            only = rule.only
            if only is None:
                if not rule.allows(held):
                    return None
            else:  # as `allows` has it, without the call
                at, bits = only
                if held.octets[at] & bits != bits:
                    return None
        conn[key] = caller
        conn[proof] = value
        return caller

    return tell


def verify_now_of(verifier: object) -> VerifyNow:
    """What a verifier can tell without being waited for: its own `verify_now`, or what its `verify_cached` remembers, or nothing.

    Args:
        verifier: anything with `verify`.
    """
    own: VerifyNow | None = _beside_verify(verifier, "verify_now")
    if own is not None:
        return own
    cached: Callable[[str], Principal | None] | None = _beside_verify(verifier, "verify_cached")

    def remembered(credentials: bytes) -> Told:
        # What is no ASCII is no token; `verify` says so.
        if cached is None or credentials[: len(BEARER)] != BEARER or not credentials.isascii():
            return None
        try:
            return cached(credentials[len(BEARER) :].decode("ascii"))
        except BailiwickError as refusal:
            return handed_on(refusal)

    return remembered


def _beside_verify(verifier: object, name: str) -> Any:
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
