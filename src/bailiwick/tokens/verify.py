"""From the text of a token to the Principal that it proves, and a short memory of the answer.

The order is fixed: form, type, key, signature, claims, checks. No claim is looked at before the
signature is verified, so that answers tell nothing to somebody who cannot sign.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from hashlib import sha256
from typing import Final, Protocol, runtime_checkable

from bailiwick.errors import BailiwickError, ConfigurationError, InvalidToken
from bailiwick.scopes import Principal

from .answer_cache import AnswerCache
from .bearer import B64TOKEN, BEARER
from .claims import RFC_9068, ClaimRules
from .clock import system_clock
from .forgeries import Forgeries
from .jwk import ALGORITHMS, Key
from .jws import MAX_BYTES, Envelope, read, read_claims, read_octets
from .keys import Keyring, KeySource

__all__ = ["FORGERY", "JWTVerifier", "Verifier"]

# How many keys one signature is tried against: a token that names no key must not cost a hundred checks.
MAX_CANDIDATES: Final = 8
# How much text of tokens the remembered answers stand for, in characters. The claims of a token take about ten times its text in
# memory: without this bound a thousand tokens of 16 KB would keep 130 MB.
MAX_REMEMBERED: Final = 2 * 1024 * 1024
# How many kinds of header are remembered: one for each key, and for each way to write its type.
MAX_ACCEPTED: Final = 64
FORGED: Final = "The token's signature does not verify."
# To be answered, and never raised: a shared exception would gather tracebacks for as long as it lives.
FORGERY: Final = InvalidToken(FORGED, id="BW203")
# How long a signature that does not verify is refused without another look: a key that replaces one of
# the same name is noticed after this long at the latest.
FORGED_SECONDS: Final = 5.0
ACCESS_TOKEN: Final = ("at+jwt",)  # RFC 9068 section 2.1


@runtime_checkable
class Verifier(Protocol):
    """Whatever can say who a token's bearer is."""

    async def verify(self, token: str) -> Principal:
        """Who calls, as the token proves.

        Args:
            token: the text that was presented, without "Bearer".

        Raises:
            InvalidToken: it proves nothing.
            Unavailable: what is needed to tell cannot be reached.
        """
        ...


