"""The reference store: every verb in plain Python, to be read as the specification.

It forgets everything when the process ends, so it is for tests, demonstrations and for
authorities that issue nothing lasting. One lock makes each verb atomic among threads as well.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from threading import Lock

from bailiwick.authority.records import (
    Account,
    Authorization,
    Client,
    Code,
    DeviceCode,
    DeviceState,
    Event,
    Family,
    PushedRequest,
    RefreshToken,
    Revocation,
    Revoked,
    RoleRecord,
    Session,
    Standing,
    StoredKey,
    name_key,
)
from bailiwick.authority.store import CODE_KEPT, Basis, Claimed, Polled, Redeemed, Registered, Rotated, Rotation
from bailiwick.scopes import ScopeSet

__all__ = ["MemoryStore"]


class MemoryStore:
    """A store in this process's memory."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._clients: dict[str, Client] = {}
        self._accounts: dict[str, Account] = {}
        self._roles: dict[str, RoleRecord] = {}
        self._authorizations: dict[str, Authorization] = {}
        self._families: dict[str, Family] = {}
        self._tokens: dict[str, RefreshToken] = {}
        self._codes: dict[str, Code] = {}
        self._devices: dict[str, DeviceCode] = {}
        self._pushed: dict[str, PushedRequest] = {}
        self._claimed: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}
        self._revocations: list[Revocation] = []
        self._keys: dict[str, StoredKey] = {}
        self._secrets: dict[str, bytes] = {}
        self._journal: list[Event] = []
        self._numbers = itertools.count(1)

    # -- people, clients, roles -------------------------------------------------------------

    async def client(self, id: str) -> Client | None:
        """See `Store.client`."""
        return self._clients.get(id)

    async def clients(self) -> Sequence[Client]:
        """See `Store.clients`."""
        with self._lock:
            return sorted(self._clients.values(), key=lambda client: client.id)

    async def account(self, id: str) -> Account | None:
        """See `Store.account`."""
        return self._accounts.get(id)

    async def account_named(self, name: str) -> Account | None:
        """See `Store.account_named`."""
        with self._lock:
            key = name_key(name)
            return next((one for one in self._accounts.values() if name_key(one.name) == key), None)

    async def accounts(self) -> Sequence[Account]:
        """See `Store.accounts`."""
        with self._lock:
            return sorted(self._accounts.values(), key=lambda account: name_key(account.name))

    async def roles(self) -> Sequence[RoleRecord]:
        """See `Store.roles`."""
        with self._lock:
            return sorted(self._roles.values(), key=lambda role: role.name)

    async def standing(self, account: str) -> Standing | None:
        """See `Store.standing`."""
        with self._lock:
            found = self._accounts.get(account)
            if found is None:
                return None
            of_roles = [
                scope for name in sorted(found.roles & self._roles.keys()) for scope in self._roles[name].scopes
            ]
            return Standing(found, ScopeSet([*of_roles, *found.grants]))

    async def add(self, record: Client | Account | RoleRecord, event: Event) -> bool:
        """See `Store.add`."""
        with self._lock:
            match record:
                case Client():
                    if record.id in self._clients:
                        return False
                    self._clients[record.id] = record
                case Account():
                    if record.id in self._accounts or self._holder_of(record.name) is not None:
                        return False
                    self._accounts[record.id] = record
                case RoleRecord():
                    if record.name in self._roles:
                        return False
                    self._roles[record.name] = record
            self._write_down(event)
            return True

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """See `Store.register`."""
        with self._lock:
            if client.id in self._clients:
                return Registered.TAKEN
            if len(self._unused()) >= quota:
                return Registered.FULL
            self._clients[client.id] = client
            self._write_down(event)
            return Registered.DONE

    def _unused(self) -> list[Client]:
        """Clients that registered themselves and that nobody ever let do anything."""
        used = {one.client for one in self._authorizations.values()}
        return [one for one in self._clients.values() if one.registered and one.id not in used]

    async def change(
        self, record: Client | Account | RoleRecord, event: Event, *, revoking: Revocation | None = None
    ) -> bool:
        """See `Store.change`."""
        with self._lock:
            if not self._put(record):
                return False
            if revoking is not None:
                self._end(revoking)
            self._write_down(event)
            return True

    def _put(self, record: Client | Account | RoleRecord) -> bool:
        """Put a record in place of the one of its version."""
        match record:
            case Client():
                was: Client | Account | RoleRecord | None = self._clients.get(record.id)
            case Account():
                was = self._accounts.get(record.id)
                if self._holder_of(record.name) not in (None, record.id):
                    return False
            case RoleRecord():
                was = self._roles.get(record.name)
        if was is None or was.version != record.version:
            return False
        match record:
            case Client():
                self._clients[record.id] = replace(record, version=record.version + 1)
            case Account():
                self._accounts[record.id] = replace(record, version=record.version + 1)
            case RoleRecord():
                self._roles[record.name] = replace(record, version=record.version + 1)
        return True

    def _holder_of(self, name: str) -> str | None:
        key = name_key(name)
        return next((one.id for one in self._accounts.values() if name_key(one.name) == key), None)

    async def drop_role(self, name: str, event: Event) -> bool:
        """See `Store.drop_role`."""
        with self._lock:
            if self._roles.pop(name, None) is None:
                return False
            for account in self._accounts.values():
                if name in account.roles:
                    self._accounts[account.id] = replace(
                        account, roles=account.roles - {name}, version=account.version + 1
                    )
            self._write_down(event)
            return True

    async def rehash(self, account: str, old: str, new: str) -> bool:
        """See `Store.rehash`."""
        with self._lock:
            found = self._accounts.get(account)
            if found is None or found.password != old:
                return False
            self._accounts[account] = replace(found, password=new, version=found.version + 1)
            return True

    # -- authorizations ---------------------------------------------------------------------

    async def authorization(self, id: str) -> Authorization | None:
        """See `Store.authorization`."""
        return self._authorizations.get(id)

    async def authorizations(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """See `Store.authorizations`."""
        with self._lock:
            return [
                one
                for one in self._authorizations.values()
                if subject in (None, one.subject) and client in (None, one.client)
            ]

    async def authorization_of(self, subject: str, client: str, resource: str) -> Authorization | None:
        """See `Store.authorization_of`."""
        with self._lock:
            return self._between(subject, client, resource)

    def _between(self, subject: str, client: str, resource: str) -> Authorization | None:
        three = (subject, client, resource)
        return next(
            (one for one in self._authorizations.values() if (one.subject, one.client, one.resource) == three), None
        )

    async def consent(self, given: Authorization, event: Event, *, by: str = "person") -> Authorization:
        """See `Store.consent`."""
        with self._lock:
            found = self._between(given.subject, given.client, given.resource)
            rows = {row.scope: row for row in found.rows} if found is not None else {}
            before = dict(rows)
            for row in given.rows:
                was = rows.get(row.scope)
                withdrawn = was is not None and was.withdrawn_at is not None
                locked = was is not None and was.withdrawn_by == "operator" and by != "operator"
                if was is None or (withdrawn and not locked):
                    rows[row.scope] = row
            after = replace(found or given, rows=tuple(rows.values()))
            if found is None or rows != before:
                self._authorizations[after.id] = after
                self._write_down(replace(event, object=after.id))
            return after

    async def revoke(self, revocation: Revocation, event: Event) -> int:
        """See `Store.revoke`."""
        with self._lock:
            changed = self._end(revocation)
            if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
                self._write_down(event)
            return changed

    def _end(self, revocation: Revocation) -> int:
        """Carry a revocation out, with its line in the feed."""
        changed = 0
        match revocation.kind:
            case Revoked.TOKEN:
                changed = int(
                    not any(line.kind is Revoked.TOKEN and line.key == revocation.key for line in self._revocations)
                )
            case Revoked.SCOPE | Revoked.AUTHORIZATION:
                changed = self._withdraw(revocation)
        if revocation.kind is Revoked.SUBJECT:
            self._sessions = {key: one for key, one in self._sessions.items() if one.subject != revocation.key}
        self._drop_pending(revocation)
        for family in list(self._families.values()):
            hangs_on = {
                Revoked.FAMILY: family.id,
                Revoked.AUTHORIZATION: family.authorization,
                Revoked.SUBJECT: family.subject,
                Revoked.CLIENT: family.client,
            }.get(revocation.kind)
            if hangs_on == revocation.key and family.revoked_at is None:
                self._families[family.id] = replace(family, revoked_at=revocation.at, reason=revocation.reason)
                changed += 1
        if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
            self._tell(revocation)
        return changed

    def _drop_pending(self, revocation: Revocation) -> None:
        # What was allowed and not fetched yet must not begin anew what has just ended. A code that was spent stays,
        # so that a replay is known for one.
        name = {
            Revoked.AUTHORIZATION: "authorization",
            Revoked.SUBJECT: "subject",
            Revoked.CLIENT: "client",
        }.get(revocation.kind)
        if name is None:
            return
        key = revocation.key
        self._codes = {
            digest: one for digest, one in self._codes.items() if one.spent_at is not None or getattr(one, name) != key
        }
        self._devices = {digest: one for digest, one in self._devices.items() if getattr(one, name) != key}

    def _withdraw(self, revocation: Revocation) -> int:
        found = self._authorizations.get(revocation.key)
        if found is None:
            return 0
        rows, changed = [], 0
        for row in found.rows:
            meant = revocation.kind is Revoked.AUTHORIZATION or row.scope == revocation.scope
            # An operator's word replaces a person's: the person alone cannot take it back any more.
            if meant and (row.withdrawn_at is None or (revocation.by == "operator" and row.withdrawn_by == "person")):
                rows.append(replace(row, withdrawn_at=row.withdrawn_at or revocation.at, withdrawn_by=revocation.by))
                changed += 1
            else:
                rows.append(row)
        self._authorizations[found.id] = replace(found, rows=tuple(rows))
        return changed

    def _tell(self, revocation: Revocation) -> None:
        self._revocations.append(replace(revocation, number=next(self._numbers)))

    async def revocations(self, *, after: int = 0, now: float) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        with self._lock:
            return [line for line in self._revocations if line.number > after and line.until > now]

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """See `Store.revoked`."""
        with self._lock:
            return [line for line in self._revocations if line.key in keys and line.until > now]

    async def last_revocation(self) -> int:
        """See `Store.last_revocation`."""
        with self._lock:
            return self._revocations[-1].number if self._revocations else 0

    def _holds(self, basis: Basis | None) -> bool:
        return basis is None or not any(
            (line.number > basis.seen and line.key in basis.keys)
            or (line.kind is Revoked.SUBJECT and line.key == basis.subject and line.at > basis.proved_at)
            for line in self._revocations
        )

    # -- refresh families -------------------------------------------------------------------

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """See `Store.open_family`."""
        with self._lock:
            if not self._holds(basis):
                return False
            if any(line.kind is Revoked.FAMILY and line.key == family.id for line in self._revocations):
                return False
            self._families[family.id] = family
            self._tokens[first.digest] = first
            self._write_down(replace(event, object=family.id))
            return True

    async def family(self, id: str) -> Family | None:
        """See `Store.family`."""
        return self._families.get(id)

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """See `Store.families`."""
        with self._lock:
            return [
                one
                for one in self._families.values()
                if one.revoked_at is None and subject in (None, one.subject) and client in (None, one.client)
            ]

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """See `Store.refresh_token`."""
        with self._lock:
            token = self._tokens.get(digest)
            return None if token is None else (token, self._families[token.family])

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """See `Store.rotate`."""
        with self._lock:
            token = self._tokens.get(rotation.digest)
            if token is None:
                return Rotated.UNKNOWN
            family = self._families[token.family]
            outcome = self._judge(token, family, rotation)
            if outcome in (Rotated.FIRST_TIME, Rotated.RETRIED) and not self._holds(basis):
                return Rotated.STALE
            if outcome is Rotated.FIRST_TIME:
                self._tokens[token.digest] = replace(token, spent_at=rotation.now)
                self._tokens[rotation.successor] = RefreshToken(
                    rotation.successor, family.id, token.generation + 1, rotation.now, rotation.expires_at
                )
            elif outcome is Rotated.REPLAYED:
                self._end(
                    Revocation(
                        Revoked.FAMILY,
                        family.id,
                        rotation.now,
                        rotation.feed_until,
                        by="authority",
                        reason="a spent refresh token was presented again",
                    )
                )
            self._write_down(replace(event, what=f"refresh.{outcome.value}", object=family.id))
            return outcome

    def _judge(self, token: RefreshToken, family: Family, rotation: Rotation) -> Rotated:
        if family.client != rotation.client:
            return Rotated.FOREIGN
        if family.revoked_at is not None:
            return Rotated.REVOKED
        if family.expires_at <= rotation.now:
            return Rotated.EXPIRED
        if token.spent_at is not None:
            successor = self._tokens.get(rotation.successor)
            within = rotation.now - token.spent_at <= rotation.grace
            unused = successor is not None and successor.family == family.id and successor.spent_at is None
            return Rotated.RETRIED if within and unused else Rotated.REPLAYED
        return Rotated.EXPIRED if token.expires_at <= rotation.now else Rotated.FIRST_TIME

    # -- codes, devices, pushed requests, one-time names -------------------------------------

    async def add_code(self, code: Code) -> None:
        """See `Store.add_code`."""
        with self._lock:
            self._codes[code.digest] = code

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """See `Store.redeem_code`."""
        with self._lock:
            code = self._codes.get(digest)
            if code is None or (code.spent_at is None and code.expires_at <= now):
                return Redeemed.UNKNOWN, None
            if code.spent_at is None:
                spent = replace(code, spent_at=now)
                self._codes[digest] = spent
                return Redeemed.FIRST_TIME, spent
            # Not before the first time: the clocks of two processes differ, and what came of it is meant.
            at = max(now, code.spent_at)
            line = Revocation(Revoked.FAMILY, code.family, at, feed_until, by="authority", reason="a code was replayed")
            told = any(one.kind is Revoked.FAMILY and one.key == code.family for one in self._revocations)
            if not self._end(line) and code.family not in self._families and not told:
                self._tell(line)
            self._write_down(replace(event, what="code.replayed", subject=code.subject, object=code.family))
            return Redeemed.AGAIN, code

    async def add_device_code(self, code: DeviceCode) -> bool:
        """See `Store.add_device_code`."""
        with self._lock:
            if any(one.user_code == code.user_code for one in self._devices.values()):
                return False
            self._devices[code.digest] = code
            return True

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """See `Store.device_code_of_user`."""
        with self._lock:
            return next(
                (
                    one
                    for one in self._devices.values()
                    if one.user_code == user_code and one.state is DeviceState.PENDING and one.expires_at > now
                ),
                None,
            )

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """See `Store.decide_device_code`."""
        with self._lock:
            was = self._devices.get(decided.digest)
            if was is None or was.state is not DeviceState.PENDING or was.expires_at <= event.at:
                return False
            self._devices[decided.digest] = replace(
                was,
                state=decided.state,
                scopes=decided.scopes,
                subject=decided.subject,
                authorization=decided.authorization,
                authenticated_at=decided.authenticated_at,
            )
            self._write_down(event)
            return True

    async def poll_device_code(self, digest: str, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
        """See `Store.poll_device_code`."""
        with self._lock:
            code = self._devices.get(digest)
            if code is None or code.client != client or code.state is DeviceState.SPENT:
                return Polled.UNKNOWN, None
            if code.expires_at <= now:
                return Polled.EXPIRED, None
            if code.state is DeviceState.DENIED:
                return Polled.DENIED, None
            too_fast = code.polled_at is not None and now - code.polled_at < code.interval
            # RFC 8628 section 3.5: "the interval MUST be increased by 5 seconds for this and all subsequent requests".
            code = replace(code, polled_at=now, interval=code.interval + 5 if too_fast else code.interval)
            self._devices[digest] = code
            if too_fast:
                return Polled.TOO_FAST, code
            if code.state is DeviceState.PENDING:
                return Polled.PENDING, code
            self._devices[digest] = replace(code, state=DeviceState.SPENT)
            return Polled.APPROVED, code

    async def push_request(self, request: PushedRequest) -> None:
        """See `Store.push_request`."""
        with self._lock:
            self._pushed[request.digest] = request

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """See `Store.pushed_request`."""
        found = self._pushed.get(digest)
        return found if found is not None and found.expires_at > now else None

    async def spend_pushed_request(self, digest: str) -> bool:
        """See `Store.spend_pushed_request`."""
        with self._lock:
            return self._pushed.pop(digest, None) is not None

    async def claim(self, name: str, now: float, until: float) -> Claimed:
        """See `Store.claim`."""
        with self._lock:
            if self._claimed.get(name, now) > now:
                return Claimed.AGAIN
            self._claimed[name] = until
            return Claimed.FIRST_TIME

    # -- sessions -------------------------------------------------------------------------------

    async def open_session(
        self, session: Session, event: Event, *, account: Account, instead_of: str | None = None
    ) -> bool:
        """See `Store.open_session`."""
        with self._lock:
            known = self._accounts.get(account.id)
            if known is None or known.version != account.version or known.disabled_at is not None:
                return False
            self._sessions.pop(instead_of or "", None)
            self._sessions[session.digest] = session
            self._write_down(event)
            return True

    async def session(self, digest: str, now: float) -> Session | None:
        """See `Store.session`."""
        found = self._sessions.get(digest)
        return found if found is not None and min(found.idle_until, found.expires_at) > now else None

    async def prolong_session(self, digest: str, idle_until: float) -> bool:
        """See `Store.prolong_session`."""
        with self._lock:
            found = self._sessions.get(digest)
            if found is None:
                return False
            self._sessions[digest] = replace(found, idle_until=idle_until)
            return True

    async def close_session(self, digest: str, event: Event) -> bool:
        """See `Store.close_session`."""
        with self._lock:
            if self._sessions.pop(digest, None) is None:
                return False
            self._write_down(event)
            return True

    # -- keys, secrets, journal ---------------------------------------------------------------

    async def keys(self) -> Sequence[StoredKey]:
        """See `Store.keys`."""
        with self._lock:
            return sorted(self._keys.values(), key=lambda key: (key.created_at, key.kid))

    async def turn_keys(
        self, keys: Sequence[StoredKey], dropped: Sequence[str], was: Sequence[str], event: Event
    ) -> bool:
        """See `Store.turn_keys`."""
        with self._lock:
            if {f"{key.kid}:{key.state.value}" for key in self._keys.values()} != set(was):
                return False
            for kid in dropped:
                self._keys.pop(kid, None)
            self._keys.update((key.kid, key) for key in keys)
            self._write_down(event)
            return True

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """See `Store.secret`."""
        with self._lock:
            return self._secrets.setdefault(name, fresh)

    async def record(self, event: Event, *, basis: Basis | None = None) -> bool:
        """See `Store.record`."""
        with self._lock:
            if not self._holds(basis):
                return False
            self._write_down(event)
            return True

    def _write_down(self, event: Event) -> None:
        self._journal.append(replace(event, number=next(self._numbers)))

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """See `Store.journal`."""
        with self._lock:
            lines = (
                line
                for line in reversed(self._journal)
                if (before is None or line.number < before)
                and subject in (None, line.subject)
                and client in (None, line.client)
            )
            return list(itertools.islice(lines, limit))

    async def purge(
        self, now: float, *, journal_before: float | None = None, unused_before: float | None = None
    ) -> int:
        """See `Store.purge`."""
        with self._lock:
            before = self._size()
            self._families = {key: one for key, one in self._families.items() if one.expires_at > now}
            self._tokens = {digest: one for digest, one in self._tokens.items() if one.family in self._families}
            # A spent code still proves a replay, as long as what came of it can live.
            self._codes = {
                digest: one
                for digest, one in self._codes.items()
                if one.expires_at + CODE_KEPT > now or (one.spent_at is not None and one.family in self._families)
            }
            self._devices = {digest: one for digest, one in self._devices.items() if one.expires_at > now}
            self._pushed = {digest: one for digest, one in self._pushed.items() if one.expires_at > now}
            self._claimed = {name: until for name, until in self._claimed.items() if until > now}
            self._sessions = {
                key: one for key, one in self._sessions.items() if min(one.idle_until, one.expires_at) > now
            }
            # The newest line keeps its number from being forgotten.
            self._revocations = [line for line in self._revocations[:-1] if line.until > now] + self._revocations[-1:]
            if unused_before is not None:
                for one in self._unused():
                    if one.created_at < unused_before:
                        del self._clients[one.id]
            if journal_before is not None:
                self._journal = [line for line in self._journal if line.at >= journal_before]
            return before - self._size()

    def _size(self) -> int:
        kept = (
            self._clients,
            self._families,
            self._tokens,
            self._codes,
            self._devices,
            self._pushed,
            self._claimed,
            self._sessions,
            self._revocations,
            self._journal,
        )
        return sum(len(part) for part in kept)

    async def check(self) -> None:
        """See `Store.check`."""

    async def close(self) -> None:
        """See `Store.close`."""
