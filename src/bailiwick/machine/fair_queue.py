"""Puts password checks in order, so that no name and no network waits for another one's flood.

Only the order is decided here: no clock, no thread and no event loop, so that a test can count turns.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from concurrent.futures import Future
from typing import Final

from bailiwick.authority.accounts import Caller

__all__ = ["FairQueue", "Waiter"]

# A party that holds less than this share of the places is no flood, and gives up none: otherwise strangers with new names
# could push out a person's second try.
FLOOD: Final = 64


class Waiter:
    """One check that waits for its turn, or has it.

    Args:
        caller: on whose behalf; None for the operator's own acts, each of which is a party of its own.
    """

    __slots__ = ("name", "network", "turn")

    def __init__(self, caller: Caller | None) -> None:
        self.name: Hashable = caller.name if caller is not None else self
        self.network: Hashable = caller.network if caller is not None else self
        # True: its turn has come; False: there is no place for it. A thread may tell an event loop so.
        self.turn: Future[bool] = Future()


class FairQueue:
    """Round robin over the networks that ask, with at most one check of a name at a time.

    One name is one party, from however many networks it is asked for: its other checks stand behind its first, taken
    from their networks in turn. One network is one party, however many names it asks for.

    When all places are taken, a newcomer gets that of the newest check of the name, or else of the network, that holds
    the most of them; only whoever belongs to such a flood is sent away.

    Args:
        at_once: checks that run at the same time.
        places: checks that may wait.
    """

    def __init__(self, at_once: int, places: int) -> None:
        self._at_once = at_once
        self._places = places
        self._running = 0
        self._waiting = 0
        self._ready = _RoundRobin()
        # Of each name that has a check in `_ready` or running: those of the same name behind it.
        self._behind: dict[Hashable, _RoundRobin] = {}
        # All that wait, oldest first.
        self._of_name: dict[Hashable, OrderedDict[Waiter, None]] = {}
        self._of_network: dict[Hashable, OrderedDict[Waiter, None]] = {}

    def __len__(self) -> int:
        """How many wait."""
        return self._waiting

    def ask(self, waiter: Waiter) -> None:
        """Give a check its turn, or a place to wait for it, or neither; its `turn` says so once it is known."""
        behind = self._behind.get(waiter.name)
        if behind is None and self._running < self._at_once:
            self._behind[waiter.name] = _RoundRobin()
            self._begin(waiter)
            return
        if self._waiting >= self._places and not self._make_room(waiter):
            waiter.turn.set_result(False)
            return
        self._waiting += 1
        self._of_name.setdefault(waiter.name, OrderedDict())[waiter] = None
        self._of_network.setdefault(waiter.network, OrderedDict())[waiter] = None
        # Asked for again: whoever made room may have been the last of this name.
        behind = self._behind.get(waiter.name)
        if behind is None:
            self._behind[waiter.name] = _RoundRobin()
            self._ready.add(waiter)
        else:
            behind.add(waiter)

    def leave(self, waiter: Waiter) -> None:
        """Take out a check that ran, or whose caller does not wait any longer; whoever is next has the turn."""
        if not waiter.turn.done():
            self._remove(waiter)
        elif waiter.turn.result():
            self._running -= 1
            self._follow(waiter.name)
        while self._ready and self._running < self._at_once:
            following = self._ready.take()
            self._count_out(following)
            self._begin(following)

    def _begin(self, waiter: Waiter) -> None:
        self._running += 1
        waiter.turn.set_result(True)

    def _make_room(self, newcomer: Waiter) -> bool:
        """Whether a flood has given up a place for a newcomer, who is no part of it."""
        for parties, own in ((self._of_name, newcomer.name), (self._of_network, newcomer.network)):
            most = max(parties.values(), key=len, default=())
            if len(most) > max(len(parties.get(own, ())) + 1, self._places // FLOOD):
                last = next(reversed(most))
                self._remove(last)
                last.turn.set_result(False)
                return True
        return False

    def _remove(self, waiter: Waiter) -> None:
        """Take out one that waits."""
        self._count_out(waiter)
        if self._ready.discard(waiter):
            self._follow(waiter.name)
        else:
            self._behind[waiter.name].discard(waiter)

    def _follow(self, name: Hashable) -> None:
        """Let the next of a name stand at the end of its network's line, now that its first one is gone."""
        if behind := self._behind[name]:
            self._ready.add(behind.take())
        else:
            del self._behind[name]

    def _count_out(self, waiter: Waiter) -> None:
        self._waiting -= 1
        for parties, own in ((self._of_name, waiter.name), (self._of_network, waiter.network)):
            del parties[own][waiter]
            if not parties[own]:
                del parties[own]


class _RoundRobin:
    """Waiters by network, first come first served in each; one network after the other."""

    def __init__(self) -> None:
        # Ordered dictionaries give up their first entry, and any other, in constant time.
        self._lines: OrderedDict[Hashable, OrderedDict[Waiter, None]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._lines)

    def add(self, waiter: Waiter) -> None:
        self._lines.setdefault(waiter.network, OrderedDict())[waiter] = None

    def take(self) -> Waiter:
        network, line = next(iter(self._lines.items()))
        waiter, _ = line.popitem(last=False)
        if line:
            self._lines.move_to_end(network)
        else:
            del self._lines[network]
        return waiter

    def discard(self, waiter: Waiter) -> bool:
        line = self._lines.get(waiter.network)
        if line is None or waiter not in line:
            return False
        del line[waiter]
        if not line:
            del self._lines[waiter.network]
        return True
