"""Fetches the documents in which clients describe themselves, from addresses that strangers choose.

A server that goes where strangers send it can be sent to its own neighbours (SSRF): the cloud's metadata service, an
admin page that trusts its network. So a name is resolved once, every address that comes of it must be public, and the
connection goes to the very address that was looked at: a name that resolves to something else a moment later (DNS
rebinding) changes nothing. No redirects, no proxies, no cookies, a few seconds, a few KiB. And one visit for all who ask
for the same address at the same time: nobody can have us knock a thousand times at somebody else's door.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from ipaddress import ip_address
from typing import Final

import httpx

from bailiwick.errors import Refused

from .special_addresses import is_special

__all__ = ["ClientMetadata", "MetadataFetcher", "is_public"]

# The draft recommends a limit of 5 KiB.
MAX_BYTES: Final = 5 * 1024
# Seconds for the whole of it, the name's resolution included.
TIMEOUT: Final = 5.0
# Fetches at the same time; those beyond wait for their turn within their own time. So many that a stranger with slow
# servers, of whose fetches ten can be under way, leaves places to others.
TOGETHER: Final = 64
# Names that are resolved at the same time, in threads of their own. The system's resolver waits as long as it likes for
# a stranger's dead name server, and nobody can stop it: it must not do so in threads that the rest of the process needs.
RESOLVED_TOGETHER: Final = 16

_JSON: Final = re.compile(r"application/(?:[a-z0-9!#$&^_.-]+\+)?json", re.IGNORECASE)
_AGE: Final = re.compile(r"max-age\s*=\s*\"?([0-9]{1,9})\"?", re.IGNORECASE)

_RESOLVING: Final = ThreadPoolExecutor(RESOLVED_TOGETHER, thread_name_prefix="bailiwick-names")

Resolver = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True, slots=True)
class ClientMetadata:
    """A document as it came.

    Args:
        body: its octets.
        fresh_for: seconds for which its server lets it be kept; None if it does not say.
    """

    body: bytes = field(repr=False)
    fresh_for: float | None = None


def is_public(address: str) -> bool:
    """Whether an address is one of the public Internet, and nothing that leads anywhere else.

    Args:
        address: an IPv4 or IPv6 address as text, in no other notation than the usual one.
    """
    try:
        return not is_special(ip_address(address))
    except ValueError:
        return False


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


async def resolve(host: str, port: int) -> list[str]:
    """Every address of a name, as the system knows them."""
    ask = partial(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
    found = await asyncio.get_running_loop().run_in_executor(_RESOLVING, ask)
    return [str(address[0]) for *_, address in found]


class MetadataFetcher:
    """Fetches documents from public addresses.

    Args:
        loopback: for development only: addresses of this machine will do too.
        tls: how certificates are checked; None: by the system's authorities, and never not at all.
        resolver: finds the addresses of a name; the system's by default.
        timeout: seconds for the whole of a fetch.
        max_bytes: the longest document.
    """

    def __init__(
        self,
        *,
        loopback: bool = False,
        tls: ssl.SSLContext | None = None,
        resolver: Resolver = resolve,
        timeout: float = TIMEOUT,
        max_bytes: int = MAX_BYTES,
    ) -> None:
        self._loopback = loopback
        # Made once: to read the system's authorities takes longer than most fetches.
        self._tls = tls if tls is not None else ssl.create_default_context()
        self._resolve = resolver
        self._timeout = timeout
        self._max_bytes = max_bytes
        self._places = asyncio.Semaphore(TOGETHER)
        self._under_way: dict[str, asyncio.Task[ClientMetadata]] = {}

    async def fetch(self, url: str) -> ClientMetadata:
        """Fetch a document, together with whoever else asks for it just now.

        Args:
            url: its address, whose form somebody has checked already.

        Raises:
            Refused: invalid_client (BW422), whatever went wrong; `detail` says what.
        """
        visit = self._under_way.get(url)
        # A loop that was closed took its tasks with it.
        if visit is None or visit.get_loop() is not asyncio.get_running_loop():
            visit = self._under_way[url] = asyncio.create_task(self._visit(url))
            visit.add_done_callback(lambda done: self._returned(url, done))
        # Whoever goes away meanwhile does not take the others' answer along.
        return await asyncio.shield(visit)

    def _returned(self, url: str, visit: asyncio.Task[ClientMetadata]) -> None:
        if self._under_way.get(url) is visit:
            del self._under_way[url]
        if not visit.cancelled():
            visit.exception()  # looked at, so that nobody is told of it who had gone away

    async def _visit(self, url: str) -> ClientMetadata:
        try:
            async with asyncio.timeout(self._timeout), self._places:
                return await self._fetch(httpx.URL(url))
        except TimeoutError as late:
            raise _unfit(f"it took longer than {self._timeout:g} seconds") from late
        except (httpx.HTTPError, httpx.InvalidURL, OSError, UnicodeError) as bad:
            raise _unfit(f"it cannot be fetched: {type(bad).__name__}") from bad

    async def _fetch(self, url: httpx.URL) -> ClientMetadata:
        if url.userinfo or url.fragment or not url.host:
            raise _unfit("its address holds a user or a fragment")
        address = await self._address(url)
        if url.scheme != "https" and not (url.scheme == "http" and self._loopback and _is_loopback(address)):
            raise _unfit("its address is not https")
        headers = {"host": url.netloc.decode("ascii"), "accept": "application/json", "accept-encoding": "identity"}
        async with (
            # A proxy from the environment would resolve the name once more, by itself.
            httpx.AsyncClient(verify=self._tls, trust_env=False, follow_redirects=False, timeout=self._timeout) as http,
            http.stream(
                "GET",
                url.copy_with(host=address),
                headers=headers,
                # The certificate has to be the name's, not the address's.
                extensions={"sni_hostname": url.host},
            ) as response,
        ):
            return await self._read(response)

    async def _address(self, url: httpx.URL) -> str:
        port = url.port or (443 if url.scheme == "https" else 80)
        found = list(await self._resolve(url.host, port))
        # One bad address among good ones is somebody's attempt, not an accident.
        if not found or not all(is_public(one) or (self._loopback and _is_loopback(one)) for one in found):
            raise _unfit("its host has no public address, or another besides")
        return found[0]

    async def _read(self, response: httpx.Response) -> ClientMetadata:
        # A redirect is none: whoever may be sent on may be sent anywhere.
        if response.status_code != 200:
            raise _unfit(f"its server answered {response.status_code}")
        if not _JSON.fullmatch(response.headers.get("content-type", "").partition(";")[0].strip()):
            raise _unfit("its type is not JSON")
        if response.headers.get("content-encoding", "identity").lower() != "identity":
            raise _unfit("it is compressed")
        body = bytearray()
        async for chunk in response.aiter_raw():
            body += chunk
            if len(body) > self._max_bytes:
                raise _unfit(f"it is longer than {self._max_bytes} bytes")
        return ClientMetadata(bytes(body), _fresh_for(response.headers.get("cache-control", "")))


def _fresh_for(cache_control: str) -> float | None:
    """Seconds that a document may be kept (RFC 9111 section 5.2.2); None if nothing is said."""
    directives = [one.strip() for one in cache_control.split(",")]
    if any(one.partition("=")[0].strip().lower() in ("no-store", "no-cache") for one in directives):
        return 0.0
    ages = [found for one in directives if (found := _AGE.fullmatch(one))]
    return min((float(found[1]) for found in ages), default=None)


def _unfit(detail: str) -> Refused:
    return Refused("invalid_client", "The client's metadata document cannot be had.", id="BW422", detail=detail)
