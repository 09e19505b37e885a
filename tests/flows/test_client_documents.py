"""A client that nobody registered, from its first request to its last: documents on a server of their own, an authority
over a file that is stopped and started again, and people in between.

Time is the authority's: it is turned, so that what is kept for minutes goes stale at once.
"""

import base64
import hashlib
import html
import http.server
import json
import re
import secrets
import threading
import time
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from bailiwick import ScopeSet
from bailiwick.server import AuthorizationServer, MetadataDocuments, Settings
from bailiwick.tokens import Keyring, Signer, SigningKey

from .conftest import CATALOG, PASSWORD, Served, build

VERIFIER = "v" * 43
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).rstrip(b"=").decode()
BACK = "http://127.0.0.1/callback"
ASSERTION = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Library(threading.Thread):
    """Where documents lie: a web server on a free port."""

    def __init__(self):
        super().__init__(daemon=True)
        self.documents, self.looked = {}, []
        library = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                library.looked.append(self.path)
                body, age = library.documents.get(self.path, (None, None))
                self.send_response(200 if body is not None else 404)
                self.send_header("content-type", "application/json")
                if age is not None:
                    self.send_header("cache-control", f"max-age={age}")
                self.end_headers()
                self.wfile.write(body or b"{}")

            def log_message(self, *args):
                """Not on the terminal."""

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base = f"http://127.0.0.1:{self.server.server_port}"

    def run(self):
        self.server.serve_forever(poll_interval=0.01)

    def put(self, path="/app.json", age=None, **fields):
        """Let a document lie there, and say what its address is."""
        document = {"client_id": self.base + path, "client_name": "An app", "redirect_uris": [BACK]}
        document |= {"grant_types": ["authorization_code", "refresh_token"]} | fields
        self.documents[path] = json.dumps(document).encode(), age
        return self.base + path

    def take(self, path="/app.json"):
        del self.documents[path]


@pytest.fixture(scope="module")
def shelves():
    library = Library()
    library.start()
    yield library
    library.server.shutdown()
    library.server.server_close()


@pytest.fixture
def library(shelves):
    shelves.documents.clear()
    shelves.looked.clear()
    return shelves


class Town:
    """An authority that can be stopped and started again over the same file, and its time of day."""

    def __init__(self, folder, documents=True):
        self.folder, self.ahead = folder, 0.0
        self.documents = documents
        self.port = 0

    def start(self):
        made = []

        def make(base):
            issuer = f"{base}/auth"
            policy = MetadataDocuments(ScopeSet(["notes:*"]), loopback=True) if self.documents else None
            settings = Settings(issuer, metadata_documents=policy)
            store = self.folder / "authority.db"
            made.append(
                AuthorizationServer(
                    CATALOG, issuer=issuer, store=store, settings=settings, now=lambda: time.time() + self.ahead
                )
            )
            return build(made[0]) if not self.port else plain(made[0])

        self.served = Served(make, self.port)
        self.served.__enter__()
        self.port = int(self.served.base.rpartition(":")[2])
        self.server, self.issuer = made[0], f"{self.served.base}/auth"

    def stop(self):
        self.served.__exit__()

    def restart(self):
        self.stop()
        self.start()

    def pass_time(self, seconds):
        self.ahead += seconds

    def now(self):
        return time.time() + self.ahead

    def person(self, name="wim"):
        return Person(self, name)

    def token(self, client, key=None, **form):
        proof = {"client_assertion_type": ASSERTION, "client_assertion": self.assertion(client, key)} if key else {}
        with httpx.Client(base_url=self.served.base) as web:
            return web.post("/auth/token", data={"client_id": client} | proof | form)

    def redeem(self, client, code, key=None, **form):
        given = {"grant_type": "authorization_code", "code": code, "code_verifier": VERIFIER, "redirect_uri": BACK}
        return self.token(client, key, **given | form)

    def refresh(self, client, answer, key=None, **form):
        return self.token(client, key, grant_type="refresh_token", refresh_token=answer["refresh_token"], **form)

    def assertion(self, client, key):
        now = int(self.now())
        claims = {"iss": client, "sub": client, "aud": self.issuer, "iat": now, "exp": now + 60}
        return Signer(key).sign(claims | {"jti": secrets.token_urlsafe(9)}, typ="JWT")

    def metadata(self):
        return httpx.get(f"{self.served.base}/.well-known/oauth-authorization-server/auth").json()

    def journal(self, what):
        async def read():
            admin = await self.server.admin("operator:test")
            return [line for line in await admin.journal(limit=1000) if line.what == what]

        return list(reversed(self.served.ask(read())))


def plain(server):
    """The same application without the people, who are there already."""
    from fastapi import FastAPI

    app = FastAPI()
    server.mount_on(app)
    return app


