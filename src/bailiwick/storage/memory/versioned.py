"""Records that count their versions: whoever changes one has seen the newest."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.authority.records import Account, Client, Event, Revocation, RoleRecord

from .people import People
from .revocations import Revocations

__all__ = ["Versioned"]


class Versioned(People, Revocations):
    """The verbs of `Store` that add and change a client, a person or a role."""

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
                holder = self._holder_of(record.name)
                if holder is not None and holder.id != record.id:
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
