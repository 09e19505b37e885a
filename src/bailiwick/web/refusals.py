"""Refusals on their way into the journal: which endpoint refused whom."""

from __future__ import annotations

from typing import Final

from starlette.requests import Request

from bailiwick.authority import Authority
from bailiwick.errors import BailiwickError

from .answers import note
from .endpoints import NAMED, origin_of

__all__ = ["Refusals"]

# The first part of a path of ours; anything else is not told apart.
MAX_PLACE: Final = 30


class Refusals:
    """Counts what the endpoints refuse; one place for all of them.

    Args:
        authority: keeps the journal.
    """

    def __init__(self, authority: Authority) -> None:
        self._authority = authority

    async def count(self, request: Request, why: BailiwickError) -> None:
        """Count a refusal that is about to be answered, and that the answer writes into the log."""
        await self._authority.refusals.tell(
            why,
            _place(request),
            client=request.scope.get(NAMED, ""),
            origin=origin_of(request),
            now=self._authority.clock(),
        )

    async def count_shown(self, request: Request, why: BailiwickError) -> None:
        """Count a refusal that is shown on a page where the person can try again, and write it into the log."""
        note(request, why)
        await self.count(request, why)


def _place(request: Request) -> str:
    """The endpoint: "token", "login". Only routes of ours come here, so there are as many as those."""
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    return str(path.strip("/").partition("/")[0][:MAX_PLACE])
