"""What a page carries and gets back: a request that waits, and proof that the form is one of ours.

Both are bound to the browser that they were made for, by what its cookie holds. A flow that somebody
began in their own browser cannot be finished in another person's, however it is brought there
(CVE-2022-39222, GHSA-rww4-4w9c-7733), and a form that another site wrote proves nothing (RFC 9700
section 4.7).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

from bailiwick.errors import Refused

__all__ = ["Seal"]

# What is longer was not written here: it would not have fitted into an address.
MAX_SEALED: Final = 16_384
_MAC_BYTES: Final = hashlib.sha256().digest_size


class Seal:
    """Makes and opens what travels through a browser.

    Nothing in it is a secret from the person in front, so it is signed and not encrypted.

    Args:
        key: 256 bits that only this authority knows.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def close(self, kind: str, content: Mapping[str, Any], *, browser: str, until: float) -> str:
        """Seal something, so that it can be put into a form or an address.

        Args:
            kind: what it is; it can be opened as nothing else.
            content: what JSON can hold.
            browser: what the browser's cookie holds.
            until: when it expires, seconds since the epoch.
        """
        # Packed, because a request for many scopes is long, and an address must not be.
        written = json.dumps({"until": until, "content": content}, separators=(",", ":"))
        payload = zlib.compress(written.encode("ascii"), 9)
        return _encode(self._mac("seal", kind, browser, payload) + payload)

    def open(self, kind: str, sealed: str | None, *, browser: str, now: float) -> dict[str, Any]:
        """Open what `close` made, for the same browser.

        Args:
            kind: what it has to be.
            sealed: what came back; untrusted.
            browser: what the browser's cookie holds.
            now: seconds since the epoch.

        Raises:
            Refused: BW419: it is another browser's, or nobody's; BW421: it lay open too long.
        """
        raw = _decode(sealed) if sealed is not None and len(sealed) <= MAX_SEALED else b""
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac("seal", kind, browser, payload)):
            raise _foreign()
        read = json.loads(zlib.decompress(payload))  # only what was packed here gets this far
        if read["until"] <= now:
            raise Refused("invalid_request", "This page lay open too long.", id="BW421")
        content: dict[str, Any] = read["content"]
        return content

    def proof(self, act: str, about: str, *, browser: str) -> str:
        """The anti-forgery token of a form.

        Args:
            act: what the form does, such as "consent".
            about: what it does it to: the sealed request; "" where there is none.
            browser: what the browser's cookie holds.
        """
        return _encode(self._mac("proof", act, browser, about.encode("utf-8", "surrogatepass")))

    def check_proof(self, act: str, about: str, given: str | None, *, browser: str) -> None:
        """Refuse a form that is not one of ours.

        Args:
            act: what the form does.
            about: what it does it to.
            given: the anti-forgery token that it brought; untrusted.
            browser: what the browser's cookie holds.

        Raises:
            Refused: BW419.
        """
        expected = self.proof(act, about, browser=browser)
        if not hmac.compare_digest(expected.encode("ascii"), (given or "").encode("utf-8", "surrogatepass")):
            raise _foreign()

    def _mac(self, *parts: str | bytes) -> bytes:
        # Each part is preceded by its length, so that no two lists of parts read alike.
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for part in parts:
            octets = part if isinstance(part, bytes) else part.encode("utf-8", "surrogatepass")
            mac.update(len(octets).to_bytes(8, "big") + octets)
        return mac.digest()


def _foreign() -> Refused:
    return Refused(
        "invalid_request",
        "This page belongs to another session, or your browser keeps no cookies.",
        status=403,
        id="BW419",
    )


def _encode(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error, ValueError):
        return b""
