"""Requests that wait for a person: whether there is room for another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from bailiwick.authority.records import DeviceCode, PushedRequest
from bailiwick.authority.store import ENDED_KEPT, Room

__all__ = ["is_room"]

_R = TypeVar("_R", DeviceCode, PushedRequest)


def is_room(kept: dict[str, _R], fresh: _R, room: Room, now: float, unfinished: Callable[[_R], bool]) -> bool:
    """Whether a request may be kept beside the others; what expired a while ago of the same network goes.

    Args:
        kept: requests of the same kind by digest, changed in place.
        fresh: the one that begins.
        room: how many may be unfinished, that one included.
        now: seconds since the epoch.
        unfinished: which ones are.
    """
    network = [one for one in kept.values() if one.network == fresh.network]
    mine = [one for one in network if one.client == fresh.client]
    for one in network if fresh.network else mine:
        if one.expires_at <= now - ENDED_KEPT:
            del kept[one.digest]
    if sum(map(unfinished, mine)) >= room.client:
        return False
    return room.network is None or sum(map(unfinished, network)) < room.network
