"""The authorization endpoint: every step that a request goes through, in order.

The outcome is a value that the web room turns into a page or a redirect. Whether a redirect may
happen at all is settled first: until the client and its redirect URI are known to belong together,
what is wrong is shown to the person in front and never sent anywhere (RFC 6749 section 4.1.2.1,
CVE-2025-4143, CVE-2026-54072).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from bailiwick.errors import Refused
from bailiwick.scopes import ScopeSet
from bailiwick.tokens import opaque

from . import pkce, redirects
from .authorization_request import (
    AuthorizationRequest,
    ResponseMode,
    check_echoes,
    hint_of,
    max_age_of,
    mode_of,
    prompt_of,
    state_of,
)
from .consent import Agenda, Consents, Decision, LoggedIn, must_always_ask
from .documents import ClientDocuments
from .ids import TokenBytes, mint_family
from .outcome import NeedsConsent, NeedsLogin, Outcome, Redirect, ShowError
from .records import Authorization, Client, Code, Event, GrantType, Origin, Resource
from .request import Form, wire_text
from .settings import Settings
from .store import CLOCK_SKEW, Store

__all__ = [
    "PARAMETERS",
    "REQUEST_URI",
    "AuthorizationEndpoint",
]

# RFC 9126 section 2.2 suggests this form; the reference behind it is 256 random bits.
REQUEST_URI: Final = "urn:ietf:params:oauth:request_uri:"

# What an authorization request may say here; the rest is ignored (RFC 6749 section 3.1).
PARAMETERS: Final = frozenset(
    (
        "client_id",
        "redirect_uri",
        "response_type",
        "response_mode",
        "state",
        "nonce",
        "code_challenge",
        "code_challenge_method",
        "scope",
        "resource",
        "prompt",
        "max_age",
        "login_hint",
        "request",
    )
)


@dataclass(frozen=True, slots=True)
class _Recipient:
    """Where an answer may be sent: a client, and a redirect URI that is one of its own."""

    client: Client
    uri: str
    given: bool
    mode: ResponseMode = ResponseMode.QUERY
    state: str | None = field(default=None, repr=False)


class AuthorizationEndpoint:
    """`GET|POST /authorize` (RFC 6749 section 4.1, RFC 9700 section 2.1).

    Args:
        settings: the issuer, resources and lifetimes.
        store: clients, people, codes.
        consents: what to ask.
        documents: finds clients.
        token_bytes: the source of randomness.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        consents: Consents,
        documents: ClientDocuments,
        token_bytes: TokenBytes,
    ) -> None:
        self._settings = settings
        self._store = store
        self._consents = consents
        self._documents = documents
        self._token_bytes = token_bytes

    async def begin(
        self, pairs: Iterable[tuple[str, str]], session: LoggedIn | None, *, origin: Origin, now: float
    ) -> Outcome:
        """Answer a request as it came from a client.

        Args:
            pairs: names and values of the query or the form.
            session: who is logged in at this browser; None if nobody is.
            origin: from where, for the journal.
            now: seconds since the epoch.

        Raises:
            StoreError: the store cannot answer.
        """
        given = list(pairs)
        try:
            pushed = any(name == "request_uri" for name, _ in given)
            if pushed:
                given = await self._pushed(given, now)
            recipient = await self._recipient(given, origin, now)
        except Refused as why:
            return _shown(why)
        try:
            self._check_pushed(pushed)
            request = self._read(given, recipient, now)
        except Refused as why:
            return self._sent_back(recipient, why)
        return await self._proceed(request, session, None, origin, now)

    async def resume(
        self, request: AuthorizationRequest, session: LoggedIn | None, *, origin: Origin, now: float
    ) -> Outcome:
        """Go on with a request after somebody logged in; arguments as for `begin`."""
        return await self._proceed(request, session, None, origin, now)

    async def decide(
        self,
        request: AuthorizationRequest,
        session: LoggedIn | None,
        decision: Decision,
        *,
        origin: Origin,
        now: float,
    ) -> Outcome:
        """Go on with a request after the person decided.

        Every step is taken again: between page and answer a role, a client or a session may have gone.

        Args:
            request: what waited.
            session: who is logged in at this browser.
            decision: what they answered.
            origin: from where, for the journal.
            now: seconds since the epoch.
        """
        return await self._proceed(request, session, decision, origin, now)

    async def check(self, pairs: Sequence[tuple[str, str]], *, origin: Origin, now: float) -> AuthorizationRequest:
        """Check a request without answering it, as when it is pushed (RFC 9126 section 2.1).

        Raises:
            Refused: what would be shown, or sent back.
        """
        return self._read(pairs, await self._recipient(pairs, origin, now), now)

    # -- who is asking, and where may the answer go ------------------------------------------------

    async def _pushed(self, pairs: Sequence[tuple[str, str]], now: float) -> list[tuple[str, str]]:
        """The parameters behind a `request_uri`, which nothing in the browser's address adds to."""
        client, uri = _single(pairs, "client_id"), _single(pairs, "request_uri")
        reference = (uri or "").removeprefix(REQUEST_URI)
        unknown = Refused("invalid_request_uri", "The request_uri is unknown, used or expired.", id="BW400")
        if client is None or uri is None or not uri.startswith(REQUEST_URI):
            raise unknown
        if not opaque.is_well_formed(reference, opaque.Kind.REQUEST):
            raise unknown
        digest = opaque.digest(reference)
        found = await self._store.pushed_request(digest, now)
        # Another client's request is not used up by whoever only saw its reference.
        if found is None or found.client != client or not await self._store.spend_pushed_request(digest):
            raise unknown
        if found.expires_at > now + self._settings.lifetimes.pushed + CLOCK_SKEW:
            raise unknown  # It was pushed in the future: the clock was set back since.
        return list(found.parameters)

    async def _recipient(self, pairs: Sequence[tuple[str, str]], origin: Origin, now: float) -> _Recipient:
        named, uri = _single(pairs, "client_id"), _single(pairs, "redirect_uri")
        if named is None:
            raise Refused("invalid_request", "The request names no client.", id="BW418")
        client = await self._documents.find(named, origin=origin, now=now)
        if client is None or client.disabled_at is not None:
            raise Refused("invalid_client", "The client is unknown.", id="BW418", detail=f"client {named[:80]!a}")
        if uri is None:
            # RFC 6749 section 3.1.2.3: with several registered, the request has to say which.
            if len(client.redirects) != 1:
                raise Refused("invalid_request", "The request names no redirect_uri.", id="BW418")
            uri, given = client.redirects[0], False
        else:
            given = True
        if not redirects.match(client.redirects, uri):
            raise Refused(
                "invalid_request",
                "The redirect_uri is not registered for this client.",
                id="BW418",
                detail=f"client {client.id}: redirect_uri {uri[:200]!a}",
            )
        return _Recipient(client, uri, given, mode_of(pairs) or ResponseMode.QUERY, state_of(pairs))

    # -- what is asked -----------------------------------------------------------------------------

    def _read(self, pairs: Sequence[tuple[str, str]], to: _Recipient, now: float) -> AuthorizationRequest:
        form = Form(pairs)
        self._check_type(form, to.client)
        if mode_of(pairs) is None:
            raise Refused("invalid_request", "The response_mode must be query or form_post.", id="BW400")
        check_echoes(form)
        challenge = pkce.check_challenge(form.get("code_challenge"), form.get("code_challenge_method"))
        resource = self._resource(form.resource())
        scope = form.scope()
        self._consents.check(to.client, resource, scope)
        return AuthorizationRequest(
            client=to.client.id,
            redirect=to.uri,
            redirect_given=to.given,
            mode=to.mode,
            state=to.state,
            challenge=challenge,
            scope=scope,
            resource=resource.identifier,
            prompt=prompt_of(form),
            max_age=max_age_of(form),
            hint=hint_of(form),
            asked_at=now,
        )

    def _check_pushed(self, pushed: bool) -> None:
        if self._settings.require_pushed and not pushed:
            raise Refused("invalid_request", "The request must be pushed first (RFC 9126).", id="BW400")

    def _check_type(self, form: Form, client: Client) -> None:
        if form.get("request") is not None:
            raise Refused("request_not_supported", "Request objects are not supported.", id="BW400")
        if form.need("response_type") != "code":
            # Tokens in the browser's address leak (RFC 9700 section 2.1.2); OpenID's id_token is not made here.
            raise Refused("unsupported_response_type", "The response_type must be code.", id="BW400")
        if GrantType.AUTHORIZATION_CODE not in client.grants:
            raise Refused("unauthorized_client", "The client may not use this grant.", id="BW403")

    def _resource(self, identifier: str | None) -> Resource:
        found = self._settings.default_resource if identifier is None else self._settings.resource(identifier)
        if found is None:
            raise Refused("invalid_target", "The requested resource is unknown.", id="BW410")
        return found

    # -- what the person in front says ---------------------------------------------------------------

    async def _proceed(
        self,
        request: AuthorizationRequest,
        session: LoggedIn | None,
        decision: Decision | None,
        origin: Origin,
        now: float,
    ) -> Outcome:
        client = await self._asking(request, origin, now)
        if isinstance(client, ShowError):
            return client
        to = _Recipient(client, request.redirect, request.redirect_given, request.mode, request.state)
        silent = "none" in request.prompt
        try:
            if session is None or not _recent_enough(request, session, now):
                if silent:
                    raise _would_ask("login_required")
                return NeedsLogin(request, client, fresh=session is not None)
            standing = await self._store.standing(session.subject)
            if standing is None or standing.account.disabled_at is not None:
                if silent:
                    raise _would_ask("login_required")
                return NeedsLogin(request, client)
            resource = self._resource(request.resource)
            unsure = must_always_ask(client, request.redirect)
            again = unsure or "consent" in request.prompt
            agenda = await self._consents.agenda(client, standing, resource, request.scope, again=again)
            if decision is None and agenda.questions:
                if silent:
                    raise _would_ask("interaction_required" if unsure else "consent_required")
                return NeedsConsent(request, client, standing.account, resource, agenda)
            if decision is None:
                scopes, via = agenda.settled, "first party"
            else:
                scopes, via = await self._chosen(client, session, agenda, decision, origin, now), "consent"
            await self._documents.keep(client, origin=origin, now=now)
            authorization = await self._consents.grant(
                client, session.subject, resource, scopes, via=via, origin=origin, now=now
            )
            return await self._code(request, to, session, authorization, scopes, origin, now)
        except Refused as why:
            return self._sent_back(to, why)

    async def _chosen(
        self, client: Client, session: LoggedIn, agenda: Agenda, decision: Decision, origin: Origin, now: float
    ) -> ScopeSet:
        try:
            return self._consents.choose(agenda, decision)
        except Refused:
            asked = ScopeSet([*agenda.asked, *agenda.settled])
            line = Event(
                now, "consent.denied", session.subject, session.subject, client.id, detail=str(asked), origin=origin
            )
            await self._store.record(line)
            raise

    async def _asking(self, request: AuthorizationRequest, origin: Origin, now: float) -> Client | ShowError:
        """The client, if the redirect URI is still one of its own."""
        try:
            client = await self._documents.find(request.client, origin=origin, now=now)
        except Refused as why:
            return _shown(why)
        if client is None or client.disabled_at is not None or not redirects.match(client.redirects, request.redirect):
            return _shown(Refused("invalid_client", "The client is unknown.", id="BW418"))
        return client

    async def _code(
        self,
        request: AuthorizationRequest,
        to: _Recipient,
        session: LoggedIn,
        authorization: Authorization,
        scopes: ScopeSet,
        origin: Origin,
        now: float,
    ) -> Redirect:
        code = opaque.mint(self._token_bytes, opaque.Kind.CODE)
        family = mint_family(self._token_bytes)
        await self._store.record(
            Event(
                now,
                "code.issued",
                actor=session.subject,
                subject=session.subject,
                client=to.client.id,
                object=authorization.id,
                detail=str(scopes),
                origin=origin,
            )
        )
        await self._store.add_code(
            Code(
                digest=opaque.digest(code),
                authorization=authorization.id,
                subject=session.subject,
                client=to.client.id,
                resource=request.resource,
                redirect=request.redirect,
                redirect_given=request.redirect_given,
                challenge=request.challenge,
                scopes=scopes,
                authenticated_at=session.authenticated_at,
                issued_at=now,
                expires_at=now + self._settings.lifetimes.code,
                family=family,
            )
        )
        return self._answer(to, ("code", code))

    # -- the way back --------------------------------------------------------------------------------

    def _sent_back(self, to: _Recipient, why: Refused) -> Redirect | ShowError:
        if to.client.registered and why.code != "access_denied":
            # Anybody can register a client whose redirect URI is a trap, and send people there by way of
            # this server's good name: RFC 9700 section 4.11.2.
            return _shown(why)
        return self._answer(to, ("error", why.code), ("error_description", wire_text(why.description)))

    def _answer(self, to: _Recipient, *params: tuple[str, str]) -> Redirect:
        state = () if to.state is None else (("state", to.state),)
        return Redirect(to.uri, (*params, *state, ("iss", self._settings.issuer)), to.mode)


def _shown(why: Refused) -> ShowError:
    return ShowError(why.code, why.description, why.id, why.detail, why.status, why.retry_after)


def _would_ask(code: str) -> Refused:
    return Refused(code, "The person would have to be asked, and prompt=none forbids it.", id="BW420")


def _recent_enough(request: AuthorizationRequest, session: LoggedIn, now: float) -> bool:
    # A login that this very request asked for is fresh, whatever max_age says: 0 would ask for ever.
    if session.authenticated_at >= request.asked_at:
        return True
    if "login" in request.prompt:
        return False
    return request.max_age is None or now - session.authenticated_at <= request.max_age


def _single(pairs: Sequence[tuple[str, str]], name: str) -> str | None:
    """A parameter that decides where answers go; of two, nobody can say which is meant."""
    values = [value for given, value in pairs if given == name]
    if len(values) > 1:
        raise Refused("invalid_request", f"The parameter {name} is repeated.", id="BW418")
    return values[0] or None if values else None
