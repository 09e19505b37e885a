"""What a hostile client, person or browser tries over HTTP, and does not get."""

import base64
import datetime as dt
import logging

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from bailiwick.authority.settings import Registration
from bailiwick.errors import Unavailable
from bailiwick.scopes import ScopeSet

pytestmark = pytest.mark.anyio

PASSWORD = "correct horse battery staple"

PAGES_AND_ENDPOINTS = ["token", "login", "authorize", "consent", "device", "revoke", "par", "health", "register"]


@pytest.mark.parametrize("path", PAGES_AND_ENDPOINTS)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_slash_too_many_sends_nobody_and_no_password_to_the_host_that_the_request_named(visitor, path, method):
    # A framework that "repairs" the path answers 307, which repeats the POST, at an address made of the Host header
    # and of a scheme that a proxy in front may have changed.
    answer = await visitor.http.request(
        method, f"/auth/{path}/", data={"password": PASSWORD}, headers={"host": "evil.example"}
    )
    assert answer.status_code == 404
    assert "location" not in answer.headers


@pytest.mark.parametrize(
    "path", ["/auth/x%1b[2Jforged", "/auth/x%0aINFO forged", "/auth/x%c2%9b31m", "/auth/x%e2%80%ae"]
)
async def test_no_path_writes_a_line_or_a_terminals_command_into_the_log(visitor, caplog, path):
    with caplog.at_level(logging.INFO, "bailiwick.web"):
        assert (await visitor.http.get(path)).status_code == 404
    (line,) = [record.getMessage() for record in caplog.records if record.name == "bailiwick.web"]
    assert line.isprintable()
    assert "/auth/x" in line


async def sign_in(site, address, password):
    """A login page fetched and sent from an address."""
    visitor = site.visitor(address)
    return await visitor.log_in(password=password)


async def test_whoever_guesses_a_password_makes_themselves_wait_and_not_its_owner(site):
    for _ in range(10):
        assert (await sign_in(site, "203.0.113.66", "wrong")).status_code == 400
    assert (await sign_in(site, "203.0.113.66", PASSWORD)).status_code == 429
    assert (await sign_in(site, "192.0.2.1", PASSWORD)).status_code == 303


async def test_guesses_from_everywhere_at_one_person_come_to_an_end_all_the_same(site):
    outcomes = [(await sign_in(site, f"203.0.113.{number}", "wrong")).status_code for number in range(120)]
    assert outcomes[:100] == [400] * 100
    assert set(outcomes[100:]) == {429}


async def test_one_password_tried_on_everybody_comes_to_an_end(site):
    outcomes = []
    for number in range(120):
        page = await site.visitor("203.0.113.66").log_in(name=f"person {number}", password="Summer2026")
        outcomes.append(page.status_code)
    assert outcomes.count(400) == 100


async def test_guesses_from_one_ipv6_network_are_one_guessers(site):
    # A provider gives a customer 2^64 addresses at least.
    outcomes = [(await sign_in(site, f"2001:db8:1:2::{number:x}", "wrong")).status_code for number in range(1, 12)]
    assert outcomes == [400] * 10 + [429]
    assert (await sign_in(site, "2001:db8:1:3::1", PASSWORD)).status_code == 303


async def test_somebody_whom_a_busy_server_sent_away_has_not_guessed(site, monkeypatch):
    async def busy(*_):
        raise Unavailable("Too many logins at this moment.", id="BW504", retry_after=1)

    hasher = site.server._hasher
    with monkeypatch.context() as patch:
        patch.setattr(hasher, "verify", busy)
        for _ in range(12):
            assert (await sign_in(site, "192.0.2.1", PASSWORD)).status_code == 503
    assert (await sign_in(site, "192.0.2.1", PASSWORD)).status_code == 303


def certificate(version):
    """A certificate of a version that there is not, as a proxy without a check of its own may hand on."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "billing")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("billing.example")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    return made.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01" + bytes([version]), 1)


def twice_the_same_extension():
    """The names extension and an unknown one of the same length, whose name is then put right: there are two."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "billing")])
    start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    san = x509.SubjectAlternativeName([x509.DNSName("billing.example")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=1))
        .add_extension(san, critical=False)
        .add_extension(
            x509.UnrecognizedExtension(x509.ObjectIdentifier("2.5.29.99"), san.public_bytes()), critical=False
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.DER)
    )
    return made.replace(b"\x06\x03\x55\x1d\x63", b"\x06\x03\x55\x1d\x11", 1)


@pytest.mark.parametrize("der", [certificate(7), twice_the_same_extension()], ids=["version 8", "names twice"])
async def test_a_certificate_that_breaks_the_rules_proves_nothing_and_is_no_fault_of_ours(open_site, der):
    async with open_site(client_certificates=True) as site:
        answer = await site.visitor().post(
            "/token",
            {"grant_type": "client_credentials", "client_id": "app"},
            headers={"client-cert": f":{base64.b64encode(der).decode()}:"},
        )
        assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


async def test_a_registration_that_is_closed_is_refused_at_once_by_a_guard_beside_it(open_site):
    async with open_site(registration=Registration(ScopeSet(["notes:read"]))) as site:
        visitor = site.visitor()
        before = site.server.acts
        assert (await visitor.http.delete("/auth/register/cli_x")).status_code == 401
        assert site.server.acts > before
