"""The revocation feed: what no longer holds although a token may still say so, signed.

A resource server that follows it learns within seconds what would otherwise end with the token. The
document is a JWT, so that whoever carries it (a cache, a proxy, a file) can neither add a line nor
leave one out unnoticed; its type keeps it from being taken for an access token and the other way
round (RFC 8725 section 3.11).

Claims: `iss`, `iat`, `exp` (after which the document says nothing any more), `after` (the number that was
asked for), `last` (the number to ask for next), `life` (seconds that a line lasts at most) and
`lines`, each a list: number, kind, key, at, until, scope. `kind` is one of "token", "family", "scope",
"authorization", "subject" and "client"; `key` is the token's `jti` or the id of the other; tokens
with a `rev` below the number are meant, and those with an `iat` in an earlier second than `at`; of a token without
`rev`, those with `iat` at or before `at`. `until` is when the last of them has expired anyway, so that a
follower forgets the line then; `scope` is "" unless `kind` is "scope". A token that was exchanged names in
`rests_on` what it hangs on besides its own ids: a line about any of those means it too.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from .keys import SigningKeys
from .settings import FEED_MARGIN, Settings
from .store import Store

__all__ = ["FEED_TYPE", "FeedDocument", "RevocationFeed"]

FEED_TYPE: Final = "revocations+jwt"


@dataclass(frozen=True, slots=True)
class FeedDocument:
    """One answer of the feed.

    Args:
        token: the signed document, media type `application/revocations+jwt`.
        etag: changes whenever the lines would; for `If-None-Match`.
        last: the number to ask for next.
        lines: how many there are.
    """

    token: str = field(repr=False)
    etag: str
    last: int
    lines: int


class RevocationFeed:
    """`GET /revocations?after=...`.

    Args:
        settings: the issuer and the lifetimes.
        store: keeps the lines.
        keys: what signs: the keys of access tokens.
    """

    def __init__(self, settings: Settings, store: Store, keys: SigningKeys) -> None:
        self._settings = settings
        self._store = store
        self._keys = keys

    @property
    def bound(self) -> int:
        """Seconds after which a line has done its work: no token that it is about lives longer."""
        return self._settings.lifetimes.access + FEED_MARGIN

    async def etag(self, after: int, now: float) -> str:
        """What `document` would be marked with, without signing anything; for a poll that waits.

        Args:
            after: the number of the last line that the follower has; 0 for everything that matters.
            now: seconds since the epoch.
        """
        lines = await self._store.revocations(after=after, now=now)
        return _etag(after, max((line.number for line in lines), default=after))

    async def document(self, after: int, now: float) -> FeedDocument:
        """The lines after a number, signed.

        Args:
            after: the number of the last line that the follower has; 0 for everything that matters.
            now: seconds since the epoch.

        Raises:
            StoreError: the store cannot answer.
        """
        lines = await self._store.revocations(after=after, now=now)
        last = max((line.number for line in lines), default=after)
        claims = {
            "iss": self._settings.issuer,
            "iat": int(now),
            # As long as a line lasts: an older document could lack all that it should say.
            "exp": int(now) + self.bound,
            "after": after,
            "last": last,
            "life": self.bound,
            "lines": [[line.number, line.kind.value, line.key, line.at, line.until, line.scope] for line in lines],
        }
        signer = await self._keys.signer()
        return FeedDocument(signer.sign(claims, typ=FEED_TYPE), _etag(after, last), last, len(lines))


def _etag(after: int, last: int) -> str:
    return f'"{after}-{last}"'
