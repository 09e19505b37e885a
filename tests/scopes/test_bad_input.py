"""Wrong declarations stop the application at its start, and say where and what was meant."""

import copy
import enum
import pickle
import time

import pytest

from bailiwick import Catalog, ConfigurationError, InvalidScope, Role, Scope, ScopeSet, all_of

NAMES = ["users:read", "users:write", "posts:read"]


def refusal(declare):
    with pytest.raises(ConfigurationError) as refused:
        declare()
    return refused.value


class TestTheCatalog:
    def test_names_the_role_and_the_nearest_scope_when_a_role_holds_an_unknown_one(self):
        error = refusal(lambda: Catalog(NAMES, roles=[Role("editor", ["users:read", "posts:raed"])]))
        assert error.id == "BW107"
        assert "'editor'" in error.description
        assert "'posts:raed'" in error.description
        assert "Did you mean 'posts:read'?" in error.description

    def test_refuses_a_role_with_a_wildcard_that_covers_nothing(self):
        assert refusal(lambda: Catalog(NAMES, roles={"editor": ["user:*"]})).id == "BW107"
        assert Catalog(NAMES, roles={"editor": ["users:*"]}).roles["editor"].scopes == {"users:*"}

    def test_names_the_nearest_scope_when_an_implication_or_the_superuser_is_unknown(self):
        error = refusal(lambda: Catalog([*NAMES, Scope("x", implies=["users:reed"])]))
        assert error.id == "BW102"
        assert "Did you mean 'users:read'?" in error.description
        error = refusal(lambda: Catalog([*NAMES, "admin:*"], superuser="admin*"))
        assert error.id == "BW102"
        assert "Did you mean 'admin:*'?" in error.description

    def test_lists_what_is_known_when_nothing_is_near(self):
        assert (
            "Known are: users:read, users:write, posts:read."
            in refusal(lambda: Catalog(NAMES, superuser="zzz")).description
        )
        assert refusal(lambda: Catalog([], superuser="root")).description.endswith("The catalog is empty.")

    @pytest.mark.parametrize("scopes", ["admin", b"admin", None, 5, True], ids=repr)
    def test_takes_a_list_of_scopes_and_nothing_else(self, scopes):
        assert refusal(lambda: Catalog(scopes)).id == "BW104"

    @pytest.mark.parametrize("roles", ["admin", b"admin", None, 5], ids=repr)
    def test_takes_a_list_of_roles_and_nothing_else(self, roles):
        assert refusal(lambda: Catalog(NAMES, roles=roles)).id == "BW104"

    @pytest.mark.parametrize("role", ["editor", ("editor", ["users:read"]), None], ids=repr)
    def test_takes_roles_that_are_roles(self, role):
        assert refusal(lambda: Catalog(NAMES, roles=[role])).id == "BW100"

    @pytest.mark.parametrize("superuser", [5, ["users:read"], {"a": 1}, b"users:read", True, ""], ids=repr)
    def test_takes_a_superuser_that_is_a_scope(self, superuser):
        assert refusal(lambda: Catalog(NAMES, superuser=superuser)).id == "BW102"

    @pytest.mark.parametrize("scope", [None, 5, {"name": "a"}, ("a", "b"), b"a"], ids=repr)
    def test_takes_scopes_that_are_scopes(self, scope):
        assert refusal(lambda: Catalog([scope])).id == "BW101"

    def test_refuses_a_name_that_is_declared_twice(self):
        assert refusal(lambda: Catalog(["a", Scope("a", "again")])).id == "BW106"
        assert refusal(lambda: Catalog(["a"], roles=[Role("r", ["a"]), Role("r", ["a"])])).id == "BW106"

    def test_takes_a_mapping_of_names_to_descriptions(self):
        catalog = Catalog({"users:read": "Read users", "users:write": ""})
        assert catalog.scopes["users:read"].description == "Read users"
        assert list(catalog) == ["users:read", "users:write"]
        assert len(catalog) == 2

    def test_refuses_a_description_that_is_no_text(self):
        assert refusal(lambda: Catalog({"users:read": None})).id == "BW100"
        assert refusal(lambda: Scope("users:write", ["users:read"])).id == "BW100"

    def test_takes_members_of_an_enum_by_their_text(self):
        class Permission(str, enum.Enum):  # noqa: UP042 - the form that has the trap
            READ = "users:read"
            ROOT = "root"

        catalog = Catalog(
            {Permission.READ: "Read", Permission.ROOT: "All"}, roles={"r": [Permission.READ]}, superuser=Permission.ROOT
        )
        assert list(catalog) == ["users:read", "root"]
        assert str(catalog.roles["r"].scopes) == "users:read"
        assert catalog.superuser == "root"
        assert type(catalog.superuser) is str
        assert catalog.covers([Permission.ROOT], Permission.READ)
        assert catalog.compile(all_of(Permission.READ)).allows(catalog.hold(["users:read"]))

    def test_survives_a_pickle_and_a_copy(self):
        catalog = Catalog([*NAMES, "root"], roles={"reader": ["users:*"]}, superuser="root")
        for again in (pickle.loads(pickle.dumps(catalog)), copy.deepcopy(catalog)):
            assert list(again) == list(catalog)
            assert again.roles == catalog.roles
            assert again.hold(["users:*"]) == catalog.hold(["users:*"])

    def test_shows_its_size_and_not_its_thousands_of_names(self):
        assert repr(Catalog([f"s{n}" for n in range(5000)])) == "<Catalog of 5000 scopes, 0 roles>"


