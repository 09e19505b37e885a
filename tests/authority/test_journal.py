"""The journal: each act leaves a line that says who did what to whom and from where, and no line holds a secret."""

import json
import secrets

import pytest

from bailiwick.authority import Authority, MetadataDocuments, Registration, RegistrationRequest, Settings
from bailiwick.authority.records import Origin, Resource
from bailiwick.scopes import ScopeSet
from bailiwick.tokens import Keyring, SigningKey

from .conftest import API, FILES, ISSUER, Flows
from .test_documents import BACK, ID, Web

pytestmark = pytest.mark.anyio

HERE, DEVICE, PERSON, OPERATOR = "192.0.2.1", "192.0.2.5", "192.0.2.7", "192.0.2.9"


class Town(Flows):
    """Everything switched on."""

    def __init__(self):
        super().__init__()
        self.settings = Settings(
            ISSUER,
            API,
            (Resource(API), Resource(FILES)),
            registration=Registration(ScopeSet(["users:read", "posts:*"])),
            metadata_documents=MetadataDocuments(ScopeSet(["users:read", "posts:*"])),
        )
        self.web = Web()
        self.web.put()
        self.redirects = self.redirects | {ID: BACK}
        self.authority = Authority.make(
            self.catalog, self.settings, self.store, self.hasher,
            clock=lambda: self.now, token_bytes=secrets.token_bytes, fetcher=self.web,
        )  # fmt: skip
        self.admin = self.authority.admin.acting_as("operator:jane", Origin(OPERATOR, "console"))

    async def registered(self, act="answer", client=(), bearer=None, **said):
        metadata = {"redirect_uris": ["https://new.example.com/cb"], "token_endpoint_auth_method": "none"} | said
        request = RegistrationRequest.read(
            json.dumps(metadata).encode(),
            authorization=[f"Bearer {bearer}"] if bearer else [],
            origin=Origin(HERE, "program/1"),
        )
        return await getattr(self.authority.registration, act)(*client, request, now=self.now)

    async def device(self, **answer):
        begun = await self.begin_device(scope="users:read")
        await self.settle(await self.enter(begun.user_code), **answer)
        return begun

    async def mine(self, client="app"):
        """An authorization of Alice's."""
        await self.log_in()
        found = await self.authority.consents.of(self.people["alice"].id)
        return next(one for one in found if one.client == client)


@pytest.fixture
async def town():
    return await Town().furnish()


async def code_replayed(town):
    code = await town.code("spa")
    await town.redeem(code)
    await town.refused(town.redeem(code))


async def refresh_replayed(town):
    tokens = await town.log_in()
    town.now += 1
    await town.refresh(await town.refresh(tokens))
    town.now += 60
    await town.refused(town.refresh(tokens))


async def document_changes(town):
    await town.code(ID)
    town.web.put(client_name="Another name")
    town.now += 301
    await town.authority.documents.keep(
        await town.authority.documents.find(ID, origin=Origin(HERE), now=town.now), origin=Origin(HERE), now=town.now
    )


async def registration_changes(town):
    made = await town.registered()
    own = (made.client.id,)
    body = {"client_id": made.client.id, "client_name": "New"}
    return await town.registered("change", own, made.token, **body)


async def registration_ends(town):
    made = await town.registered()
    return await town.registered("close", (made.client.id,), made.token)


async def person_withdraws(town, scope=None):
    mine = await town.mine()
    alice = town.people["alice"].id
    return await town.authority.consents.withdraw(alice, mine.id, scope, origin=Origin(PERSON), now=town.now)


# What is done, the line that it leaves, whose line it is ("" for a client's or a person's id), and from where.
ACTS = {
    "a login": (lambda t: t.log_in(), "token.issued", "usr_", HERE),
    "a wrong password": (lambda t: t.refused(t.log_in(password="wrong guess")), "login.failed", "app", HERE),
    "an unknown name": (lambda t: t.refused(t.log_in(username="typed password")), "login.failed", "app", HERE),
    "consent": (lambda t: t.code("spa"), "authorization.granted", "usr_", PERSON),
    "a code": (lambda t: t.code("spa"), "code.issued", "usr_", PERSON),
    "denial": (lambda t: t.decide_against(), "consent.denied", "usr_", PERSON),
    "a code replayed": (code_replayed, "code.replayed", "spa", HERE),
    "a code in vain": (lambda t: t.stolen(), "code.refused", "spa", HERE),
    "a refresh": (lambda t: t.refreshed(), "refresh.rotated", "usr_", HERE),
    "a refresh replayed": (refresh_replayed, "refresh.replayed", "usr_", HERE),
    "a service": (lambda t: t.serve(), "token.issued", "service", HERE),
    "an exchange": (lambda t: t.exchanged(), "token.issued", "usr_", HERE),
    "a device let in": (lambda t: t.device(), "device.approved", "usr_", PERSON),
    "a device denied": (lambda t: t.device(approved=False), "device.denied", "usr_", PERSON),
    "a code mistyped": (lambda t: t.refused(t.enter("BBBB-BBBB")), "device.mistyped", "usr_", PERSON),
    "a scope taken back": (lambda t: person_withdraws(t, "users:read"), "scope.revoked", "usr_", PERSON),
    "all taken back": (person_withdraws, "authorization.revoked", "usr_", PERSON),
    "a registration": (lambda t: t.registered(), "client.registered", "cli_", HERE),
    "a registration changed": (registration_changes, "client.changed", "cli_", HERE),
    "a registration ended": (registration_ends, "client.closed", "cli_", HERE),
    "a client described": (lambda t: t.code(ID), "client.described", "https://", PERSON),
    "a document changed": (document_changes, "client.changed", "https://", HERE),
}

