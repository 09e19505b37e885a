"""What programs ask over HTTP besides tokens: devices, pushed requests, registration, the feed of revocations."""

import asyncio
import base64
import datetime as dt
import hashlib
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from bailiwick.authority import Registration
from bailiwick.authority.records import Client, ClientAuth, Event, GrantType
from bailiwick.scopes import ScopeSet
from bailiwick.tokens.jws import read, read_claims

pytestmark = pytest.mark.anyio

JSON = {"content-type": "application/json"}


async def test_a_device_is_told_its_two_codes(visitor):
    begun = await visitor.post("/device_authorization", {"client_id": "tv", "scope": "notes:read"})
    assert begun.status_code == 200
    assert begun.headers["cache-control"] == "no-store"
    told = begun.json()
    assert told["verification_uri"] == "https://id.example/auth/device"
    assert told["verification_uri_complete"] == f"{told['verification_uri']}?user_code={told['user_code']}"
    assert (told["expires_in"], told["interval"]) == (600, 5)


async def test_a_client_without_the_device_grant_begins_nothing(visitor):
    refused = await visitor.post("/device_authorization", {"client_id": "app"})
    assert (refused.status_code, refused.json()["error"]) == (400, "unauthorized_client")


async def test_a_pushed_request_is_used_once_and_its_page_can_be_loaded_again(site, visitor):
    pushed = await visitor.post("/par", site.asked(scope="notes:read"))
    assert pushed.status_code == 201
    assert pushed.headers["cache-control"] == "no-store"
    reference = {"client_id": "app", "request_uri": pushed.json()["request_uri"]}
    first = await visitor.get("/authorize", params=reference)
    page = first.headers["location"]
    assert [(await visitor.get(page)).status_code for _ in range(2)] == [200, 200]
    again = await visitor.get("/authorize", params=reference)
    assert again.status_code == 400
    assert "location" not in again.headers


@pytest.mark.parametrize(("path", "life"), [("/device_authorization", "600"), ("/par", "60")])
async def test_who_begins_too_much_is_told_how_long_to_wait(site, path, life):
    form = {"client_id": "tv"} if path != "/par" else site.asked()
    crowd = site.visitor("203.0.113.5")
    while (answered := await crowd.post(path, form)).status_code in (200, 201):
        pass
    assert (answered.status_code, answered.headers["retry-after"]) == (429, life)
    assert answered.headers["cache-control"] == "no-store"
    assert (answered.json()["error"], answered.json()["id"]) == ("slow_down", "BW416")
    assert (await site.visitor("198.51.100.5").post(path, form)).status_code in (200, 201)
    site.now += int(life)
    assert (await crowd.post(path, form)).status_code in (200, 201)


async def test_what_cannot_be_pushed_is_told_to_the_client(site, visitor):
    refused = await visitor.post("/par", site.asked(redirect_uri="https://evil.example/"))
    assert (refused.status_code, refused.json()["id"]) == (400, "BW418")
    refused = await visitor.post("/par", {**site.asked(), "request_uri": "urn:x"})
    assert refused.json()["error"] == "invalid_request"


# -- registration ------------------------------------------------------------------------------


async def test_registration_is_off_until_the_settings_say_otherwise(visitor):
    refused = await visitor.http.post("/auth/register", json={"redirect_uris": ["https://x.example/cb"]})
    assert refused.status_code == 404


async def test_a_client_registers_looks_changes_and_leaves(open_site):
    policy = Registration(ScopeSet(["notes:read"]))
    async with open_site(registration=policy) as site:
        http = site.visitor().http
        said = {"client_name": "New one", "redirect_uris": ["https://new.example/cb"], "scope": "notes:read"}
        made = await http.post("/auth/register", json={**said, "token_endpoint_auth_method": "none"})
        assert made.status_code == 201
        assert made.headers["cache-control"] == "no-store"
        told = made.json()
        place, token = told["registration_client_uri"], told["registration_access_token"]
        bearer = {"authorization": f"Bearer {token}"}
        assert (await http.get(place, headers=bearer)).json()["client_name"] == "New one"
        change = {
            **said,
            "client_id": told["client_id"],
            "client_name": "Newer",
            "token_endpoint_auth_method": "none",
        }
        assert (await http.put(place, headers=bearer, json=change)).json()["client_name"] == "Newer"
        asks = site.visitor()
        page = await asks.consent_page(client_id=told["client_id"], redirect_uri="https://new.example/cb")
        assert "This application registered itself" in page.text
        assert (await http.post(place, headers=bearer)).status_code == 405
        gone = await http.delete(place, headers=bearer)
        assert (gone.status_code, gone.content) == (204, b"")
        after = await http.get(place, headers=bearer)
        assert after.status_code == 401
        assert after.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_what_is_registered_is_json_and_small(open_site):
    async with open_site(registration=Registration(ScopeSet(["notes:read"]))) as site:
        http = site.visitor().http
        assert (await http.post("/auth/register", data={"a": "b"})).json()["id"] == "BW408"
        large = await http.post("/auth/register", content=b'{"a": "' + b"x" * 70_000 + b'"}', headers=JSON)
        assert (large.status_code, large.json()["id"]) == (413, "BW409")
        for body in (b"", b"[]", b"{", b'{"a": 1, "a": 2}', b"\xff", b"[" * 50_000):
            refused = await http.post("/auth/register", content=body, headers=JSON)
            assert (refused.status_code, refused.json()["error"]) == (400, "invalid_client_metadata")


# -- the feed ----------------------------------------------------------------------------------


