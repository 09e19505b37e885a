"""What an operator should look at twice: settings and records that work, and that an attacker would like.

Everything here is allowed. What may never be is refused where it is declared; this is about the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from bailiwick.scopes import Catalog, ScopeSet

from .clients import STRONG_SECRET, was_strong
from .records import EVERY_RESOURCE, Account, Client, GrantType, KeyState, RoleRecord, StoredKey
from .settings import Settings

__all__ = ["RULES", "Finding", "Situation", "examine"]

# NIST SP 800-63B section 5.1.1.2: at least 8 characters for a password that a person chooses.
SHORTEST_PASSWORD: Final = 8
# RFC 9700 section 2.2 wants access tokens short-lived; beyond an hour, whoever steals one has a working day.
LONGEST_ACCESS: Final = 60 * 60
# A signing key that nobody turned for this much longer than its life: no process of this authority runs, or
# its clock stands still.
KEY_OVERDUE: Final = 24 * 60 * 60
# A pushed request has at most 8 KiB. So many are 16 MiB that one stranger fills from one address.
MOST_UNFINISHED: Final = 2_000

# Grants whose codes travel through a browser or another screen, where a redirect or a look-alike can catch them.
_BY_REDIRECT: Final = GrantType.AUTHORIZATION_CODE


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing to look at.

    Args:
        rule: its stable name, one of `RULES`.
        about: what it concerns, such as "client demo-cli".
        says: what is so, and why it matters.
        advice: what to do.
    """

    rule: str
    about: str
    says: str
    advice: str


@dataclass(frozen=True, slots=True)
class Situation:
    """All that is looked at, read at one moment.

    Args:
        catalog: the scopes that exist.
        settings: lifetimes and rules.
        clients: every client.
        accounts: every person.
        roles: every role at rest.
        keys: every signing key at rest.
        now: seconds since the epoch.
    """

    catalog: Catalog
    settings: Settings
    clients: Sequence[Client]
    accounts: Sequence[Account]
    roles: Sequence[RoleRecord]
    keys: Sequence[StoredKey]
    now: float


def examine(situation: Situation) -> tuple[Finding, ...]:
    """Everything that is worth a second look, settings first; empty if there is nothing."""
    return tuple(finding for rule in _EXAMINED for finding in rule(situation))


# -- the authority -------------------------------------------------------------------------


def _plain_http(here: Situation) -> Iterator[Finding]:
    # `check_issuer` lets http pass on loopback only. A name such as localhost is still what a resolver makes of it.
    if urlsplit(here.settings.issuer).scheme != "https":
        yield Finding(
            "plain-http",
            "issuer",
            f"{here.settings.issuer} is plain http: good on this machine only, and no cookie is bound to https.",
            "Give the issuer an https URL before anybody else uses it.",
        )


def _lifetimes(here: Situation) -> Iterator[Finding]:
    lifetimes = here.settings.lifetimes
    if lifetimes.access > LONGEST_ACCESS:
        yield Finding(
            "long-access-tokens",
            "lifetimes.access",
            f"Access tokens live {lifetimes.access} seconds; a stolen one is good for as long (RFC 9700 section 2.2).",
            f"Choose at most {LONGEST_ACCESS}; refresh tokens keep people logged in.",
        )
    if lifetimes.refresh_idle > lifetimes.refresh_absolute:
        yield Finding(
            "idle-beyond-absolute",
            "lifetimes.refresh_idle",
            "Refresh tokens may be idle longer than they live at all, so the idle limit does nothing.",
            "Choose refresh_idle below refresh_absolute.",
        )
    if lifetimes.key_pending < lifetimes.access:
        yield Finding(
            "hasty-keys",
            "lifetimes.key_pending",
            f"A new key signs {lifetimes.key_pending} seconds after it was published; APIs that cache keys may not "
            "know it yet.",
            "Choose key_pending above the time that APIs cache the keys for; a day is usual.",
        )