# An operator's acts, whose lines all begin and come alike.
OPERATORS = {
    "account.created": lambda t: t.admin.create_account("new", "a long password"),
    "account.password_set": lambda t: t.admin.set_password("alice", "another long password"),
    "role.set": lambda t: t.admin.set_role("reader", ["users:read"]),
    "role.dropped": lambda t: t.unused_role(),
    "account.disabled": lambda t: t.admin.disable_account("alice"),
    "client.created": lambda t: t.admin.create_client("new", grants=["client_credentials"], scopes=["users:read"]),
    "client.secret_set": lambda t: t.admin.set_client_secret("service"),
    "client.disabled": lambda t: t.admin.disable_client("spa"),
    "subject.revoked": lambda t: t.admin.revoke_account_tokens("alice"),
    "client.revoked": lambda t: t.admin.revoke_client_tokens("spa"),
    "authorization.revoked": lambda t: t.operator_withdraws(),
    "store.purged": lambda t: t.purged(),
}


class Acting(Town):
    """The acts that take more than one step."""

    async def decide_against(self):
        await self.decide(await self.authorize(prompt="consent"), approved=False)

    async def stolen(self):
        await self.refused(self.redeem(await self.code("spa"), code_verifier="w" * 43))

    async def refreshed(self):
        tokens = await self.log_in()
        self.now += 1
        await self.refresh(tokens)

    async def exchanged(self):
        tokens = await self.log_in()
        await self.exchange(tokens, scope="users:read")

    async def unused_role(self):
        await self.admin.add_role("spare", ["users:read"])
        await self.admin.drop_role("spare")

    async def operator_withdraws(self):
        await self.admin.withdraw((await self.mine()).id)

    async def purged(self):
        await self.code("spa")
        self.now += 10**8
        await self.admin.purge()


@pytest.fixture
async def acting():
    return await Acting().furnish()


@pytest.mark.parametrize("act", ACTS)
async def test_each_act_leaves_a_line_with_who_and_from_where(acting, act):
    do, what, actor, address = ACTS[act]
    await do(acting)
    line = (await acting.lines(what))[-1]
    assert line.actor.startswith(actor), line
    assert line.origin.address == address, line
    assert line.client or line.subject, line


@pytest.mark.parametrize("what", OPERATORS)
async def test_each_act_of_an_operator_leaves_a_line_in_their_name(acting, what):
    await OPERATORS[what](acting)
    line = (await acting.lines(what))[-1]
    assert (line.actor, line.origin.address) == ("operator:jane", OPERATOR)


async def test_no_line_holds_a_secret(acting):
    t = acting
    told = [await t.log_in("alice"), await t.redeem(await t.code("spa")), await t.serve()]
    known = [token for one in told for token in (one.access_token, one.refresh_token) if token]
    code, device = await t.code("site"), await t.device()
    known += [code, device.device_code, device.user_code, device.user_code.replace("-", ""), t.verifier]
    made = await t.registered(token_endpoint_auth_method="client_secret_basic")
    known += [made.secret, made.token, *t.secrets.values(), "alice's password", "a state"]
    await t.refused(t.log_in(username="hunter2 typed as a name", password="hunter3"))
    await t.refused(t.enter("hunter4"))
    known += ["hunter2", "hunter3", "hunter4"]
    key = SigningKey.generate("ES256")
    t.web.put(token_endpoint_auth_method="private_key_jwt", jwks=Keyring.from_keys(key).public_jwks())
    for act in ACTS.values():
        await act[0](t)
    for act in ("client.secret_set", "account.password_set"):
        secret = await OPERATORS[act](t)
        known += [secret.secret] if act == "client.secret_set" else ["another long password"]
    written = repr([await t.lines()])
    assert len(await t.lines()) > 60
    assert not [secret for secret in known if secret in written]
