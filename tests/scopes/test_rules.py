"""The nine scope rules, each as sentences."""

from itertools import pairwise

import pytest

from bailiwick import Catalog, ConfigurationError, Role, Scope, ScopeSet, all_of, any_of
from bailiwick.scopes import Ceilings, issue

NAMES = [
    "users",
    "users:read",
    "users:write",
    "users:delete",
    "users:profile:read",
    "usersx:read",
    "read:items",
    "admin:users",
    "admin:*",
    "repo",
    "repo:status",
    "https://www.googleapis.com/auth/drive",
]
PLAIN = Catalog(NAMES)
SUPER = Catalog(NAMES, superuser="admin:*")


def covered(catalog, held):
    return {name for name in catalog if catalog.covers(ScopeSet.parse(held), name)}


class TestRule1Names:
    @pytest.mark.parametrize("name", NAMES)
    def test_a_scope_of_any_style_covers_itself_and_is_left_as_it_was_written(self, name):
        assert PLAIN.covers(name, name)
        assert PLAIN.scopes[name].name == name

    @pytest.mark.parametrize("held", ["Users:read", "USERS:READ", "users:Read"])
    def test_case_matters(self, held):
        assert covered(PLAIN, held) == set()

    def test_two_names_that_differ_in_case_are_two_scopes(self):
        catalog = Catalog(["users:read", "Users:read"])
        assert covered(catalog, "Users:read") == {"Users:read"}

    def test_a_trailing_slash_or_dot_makes_another_scope(self):
        catalog = Catalog(["https://api.example/read", "https://api.example/read/", "a.b", "a.b."])
        assert covered(catalog, "https://api.example/read") == {"https://api.example/read"}
        assert covered(catalog, "a.b.") == {"a.b."}


class TestRule2Wildcards:
    def test_a_wildcard_covers_every_deeper_scope_and_not_its_own_stem(self):
        assert covered(PLAIN, "users:*") == {"users:read", "users:write", "users:delete", "users:profile:read"}

    def test_a_wildcard_on_two_segments_stays_below_both(self):
        assert covered(PLAIN, "users:profile:*") == {"users:profile:read"}

    def test_an_action_first_wildcard_works_the_same_way(self):
        assert covered(PLAIN, "read:*") == {"read:items"}

    @pytest.mark.parametrize(
        "powerless",
        [
            "*",
            "us*",
            "users*",
            "*:read",
            "users:*:read",
            "users:**",
            "users:re*",
            "users:",
            "**",
            "*:*",
            ":*",
            "users:*:",
        ],
    )
    def test_an_asterisk_anywhere_else_has_no_power(self, powerless):
        assert covered(PLAIN, powerless) == set()

    @pytest.mark.parametrize(
        "pattern", ["users:.*", "users:[rw]ead", "users:?ead", "users.read", "(users:read)", "users:rea$"]
    )
    def test_signs_of_regexes_and_globs_are_letters_like_others(self, pattern):
        assert covered(PLAIN, pattern) == set()
        catalog = Catalog([*NAMES, pattern])
        assert covered(catalog, pattern) == {pattern}

    def test_empty_segments_are_segments(self):
        catalog = Catalog(["a::b", "a:b", "::", ":b", "b"])
        assert covered(catalog, "a:*") == {"a::b", "a:b"}
        assert covered(catalog, "a::*") == {"a::b"}
        assert covered(catalog, ":*") == {"::", ":b"}

    def test_a_wildcard_over_a_url_covers_every_https_scope_as_the_rule_says(self):
        assert covered(PLAIN, "https:*") == {"https://www.googleapis.com/auth/drive"}

    def test_a_catalogued_wildcard_covers_as_any_other(self):
        assert covered(PLAIN, "admin:*") == {"admin:*", "admin:users"}

    def test_a_wildcard_covers_a_deeper_wildcard_that_is_catalogued(self):
        catalog = Catalog(["a:b:*", "a:b:c"])
        assert covered(catalog, "a:*") == {"a:b:*", "a:b:c"}


