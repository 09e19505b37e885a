"""What the authority needs of a store: one verb for each fact that must be atomic.

Reading, thinking and then writing lets two callers through; so whatever must happen once is one
verb here, whose answer says how it went. Each verb that changes something takes the `Event` that
tells of it and writes both together or neither: after a crash either the old state stands or the
new one with its line in the journal.

A store raises `StoreError` when it cannot answer; it never answers wrongly instead. How each verb
must behave, races included, is told by one suite of tests that every store passes; the reference
implementation is `bailiwick.storage.memory`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import sha256
from typing import Final, Protocol

from .records import (
    Account,
    Authorization,
    Client,
    Code,
    DeviceCode,
    DeviceState,
    Event,
    Family,
    GrantType,
    PushedRequest,
    RefreshToken,
    Revocation,
    RoleRecord,
    Session,
    Standing,
    StoredKey,
)

__all__ = [
    "CLOCK_SKEW",
    "CODE_KEPT",
    "DAY",
    "ENDED_KEPT",
    "MINUTE",
    "Basis",
    "Begun",
    "Claimed",
    "JournalRoom",
    "Polled",
    "Redeemed",
    "Registered",
    "Room",
    "Rotated",
    "Rotation",
    "Store",
    "line_key",
    "polled",
]

# Seconds by which the clocks of two processes may differ, as verifiers of tokens and assertions have it. What was made
# further in the future was made before the clock was set back: how old it is nobody can tell, so it counts as expired.
CLOCK_SKEW: Final = 30
# Seconds that a code is kept beyond its end, so that a replay is known for one while what came of it may live.
CODE_KEPT: Final = 24 * 60 * 60
# Seconds that an expired request is kept where others begin, so that a device that still polls learns
# that its code expired. No longer than the shortest life that a request usually has: at most twice as many are kept as
# may be unfinished.
ENDED_KEPT: Final = 60
MINUTE: Final = 60
DAY: Final = 24 * 60 * MINUTE


class Rotated(Enum):
    """How an attempt to exchange a refresh token for its successor went."""

    FIRST_TIME = "rotated"
    RETRIED = "retried"  # an honest retry within the grace: the same successor again
    REPLAYED = "replayed"  # an old token: the family is revoked by this very call
    REVOKED = "revoked"  # the family was dead already
    EXPIRED = "expired"
    FOREIGN = "foreign"  # it was issued to another client
    UNKNOWN = "unknown"
    STALE = "stale"  # what was decided on no longer holds; nothing was spent, so that the client may ask again


@dataclass(frozen=True, slots=True)
class Basis:
    """What an issuance was decided on; the store sees in the transaction that writes it whether it still holds.

    Between the reading and the writing somebody may have revoked something. It no longer holds if the feed has a
    line later than `seen` about one of `keys`, or one about `subject` from after `proved_at`.

    Args:
        seen: the number of the newest line of the feed when the reading began.
        keys: ids of all that the tokens will hang on, whatever their kind.
        subject: the id of the person whose earlier proof is presented now, by a code or a device; "" if there is none.
        proved_at: when they proved who they are, seconds since the epoch.
    """

    seen: int
    keys: tuple[str, ...]
    subject: str = ""
    proved_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a store needs to exchange a refresh token for its successor.

    Args:
        digest: of the token presented.
        successor: digest of the token that follows it, derived and not random, so that a retry meets the same one.
        client: who presents it.
        now: seconds since the epoch.
        grace: seconds within which the immediate predecessor may be presented again.
        expires_at: the successor's idle end, seconds since the epoch.
        feed_until: until when the feed must tell of a revocation, seconds since the epoch.
    """

    digest: str
    successor: str
    client: str
    now: float
    grace: float
    expires_at: float
    feed_until: float

    def judge(self, token: RefreshToken, family: Family, successor: RefreshToken | None) -> Rotated:
        """How the attempt goes, by what is kept; pure, so that every store judges alike.

        Args:
            token: that is presented.
            family: its family.
            successor: the token that follows it, if there is one.
        """
        if family.client != self.client:
            return Rotated.FOREIGN
        if family.revoked_at is not None:
            return Rotated.REVOKED
        if family.expires_at <= self.now:
            return Rotated.EXPIRED
        if token.spent_at is not None:
            # In both directions: of two that ask at once, the one that began first may be served last. What was spent
            # further in the future was spent before the clock was set back, any time ago.
            within = abs(self.now - token.spent_at) <= self.grace
            unused = successor is not None and successor.family == family.id and successor.spent_at is None
            return Rotated.RETRIED if within and unused else Rotated.REPLAYED
        return Rotated.EXPIRED if token.expires_at <= self.now else Rotated.FIRST_TIME


