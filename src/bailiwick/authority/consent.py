"""Consent: what a person must be asked, and what their answer writes down.

What was consented to is a row for each scope; what must be asked is the difference between what may
be granted and the rows that live. So a client that wants one more scope asks about that one, and
never gets it silently because it once got another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bailiwick.errors import InvalidScope, Refused
from bailiwick.scopes import Catalog, Ceilings, ScopeSet
from bailiwick.scopes import issue as formula

from .ids import TokenBytes, mint_authorization
from .records import (
    Authorization,
    Client,
    ConsentedScope,
    Event,
    Origin,
    Resource,
    Revocation,
    Revoked,
    Standing,
)
from .redirects import is_https
from .request import refused_scope
from .settings import Settings
from .store import Store

__all__ = ["Agenda", "Consents", "Decision", "LoggedIn", "Question", "must_always_ask"]


@dataclass(frozen=True, slots=True)
class LoggedIn:
    """A person in front of a browser, as the session proves.

    Args:
        subject: the person's id.
        authenticated_at: when they proved who they are, seconds since the epoch.
    """

    subject: str
    authenticated_at: float


@dataclass(frozen=True, slots=True)
class Question:
    """One scope on the consent page.

    Args:
        scope: its name; the checkbox's value.
        sentence: what the catalog says about it; its name if the catalog says nothing.
        required: the client is of no use without it, so that it cannot be left out.
        before: the person consented to it before.
    """

    scope: str
    sentence: str
    required: bool = False
    before: bool = False


@dataclass(frozen=True, slots=True)
class Agenda:
    """What a consent page is about.

    Args:
        questions: to be asked now; empty if nothing needs to be asked.
        already: consented to before and not asked again.
    """

    questions: tuple[Question, ...]
    already: tuple[Question, ...] = ()

    @property
    def asked(self) -> ScopeSet:
        """The scopes that are asked about."""
        return ScopeSet([question.scope for question in self.questions])

    @property
    def settled(self) -> ScopeSet:
        """The scopes that need no question."""
        return ScopeSet([question.scope for question in self.already])


@dataclass(frozen=True, slots=True)
class Decision:
    """What a person answered.

    Args:
        approved: they pressed the button that allows.
        chosen: the scopes that they ticked; those that nobody asked about count for nothing.
    """

    approved: bool
    chosen: ScopeSet


def must_always_ask(client: Client, redirect: str) -> bool:
    """Whether remembered consent proves nothing, because anybody could be this client.

    A public client is only as sure as the place its answers go to. Any program on the machine can
    listen on a loopback port or claim an app's scheme, so the person has to see each time who asks:
    RFC 8252 section 8.6, CVE-2023-34246. And one that describes itself may name another place tomorrow than the one
    that people knew when they consented, unless it is the very place that its id names.

    Args:
        client: who asks.
        redirect: where the answer goes.
    """
    if not client.public:
        return False
    return not is_https(redirect) or (client.described and urlsplit(client.id).netloc != urlsplit(redirect).netloc)


class Consents:
    """Asks what is new, and writes down what was answered.

    Args:
        catalog: the scopes and their sentences.
        settings: how long the feed tells of a withdrawal.
        store: what was consented to.
        token_bytes: the source of randomness.
    """

    def __init__(self, catalog: Catalog, settings: Settings, store: Store, token_bytes: TokenBytes) -> None:
        self._catalog = catalog
        self._settings = settings
        self._store = store
        self._token_bytes = token_bytes

    def check(self, client: Client, resource: Resource, requested: ScopeSet | None) -> ScopeSet:
        """What a client may ask of anybody, known before it is known whom.

        Args:
            client: its ceiling and its default.
            resource: the API that is meant.
            requested: the scopes asked for; None if the client did not say.

        Raises:
            Refused: invalid_scope: one is unknown, or the client may have none of them.
        """
        return self._grantable(client, resource, requested, None)

    async def agenda(
        self, client: Client, standing: Standing, resource: Resource, requested: ScopeSet | None, *, again: bool
    ) -> Agenda:
        """What to ask a person.

        Args:
            client: who wants the scopes.
            standing: what the person may have: nobody is asked for what they do not have themselves.
            resource: the API that is meant.
            requested: the scopes asked for; None for the client's default.
            again: ask about what was consented to before as well.

        Raises:
            Refused: invalid_scope: nothing of it may be granted.
        """
        grantable = self._grantable(client, resource, requested, standing)
        found = await self._store.authorization_of(standing.account.id, client.id, resource.identifier)
        rows = found.rows if found is not None else ()
        # A person cannot give again what an operator took away; asking would promise what does not come.
        locked = {row.scope for row in rows if row.withdrawn_at is not None and row.withdrawn_by == "operator"}
        live = found.live if found is not None else ScopeSet()
        wanted = [name for name in grantable if name not in locked]
        if not wanted:
            raise Refused("invalid_scope", "None of the requested scopes may be issued here.", id="BW405")
        lines = [self._question(name, client, before=name in live) for name in wanted]
        # A first-party client belongs to whoever runs this authority: asking whether the one may tell the
        # other protects nobody. But what the person took back is not given again without a word.
        taken_back = {row.scope for row in rows if row.withdrawn_at is not None}
        silent = [line.before or (client.first_party and line.scope not in taken_back) for line in lines]
        ask = [again or not settled for settled in silent]
        return Agenda(
            tuple(line for line, asked in zip(lines, ask, strict=True) if asked),
            tuple(line for line, asked in zip(lines, ask, strict=True) if not asked),
        )

    def _grantable(
        self, client: Client, resource: Resource, requested: ScopeSet | None, standing: Standing | None
    ) -> ScopeSet:
        try:
            return formula(
                self._catalog,
                requested,
                client.default or client.ceiling,
                Ceilings(
                    client=client.ceiling,
                    resource=resource.scopes,
                    subject=standing.scopes if standing is not None else None,
                ),
            )
        except InvalidScope as bad:
            raise refused_scope(bad) from bad

    def _question(self, name: str, client: Client, *, before: bool) -> Question:
        return Question(name, self._catalog.scopes[name].description or name, name in client.required, before)

    def choose(self, agenda: Agenda, decision: Decision) -> ScopeSet:
        """The scopes that a person's answer grants, those settled before included.

        Args:
            agenda: as it stands now, not as it stood when the page was shown.
            decision: the answer.

        Raises:
            Refused: access_denied (BW412): they refused, left out what is required, or ticked nothing.
        """
        chosen = [question for question in agenda.questions if question.scope in decision.chosen]
        lacking = [question for question in agenda.questions if question.required and question not in chosen]
        granted = ScopeSet([*agenda.settled, *(question.scope for question in chosen)])
        if not decision.approved or lacking or not granted:
            raise Refused("access_denied", "The person denied the request.", id="BW412")
        return granted

    async def grant(
        self,
        client: Client,
        subject: str,
        resource: Resource,
        scopes: ScopeSet,
        *,
        via: str,
        origin: Origin,
        now: float,
    ) -> Authorization:
        """Write consent down.

        Args:
            client: who may have the scopes.
            subject: who lets it.
            resource: for which API.
            scopes: what was consented to.
            via: what gave it: "consent", "device" or "first party".
            origin: from where, for the journal.
            now: seconds since the epoch.

        Returns:
            The authorization as it stands afterwards.
        """
        given = Authorization(
            mint_authorization(self._token_bytes),
            subject,
            client.id,
            resource.identifier,
            now,
            tuple(ConsentedScope(name, now, via) for name in scopes),
        )
        event = Event(
            now,
            "authorization.granted",
            actor=subject,
            subject=subject,
            client=client.id,
            detail=f"{via}: {scopes}",
            origin=origin,
        )
        return await self._store.consent(given, event)

    async def of(self, subject: str) -> Sequence[Authorization]:
        """What a person lets clients do, oldest first."""
        return await self._store.authorizations(subject=subject)

    async def withdraw(
        self, subject: str, authorization: str, scope: str | None = None, *, origin: Origin, now: float
    ) -> int:
        """Let a person take back one scope of an authorization, or all of it.

        Args:
            subject: who takes it back.
            authorization: its id.
            scope: which one; None for all that this client was let do.
            origin: from where, for the journal.
            now: seconds since the epoch.

        Returns:
            How many scopes and refresh families ended.

        Raises:
            Refused: access_denied (BW412): it is none of this person's.
        """
        found = await self._store.authorization(authorization)
        if found is None or found.subject != subject:
            raise Refused("access_denied", "There is no such authorization of yours.", status=404, id="BW412")
        kind = Revoked.AUTHORIZATION if scope is None else Revoked.SCOPE
        return await self._store.revoke(
            Revocation(
                kind,
                found.id,
                now,
                self._settings.feed_until(now),
                scope or "",
                by="person",
                reason="withdrawn by the person",
            ),
            Event(
                now,
                f"{kind.value}.revoked",
                actor=subject,
                subject=subject,
                client=found.client,
                object=found.id,
                detail=scope or "everything",
                origin=origin,
            ),
        )

    async def withdraw_everything(self, subject: str, *, origin: Origin, now: float) -> int:
        """Let a person take back all that they ever let any client do; how many scopes and families ended."""
        return sum([await self.withdraw(subject, one.id, origin=origin, now=now) for one in await self.of(subject)])