class TestRule3Superuser:
    def test_a_declared_superuser_covers_the_whole_catalog(self):
        assert covered(SUPER, "admin:*") == set(NAMES)

    def test_without_the_declaration_it_is_an_ordinary_wildcard(self):
        assert covered(PLAIN, "admin:*") == {"admin:*", "admin:users"}

    def test_any_catalogued_name_can_be_superuser_even_a_bare_asterisk(self):
        for name in ("root", "*", "a:b:c"):
            assert covered(Catalog([*NAMES, name], superuser=name), name) == {*NAMES, name}

    def test_it_does_not_cover_a_plain_name_that_nobody_declared(self):
        assert not SUPER.covers("admin:*", "ghosts:read")

    def test_whoever_implies_the_superuser_is_superuser(self):
        catalog = Catalog(["users:read", "root", Scope("owner", implies=["root"])], superuser="root")
        assert covered(catalog, "owner") == {"users:read", "root", "owner"}

    def test_a_wildcard_that_covers_the_superuser_is_superuser(self):
        # Rule 2: the wildcard covers that catalogued name. Do not name a superuser below a common stem.
        catalog = Catalog(["users:read", "admin:root"], superuser="admin:root")
        assert covered(catalog, "admin:*") == {"users:read", "admin:root"}


class TestRule4Implication:
    CHAIN = Catalog(
        ["users:read", Scope("users:write", implies=["users:read"]), Scope("users:delete", implies=["users:write"])]
    )

    def test_it_is_transitive_and_has_one_direction(self):
        assert covered(self.CHAIN, "users:delete") == {"users:delete", "users:write", "users:read"}
        assert covered(self.CHAIN, "users:read") == {"users:read"}

    def test_the_order_of_declaration_does_not_matter(self):
        other_way = Catalog(list(reversed(list(self.CHAIN.scopes.values()))))
        assert covered(other_way, "users:delete") == covered(self.CHAIN, "users:delete")

    def test_two_ways_to_the_same_scope_are_no_circle(self):
        catalog = Catalog(
            [Scope("a", implies=["b", "c"]), Scope("b", implies=["d"]), Scope("c", implies=["d"]), Scope("d")]
        )
        assert covered(catalog, "a") == {"a", "b", "c", "d"}

    def test_wildcards_are_expanded_first_and_implications_after(self):
        catalog = Catalog(
            [Scope("repo:write", implies=["audit"]), Scope("audit", implies=["log:*"]), "log:*", "log:read"]
        )
        assert covered(catalog, "repo:*") == {"repo:write", "audit", "log:*"}

    def test_a_chain_of_ten_thousand_is_followed_to_its_end(self):
        chain = [Scope(f"s{n}", implies=[f"s{n + 1}"]) for n in range(10_000)]
        catalog = Catalog([*chain, Scope("s10000")])
        assert catalog.covers("s0", "s10000")
        assert not catalog.covers("s1", "s0")

    @pytest.mark.parametrize(
        "links", [{"a": ["a"]}, {"a": ["b"], "b": ["a"]}, {"a": ["b"], "b": ["c"], "c": ["d"], "d": ["b"]}]
    )
    def test_a_circle_is_refused_and_shown(self, links):
        with pytest.raises(ConfigurationError) as refused:
            Catalog([Scope(name, implies=links.get(name, ())) for name in "abcd"])
        assert refused.value.id == "BW105"
        shown = refused.value.description.rstrip(".").split(": ")[1].split(" -> ")
        assert shown[0] == shown[-1]
        assert all(after in links[before] for before, after in pairwise(shown))


class TestRule5RequiredWildcards:
    def test_a_required_wildcard_is_met_by_that_very_scope(self):
        assert PLAIN.covers("admin:*", "admin:*")
        assert PLAIN.covers("users:*", "users:*")

    def test_a_required_wildcard_is_met_by_a_shorter_one(self):
        assert PLAIN.covers("users:*", "users:profile:*")
        assert not PLAIN.covers("users:profile:*", "users:*")
        assert not PLAIN.covers("users:*", "usersx:*")

    def test_a_required_wildcard_is_met_by_the_superuser(self):
        assert SUPER.covers("admin:*", "users:*")
        assert not PLAIN.covers("admin:*", "users:*")

    @pytest.mark.parametrize("required", ["us*", "*:read", "users:*:read", "*"])
    def test_any_required_name_with_an_asterisk_is_met_by_itself_and_the_superuser(self, required):
        assert SUPER.covers("admin:*", required)
        assert SUPER.covers(required, required)
        assert not SUPER.covers("users:read users:write", required)

    def test_a_required_wildcard_is_never_met_by_its_parts(self):
        assert not PLAIN.covers("admin:users", "admin:*")
        everything_below = " ".join(name for name in NAMES if name.startswith("users:"))
        assert not PLAIN.covers(everything_below, "users:*")


