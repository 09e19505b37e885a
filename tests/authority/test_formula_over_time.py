"""Whatever happens in whatever order, no issued token holds a scope that the formula does not give, and none is for
another resource than the one that was asked about.

The formula is computed here a second time, naively, from what this test did itself: it keeps its own
books of roles, ceilings and withdrawals and never asks the store.
"""

import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, precondition, rule

from bailiwick.authority import Settings
from bailiwick.authority.attempts import FREE
from bailiwick.authority.records import Resource
from bailiwick.errors import Refused
from bailiwick.scopes import Catalog, Scope, ScopeSet

CONCRETE = ("a:read", "a:write", "b:read", "b:write", "b:c:read", "root")
IMPLIES = {"a:write": {"a:read"}}
NAMES = (*CONCRETE, "a:*", "b:*", "b:c:*")
CATALOG = Catalog(
    [Scope(name, implies=sorted(IMPLIES.get(name, ()))) for name in CONCRETE],
    roles={"one": ["a:read"], "two": ["b:*"], "boss": ["root"]},
    superuser="root",
)
PEOPLE, ROLES, CLIENTS = ("alice", "erin"), ("one", "two", "boss"), ("app", "other")
ISSUER = "https://auth.example.com"
# What each API knows.
RESOURCES = {"https://api.example.com": set(NAMES), "https://files.example.com": {"a:*", "b:read"}}
API = next(iter(RESOURCES))

scope_lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4, unique=True)


def spelled_out(names):
    """A wildcard stands for the names below it; nothing else changes."""
    found = set()
    for name in names:
        found |= {one for one in CONCRETE if one.startswith(name[:-1])} if name.endswith(":*") else {name}
    return found


def reach(names):
    """All that is covered by somebody who holds these: the superuser everything, others what they imply."""
    held = spelled_out(names)
    if "root" in held:
        return set(CONCRETE)
    return held | {implied for name in held for implied in IMPLIES.get(name, ())}


