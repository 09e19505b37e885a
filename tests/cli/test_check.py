"""What `bailiwick check` finds, and what it does not."""

import pytest


@pytest.fixture
def clean(house):
    """Settings that leave nothing to look at."""
    kek = house.folder / "signing.kek"
    kek.write_text("0123456789abcdef" * 4)
    kek.chmod(0o600)
    file = house.folder / "bailiwick.toml"
    text = file.read_text().replace('"http://127.0.0.1:8000"', '"https://login.example.com"')
    file.write_text('key_encryption_key_file = "signing.kek"\n' + text)
    house("user", "grant", "ada", "--role", "reader", "--role", "admin")
    return house


def rules(house):
    return {(one["rule"], one["about"]) for one in house.json("check")["findings"]}


def test_an_authority_in_order_has_nothing_to_look_at(clean):
    assert clean.json("check", "--strict") == {"findings": []}
    assert "Nothing to look at." in clean("check", "--strict").stdout


def test_strict_exits_with_1_and_an_ignored_rule_does_not_count(house):
    assert "plain-http" in house("check").stdout
    house("check", "--strict", code=1)
    ignored = [arg for rule, _ in rules(house) for arg in ("--ignore", rule)]
    house("check", "--strict", *ignored)
    assert "no rule 'plain-htp'" in house.refusal("check", "--ignore", "plain-htp")


def test_the_password_grant_and_powerful_ceilings_are_found(clean):
    clean("client", "add", "old", "--public", "--first-party", "--grant", "password", "--scope", "admin:*")
    clean("client", "add", "wide", "--grant", "client_credentials", "--scope", "posts:*", "--introspects", "*")
    assert rules(clean) == {
        ("password-grant", "client old"),
        ("superuser-client", "client old"),
        ("wildcard-client", "client wide"),
        ("introspects-all", "client wide"),
    }
    clean("client", "disable", "old")
    clean("client", "disable", "wide")
    assert rules(clean) == set()


def test_a_client_secret_that_somebody_chose_too_short_is_found_until_another_is_made(clean):
    add = ["client", "add", "--grant", "client_credentials", "--scope", "posts:read", "--own-secret"]
    clean(*add, "weak", input="s3cret\n")
    assert "bailiwick client rotate-secret long makes one" in clean(*add, "long", input="s" * 32 + "\n").output
    assert "can be guessed" not in clean(*add, "strong", input="0123456789abcdef00112233fedcba98\n").output
    assert rules(clean) == {("short-client-secret", "client weak"), ("short-client-secret", "client long")}
    clean("check", "--strict", code=1)
    clean("client", "rotate-secret", "weak")
    assert "can be guessed" in clean("client", "rotate-secret", "long", "--own-secret", input="pass" * 20 + "\n").output
    clean("client", "rotate-secret", "long")
    assert rules(clean) == set()


def test_redirects_that_others_can_catch_are_found(clean):
    def add(name, uri, *more):
        clean("client", "add", name, "--public", "--grant", "authorization_code", "--scope", "posts:read",
              "--redirect", uri, *more)  # fmt: skip

    add("good", "https://app.example/cb")
    add("consented", "http://127.0.0.1/cb")
    add("scheme", "com.example.app:/cb")
    add("loopback", "http://127.0.0.1/cb", "--first-party")
    assert rules(clean) == {("risky-redirect", "client scheme"), ("risky-redirect", "client loopback")}


def test_roles_that_nobody_has_or_that_differ_from_the_catalog_are_found(clean):
    clean("user", "withdraw", "ada", "--role", "reader")
    clean("role", "set", "editor", "posts:delete")
    assert rules(clean) == {("unused-role", "role reader"), ("role-differs", "role editor")}


