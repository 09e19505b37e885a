"""Devices without a browser (RFC 8628): a code on a small screen, a decision at another one.

What the device holds and what the person types are two different codes. The person who typed the
code is the one who decides: an attacker's code, opened in somebody else's browser, is bound to that
browser's person from its first page on and always shows who asks for what (section 5.4).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from bailiwick.errors import Refused, StoreError
from bailiwick.scopes import ScopeSet
from bailiwick.tokens import opaque

from .attempts import FREE, FREE_TOGETHER, Attempts, network_of
from .begun import Waiting, crowded
from .clients import ClientAuthenticator
from .consent import Agenda, Consents, Decision, LoggedIn
from .ids import TokenBytes
from .records import Account, Client, DeviceCode, DeviceState, Event, GrantType, Origin, Resource
from .refusals import Refusals
from .request import Certificate, Form, Presented
from .settings import Settings
from .store import Begun, Store

__all__ = [
    "ALPHABET",
    "DeviceAuthorization",
    "DeviceConsent",
    "DeviceEndpoint",
    "DeviceRequest",
    "DeviceTicket",
    "mint_user_code",
    "normalise_user_code",
]

# RFC 8628 section 6.1: twenty consonants, which make no words and cannot be taken for digits; eight of them
# are 34.5 bits, enough while guesses are counted (section 5.1).
ALPHABET: Final = "BCDFGHJKLMNPQRSTVWXZ"
LETTERS: Final = 8
# 240 is the largest multiple of 20 that an octet can hold: what lies above is thrown again, so that no
# letter is likelier than another.
_FAIR: Final = 240
# Fresh codes that happen to be in use; three in a row do not happen by chance.
TRIES: Final = 3
# How often one code may be typed: a device is in front of one person or a few, and a code that a hundred people type
# was sent to them by somebody (section 5.4).
TYPED: Final = FREE
MAX_TYPED: Final = 64


def mint_user_code(token_bytes: TokenBytes) -> str:
    """Make a user code, as the person reads it: two groups of four letters."""
    letters = ""
    while len(letters) < LETTERS:
        letters += "".join(ALPHABET[octet % len(ALPHABET)] for octet in token_bytes(LETTERS) if octet < _FAIR)
    return f"{letters[:4]}-{letters[4:LETTERS]}"


def normalise_user_code(typed: str) -> str:
    """What a person meant: case, dashes and blanks do not count (RFC 8628 section 6.1); "" if it is no code."""
    if len(typed) > MAX_TYPED:
        return ""
    letters = "".join(c for c in typed.upper() if c.isalnum())
    return letters if len(letters) == LETTERS and set(letters) <= set(ALPHABET) else ""


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    """A request to the device authorization endpoint, read (section 3.1).

    Args:
        presented: who the client says it is.
        scope: the scopes asked for; None if the client did not say.
        resource: the resource asked for; None for the default one.
        origin: from where.
    """

    presented: Presented
    scope: ScopeSet | None = None
    resource: str | None = None
    origin: Origin = field(default_factory=Origin)

    @classmethod
    def read(
        cls,
        pairs: Iterable[tuple[str, str]],
        *,
        authorization: Sequence[str] = (),
        origin: Origin | None = None,
        certificate: Certificate | None = None,
    ) -> DeviceRequest:
        """Read a form; arguments as for `TokenRequest.read`.

        Raises:
            Refused: invalid_request, invalid_client, invalid_scope or invalid_target.
        """
        form = Form(pairs)
        presented = Presented.read(form, authorization, certificate, origin)
        return cls(presented, form.scope(), form.resource(), origin or Origin())


@dataclass(frozen=True, slots=True)
class DeviceAuthorization:
    """What the device is told (section 3.2).

    Args:
        device_code: what it polls with.
        user_code: what it shows to the person.
        verification_uri: where the person types it.
        expires_in: seconds.
        interval: seconds between two polls.
    """

    device_code: str = field(repr=False)
    user_code: str = field(repr=False)
    verification_uri: str
    expires_in: int
    interval: int

    def as_json(self) -> dict[str, Any]:
        """The members of the JSON answer."""
        return {
            "device_code": self.device_code,
            "user_code": self.user_code,
            "verification_uri": self.verification_uri,
            "verification_uri_complete": f"{self.verification_uri}?user_code={self.user_code}",
            "expires_in": self.expires_in,
            "interval": self.interval,
        }


@dataclass(frozen=True, slots=True)
class DeviceTicket:
    """Who typed which code: it goes through the browser while they decide, sealed by the web room.

    Args:
        user_code: digest of the code.
        subject: who typed it; nobody else can decide.
    """

    user_code: str = field(repr=False)
    subject: str

    def to_dict(self) -> dict[str, str]:
        """The ticket as JSON has it, for sealing."""
        return {"user_code": self.user_code, "subject": self.subject}

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> DeviceTicket:
        """Read what `to_dict` wrote.

        Raises:
            Refused: invalid_request, if it is anything else.
        """
        code, subject = kept.get("user_code"), kept.get("subject")
        if len(kept) != 2 or not isinstance(code, str) or not isinstance(subject, str):  # its two members
            raise Refused("invalid_request", "The page cannot be read; type the code again.", id="BW400")
        return cls(code, subject)


@dataclass(frozen=True, slots=True)
class DeviceConsent:
    """What the person has to decide.

    Args:
        ticket: to be handed back with the decision.
        client: which program the device runs.
        account: who is asked.
        resource: the API that is meant.
        agenda: the questions; everything is asked, whatever was consented to before.
    """

    ticket: DeviceTicket
    client: Client
    account: Account
    resource: Resource
    agenda: Agenda


class DeviceEndpoint:
    """`POST /device_authorization`, and the decisions of `GET|POST /device`.

    Args:
        settings: the issuer, resources and lifetimes.
        store: keeps the codes.
        clients: finds out who asks.
        consents: what to ask the person.
        attempts: counts wrong user codes.
        refusals: counts them in the journal.
        token_bytes: the source of randomness.
    """

    def __init__(
        self,
        settings: Settings,
        store: Store,
        clients: ClientAuthenticator,
        consents: Consents,
        attempts: Attempts,
        refusals: Refusals,
        token_bytes: TokenBytes,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clients = clients
        self._consents = consents
        self._attempts = attempts
        self._refusals = refusals
        self._token_bytes = token_bytes
        self._waiting = Waiting(settings, store, token_bytes)

    async def answer(self, request: DeviceRequest, *, now: float) -> DeviceAuthorization:
        """Begin a device's request.

        Args:
            request: the form, read.
            now: seconds since the epoch.

        Raises:
            Refused: the client is unknown or may not use this grant, or asks for what it can never get; slow_down
                (BW416, status 429): too many of its requests, or of its network's, wait for a person.
            StoreError: the store cannot answer.
        """
        client = await self._clients.authenticate(request.presented, now=now)
        if GrantType.DEVICE_CODE not in client.grants:
            raise Refused("unauthorized_client", "The client may not use this grant.", id="BW403")
        resource = self._resource(request.resource)
        self._consents.check(client, resource, request.scope)
        lifetimes = self._settings.lifetimes
        network, room = await self._waiting.room(client, request.origin)
        for _ in range(TRIES):
            device = opaque.mint(self._token_bytes, opaque.Kind.DEVICE)
            shown = mint_user_code(self._token_bytes)
            kept = DeviceCode(
                digest=opaque.digest(device),
                user_code=_digest(shown),
                client=client.id,
                resource=resource.identifier,
                scopes=request.scope,
                issued_at=now,
                expires_at=now + lifetimes.device,
                interval=lifetimes.device_interval,
                network=network,
            )
            outcome = await self._store.add_device_code(kept, room, now)
            if outcome is Begun.FULL:
                raise crowded(lifetimes.device, f"device requests of client {client.id!a}")
            if outcome is Begun.DONE:
                return DeviceAuthorization(
                    device, shown, f"{self._settings.issuer}/device", lifetimes.device, lifetimes.device_interval
                )
        raise StoreError("No user code is free.", detail="fresh user codes were in use; is the randomness random?")

    async def enter(self, typed: str, session: LoggedIn, *, origin: Origin, now: float) -> DeviceConsent:
        """Look up a code that a person typed.

        Args:
            typed: as typed.
            session: who typed it.
            origin: from where; guesses are counted by person, and more widely by network.
            now: seconds since the epoch.

        Raises:
            Refused: invalid_request (BW415): there is no such code, or it has expired or is decided; slow_down
                (BW416): too many wrong ones; invalid_scope: this person may have nothing of what is asked.
        """
        network = network_of(origin.address)
        # Nobody guesses without an account, and nobody makes themselves one: who is logged in is who is counted. The
        # address is an office's or a whole town's, and bounds only what many accounts do together.
        person, place = [f"user_code:{session.subject}"], [f"user_code@{network}"] if network else []
        await self._attempts.check(person, now)
        await self._attempts.check(place, now, free=FREE_TOGETHER)
        # Counted before it is known to be wrong: guesses that come all at once are counted all the same.
        await self._attempts.failed([*person, *place], now)
        ticket = DeviceTicket(_digest(typed), session.subject)
        if await self._store.device_code_of_user(ticket.user_code, now) is None:
            # What was typed stays out of it: it may be anything, a password too.
            self._refusals.note(Event(now, "device.mistyped", session.subject, session.subject, origin=origin))
            raise _unknown(journaled=True)
        await self._attempts.succeeded([*person, *place])
        await self._count_typed(ticket, now)
        return await self.question(ticket, session, now=now)

    async def _count_typed(self, ticket: DeviceTicket, now: float) -> None:
        names = [f"user_code={ticket.user_code}"]
        await self._attempts.failed(names, now)
        try:
            await self._attempts.check(names, now, free=TYPED + 1)
        except Refused as why:
            raise _unknown("the code was typed too often") from why

    async def question(self, ticket: DeviceTicket, session: LoggedIn, *, now: float) -> DeviceConsent:
        """What the person who holds this ticket has to decide.

        Raises:
            Refused: as `enter`; access_denied (BW412) if somebody else typed the code.
        """
        _, consent = await self._pending(ticket, session, now)
        return consent

    async def decide(
        self, ticket: DeviceTicket, session: LoggedIn, decision: Decision, *, origin: Origin, now: float
    ) -> bool:
        """Write a person's decision down; the device learns it at its next poll.

        Args:
            ticket: which code, and who typed it.
            session: who decides.
            decision: what they answered.
            origin: from where, for the journal.
            now: seconds since the epoch.

        Returns:
            Whether the device may have something.

        Raises:
            Refused: as `question`.
        """
        code, consent = await self._pending(ticket, session, now)
        client, resource = consent.client, consent.resource
        event = Event(
            now,
            "device.denied",
            session.subject,
            session.subject,
            client.id,
            detail=str(consent.agenda.asked),
            origin=origin,
        )
        try:
            scopes = self._consents.choose(consent.agenda, decision)
        except Refused:
            denied = replace(code, state=DeviceState.DENIED, subject=session.subject)
            await self._settle(denied, event)
            return False
        authorization = await self._consents.grant(
            client, session.subject, resource, scopes, via="device", origin=origin, now=now
        )
        approved = replace(
            code,
            state=DeviceState.APPROVED,
            scopes=scopes,
            subject=session.subject,
            authorization=authorization.id,
            authenticated_at=session.authenticated_at,
        )
        await self._settle(
            approved, replace(event, what="device.approved", object=authorization.id, detail=str(scopes))
        )
        return True

    async def _settle(self, decided: DeviceCode, event: Event) -> None:
        if not await self._store.decide_device_code(decided, event):
            raise _unknown()

    async def _pending(self, ticket: DeviceTicket, session: LoggedIn, now: float) -> tuple[DeviceCode, DeviceConsent]:
        if ticket.subject != session.subject:
            raise Refused("access_denied", "Somebody else typed this code; type it again.", status=403, id="BW412")
        code = await self._store.device_code_of_user(ticket.user_code, now)
        client = await self._store.client(code.client) if code is not None else None
        if code is None or client is None or client.disabled_at is not None:
            raise _unknown()
        standing = await self._store.standing(session.subject)
        if standing is None or standing.account.disabled_at is not None:
            raise Refused("access_denied", "You may not act any more.", status=403, id="BW412")
        resource = self._resource(code.resource)
        # A device cannot prove which program it runs, and the person may have been lured here.
        agenda = await self._consents.agenda(client, standing, resource, code.scopes, again=True)
        return code, DeviceConsent(ticket, client, standing.account, resource, agenda)

    def _resource(self, identifier: str | None) -> Resource:
        found = self._settings.default_resource if identifier is None else self._settings.resource(identifier)
        if found is None:
            raise Refused("invalid_target", "The requested resource is unknown.", id="BW410")
        return found


def _digest(user_code: str) -> str:
    return opaque.digest(f"user code {normalise_user_code(user_code)}")


def _unknown(detail: str | None = None, *, journaled: bool = False) -> Refused:
    return Refused(
        "invalid_request",
        "This code is unknown, expired, or was used already.",
        id="BW415",
        detail=detail,
        journaled=journaled,
    )
