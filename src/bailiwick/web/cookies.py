"""Reads one cookie of a request."""

from __future__ import annotations

from starlette.requests import Request

__all__ = ["read_cookie"]


def read_cookie(request: Request, name: str) -> str | None:
    """A cookie's value; None if there is none, or if there are two and nobody can say which one is ours.

    A neighbouring host can plant a cookie of the same name (RFC 6265 section 8.6), and which of them comes first is
    its choice.

    Args:
        request: as it came.
        name: the cookie's.
    """
    found = [
        value
        for header in request.headers.getlist("cookie")
        for given, _, value in (part.strip(" \t").partition("=") for part in header.split(";"))
        if given == name
    ]
    return found[0] if len(found) == 1 else None
