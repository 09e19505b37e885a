"""A short memory of forged tokens, so that who repeats one does not keep the verifier busy.

A signature that did not verify will not later, unless another key came under the same name; for that what is
noted ends soon. The memory is apart from that of good answers, so that no flood of forgeries pushes one of those out.
"""

from __future__ import annotations

import threading

__all__ = ["Forgeries", "Generation"]

Generation = dict[bytes, float]  # by digest: until when it is refused without another look


class Forgeries:
    """Digests of forged tokens, in two generations: when the younger one is full, the older one goes as a whole.

    A flood of new forgeries writes one entry for each and takes none out, which would cost more than all the rest. A
    lock is needed only where generations change: whoever holds one that was forgotten adds to what nobody asks any more.

    Args:
        most: how many are noted; 0 notes none.
    """

    __slots__ = ("_full", "_lock", "_older", "_younger")

    def __init__(self, most: int) -> None:
        self._full = (most + 1) // 2
        self._lock = threading.Lock()
        self._younger: Generation = {}
        self._older: Generation = {}

    def __len__(self) -> int:
        return len(self._younger) + len(self._older)

    def present(self) -> Generation:
        """Where a forgery is to be noted whose keys are looked for from now on."""
        return self._younger

    def note(self, generation: Generation, digest: bytes, until: float) -> None:
        """Note a forgery; not in force if everything was forgotten since its keys were looked for.

        Args:
            generation: what `present` gave before its keys were looked for.
            digest: of what was presented.
            until: when it is looked at again, by the verifier's clock.
        """
        if self._full == 0:
            return
        generation[digest] = until
        if len(generation) >= self._full:
            with self._lock:
                if generation is self._younger:
                    self._younger, self._older = {}, generation

    def holds(self, digest: bytes, now: float) -> bool:
        """Whether this was refused a moment ago.

        Args:
            digest: of what is presented.
            now: by the verifier's clock.
        """
        until = self._younger.get(digest)
        if until is None:
            until = self._older.get(digest)
        return until is not None and now < until

    def forget(self) -> None:
        """Look at each of them again."""
        with self._lock:
            self._younger, self._older = {}, {}
