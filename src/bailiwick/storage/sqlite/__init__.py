"""A store in one SQLite file: how it is opened, and how its transactions are run.

All writes of a process go through one thread with one connection, so that they never wait for each
other's locks, and those that wait together are committed together: one `fsync` for all of them. A
write that is awaited is on the disk when the await ends. Readers have connections of their own and
are not held up by the writer (WAL). Other processes may use the same file; they queue at SQLite's
own lock.

A function that was handed in runs to its end whether or not its caller still waits: a client that
hangs up never leaves half a transaction.
"""

from .file import copy_to, version_of
from .reasons import explained
from .store import SQLiteStore

__all__ = ["SQLiteStore", "copy_to", "explained", "version_of"]
