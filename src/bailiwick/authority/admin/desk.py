"""The desk that every act passes: who acts, when and from where, and how it is written down."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Final, Self, TypeVar

from bailiwick.authority.accounts import PasswordHasher
from bailiwick.authority.ids import TokenBytes
from bailiwick.authority.records import Account, Client, Event, Origin, Revocation, Revoked, RoleRecord
from bailiwick.authority.refusals import Refusals
from bailiwick.authority.settings import Settings
from bailiwick.authority.store import Store
from bailiwick.errors import ConfigurationError
from bailiwick.scopes import Catalog, ScopeSet

__all__ = ["TRIES", "Desk", "contended", "counted"]

# An act that somebody else's change made void is tried again, this often at most.
TRIES: Final = 5

_Record = TypeVar("_Record", Account, Client, RoleRecord)


class Desk:
    """What the acts share; its arguments are told at `Admin`."""

    def __init__(
        self,
        catalog: Catalog,
        settings: Settings,
        store: Store,
        hasher: PasswordHasher,
        refusals: Refusals,
        *,
        token_bytes: TokenBytes,
        clock: Callable[[], float],
        actor: str = "operator",
        origin: Origin | None = None,
    ) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._hasher = hasher
        self._refusals = refusals
        self._token_bytes = token_bytes
        self._clock = clock
        self._actor = actor
        self._origin = origin or Origin()

    def acting_as(self, actor: str, origin: Origin | None = None) -> Self:
        """The same desk with another operator behind it."""
        return type(self)(
            self._catalog,
            self._settings,
            self._store,
            self._hasher,
            self._refusals,
            token_bytes=self._token_bytes,
            clock=self._clock,
            actor=actor,
            origin=origin or self._origin,
        )

    def _event(
        self,
        what: str,
        *,
        subject: str = "",
        client: str = "",
        object: str = "",
        detail: str = "",
    ) -> Event:
        return Event(self._clock(), what, self._actor, subject, client, object, detail, self._origin)

    def _revocation(self, kind: Revoked, key: str, reason: str, scope: str = "") -> Revocation:
        now = self._clock()
        return Revocation(kind, key, now, self._settings.feed_until(now), scope, "operator", reason)

    async def _revoke(
        self, kind: Revoked, key: str, *, scope: str = "", subject: str = "", client: str = "", detail: str = ""
    ) -> int:
        event = self._event(f"{kind.value}.revoked", subject=subject, client=client, object=key, detail=detail)
        return await self._store.revoke(self._revocation(kind, key, "revoked by an operator", scope), event)

    def _known(self, scopes: Iterable[str], whose: str) -> ScopeSet:
        named = ScopeSet(scopes)
        for name in named:
            if not self._catalog.knows(name):
                raise ConfigurationError(
                    f"{whose} names {name!r}, which the catalog does not know.{self._catalog.nearest(name)}", id="BW102"
                )
        return named


def contended(what: str) -> ConfigurationError:
    """What is said when others were faster, time and again."""
    return ConfigurationError(f"Somebody else keeps changing {what}; nothing was changed.", id="BW130")


def counted(record: _Record) -> _Record:
    """A record as the store has it, once it was changed."""
    return replace(record, version=record.version + 1)
