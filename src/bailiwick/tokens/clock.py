"""The clock of this machine, for whoever was not given another one."""

import time

__all__ = ["system_clock"]


def system_clock() -> float:
    """Return the time in seconds since 1970-01-01 UTC.

    `time.time` is looked up at each call. As a default argument it would be bound when the function is defined, and what
    freezegun puts in its place never asked: a test that moves the clock past `exp` would see a token that is still good.
    """
    return time.time()
