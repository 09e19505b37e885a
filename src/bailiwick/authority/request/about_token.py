"""What is asked of the endpoints that end a token, or tell about one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Self

from bailiwick.authority.records import Origin

from .form import Form
from .presented import Certificate, Presented

__all__ = ["IntrospectionRequest", "RevocationRequest"]


@dataclass(frozen=True, slots=True)
class _AboutToken:
    presented: Presented
    token: str = field(repr=False)
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        authorization: Sequence[str] = (),
        origin: Origin | None = None,
        certificate: Certificate | None = None,
    ) -> Self:
        """Read a form; arguments as for `TokenRequest.read`.

        Raises:
            Refused: invalid_request or invalid_client.
        """
        form = Form(pairs)
        return cls(Presented.read(form, authorization, certificate, origin), form.need("token"), origin or Origin())


class RevocationRequest(_AboutToken):
    """A request to the revocation endpoint (RFC 7009). `token_type_hint` is not needed: a token's form tells its type.

    Args:
        presented: who the client says it is.
        token: what to revoke.
        origin: from where.
    """

    __slots__ = ()


class IntrospectionRequest(_AboutToken):
    """A request to the introspection endpoint (RFC 7662).

    Args:
        presented: who the client says it is.
        token: what to tell about.
        origin: from where.
    """

    __slots__ = ()