class Redeemed(Enum):
    """How an attempt to redeem an authorization code went."""

    FIRST_TIME = "first time"
    AGAIN = "again"  # replay: everything issued from it is revoked by this very call
    UNKNOWN = "unknown"  # never issued, or expired unspent


class Polled(Enum):
    """How a device's poll went (RFC 8628 section 3.5)."""

    APPROVED = "approved"  # told once; the code is spent by this very call
    PENDING = "pending"
    TOO_FAST = "too fast"
    DENIED = "denied"
    EXPIRED = "expired"
    UNKNOWN = "unknown"


def polled(code: DeviceCode | None, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
    """How a poll goes, and the code as it then is: kept so, but spent where it is approved. Pure, as `Rotation.judge`.

    Args:
        code: what is kept; None if nothing is.
        client: who polls.
        now: seconds since the epoch.
    """
    if code is None or code.client != client or code.state is DeviceState.SPENT:
        return Polled.UNKNOWN, None
    if code.expires_at <= now or code.issued_at > now + CLOCK_SKEW:
        return Polled.EXPIRED, None
    if code.state is DeviceState.DENIED:
        return Polled.DENIED, None
    too_fast = code.polled_at is not None and now - code.polled_at < code.interval
    # RFC 8628 section 3.5: "the interval MUST be increased by 5 seconds for this and all subsequent requests".
    code = replace(code, polled_at=now, interval=code.interval + 5 if too_fast else code.interval)
    if too_fast:
        return Polled.TOO_FAST, code
    return (Polled.PENDING if code.state is DeviceState.PENDING else Polled.APPROVED), code


@dataclass(frozen=True, slots=True)
class Room:
    """How many requests of a kind may be unfinished at once, the one that begins included.

    Args:
        client: of its client from its network.
        network: of all clients from its network; None where a client is counted by itself.
        everybody: of all clients that are counted by network, from everywhere; None for any number.
    """

    client: int
    network: int | None = None
    everybody: int | None = None


@dataclass(frozen=True, slots=True)
class JournalRoom:
    """How many lines of the journal strangers can cause.

    Args:
        minute: in one minute.
        day: in one day, UTC.
    """

    minute: int
    day: int


def line_key(event: Event) -> str:
    """By what a shared line of the journal is found again: a digest, so that it has one length; "" for a line alone."""
    if not event.every:
        return ""
    interval = int(event.at // event.every)
    parts = (event.every, interval, event.what, event.actor, event.subject, event.client, event.object)
    return sha256(json.dumps(parts).encode("ascii")).hexdigest()[:32]


class Begun(Enum):
    """How a request began that waits for a person."""

    DONE = "done"
    TAKEN = "taken"  # its code, or reference, is in use
    FULL = "full"  # too many of the same client or network are unfinished


class Registered(Enum):
    """How a client's registering itself went (RFC 7591)."""

    DONE = "done"
    TAKEN = "taken"  # a client of that id is there already
    FULL = "full"  # too many registered clients have never been of use to anybody


class Claimed(Enum):
    """How a one-time name was claimed (the `jti` of a client's assertion, a form's ticket)."""

    FIRST_TIME = "first time"
    AGAIN = "again"


class Store(Protocol):
    """What the authority remembers, and the verbs that change it."""

    # -- people, clients, roles -------------------------------------------------------------

    async def client(self, id: str) -> Client | None:
        """The client of that id."""

    async def clients(self) -> Sequence[Client]:
        """Every client, by id."""

    async def grants_in_use(self) -> frozenset[GrantType]:
        """The grant types that some client may use which is not disabled."""

    async def account(self, id: str) -> Account | None:
        """The person of that id."""

    async def account_named(self, name: str) -> Account | None:
        """Find the person of that name, whatever its case; None too for what is too long to be a name."""

    async def accounts(self) -> Sequence[Account]:
        """Every person, by name."""

    async def roles(self) -> Sequence[RoleRecord]:
        """Every role, by name."""

    async def standing(self, account: str) -> Standing | None:
        """A person with all the scopes that roles and direct grants give them at this moment."""

    async def add(self, record: Client | Account | RoleRecord, event: Event) -> bool:
        """Add a record; False, and nothing written, if the id or the name is taken."""

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """Add a client that registers itself, if fewer than `quota` of those are without any authorization."""

    async def change(
        self, record: Client | Account | RoleRecord, event: Event, *, revoking: Revocation | None = None
    ) -> bool:
        """Put a record in place of its predecessor, whose `version` it carries, and count the version up.

        Args:
            record: as it shall be, with the version that it was read with.
            event: for the journal.
            revoking: what stops with it, as when a person is disabled.

        Returns:
            False, and nothing written, if it is gone or somebody else changed it since.
        """

    async def drop_role(self, name: str, event: Event) -> bool:
        """Delete a role, and take it from everybody; False if there is none of that name."""

    async def rehash(self, account: str, old: str, new: str) -> bool:
        """Replace a password's hash by a stronger one of the same password; False if it was changed since."""

    # -- authorizations ---------------------------------------------------------------------

    async def authorization(self, id: str) -> Authorization | None:
        """The authorization of that id, with its scopes."""

    async def authorizations(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """Authorizations of a person, of a client, or all; oldest first."""

    async def authorization_of(self, subject: str, client: str, resource: str) -> Authorization | None:
        """The one authorization between these three, if there is one."""

    async def consent(self, given: Authorization, event: Event, *, by: str = "person") -> Authorization:
        """Add scopes to the authorization between a person, a client and a resource.

        Its first time makes the authorization, under the id that `given` carries; later times keep
        the id they find. A scope that a person withdrew becomes live again; one that an operator
        withdrew does so only if `by` is "operator".

        Args:
            given: the three, a fresh id, and the rows that are consented to now.
            event: for the journal; written only if something changed, its object is the authorization.
            by: "person" or "operator".

        Returns:
            The authorization as it stands afterwards.
        """

    async def revoke(self, revocation: Revocation, event: Event) -> int:
        """Let something no longer hold, and say so in the feed.

        A family, authorization, subject or client takes its living refresh families with it, a subject
        their sessions too. A
        scope or an authorization has its rows withdrawn, which for one scope leaves the families alone.

        Returns:
            How many families and rows changed; for a token 1 if it was not yet revoked. With 0, neither
            feed nor journal is written, but for a subject or a client, who may hold access tokens
            that no family tells of.
        """

    async def revocations(self, *, after: int = 0, now: float, limit: int | None = None) -> Sequence[Revocation]:
        """Lines of the feed that still matter, after that number, in order.

        Of one family, authorization or subject there are never more than `MOST_LINES` that still matter: the line that
        would be one more is told as one about the whole, in place of them all, in the same transaction
        (`Revocation.gathered`).

        Args:
            after: a number of the feed.
            now: seconds since the epoch.
            limit: how many at most, the first ones; None for all.
        """

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """Lines of the feed about any of these keys that still matter."""

    async def last_revocation(self) -> int:
        """The number of the newest line of the feed, also if it matters no more; 0 before the first one.

        Numbers follow the order in which lines become visible: whoever reads 7 here has everything before them
        that line 7 and those before it changed, and nothing of what line 8 will change counts as told.
        """

    # -- refresh families -------------------------------------------------------------------

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """Begin a family with its first token.

        Args:
            family: the family.
            first: its token.
            event: for the journal; its object is the family.
            basis: what this was decided on.

        Returns:
            False, and nothing written, if the basis no longer holds, or the family's id is revoked already, as
            when a code is replayed while its first redemption is still on its way.
        """

    async def family(self, id: str) -> Family | None:
        """The family of that id."""

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """Living families of a person, of a client, or all; oldest first."""

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """A token and its family, whatever their state."""

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """Exchange a refresh token for its successor, once; however many ask at the same time.

        Decided in this order:

        1. it is unknown, or another client's;
        2. its family is revoked, or at its absolute end: expired;
        3. it was spent before: at most `grace` seconds from now, and its successor is the one named and itself
           unspent: retried, and nothing changes; anything else is a replay, and this call revokes the family;
        4. it is past its idle end: expired;
        5. the basis no longer holds, though it would be retried or be the first time: stale, and nothing changes;
        6. it is spent now and its successor made: first time.

        Args:
            rotation: what to exchange for what.
            event: for the journal; its `what` is completed with the outcome ("refresh.rotated"). Nothing
                is written of a token that is unknown, and the first time is a line of its own.
            basis: what this was decided on.
        """

    # -- codes, devices, pushed requests, one-time names -------------------------------------

    async def add_code(self, code: Code) -> None:
        """Keep a fresh authorization code."""

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """Spend a code, once, whatever else is wrong with the request that presents it.

        One that was issued more than `CLOCK_SKEW` seconds after `now` is expired, for the clock was set back since.
        A second time revokes the family that came of it, or will, and tells so in the feed and the journal.
        """

    async def add_device_code(self, code: DeviceCode, room: Room, now: float) -> Begun:
        """Keep a device's request, if its user code is free and fewer are pending than there is room for.

        Counting and adding are one act: of many that come at once no more are kept. Those that expired go at the same
        time, but for the last `ENDED_KEPT` seconds.
        """

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """The pending request behind a user code's digest, unless it expired; as `redeem_code` of one from the future."""

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """Write a person's decision on a pending request; False if it was decided already or is gone."""

    async def poll_device_code(self, digest: str, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
        """A device asks: spends an approved code, and slows down whoever asks too fast."""

    async def push_request(self, request: PushedRequest, room: Room, now: float) -> Begun:
        """Keep a pushed authorization request (RFC 9126), if there is room; as `add_device_code`."""

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """A pushed request that has not expired."""

    async def spend_pushed_request(self, digest: str) -> bool:
        """Use a pushed request up; False if it was used already."""

    async def claim(self, name: str, now: float, until: float) -> Claimed:
        """Claim a one-time name, remembered until then."""

    # -- sessions -------------------------------------------------------------------------------

    async def open_session(
        self, session: Session, event: Event, *, account: Account, instead_of: str | None = None
    ) -> bool:
        """Begin a session, and end the one that the browser had until now.

        Args:
            session: the new one.
            event: for the journal.
            account: the person as they were when they proved who they are.
            instead_of: digest of the session to end; None if the browser had none.

        Returns:
            False, and nothing written, if the person was changed or disabled since: a password that was replaced
            while it was being checked must not open what the replacement has just closed.
        """

    async def session(self, digest: str, now: float) -> Session | None:
        """A session that has neither ended nor been silent too long, nor began in the future; as `redeem_code`."""

    async def prolong_session(self, digest: str, idle_until: float) -> bool:
        """Let a session be silent until then; False if it is gone."""

    async def close_session(self, digest: str, event: Event) -> bool:
        """End a session; False, and nothing written, if it is gone."""

    # -- keys, secrets, journal ---------------------------------------------------------------

    async def keys(self) -> Sequence[StoredKey]:
        """Every signing key, oldest first."""

    async def turn_keys(
        self, keys: Sequence[StoredKey], dropped: Sequence[str], was: Sequence[str], event: Event
    ) -> bool:
        """Put these keys in place and delete those, if the keys at rest are still the ones that were seen.

        Args:
            keys: added, or changed in state.
            dropped: ids of keys to delete.
            was: `kid:state` of every key that the caller saw; another set means that another process
                rotated meanwhile.
            event: for the journal.

        Returns:
            False, and nothing written, if somebody else was first.
        """

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """The server's secret of that name; the first call ever keeps `fresh`, all later ones return it."""

    async def record(self, event: Event, *, basis: Basis | None = None) -> bool:
        """Write a line into the journal about something that changed nothing else.

        Args:
            event: the line.
            basis: what the act was decided on.

        Returns:
            False, and nothing written, if the basis no longer holds.
        """

    async def count(self, events: Sequence[Event], room: JournalRoom | None) -> Sequence[Event]:
        """Add events that share lines to their lines, or begin those, all in one transaction.

        Args:
            events: each with its interval (`every`), and with how many it stands for (`count`).
            room: how many lines of such events there may be in a minute and in a day; None for any number.

        Returns:
            Those that were not written: they would have begun a line, and there is no room.
        """

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """The newest lines of the journal, newest first."""

    async def purge(
        self, now: float, *, journal_before: float | None = None, unused_before: float | None = None
    ) -> int:
        """Delete what has expired and proves nothing any more; the feed's newest line stays, for its number.

        In small parts, each an act of its own: others write in between, and whoever stops waiting stops it.

        Args:
            now: seconds since the epoch.
            journal_before: delete older lines of the journal too; None keeps them all.
            unused_before: delete clients that registered themselves before then and that nobody ever let do
                anything; None keeps them all.

        Returns:
            How many rows went.
        """

    async def check(self) -> None:
        """Raise `StoreError` if the store cannot answer (for readiness)."""

    async def close(self) -> None:
        """Let go of files and connections; a second time does nothing."""
