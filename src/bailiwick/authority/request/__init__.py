"""Form in, typed request out: once, at the edge. Past this folder nobody reads a form.

A repeated parameter is refused, an unknown one ignored, an empty one was not sent (RFC 6749
sections 3.1 and 3.2), and a client authenticates in one way at a time (section 2.3).
"""

from .about_token import IntrospectionRequest, RevocationRequest
from .asked import ClientAsked, CodeAsked, DeviceAsked, ExchangeAsked, PasswordAsked, RefreshAsked, TokenRequest
from .form import Form, read_form, refused_scope, wire_text
from .presented import ASSERTION_TYPE, Assertion, Certificate, Disconnected, Presented

__all__ = [
    "ASSERTION_TYPE",
    "Assertion",
    "Certificate",
    "ClientAsked",
    "CodeAsked",
    "DeviceAsked",
    "Disconnected",
    "ExchangeAsked",
    "Form",
    "IntrospectionRequest",
    "PasswordAsked",
    "Presented",
    "RefreshAsked",
    "RevocationRequest",
    "TokenRequest",
    "read_form",
    "refused_scope",
    "wire_text",
]
