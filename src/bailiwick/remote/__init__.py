"""The only code that calls another server: what an API asks of the authority of its tokens.

`revocations` follows the feed of what was revoked.
"""

from .revocations import RevocationFeed

__all__ = ["RevocationFeed"]
