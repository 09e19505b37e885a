"""Redirect URIs: which may be registered, and which registered one a request means.

A browser and a server that read the same text differently send codes to strangers, so nothing is
parsed when a request is compared: text against text (RFC 9700 section 2.1). Only the port of a
loopback address may differ, because a native app cannot choose it (RFC 8252 section 7.3).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

__all__ = ["MAX_REDIRECT", "is_https", "match", "why_unfit"]

# What browsers and proxies carry; longer ones are an attempt at something else.
MAX_REDIRECT: Final = 2048

# A native app's own scheme is a reversed domain name (RFC 8252 section 7.1), so it holds a dot. That
# keeps out javascript:, data: and whatever else a browser would run (CVE-2026-9086).
_PRIVATE_SCHEME: Final = re.compile(r"[a-z][a-z0-9+-]*(\.[a-z0-9+-]+)+")
# Names and IPv4 addresses as they are written; an underscore, a percent sign or a trailing dot is read
# differently by different parsers.
_HOST: Final = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", re.IGNORECASE)
_IPV6: Final = re.compile(r"[0-9a-f:.]+", re.IGNORECASE)
# The characters of RFC 3986, less `#` (RFC 6749 section 3.1.2: no fragment) and `*` (no wildcards).
_URI: Final = re.compile(r"[A-Za-z0-9._~:/?\[\]@!$&'()+,;=%-]+")
_DOT_SEGMENT: Final = re.compile(r"/(\.|%2e){1,2}(/|\?|$)", re.IGNORECASE)

# `localhost` is no loopback address: it can be another machine (RFC 8252 section 8.3), and a prefix of
# `localhost.evil.example` (CVE-2026-18211). The rest begins with / or ? or is empty, so that nothing
# can follow the port or the address but a path.
_LOOPBACK: Final = re.compile(r"(http://(?:127\.0\.0\.1|\[::1\]))(?::([0-9]{1,5}))?((?:[/?].*)?)", re.DOTALL)
MAX_PORT: Final = 65535


def match(registered: Iterable[str], asked: str) -> bool:
    """Whether a redirect URI is one of those registered.

    Args:
        registered: as the client has them.
        asked: as the request has it; untrusted.

    Source: RFC 9700 section 2.1; RFC 8252 section 7.3.
    """
    return any(asked == one or _same_but_port(one, asked) for one in registered)


def _same_but_port(registered: str, asked: str) -> bool:
    here, there = _LOOPBACK.fullmatch(registered), _LOOPBACK.fullmatch(asked)
    if here is None or there is None or (here[1], here[3]) != (there[1], there[3]):
        return False
    return there[2] is None or 1 <= int(there[2]) <= MAX_PORT


def is_https(uri: str) -> bool:
    """Whether only the holder of a certificate can receive what is sent there.

    Anything on the machine can listen on a loopback port or claim an app's scheme (RFC 8252 section 8.6).
    """
    return uri.startswith("https://")


def why_unfit(uri: str) -> str:
    """Why a redirect URI may not be registered; "" if it may.

    Args:
        uri: as it would be registered.

    Source: RFC 6749 section 3.1.2, RFC 8252 sections 7 and 8.3, RFC 9700 section 2.1.
    """
    if not isinstance(uri, str) or len(uri) > MAX_REDIRECT or not _URI.fullmatch(uri):
        return "holds a character that it may not (RFC 6749 section 3.1.2), or is too long"
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return "is not a URI"
    if "@" in parts.netloc:
        return "holds a user name or a password"
    if port == 0 or parts.netloc.endswith(":"):
        return "has an empty port"
    if _DOT_SEGMENT.search(parts.path):
        return "holds a dot segment, which browsers resolve before they ask"
    scheme = parts.scheme  # in lower case, whatever was written: "JavaScript:" is javascript: to a browser
    if scheme == "https" and (_IPV6 if "[" in parts.netloc else _HOST).fullmatch(host):
        return ""
    if scheme == "http" and host in ("127.0.0.1", "::1"):
        return ""
    if _PRIVATE_SCHEME.fullmatch(scheme) and not parts.netloc and parts.path:
        return ""
    return "is neither https, nor http on a loopback address, nor an app's own scheme"
