"""Random catalogs, random acts: no token of any grant holds a scope that the formula does not give, and none is for a
resource that nobody allowed: not the person, who was asked about it, nor the operator, by a list of targets, nor the
client itself, where it acts for itself.

The formula stands here a second time, naively, over this test's own books; the store is never asked.
The catalog, its implications, its superuser, the roles and the ceilings are drawn anew in each run.
"""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from bailiwick.authority import Settings
from bailiwick.authority.outcome import NeedsConsent, NeedsLogin
from bailiwick.authority.records import Origin, Resource
from bailiwick.errors import Refused
from bailiwick.scopes import Catalog, Scope, ScopeSet

POOL = ("a:r", "a:w", "a:x:r", "b:r", "b:w", "c:r", "root", "a", "b:x")
WILD = ("a:*", "a:x:*", "b:*", "c:*")
PEOPLE, ROLES = ("alice", "erin"), ("one", "two")
# Each consents in its own way: asked once, asked never, asked always, at a device.
BY_CODE = ("site", "own", "native")
CLIENTS = (*BY_CODE, "tv", "gateway", "job")
# Those that may exchange: "site" and "own" what they got themselves, the gateway what others got.
OWN_EXCHANGE = ("site", "own")
DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"


class Books:
    """What this test knows of the world, and the formula by it."""

    def __init__(self, names, implies, superuser):
        self.names, self.implies, self.superuser = names, implies, superuser
        self.roles, self.held, self.direct, self.ceiling, self.resource = {}, {}, {}, {}, {}
        self.rows, self.off, self.ended, self.targets = {}, set(), {}, set()

    def spelled_out(self, names):
        found = set()
        for name in names:
            below = {one for one in self.names if one.startswith(name[:-1])} if name.endswith(":*") else {name}
            found |= below
        return found

    def reach(self, names):
        reached, grows = self.spelled_out(names) & set(self.names), True
        while grows:
            more = {implied for name in reached for implied in self.implies.get(name, ())} - reached
            if self.superuser in reached:
                more = set(self.names) - reached
            grows, reached = bool(more), reached | more
        return reached

    def standing(self, person):
        return set().union(self.direct[person], *(self.roles[role] for role in self.held[person]))

    def live(self, key):
        return {scope for scope, state in self.rows.get(key, {}).items() if state == "live"}

    def locked(self, key):
        return {scope for scope, state in self.rows.get(key, {}).items() if state == "operator"}

    def end(self, what):
        self.ended[what] = self.ended.get(what, 0) + 1

    def ended_of(self, key):
        """How often a person, or what they let a client do, was revoked."""
        return self.ended.get(key[0], 0) + self.ended.get(key, 0)

    def formula(self, wanted, *bounds):
        within = [self.reach(bound) for bound in bounds]
        return {
            name
            for name in self.spelled_out(wanted) & set(self.names)
            if all(self.reach({name}) <= bound for bound in within)
        }

    def consent(self, key, scopes):
        rows = self.rows.setdefault(key, {})
        for scope in scopes:
            if rows.get(scope) != "operator":
                rows[scope] = "live"


