"""The reference store: every verb in plain Python, to be read as the specification.

It forgets everything when the process ends, so it is for tests, demonstrations and for
authorities that issue nothing lasting. One lock makes each verb atomic among threads as well.
The files have the names of those in `sql`, each noun's verbs in its own.
"""

from .store import MemoryStore

__all__ = ["MemoryStore"]
