"""Device codes: what waits for a person's decision, and is asked for meanwhile."""

from __future__ import annotations

from dataclasses import replace

from bailiwick.authority.records import DeviceCode, DeviceState, Event
from bailiwick.authority.store import CLOCK_SKEW, Begun, Polled, Room, polled

from .begun import is_room
from .journal import Journal

__all__ = ["Devices"]


class Devices(Journal):
    """The verbs of `Store` about device codes."""

    async def add_device_code(self, code: DeviceCode, room: Room, now: float) -> Begun:
        """See `Store.add_device_code`."""

        def pending(one: DeviceCode) -> bool:
            return one.state is DeviceState.PENDING and one.expires_at > now

        with self._lock:
            if not is_room(self._devices, code, room, now, pending):
                return Begun.FULL
            if any(code.user_code == one.user_code or code.digest == one.digest for one in self._devices.values()):
                return Begun.TAKEN
            self._devices[code.digest] = code
            return Begun.DONE

    async def device_code_of_user(self, user_code: str, now: float) -> DeviceCode | None:
        """See `Store.device_code_of_user`."""
        with self._lock:
            return next(
                (
                    one
                    for one in self._devices.values()
                    if one.user_code == user_code and one.state is DeviceState.PENDING and _counts(one, now)
                ),
                None,
            )

    async def decide_device_code(self, decided: DeviceCode, event: Event) -> bool:
        """See `Store.decide_device_code`."""
        with self._lock:
            was = self._devices.get(decided.digest)
            if was is None or was.state is not DeviceState.PENDING or not _counts(was, event.at):
                return False
            self._devices[decided.digest] = replace(
                was,
                state=decided.state,
                scopes=decided.scopes,
                subject=decided.subject,
                authorization=decided.authorization,
                authenticated_at=decided.authenticated_at,
            )
            self._write_down(event)
            return True

    async def poll_device_code(self, digest: str, client: str, now: float) -> tuple[Polled, DeviceCode | None]:
        """See `Store.poll_device_code`."""
        with self._lock:
            outcome, code = polled(self._devices.get(digest), client, now)
            if code is not None:
                self._devices[digest] = replace(code, state=DeviceState.SPENT) if outcome is Polled.APPROVED else code
            return outcome, code


def _counts(code: DeviceCode, now: float) -> bool:
    return code.issued_at - CLOCK_SKEW <= now < code.expires_at
