"""The authority's signing keys: which one signs, and which ones verify.

They live in the store, so that every process signs with the same one and a restart changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from bailiwick.errors import StoreError
from bailiwick.tokens import Key, Keyring, Signer, SigningKey

from .records import Event, KeyState, StoredKey
from .settings import Settings
from .store import Store

__all__ = ["SigningKeys"]

# How long a process may sign with a key that another one has just retired; retired keys verify for
# longer than this.
REFRESH: Final = 60.0
# Somebody who sends tokens with made-up key ids causes at most one look into the store in this time.
UNKNOWN_KEY_REFRESH: Final = 1.0


class SigningKeys:
    """The keys of one authority; a source of keys for its own verifier, too.

    Args:
        store: where they are kept.
        settings: names the algorithm.
        clock: tells seconds since the epoch.
        generate: makes a key of an algorithm.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        clock: Callable[[], float],
        generate: Callable[[str], SigningKey] = SigningKey.generate,
    ) -> None:
        self._store = store
        self._algorithm = settings.signing_algorithm
        self._clock = clock
        self._generate = generate
        self._signer: Signer | None = None
        self._ring: Keyring | None = None
        self._loaded_at = float("-inf")

    async def signer(self) -> Signer:
        """What signs now; the first call ever makes the first key."""
        await self._load(REFRESH)
        if self._signer is None:
            await self._make_first()
            await self._load(0)
        if self._signer is None:
            raise StoreError("There is no active signing key.", detail="the store keeps no active key after adding one")
        return self._signer

    async def jwks(self) -> dict[str, Any]:
        """The published document (RFC 7517); it has no keys where a shared secret signs."""
        await self.signer()
        return self._ring.public_jwks() if self._ring is not None else {"keys": []}

    async def find(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """Keys that may have signed a token; looks into the store for one it does not know."""
        await self._load(REFRESH)
        found = self.find_now(kid, alg)
        if not found:
            await self._load(UNKNOWN_KEY_REFRESH)
            found = self.find_now(kid, alg)
        return found

    def find_now(self, kid: str | None, alg: str) -> tuple[Key, ...]:
        """The same among the keys that this process has seen."""
        return self._ring.find_now(kid, alg) if self._ring is not None else ()

    async def _load(self, older_than: float) -> None:
        now = self._clock()
        # A clock that was set back must not keep old keys for ever.
        if 0 <= now - self._loaded_at < older_than:
            return
        self._adopt(await self._store.keys())
        self._loaded_at = now

    def _adopt(self, stored: Sequence[StoredKey]) -> None:
        keys = {key.kid: SigningKey.from_jwk(json.loads(key.private)) for key in stored}
        # A change of algorithm in the settings never mixes symmetric and asymmetric keys in one ring.
        symmetric = self._algorithm.startswith("HS")
        same_kind = [key for key in keys.values() if key.alg.startswith("HS") is symmetric]
        self._ring = Keyring.from_keys(*same_kind) if same_kind else None
        active = [key for key in stored if key.state is KeyState.ACTIVE and key.alg == self._algorithm]
        self._signer = Signer(keys[active[-1].kid]) if active else None

    async def _make_first(self) -> None:
        now = self._clock()
        key = self._generate(self._algorithm)
        # Another process may be first; then theirs is the one that signs.
        await self._store.first_key(
            StoredKey(key.kid, key.alg, json.dumps(key.to_jwk(private=True)), now, KeyState.ACTIVE, now),
            Event(now, "key.created", actor="authority", object=key.kid, detail=key.alg),
        )
