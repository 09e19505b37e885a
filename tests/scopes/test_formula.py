"""The one scope formula, ceiling by ceiling."""

import pytest

from bailiwick import Catalog, InvalidScope, Scope, ScopeSet
from bailiwick.scopes import Ceilings, issue
from bailiwick.scopes.grammar import SHOWN

CATALOG = Catalog(
    [
        "users:read",
        Scope("users:write", implies=["users:read"]),
        "users:delete",
        "posts:read",
        "posts:write",
        "admin:*",
    ],
    superuser="admin:*",
)
ALL = ScopeSet.parse("users:* posts:* admin:*")
NONE = ScopeSet()


def issued(requested, *, default="", client="users:* posts:* admin:*", **ceilings):
    within = Ceilings(client=ScopeSet.parse(client), **{k: ScopeSet.parse(v) for k, v in ceilings.items()})
    wanted = None if requested is None else ScopeSet.parse(requested)
    return str(issue(CATALOG, wanted, ScopeSet.parse(default), within))


def test_what_is_asked_for_is_issued_in_the_order_in_which_it_was_asked_for():
    assert issued("posts:read users:read") == "posts:read users:read"


def test_who_asks_for_nothing_gets_the_default_of_the_client():
    assert issued(None, default="users:read") == "users:read"
    assert issued("posts:read", default="users:read") == "posts:read"


def test_an_empty_request_is_not_the_same_as_no_request():
    with pytest.raises(InvalidScope):
        issued("", default="users:read")


@pytest.mark.parametrize("ceiling", ["client", "resource", "subject", "authorization", "presented"])
def test_each_ceiling_alone_drops_what_it_does_not_allow(ceiling):
    assert issued("users:read posts:read", **{ceiling: "posts:read"}) == "posts:read"


@pytest.mark.parametrize("ceiling", ["client", "resource", "subject", "authorization", "presented"])
def test_each_ceiling_may_hold_wildcards_and_implications(ceiling):
    assert issued("users:read posts:read", **{ceiling: "users:*"}) == "users:read"
    assert issued("users:read posts:read", **{ceiling: "users:write"}) == "users:read"


@pytest.mark.parametrize("ceiling", ["client", "resource", "subject", "authorization", "presented"])
def test_an_empty_ceiling_lets_nothing_through(ceiling):
    with pytest.raises(InvalidScope) as refused:
        issued("users:read", **{ceiling: ""})
    assert refused.value.id == "BW405"


def test_an_absent_ceiling_does_not_bound():
    within = Ceilings(client=ScopeSet.parse("users:read"))
    assert within.subject is within.resource is within.authorization is within.presented is None
    assert issue(CATALOG, ScopeSet.parse("users:read"), NONE, within) == {"users:read"}


def test_a_superuser_gets_no_more_than_the_client_may_have():
    assert issued("users:read users:delete", client="users:read", subject="admin:*") == "users:read"
    with pytest.raises(InvalidScope):
        issued("admin:*", client="users:*", subject="admin:*")


def test_a_person_gets_no_more_than_his_roles_however_much_the_client_may_have():
    assert issued("users:* admin:*", subject="users:read") == "users:read"


def test_a_refresh_narrows_and_never_widens():
    assert issued("users:read posts:write", presented="users:read posts:read") == "users:read"


def test_an_unknown_scope_is_refused_by_name_even_beside_known_ones():
    with pytest.raises(InvalidScope) as refused:
        issued("users:read users:raed")
    assert "'users:raed'" in refused.value.description
    assert refused.value.code == "invalid_scope"
    assert refused.value.status == 400


@pytest.mark.parametrize("name", ["ghosts:*", "*", "us*", "users", "USERS:read"])
def test_a_wildcard_of_nothing_and_a_near_name_are_unknown_too(name):
    with pytest.raises(InvalidScope):
        issued(name)


def test_a_refusal_repeats_only_the_beginning_of_an_endless_scope():
    with pytest.raises(InvalidScope) as refused:
        issued("x" * 60_000)
    assert len(refused.value.description) < SHOWN + 80


def test_an_unknown_scope_in_a_stale_default_or_ceiling_is_never_issued():
    assert issued(None, default="users:read retired:scope", client="users:read retired:scope") == "users:read"


def test_a_ceiling_that_implies_a_wildcard_does_not_hand_out_what_lies_below_it():
    # Wildcards first, implications after: `ops` covers the name `log:*`, and nothing below it.
    catalog = Catalog([Scope("ops", implies=["log:*"]), "log:*", "log:read"])
    ops = ScopeSet(["ops"])
    assert not catalog.covers(ops, "log:read")
    with pytest.raises(InvalidScope):
        issue(catalog, ScopeSet(["log:*"]), NONE, Ceilings(client=ops))
    assert issue(catalog, ScopeSet.parse("ops log:*"), NONE, Ceilings(client=ops)) == {"ops"}


def test_what_is_issued_is_never_empty():
    with pytest.raises(InvalidScope) as refused:
        issued(None, default="")
    assert refused.value.id == "BW405"
