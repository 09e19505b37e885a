"""People, and the roles that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from bailiwick.authority.records import Account, Event, RoleRecord, Standing, is_name_length, name_key
from bailiwick.scopes import ScopeSet

from .journal import Journal

__all__ = ["People"]


class People(Journal):
    """The verbs of `Store` about people and roles."""

    async def account(self, id: str) -> Account | None:
        """See `Store.account`."""
        return self._accounts.get(id)

    async def account_named(self, name: str) -> Account | None:
        """See `Store.account_named`."""
        if not is_name_length(name):
            return None
        with self._lock:
            return self._holder_of(name)

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

    def _holder_of(self, name: str) -> Account | None:
        key = name_key(name)
        return next((one for one in self._accounts.values() if name_key(one.name) == key), None)