def test_scopes_that_left_the_catalog_are_found(clean):
    clean("user", "grant", "ada", "--scope", "posts:delete")
    clean("client", "add", "x", "--grant", "client_credentials", "--scope", "posts:delete")
    file = clean.folder / "catalog.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "posts:delete" not in line))
    assert rules(clean) == {("unknown-scope", "client x"), ("unknown-scope", "user ada")}


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [
        ("LIFETIMES__ACCESS", "7200", "long-access-tokens"),
        ("LIFETIMES__REFRESH_IDLE", "99999999", "idle-beyond-absolute"),
        ("LIFETIMES__KEY_PENDING", "5", "hasty-keys"),
        ("PASSWORD_MIN_LENGTH", "4", "short-passwords"),
        ("SIGNING_ALGORITHM", "HS256", "shared-signing-secret"),
        ("ISSUE_WILDCARDS", "true", "wildcards-in-tokens"),
        ("CLIENT_CERTIFICATES", "true", "trusts-proxy"),
        ("REGISTRATION", '{"ceiling": ["posts:read"]}', "open-registration"),
        ("METADATA_DOCUMENTS", '{"ceiling": ["posts:read"], "loopback": true}', "loopback-documents"),
        ("UNFINISHED", '{"network": 2001}', "many-unfinished"),
        ("ISUER", "https://x.example", "unknown-variable"),
    ],
)
def test_a_weak_setting_is_found(clean, monkeypatch, name, value, rule):
    monkeypatch.setenv(f"BAILIWICK_{name}", value)
    assert {found for found, _ in rules(clean)} == {rule}


def test_certificates_in_a_header_are_believed_from_named_proxies_without_a_word(clean, monkeypatch):
    monkeypatch.setenv("BAILIWICK_CLIENT_CERTIFICATES", "true")
    assert rules(clean) == {("trusts-proxy", "client_certificates")}
    monkeypatch.setenv("BAILIWICK_TRUSTED_PROXIES", '["10.0.0.0/8"]')
    assert rules(clean) == set()


def test_documents_and_registrations_of_some_are_nothing_to_look_at(clean, monkeypatch):
    monkeypatch.setenv("BAILIWICK_METADATA_DOCUMENTS", '{"ceiling": ["posts:read"]}')
    digest = "0" * 64
    monkeypatch.setenv("BAILIWICK_REGISTRATION", f'{{"ceiling": ["posts:read"], "initial_tokens": ["{digest}"]}}')
    assert rules(clean) == set()


def test_a_store_that_others_may_read_is_found(clean):
    (clean.folder / "authority.db").chmod(0o644)
    assert {found for found, _ in rules(clean)} == {"readable-store"}


def test_a_superuser_by_direct_grant_is_found(clean):
    clean("user", "grant", "ada", "--scope", "admin:*")
    assert rules(clean) == {("superuser-directly", "user ada")}


def test_a_key_beyond_its_time_is_found(clean):
    import sqlite3

    with sqlite3.connect(clean.folder / "authority.db") as db:
        db.execute("UPDATE bw_signing_key SET changed_at = changed_at - 200 * 86400")
    db.close()
    assert {found for found, _ in rules(clean)} == {"expired-key"}


def test_every_rule_has_a_test_here():
    from pathlib import Path

    from bailiwick.authority.posture import RULES

    text = Path(__file__).read_text()
    assert not [rule for rule in RULES if f'"{rule}"' not in text]


def test_a_role_that_holds_what_left_the_catalog_is_found(clean):
    clean("role", "add", "moderator", "posts:delete")
    clean("user", "grant", "ada", "--role", "moderator")
    file = clean.folder / "catalog.toml"
    file.write_text("\n".join(line for line in file.read_text().splitlines() if "posts:delete" not in line))
    assert rules(clean) == {("unknown-scope-in-role", "role moderator")}


def test_a_key_that_lies_unsealed_is_found(house):
    assert "unsealed-key" in {rule for rule, _ in rules(house)}


def test_a_feed_that_anybody_may_read_is_found(clean):
    file = clean.folder / "bailiwick.toml"
    file.write_text("public_revocations = true\n" + file.read_text())
    assert rules(clean) == {("public-revocations", "public_revocations")}