class Person:
    """Somebody at a browser: it keeps cookies, and follows to the client's door and not through it."""

    def __init__(self, town, name):
        self.town, self.name = town, name
        self.web = httpx.Client(base_url=town.served.base)

    def visit(self, client, **more):
        asked = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": BACK,
            "code_challenge": CHALLENGE,
            "code_challenge_method": "S256",
            "state": "xyz",
            "scope": "notes:read notes:write",
        } | more
        return self.follow(self.web.get("/auth/authorize", params=asked))

    def follow(self, answer):
        while answer.status_code == 303 and answer.headers["location"].startswith("/auth/"):
            answer = self.web.get(answer.headers["location"])
            if "/login" in str(answer.url) and 'name="password"' in answer.text:
                answer = self.send("/auth/login", answer, name=self.name, password=PASSWORD)
        return answer

    def send(self, path, page, **fields):
        hidden = dict(re.findall(r'<input type="hidden" name="(flow|csrf)" value="([^"]*)"', page.text))
        return self.web.post(path, data={name: html.unescape(value) for name, value in hidden.items()} | fields)

    def decide(self, page, decision="allow", scope=("notes:read", "notes:write")):
        assert "asks for access" in page.text, page.text
        return self.follow(self.send("/auth/consent", page, decision=decision, scope=list(scope)))

    def code(self, client, **more):
        return told(self.decide(self.visit(client, **more)))["code"]


def told(answer):
    """What the client is told, at whatever port it listens."""
    assert answer.status_code == 303, answer.text
    return {name: values[0] for name, values in parse_qs(urlsplit(answer.headers["location"]).query).items()}


def claims(answer):
    body = answer["access_token"].split(".")[1]
    return json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))


def good(answer):
    assert answer.status_code == 200, answer.text
    return answer.json()


def refused(answer):
    assert answer.status_code in (400, 401), answer.text
    return answer.json()["error"]


@pytest.fixture
def town(tmp_path):
    town = Town(tmp_path)
    town.start()
    yield town
    town.stop()


def test_a_client_that_nobody_knew_gets_a_persons_consent_tokens_and_successors(town, library):
    client, wim = library.put(), town.person()
    page = wim.visit(client)
    assert urlsplit(client).netloc in page.text
    assert "any program there can say that it is this one" in page.text
    answer = told(wim.decide(page))
    assert (answer["state"], answer["iss"]) == ("xyz", town.issuer)
    tokens = good(town.redeem(client, answer["code"]))
    assert claims(tokens)["client_id"] == client
    assert tokens["scope"] == "notes:read notes:write"
    with httpx.Client(base_url=town.served.base) as web:
        asked = web.get("/notes", headers={"authorization": f"Bearer {tokens['access_token']}"})
        assert asked.json()["scopes"] == ["notes:read", "notes:write"]
    assert good(town.refresh(client, tokens))["scope"] == tokens["scope"]
    assert len(library.looked) == 1
    assert [(line.client, line.detail) for line in town.journal("client.described")] == [
        (client, "notes:read notes:write notes:share")
    ]


def test_whoever_denies_lets_nothing_of_the_client_be_kept_but_a_line(town, library):
    client, wim = library.put(), town.person()
    assert told(wim.decide(wim.visit(client), "deny"))["error"] == "access_denied"
    assert not town.journal("client.described")
    (line,) = town.journal("consent.denied")
    assert (line.client, line.detail, line.origin.address) == (client, "notes:read notes:write", "127.0.0.1")
    assert line.actor == line.subject != ""


def test_metadata_tells_of_documents_only_where_they_are_read(town, tmp_path):
    assert town.metadata()["client_id_metadata_document_supported"] is True
    town.stop()
    town.documents = False
    town.start()
    assert "client_id_metadata_document_supported" not in town.metadata()


def test_where_documents_are_switched_off_a_client_that_was_kept_is_unknown(town, library):
    client, wim = library.put(), town.person()
    tokens = good(town.redeem(client, wim.code(client)))
    town.documents = False
    town.restart()
    assert refused(town.refresh(client, tokens)) == "invalid_client"
    assert "BW418" in town.person().visit(client).text
    town.documents = True
    town.restart()
    assert good(town.refresh(client, tokens))


def test_a_document_that_changes_its_name_is_shown_by_the_new_one_when_it_is_stale(town, library):
    client, wim = library.put(), town.person()
    assert "An app" in wim.visit(client).text
    library.put(client_name="Another app")
    assert "Another app" not in wim.visit(client).text
    town.pass_time(301)
    page = wim.visit(client)
    assert "Another app" in page.text
    wim.decide(page)
    library.put(client_name="A third one")
    town.pass_time(301)
    wim.code(client)
    assert [line.detail for line in town.journal("client.changed")] == ["name"]


def test_a_redirect_that_is_taken_out_leads_nowhere_when_the_document_is_stale(town, library):
    client, wim = library.put(), town.person()
    wim.code(client)
    page = wim.visit(client)
    library.put(redirect_uris=["http://127.0.0.1/new"])
    town.pass_time(301)
    for answer in (wim.decide(page), wim.visit(client), wim.visit(client, prompt="none")):
        assert answer.status_code == 400
        assert "location" not in answer.headers
        assert "BW418" in answer.text
    page = wim.visit(client, redirect_uri="http://127.0.0.1:5123/new")
    code = told(wim.decide(page))["code"]
    assert good(town.redeem(client, code, redirect_uri="http://127.0.0.1:5123/new"))


