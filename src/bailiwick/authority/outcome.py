"""How the authorization endpoint can answer: the browser is sent back, or the person has something to do or to read.

None of these is HTTP: the web room makes a page or a redirect of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urlencode

from .authorization_request import AuthorizationRequest, ResponseMode
from .consent import Agenda
from .records import Account, Client, Resource

__all__ = ["NeedsConsent", "NeedsLogin", "Outcome", "Redirect", "ShowError"]


@dataclass(frozen=True, slots=True)
class ShowError:
    """Tell the person in front, and send nobody anywhere.

    Args:
        code: the error word.
        description: one sentence.
        id: the stable id.
        detail: for the log.
        status: HTTP status.
        retry_after: seconds until another try makes sense, where that is known.
    """

    code: str
    description: str
    id: str
    detail: str
    status: int = 400
    retry_after: int | None = None


@dataclass(frozen=True, slots=True)
class Redirect:
    """Send the browser back to the client, with a code or an error.

    Args:
        uri: the client's redirect URI.
        params: what it is told; `iss` is always among it (RFC 9207).
        mode: in the query by 303, or by a form that posts itself.
    """

    uri: str
    params: tuple[tuple[str, str], ...] = field(repr=False)
    mode: ResponseMode = ResponseMode.QUERY

    @property
    def location(self) -> str:
        """The whole address, for the query mode; the URI's own query is kept (RFC 6749 section 3.1.2)."""
        return f"{self.uri}{'&' if '?' in self.uri else '?'}{urlencode(self.params)}"

    @property
    def error(self) -> str | None:
        """The error word, None where a code is sent."""
        return dict(self.params).get("error")


@dataclass(frozen=True, slots=True)
class NeedsLogin:
    """The person has to log in, and `resume` goes on from there.

    Args:
        request: what waits.
        client: who asks, for the page.
        fresh: the person has a session, but has to prove again who they are.
    """

    request: AuthorizationRequest
    client: Client
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class NeedsConsent:
    """The person has to decide, and `decide` goes on from there.

    Args:
        request: what waits.
        client: who asks.
        account: who is asked.
        resource: the API that is meant.
        agenda: the questions, and what needs none.
    """

    request: AuthorizationRequest
    client: Client
    account: Account
    resource: Resource
    agenda: Agenda


Outcome = ShowError | Redirect | NeedsLogin | NeedsConsent
