"""Requests that wait for a person: whether there is room for another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bailiwick.authority.records import DeviceCode, PushedRequest
from bailiwick.authority.store import ENDED_KEPT, Room

__all__ = ["is_room"]

_R = TypeVar("_R", DeviceCode, PushedRequest)


def is_room(kept: dict[str, _R], fresh: _R, room: Room, now: float, unfinished: Callable[[_R], bool]) -> bool:
    """Whether a request may be kept beside the others; what expired a while ago goes.

    Args:
        kept: requests of the same kind by digest, changed in place.
        fresh: the one that begins.
        room: how many may be unfinished, that one included.
        now: seconds since the epoch.
        unfinished: which ones are.
    """
    for one in [one for one in kept.values() if one.expires_at <= now - ENDED_KEPT]:
        del kept[one.digest]
    waiting = [one for one in kept.values() if unfinished(one)]
    network = [one for one in waiting if one.network == fresh.network]
    counts = (
        (sum(one.client == fresh.client for one in network), room.client),
        (len(network), room.network),
        (sum(one.network != "" for one in waiting), room.everybody),
    )
    return all(bound is None or count < bound for count, bound in counts)
