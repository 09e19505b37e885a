"""Signing keys and secrets of the authority itself."""

from __future__ import annotations

from collections.abc import Sequence

from bailiwick.authority.records import Event, StoredKey

from .journal import Journal

__all__ = ["Keys"]


class Keys(Journal):
    """The verbs of `Store` about keys and secrets."""

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
