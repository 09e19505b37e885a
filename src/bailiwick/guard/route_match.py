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

KINDS: Final = {Kind.HTTP: ("http",), Kind.WEBSOCKET: ("websocket",), Kind.MOUNT: ("http", "websocket")}


def entry_for(conn: Conn, entries: Iterable[RoutePlan]) -> RoutePlan | None:
    """The entry by which a connection came, or None if that cannot be told, as when middleware has changed its path.

    Args:
        conn: the ASGI connection scope.
        entries: of the routes at which one gate stands, in the order in which they are tried.
    """
    path, root = conn.get("path", ""), conn.get("app_root_path", conn.get("root_path", ""))
    path = path.removeprefix(root.rstrip("/")) or "/"
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
