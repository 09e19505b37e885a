"""The protected resource that a guard stands for, as OAuth clients discover it."""

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from bailiwick.errors import ConfigurationError

__all__ = ["Resource"]


@dataclass(frozen=True, slots=True)
class Resource:
    """The protected resource that a guard stands for, as clients discover it.

    Args:
        identifier: its URL, which is also the audience of its tokens.
        authorization_servers: the issuers whose tokens it takes.
        name: what people call it.
        documentation: URL of the developers' documentation, or None.
        scopes_supported: further scopes to be named in its metadata, besides those that some route requires: such as handlers check.

    Raises:
        ConfigurationError: the identifier is no absolute https URL without query and fragment; http is taken for
            loopback addresses, to try it out.

    Source: RFC 9728 section 2.
    """

    identifier: str
    authorization_servers: tuple[str, ...] = ()
    name: str = ""
    documentation: str | None = None
    scopes_supported: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        given: object = self.scopes_supported
        if isinstance(given, str | bytes):
            raise ConfigurationError("scopes_supported takes a list of scopes, not a text (rule 7).", id="BW104")
        # urlsplit drops a query or fragment that is empty; clients compare the whole text (section 3.3).
        parts = urlsplit(self.identifier)
        if parts.scheme not in {"https", "http"} or not parts.hostname or {"?", "#"} & set(self.identifier):
            raise ConfigurationError(
                f"A resource identifier is an absolute URL without query and fragment, not {self.identifier!r}."
            )
        if parts.scheme == "http" and not _is_this_machine(parts.hostname):
            raise ConfigurationError(
                f"The resource identifier {self.identifier!r} must be https; http is for the machine it is written on."
            )

    @property
    def metadata_path(self) -> str:
        """Where its metadata is served: the well-known part is put before the path (RFC 9728 section 3.1)."""
        return "/.well-known/oauth-protected-resource" + urlsplit(self.identifier).path.rstrip("/")

    @property
    def metadata_url(self) -> str:
        """The URL that challenges name."""
        parts = urlsplit(self.identifier)
        return f"{parts.scheme}://{parts.netloc}{self.metadata_path}"


def _is_this_machine(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
