"""Authlib's client against the running server, as somebody would use it who never heard of Bailiwick."""

import pytest

pytest.importorskip("authlib", reason="Authlib is not installed: pip install authlib")

from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.httpx_client import OAuth2Client

BACK = "http://127.0.0.1:5555/callback"
VERIFIER = "authlib-verifier-" + "x" * 40


def client_of(live, name, **more):
    secret = live.secrets.get(name)
    method = more.pop("method", "client_secret_basic" if secret else "none")
    return OAuth2Client(
        name,
        secret,
        token_endpoint_auth_method=method,
        revocation_endpoint_auth_method=method,
        token_endpoint=f"{live.issuer}/token",
        code_challenge_method="S256",
        **more,
    )


def authorize(live, browser, client, choose=None, **more):
    address, state = client.create_authorization_url(f"{live.issuer}/authorize", code_verifier=VERIFIER, **more)
    return browser.open(address, choose), state


@pytest.mark.parametrize("name", ["web", "site"])
def test_code_with_pkce_then_the_api_then_refresh(live, browser, arrived, name):
    with client_of(live, name, redirect_uri=BACK, scope="notes:read notes:write") as client:
        back, state = authorize(live, browser, client)
        assert arrived(back)["iss"] == live.issuer
        token = client.fetch_token(authorization_response=back, state=state, code_verifier=VERIFIER)
        assert token["scope"] == "notes:read notes:write"
        assert token["token_type"] == "Bearer"
        # Its own session, with the token that it keeps.
        assert client.get(f"{live.base}/notes").json()["client"] == name
        again = client.refresh_token(f"{live.issuer}/token", refresh_token=token["refresh_token"])
        assert again["access_token"] != token["access_token"]
        assert again["refresh_token"] != token["refresh_token"]
        assert client.get(f"{live.base}/notes").status_code == 200


def test_a_secret_in_the_form_does_as_well(live):
    with client_of(live, "service", method="client_secret_post") as client:
        token = client.fetch_token(grant_type="client_credentials", scope="notes:read")
        assert live.call(token["access_token"]).json()["caller"] == "service"


def test_client_credentials_introspection_and_revocation(live):
    with client_of(live, "service") as client:
        token = client.fetch_token(grant_type="client_credentials")
        assert "refresh_token" not in token
        told = client.introspect_token(f"{live.issuer}/introspect", token=token["access_token"]).json()
        assert (told["active"], told["scope"], told["client_id"]) == (True, "notes:read", "service")
        gone = client.revoke_token(f"{live.issuer}/revoke", token=token["access_token"])
        assert gone.status_code == 200
        told = client.introspect_token(f"{live.issuer}/introspect", token=token["access_token"]).json()
        assert told == {"active": False}
    assert live.call(token["access_token"]).status_code == 401


def test_revoking_a_refresh_token_ends_the_login(live, browser):
    with client_of(live, "web", redirect_uri=BACK, scope="notes:read") as client:
        back, state = authorize(live, browser, client)
        token = client.fetch_token(authorization_response=back, state=state, code_verifier=VERIFIER)
        access = token["access_token"]
        client.revoke_token(f"{live.issuer}/revoke", token=token["refresh_token"], token_type_hint="refresh_token")
        with pytest.raises(OAuthError) as refused:
            client.refresh_token(f"{live.issuer}/token", refresh_token=token["refresh_token"])
    assert refused.value.error == "invalid_grant"
    assert live.call(access).status_code == 401


def test_who_denies_is_brought_back_with_access_denied(live, browser, arrived):
    with client_of(live, "web", redirect_uri=BACK, scope="notes:share") as client:
        address, state = client.create_authorization_url(f"{live.issuer}/authorize", code_verifier=VERIFIER)
        back = arrived(browser.open(address, allow=False))
    # The library leaves reading a refusal to the application.
    assert (back["error"], back["state"], back["iss"]) == ("access_denied", state, live.issuer)
    assert "code" not in back


def test_what_is_not_ticked_is_not_granted(live, browser):
    with client_of(live, "site", redirect_uri=BACK, scope="notes:read notes:share") as client:
        back, state = authorize(live, browser, client, choose=["notes:read"], prompt="consent")
        token = client.fetch_token(authorization_response=back, state=state, code_verifier=VERIFIER)
    assert token["scope"] == "notes:read"
    assert live.call(token["access_token"]).status_code == 200


def test_a_wrong_verifier_and_a_wrong_secret_are_understood(live, browser):
    with client_of(live, "web", redirect_uri=BACK, scope="notes:read") as client:
        back, state = authorize(live, browser, client)
        with pytest.raises(OAuthError) as refused:
            client.fetch_token(authorization_response=back, state=state, code_verifier="y" * 43)
    assert refused.value.error == "invalid_grant"
    wrong = OAuth2Client("service", "wrong", token_endpoint=f"{live.issuer}/token")
    with wrong, pytest.raises(OAuthError) as refused:
        wrong.fetch_token(grant_type="client_credentials")
    assert refused.value.error == "invalid_client"


def test_a_device_waits_for_its_person(live, browser):
    grant = "urn:ietf:params:oauth:grant-type:device_code"
    with client_of(live, "tv") as client:
        begun = live.http.post("/auth/device_authorization", data={"client_id": "tv", "scope": "notes:read"}).json()

        def poll():
            return client.fetch_token(grant_type=grant, device_code=begun["device_code"])

        with pytest.raises(OAuthError) as waiting:
            poll()
        assert waiting.value.error == "authorization_pending"
        browser.open(begun["verification_uri_complete"])
        with pytest.raises(OAuthError) as hasty:
            poll()  # sooner than the interval
        assert hasty.value.error in {"slow_down", "authorization_pending"}
