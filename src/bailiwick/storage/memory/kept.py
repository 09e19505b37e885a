"""What is kept: plain dictionaries and lists, and the lock that makes each verb atomic."""

from __future__ import annotations

import itertools
from threading import Lock

from bailiwick.authority.records import (
    Account,
    Authorization,
    Client,
    Code,
    DeviceCode,
    Event,
    Family,
    PushedRequest,
    RefreshToken,
    Revocation,
    RoleRecord,
    Session,
    StoredKey,
)

__all__ = ["Kept"]


class Kept:
    """The state that the verbs share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._clients: dict[str, Client] = {}
        self._accounts: dict[str, Account] = {}
        self._roles: dict[str, RoleRecord] = {}
        self._authorizations: dict[str, Authorization] = {}
        self._families: dict[str, Family] = {}
        self._tokens: dict[str, RefreshToken] = {}
        self._codes: dict[str, Code] = {}
        self._devices: dict[str, DeviceCode] = {}
        self._pushed: dict[str, PushedRequest] = {}
        self._claimed: dict[str, float] = {}
        self._sessions: dict[str, Session] = {}
        self._revocations: list[Revocation] = []
        self._keys: dict[str, StoredKey] = {}
        self._secrets: dict[str, bytes] = {}
        self._journal: dict[int, Event] = {}
        # Lines that events share, by the minute in which they count against strangers' room and by their key.
        self._shared_lines: dict[tuple[int, str], int] = {}
        self._numbers = itertools.count(1)