class TestAScope:
    @pytest.mark.parametrize("implies", ["users:read", b"users:read", None, 5], ids=repr)
    def test_implies_a_list(self, implies):
        assert refusal(lambda: Scope("a", implies=implies)).id == "BW104"

    @pytest.mark.parametrize("name", ["", "a b", "a\0", "\u202eadmin", 5, None, b"a"], ids=ascii)
    def test_has_a_name_of_the_grammar(self, name):
        error = refusal(lambda: Scope(name))
        assert error.id == "BW101"
        assert error.description.isprintable()
        assert refusal(lambda: Scope("a", implies=[name])).id == "BW101"


class TestARole:
    @pytest.mark.parametrize("scopes", [None, 5, "users:read", ["a b"], [None]], ids=repr)
    def test_holds_a_list_of_scopes(self, scopes):
        assert "'editor'" in refusal(lambda: Role("editor", scopes)).description

    @pytest.mark.parametrize("name", ["", None, 5], ids=repr)
    def test_has_a_name(self, name):
        assert refusal(lambda: Role(name, ["a"])).id == "BW100"

    def test_is_a_value(self):
        assert Role("r", ["a", "b"]) == Role("r", ScopeSet.parse("b a"))
        assert pickle.loads(pickle.dumps(Role("r", ["a"]))) == Role("r", ["a"])