class JWTVerifier:
    """Verifies the JWT access tokens of one issuer for one API.

    Answers are remembered for a short time, by the SHA-256 of the header that presented the token. A remembered answer ends at `exp`
    sharply, without the leeway: within the leeway after `exp` every presentation is verified anew.
    `checks` run on every presentation, remembered or not.

    Args:
        keys: the keys of that issuer: a `Keyring`, or another source.
        issuer: its identifier, compared with `iss` as a whole text.
        audience: this API's identifier, or several; one of them must be in `aud`.
        leeway: how many seconds the clocks may differ, 0 to 300.
        scope_claim: the one claim that holds the scopes, a string or a list. Other claims are never looked at.
        types: the `typ`s that are taken, "application/" optional and case ignored; None takes any and none at all.
        required: the claims that must be there; `iss`, `exp`, `aud` and `sub` always must. Those of RFC 9068 by default.
        client_claim: the claim that names the client.
        max_bytes: the longest token that is looked at, in characters.
        cache_size: how many answers are remembered; 0 remembers none.
        cache_seconds: how long an answer is remembered at most, which is also how long a key that was
            withdrawn lives on.
        now: the clock, in seconds since 1970-01-01 UTC.
        checks: called with the Principal on every presentation, in order; each raises `InvalidToken` to refuse, as
            for a revoked token, returns a Principal to put it in the place of this one, as for one with fewer
            scopes, or returns None to leave it as it is. They must be quick and must not block.

    Raises:
        ConfigurationError: a setting is empty, of the wrong type or out of range.

    Source: RFC 9068 section 4, RFC 8725, RFC 7519 section 7.2.
    """

    def __init__(
        self,
        keys: Keyring | KeySource,
        *,
        issuer: str,
        audience: str | Sequence[str],
        leeway: float = 30,
        scope_claim: str = "scope",
        types: Collection[str] | None = ACCESS_TOKEN,
        required: Collection[str] = RFC_9068,
        client_claim: str = "client_id",
        max_bytes: int = MAX_BYTES,
        cache_size: int = 1024,
        cache_seconds: float = 60.0,
        now: Callable[[], float] = system_clock,
        checks: Sequence[Callable[[Principal], Principal | None]] = (),
    ) -> None:
        # A secret in place of a keyring is a likely slip, and text has a `find` too.
        given: object = keys
        if isinstance(given, str | bytes) or not isinstance(given, KeySource):
            raise ConfigurationError(f"keys must be a Keyring or another KeySource, not {type(keys).__name__}.")
        if max_bytes < 1 or cache_size < 0 or not cache_seconds >= 0:
            raise ConfigurationError("max_bytes must be at least 1, cache_size and cache_seconds at least 0.")
        self._rules = ClaimRules(
            issuer=issuer,
            audience=audience,
            leeway=leeway,
            scope_claim=scope_claim,
            client_claim=client_claim,
            types=types,
            required=required,
        )
        self._keys = keys
        # Of a keyring itself: one that somebody derived may find keys in a way of its own.
        self._find_now = keys.find_now if type(keys) is Keyring else None
        # Of the algorithm, key's name and type that a header gives, where all is well with them: the keys that may have signed.
        self._accepted: dict[tuple[str, str | None, str | None], tuple[Key, ...]] = {}
        self._max_bytes = max_bytes
        self._longest = len(BEARER) + max_bytes
        self._cache_size = cache_size
        self._cache_seconds = cache_seconds
        self._now = now
        self._checks = tuple(checks)
        # The oldest answer goes first, however often it was given: who is asked about again is verified again, once for
        # so many others. Keeping the order of use would cost each of the requests in between.
        self._remembered = AnswerCache(cache_size, MAX_REMEMBERED)
        self._forged = Forgeries(cache_size if cache_seconds > 0 else 0)
        self._forged_for = min(cache_seconds, FORGED_SECONDS)
        # What was proved by keys that were found before `forget` is not remembered after it.
        self._era = object()
        self._lock = threading.Lock()
        self.issuer = self._rules.issuer
        self.audience = self._rules.audience
        self.leeway = self._rules.leeway

    async def verify(self, token: str) -> Principal:
        """Who calls, as the token proves.

        Args:
            token: the text that was presented, without "Bearer".

        Raises:
            InvalidToken: it proves nothing; `id` and `description` say why.
            Unavailable: the keys cannot be reached, and nothing usable is known.
        """
        digest = b""
        if isinstance(token, str) and len(token) <= self._max_bytes:
            # A lone surrogate has octets of its own: they are nobody's token, and `read` says so.
            digest = sha256(BEARER + token.encode("utf-8", "surrogatepass")).digest()
            remembered = self._recall(digest)
            if remembered is not None:
                return remembered
            if self._forged.holds(digest, self._now()):
                raise InvalidToken(FORGED, id="BW203")
        envelope = read(token, max_bytes=self._max_bytes)
        self._accept(envelope)
        era, forged = self._era, self._forged.present()
        candidates = await self._keys.find(envelope.kid, envelope.alg)
        if not _is_signed(envelope, candidates):
            self._forged.note(forged, digest, self._now() + self._forged_for)
            raise InvalidToken(FORGED, id="BW203")
        return self._caller(envelope, digest, era)

    def verify_now(self, credentials: bytes) -> Principal | InvalidToken | None:
        """`verify`, where nothing has to be waited for: the answer is remembered, or the keys are at hand.

        Args:
            credentials: the value of an `Authorization` header.

        Returns:
            Who calls; or the refusal of what proves nothing, to be answered and not to be raised; or None where only
            `verify` can tell.
        """
        if len(credentials) > self._longest:
            return None
        # What is remembered was once taken apart, scheme and all.
        digest = sha256(credentials).digest()
        known = self._remembered.answers.get(digest)
        if known is not None:
            if not self._checks:
                now = self._now
                if now() < known[1]:
                    return known[0]
            remembered = self._recall(digest)
            if remembered is not None:
                return remembered
        return self._first_time(credentials, digest)

    def _first_time(self, credentials: bytes, digest: bytes) -> Principal | InvalidToken | None:
        now = self._now()
        if self._forged.holds(digest, now):
            return FORGERY
        find, token = self._find_now, credentials[len(BEARER) :]
        # In what is no b64token, `verify` may be shown less than what was sent.
        if find is None or not token or credentials[: len(BEARER)] != BEARER or token.translate(None, B64TOKEN):
            return None
        era, forged, accepted = self._era, self._forged.present(), self._accepted
        try:
            envelope = read_octets(token)
            # Few headers are ever good, and each token repeats one of them.
            named = (envelope.alg, envelope.kid, envelope.typ)
            candidates = accepted.get(named)
            if candidates is None:
                self._accept(envelope)
                candidates = find(envelope.kid, envelope.alg)
            if _is_signed(envelope, candidates):
                if len(accepted) < MAX_ACCEPTED:
                    accepted[named] = candidates
                return self._caller(envelope, digest, era)
        except InvalidToken as refusal:
            # Its frames, and those of what it came from, hold whoever is given it: garbage that only the collector finds.
            refusal.__context__ = None
            return refusal.with_traceback(None)
        except BailiwickError:
            return None  # of a check; `verify` says what it says
        self._forged.note(forged, digest, now + self._forged_for)
        return FORGERY

    def verify_cached(self, token: str) -> Principal | None:
        """The remembered answer, at once and without waiting; None if there is none, and then `verify` has to tell.

        Args:
            token: the text that was presented, without "Bearer".

        Raises:
            InvalidToken: its signature did not verify a moment ago.
        """
        try:
            octets = token.encode()
        except UnicodeEncodeError:
            return None
        if len(octets) > self._max_bytes:
            return None
        digest = sha256(BEARER + octets).digest()
        remembered = self._recall(digest)
        if remembered is None and self._forged.holds(digest, self._now()):
            raise InvalidToken(FORGED, id="BW203")
        return remembered

    def _recall(self, digest: bytes) -> Principal | None:
        known = self._remembered.answers.get(digest)
        if known is None:
            return None
        principal, until, _ = known
        if self._now() >= until:
            with self._lock:
                self._remembered.drop(digest)
            return None
        if self._checks:
            try:
                principal = self._check(principal)
            except BailiwickError:
                return None  # `verify` says why
        return principal

    def _accept(self, envelope: Envelope) -> None:
        """Insist on a kind of token, and an algorithm, that can be accepted at all.

        Raises:
            InvalidToken: it is of another.
        """
        self._rules.check_type(envelope.typ)
        alg = envelope.alg
        if alg not in ALGORITHMS or (isinstance(self._keys, Keyring) and alg not in self._keys.algorithms):
            raise InvalidToken("The token's algorithm is not accepted.", id="BW204")

    def _caller(self, envelope: Envelope, digest: bytes, era: object) -> Principal:
        """Who calls, as a token says whose signature was verified.

        Raises:
            InvalidToken: its claims are not those of an access token for this API.
        """
        now = self._now()
        principal = self._rules.read(read_claims(envelope.payload), now)
        checked = self._check(principal)
        # As the token has it: what a check takes away today it may give back with its next answer.
        self._remember(digest, principal, now, era, len(envelope.signing_input))
        return checked

    def forget(self) -> None:
        """Drop every remembered answer, as after a key was withdrawn; who is being verified meanwhile is not remembered."""
        with self._lock:
            self._era = object()
            self._remembered.clear()
            self._forged.forget()
            self._accepted = {}

    def _check(self, principal: Principal) -> Principal:
        for check in self._checks:
            checked = check(principal)
            if checked is not None:
                principal = checked
        return principal

    def _remember(self, digest: bytes, principal: Principal, now: float, era: object, size: int) -> None:
        ends = principal.expires_at
        until = min(now + self._cache_seconds, now if ends is None else ends)
        if self._cache_size == 0 or until <= now:
            return
        with self._lock:
            if self._era is not era:
                return
            self._remembered.keep(digest, principal, until, size)


def _is_signed(envelope: Envelope, candidates: Sequence[Key]) -> bool:
    """Whether one of the keys made the signature.

    Raises:
        InvalidToken: there is none, or there are too many.
    """
    if len(candidates) > MAX_CANDIDATES:
        raise InvalidToken("The token does not say which key signed it.", id="BW203")
    if not candidates:
        raise InvalidToken("The token's signing key is unknown.", id="BW203")
    alg, signed, signature = envelope.alg, envelope.signing_input, envelope.signature
    # The binding is checked once more, whatever the source of keys returned. A generator would cost more than this loop.
    for key in candidates:  # noqa: SIM110
        if key.alg == alg and key.verify(signed, signature):
            return True
    return False
