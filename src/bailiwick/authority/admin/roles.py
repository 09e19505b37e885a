"""What an operator may do with roles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from bailiwick.authority.records import RoleRecord
from bailiwick.errors import ConfigurationError

from .desk import TRIES, Desk, contended

__all__ = ["Roles"]


class Roles(Desk):
    """Acts on roles."""

    async def seed_roles(self) -> int:
        """Write the catalog's roles into a store that does not have them; those it has stay as they are.

        Returns:
            How many were new.
        """
        have = {role.name for role in await self._store.roles()}
        new = 0
        for role in self._catalog.roles.values():
            if role.name not in have:
                event = self._event("role.seeded", object=role.name, detail=str(role.scopes))
                new += await self._store.add(RoleRecord(role.name, role.scopes), event)
        return new

    async def set_role(self, name: str, scopes: Iterable[str]) -> RoleRecord:
        """Say what a role holds, new or known; whoever has it has that at their next issuance.

        Raises:
            ConfigurationError: an unknown scope (BW107), or none.
        """
        held = self._known(scopes, f"The role {name!r}")
        if not name or not held:
            raise ConfigurationError("A role needs a name and at least one scope.", id="BW130")
        for _ in range(TRIES):
            found = await self._role(name)
            event = self._event("role.set", object=name, detail=str(held))
            if found is None:
                if await self._store.add(RoleRecord(name, held), event):
                    return RoleRecord(name, held)
            elif await self._store.change(replace(found, scopes=held), event):
                return replace(found, scopes=held, version=found.version + 1)
        raise contended(f"the role {name!r}")

    async def add_role(self, name: str, scopes: Iterable[str]) -> RoleRecord:
        """Make a role that did not exist.

        Raises:
            ConfigurationError: there is one of that name (BW106), an unknown scope, or none.
        """
        if await self._role(name) is not None:
            raise ConfigurationError(f"There is a role {name!r} already.", id="BW106")
        return await self.set_role(name, scopes)

    async def role(self, name: str) -> RoleRecord:
        """The role of that name.

        Raises:
            ConfigurationError: there is none.
        """
        found = await self._role(name)
        if found is None:
            raise _no_role(name, [role.name for role in await self._store.roles()])
        return found

    async def drop_role(self, name: str) -> None:
        """Delete a role and take it from everybody.

        Raises:
            ConfigurationError: there is none of that name, or the catalog declares it, whose roles every start
                makes anew.
        """
        if name in self._catalog.roles:
            raise ConfigurationError(
                f"The catalog declares the role {name!r}, so the next start would make it again; "
                "remove it from the catalog first, or take away its scopes.",
                id="BW130",
            )
        if not await self._store.drop_role(name, self._event("role.dropped", object=name)):
            raise ConfigurationError(f"There is no role {name!r}.", id="BW130")

    async def roles(self) -> Sequence[RoleRecord]:
        """Every role, by name."""
        return await self._store.roles()

    async def _role(self, name: str) -> RoleRecord | None:
        return next((role for role in await self._store.roles() if role.name == name), None)

    async def _known_roles(self, roles: Iterable[str]) -> frozenset[str]:
        named = frozenset(roles)
        known = {role.name for role in await self._store.roles()}
        if unknown := sorted(named - known):
            raise _no_role(unknown[0], known)
        return named


def _no_role(name: str, known: Iterable[str]) -> ConfigurationError:
    return ConfigurationError(
        f"There is no role {name!r}. Known are: {', '.join(sorted(known)) or 'none'}.", id="BW130"
    )