class TestRule6Unknown:
    def test_an_unknown_held_scope_covers_only_itself(self):
        assert covered(PLAIN, "ghosts:read") == set()
        assert PLAIN.covers("ghosts:read", "ghosts:read")
        assert not PLAIN.covers("ghosts:*", "ghosts:read")

    def test_an_unknown_required_scope_is_an_error_when_the_route_is_compiled(self):
        with pytest.raises(ConfigurationError) as refused:
            PLAIN.compile(any_of("users:read", "user:raed"), where="GET /users")
        assert refused.value.id == "BW102"
        assert "GET /users" in refused.value.description
        assert "'user:raed'" in refused.value.description
        assert "Did you mean 'users:read'?" in refused.value.description

    def test_a_required_wildcard_that_is_not_catalogued_is_unknown_too(self):
        with pytest.raises(ConfigurationError):
            PLAIN.compile(all_of("users:*"))


class TestRule7Lists:
    @pytest.mark.parametrize(
        "declare",
        [
            all_of,
            any_of,
            lambda: Role("nobody", []),
            lambda: Role("nobody", ScopeSet()),
            lambda: Catalog(NAMES, roles={"nobody": []}),
        ],
    )
    def test_an_empty_list_is_an_error_at_declaration(self, declare):
        with pytest.raises(ConfigurationError) as refused:
            declare()
        assert refused.value.id == "BW103"

    @pytest.mark.parametrize(
        "declare",
        [
            lambda: Scope("a", implies="users:read"),
            lambda: Role("editor", "users:read"),
            lambda: Catalog("users:read"),
            lambda: Catalog(NAMES, roles={"editor": "users:read"}),
            lambda: Catalog(NAMES, roles="editor"),
            lambda: all_of(["users:read"]),
            lambda: any_of(("users:read",)),
        ],
    )
    def test_a_text_for_a_list_or_a_list_for_a_text_is_an_error_at_declaration(self, declare):
        with pytest.raises(ConfigurationError) as refused:
            declare()
        assert refused.value.id == "BW104"


class TestRule8ConcreteTokens:
    def test_a_wildcard_is_expanded_when_a_token_is_issued(self):
        within = Ceilings(client=ScopeSet.parse("users:*"))
        assert issue(PLAIN, None, ScopeSet.parse("users:*"), within) == {
            "users:read",
            "users:write",
            "users:delete",
            "users:profile:read",
        }

    def test_unless_wildcards_are_issued(self):
        within = Ceilings(client=ScopeSet.parse("users:* repo"))
        wanted = ScopeSet.parse("users:* repo")
        assert issue(PLAIN, wanted, wanted, within, issue_wildcards=True) == wanted

    def test_a_wildcard_of_which_a_part_was_refused_is_not_issued_as_a_wildcard(self):
        within = Ceilings(client=ScopeSet.parse("users:*"), subject=ScopeSet.parse("users:read users:write"))
        wanted = ScopeSet.parse("users:*")
        assert issue(PLAIN, wanted, wanted, within, issue_wildcards=True) == {"users:read", "users:write"}

    def test_the_superuser_scope_is_issued_as_the_name_that_it_is(self):
        everything = ScopeSet.parse("admin:*")
        assert str(issue(SUPER, everything, everything, Ceilings(client=everything))) == "admin:*"
        assert str(SUPER.expand(["admin:*"])) == "admin:*"

    def test_expanding_leaves_plain_and_unknown_names_as_they_are(self):
        assert str(PLAIN.expand(["repo", "ghosts:read", "ghosts:*", "us*"])) == "repo ghosts:read ghosts:* us*"

    def test_expanding_does_not_write_implications_out(self):
        assert str(TestRule4Implication.CHAIN.expand(["users:write"])) == "users:write"
