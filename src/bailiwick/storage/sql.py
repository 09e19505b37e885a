"""The store's verbs as SQL: one function for each fact that must be atomic.

Each function takes a connection on which a transaction has begun, and is told nothing of the
driver. What a driver adds is how a function is run: alone among writers, or as a reader.

Whether something happens once never hangs on a look beforehand: it is the condition of an UPDATE,
or the key of an INSERT, and the number of rows says how it went.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import groupby
from typing import Any, TypeVar

from sqlalchemy import (
    LABEL_STYLE_TABLENAME_PLUS_COL,
    ColumnElement,
    Connection,
    Row,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    insert,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from bailiwick.authority.records import (
    Account,
    Authorization,
    Client,
    ClientAuth,
    Code,
    ConsentedScope,
    DeviceCode,
    DeviceState,
    Event,
    Family,
    GrantType,
    KeyState,
    Origin,
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

from . import tables as t

__all__ = ["SQLStore"]

_T = TypeVar("_T")

# How much of what a peer says about itself the journal keeps.
AGENT_KEPT = 200
DETAIL_KEPT = 2000


# The statements of every login, refresh and introspection, built once: building one costs about as much
# as running it.
_CLIENT = select(t.client).where(t.client.c.id == bindparam("id"))
_TOKEN = (
    select(t.refresh_token, t.family)
    .join_from(t.refresh_token, t.family, t.family.c.id == t.refresh_token.c.family)
    .where(t.refresh_token.c.digest == bindparam("digest"))
    .set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL)
)
_ACCOUNT = (
    select(t.account, t.role.c.name.label("role"), t.role.c.scopes.label("role_scopes"))
    .join_from(t.account, t.account_role, t.account_role.c.account == t.account.c.id, isouter=True)
    .join(t.role, t.role.c.name == t.account_role.c.role, isouter=True)
    .order_by(t.account.c.name_key, t.role.c.name)
)
_ACCOUNT_BY_ID = _ACCOUNT.where(t.account.c.id == bindparam("id"))
_ACCOUNT_BY_NAME = _ACCOUNT.where(t.account.c.name_key == bindparam("name_key"))
_AUTHORIZATION = (
    select(t.authorization, t.authorization_scope)
    .join_from(t.authorization, t.authorization_scope, isouter=True)
    .order_by(t.authorization.c.created_at, t.authorization.c.id, t.authorization_scope.c.position)
    .set_label_style(LABEL_STYLE_TABLENAME_PLUS_COL)
)
_AUTHORIZATION_BY_ID = _AUTHORIZATION.where(t.authorization.c.id == bindparam("id"))
_AUTHORIZATION_BETWEEN = _AUTHORIZATION.where(
    t.authorization.c.subject == bindparam("subject"),
    t.authorization.c.client == bindparam("client"),
    t.authorization.c.resource == bindparam("resource"),
)
# The one conditional UPDATE: of all who present a token, one finds it unspent.
_SPEND = (
    update(t.refresh_token)
    .where(
        t.refresh_token.c.digest == bindparam("presented"),
        t.refresh_token.c.spent_at.is_(None),
        t.refresh_token.c.expires_at > bindparam("now"),
        select(t.family.c.id)
        .where(
            t.family.c.id == t.refresh_token.c.family,
            t.family.c.client == bindparam("client"),
            t.family.c.revoked_at.is_(None),
            t.family.c.expires_at > bindparam("now"),
        )
        .exists(),
    )
    .values(spent_at=bindparam("now"))
    .returning(t.refresh_token.c.family, t.refresh_token.c.generation)
)
_ADD_TOKEN = insert(t.refresh_token)
_ADD_FAMILY = insert(t.family)
_WRITE_DOWN = insert(t.journal)
_REVOKED = (
    select(t.revocation)
    .where(t.revocation.c.key.in_(bindparam("keys", expanding=True)), t.revocation.c.until > bindparam("now"))
    .order_by(t.revocation.c.number)
)
_LAST_LINE = select(func.coalesce(func.max(t.revocation.c.number), 0))
# Whether something was revoked between the reading and the writing; by the key's index.
_OVERTAKEN = (
    select(t.revocation.c.number)
    .where(
        or_(
            and_(
                t.revocation.c.key.in_(bindparam("keys", expanding=True)),
                t.revocation.c.number > bindparam("seen"),
            ),
            and_(
                t.revocation.c.key == bindparam("subject"),
                t.revocation.c.kind == Revoked.SUBJECT.value,
                t.revocation.c.at > bindparam("proved_at"),
            ),
        )
    )
    .limit(1)
)


class SQLStore:
    """The verbs of `Store`, for a driver that runs functions in transactions."""

    async def _read(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that looks up a few rows, on one consistent state of the database."""
        raise NotImplementedError

    async def _scan(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function that may read very many rows, on one consistent state of the database."""
        raise NotImplementedError

    async def _write(self, work: Callable[[Connection], _T]) -> _T:
        """Run a function in a transaction, alone among writers, and commit it to the disk."""
        raise NotImplementedError

    # -- people, clients, roles -------------------------------------------------------------

    async def client(self, id: str) -> Client | None:
        """See `Store.client`."""

        def work(db: Connection) -> Client | None:
            row = db.execute(_CLIENT, {"id": id}).first()
            return None if row is None else _client(row)

        return await self._read(work)

    async def clients(self) -> Sequence[Client]:
        """See `Store.clients`."""
        statement = select(t.client).order_by(t.client.c.id)
        return await self._scan(lambda db: [_client(row) for row in db.execute(statement)])

    async def account(self, id: str) -> Account | None:
        """See `Store.account`."""
        return await self._read(lambda db: _person(db.execute(_ACCOUNT_BY_ID, {"id": id}).all()))

    async def account_named(self, name: str) -> Account | None:
        """See `Store.account_named`."""
        return await self._read(lambda db: _person(db.execute(_ACCOUNT_BY_NAME, {"name_key": name_key(name)}).all()))

    async def accounts(self) -> Sequence[Account]:
        """See `Store.accounts`."""

        def work(db: Connection) -> list[Account]:
            people = groupby(db.execute(_ACCOUNT), key=lambda row: row.id)
            return [_account(rows) for rows in (list(rows) for _, rows in people)]

        return await self._scan(work)

    async def roles(self) -> Sequence[RoleRecord]:
        """See `Store.roles`."""
        statement = select(t.role).order_by(t.role.c.name)
        return await self._read(
            lambda db: [RoleRecord(row.name, ScopeSet.parse(row.scopes), row.version) for row in db.execute(statement)]
        )

    async def standing(self, account: str) -> Standing | None:
        """See `Store.standing`."""

        def work(db: Connection) -> Standing | None:
            rows = db.execute(_ACCOUNT_BY_ID, {"id": account}).all()
            if not rows:
                return None
            found = _account(rows)
            of_roles = [scope for row in rows if row.role is not None for scope in ScopeSet.parse(row.role_scopes)]
            return Standing(found, ScopeSet([*of_roles, *found.grants]))

        return await self._read(work)

    async def add(self, record: Client | Account | RoleRecord, event: Event) -> bool:
        """See `Store.add`."""

        def work(db: Connection) -> bool:
            table, values = _values(record)
            if not db.execute(_insert_new(db, table).values(values)).rowcount:
                return False
            if isinstance(record, Account):
                _give_roles(db, record)
            _write_down(db, event)
            return True

        return await self._write(work)

    async def register(self, client: Client, event: Event, *, quota: int) -> Registered:
        """See `Store.register`."""

        def work(db: Connection) -> Registered:
            _alone(db, "registration")
            table, values = _values(client)
            if _first(db, t.client, t.client.c.id == client.id, _client) is not None:
                return Registered.TAKEN
            if (db.execute(select(func.count()).select_from(t.client).where(_unused())).scalar() or 0) >= quota:
                return Registered.FULL
            if not db.execute(_insert_new(db, table).values(values)).rowcount:
                return Registered.TAKEN
            _write_down(db, event)
            return Registered.DONE

        return await self._write(work)

    async def change(
        self, record: Client | Account | RoleRecord, event: Event, *, revoking: Revocation | None = None
    ) -> bool:
        """See `Store.change`."""

        def work(db: Connection) -> bool:
            if not _put(db, record):
                return False
            if revoking is not None:
                _end(db, revoking)
            _write_down(db, event)
            return True

        return await self._write(work)

    async def drop_role(self, name: str, event: Event) -> bool:
        """See `Store.drop_role`."""

        def work(db: Connection) -> bool:
            holders = select(t.account_role.c.account).where(t.account_role.c.role == name)
            db.execute(update(t.account).where(t.account.c.id.in_(holders)).values(version=t.account.c.version + 1))
            db.execute(delete(t.account_role).where(t.account_role.c.role == name))
            if not db.execute(delete(t.role).where(t.role.c.name == name)).rowcount:
                return False
            _write_down(db, event)
            return True

        return await self._write(work)

    async def rehash(self, account: str, old: str, new: str) -> bool:
        """See `Store.rehash`."""
        statement = (
            update(t.account)
            .where(t.account.c.id == account, t.account.c.password == old)
            .values(password=new, version=t.account.c.version + 1)
        )
        return await self._write(lambda db: db.execute(statement).rowcount == 1)

    # -- authorizations ---------------------------------------------------------------------

    async def authorization(self, id: str) -> Authorization | None:
        """See `Store.authorization`."""
        return await self._read(lambda db: _authorization(db, id))

    async def authorizations(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Authorization]:
        """See `Store.authorizations`."""
        statement = _AUTHORIZATION.where(_of(t.authorization, subject, client))
        return await self._scan(lambda db: _authorizations(db.execute(statement).all()))

    async def authorization_of(self, subject: str, client: str, resource: str) -> Authorization | None:
        """See `Store.authorization_of`."""
        return await self._read(lambda db: _between(db, subject, client, resource))

    async def consent(self, given: Authorization, event: Event, *, by: str = "person") -> Authorization:
        """See `Store.consent`."""

        def work(db: Connection) -> Authorization:
            made = db.execute(
                _insert_new(db, t.authorization).values(
                    id=given.id,
                    subject=given.subject,
                    client=given.client,
                    resource=given.resource,
                    created_at=given.created_at,
                )
            ).rowcount
            found = _between(db, given.subject, given.client, given.resource)
            assert found is not None  # noqa: S101 - inserted above, or there before
            changed = made + sum(_consent_to(db, found, row, by) for row in given.rows)
            if changed:
                _write_down(db, replace(event, object=found.id))
            return _authorization(db, found.id) or found

        return await self._write(work)

    async def revoke(self, revocation: Revocation, event: Event) -> int:
        """See `Store.revoke`."""

        def work(db: Connection) -> int:
            changed = _end(db, revocation)
            if changed or revocation.kind in (Revoked.SUBJECT, Revoked.CLIENT):
                _write_down(db, event)
            return changed

        return await self._write(work)

    async def revocations(self, *, after: int = 0, now: float) -> Sequence[Revocation]:
        """See `Store.revocations`."""
        statement = (
            select(t.revocation)
            .where(t.revocation.c.number > after, t.revocation.c.until > now)
            .order_by(t.revocation.c.number)
        )
        return await self._scan(lambda db: [_revocation(row) for row in db.execute(statement)])

    async def revoked(self, keys: Sequence[str], now: float) -> Sequence[Revocation]:
        """See `Store.revoked`."""
        given = {"keys": list(keys), "now": now}
        return await self._read(lambda db: [_revocation(row) for row in db.execute(_REVOKED, given)])

    async def last_revocation(self) -> int:
        """See `Store.last_revocation`."""
        return await self._read(lambda db: int(db.execute(_LAST_LINE).scalar_one()))

    # -- refresh families -------------------------------------------------------------------

    async def open_family(
        self, family: Family, first: RefreshToken, event: Event, *, basis: Basis | None = None
    ) -> bool:
        """See `Store.open_family`."""

        def work(db: Connection) -> bool:
            if not _holds(db, basis):
                return False
            lines = select(t.revocation.c.number).where(
                t.revocation.c.kind == Revoked.FAMILY.value, t.revocation.c.key == family.id
            )
            if db.execute(lines).first() is not None:
                return False
            db.execute(
                _ADD_FAMILY,
                {
                    "id": family.id,
                    "authorization": family.authorization,
                    "subject": family.subject,
                    "client": family.client,
                    "resource": family.resource,
                    "scopes": str(family.scopes),
                    "authenticated_at": family.authenticated_at,
                    "created_at": family.created_at,
                    "expires_at": family.expires_at,
                    "revoked_at": family.revoked_at,
                    "reason": family.reason,
                },
            )
            _insert_token(db, first)
            _write_down(db, replace(event, object=family.id))
            return True

        return await self._write(work)

    async def family(self, id: str) -> Family | None:
        """See `Store.family`."""
        return await self._read(lambda db: _first(db, t.family, t.family.c.id == id, _family))

    async def families(self, *, subject: str | None = None, client: str | None = None) -> Sequence[Family]:
        """See `Store.families`."""
        statement = (
            select(t.family)
            .where(_of(t.family, subject, client), t.family.c.revoked_at.is_(None))
            .order_by(t.family.c.created_at, t.family.c.id)
        )
        return await self._scan(lambda db: [_family(row) for row in db.execute(statement)])

    async def refresh_token(self, digest: str) -> tuple[RefreshToken, Family] | None:
        """See `Store.refresh_token`."""
        return await self._read(lambda db: _load_token(db, digest))

    async def rotate(self, rotation: Rotation, event: Event, *, basis: Basis | None = None) -> Rotated:
        """See `Store.rotate`."""

        def work(db: Connection) -> Rotated:
            given = {"presented": rotation.digest, "client": rotation.client, "now": rotation.now}
            holds = _holds(db, basis)
            spent = db.execute(_SPEND, given).first() if holds else None
            if spent is not None:
                _insert_token(
                    db,
                    RefreshToken(
                        rotation.successor, spent.family, spent.generation + 1, rotation.now, rotation.expires_at
                    ),
                )
                _write_down(db, replace(event, what=f"refresh.{Rotated.FIRST_TIME.value}", object=spent.family))
                return Rotated.FIRST_TIME
            found = _load_token(db, rotation.digest)
            if found is None:
                return Rotated.UNKNOWN
            token, family = found
            outcome = _judge(db, token, family, rotation)
            if not holds and (outcome is Rotated.RETRIED or _could_be_spent(token, family, rotation)):
                return Rotated.STALE
            if outcome is Rotated.REPLAYED:
                _end(db, _replayed(family.id, rotation.now, rotation.feed_until, "a spent refresh token"))
            _write_down(db, replace(event, what=f"refresh.{outcome.value}", object=family.id))
            return outcome

        return await self._write(work)

    # -- codes, devices, pushed requests, one-time names -------------------------------------

    async def add_code(self, code: Code) -> None:
        """See `Store.add_code`."""
        statement = insert(t.code).values(
            digest=code.digest,
            authorization=code.authorization,
            subject=code.subject,
            client=code.client,
            resource=code.resource,
            redirect=code.redirect,
            redirect_given=code.redirect_given,
            challenge=code.challenge,
            scopes=str(code.scopes),
            authenticated_at=code.authenticated_at,
            issued_at=code.issued_at,
            expires_at=code.expires_at,
            family=code.family,
            spent_at=code.spent_at,
        )
        await self._write(lambda db: db.execute(statement))

    async def redeem_code(
        self, digest: str, now: float, *, feed_until: float, event: Event
    ) -> tuple[Redeemed, Code | None]:
        """See `Store.redeem_code`."""

        def work(db: Connection) -> tuple[Redeemed, Code | None]:
            first = db.execute(
                update(t.code)
                .where(t.code.c.digest == digest, t.code.c.spent_at.is_(None), t.code.c.expires_at > now)
                .values(spent_at=now)
            ).rowcount
            code = _first(db, t.code, t.code.c.digest == digest, _code)
            if first:
                return Redeemed.FIRST_TIME, code
            if code is None or code.spent_at is None:
                return Redeemed.UNKNOWN, None
            # Not before the first time: the clocks of two processes differ, and what came of it is meant.
            line = _replayed(code.family, max(now, code.spent_at), feed_until, "an authorization code")
            known = _first(db, t.family, t.family.c.id == code.family, _family) is not None
            about = and_(t.revocation.c.kind == Revoked.FAMILY.value, t.revocation.c.key == code.family)
            told = db.execute(select(t.revocation.c.number).where(about)).first() is not None
            if not _end(db, line) and not known and not told:
                # The first redemption is still on its way: its family must not begin.
                _tell(db, line)
            _write_down(db, replace(event, what="code.replayed", subject=code.subject, object=code.family))
            return Redeemed.AGAIN, code

        return await self._write(work)

    async def add_device_code(self, code: DeviceCode) -> bool:
        """See `Store.add_device_code`."""

        def work(db: Connection) -> bool:
            return bool(
                db.execute(
                    _insert_new(db, t.device_code).values(
                        digest=code.digest,
                        user_code=code.user_code,
                        client=code.client,
                        resource=code.resource,
                        scopes=_optional(code.scopes),
                        issued_at=code.issued_at,
                        expires_at=code.expires_at,
                        interval=code.interval,
                        polled_at=code.polled_at,
                        state=code.state.value,
                        subject=code.subject,
                        authorization=code.authorization,
                        authenticated_at=code.authenticated_at,
                    )
                ).rowcount
            )

        return await self._write(work)

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """See `Store.device_code_of_user`."""
        which = and_(
            t.device_code.c.user_code == user_code,
            t.device_code.c.state == DeviceState.PENDING.value,
            t.device_code.c.expires_at > now,
        )
        return await self._read(lambda db: _first(db, t.device_code, which, _device_code))

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """See `Store.decide_device_code`."""
        statement = (
            update(t.device_code)
            .where(
                t.device_code.c.digest == decided.digest,
                t.device_code.c.state == DeviceState.PENDING.value,
                t.device_code.c.expires_at > event.at,
            )
            .values(
                state=decided.state.value,
                scopes=_optional(decided.scopes),
                subject=decided.subject,
                authorization=decided.authorization,
                authenticated_at=decided.authenticated_at,
            )
        )

        def work(db: Connection) -> bool:
            if not db.execute(statement).rowcount:
                return False
            _write_down(db, event)
            return True

        return await self._write(work)

    async def poll_device_code(self, digest: str, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
        """See `Store.poll_device_code`."""

        def work(db: Connection) -> tuple[Polled, DeviceCode | None]:
            which = t.device_code.c.digest == digest
            # The lock is PostgreSQL's; SQLite lets in one writer at a time anyway.
            row = db.execute(select(t.device_code).where(which).with_for_update()).first()
            code = _device_code(row) if row is not None else None
            if code is None or code.client != client or code.state is DeviceState.SPENT:
                return Polled.UNKNOWN, None
            if code.expires_at <= now:
                return Polled.EXPIRED, None
            if code.state is DeviceState.DENIED:
                return Polled.DENIED, None
            too_fast = code.polled_at is not None and now - code.polled_at < code.interval
            # RFC 8628 section 3.5: "the interval MUST be increased by 5 seconds for this and all subsequent requests".
            code = replace(code, polled_at=now, interval=code.interval + 5 if too_fast else code.interval)
            approved = code.state is DeviceState.APPROVED and not too_fast
            db.execute(
                update(t.device_code)
                .where(which)
                .values(
                    polled_at=now,
                    interval=code.interval,
                    state=DeviceState.SPENT.value if approved else code.state.value,
                )
            )
            if too_fast:
                return Polled.TOO_FAST, code
            return (Polled.APPROVED if approved else Polled.PENDING), code

        return await self._write(work)

    async def push_request(self, request: PushedRequest) -> None:
        """See `Store.push_request`."""
        statement = insert(t.pushed_request).values(
            digest=request.digest,
            client=request.client,
            parameters=json.dumps(request.parameters),
            expires_at=request.expires_at,
        )
        await self._write(lambda db: db.execute(statement))

    async def pushed_request(self, digest: str, now: float) -> PushedRequest | None:
        """See `Store.pushed_request`."""
        which = and_(t.pushed_request.c.digest == digest, t.pushed_request.c.expires_at > now)
        return await self._read(lambda db: _first(db, t.pushed_request, which, _pushed_request))

    async def spend_pushed_request(self, digest: str) -> bool:
        """See `Store.spend_pushed_request`."""
        statement = delete(t.pushed_request).where(t.pushed_request.c.digest == digest)
        return await self._write(lambda db: db.execute(statement).rowcount == 1)

    async def claim(self, name: str, now: float, until: float) -> Claimed:
        """See `Store.claim`."""

        def work(db: Connection) -> Claimed:
            fresh = _dialect(db).insert(t.claimed).values(name=name, until=until)
            statement = fresh.on_conflict_do_update(
                index_elements=[t.claimed.c.name], set_={"until": until}, where=t.claimed.c.until <= now
            )
            return Claimed.FIRST_TIME if db.execute(statement).rowcount else Claimed.AGAIN

        return await self._write(work)

    # -- sessions -------------------------------------------------------------------------------

    async def open_session(
        self, session: Session, event: Event, *, account: Account, instead_of: str | None = None
    ) -> bool:
        """See `Store.open_session`."""

        def work(db: Connection) -> bool:
            c = t.account.c
            same = and_(c.id == account.id, c.version == account.version, c.disabled_at.is_(None))
            # The lock is PostgreSQL's, as for devices: whoever disables the person waits, or went first.
            if db.execute(select(c.id).where(same).with_for_update()).first() is None:
                return False
            db.execute(delete(t.session).where(t.session.c.digest == (instead_of or "")))
            db.execute(
                insert(t.session).values(
                    digest=session.digest,
                    subject=session.subject,
                    authenticated_at=session.authenticated_at,
                    idle_until=session.idle_until,
                    expires_at=session.expires_at,
                )
            )
            _write_down(db, event)
            return True

        return await self._write(work)

    async def session(self, digest: str, now: float) -> Session | None:
        """See `Store.session`."""
        c = t.session.c
        which = and_(c.digest == digest, c.idle_until > now, c.expires_at > now)
        return await self._read(lambda db: _first(db, t.session, which, _session))

    async def prolong_session(self, digest: str, idle_until: float) -> bool:
        """See `Store.prolong_session`."""
        statement = update(t.session).where(t.session.c.digest == digest).values(idle_until=idle_until)
        return await self._write(lambda db: db.execute(statement).rowcount == 1)

    async def close_session(self, digest: str, event: Event) -> bool:
        """See `Store.close_session`."""

        def work(db: Connection) -> bool:
            if not db.execute(delete(t.session).where(t.session.c.digest == digest)).rowcount:
                return False
            _write_down(db, event)
            return True

        return await self._write(work)

    # -- keys, secrets, journal ---------------------------------------------------------------

    async def keys(self) -> Sequence[StoredKey]:
        """See `Store.keys`."""
        return await self._read(_load_keys)

    async def turn_keys(
        self, keys: Sequence[StoredKey], dropped: Sequence[str], was: Sequence[str], event: Event
    ) -> bool:
        """See `Store.turn_keys`."""

        def work(db: Connection) -> bool:
            _alone(db, "keys")
            if {f"{key.kid}:{key.state.value}" for key in _load_keys(db)} != set(was):
                return False
            db.execute(delete(t.signing_key).where(t.signing_key.c.kid.in_(list(dropped))))
            for key in keys:
                _put_key(db, key)
            _write_down(db, event)
            return True

        return await self._write(work)

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """See `Store.secret`."""

        def look(db: Connection) -> bytes | None:
            return db.execute(select(t.secret.c.value).where(t.secret.c.name == name)).scalar()

        def work(db: Connection) -> bytes:
            db.execute(_insert_new(db, t.secret).values(name=name, value=fresh))
            return bytes(look(db) or b"")

        known = await self._read(look)
        return known if known is not None else await self._write(work)

    async def record(self, event: Event, *, basis: Basis | None = None) -> bool:
        """See `Store.record`."""

        def work(db: Connection) -> bool:
            if not _holds(db, basis):
                return False
            _write_down(db, event)
            return True

        return await self._write(work)

    async def journal(
        self, *, before: int | None = None, limit: int = 100, subject: str | None = None, client: str | None = None
    ) -> Sequence[Event]:
        """See `Store.journal`."""
        statement = (
            select(t.journal).where(_of(t.journal, subject, client)).order_by(t.journal.c.number.desc()).limit(limit)
        )
        if before is not None:
            statement = statement.where(t.journal.c.number < before)
        return await self._scan(lambda db: [_event(row) for row in db.execute(statement)])

    async def purge(
        self, now: float, *, journal_before: float | None = None, unused_before: float | None = None
    ) -> int:
        """See `Store.purge`."""

        def work(db: Connection) -> int:
            ended = select(t.family.c.id).where(t.family.c.expires_at <= now)
            living = select(t.family.c.id).where(t.family.c.id == t.code.c.family, t.family.c.expires_at > now)
            gone = (
                delete(t.code).where(
                    t.code.c.expires_at + CODE_KEPT <= now, or_(t.code.c.spent_at.is_(None), ~living.exists())
                ),
                delete(t.refresh_token).where(t.refresh_token.c.family.in_(ended)),
                delete(t.family).where(t.family.c.expires_at <= now),
                delete(t.device_code).where(t.device_code.c.expires_at <= now),
                delete(t.pushed_request).where(t.pushed_request.c.expires_at <= now),
                delete(t.claimed).where(t.claimed.c.until <= now),
                delete(t.session).where(or_(t.session.c.idle_until <= now, t.session.c.expires_at <= now)),
                # The newest line keeps its number from being forgotten.
                delete(t.revocation).where(
                    t.revocation.c.until <= now, t.revocation.c.number < _LAST_LINE.scalar_subquery()
                ),
            )
            count = sum(db.execute(statement).rowcount for statement in gone)
            if unused_before is not None:
                old = t.client.c.created_at < unused_before
                count += db.execute(delete(t.client).where(_unused(), old)).rowcount
            if journal_before is not None:
                count += db.execute(delete(t.journal).where(t.journal.c.at < journal_before)).rowcount
            return count

        return await self._write(work)

    async def check(self) -> None:
        """See `Store.check`."""
        await self._read(lambda db: db.execute(select(func.count()).select_from(t.signing_key)).scalar())

    async def close(self) -> None:
        """See `Store.close`."""
        raise NotImplementedError


# -- statements that several verbs share -------------------------------------------------------


def _unused() -> ColumnElement[bool]:
    """Clients that registered themselves and that nobody ever let do anything."""
    used = select(t.authorization.c.id).where(t.authorization.c.client == t.client.c.id)
    return and_(t.client.c.registered, ~used.exists())


def _dialect(db: Connection) -> Any:
    return postgresql if db.dialect.name == "postgresql" else sqlite


def _insert_new(db: Connection, table: Table) -> Any:
    """An INSERT that does nothing where the key is taken; `rowcount` tells."""
    return _dialect(db).insert(table).on_conflict_do_nothing()


def _alone(db: Connection, name: str, *, shared: bool = False) -> None:
    """Let one transaction at a time past, or many that share; where a decision rests on many rows. SQLite always does.

    The lock is held until the transaction ends.
    """
    if db.dialect.name == "postgresql":
        lock = func.pg_advisory_xact_lock_shared if shared else func.pg_advisory_xact_lock
        db.execute(select(lock(func.hashtext(f"bailiwick {name}"))))


def _first(db: Connection, table: Table, which: ColumnElement[bool], make: Callable[[Row[Any]], _T]) -> _T | None:
    row = db.execute(select(table).where(which)).first()
    return None if row is None else make(row)


def _of(table: Table, subject: str | None, client: str | None) -> ColumnElement[bool]:
    """Rows of a person, of a client, of both, or all."""
    wanted = [table.c.number > 0] if "number" in table.c else [table.c.id != ""]
    if subject is not None:
        wanted.append(table.c.subject == subject)
    if client is not None:
        wanted.append(table.c.client == client)
    return and_(*wanted)


def _put(db: Connection, record: Client | Account | RoleRecord) -> bool:
    table, values = _values(record)
    key = next(iter(table.primary_key))
    if isinstance(record, Account):
        other = select(t.account.c.id).where(t.account.c.name_key == values["name_key"], t.account.c.id != record.id)
        if db.execute(other).first() is not None:
            return False
    statement = update(table).where(key == values[key.name], table.c.version == record.version)
    if not db.execute(statement.values(values | {"version": record.version + 1})).rowcount:
        return False
    if isinstance(record, Account):
        db.execute(delete(t.account_role).where(t.account_role.c.account == record.id))
        _give_roles(db, record)
    return True


def _give_roles(db: Connection, record: Account) -> None:
    # Only roles that exist, so that one which was dropped meanwhile is not given.
    db.execute(
        insert(t.account_role).from_select(
            ["account", "role"],
            select(literal(record.id, Text), t.role.c.name).where(t.role.c.name.in_(sorted(record.roles))),
        )
    )


def _consent_to(db: Connection, found: Authorization, row: ConsentedScope, by: str) -> int:
    """Make one scope of an authorization live; 1 if that changed something."""
    values = {
        "granted_at": row.granted_at,
        "via": row.via,
        "withdrawn_at": row.withdrawn_at,
        "withdrawn_by": row.withdrawn_by,
    }
    c = t.authorization_scope.c
    position = select(func.coalesce(func.max(c.position), 0) + 1).where(c.authorization == found.id).scalar_subquery()
    may: ColumnElement[bool] = c.withdrawn_at.is_not(None)
    if by != "operator":
        may = and_(may, c.withdrawn_by != "operator")
    statement = (
        _dialect(db)
        .insert(t.authorization_scope)
        .values(authorization=found.id, scope=row.scope, position=position, **values)
        .on_conflict_do_update(index_elements=[c.authorization, c.scope], set_=values, where=may)
    )
    return int(db.execute(statement).rowcount)


def _end(db: Connection, revocation: Revocation) -> int:
    """Carry a revocation out, with its line in the feed."""
    changed = 0
    kind = revocation.kind
    if kind is Revoked.TOKEN:
        known = select(t.revocation.c.number).where(
            t.revocation.c.kind == kind.value, t.revocation.c.key == revocation.key
        )
        changed = int(db.execute(known).first() is None)
    elif kind in (Revoked.SCOPE, Revoked.AUTHORIZATION):
        changed = _withdraw(db, revocation)
    if kind is Revoked.SUBJECT:
        db.execute(delete(t.session).where(t.session.c.subject == revocation.key))
    _drop_pending(db, revocation)
    column = {
        Revoked.FAMILY: t.family.c.id,
        Revoked.AUTHORIZATION: t.family.c.authorization,
        Revoked.SUBJECT: t.family.c.subject,
        Revoked.CLIENT: t.family.c.client,
    }.get(kind)
    if column is not None:
        changed += db.execute(
            update(t.family)
            .where(column == revocation.key, t.family.c.revoked_at.is_(None))
            .values(revoked_at=revocation.at, reason=revocation.reason)
        ).rowcount
    if changed or kind in (Revoked.SUBJECT, Revoked.CLIENT):
        _tell(db, revocation)
    return changed


def _drop_pending(db: Connection, revocation: Revocation) -> None:
    """Forget what was allowed and not fetched yet: it must not begin anew what has just ended."""
    column = {
        Revoked.AUTHORIZATION: "authorization",
        Revoked.SUBJECT: "subject",
        Revoked.CLIENT: "client",
    }.get(revocation.kind)
    if column is None:
        return
    # A code that was spent stays, so that a replay is known for one.
    fresh = and_(t.code.c.expires_at > revocation.at, t.code.c.spent_at.is_(None))
    db.execute(delete(t.code).where(fresh, t.code.c[column] == revocation.key))
    fresh = t.device_code.c.expires_at > revocation.at
    db.execute(delete(t.device_code).where(fresh, t.device_code.c[column] == revocation.key))


def _withdraw(db: Connection, revocation: Revocation) -> int:
    c = t.authorization_scope.c
    may: ColumnElement[bool] = c.withdrawn_at.is_(None)
    if revocation.by == "operator":
        # An operator's word replaces a person's: the person alone cannot take it back any more.
        may = or_(may, c.withdrawn_by == "person")
    which = and_(c.authorization == revocation.key, may)
    if revocation.kind is Revoked.SCOPE:
        which = and_(which, c.scope == revocation.scope)
    return db.execute(
        update(t.authorization_scope)
        .where(which)
        .values(withdrawn_at=func.coalesce(c.withdrawn_at, revocation.at), withdrawn_by=revocation.by)
    ).rowcount


def _holds(db: Connection, basis: Basis | None) -> bool:
    """Whether nothing was revoked since that an issuance was decided on."""
    if basis is None:
        return True
    # On PostgreSQL whoever revokes waits until whoever issues has committed, or went first and is seen; SQLite
    # lets in one writer at a time anyway.
    _alone(db, "feed", shared=True)
    given = {"keys": basis.keys, "seen": basis.seen, "subject": basis.subject, "proved_at": basis.proved_at}
    return db.execute(_OVERTAKEN, given).first() is None


def _tell(db: Connection, revocation: Revocation) -> None:
    # So that numbers are given in the order in which their transactions are committed.
    _alone(db, "feed")
    db.execute(
        insert(t.revocation).values(
            kind=revocation.kind.value,
            key=revocation.key,
            at=revocation.at,
            until=revocation.until,
            scope=revocation.scope,
            by=revocation.by,
            reason=revocation.reason,
        )
    )


def _replayed(family: str, now: float, until: float, what: str) -> Revocation:
    return Revocation(Revoked.FAMILY, family, now, until, by="authority", reason=f"{what} was presented again")


def _insert_token(db: Connection, token: RefreshToken) -> None:
    db.execute(
        _ADD_TOKEN,
        {
            "digest": token.digest,
            "family": token.family,
            "generation": token.generation,
            "issued_at": token.issued_at,
            "expires_at": token.expires_at,
            "spent_at": token.spent_at,
        },
    )


def _could_be_spent(token: RefreshToken, family: Family, rotation: Rotation) -> bool:
    """What `_SPEND` asks."""
    living = family.client == rotation.client and family.revoked_at is None and family.expires_at > rotation.now
    return living and token.spent_at is None and token.expires_at > rotation.now


def _judge(db: Connection, token: RefreshToken, family: Family, rotation: Rotation) -> Rotated:
    """Why a token was not spent just now."""
    if family.client != rotation.client:
        return Rotated.FOREIGN
    if family.revoked_at is not None:
        return Rotated.REVOKED
    if family.expires_at <= rotation.now:
        return Rotated.EXPIRED
    if token.spent_at is None:
        return Rotated.EXPIRED
    successor = _load_token(db, rotation.successor)
    unused = successor is not None and successor[0].family == family.id and successor[0].spent_at is None
    within = rotation.now - token.spent_at <= rotation.grace
    return Rotated.RETRIED if within and unused else Rotated.REPLAYED


def _put_key(db: Connection, key: StoredKey) -> None:
    values = {
        "alg": key.alg,
        "private": key.private,
        "created_at": key.created_at,
        "state": key.state.value,
        "changed_at": key.changed_at,
        "sealed_with": key.sealed_with,
    }
    db.execute(
        _dialect(db)
        .insert(t.signing_key)
        .values(kid=key.kid, **values)
        .on_conflict_do_update(index_elements=[t.signing_key.c.kid], set_=values)
    )


def _write_down(db: Connection, event: Event) -> None:
    db.execute(
        _WRITE_DOWN,
        {
            "at": event.at,
            "what": event.what,
            "actor": event.actor,
            "subject": event.subject,
            "client": event.client,
            "object": event.object,
            "detail": event.detail[:DETAIL_KEPT],
            "address": event.origin.address[:AGENT_KEPT],
            "agent": event.origin.agent[:AGENT_KEPT],
        },
    )


# -- rows to records and back --------------------------------------------------------------------


def _optional(scopes: ScopeSet | None) -> str | None:
    return None if scopes is None else str(scopes)


def _parsed(text: str | None) -> ScopeSet | None:
    return None if text is None else ScopeSet.parse(text)


def _values(record: Client | Account | RoleRecord) -> tuple[Table, dict[str, Any]]:
    match record:
        case Client():
            return t.client, {
                "id": record.id,
                "name": record.name,
                "auth": record.auth.value,
                "secret": record.secret,
                "grants": json.dumps(sorted(grant.value for grant in record.grants)),
                "ceiling": str(record.ceiling),
                "default_scopes": _optional(record.default),
                "redirects": json.dumps(record.redirects),
                "first_party": record.first_party,
                "introspects": json.dumps(sorted(record.introspects)),
                "created_at": record.created_at,
                "disabled_at": record.disabled_at,
                "version": record.version,
                "required_scopes": str(record.required),
                "jwks": record.jwks,
                "tls": record.tls,
                "registered": record.registered,
                "registration": record.registration,
            }
        case Account():
            return t.account, {
                "id": record.id,
                "name": record.name,
                "name_key": name_key(record.name),
                "password": record.password,
                "scopes": str(record.grants),
                "created_at": record.created_at,
                "disabled_at": record.disabled_at,
                "version": record.version,
            }
        case RoleRecord():
            return t.role, {"name": record.name, "scopes": str(record.scopes), "version": record.version}


def _client(row: Row[Any]) -> Client:
    return Client(
        id=row.id,
        name=row.name,
        auth=ClientAuth(row.auth),
        grants=frozenset(GrantType(grant) for grant in json.loads(row.grants)),
        ceiling=ScopeSet.parse(row.ceiling),
        created_at=row.created_at,
        secret=row.secret,
        default=_parsed(row.default_scopes),
        redirects=tuple(json.loads(row.redirects)),
        first_party=row.first_party,
        introspects=frozenset(json.loads(row.introspects)),
        disabled_at=row.disabled_at,
        version=row.version,
        required=ScopeSet.parse(row.required_scopes),
        jwks=row.jwks,
        tls=row.tls,
        registered=row.registered,
        registration=row.registration,
    )


def _account(rows: Sequence[Row[Any]]) -> Account:
    """A person, of the rows that tell of each of their roles."""
    row = rows[0]
    return Account(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        password=row.password,
        roles=frozenset(one.role for one in rows if one.role is not None),
        grants=ScopeSet.parse(row.scopes),
        disabled_at=row.disabled_at,
        version=row.version,
    )


def _person(rows: Sequence[Row[Any]]) -> Account | None:
    return _account(rows) if rows else None


def _authorizations(rows: Sequence[Row[Any]]) -> list[Authorization]:
    """Authorizations, of the rows that tell of each of their scopes."""
    made = []
    for _, group in groupby(rows, key=lambda row: row.bw_authorization_id):
        of_one = list(group)
        row = of_one[0]
        made.append(
            Authorization(
                row.bw_authorization_id,
                row.bw_authorization_subject,
                row.bw_authorization_client,
                row.bw_authorization_resource,
                row.bw_authorization_created_at,
                tuple(
                    ConsentedScope(
                        one.bw_authorization_scope_scope,
                        one.bw_authorization_scope_granted_at,
                        one.bw_authorization_scope_via,
                        one.bw_authorization_scope_withdrawn_at,
                        one.bw_authorization_scope_withdrawn_by,
                    )
                    for one in of_one
                    if one.bw_authorization_scope_scope is not None
                ),
            )
        )
    return made


def _authorization(db: Connection, id: str) -> Authorization | None:
    return next(iter(_authorizations(db.execute(_AUTHORIZATION_BY_ID, {"id": id}).all())), None)


def _between(db: Connection, subject: str, client: str, resource: str) -> Authorization | None:
    three = {"subject": subject, "client": client, "resource": resource}
    return next(iter(_authorizations(db.execute(_AUTHORIZATION_BETWEEN, three).all())), None)


def _family(row: Row[Any]) -> Family:
    return Family(
        id=row.id,
        authorization=row.authorization,
        subject=row.subject,
        client=row.client,
        resource=row.resource,
        scopes=ScopeSet.parse(row.scopes),
        authenticated_at=row.authenticated_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
        revoked_at=row.revoked_at,
        reason=row.reason,
    )


def _load_token(db: Connection, digest: str) -> tuple[RefreshToken, Family] | None:
    row = db.execute(_TOKEN, {"digest": digest}).first()
    if row is None:
        return None
    token = RefreshToken(
        row.bw_refresh_token_digest,
        row.bw_refresh_token_family,
        row.bw_refresh_token_generation,
        row.bw_refresh_token_issued_at,
        row.bw_refresh_token_expires_at,
        row.bw_refresh_token_spent_at,
    )
    family = Family(
        id=row.bw_family_id,
        authorization=row.bw_family_authorization,
        subject=row.bw_family_subject,
        client=row.bw_family_client,
        resource=row.bw_family_resource,
        scopes=ScopeSet.parse(row.bw_family_scopes),
        authenticated_at=row.bw_family_authenticated_at,
        created_at=row.bw_family_created_at,
        expires_at=row.bw_family_expires_at,
        revoked_at=row.bw_family_revoked_at,
        reason=row.bw_family_reason,
    )
    return token, family


def _code(row: Row[Any]) -> Code:
    return Code(
        digest=row.digest,
        authorization=row.authorization,
        subject=row.subject,
        client=row.client,
        resource=row.resource,
        redirect=row.redirect,
        redirect_given=row.redirect_given,
        challenge=row.challenge,
        scopes=ScopeSet.parse(row.scopes),
        authenticated_at=row.authenticated_at,
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        family=row.family,
        spent_at=row.spent_at,
    )


def _device_code(row: Row[Any]) -> DeviceCode:
    return DeviceCode(
        digest=row.digest,
        user_code=row.user_code,
        client=row.client,
        resource=row.resource,
        scopes=_parsed(row.scopes),
        issued_at=row.issued_at,
        expires_at=row.expires_at,
        interval=row.interval,
        polled_at=row.polled_at,
        state=DeviceState(row.state),
        subject=row.subject,
        authorization=row.authorization,
        authenticated_at=row.authenticated_at,
    )


def _pushed_request(row: Row[Any]) -> PushedRequest:
    parameters = tuple((name, value) for name, value in json.loads(row.parameters))
    return PushedRequest(row.digest, row.client, parameters, row.expires_at)


def _session(row: Row[Any]) -> Session:
    return Session(row.digest, row.subject, row.authenticated_at, row.idle_until, row.expires_at)


def _revocation(row: Row[Any]) -> Revocation:
    return Revocation(Revoked(row.kind), row.key, row.at, row.until, row.scope, row.by, row.reason, row.number)


def _load_keys(db: Connection) -> list[StoredKey]:
    statement = select(t.signing_key).order_by(t.signing_key.c.created_at, t.signing_key.c.kid)
    return [
        StoredKey(row.kid, row.alg, row.private, row.created_at, KeyState(row.state), row.changed_at, row.sealed_with)
        for row in db.execute(statement)
    ]


def _event(row: Row[Any]) -> Event:
    origin = Origin(row.address, row.agent)
    return Event(row.at, row.what, row.actor, row.subject, row.client, row.object, row.detail, origin, row.number)
