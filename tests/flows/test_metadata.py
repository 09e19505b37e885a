"""Metadata, keys and health over HTTP (RFC 8414, RFC 7517)."""

import asyncio

import pytest

from bailiwick.tokens import JWTVerifier, Keyring

WELL_KNOWN = "/.well-known/oauth-authorization-server"


def test_the_metadata_stands_below_the_issuer_and_at_the_root_with_the_issuers_path_inserted(live):
    below, at_root = live.http.get(f"/auth{WELL_KNOWN}"), live.http.get(f"{WELL_KNOWN}/auth")
    assert below.status_code == at_root.status_code == 200
    assert below.json() == at_root.json()
    assert below.json()["issuer"] == live.issuer


@pytest.mark.parametrize("path", [WELL_KNOWN, f"{WELL_KNOWN}/", f"{WELL_KNOWN}/other", f"{WELL_KNOWN}/auth/x"])
def test_nothing_is_said_about_other_issuers(live, path):
    assert live.http.get(path, follow_redirects=True).status_code == 404


def test_every_endpoint_that_the_metadata_names_is_there(live):
    metadata = live.http.get(f"/auth{WELL_KNOWN}").json()
    named = [value for name, value in metadata.items() if name.endswith(("_endpoint", "_uri"))]
    assert len(named) >= 4
    for url in named:
        assert url.startswith(live.issuer + "/")
        assert live.http.options(url).status_code == 405  # there, and not for this method


def test_every_grant_that_the_metadata_names_is_known_and_others_are_not(live):
    for grant in live.http.get(f"/auth{WELL_KNOWN}").json()["grant_types_supported"]:
        answer = live.token(grant_type=grant, client_id="cli")
        assert answer.json()["error"] != "unsupported_grant_type"
    for grant in ("implicit", "urn:x", "PASSWORD"):
        assert live.token(grant_type=grant, client_id="cli").json()["error"] == "unsupported_grant_type"


def test_a_stranger_verifies_a_token_with_the_published_keys(live):
    metadata = live.http.get(f"/auth{WELL_KNOWN}").json()
    keys = Keyring.from_jwks(live.http.get(metadata["jwks_uri"]).text)
    verifier = JWTVerifier(keys, issuer=metadata["issuer"], audience=live.base)
    token = live.log_in("ada").json()["access_token"]
    assert str(asyncio.run(verifier.verify(token)).scopes) == "notes:read"


def test_no_private_half_is_published(live):
    for key in live.http.get("/auth/jwks.json").json()["keys"]:
        assert not {"d", "p", "q", "dp", "dq", "qi", "k"} & key.keys()
        assert key["kid"]
        assert key["alg"]


def test_keys_and_metadata_may_be_kept_for_a_while(live):
    for path in ("/auth/jwks.json", f"/auth{WELL_KNOWN}"):
        assert "max-age" in live.http.get(path).headers["cache-control"]


def test_health_and_readiness(live):
    assert live.http.get("/auth/health").json() == {"status": "ok"}
    assert live.http.get("/auth/ready").json() == {"status": "ready"}