class EveryGrant(RuleBasedStateMachine):
    codes, devices, tokens, programs = Bundle("codes"), Bundle("devices"), Bundle("tokens"), Bundle("programs")
    flows_type = None
    loop = None

    @initialize(data=st.data())
    def begin(self, data):
        names = data.draw(st.lists(st.sampled_from(POOL), min_size=3, unique=True), label="catalog")
        implies = {
            name: data.draw(st.lists(st.sampled_from(names[:place]), max_size=2, unique=True), label=f"{name} implies")
            for place, name in enumerate(names)
            if place and data.draw(st.booleans())
        }
        superuser = data.draw(st.none() | st.sampled_from(names), label="superuser")
        self.catalog = Catalog([Scope(name, implies=implies.get(name, ())) for name in names], superuser=superuser)
        self.known = [name for name in (*names, *WILD) if self.catalog.knows(name)]
        self.some = st.lists(st.sampled_from(self.known), min_size=1, max_size=4, unique=True)
        self.books = Books(names, implies, superuser)
        self.loop = asyncio.new_event_loop()
        other = data.draw(self.some, label="other resource")
        self.run(self.furnish(data, other))

    async def furnish(self, data, other):
        kind, books = EveryGrant.flows_type, self.books
        resources = (Resource(kind.api), Resource(kind.files, ScopeSet(other)))
        self.flows = flows = kind(settings=Settings(kind.issuer, kind.api, resources), catalog=self.catalog)
        books.resource = {kind.api: set(self.books.names), kind.files: set(other)}
        await flows.authority.prepare()
        for role in ROLES:
            books.roles[role] = set(data.draw(self.some, label=role))
            await flows.admin.set_role(role, books.roles[role])
        for person in PEOPLE:
            flows.people[person] = await flows.admin.create_account(person, None)
            books.held[person], books.direct[person] = set(), set(data.draw(self.some, label=person))
            await flows.admin.give_scopes(person, books.direct[person])
        for client in CLIENTS:
            books.ceiling[client] = set(data.draw(self.some, label=client))
            more = {"redirects": [flows.redirects[client]]} if client in BY_CODE else {}
            by_code = ["authorization_code", "refresh_token", *([EXCHANGE] if client in OWN_EXCHANGE else [])]
            grants = {
                "tv": [DEVICE, "refresh_token"],
                "gateway": [EXCHANGE, "client_credentials"],
                "job": ["client_credentials"],
            }
            made = await flows.admin.create_client(
                client,
                public=client in ("native", "tv"),
                grants=grants.get(client, by_code),
                scopes=books.ceiling[client],
                first_party=client == "own",
                introspects=client == "gateway",
                **more,
            )
            if made.secret:
                flows.secrets[client] = made.secret

    def run(self, work):
        return self.loop.run_until_complete(work)

    def teardown(self):
        if self.loop is not None:
            self.loop.close()

    # -- what operators and people do ----------------------------------------------------------------

    @rule(data=st.data(), role=st.sampled_from(ROLES))
    def set_role(self, data, role):
        self.books.roles[role] = set(data.draw(self.some))
        self.run(self.flows.admin.set_role(role, self.books.roles[role]))

    @rule(person=st.sampled_from(PEOPLE), role=st.sampled_from(ROLES), gives=st.booleans())
    def turn_role(self, person, role, gives):
        act = self.flows.admin.give_role if gives else self.flows.admin.take_role
        self.run(act(person, role))
        (self.books.held[person].add if gives else self.books.held[person].discard)(role)

    @rule(data=st.data(), person=st.sampled_from(PEOPLE), gives=st.booleans())
    def turn_scopes(self, data, person, gives):
        scopes = set(data.draw(self.some))
        self.run((self.flows.admin.give_scopes if gives else self.flows.admin.take_scopes)(person, scopes))
        self.books.direct[person] = self.books.direct[person] | scopes if gives else self.books.direct[person] - scopes

    @rule(data=st.data(), client=st.sampled_from(CLIENTS))
    def set_ceiling(self, data, client):
        self.books.ceiling[client] = set(data.draw(self.some))
        self.run(self.flows.admin.set_client_scopes(client, self.books.ceiling[client]))

    @rule(client=st.sampled_from(["gateway", *OWN_EXCHANGE]), files=st.booleans(), api=st.booleans())
    def set_targets(self, client, files, api):
        targets = {name for name, named in ((self.flows.files, files), (self.flows.api, api)) if named}
        # The others have none of other clients' tokens, so their lists must change nothing.
        if client == "gateway":
            self.books.targets = targets
        self.run(self.flows.admin.set_exchange_targets(client, targets))

    @rule(person=st.sampled_from(PEOPLE), acts=st.booleans())
    def turn_person(self, person, acts):
        self.run((self.flows.admin.enable_account if acts else self.flows.admin.disable_account)(person))
        (self.books.off.discard if acts else self.books.off.add)(person)
        if not acts:
            self.books.end(person)

    @rule(data=st.data(), operator=st.booleans())
    def withdraw(self, data, operator):
        if not self.books.rows:
            return
        key = person, client, resource = data.draw(st.sampled_from(sorted(self.books.rows)))
        scope = data.draw(st.none() | st.sampled_from(sorted(self.books.rows[key]) or ["a:r"]))
        subject = self.flows.people[person].id
        kept = self.run(self.flows.store.authorization_of(subject, client, resource))
        if operator:
            self.run(self.flows.admin.withdraw(kept.id, scope))
        else:
            self.run(
                self.flows.authority.consents.withdraw(subject, kept.id, scope, origin=Origin(), now=self.flows.now)
            )
        if scope is None:
            self.books.end(key)
        rows = self.books.rows[key]
        for one in rows if scope is None else [scope] if scope in rows else []:
            rows[one] = "operator" if operator or rows[one] == "operator" else "person"

    @rule(data=st.data())
    def give_back(self, data):
        if not self.books.rows:
            return
        key = person, client, resource = data.draw(st.sampled_from(sorted(self.books.rows)))
        scopes = set(data.draw(self.some)) & set(self.books.names)
        if not scopes:
            return
        kept = self.run(self.flows.store.authorization_of(self.flows.people[person].id, client, resource))
        self.run(self.flows.admin.give_back(kept.id, scopes))
        self.books.rows[key] |= dict.fromkeys(scopes, "live")

    # -- what clients do ---------------------------------------------------------------------------------

    def check(self, tokens, expected):
        claimed = set(self.flows.claims(tokens)["scope"].split())
        assert claimed == set(tokens.scope)
        assert claimed == expected, (claimed, expected)
        assert claimed

    def grantable(self, key, wanted):
        person, client, resource = key
        books = self.books
        return books.formula(wanted, books.ceiling[client], books.resource[resource], books.standing(person))

    def choose(self, data, asked):
        return set(data.draw(st.lists(st.sampled_from([*asked, *self.known]), unique=True), label="ticked"))

    @rule(target=codes, data=st.data(), person=st.sampled_from(PEOPLE), client=st.sampled_from(BY_CODE))
    def decide(self, data, person, client):
        flows, books = self.flows, self.books
        wanted = data.draw(st.none() | self.some, label="asked")
        resource = data.draw(st.sampled_from([flows.api, flows.files]), label="resource")
        key = person, client, resource
        scope = None if wanted is None else " ".join(wanted)
        pairs = None
        if client != "native" and data.draw(st.booleans(), label="pushed"):
            try:
                pushed = self.run(flows.push(client, scope=scope, resource=resource))
            except Refused:
                return multiple()
            # What the browser's address adds to a pushed request counts for nothing.
            pairs = [("client_id", client), ("request_uri", pushed.request_uri), ("resource", flows.api)]
        outcome = self.run(flows.authorize(client, person, pairs=pairs, scope=scope, resource=resource))
        grantable = self.grantable(key, books.ceiling[client] if wanted is None else wanted) - books.locked(key)
        if isinstance(outcome, NeedsLogin):
            assert person in books.off
            return multiple()
        if not isinstance(outcome, NeedsConsent) and outcome.error:
            assert not grantable
            return multiple()
        assert person not in books.off
        if isinstance(outcome, NeedsConsent):
            settled, asked = set(outcome.agenda.settled), set(outcome.agenda.asked)
            assert not settled & asked
            assert settled | asked == grantable
            assert client != "site" or asked == grantable - books.live(key)
            assert client != "native" or asked == grantable
            chosen = self.choose(data, sorted(asked))
            outcome = self.run(flows.decide(outcome, chosen, person))
            granted = settled | (asked & chosen)
        else:
            granted = grantable
            assert client != "native"
            assert client != "site" or grantable <= books.live(key)
        assert bool(outcome.error) == (not granted)
        if outcome.error:
            return multiple()
        books.consent(key, granted)
        return (key, dict(outcome.params)["code"], granted, books.ended_of(key))

    def another(self, data, resource):
        """The form of a request that names a resource, or none; and whether it is another one than it should be."""
        named = data.draw(st.none() | st.none() | st.sampled_from([self.flows.api, self.flows.files]), label="for")
        return ({} if named is None else {"resource": named}), named not in (None, resource)

    @rule(target=tokens, data=st.data(), code=consumes(codes))
    def redeem(self, data, code):
        key, value, granted, ended = code
        person, client, resource = key
        form, astray = self.another(data, resource)
        # What was decided before the person, or all that this client may do, was revoked begins nothing, even if
        # everything is as before again.
        over = self.books.ended_of(key) != ended
        try:
            tokens = self.run(self.flows.redeem(value, client, **form))
        except Refused as bad:
            assert astray or over or person in self.books.off or not (self.grantable(key, granted) & self.books.reach(self.books.live(key))), bad  # fmt: skip
            return multiple()
        assert not over
        assert not astray
        return self.issued(key, tokens, granted, granted, None)

    def issued(self, key, tokens, wanted, presented, family):
        person, client, resource = key
        books = self.books
        assert person not in books.off
        assert self.flows.claims(tokens)["aud"] == resource
        bounds = (books.ceiling[client], books.resource[resource], books.standing(person), books.live(key), presented)
        self.check(tokens, books.formula(wanted, *bounds))
        return [key, tokens, set(tokens.scope) if family is None else family]

    @rule(target=devices, data=st.data(), person=st.sampled_from(PEOPLE))
    def approve(self, data, person):
        flows, books = self.flows, self.books
        wanted = data.draw(st.none() | self.some, label="asked")
        key = person, "tv", data.draw(st.sampled_from([flows.api, flows.files]), label="resource")
        form = {"resource": key[2]} | ({} if wanted is None else {"scope": " ".join(wanted)})
        try:
            device = self.run(flows.begin_device(**form))
            consent = self.run(flows.enter(device.user_code, person, address=""))
        except Refused as bad:
            grantable = self.grantable(key, books.ceiling["tv"] if wanted is None else wanted) - books.locked(key)
            assert person in books.off or not grantable, bad
            return multiple()
        asked = set(consent.agenda.asked)
        assert asked == self.grantable(key, books.ceiling["tv"] if wanted is None else wanted) - books.locked(key)
        chosen = self.choose(data, sorted(asked))
        if not self.run(flows.settle(consent, chosen, person)):
            assert not asked & chosen
            return multiple()
        books.consent(key, asked & chosen)
        return (key, device, asked & chosen)

    @rule(target=tokens, data=st.data(), device=consumes(devices))
    def poll(self, data, device):
        key, code, granted = device
        wanted = data.draw(st.none() | self.some, label="asked")
        form, astray = self.another(data, key[2])
        form |= {} if wanted is None else {"scope": " ".join(wanted)}
        try:
            tokens = self.run(self.flows.poll(code, **form))
        except Refused:
            return multiple()
        assert not astray
        return self.issued(key, tokens, granted if wanted is None else wanted, granted, None)

    @rule(data=st.data(), token=tokens)
    def refresh(self, data, token):
        key, tokens, granted = token
        if tokens.refresh_token is None:
            return
        wanted = data.draw(st.none() | self.some, label="asked")
        form = {name: value for name, value in self.flows.proof(key[1]).items() if name != "client_id"}
        form |= {} if wanted is None else {"scope": " ".join(wanted)}
        named, astray = self.another(data, key[2])
        form |= named
        try:
            fresh = self.run(self.flows.refresh(tokens, key[1], **form))
        except Refused:
            return
        assert not astray
        self.issued(key, fresh, granted if wanted is None else wanted, granted, granted)
        token[1] = fresh

    @rule(target=tokens, data=st.data(), token=tokens)
    def exchange(self, data, token):
        key, tokens, _ = token
        person, client, _ = key
        flows, books = self.flows, self.books
        wanted = data.draw(st.none() | self.some, label="asked")
        target = data.draw(st.none() | st.sampled_from([flows.api, flows.files]), label="for")
        form = {"resource": target} | ({} if wanted is None else {"scope": " ".join(wanted)})
        meant = flows.claims(tokens)["aud"]
        bounds = (books.ceiling[client], books.standing(person), books.live(key), books.resource[meant])
        left = books.formula(set(tokens.scope), *bounds)
        reached = target in (None, meant) or target in books.targets
        try:
            got = self.run(flows.exchange(tokens, **form))
        except Refused as bad:
            assert (bad.id != "BW410") or not reached
            return multiple()
        assert reached
        assert person not in books.off
        resource = flows.claims(got)["aud"]
        assert resource == (target or meant)
        more = (books.ceiling["gateway"], books.resource[resource], left)
        self.check(got, books.formula(left if wanted is None else wanted, *bounds[:3], *more))
        assert set(got.scope) <= books.reach(set(tokens.scope))
        assert flows.claims(got)["exp"] <= flows.claims(tokens)["exp"]
        assert got.refresh_token is None
        # What came of an exchange stands on the consent that the first token stands on.
        return [key, got, set(got.scope)]

    @rule(target=tokens, data=st.data(), token=tokens)
    def exchange_own(self, data, token):
        """A client exchanges what it got itself: the person was asked about that resource too, or it gets nothing."""
        key, tokens, _ = token
        person, client, _ = key
        flows, books = self.flows, self.books
        claims = flows.claims(tokens)
        if client not in OWN_EXCHANGE:
            return multiple()
        wanted = data.draw(st.none() | self.some, label="asked")
        target = data.draw(st.sampled_from([flows.api, flows.files]), label="for")
        form = {"resource": target} | ({} if wanted is None else {"scope": " ".join(wanted)})
        meant = claims["aud"]
        beyond = (person, client, target)
        # The gateway may have exchanged it meanwhile for an API that this client was never let in to; the token is the
        # gateway's then.
        reached = claims["client_id"] == client and (target == meant or bool(books.live(beyond)))
        bounds = (books.ceiling[client], books.standing(person), books.live(key), books.resource[meant])
        left = books.formula(set(tokens.scope), *bounds)
        try:
            got = self.run(flows.exchange(tokens, client, **form))
        except Refused as bad:
            assert (bad.id != "BW410") or not reached
            return multiple()
        assert reached
        assert person not in books.off
        assert flows.claims(got)["aud"] == target
        rests = key if target == meant else beyond
        more = (books.resource[target], books.live(rests), left)
        self.check(got, books.formula(left if wanted is None else wanted, *bounds[:2], *more))
        kept = self.run(flows.store.authorization_of(flows.people[person].id, client, rests[2]))
        assert flows.claims(got)["authz"] == kept.id
        assert got.refresh_token is None
        return [rests, got, set(got.scope)]

    @rule(target=programs, data=st.data(), client=st.sampled_from(["gateway", "job"]))
    def serve(self, data, client):
        flows, books = self.flows, self.books
        wanted = data.draw(st.none() | self.some, label="asked")
        resource = data.draw(st.sampled_from([flows.api, flows.files]), label="for")
        form = flows.proof(client) | {"resource": resource} | ({} if wanted is None else {"scope": " ".join(wanted)})
        ceiling = books.ceiling[client]
        expected = books.formula(ceiling if wanted is None else wanted, ceiling, books.resource[resource])
        try:
            tokens = self.run(flows.ask(grant_type="client_credentials", **form))
        except Refused:
            assert not expected
            return multiple()
        assert flows.claims(tokens)["aud"] == resource
        self.check(tokens, expected)
        return (client, tokens)

    @rule(target=programs, data=st.data(), program=programs)
    def exchange_program(self, data, program):
        """Of a client that acts for itself: its own it could have asked for, of others' the operator says."""
        client, tokens = program
        flows, books = self.flows, self.books
        target = data.draw(st.sampled_from([flows.api, flows.files]), label="for")
        meant = flows.claims(tokens)["aud"]
        reached = target == meant or client == "gateway" or target in books.targets
        bounds = (books.ceiling[client], books.ceiling["gateway"])
        left = books.formula(set(tokens.scope), books.ceiling[client], books.resource[meant])
        try:
            got = self.run(flows.exchange(tokens, resource=target))
        except Refused as bad:
            assert (bad.id != "BW410") or not reached
            return multiple()
        assert reached
        assert flows.claims(got)["aud"] == target
        assert flows.claims(got)["sub"] == client
        self.check(got, books.formula(left, *bounds, books.resource[target], left))
        return (client, got)

    @invariant()
    def time_passes(self):
        if self.loop is not None:
            self.flows.now += 0.25


@pytest.fixture(autouse=True)
def _flows_for_the_machine(make_flows):
    EveryGrant.flows_type = make_flows


class TestEveryGrant(EveryGrant.TestCase):
    settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