def test_a_code_is_redeemed_although_the_redirect_went_away_meanwhile(town, library):
    client, wim = library.put(), town.person()
    code = wim.code(client)
    library.put(redirect_uris=["http://127.0.0.1/new"])
    assert good(town.redeem(client, code))


def test_a_client_whose_document_disappears_gets_no_new_codes_and_keeps_what_it_has(town, library):
    client, wim = library.put(), town.person()
    tokens = good(town.redeem(client, wim.code(client)))
    library.take()
    wim.code(client)  # its document is still good
    town.pass_time(301)
    page = wim.visit(client)
    assert page.status_code == 400
    assert "BW422" in page.text
    tokens = good(town.refresh(client, tokens))
    library.put()
    assert wim.code(client)
    assert good(town.refresh(client, tokens))


def test_a_document_is_fetched_again_when_its_server_said_so_and_not_before(town, library):
    client, wim = library.put(age=1000), town.person()
    wim.visit(client)
    town.pass_time(990)
    wim.visit(client)
    assert len(library.looked) == 1
    town.pass_time(20)
    wim.visit(client)
    assert len(library.looked) == 2


def test_after_a_restart_the_document_is_read_anew_and_the_tokens_go_on(town, library):
    client, wim = library.put(), town.person()
    tokens = good(town.redeem(client, wim.code(client)))
    code = wim.code(client)
    town.restart()
    tokens = good(town.refresh(client, tokens))
    assert good(town.redeem(client, code))
    assert len(library.looked) == 1  # a public client that is kept has nothing to be looked up
    assert "An app" in town.person().visit(client).text
    assert len(library.looked) == 2
    library.take()
    town.restart()
    assert good(town.refresh(client, tokens))
    assert "BW422" in town.person().visit(client).text


# -- a client that signs ------------------------------------------------------------------------------

OLD, NEW = SigningKey.generate("ES256"), SigningKey.generate("EdDSA")


def signing(library, *keys, **fields):
    jwks = {"jwks": Keyring.from_keys(*keys).public_jwks()} if keys else {}
    return library.put(token_endpoint_auth_method="private_key_jwt", **jwks | fields)


def test_a_client_signs_with_the_key_of_its_document_and_each_signature_counts_once(town, library):
    client, wim = signing(library, OLD), town.person()
    code = wim.code(client)
    assert refused(town.redeem(client, code)) == "invalid_client"
    assert refused(town.redeem(client, code, NEW)) == "invalid_client"
    tokens = good(town.redeem(client, code, OLD))
    proof = {"client_assertion_type": ASSERTION, "client_assertion": town.assertion(client, OLD)}
    tokens = good(town.refresh(client, tokens, **proof))
    assert refused(town.refresh(client, tokens, **proof)) == "invalid_client"
    town.restart()
    assert refused(town.refresh(client, tokens, **proof)) == "invalid_client"
    assert good(town.refresh(client, tokens, OLD))


def test_a_rotated_key_works_within_a_minute_and_the_old_one_stops(town, library):
    client, wim = signing(library, OLD, age=3600), town.person()
    tokens = good(town.redeem(client, wim.code(client), OLD))
    signing(library, OLD, NEW, age=3600)
    town.pass_time(61)
    tokens = good(town.refresh(client, tokens, NEW))
    tokens = good(town.refresh(client, tokens, OLD))  # both, as long as both stand there
    signing(library, NEW, age=3600)
    town.pass_time(3601)
    assert refused(town.refresh(client, tokens, OLD)) == "invalid_client"
    tokens = good(town.refresh(client, tokens, NEW))
    assert len(library.looked) == 3
    library.take()
    town.restart()
    assert refused(town.refresh(client, tokens, OLD)) == "invalid_client"
    assert good(town.refresh(client, tokens, NEW))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"jwks": {"keys": []}},
        {"jwks": {"keys": [{"kty": "oct", "k": "c2VjcmV0" * 6, "alg": "HS256"}]}},
        {"jwks": {"keys": [OLD.to_jwk(private=True)]}},
        {"jwks_uri": "https://app.example.com/jwks"},
    ],
    ids=["dropped", "empty", "symmetric", "private", "elsewhere"],
)
def test_a_document_whose_keys_go_wrong_ends_the_client_at_its_next_look(town, library, fields):
    client, wim = signing(library, OLD), town.person()
    tokens = good(town.redeem(client, wim.code(client), OLD))
    signing(library, **fields)
    town.pass_time(301)
    assert refused(town.refresh(client, tokens, OLD)) == "invalid_client"
    assert "BW422" in wim.visit(client).text
    signing(library, NEW)
    assert good(town.refresh(client, tokens, NEW))
