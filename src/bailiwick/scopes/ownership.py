"""Whose a thing is, and whether a caller may touch it: his own with one scope, anybody's with another."""

from bailiwick.errors import InsufficientScope

from .principal import Principal
from .requirement import Requirement

__all__ = ["Ownership"]


class Ownership:
    """A caller who may touch what is his own, or everything; made by `guard.owner_or`.

    Attributes:
        caller: who calls.
    """

    __slots__ = ("_any", "caller")

    def __init__(self, caller: Principal, anyone: Requirement) -> None:
        self.caller = caller
        self._any = anyone

    def __repr__(self) -> str:
        return f"<Ownership of {self.caller.subject!r}>"

    @property
    def over_all(self) -> bool:
        """Whether he may touch what belongs to others."""
        return self.caller.has(self._any)

    def check(self, owner: str) -> None:
        """Refuse with 403 unless the thing is his own, or he may touch everything.

        Args:
            owner: the subject that it belongs to.

        Raises:
            InsufficientScope: neither.
        """
        if owner != self.caller.subject and not self.over_all:
            raise InsufficientScope(
                "This belongs to somebody else.",
                required=str(self._any.smallest),
                detail=f"{self.caller.subject!r} is not the owner, and lacks {self._any}",
                id="BW301",
            )
