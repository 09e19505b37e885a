"""At which of several routes a gate stands for one connection.

One endpoint may be served at several paths, and a router mounted at several: the same gate decides for all of
them, and whoever hears of its decision wants to know the route. What is needed is the same at each.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from bailiwick.graph.plan import Kind, RoutePlan
from bailiwick.guard.asgi_types import Conn

__all__ = ["entry_for"]

# Of a path that is compared with templates, in characters: two parameters in one segment can share it out in as many ways as it
# is long. What is needed is the same at each of the routes, so for a longer path nothing is lost but the route's own name.
MAX_PATH: Final = 1024

KINDS: Final = {Kind.HTTP: ("http",), Kind.WEBSOCKET: ("websocket",), Kind.MOUNT: ("http", "websocket")}


def entry_for(conn: Conn, entries: Iterable[RoutePlan]) -> RoutePlan | None:
    """Find the entry by which a connection came; None if its path is too long, or middleware has changed it.

    Args:
        conn: the ASGI connection scope.
        entries: of the routes at which one gate stands, in the order in which they are tried.
    """
    path, root = conn.get("path", ""), conn.get("app_root_path", conn.get("root_path", ""))
    path = path.removeprefix(root.rstrip("/")) or "/"
    if len(path) > MAX_PATH:
        return None
    method = conn.get("method")
    able = [
        one
        for one in entries
        if conn["type"] in KINDS[one.kind] and (method is None or not one.methods or method in one.methods)
    ]
    whole = (one for one in able if _pattern(one.path, one.kind).fullmatch(path))
    # An application that is mounted itself knows the end of its paths only.
    ends = (one for one in able if _pattern(one.path, one.kind, before=".*").fullmatch(path))
    return next(whole, None) or next(ends, None)


@lru_cache(maxsize=4096)
def _pattern(template: str, kind: Kind, before: str = "") -> re.Pattern[str]:
    pieces = re.split(r"(\{[^}]*\})", template.rstrip("/") if kind is Kind.MOUNT else template)
    pattern = "".join(_part(piece) if piece.startswith("{") else re.escape(piece) for piece in pieces)
    return re.compile(before + pattern + ("(?:/.*)?" if kind is Kind.MOUNT else ""), re.DOTALL)


def _part(parameter: str) -> str:
    return ".*" if parameter.endswith((":path}", "{fallback}")) else "[^/]+"
