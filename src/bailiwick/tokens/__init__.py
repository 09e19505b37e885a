"""Keys, signatures, claims: whether a token is true. No network.

`keys` holds what verifies and what signs, `jws` reads and writes the form of a token, `claims` says
what it must claim, `verify` puts them in order, `revoked` knows what no longer holds, `opaque` makes
tokens that mean nothing.
"""

from .claims import RFC_9068
from .jwk import ALGORITHMS, Key
from .jws import Signer
from .keys import Keyring, KeySource, SigningKey
from .revoked import Revocations
from .verify import JWTVerifier, Verifier

__all__ = [
    "ALGORITHMS",
    "RFC_9068",
    "JWTVerifier",
    "Key",
    "KeySource",
    "Keyring",
    "Revocations",
    "Signer",
    "SigningKey",
    "Verifier",
]
