"""The authority's signing keys: which one signs, which ones verify, and when the next one takes over.

They live in the store, so that every process signs with the same one and a restart changes nothing.
A key is published before it signs (pending), signs (active), verifies what it signed until that has
expired (retired), and is deleted. So nobody who fetches the published keys now and then ever meets a
token of a key that they could not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol

from bailiwick.errors import ConfigurationError, StoreError
from bailiwick.tokens import Key, Keyring, Signer, SigningKey

from .records import Event, KeyState, Origin, StoredKey
from .settings import Settings
from .store import Store

__all__ = ["PUBLISHED_FOR", "Seal", "SigningKeys", "Turn", "turn"]

# Seconds for which a process relies on the keys that it has seen: another one may have replaced a key that became known.
# The look is a few rows by their primary key; keys are read and opened anew only if something changed.
REFRESH: Final = 1.0
# Retired keys verify for longer than a process may sign with them; processes of older releases look once a minute.
SIGNS_ON: Final = 60.0
# Seconds for which a fetched copy of the public keys is good. A new one is published a day before it signs, so no copy is too
# old; only a key that was replaced at once is believed until then, where it was fetched before.
PUBLISHED_FOR: Final = 300


class Seal(Protocol):
    """Encrypts private keys at rest, under a key-encryption key that is not in the store."""

    @property
    def name(self) -> str:
        """Which key-encryption key it is; kept beside what it sealed."""

    def seal(self, text: str, purpose: str) -> str:
        """Encrypt a text, so that it opens for the same purpose only."""

    def open(self, sealed: str, purpose: str) -> str:
        """Decrypt it.

        Raises:
            ConfigurationError: it was sealed with another key or for another purpose, or was changed since (BW110).
        """


@dataclass(frozen=True, slots=True)
class Turn:
    """What becomes of the keys at one moment.

    Args:
        kept: keys that are new or in a new state.
        dropped: ids of keys that verify nothing any more.
    """

    kept: tuple[StoredKey, ...] = ()
    dropped: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.kept or self.dropped)


def turn(
    keys: Sequence[StoredKey],
    settings: Settings,
    now: float,
    make: Callable[[KeyState], StoredKey],
    *,
    wanted: bool = False,
) -> Turn:
    """Decide which keys begin, take over, retire and go.

    Args:
        keys: those at rest.
        settings: the algorithm and the lifetimes.
        now: seconds since the epoch.
        make: makes a key in a state.
        wanted: an operator wants a new key, however young the active one is.
    """
    lifetimes = settings.lifetimes
    ours = [key for key in keys if key.alg == settings.signing_algorithm]
    active = [key for key in ours if key.state is KeyState.ACTIVE]
    pending = [key for key in ours if key.state is KeyState.PENDING]
    if not active and not pending:
        # A new store, or a new algorithm: there is nobody to take over from, and something has to sign.
        return Turn((make(KeyState.ACTIVE),))
    ripe = [key for key in pending if now - key.changed_at >= lifetimes.key_pending or not active]
    if ripe:
        retired = (replace(key, state=KeyState.RETIRED, changed_at=now) for key in active)
        return Turn((replace(ripe[0], state=KeyState.ACTIVE, changed_at=now), *retired))
    # Keys of another algorithm retire by their age alone: while a new release with a new setting is rolled out,
    # the old one still signs with them.
    former = tuple(
        replace(key, state=KeyState.RETIRED, changed_at=now)
        for key in keys
        if key not in ours and key.state is not KeyState.RETIRED and now - key.changed_at >= lifetimes.key_active
    )
    old = bool(active) and now - active[-1].changed_at >= lifetimes.key_active - lifetimes.key_pending
    begun = (make(KeyState.PENDING),) if (old or wanted) and not pending else ()
    # A retired key may have signed until each process noticed, and its last token must have expired everywhere.
    last_use = settings.feed_until(SIGNS_ON)
    gone = tuple(key.kid for key in keys if key.state is KeyState.RETIRED and now - key.changed_at > last_use)
    return Turn((*begun, *former), gone)


class SigningKeys:
    """The keys of one authority; a source of keys for its own verifier, too.

    Args:
        store: where they are kept.
        settings: names the algorithm and the lifetimes.
        clock: tells seconds since the epoch.
        generate: makes a key of an algorithm.
        seals: encrypt private keys at rest: the first one seals, the others open what was sealed with
            former key-encryption keys. Keys at rest are sealed anew when they are next read.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], float],
        generate: Callable[[str], SigningKey] = SigningKey.generate,
        seals: Sequence[Seal] = (),
    ) -> None:
        self._store = store
        self._settings = settings
        self._clock = clock
        self._generate = generate
        self._seals = {seal.name: seal for seal in seals}
        self._seal = seals[0] if seals else None
        self._signer: Signer | None = None
        self._ring: Keyring | None = None
        self._stored: Sequence[StoredKey] = ()
        # Counts up when a key is believed no more: what it signed must not be remembered either.
        self.dropped = 0
        self._loaded_at = float("-inf")

    async def signer(self) -> Signer:
        """What signs now; the first call ever makes the first key."""
        await self._load(REFRESH)
        if self._signer is None:
            await self._load(0)
        if self._signer is None:
            raise StoreError("There is no active signing key.", detail="the store keeps no active key after adding one")
        return self._signer

    async def jwks(self) -> dict[str, Any]:
        """The published document (RFC 7517); it has no keys where a shared secret signs."""
        await self.signer()
        return self._ring.public_jwks() if self._ring is not None else {"keys": []}

    async def look(self) -> int:
        """Look whether another process has changed the keys; how often a key was dropped that this process had seen."""
        await self._load(REFRESH)
        return self.dropped

    async def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Keys that may have signed a token, as the store had them a second ago at most."""
        await self._load(REFRESH)
        return self.find_now(kid, alg)

    def find_now(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """The same among the keys that this process has seen."""
        return self._ring.find_now(kid, alg) if self._ring is not None else ()

    async def stored(self) -> Sequence[StoredKey]:
        """Every key at rest, oldest first, with its state; private halves stay out of `repr`."""
        return await self._store.keys()

    async def open_stored(self) -> None:
        """Open every key at rest, and change none.

        Raises:
            ConfigurationError: one was sealed with a key-encryption key that was not given, or was changed (BW110).
        """
        self._adopt(await self._store.keys())

    async def rotate(self, *, actor: str = "operator", origin: Origin | None = None) -> StoredKey:
        """Publish a new key now; it signs when everybody has had the time to fetch it (`key_pending`).

        Args:
            actor: who wants it, for the journal.
            origin: from where, for the journal.

        Returns:
            The key that is pending: a new one, or the one that was on its way already.
        """
        await self._turn(await self._store.keys(), wanted=True, actor=actor, origin=origin)
        await self._load(0)
        pending = [key for key in await self._store.keys() if key.state is KeyState.PENDING]
        if not pending:
            raise StoreError("Another process is turning the keys; try again.")
        return pending[-1]

    async def replace_at_once(self, *, actor: str = "operator", origin: Origin | None = None) -> StoredKey:
        """Sign with a new key and believe no other one from now on: for when a private key became known.

        Every access token that is out becomes invalid; refresh tokens stay good.
        """
        was = await self._store.keys()
        new = self._make(KeyState.ACTIVE)
        event = Event(self._clock(), "keys.replaced", actor, object=new.kid, detail=new.alg, origin=origin or Origin())
        if not await self._store.turn_keys([new], [key.kid for key in was], _seen(was), event):
            raise StoreError("Another process is turning the keys; try again.")
        await self._load(0)
        return new

    async def _load(self, older_than: float) -> None:
        now = self._clock()
        # A clock that was set back must not keep old keys for ever.
        if 0 <= now - self._loaded_at < older_than:
            return
        stored = await self._store.keys()
        if await self._turn(stored):
            stored = await self._store.keys()
        if stored != self._stored:
            self._adopt(stored)
            self.dropped += bool({key.kid for key in self._stored} - {key.kid for key in stored})
            self._stored = stored
        self._loaded_at = now

    async def _turn(
        self,
        stored: Sequence[StoredKey],
        *,
        wanted: bool = False,
        actor: str = "authority",
        origin: Origin | None = None,
    ) -> bool:
        """Carry out what is due; whether the keys at rest have changed, by this process or another one."""
        now = self._clock()
        due = turn(stored, self._settings, now, self._make, wanted=wanted)
        sealed = self._sealed_anew([key for key in stored if key.kid not in due.dropped])
        if not due and not sealed:
            return False
        changed = {key.kid: key for key in sealed}
        for key in due.kept:
            # A key that is sealed anew and changes its state does both.
            known = changed.get(key.kid, key)
            changed[key.kid] = replace(key, private=known.private, sealed_with=known.sealed_with)
        words = [f"{key.kid} {key.state.value}" for key in due.kept] + [f"{kid} deleted" for kid in due.dropped]
        event = Event(
            now,
            "keys.turned",
            actor,
            detail=", ".join(words) or "sealed anew",
            origin=origin or Origin(),
        )
        # False: another process was first, and what it did counts.
        await self._store.turn_keys(list(changed.values()), due.dropped, _seen(stored), event)
        return True

    def _make(self, state: KeyState) -> StoredKey:
        now = self._clock()
        key = self._generate(self._settings.signing_algorithm)
        plain = StoredKey(key.kid, key.alg, json.dumps(key.to_jwk(private=True)), now, state, now)
        return plain if self._seal is None else _sealed(plain, plain.private, self._seal)

    def _sealed_anew(self, stored: Sequence[StoredKey]) -> list[StoredKey]:
        if self._seal is None:
            return []
        return [_sealed(key, self._opened(key), self._seal) for key in stored if key.sealed_with != self._seal.name]

    def _opened(self, key: StoredKey) -> str:
        if not key.sealed_with:
            return key.private
        seal = self._seals.get(key.sealed_with)
        if seal is None:
            raise ConfigurationError(
                f"The signing key {key.kid} is sealed with the key-encryption key {key.sealed_with}, which was not given.",
                id="BW110",
            )
        return seal.open(key.private, _purpose(key))

    def _adopt(self, stored: Sequence[StoredKey]) -> None:
        keys = {key.kid: SigningKey.from_jwk(json.loads(self._opened(key))) for key in stored}
        # A change of algorithm in the settings never mixes symmetric and asymmetric keys in one ring.
        algorithm = self._settings.signing_algorithm
        symmetric = algorithm.startswith("HS")
        same_kind = [key for key in keys.values() if key.alg.startswith("HS") is symmetric]
        self._ring = Keyring.from_keys(*same_kind) if same_kind else None
        active = [key for key in stored if key.state is KeyState.ACTIVE and key.alg == algorithm]
        self._signer = Signer(keys[active[-1].kid]) if active else None


def _purpose(key: StoredKey) -> str:
    # What is sealed for one key cannot be put in the place of another one.
    return f"bailiwick signing key {key.alg} {key.kid}"


def _sealed(key: StoredKey, private: str, seal: Seal) -> StoredKey:
    return replace(key, private=seal.seal(private, _purpose(key)), sealed_with=seal.name)


def _seen(keys: Sequence[StoredKey]) -> list[str]:
    return [f"{key.kid}:{key.state.value}" for key in keys]