def _settings(here: Situation) -> Iterator[Finding]:
    settings = here.settings
    if settings.password_min_length < SHORTEST_PASSWORD:
        yield Finding(
            "short-passwords",
            "password_min_length",
            f"New passwords may have {settings.password_min_length} characters (NIST SP 800-63B wants "
            f"{SHORTEST_PASSWORD}).",
            f"Set password_min_length to {SHORTEST_PASSWORD} or more.",
        )
    if settings.signing_algorithm.startswith("HS"):
        yield Finding(
            "shared-signing-secret",
            "signing_algorithm",
            f"{settings.signing_algorithm} signs with a shared secret: whoever verifies tokens can make them.",
            "Choose ES256, unless this one process alone issues and verifies.",
        )
    if settings.issue_wildcards:
        yield Finding(
            "wildcards-in-tokens",
            "issue_wildcards",
            "Tokens carry wildcards, so they cover scopes that are added to the catalog later.",
            "Turn issue_wildcards off, unless an API needs them.",
        )
    if settings.client_certificates and not settings.trusted_proxies:
        yield Finding(
            "trusts-proxy",
            "client_certificates",
            "Clients' certificates are believed from a header, whoever sends it: whoever reaches the authority past the "
            "proxy can be any such client (RFC 9440 section 4).",
            "Name the proxy in trusted_proxies, and see that it removes the header that clients send.",
        )
    documents = settings.metadata_documents
    if documents is not None and documents.loopback and urlsplit(settings.issuer).scheme == "https":
        yield Finding(
            "loopback-documents",
            "metadata_documents.loopback",
            "Clients' documents may lie on this machine, and at any port: strangers can have the authority call programs "
            "that trust whoever is on it.",
            "Turn loopback off; it is for development.",
        )
    registration = settings.registration
    if registration is not None and not registration.initial_tokens:
        yield Finding(
            "open-registration",
            "registration",
            f"Anybody may register clients, with scopes up to {registration.ceiling}.",
            "Give registration initial tokens, or keep its ceiling small.",
        )
    if settings.public_revocations:
        yield Finding(
            "public-revocations",
            "public_revocations",
            "Anybody may read the revocation feed: who lets which client do what, by their ids, and when it ended.",
            "Turn public_revocations off, and give each API a client: bailiwick client add NAME --follows-revocations",
        )
    if settings.unfinished.network > MOST_UNFINISHED:
        yield Finding(
            "many-unfinished",
            "unfinished.network",
            f"Anybody who has the name of a public client can have {settings.unfinished.network} requests of each kind "
            "kept from one network, and nobody needs so many.",
            f"Choose at most {MOST_UNFINISHED}; if all people come from one address, name your proxies in trusted_proxies.",
        )


# -- clients -------------------------------------------------------------------------------


def _clients(here: Situation) -> Iterator[Finding]:
    for client in here.clients:
        # Who is disabled does nothing; who enables them again will see it then.
        if client.disabled_at is None:
            for rule in (_password_grant, _short_secret, _ceiling, _redirects, _introspection):
                yield from rule(here, client, f"client {client.id}")


def _password_grant(_here: Situation, client: Client, about: str) -> Iterator[Finding]:
    if GrantType.PASSWORD in client.grants:
        yield Finding(
            "password-grant",
            about,
            "It takes people's passwords itself (RFC 9700 section 2.4: MUST NOT be used).",
            "Move it to authorization_code or the device grant, and take the password grant away.",
        )


def _short_secret(_here: Situation, client: Client, about: str) -> Iterator[Finding]:
    if client.secret is not None and not was_strong(client.secret):
        yield Finding(
            "short-client-secret",
            about,
            f"Somebody chose its secret, of fewer than {STRONG_SECRET} bits; it can be guessed (RFC 6749 section 10.10).",
            f"Have one of 256 bits made: bailiwick client rotate-secret {client.id}",
        )


def _ceiling(here: Situation, client: Client, about: str) -> Iterator[Finding]:
    superuser = here.catalog.superuser
    if superuser is not None and superuser in client.ceiling:
        yield Finding(
            "superuser-client",
            about,
            f"Its ceiling holds the superuser scope {superuser}: with the right person, its tokens may do anything.",
            f"List the scopes that it needs: bailiwick client scopes {client.id} SCOPE...",
        )
    wildcards = [name for name in client.ceiling if name not in here.catalog and name.endswith(":*")]
    if wildcards:
        yield Finding(
            "wildcard-client",
            about,
            f"Its ceiling holds {' '.join(wildcards)}: it grows with the catalog, without anybody deciding.",
            f"List the scopes that it needs: bailiwick client scopes {client.id} SCOPE...",
        )


def _redirects(_here: Situation, client: Client, about: str) -> Iterator[Finding]:
    if _BY_REDIRECT not in client.grants:
        return
    for uri in client.redirects:
        scheme = urlsplit(uri).scheme
        if scheme not in ("http", "https"):
            says = "any app on the device may claim that scheme and receive the code (RFC 8252 section 8.6)"
        elif client.public and scheme == "http" and client.first_party:
            # No consent page stands between a program that listens on the port and somebody who is logged in.
            says = "any program on the machine may listen there, and a first-party client is not asked for consent"
        else:
            continue
        yield Finding(
            "risky-redirect",
            about,
            f"It redirects to {uri}: {says}.",
            "Use an https redirect that the app claims; without one, let it ask for consent (no --first-party).",
        )


