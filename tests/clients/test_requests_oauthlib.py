"""requests-oauthlib against the running server."""

import pytest

pytest.importorskip("requests_oauthlib", reason="requests-oauthlib is not installed: pip install requests-oauthlib")

from oauthlib.oauth2 import BackendApplicationClient, InvalidGrantError, LegacyApplicationClient
from oauthlib.oauth2.rfc8628.clients import DeviceClient
from requests.auth import HTTPBasicAuth
from requests_oauthlib import OAuth2Session

BACK = "http://127.0.0.1:6666/callback"
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def loopback_is_no_https(monkeypatch):
    # The library refuses plain http, also on loopback, until it is told that this is a test.
    monkeypatch.setenv("OAUTHLIB_INSECURE_TRANSPORT", "1")


@pytest.mark.parametrize("name", ["web", "site"])
def test_code_with_pkce_then_the_api_then_refresh(live, browser, name):
    with OAuth2Session(name, redirect_uri=BACK, scope=["notes:read", "notes:write"], pkce="S256") as session:
        address, _ = session.authorization_url(f"{live.issuer}/authorize")
        back = browser.open(address)
        proof = (
            {"auth": HTTPBasicAuth(name, live.secrets[name])} if name in live.secrets else {"include_client_id": True}
        )
        token = session.fetch_token(f"{live.issuer}/token", authorization_response=back, **proof)
        assert token["scope"] == ["notes:read", "notes:write"]
        assert session.get(f"{live.base}/notes").json()["client"] == name
        proof = {"auth": proof["auth"]} if "auth" in proof else {"client_id": name}
        again = session.refresh_token(f"{live.issuer}/token", **proof)
        assert again["refresh_token"] != token["refresh_token"]
        assert session.get(f"{live.base}/notes").status_code == 200


def test_a_refresh_may_ask_for_less(live, browser):
    with OAuth2Session("web", redirect_uri=BACK, scope=["notes:read", "notes:write"], pkce="S256") as session:
        address, _ = session.authorization_url(f"{live.issuer}/authorize")
        session.fetch_token(
            f"{live.issuer}/token", authorization_response=browser.open(address), include_client_id=True
        )
        session.scope = ["notes:read"]
        token = session.refresh_token(f"{live.issuer}/token", client_id="web")
        assert token["scope"] == ["notes:read"]
        assert session.post(f"{live.base}/notes").status_code == 403


def test_client_credentials_introspection_and_revocation(live):
    proof = HTTPBasicAuth("service", live.secrets["service"])
    with OAuth2Session(client=BackendApplicationClient("service", scope=["notes:read"])) as session:
        token = session.fetch_token(f"{live.issuer}/token", auth=proof)
        assert session.get(f"{live.base}/notes").json()["caller"] == "service"
        # The library prepares revocations; introspection is a plain request.
        address, headers, body = session._client.prepare_token_revocation_request(
            f"{live.issuer}/revoke", token["access_token"]
        )
        asked = {"data": {"token": token["access_token"]}, "auth": proof, "withhold_token": True}
        assert session.post(f"{live.issuer}/introspect", **asked).json()["active"] is True
        gone = session.post(address, data=body, headers=headers, auth=proof, withhold_token=True)
        assert gone.status_code == 200
        assert session.post(f"{live.issuer}/introspect", **asked).json() == {"active": False}
    assert live.call(token["access_token"]).status_code == 401


def test_the_password_grant_where_a_client_may(live):
    with OAuth2Session(client=LegacyApplicationClient("cli")) as session:
        token = session.fetch_token(f"{live.issuer}/token", username="ada", password=PASSWORD, include_client_id=True)
        assert session.get(f"{live.base}/notes").status_code == 200
        assert "notes:read" in token["scope"]
        with pytest.raises(InvalidGrantError):
            session.fetch_token(f"{live.issuer}/token", username="ada", password="wrong", include_client_id=True)


def test_a_device_gets_its_tokens_once_its_person_has_allowed_it(live, browser):
    begun = live.http.post("/auth/device_authorization", data={"client_id": "tv", "scope": "notes:read"}).json()
    browser.open(begun["verification_uri_complete"])
    with OAuth2Session(client=DeviceClient("tv", scope=["notes:read"])) as session:
        token = session.fetch_token(f"{live.issuer}/token", device_code=begun["device_code"], include_client_id=True)
        assert token["scope"] == ["notes:read"]
        assert session.get(f"{live.base}/notes").json()["client"] == "tv"
        with pytest.raises(InvalidGrantError):
            session.fetch_token(f"{live.issuer}/token", device_code=begun["device_code"], include_client_id=True)
