"""Private keys encrypted at rest, under a key-encryption key that is kept apart from the database.

Whoever copies the database, or finds a backup of it, then still cannot sign. The key-encryption key
comes from a file or from the environment, never from the store.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import os
import re
import shlex
import stat
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from bailiwick.errors import ConfigurationError

__all__ = ["KeyEncryptionKey"]

# AES-256-GCM (NIST SP 800-38D) with a random 96-bit nonce each time: safe for 2^32 sealings, and a key is
# sealed a few times in its life.
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_HEX: Final = re.compile(r"[0-9a-fA-F]{64}")


class KeyEncryptionKey:
    """Seals and opens texts; what `authority.keys.Seal` asks for.

    Args:
        key: 32 random bytes.

    Raises:
        ConfigurationError: another number of bytes, or all of them equal (BW110).
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != KEY_BYTES or len(set(key)) == 1:
            raise ConfigurationError(
                f"A key-encryption key is {KEY_BYTES} random bytes; make one with: openssl rand -hex {KEY_BYTES}",
                id="BW110",
            )
        self._cipher = AESGCM(key)
        # Tells keys apart and nothing about them.
        self.name = hmac.digest(key, b"bailiwick key-encryption key name", hashlib.sha256).hex()[:16]

    def __repr__(self) -> str:
        return f"<KeyEncryptionKey {self.name}>"

    @classmethod
    def from_text(cls, text: str) -> KeyEncryptionKey:
        """Read a key from 64 hexadecimal digits or from base64, as it stands in a file or a variable.

        Raises:
            ConfigurationError: it is neither (BW110); the text is not repeated.
        """
        text = text.strip()
        try:
            plain = (
                bytes.fromhex(text) if _HEX.fullmatch(text) else base64.b64decode(text, altchars=b"-_", validate=True)
            )
        except (binascii.Error, ValueError):
            plain = b""
        return cls(plain)

    @classmethod
    def from_file(cls, path: str | Path) -> KeyEncryptionKey:
        """Read a key from a file that only its owner may read.

        Raises:
            ConfigurationError: the file cannot be read, others may read it, or it holds no key.
        """
        path = Path(path)
        try:
            mode = path.stat().st_mode
            text = path.read_text("ascii")
        except (OSError, UnicodeDecodeError) as bad:
            raise ConfigurationError(
                f"The key-encryption key cannot be read from {path}: {_why(bad, path)}", id="BW110"
            ) from bad
        if mode & (stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH):
            raise ConfigurationError(f"Others may read or write {path}: run chmod 600 {path}", id="BW110")
        return cls.from_text(text)

    def seal(self, text: str, purpose: str) -> str:
        """Encrypt a text, so that it opens for the same purpose only.

        Args:
            text: what nobody may read.
            purpose: what it is for; it is not encrypted, but bound to it.
        """
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, text.encode(), purpose.encode())
        return base64.b64encode(nonce + sealed).decode("ascii")

    def open(self, sealed: str, purpose: str) -> str:
        """Decrypt what `seal` made.

        Raises:
            ConfigurationError: it was sealed with another key or for another purpose, or was changed since (BW110).
        """
        try:
            raw = base64.b64decode(sealed, validate=True)
            return self._cipher.decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], purpose.encode()).decode()
        except (binascii.Error, ValueError, InvalidTag) as bad:
            raise ConfigurationError(
                "A sealed key does not open: it was changed, or sealed with another key-encryption key.", id="BW110"
            ) from bad


def _why(bad: OSError | UnicodeError, path: Path) -> str:
    """What is the matter with a file, and what to do; nothing of what is in it."""
    if isinstance(bad, FileNotFoundError):
        return f"no such file. Make one with: (umask 077 && openssl rand -hex {KEY_BYTES} > {shlex.quote(str(path))})"
    return f"{bad.strerror or type(bad).__name__}." if isinstance(bad, OSError) else "it holds no text."