def _introspection(_here: Situation, client: Client, about: str) -> Iterator[Finding]:
    if EVERY_RESOURCE in client.introspects:
        yield Finding(
            "introspects-all",
            about,
            "It may introspect tokens of every API, and so learn who uses what.",
            "Name the APIs that it serves instead.",
        )


# -- people and roles ----------------------------------------------------------------------


def _people(here: Situation) -> Iterator[Finding]:
    superuser = here.catalog.superuser
    for account in here.accounts:
        if account.disabled_at is not None or not account.grants:
            continue
        if superuser is not None and superuser in account.grants:
            yield Finding(
                "superuser-directly",
                f"user {account.name}",
                f"They were given the superuser scope {superuser} directly; no role shows it.",
                "Give it through a role, so that a look at the role tells who has it.",
            )


def _roles(here: Situation) -> Iterator[Finding]:
    used = {role for account in here.accounts for role in account.roles}
    for role in here.roles:
        about = f"role {role.name}"
        if role.name not in used:
            yield Finding(
                "unused-role",
                about,
                "Nobody has it.",
                "Give it to somebody, or remove it from the catalog and drop it.",
            )
        unknown = [name for name in role.scopes if not here.catalog.knows(name)]
        if unknown:
            yield Finding(
                "unknown-scope-in-role",
                about,
                f"It holds {' '.join(unknown)}, which the catalog does not know (any more); nobody gets that.",
                f"Say what it holds: bailiwick role set {role.name} SCOPE...",
            )
        declared = here.catalog.roles.get(role.name)
        if declared is not None and set(declared.scopes) != set(role.scopes):
            yield Finding(
                "role-differs",
                about,
                f"It holds {role.scopes}, and the catalog says {declared.scopes}; what the store has counts.",
                "Change the one or the other, so that whoever reads the catalog is not misled.",
            )


def _unknown_scopes(here: Situation) -> Iterator[Finding]:
    def unknown(scopes: ScopeSet) -> list[str]:
        return [name for name in scopes if not here.catalog.knows(name)]

    held = [(f"client {client.id}", client.ceiling) for client in here.clients]
    held += [(f"user {account.name}", account.grants) for account in here.accounts]
    for about, scopes in held:
        if names := unknown(scopes):
            yield Finding(
                "unknown-scope",
                about,
                f"It was given {' '.join(names)}, which the catalog does not know (any more).",
                "Take it away, or put it into the catalog.",
            )


# -- keys ----------------------------------------------------------------------------------


def _keys(here: Situation) -> Iterator[Finding]:
    lifetimes = here.settings.lifetimes
    for key in here.keys:
        about, age = f"key {key.kid}", here.now - key.changed_at
        if key.state is KeyState.ACTIVE and age > lifetimes.key_active + KEY_OVERDUE:
            yield Finding(
                "expired-key",
                about,
                f"It has signed for {age / 86_400:.0f} days; its time was {lifetimes.key_active / 86_400:.0f}.",
                "Run bailiwick key rotate, and see why the authority did not turn it by itself.",
            )
        if not key.sealed_with:
            yield Finding(
                "unsealed-key",
                about,
                "Its private half lies in the store as it is: whoever copies the file, or a backup, can sign.",
                "Set key_encryption_key_file; keys are sealed when they are next read.",
            )


_EXAMINED: Final[tuple[Callable[[Situation], Iterator[Finding]], ...]] = (
    _plain_http,
    _lifetimes,
    _settings,
    _clients,
    _people,
    _roles,
    _unknown_scopes,
    _keys,
)

RULES: Final = (
    "plain-http",
    "long-access-tokens",
    "idle-beyond-absolute",
    "hasty-keys",
    "short-passwords",
    "shared-signing-secret",
    "wildcards-in-tokens",
    "trusts-proxy",
    "loopback-documents",
    "open-registration",
    "many-unfinished",
    "public-revocations",
    "password-grant",
    "short-client-secret",
    "superuser-client",
    "wildcard-client",
    "risky-redirect",
    "introspects-all",
    "superuser-directly",
    "unused-role",
    "unknown-scope-in-role",
    "role-differs",
    "unknown-scope",
    "expired-key",
    "unsealed-key",
)
