"""Who calls: a value that shows no secret, and answers what he may do."""

import threading

import pytest

from bailiwick import Catalog, ConfigurationError, InsufficientScope, Principal, Scope, ScopeSet, any_of

CATALOG = Catalog(
    ["users:read", Scope("users:write", implies=["users:read"]), "posts:read", "posts:write", "admin:*"],
    superuser="admin:*",
)


def caller(scopes, **more):
    return Principal("alice", ScopeSet.parse(scopes), **more).under(CATALOG)


def test_he_has_what_his_scopes_cover_with_wildcards_implications_and_superuser():
    assert caller("users:write").has("users:read")
    assert caller("posts:*").has("posts:read", "posts:write")
    assert caller("admin:*").has("posts:write")
    assert not caller("posts:*").has("posts:read", "users:read")
    assert caller("users:read").has(any_of("posts:read", "users:read"))


def test_requiring_what_he_has_passes_and_what_he_lacks_is_refused_with_all_that_is_needed():
    caller("posts:*").require("posts:write")
    with pytest.raises(InsufficientScope) as refused:
        caller("posts:read").require("posts:read", "posts:write")
    assert refused.value.status == 403
    assert refused.value.code == "insufficient_scope"
    assert refused.value.required == "posts:read posts:write"
    assert "'posts:write'" in refused.value.detail
    assert "posts" not in refused.value.description


def test_asking_for_a_scope_that_does_not_exist_is_a_mistake_of_the_server_and_not_a_refusal():
    for ask in (caller("admin:*").has, caller("admin:*").require):
        for wrong in ("users:raed", any_of("users:read", "users:raed")):
            with pytest.raises(ConfigurationError) as refused:
                ask(wrong)
            assert "Did you mean 'users:read'?" in refused.value.detail
            assert refused.value.id == "BW102"
            assert refused.value.status == 500


def test_asking_for_nothing_is_a_mistake():
    with pytest.raises(ConfigurationError):
        caller("admin:*").has()
    with pytest.raises(ConfigurationError):
        caller("admin:*").require()


def test_asking_with_a_list_is_a_mistake():
    with pytest.raises(ConfigurationError):
        caller("admin:*").has(["users:read"])


def test_without_a_catalog_nothing_is_decided():
    with pytest.raises(RuntimeError):
        Principal("alice", ScopeSet.parse("admin:*")).has("users:read")


def test_his_repr_shows_neither_claims_nor_token_id():
    shown = repr(caller("users:read", claims={"email": "alice@example.org"}, token_id="jti-1", client_id="web"))
    assert "alice@example.org" not in shown
    assert "jti-1" not in shown
    assert shown == "<Principal 'alice' via 'web': 'users:read'>"


def test_he_cannot_be_changed():
    him = caller("users:read", claims={"role": "reader"})
    with pytest.raises(AttributeError):
        him.scopes = ScopeSet.parse("admin:*")
    with pytest.raises(AttributeError):
        him.superuser = True
    with pytest.raises(TypeError):
        him.claims["role"] = "admin"
    assert him.scopes == {"users:read"}


def test_a_change_of_the_mapping_that_he_was_made_from_does_not_reach_him():
    claims = {"role": "reader"}
    him = Principal("alice", ScopeSet(), claims=claims)
    claims["role"] = "admin"
    assert him.claims["role"] == "reader"


def test_under_a_catalog_he_is_compiled_once_and_keeps_everything():
    bare = Principal(
        "alice",
        ScopeSet.parse("users:read"),
        client_id="web",
        issuer="https://issuer.example",
        audience=("api",),
        expires_at=17.0,
        token_id="jti-1",
        claims={"a": 1},
    )
    bound = bare.under(CATALOG)
    assert bare.under(CATALOG) is bound
    assert bound.under(CATALOG) is bound
    for field in ("subject", "scopes", "client_id", "issuer", "audience", "expires_at", "token_id", "claims"):
        assert getattr(bound, field) == getattr(bare, field)


def test_under_another_catalog_he_is_compiled_for_that_one():
    other = Catalog(["posts:read", "users:read"])  # the bits mean other scopes here
    him = Principal("alice", ScopeSet.parse("users:read"))
    assert him.under(CATALOG).has("users:read")
    assert not him.under(other).has("posts:read")
    assert not him.under(CATALOG).has("posts:read")
    assert him.under(other).under(CATALOG).has("users:read")


@pytest.mark.untraced
def test_many_threads_that_put_him_under_catalogs_at_once_each_get_their_own():
    him = Principal("alice", ScopeSet.parse("users:read"))
    catalogs = [Catalog([*(f"x{n}" for n in range(place)), "users:read", "posts:read"]) for place in range(8)]
    wrong = []
    start = threading.Barrier(len(catalogs))

    def ask(catalog):
        start.wait()
        for _ in range(2000):
            bound = him.under(catalog)
            if not bound.has("users:read") or bound.has("posts:read"):
                wrong.append(catalog)

    threads = [threading.Thread(target=ask, args=(catalog,)) for catalog in catalogs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
