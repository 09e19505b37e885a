"""What a client's TLS certificate says (RFC 8705 section 2.1). The proxy in front has verified it; this only reads it."""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography import x509

from bailiwick.authority.request import Certificate
from bailiwick.errors import Refused

__all__ = ["read_certificate"]

# Broken encodings are ValueErrors there; these are not, and come when a certificate is parsed or its names are read.
_UNREADABLE: Final = (x509.InvalidVersion, x509.DuplicateExtension, x509.UnsupportedGeneralNameType)


def read_certificate(der: bytes) -> Certificate:
    """Read a certificate's names.

    Args:
        der: the certificate, as the proxy handed it on.

    Raises:
        Refused: invalid_client, if it is none.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        subject = certificate.subject.rfc4514_string()
        names = _alternative_names(certificate)
    except (ValueError, *_UNREADABLE) as bad:
        raise Refused("invalid_client", "The client's certificate cannot be read.", status=401, id="BW401") from bad
    thumbprint = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode("ascii")
    return Certificate(subject, frozenset(names), thumbprint)


def _alternative_names(certificate: x509.Certificate) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *(f"san_dns={name}" for name in names.get_values_for_type(x509.DNSName)),
        *(f"san_uri={name}" for name in names.get_values_for_type(x509.UniformResourceIdentifier)),
        *(f"san_ip={name}" for name in names.get_values_for_type(x509.IPAddress)),
        *(f"san_email={name}" for name in names.get_values_for_type(x509.RFC822Name)),
    ]