class TestToml:
    def test_is_read_with_descriptions_implications_roles_and_superuser(self):
        catalog = Catalog.from_toml(
            """
            superuser = "admin:*"
            [scopes]
            "users:read" = "Read users"
            "users:write" = { description = "Write users", implies = ["users:read"] }
            "admin:*" = ""
            [roles]
            reader = ["users:read"]
            """
        )
        assert catalog.scopes["users:write"].description == "Write users"
        assert catalog.covers("users:write", "users:read")
        assert catalog.covers("admin:*", "users:write")
        assert catalog.roles["reader"].scopes == {"users:read"}

    @pytest.mark.parametrize(
        "text",
        [
            "not toml",
            "scopes = 5",
            "scopes = ['a']",
            "[scopes]\na = 5",
            "[scopes]\na = ['b']",
            "[scopes]\na = { implies = 5 }",
            "[scopes]\na = { implies = 'a' }",
            "[scopes]\na = { description = 5 }",
            "[scopes]\na = { descripton = 'typing mistake' }",
            "[scopes]\n'a b' = ''",
            "superuser = 5\n[scopes]\na = ''",
            "superuser = ['a']\n[scopes]\na = ''",
            "superuser = 'b'\n[scopes]\na = ''",
            "roles = ['a']\n[scopes]\na = ''",
            "[scopes]\na = ''\n[roles]\nr = 'a'",
            "[scopes]\na = ''\n[roles]\nr = 5",
            "[scopes]\na = ''\n[roles]\nr = []",
            "[scopes]\na = ''\n[roles.r]\na = 'a table where a list belongs'",
            "[scopes]\na = ''\n[roles]\nr = ['b']",
            "[scopes]\na = ''\n[rolls]\nr = ['a']",
        ],
    )
    def test_that_is_not_a_catalog_is_refused_and_never_crashes(self, text):
        assert refusal(lambda: Catalog.from_toml(text)).status == 500

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("superuser = 1\n[scopes]\na = ''", "superuser must be the name of a scope, not a number."),
            ("superuser = ['a']\n[scopes]\na = ''", "superuser must be the name of a scope, not a list."),
            ("[scopes]\na = { descripton = 'x' }", "The scope 'a' has unknown entries: descripton; known are"),
            (
                "[scopes]\na = 5",
                "The scope 'a' must be a description, or a table with description and implies, not a num",
            ),
            ("[scopes]\na = ''\n[roles]\nr = 'a'", "The role 'r' must be a list of scopes, not text."),
            ("[scopes]\na = ''\n[roles.r]\na = ''", "The role 'r' must be a list of scopes, not a table."),
        ],
    )
    def test_names_what_is_wrong_and_what_belongs_there(self, text, said):
        assert refusal(lambda: Catalog.from_toml(text)).description.startswith(said)

    @pytest.mark.parametrize("text", ["", "[scopes]", "[roles]"])
    def test_without_scopes_is_refused(self, text):
        assert refusal(lambda: Catalog.from_toml(text)).id == "BW103"


class TestAsking:
    CATALOG = Catalog(NAMES)

    def test_a_check_against_nothing_is_refused_since_everybody_would_pass(self):
        with pytest.raises(InvalidScope) as refused:
            self.CATALOG.covers("users:read", ScopeSet())
        assert refused.value.id == "BW103"

    @pytest.mark.parametrize("required", [["users:read"], ("users:read",), {"users:read"}, None, 5], ids=repr)
    def test_a_check_against_a_plain_list_is_refused_since_it_says_neither_all_nor_any(self, required):
        with pytest.raises(InvalidScope) as refused:
            self.CATALOG.covers("users:read", required)
        assert refused.value.id == "BW104"

    @pytest.mark.parametrize("required", ["", "users:read posts:read", "users:read\n"], ids=repr)
    def test_a_check_against_a_text_that_is_not_one_scope_is_refused(self, required):
        with pytest.raises(InvalidScope):
            self.CATALOG.covers("users:read posts:read", required)

    @pytest.mark.parametrize("requirement", ["users:read", ["users:read"], ScopeSet(["users:read"]), None], ids=repr)
    def test_only_a_requirement_is_compiled(self, requirement):
        assert refusal(lambda: self.CATALOG.compile(requirement, where="GET /users")).id == "BW104"

    def test_a_text_is_parsed_only_when_every_scope_in_it_is_known(self):
        assert self.CATALOG.parse("users:read posts:*") == {"users:read", "posts:*"}
        with pytest.raises(InvalidScope) as refused:
            self.CATALOG.parse("users:read users:raed")
        assert "Did you mean 'users:read'?" in refused.value.description

    def test_a_text_is_not_held_letter_by_letter(self):
        with pytest.raises(InvalidScope):
            Catalog(list("admin")).hold("admin")

    def test_an_unknown_name_however_long_is_answered_soon_and_shortly(self):
        catalog = Catalog([f"resource{n // 4}:action{n % 4}" for n in range(10_000)])
        begun = time.perf_counter()
        for name in ("x" * 50_000, "resource" * 10, "resource17:actoin1"):
            with pytest.raises(InvalidScope) as refused:
                catalog.parse(name)
            assert len(refused.value.description) < 400
        assert time.perf_counter() - begun < 2
        assert "Did you mean 'resource17:action1'?" in refused.value.description
