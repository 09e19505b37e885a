"""The revocation feed: what no longer holds although a token may still say so, signed.

A resource server that follows it learns within seconds what would otherwise end with the token. The
document is a JWT, so that whoever carries it (a cache, a proxy, a file) can neither add a line nor
leave one out unnoticed; its type keeps it from being taken for an access token and the other way
round (RFC 8725 section 3.11).

Claims: `iss`, `iat`, `exp` (after which the document says nothing any more), `after` (the number that was
asked for), `last` (the number to ask for next), `newest` (the highest number that there is), `life` (seconds that a line lasts at most) and
`lines`, each a list: number, kind, key, at, until, scope. `kind` is one of "token", "family", "scope",
"authorization", "subject" and "client"; `key` is the token's `jti` or the id of the other; tokens
with a `rev` below the number are meant, and those with an `iat` in an earlier second than `at`; of a token without
`rev`, those with `iat` at or before `at`. `until` is when the last of them has expired anyway, so that a
follower forgets the line then; `scope` is "" unless `kind` is "scope". A token that was exchanged names in
`rests_on` what it hangs on besides its own ids: a line about any of those means it too.

A follower that names a `limit` is told as many lines at most. Where `newest` is above `last` there are more, to be asked
for after `last`. That no page is left out is seen by their numbers: each names the one after which it goes on, and a
line never gets a number below one that was told. So the last page proves that its follower knows everything up to the
moment at which it asked for that page. A `newest` below `after` says that the numbers began anew, as after a backup was
brought back; then all has to be loaded again.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bailiwick.errors import Refused

from .clients import ClientAuthenticator
from .keys import SigningKeys
from .records import Client
from .request import Presented
from .settings import FEED_MARGIN, Settings
from .store import Store

__all__ = ["FEED_TYPE", "LONGEST_PAGE", "WHOLE", "FeedDocument", "RevocationFeed"]

FEED_TYPE: Final = "revocations+jwt"
# Lines of a page at most: some 280 KB as a JWT, a few milliseconds of this process.
LONGEST_PAGE: Final = 2_000
# Lines of a document that was asked for without a limit. Whoever asks so may not know of pages, and would take one for
# the whole; a follower of the first form reads no more than some 60,000 either.
WHOLE: Final = 10_000


@dataclass(frozen=True, slots=True)
class FeedDocument:
    """One answer of the feed.

    Args:
        token: the signed document, media type `application/revocations+jwt`.
        etag: changes whenever the lines would; for `If-None-Match`.
        last: the number to ask for next.
        newest: the highest number that there is; above `last` where there is more to ask for.
        lines: how many it tells.
    """

    token: str = field(repr=False)
    etag: str
    last: int
    newest: int
    lines: int


class RevocationFeed:
    """`GET /revocations?after=...`.

    Args:
        settings: the issuer and the lifetimes.
        store: keeps the lines.
        keys: what signs: the keys of access tokens.
        clients: finds out who asks.
    """

    def __init__(self, settings: Settings, store: Store, keys: SigningKeys, clients: ClientAuthenticator) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys
        self._clients = clients

    async def authenticate(self, presented: Presented | None, *, now: float) -> Client | None:
        """Who follows, if they may: the feed names people, clients and what the one lets the other do.

        Args:
            presented: how the client says who it is; None if the request says nothing of it.
            now: seconds since the epoch.

        Returns:
            The client; None for somebody unknown, where the settings make the feed public.

        Raises:
            Refused: invalid_client (401): nobody says who they are, or cannot prove it; unauthorized_client (403): the
                client may not follow; slow_down (429) as for every client that is guessed at.
            StoreError: the store cannot answer.
        """
        if presented is None:
            if self._settings.public_revocations:
                return None
            raise Refused("invalid_client", "The client did not say who it is.", status=401, id="BW401")
        client = await self._clients.authenticate(presented, now=now)
        # Anybody may name a public client.
        if client.public or not client.follows_revocations:
            raise Refused("unauthorized_client", "The client may not follow the feed.", status=403, id="BW411")
        return client

    @property
    def bound(self) -> int:
        """Seconds after which a line has done its work: no token that it is about lives longer."""
        return self._settings.lifetimes.access + FEED_MARGIN

    async def newest(self) -> int:
        """The highest number that there is: one look by an index, whatever the feed's length.

        Raises:
            StoreError: the store cannot answer.
        """
        return await self._store.last_revocation()

    def etag(self, after: int, newest: int, limit: int = 0) -> str:
        """What `document` would be marked with.

        Args:
            after: the number of the last line that the follower has; 0 for everything that matters.
            newest: what `newest` said.
            limit: lines at most; 0 for all.
        """
        return f'"{after}-{newest}-{limit}"' if limit else f'"{after}-{newest}"'

    async def document(self, after: int, now: float, limit: int = 0) -> FeedDocument:
        """The lines after a number, signed.

        Args:
            after: the number of the last line that the follower has; 0 for everything that matters.
            now: seconds since the epoch.
            limit: lines at most, of which never more than `LONGEST_PAGE` come at once; 0 for all.

        Raises:
            Refused: invalid_request: all are asked for, and there are more than `WHOLE`.
            StoreError: the store cannot answer.
        """
        # Before the lines are read: they hold everything up to it then, and perhaps some of what came since.
        newest = await self.newest()
        most = min(limit, LONGEST_PAGE) if limit else WHOLE + 1
        lines = await self._store.revocations(after=after, now=now, limit=most)
        if not limit and len(lines) > WHOLE:
            raise Refused("invalid_request", f"There are more than {WHOLE} lines; ask with a limit.", id="BW400")
        told = lines[-1].number if lines else after
        newest = max(newest, told)
        # The end of a page, or all: lines that have expired tell nothing, and need not be asked for again.
        last = told if len(lines) == most else max(after, newest)
        claims = {
            "iss": self._settings.issuer,
            "iat": int(now),
            # As long as a line lasts: an older document could lack all that it should say.
            "exp": int(now) + self.bound,
            "after": after,
            "last": last,
            "newest": newest,
            "life": self.bound,
            "lines": [[line.number, line.kind.value, line.key, line.at, line.until, line.scope] for line in lines],
        }
        signer = await self._keys.signer()
        return FeedDocument(
            signer.sign(claims, typ=FEED_TYPE), self.etag(after, newest, limit), last, newest, len(lines)
        )
