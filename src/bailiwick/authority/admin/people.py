"""What an operator may do with people."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from bailiwick.authority.accounts import MAX_PASSWORD, prepare_password
from bailiwick.authority.ids import mint_account
from bailiwick.authority.records import MAX_NAME, Account, Revoked, is_name_length
from bailiwick.errors import ConfigurationError
from bailiwick.scopes import ScopeSet

from .desk import TRIES, contended, counted
from .roles import Roles

__all__ = ["People"]


class People(Roles):
    """Acts on people."""

    async def create_account(
        self, name: str, password: str | None, *, roles: Iterable[str] = (), grants: Iterable[str] = ()
    ) -> Account:
        """Add a person.

        Args:
            name: what they log in with; unlike every other name, whatever its case.
            password: None for somebody who cannot log in by password.
            roles: names of roles that exist.
            grants: scopes given directly.

        Raises:
            ConfigurationError: the name is taken, the password too short, a role or scope unknown.
        """
        if not is_name_length(name) or not name.isprintable() or name != name.strip():
            raise ConfigurationError(
                f"A person's name is printable text of at most {MAX_NAME} characters without blanks at its ends.",
                id="BW130",
            )
        account = Account(
            mint_account(self._token_bytes),
            name,
            self._clock(),
            await self._hash(password) if password is not None else None,
            await self._known_roles(roles),
            self._known(grants, f"The person {name!r}"),
        )
        event = self._event("account.created", subject=account.id, detail=f"roles: {' '.join(sorted(account.roles))}")
        if not await self._store.add(account, event):
            raise ConfigurationError(f"The name {name!r} is taken.", id="BW106")
        return account

    async def accounts(self) -> Sequence[Account]:
        """Every person, by name."""
        return await self._store.accounts()

    async def account(self, name: str) -> Account:
        """The person of that name.

        Raises:
            ConfigurationError: there is none.
        """
        found = await self._store.account_named(name)
        if found is None:
            raise ConfigurationError(f"There is no person {name!r}.", id="BW130")
        return found

    async def set_password(self, name: str, password: str) -> Account:
        """Give a person a new password and end what they were logged in to (RFC 9700 section 4.14.2)."""
        hashed = await self._hash(password)
        return await self._change_account(
            name, "account.password_set", lambda a: replace(a, password=hashed), revoking="a new password"
        )

    async def give_role(self, name: str, role: str) -> Account:
        """Give a person a role."""
        (known,) = await self._known_roles([role])
        return await self._change_account(
            name, "account.role_given", lambda a: replace(a, roles=a.roles | {known}), detail=role
        )

    async def take_role(self, name: str, role: str) -> Account:
        """Take a role from a person; at the latest their next refresh notices."""
        return await self._change_account(
            name, "account.role_taken", lambda a: replace(a, roles=a.roles - {role}), detail=role
        )

    async def give(self, name: str, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> Account:
        """Give a person roles and direct scopes, all in one act.

        Raises:
            ConfigurationError: there is no such person, role or scope, or nothing was named.
        """
        known, given = await self._known_roles(roles), self._known(scopes, f"The person {name!r}")
        if not known and not given:
            raise ConfigurationError("Name at least one role or scope.", id="BW130")
        return await self._change_account(
            name,
            "account.given",
            lambda a: replace(a, roles=a.roles | known, grants=ScopeSet([*a.grants, *given])),
            detail=_words(known, given),
        )

    async def take(self, name: str, *, roles: Iterable[str] = (), scopes: Iterable[str] = ()) -> Account:
        """Take roles and direct scopes from a person, all in one act; at the latest their next refresh notices.

        Raises:
            ConfigurationError: there is no such person, nothing was named, or they have something of it not.
        """
        gone, taken = frozenset(roles), ScopeSet(scopes)
        if not gone and not taken:
            raise ConfigurationError("Name at least one role or scope.", id="BW130")

        def without(was: Account) -> Account:
            # Silence would let a misspelt name look as if the right were gone.
            if missing := sorted(gone - was.roles):
                raise ConfigurationError(f"{name!r} does not have the role {missing[0]!r}.", id="BW130")
            if absent := [scope for scope in taken if scope not in was.grants]:
                raise ConfigurationError(
                    f"{name!r} was not given the scope {absent[0]!r} directly; it may come from a role.", id="BW130"
                )
            left = ScopeSet([scope for scope in was.grants if scope not in taken])
            return replace(was, roles=was.roles - gone, grants=left)

        return await self._change_account(name, "account.taken", without, detail=_words(gone, taken))

    async def give_scopes(self, name: str, scopes: Iterable[str]) -> Account:
        """Give a person scopes directly."""
        given = self._known(scopes, f"The person {name!r}")
        return await self._change_account(
            name, "account.scopes_given", lambda a: replace(a, grants=ScopeSet([*a.grants, *given])), detail=str(given)
        )

    async def take_scopes(self, name: str, scopes: Iterable[str]) -> Account:
        """Take direct scopes from a person."""
        taken = ScopeSet(scopes)
        return await self._change_account(
            name,
            "account.scopes_taken",
            lambda a: replace(a, grants=ScopeSet([s for s in a.grants if s not in taken])),
            detail=str(taken),
        )

    async def disable_account(self, name: str) -> Account:
        """Let a person do nothing any more: no login, no refresh, no token."""
        now = self._clock()
        return await self._change_account(
            name, "account.disabled", lambda a: replace(a, disabled_at=now), revoking="disabled"
        )

    async def enable_account(self, name: str) -> Account:
        """Let a disabled person act again; they have to log in anew."""
        return await self._change_account(name, "account.enabled", lambda a: replace(a, disabled_at=None))

    async def revoke_account_tokens(self, name: str) -> int:
        """End everything that a person is logged in to; the number of refresh families that ended."""
        account = await self.account(name)
        return await self._revoke(Revoked.SUBJECT, account.id, subject=account.id)

    async def _subject_of(self, person: str | None) -> str | None:
        return (await self.account(person)).id if person is not None else None

    async def _change_account(
        self, name: str, what: str, change: Callable[[Account], Account], *, detail: str = "", revoking: str = ""
    ) -> Account:
        for _ in range(TRIES):
            was = await self.account(name)
            revocation = self._revocation(Revoked.SUBJECT, was.id, revoking) if revoking else None
            event = self._event(what, subject=was.id, detail=detail)
            if await self._store.change(change(was), event, revoking=revocation):
                return counted(change(was))
        raise contended(f"the person {name!r}")

    def check_password(self, password: str) -> str:
        """Return a new password, in the form in which it is hashed, if it may be one.

        Args:
            password: as typed.

        Raises:
            ConfigurationError: it is too short or too long (BW130).
        """
        prepared = prepare_password(password)
        if prepared is None:
            raise ConfigurationError(f"A password has at most {MAX_PASSWORD} characters.", id="BW130")
        if len(prepared) < self._settings.password_min_length:
            raise ConfigurationError(
                f"A password needs at least {self._settings.password_min_length} characters.", id="BW130"
            )
        return prepared

    async def _hash(self, password: str) -> str:
        return await self._hasher.hash(self.check_password(password))


def _words(roles: Iterable[str], scopes: ScopeSet) -> str:
    return ", ".join(part for part in (f"roles: {' '.join(sorted(roles))}" if roles else "", str(scopes)) if part)
