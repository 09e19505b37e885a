"""Answers a matched request without FasterAPI's solver, which would have nothing to do but to call our handler.

What the fast path makes of an answer is FasterAPI's own: model, status, encoding, background tasks. An exception is FasterAPI's to
answer, too: nothing has been sent by then.
"""

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, Final

from bailiwick.frameworks.fasterapi.compat import BackgroundTasks, Request, has_tasks, router_of
from bailiwick.frameworks.fasterapi.dependency_runner import NO_STACK

__all__ = ["FAST_PATH", "RAISED", "Answering", "Deliver", "add_fast_path"]

# Of the connection, the request, the background tasks, and the stack on which dependencies that yield are entered.
Answering = Callable[[Any, Any, Any, AsyncExitStack], Awaitable[Any]]
Deliver = Callable[[Any, Any], Awaitable[None]]  # to ASGI send, what a handler gave

# On a handler: how it answers, how that is delivered, and whether it needs neither the request nor the tasks.
FAST_PATH: Final = "__bailiwick_fast_path__"
# On a connection: what the fast path raised, for FasterAPI to answer, and the request that it had made, or None.
RAISED: Final = "bailiwick.raised"


def add_fast_path(rest: Any) -> Any:
    """Make a handler of requests that takes the fast path where the matched route has one.

    Args:
        rest: FasterAPI's own, for all else: 404, and what was raised.
    """

    async def _handle_http(self: Any, conn: Any, receive: Any, send: Any) -> None:
        found = router_of(self).resolve(conn["method"], conn["path"])
        fast_path = getattr(found[0], FAST_PATH, None) if found is not None else None
        if fast_path is None:
            await rest(self, conn, receive, send)
            return
        answer, deliver, is_plain = fast_path
        conn["path_params"] = found[1]
        request = tasks = None
        if not is_plain:
            request, tasks = Request(conn, receive), BackgroundTasks()
        try:
            value = await answer(conn, request, tasks, NO_STACK)
        except Exception as error:  # noqa: BLE001 - any exception; FasterAPI's own path raises it again
            conn[RAISED] = error, request
        else:
            await deliver(send, value)
            if tasks is not None and has_tasks(tasks):
                await tasks.run()
            return
        await rest(self, conn, receive, send)

    return _handle_http
