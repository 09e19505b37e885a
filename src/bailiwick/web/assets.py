"""The files that pages need besides themselves: one style sheet, one mark, one line of script.

Each is served under a name that holds its hash, so that a browser keeps it for ever and never has
an old one; nothing comes from anywhere else.
"""

from __future__ import annotations

import hashlib
from importlib.resources import files
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from bailiwick.errors import Refused

__all__ = ["Assets"]

TYPES: Final = {
    "pages.css": "text/css; charset=utf-8",
    "mark.svg": "image/svg+xml",
    "send.js": "text/javascript; charset=utf-8",
}
# A year: the longest that caches have ever been asked for, and as good as ever for a name that changes with its content.
FOR_EVER: Final = "public, max-age=31536000, immutable"


class Assets:
    """The files, read once.

    Args:
        base: the path under which they are served, without a slash at its end.
    """

    def __init__(self, base: str) -> None:
        self._base = base
        self._served: dict[str, tuple[bytes, str]] = {}
        self._names: dict[str, str] = {}
        folder = files("bailiwick.web") / "static"
        for name, kind in TYPES.items():
            content = (folder / name).read_bytes()
            stem, _, suffix = name.partition(".")
            served_as = f"{stem}-{hashlib.sha256(content).hexdigest()[:16]}.{suffix}"
            self._names[name] = served_as
            self._served[served_as] = (content, kind)

    def path(self, name: str) -> str:
        """Where a file is served.

        Args:
            name: as it is called in the package, such as "pages.css".
        """
        return f"{self._base}/{self._names[name]}"

    async def serve(self, request: Request) -> Response:
        """`GET /static/{name}`."""
        name = request.path_params["name"]
        found = self._served.get(name)
        if found is None:
            raise Refused("invalid_request", "There is nothing here.", status=404, id="BW400")
        content, kind = found
        etag = f'"{name}"'
        headers = {"cache-control": FOR_EVER, "etag": etag, "x-content-type-options": "nosniff"}
        if etag in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(content, headers={**headers, "content-type": kind})
