"""The store's verbs as SQL: one file for each noun, one function for each fact that must be atomic.

Each function takes a connection on which a transaction has begun, and is told nothing of the
driver. What a driver adds is how a function is run: alone among writers, or as a reader.

Whether something happens once never hangs on a look beforehand: it is the condition of an UPDATE,
or the key of an INSERT, and the number of rows says how it went.
"""

from .store import SQLStore

__all__ = ["SQLStore"]
