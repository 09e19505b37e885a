"""The authority's store, kept: in memory, or in a SQLite file.

`memory` is the reference and reads as the specification; `sql` has the statements and `sqlite` the
driver that keeps a file. Both have a file for each noun, of the same name. `upkeep` is for whoever looks
after a store. Every store passes the same suite of tests.
"""

from .memory import MemoryStore
from .opening import open_store

__all__ = ["MemoryStore", "open_store"]
