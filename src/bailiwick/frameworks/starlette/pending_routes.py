"""Routes that were added to a running application and not read yet: closed before anybody can see them.

Between the moment at which a route stands in the list and the one at which the list says so, another thread may
match it. What it then reaches is not the route but this, which has the routes read first.
"""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, Final

from bailiwick.errors import ConfigurationError

__all__ = ["ATTEMPTS", "Follower", "Unread", "close", "own_handle"]

# How often routes are read for one connection while other threads go on changing them.
ATTEMPTS: Final = 20


class Follower(ABC):
    """What reads routes anew, and puts gates in front of them."""

    @abstractmethod
    def heard(self) -> None:
        """Something has changed."""

    @property
    @abstractmethod
    def in_force(self) -> bool:
        """Whether routes were read before."""

    @abstractmethod
    def pending(self) -> bool:
        """Whether it knows of a change that it has not read."""

    @abstractmethod
    def keep_up(self) -> None:
        """Read what changed."""


class Unread:
    """Stands in for a route's `handle` until everybody who follows its list has read it.

    Args:
        route: the route.
        followers: who has to read it.
    """

    __slots__ = ("before", "route", "waiting")

    def __init__(self, route: Any, followers: Iterable[Follower]) -> None:
        self.route = route
        self.before = vars(route).get("handle")
        self.waiting = [weakref.ref(one) for one in followers]

    async def __call__(self, conn: Any, receive: Any, send: Any) -> None:
        """Have the route read, and hand the connection over to what stands there then."""
        handle: Any = self
        for _ in range(ATTEMPTS):
            for one in list(self.waiting):
                follower = one()
                if follower is not None:
                    if not follower.pending():
                        follower.heard()  # whoever adds the route has not come to say so yet
                    follower.keep_up()
            handle = self.route.handle
            if handle is not self:
                break
        else:
            raise ConfigurationError("A route was reached that is no longer, or not yet, part of the plan.", id="BW303")
        await handle(conn, receive, send)

    def read_by(self, follower: Follower) -> None:
        """Step aside if nobody else has to read the route.

        Args:
            follower: who has read it, and put a gate there.
        """
        self.waiting = [one for one in self.waiting if one() not in {None, follower}]
        if self.waiting or vars(self.route).get("handle") is not self:
            return
        if self.before is None:
            del self.route.handle
        else:
            self.route.handle = self.before


def close(routes: Iterable[Any], followers: list[Follower]) -> None:
    """Close routes until they are read.

    Args:
        routes: what is about to be added to a list.
        followers: who follows that list.
    """
    for route in routes:
        standing = vars(route).get("handle")
        if isinstance(standing, Unread):
            standing.waiting += [weakref.ref(one) for one in followers]
        else:
            route.handle = Unread(route, followers)


def own_handle(route: Any) -> Any:
    """The `handle` that a route was given itself, in the place of its class's; or None.

    Args:
        route: a route of Starlette's kind.
    """
    standing = vars(route).get("handle")
    return standing.before if isinstance(standing, Unread) else standing