class Authority(RuleBasedStateMachine):
    families = Bundle("families")
    world_type = None

    @initialize()
    def begin(self):
        self.loop = asyncio.new_event_loop()
        resources = tuple(Resource(name, ScopeSet(scopes)) for name, scopes in RESOURCES.items())
        self.world = Authority.world_type(catalog=CATALOG, settings=Settings(ISSUER, API, resources))
        self.roles = {"one": {"a:read"}, "two": {"b:*"}, "boss": {"root"}}
        self.held = {"alice": {"one", "two"}, "erin": {"boss"}}
        self.direct = {person: set() for person in PEOPLE}
        self.ceiling = {client: set(NAMES) for client in CLIENTS}
        self.disabled = set()
        self.refused = dict.fromkeys(PEOPLE, 0)
        # Per (person, client, resource): what was ever consented to, and what an operator took back since.
        self.consented, self.withdrawn, self.authz = {}, {}, {}
        self.run(self.furnish())

    async def furnish(self):
        await self.world.authority.prepare()
        for person in PEOPLE:
            await self.world.admin.create_account(person, f"{person}'s password", roles=self.held[person])
        for client in CLIENTS:
            await self.world.admin.create_client(
                client, public=True, grants=["password", "refresh_token"], scopes=NAMES, first_party=True
            )
        made = await self.world.admin.create_client("service", grants=["client_credentials"], scopes=["a:*"])
        self.world.secrets["service"] = made.secret
        self.ceiling["service"] = {"a:*"}

    def run(self, work):
        return self.loop.run_until_complete(work)

    def teardown(self):
        if hasattr(self, "loop"):
            self.loop.close()

    def standing(self, person):
        return set().union(self.direct[person], *(self.roles[role] for role in self.held[person]))

    # -- what operators do -----------------------------------------------------------------------------

    @rule(family=families, data=st.data())
    def withdraw(self, family, data):
        pair, _token, granted = family
        scope = data.draw(st.sampled_from(sorted(granted)))
        self.run(self.world.admin.withdraw(self.authz[pair], scope))
        self.withdrawn[pair].add(scope)

    @rule(family=families, scope=st.sampled_from(CONCRETE))
    def give_back(self, family, scope):
        pair = family[0]
        self.run(self.world.admin.give_back(self.authz[pair], [scope]))
        self.consented[pair].add(scope)
        self.withdrawn[pair].discard(scope)

    # One rule for all that an operator does to people and clients, so that clients have their turn too.
    @rule(
        act=st.sampled_from(["give_role", "take_role", "set_role", "give_scopes", "take_scopes", "ceiling", "disable"]),
        person=st.sampled_from(PEOPLE),
        role=st.sampled_from(ROLES),
        client=st.sampled_from((*CLIENTS, "service")),
        scopes=scope_lists,
    )
    def operate(self, act, person, role, client, scopes):
        admin = self.world.admin
        match act:
            case "give_role":
                self.run(admin.give_role(person, role))
                self.held[person].add(role)
            case "take_role":
                self.run(admin.take_role(person, role))
                self.held[person].discard(role)
            case "set_role":
                self.run(admin.set_role(role, scopes))
                self.roles[role] = set(scopes)
            case "give_scopes":
                self.run(admin.give_scopes(person, scopes))
                self.direct[person] |= set(scopes)
            case "take_scopes":
                self.run(admin.take_scopes(person, scopes))
                self.direct[person] -= set(scopes)
            case "ceiling":
                self.run(admin.set_client_scopes(client, scopes))
                self.ceiling[client] = set(scopes)
            case "disable":
                self.run(admin.disable_account(person))
                self.disabled.add(person)

    @precondition(lambda self: self.disabled)
    @rule()
    def enable(self):
        for person in self.disabled:
            self.run(self.world.admin.enable_account(person))
        self.disabled = set()

    # -- what clients do ---------------------------------------------------------------------------------

    def check(self, tokens, resource, wanted, bounds):
        """Exactly what the formula gives, for the resource that was asked about: nothing more, and nothing less either."""
        assert self.world.claims(tokens)["aud"] == resource
        claimed = set(self.world.claims(tokens)["scope"].split())
        bounds = [*bounds, RESOURCES[resource]]
        expected = {name for name in spelled_out(wanted) if all(name in reach(bound) for bound in bounds)}
        assert claimed == set(tokens.scope) == expected

    @rule(
        target=families,
        person=st.sampled_from(PEOPLE),
        client=st.sampled_from(CLIENTS),
        scopes=st.none() | st.none() | scope_lists,
        resource=st.sampled_from(sorted(RESOURCES)),
    )
    def log_in(self, person, client, scopes, resource):
        pair, wanted = (person, client, resource), self.ceiling[client] if scopes is None else scopes
        bounds = [self.ceiling[client], self.standing(person), RESOURCES[resource]]
        form = {"resource": resource} | ({} if scopes is None else {"scope": " ".join(scopes)})
        passed = {name for name in spelled_out(wanted) if all(name in reach(bound) for bound in bounds)}
        try:
            tokens = self.run(self.world.log_in(person, client, **form))
        except Refused as bad:
            # A disabled person who goes on trying waits, and so does whoever is enabled again meanwhile.
            if bad.id == "BW416":
                assert sum(self.refused.values()) >= FREE
            elif person in self.disabled:
                assert bad.id == "BW407"
                self.refused[person] += 1
            else:
                assert bad.id == "BW405"
                left = (self.consented.get(pair, set()) | passed) - self.withdrawn.get(pair, set())
                assert not {name for name in passed if name in reach(left)}
                self.consent(pair, passed)
            return multiple()
        assert person not in self.disabled
        self.consent(pair, passed)
        self.authz[pair] = self.world.claims(tokens)["authz"]
        self.check(tokens, resource, wanted, [*bounds, self.consented[pair] - self.withdrawn[pair]])
        return [pair, tokens.refresh_token, set(tokens.scope)]

    def consent(self, pair, passed):
        if passed:
            self.consented.setdefault(pair, set()).update(passed)
            self.withdrawn.setdefault(pair, set())

    @rule(
        family=families,
        scopes=st.none() | st.none() | scope_lists,
        asked=st.none() | st.none() | st.sampled_from(sorted(RESOURCES)),
    )
    def refresh(self, family, scopes, asked):
        pair, token, granted = family
        person, client, resource = pair
        form = ({} if scopes is None else {"scope": " ".join(scopes)}) | ({} if asked is None else {"resource": asked})
        try:
            tokens = self.run(self.world.refresh(token, client, **form))
        except Refused:
            return
        # Whatever else is live between these two: this family was asked for for one resource.
        assert asked in (None, resource)
        assert person not in self.disabled
        family[1] = tokens.refresh_token
        live = self.consented[pair] - self.withdrawn[pair]
        wanted = granted if scopes is None else scopes
        self.check(tokens, resource, wanted, [self.ceiling[client], self.standing(person), live, granted])
        assert set(tokens.scope) <= reach(granted)

    @rule(scopes=st.none() | scope_lists, resource=st.sampled_from(sorted(RESOURCES)))
    def serve(self, scopes, resource):
        form = {"resource": resource} | ({} if scopes is None else {"scope": " ".join(scopes)})
        wanted = self.ceiling["service"] if scopes is None else scopes
        try:
            tokens = self.run(self.world.serve(**form))
        except Refused as bad:
            assert bad.id == "BW405"
            bounds = reach(self.ceiling["service"]) & reach(RESOURCES[resource])
            assert not set(spelled_out(wanted)) & bounds
            return
        self.check(tokens, resource, wanted, [self.ceiling["service"]])

    @invariant()
    def time_passes(self):
        if hasattr(self, "world"):
            self.world.now += 0.25


@pytest.fixture(autouse=True)
def _world_for_the_machine(make_world):
    Authority.world_type = make_world


class TestAuthority(Authority.TestCase):
    settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