@pytest.fixture
async def follower(site):
    """A visitor that may follow the feed."""
    made = await (await site.admin()).create_client("api", follows_revocations=True)
    follower = site.visitor()
    follower.http.auth = ("api", made.secret)
    return follower


async def test_the_feed_is_signed_and_answers_304_while_there_is_nothing_new(site, follower):
    first = await follower.get("/revocations")
    assert first.status_code == 200
    assert first.headers["content-type"] == "application/revocations+jwt"
    assert first.headers["cache-control"] == "no-cache"
    claims = read_claims(read(first.text).payload)
    assert (claims["iss"], claims["lines"]) == ("https://id.example/auth", [])
    etag = first.headers["etag"]
    assert (await follower.get("/revocations", headers={"if-none-match": etag})).status_code == 304
    await (await site.admin()).revoke_account_tokens("ada")
    news = await follower.get("/revocations", headers={"if-none-match": etag})
    assert news.status_code == 200
    assert [line[1] for line in read_claims(read(news.text).payload)["lines"]] == ["subject"]
    last = read_claims(read(news.text).payload)["last"]
    rest = await follower.get("/revocations", params={"after": last})
    assert read_claims(read(rest.text).payload)["lines"] == []


async def test_a_follower_that_waits_is_answered_within_a_second_of_the_news(site, follower):
    etag = (await follower.get("/revocations")).headers["etag"]
    waiting = asyncio.create_task(follower.get("/revocations", params={"wait": "20"}, headers={"if-none-match": etag}))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    began = time.perf_counter()
    await (await site.admin()).revoke_account_tokens("ada")
    assert (await waiting).status_code == 200
    assert time.perf_counter() - began < 1


async def test_a_follower_that_waits_in_vain_is_let_go_in_time(follower):
    etag = (await follower.get("/revocations")).headers["etag"]
    began = time.perf_counter()
    answered = await follower.get("/revocations", params={"wait": "1"}, headers={"if-none-match": etag})
    assert answered.status_code == 304
    assert answered.headers["etag"] == etag
    assert 0.9 < time.perf_counter() - began < 3


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", "after=1&after=2", "after=", "wait=1e9", "limit=x", "after=" + "9" * 19]
)
async def test_the_feed_is_asked_with_numbers(follower, query):
    refused = await follower.http.get(f"/auth/revocations?{query}")
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")


async def test_the_metadata_names_only_what_answers(site, visitor):
    metadata = (await visitor.get("/.well-known/oauth-authorization-server")).json()
    endpoints = {name: place for name, place in metadata.items() if name.endswith(("_endpoint", "_uri"))}
    assert len(endpoints) >= 8
    for name, place in endpoints.items():
        got, posted = await visitor.http.get(place), await visitor.http.post(place, data={"a": "b"})
        assert {got.status_code, posted.status_code} != {404}, name
        assert 405 not in {got.status_code} & {posted.status_code}, name


# -- certificates ------------------------------------------------------------------------------


def certificate(name):
    """A self-signed certificate for a name, as DER."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    begin = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=9999))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(Encoding.DER)


def as_header(der):
    return {"client-cert": f":{base64.b64encode(der).decode()}:"}


JOB = {"grant_type": "client_credentials", "client_id": "job"}


async def add_job(site):
    store = (await site.server.open()).store
    grants = frozenset({GrantType.CLIENT_CREDENTIALS})
    job = Client("job", "Job", ClientAuth.TLS, grants, ScopeSet(["notes:read"]), 0.0, tls="san_dns=job.example")
    assert await store.add(job, Event(0.0, "client.created", "tester"))


async def test_a_client_shows_the_certificate_that_the_proxy_in_front_has_verified(open_site):
    async with open_site(client_certificates=True) as site:
        await add_job(site)
        http = site.visitor().http
        good = as_header(certificate("job.example"))
        assert (await http.post("/auth/token", data=JOB, headers=good)).json()["scope"] == "notes:read"
        both = [*good.items(), *as_header(certificate("other.example")).items()]
        wrong = [
            {},
            as_header(certificate("other.example")),
            as_header(b"no certificate"),
            {"client-cert": "job.example"},
            {"client-cert": ":"},
            {"client-cert": ":!:"},
            both,
        ]
        for headers in wrong:
            refused = await http.post("/auth/token", data=JOB, headers=headers)
            assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client"), headers


async def test_without_such_a_proxy_the_header_is_anybodys_and_counts_for_nothing(site, visitor):
    await add_job(site)
    good = as_header(certificate("job.example"))
    refused = await visitor.http.post("/auth/token", data=JOB, headers=good)
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize("initial", [None, "the right one"])
async def test_who_may_not_register_is_refused_before_a_word_is_read(open_site, monkeypatch, initial):
    from bailiwick.authority import register

    def read_json(_body):
        raise AssertionError("the body was parsed")

    monkeypatch.setattr(register, "read_json", read_json)
    digest = hashlib.sha256(b"the right one").hexdigest()
    policy = Registration(ScopeSet(["notes:read"]), initial_tokens=frozenset({digest})) if initial else None
    async with open_site(**({"registration": policy} if policy else {})) as site:
        http = site.visitor().http
        wrong = {"authorization": "Bearer a wrong one", **JSON}
        refused = await http.post("/auth/register", content=b"{}", headers=wrong)
        assert refused.status_code == (401 if initial else 404)
        refused = await http.put("/auth/register/app", content=b"{}", headers=wrong)
        assert refused.status_code == (401 if initial else 404)
