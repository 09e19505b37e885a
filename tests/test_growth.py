"""Reading untrusted text takes work in proportion to its length, whatever it says.

Two parsers of ours once took quadratic time: the check of a JSON text's depth, on an unterminated string of escaped quotation
marks, and Unicode normalisation in front of the check of a name's length. Either let one request stop a server. So every
parser of text that strangers send is fed such texts here, in three sizes, and a new one that is not listed fails the test.
"""

import ast
import asyncio
import base64
import json
import re
import sys
import time
from contextlib import suppress
from functools import cache
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.requests import Request

from bailiwick import Catalog, ScopeSet
from bailiwick.asgi import Guard
from bailiwick.authority import (
    DeviceRequest,
    IntrospectionRequest,
    PushingRequest,
    RegistrationRequest,
    RevocationRequest,
    TokenRequest,
)
from bailiwick.authority.accounts import prepare_password
from bailiwick.authority.assertion import check_number_of_keys, client_keys
from bailiwick.authority.attempts import network_of
from bailiwick.authority.authorization_request import check_echoes, hint_of, max_age_of, mode_of, prompt_of, state_of
from bailiwick.authority.consent import must_always_ask
from bailiwick.authority.device import normalise_user_code
from bailiwick.authority.documents import ClientDocuments, why_no_document
from bailiwick.authority.pkce import check_challenge, check_verifier
from bailiwick.authority.records import name_key
from bailiwick.authority.redirects import match, why_unfit
from bailiwick.authority.register import blank_client, read_told
from bailiwick.authority.request import Assertion, Certificate
from bailiwick.authority.request import form as authority_form
from bailiwick.authority.settings import MetadataDocuments, Registration
from bailiwick.errors import BailiwickError
from bailiwick.graph.plan import Access, Kind, RoutePlan
from bailiwick.guard.decision import read_credentials, verify_now_of
from bailiwick.guard.route_match import entry_for
from bailiwick.machine.certificates import read_certificate
from bailiwick.remote import RevocationFeed
from bailiwick.remote.client_metadata import MetadataFetcher, _fresh_for, is_public
from bailiwick.remote.revocations import Unfit
from bailiwick.scopes import Ceilings, Principal, all_of, issue
from bailiwick.tokens import JWTVerifier, Keyring, SigningKey, bearer, jws, opaque
from bailiwick.tokens.claims import ClaimRules
from bailiwick.tokens.encoding import Malformed, decode, decode_octets, read_json
from bailiwick.tokens.revoked import Revocations
from bailiwick.tokens.strength import estimate_bits
from bailiwick.web import app, cookies, endpoints, form, known_browsers, pages, people, proxies, session
from bailiwick.web.assets import Assets
from bailiwick.web.seal import Seal

pytestmark = pytest.mark.timing

SOURCE = Path(__file__).parent.parent / "src" / "bailiwick"
SIZES = (4_096, 8_192, 16_384)
LONG = 0.1  # seconds after which a measurement needs no others beside it
CATALOG = Catalog({"items:read": "Read items", "items:write": "Write items"})
KEY = SigningKey.generate("ES256")
POLICY = Registration(ceiling=ScopeSet(["items:read"]))
DOCUMENTS = MetadataDocuments(ceiling=ScopeSet(["items:read"]))


def b64(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


# -- the texts: each is made for a size, and is bad for one kind of parser -------------------------------

TEXTS = {
    "escaped quotes after deep brackets": lambda n: "[" * 33 + '"' + '\\"' * (n // 2),
    "escaped quotes": lambda n: '"' + '\\"' * (n // 2),
    "backslashes": lambda n: '"' + "\\" * n,
    "unterminated strings": lambda n: '["' * (n // 2),
    "open brackets": lambda n: "[" * n,
    "open objects": lambda n: '{"a":' * (n // 5),
    "many members": lambda n: "{" + ",".join(f'"{number}":1' for number in range(n // 9)) + "}",
    "digits": lambda n: "9" * n,
    "a fraction": lambda n: "0." + "9" * n,
    "exponents": lambda n: "1e" * (n // 2),
    "surrogates": lambda n: '"' + "\\ud800" * (n // 6) + '"',
    "blanks": lambda n: " " * n,
    "tabs and blanks": lambda n: "\t " * (n // 2),
    "words": lambda n: "a " * (n // 2),
    "different words": lambda n: " ".join(f"s{number}" for number in range(n // 6)),
    "letters": lambda n: "a" * n,
    "letters and one that is not allowed": lambda n: "a" * n + "!",
    "segments": lambda n: "a:" * (n // 2) + "*",
    "dots": lambda n: "." * n,
    "labels": lambda n: "https://" + "a." * (n // 2) + "!/",
    "hyphens": lambda n: "https://a" + "-" * n + "/",
    "dot segments": lambda n: "https://a.example/" + "../" * (n // 3),
    "slashes": lambda n: "/" * n,
    "schemes": lambda n: "a." * (n // 2) + ":/x",
    "percents": lambda n: "%" * n,
    "encoded letters": lambda n: "%41" * (n // 3),
    "ampersands": lambda n: "&" * n,
    "fields": lambda n: "a=b&" * (n // 4),
    "tokens in the query": lambda n: "xaccess_token=" * (n // 14),
    "commas": lambda n: "," * n,
    "sub-protocols": lambda n: "token.a," * (n // 8),
    "addresses": lambda n: "10.0.0.1, " * (n // 10),
    "semicolons": lambda n: ";" * n,
    "cookies": lambda n: "bailiwick=x; " * (n // 13),
    "colons": lambda n: ":" * n,
    "equals signs": lambda n: "=" * n,
    "ages": lambda n: "max-age" + " " * n + "=1",
    "combining marks in the worst order": lambda n: "a" + "\u0344" * (n // 2) + "\u0334" * (n // 2),
    "ligatures": lambda n: "\ufdfa" * n,
    "capital letters that grow": lambda n: "\u0130\u1e9e" * (n // 2),
    "line ends": lambda n: "\r\n" * (n // 2),
    "tables of TOML": lambda n: "[a]\n" * (n // 4),
    "nested keys of TOML": lambda n: "a." * (n // 2) + "b = 1",
}


# -- the parsers ------------------------------------------------------------------------------------------


def octets(text):
    return text.encode("utf-8", "surrogatepass")


def header(text):
    """What HTTP lets through as the value of a header field."""
    return octets(text).decode("latin-1").replace("\r", " ").replace("\n", " ")


def request(query="", **headers):
    fields = [(name.replace("_", "-").encode(), header(text).encode("latin-1")) for name, text in headers.items()]
    conn = {"type": "http", "method": "GET", "path": "/", "query_string": octets(query), "headers": fields}
    return Request(conn, receive=None)


def body_of(text):
    async def receive():
        return {"type": "http.request", "body": octets(text)}

    conn = {
        "type": "http",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": [(b"content-type", b"application/x-www-form-urlencoded")],
    }
    return Request(conn, receive)


def as_json_body(text):
    asked = body_of(text)
    asked.scope["headers"] = [(b"content-type", b"application/json")]
    return asked


def each_parameter(read):
    """A request whose every parameter is the text."""
    names = "grant_type client_id client_secret scope resource code redirect_uri code_verifier refresh_token username "
    names += "password token subject_token user_code device_code login_hint prompt max_age state response_mode"

    def reading(text):
        fields = [(name, text) for name in names.split()]
        with suppress(BailiwickError):
            read(fields)
        for field in fields:
            with suppress(BailiwickError):
                read([field])
        read([("client_assertion_type", JWT_BEARER), ("client_assertion", text)], authorization=[])

    return reading


def with_basic(text):
    TokenRequest.read([("grant_type", "x")], authorization=[f"Basic {base64.b64encode(octets(text)).decode()}"])


JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
VERIFIER = JWTVerifier(Keyring.from_keys(KEY), issuer="https://i.example", audience="https://a.example")
RULES = ClaimRules(
    issuer="i", audience="a", leeway=0, scope_claim="scope", client_claim="client_id", types=None, required=()
)
SEAL = Seal(bytes(32))
PROXIES = proxies.Proxies(None, [ip_network("10.0.0.0/8")])
FEED = RevocationFeed("https://i.example", keys=Keyring.from_keys(KEY))
SOCKETS = Guard(CATALOG, VERIFIER, websocket_subprotocol="token")
ROUTES = [
    RoutePlan(path, ("GET",), Kind.HTTP, "x", "", Access.GUARDED)
    for path in ("/a/{b:path}/c/{d}", "/{x}/{y:path}", "/{x}-{y}")
]
ASSETS = Assets("/static")
FETCHER = MetadataFetcher()
ENDPOINTS = endpoints.Endpoints.__new__(endpoints.Endpoints)
ENDPOINTS._authority = SimpleNamespace(settings=SimpleNamespace(client_certificates=True))
ENDPOINTS._read_certificate = Certificate


def claims_of(text):
    return dict.fromkeys(("iss", "aud", "sub", "scope", "client_id", "jti", "exp", "iat", "nbf", "acr"), text)


def forms(text):
    with suppress(BailiwickError):
        authority_form.Form([("a", text)]).scope()
    authority_form.Form((name, "") for name in text.split())


def echoes(text):
    for parameter in ("state", "nonce", "login_hint", "prompt", "max_age", "response_mode"):
        for check in (check_echoes, prompt_of, max_age_of, hint_of):
            with suppress(BailiwickError):
                check(authority_form.Form([(parameter, text)]))
        for find in (state_of, mode_of):
            with suppress(BailiwickError):
                find([(parameter, text)])


def pkce(text):
    with suppress(BailiwickError):
        check_challenge(text, "S256")
    check_verifier(text, "x" * 43)


def metadata(text):
    for name in ("client_name", "scope", "grant_types", "redirect_uris", "jwks", "token_endpoint_auth_method"):
        for value in (text, [text], text.split(), {"keys": [{"kty": text, "kid": text, "n": text}]}):
            with suppress(BailiwickError):
                read_told(CATALOG, {"redirect_uris": ["https://c.example/cb"], name: value}, POLICY, POLICY.ceiling)


def matched_paths(text):
    for path in ("/a/" + text, text, "/a/c/" * (len(text) // 5), f"/{text.replace('/', '')}/"):
        conn = {"type": "http", "method": "GET", "path": path}
        entry_for(conn, ROUTES)
        for route in ROUTES:  # each by itself: the first that fits ends the search
            entry_for(conn, [route])


def credentials(text):
    fields = [(b"authorization", b"Bearer a"), (b"sec-websocket-protocol", octets(header(text)))]
    conn = {"type": "websocket", "path": "/", "query_string": octets(text), "headers": fields}
    conn["subprotocols"] = [one.strip() for one in header(text).split(",")]
    read_credentials(SOCKETS, conn)


def signed_feed(text):
    asyncio.run(FEED._read(text, 0))


def checked_hosts(text):
    """What reads ids of documents and redirect URIs that were let in: ASCII, for `urlsplit` normalises other hosts."""
    if not text.isascii():
        return
    for uri in (f"https://{text}", f"https://a.example/{text}", text):
        with suppress(ValueError):
            pages.source_of(uri)
        with suppress(ValueError):
            pages._place_of(uri)
        with suppress(ValueError):
            pages._called(blank_client(uri, 0.0))
        with suppress(ValueError):
            must_always_ask(blank_client(uri, 0.0), uri)


def headers_of_a_document(text):
    told = httpx.Response(200, headers={"content-type": ascii(text), "cache-control": ascii(text)}, content=b"")
    asyncio.run(FETCHER._read(told))


def headers_of_a_feed(text):
    asyncio.run(FEED._text(httpx.Response(200, headers={"content-type": ascii(text)}, content=b"")))


def static_file(text):
    asked = request(if_none_match=text)
    asked.scope["path_params"] = {"name": next(iter(ASSETS._served))}
    asyncio.run(ASSETS.serve(asked))


def revoked(text):
    known = Revocations()
    known.add("family", "f", at=0.0, until=1.0, number=1)
    known.apply(Principal("u", ScopeSet(), token_id=text, claims={"rests_on": [text], "authz": text}))


def scopes_that_cover(text):
    held = CATALOG.hold(ScopeSet(["q:*", *ScopeSet.parse(text)]))
    CATALOG.covers(held, ScopeSet(f"b{name}:*" for name in ScopeSet.parse(text)))


def a_key(kty, **more):
    def reading(text):
        value = b64(octets(text))
        Keyring.from_jwks({"keys": [{"kty": kty, "n": value, "e": value, "k": value, **more}]})

    return reading


class Remembers:
    """A verifier that can tell at once only what it remembers."""

    async def verify(self, token):
        raise AssertionError(token)

    def verify_cached(self, _token):
        return None


REMEMBERS = Remembers()


def signed_assertion(text):
    header = b64(b'{"alg":"ES256"}')
    claimed = Assertion(f"{header}.{b64(octets(text))}.AAAA")
    assert claimed.envelope.alg == "ES256"
    assert claimed.claims


# Each parser of text that strangers send, by its file and name. A function of such a name that is not here fails the test.
PARSERS = {
    "authority/accounts.py:prepare_password": prepare_password,
    "authority/assertion.py:check_number_of_keys": check_number_of_keys,
    "authority/assertion.py:client_keys": client_keys,
    "authority/attempts.py:network_of": network_of,
    "authority/authorization_request.py:*": echoes,
    "authority/device.py:DeviceRequest.read": each_parameter(DeviceRequest.read),
    "authority/device.py:normalise_user_code": normalise_user_code,
    "authority/documents.py:ClientDocuments._read": lambda text: ClientDocuments._read(
        SimpleNamespace(_catalog=CATALOG), "https://a.example/", octets(text), DOCUMENTS
    ),
    "authority/documents.py:why_no_document": lambda text: why_no_document(text, DOCUMENTS),
    "authority/par.py:PushingRequest.read": each_parameter(PushingRequest.read),
    "authority/pkce.py:*": pkce,
    "authority/records.py:name_key": name_key,
    "authority/redirects.py:match": lambda text: match(["http://127.0.0.1/a", f"{text}a"], text),
    "authority/redirects.py:why_unfit": why_unfit,
    "authority/register.py:RegistrationRequest.read": lambda text: RegistrationRequest.read(octets(text)),
    "authority/register.py:_bearer_of": lambda text: RegistrationRequest.read(None, authorization=[text]),
    "authority/register.py:read_told": metadata,
    "authority/request/about_token.py:_AboutToken.read": each_parameter(RevocationRequest.read),
    "authority/request/asked.py:TokenRequest.read": each_parameter(TokenRequest.read),
    "authority/request/form.py:Form": forms,
    "authority/request/form.py:_decode": lambda text: authority_form.read_form(b"a=" + octets(text)),
    "authority/request/form.py:unquote_form": lambda text: authority_form.unquote_form(octets(text)),
    "authority/request/form.py:read_form": lambda text: authority_form.read_form(octets(text)),
    "authority/request/presented.py:Assertion": signed_assertion,
    "authority/request/presented.py:Certificate.says": lambda text: Certificate(text, frozenset([text])).says(text),
    "authority/request/presented.py:Presented.read": each_parameter(IntrospectionRequest.read),
    "authority/request/presented.py:_read_basic": with_basic,
    "guard/decision.py:read_credentials": credentials,
    "guard/decision.py:verify_now_of": lambda text: verify_now_of(REMEMBERS)(b"Bearer " + octets(text)),
    "guard/route_match.py:entry_for": matched_paths,
    "machine/certificates.py:read_certificate": lambda text: read_certificate(octets(text)),
    "remote/client_metadata.py:MetadataFetcher._read": headers_of_a_document,
    "remote/client_metadata.py:_fresh_for": _fresh_for,
    "remote/client_metadata.py:is_public": is_public,
    "remote/revocations.py:RevocationFeed._read": signed_feed,
    "remote/revocations.py:RevocationFeed._text": headers_of_a_feed,
    "scopes/catalog.py:Catalog.covers": lambda text: CATALOG.covers(ScopeSet(["q:*"]), text),
    "scopes/catalog.py:Catalog.hold": scopes_that_cover,
    "scopes/catalog.py:Catalog.from_toml": Catalog.from_toml,
    "scopes/catalog.py:Catalog.parse": CATALOG.parse,
    "scopes/grammar.py:ScopeSet._from_iterable": lambda text: ScopeSet.from_claim(text.split()),
    "scopes/grammar.py:ScopeSet.from_claim": ScopeSet.from_claim,
    "scopes/grammar.py:ScopeSet.parse": ScopeSet.parse,
    "scopes/requirement.py:_read": all_of,
    "scopes/roles.py:issue": lambda text: issue(
        CATALOG, ScopeSet.parse(text), ScopeSet(), Ceilings(ScopeSet(["items:*"]))
    ),
    "tokens/bearer.py:bearer_token": lambda text: bearer.bearer_token(
        [(b"authorization", b"Bearer a" + header(text).encode("latin-1"))], octets(text)
    ),
    "tokens/bearer.py:Challenge.answer": bearer.quoted,
    "tokens/claims.py:ClaimRules.read": lambda text: RULES.read(claims_of(text), 0.0),
    "tokens/claims.py:_identifier": lambda text: RULES.read(
        {"iss": "i", "aud": "a", "exp": 9, "sub": text, "jti": text, "scope": text}, 0.0
    ),
    "tokens/encoding.py:decode": decode,
    "tokens/encoding.py:decode_octets": lambda text: decode_octets(octets(text)),
    "tokens/encoding.py:read_json": lambda text: read_json(octets(text)),
    "tokens/jws.py:_read_header": lambda text: jws.read(f"{b64(octets(text))}.e30.AAAA", max_bytes=10**6),
    "tokens/jws.py:_read_object": lambda text: jws.read_claims(b64(octets(text)).encode()),
    "tokens/jws.py:read": jws.read,
    "tokens/jws.py:read_claims": lambda text: jws.read_claims(octets(text)),
    "tokens/jws.py:read_octets": lambda text: jws.read_octets(octets(text)),
    "tokens/keys.py:Keyring.from_jwks": Keyring.from_jwks,
    "tokens/strength.py:estimate_bits": estimate_bits,
    "tokens/strength.py:check_secret": a_key("oct", alg="HS256"),
    "tokens/jwk.py:_octets": a_key("RSA"),
    "tokens/jwk.py:Key": lambda text: Keyring.from_jwks({"keys": [{**KEY.key.to_jwk(), "kid": text}]}),
    "tokens/keys.py:SigningKey.from_jwk": lambda text: SigningKey.from_jwk(
        {"kty": "EC", "crv": text, "x": text, "d": text}
    ),
    "tokens/opaque.py:*": lambda text: opaque.is_well_formed(text) or opaque.digest(text),
    "tokens/revoked.py:Revocations.apply": revoked,
    "tokens/verify.py:JWTVerifier.verify": lambda text: asyncio.run(VERIFIER.verify(text)),
    "tokens/verify.py:JWTVerifier.verify_now": lambda text: VERIFIER.verify_now(b"Bearer " + octets(text)),
    "web/app.py:_is_for_people": lambda text: app._is_for_people(request(accept=text)),
    "web/assets.py:Assets.serve": static_file,
    "web/cookies.py:read_cookie": lambda text: cookies.read_cookie(request(cookie=text), "bailiwick"),
    "web/endpoints.py:Endpoints._certificate": lambda text: ENDPOINTS._certificate(request(client_cert=f":{text}:")),
    "web/endpoints.py:_authorization": lambda text: endpoints._authorization(request(authorization=text)),
    "web/endpoints.py:_number": lambda text: endpoints._number(request(f"after={text}"), "after"),
    "web/endpoints.py:origin_of": lambda text: endpoints.origin_of(request(user_agent=text)),
    "web/form.py:check_content_type": lambda text: form.check_content_type(request(content_type=text), form.FORM),
    "web/form.py:_read_body": lambda text: asyncio.run(form.read_form(body_of(text))),
    "web/form.py:read_form": lambda text: asyncio.run(form.read_form(body_of(text))),
    "web/form.py:read_json": lambda text: asyncio.run(form.read_json(as_json_body(text))),
    "web/form.py:read_page": lambda text: asyncio.run(form.read_page(body_of(text))),
    "web/known_browsers.py:KnownBrowsers._numbers": lambda text: known_browsers.KnownBrowsers(
        bytes(32), lifetime=1, https=False, token_bytes=bytes
    )._numbers(request(cookie=f"bailiwick-known={text.replace(';', '.')}"), None, 0.0),
    "web/pages.py:*": checked_hosts,
    "web/people.py:_query": lambda text: people._query(request(text)),
    "web/proxies.py:Proxies.caller": lambda text: PROXIES.caller("10.0.0.1", [(proxies.HEADER, octets(header(text)))]),
    "web/proxies.py:_read": proxies._read,
    "web/seal.py:_decode": lambda text: SEAL.open("x", text[:8000], browser="", now=0.0),
    "web/seal.py:Seal.open": lambda text: SEAL.open("x", text, browser="", now=0.0),
    "web/session.py:Sessions._read": lambda text: session.Sessions(None, None, https=True, token_bytes=bytes)._read(
        request(cookie=text)
    ),
}

# Functions of such names that read no text of strangers, and why.
OTHERS = {
    "authority/authority.py:Authority.prepare": "makes keys ready",
    "authority/authorization_request.py:AuthorizationRequest.from_dict": "reads what was sealed here",
    "authority/authorize.py:AuthorizationEndpoint._read": "takes a form that was read",
    "authority/grants/token_exchange.py:_number": "takes a claim that was read",
    "guard/protection.py:*": "reads the application's own routes",
    "guard/signature_checks.py:*": "reads the application's own signatures",
    "machine/sealing.py:*": "reads the operator's key",
    "remote/revocations.py:_number": "takes a claim that was read",
    "tokens/jwk.py:from_secret": "reads the operator's secret",
    "tokens/keys.py:Keyring.from_keys": "takes keys",
    "tokens/keys.py:Keyring.from_secret": "reads the operator's secret",
    "tokens/keys.py:SigningKey.from_secret": "reads the operator's secret",
    "tokens/strength.py:_parses": "reads the operator's secret",
    "web/endpoints.py:Endpoints._read": "hands a form on",
    "web/endpoints.py:Endpoints.ready": "reads nothing",
    "web/openapi.py:_query": "describes a parameter",
    "web/people.py:Waiting.from_dict": "reads what was sealed here",
    "authority/device.py:DeviceTicket.from_dict": "reads what was sealed here",
}

READS = re.compile(
    r"_?(read|parse|decode|from_|unquote|bearer|network_of|name_key|prepare|why_|normal|origin_of|query|number)"
)
PACKAGES = ("authority", "guard", "machine", "remote", "scopes", "tokens", "web")


def named_functions():
    """Every function whose name says that it reads something, as `file:Class.name`."""
    for package in PACKAGES:
        for path in sorted((SOURCE / package).rglob("*.py")):
            tree = ast.parse(path.read_text())
            owners = {
                id(one): node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for one in node.body
            }
            for node in ast.walk(tree):
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and READS.match(node.name):
                    owner = owners.get(id(node))
                    name = f"{owner}.{node.name}" if owner else node.name
                    yield f"{path.relative_to(SOURCE).as_posix()}:{name}"


def test_every_function_that_reads_text_is_listed():
    listed = PARSERS.keys() | OTHERS.keys()
    files = {name.partition(":")[0] for name in listed if name.endswith(":*")}
    missing = [name for name in named_functions() if name not in listed and name.partition(":")[0] not in files]
    assert not missing


# What takes text apart: methods of text and of patterns, decoders, and parsers of the libraries.
PRIMITIVES = frozenset(
    "split rsplit partition rpartition splitlines strip lstrip rstrip decode translate replace casefold fullmatch match "  # noqa: SIM905
    "search sub finditer findall normalize loads b64decode urlsafe_b64decode a2b_base64 decompress parse_qsl parse_qs urlsplit "
    "urlparse unquote unquote_to_bytes ip_address ip_network read_json fromhex load_der_x509_certificate getlist "
    "cookies query_params".split()
)
FUNCTIONS = PRIMITIVES - {"replace"} | {"int"}  # `replace` by itself is that of dataclasses

# Functions that take text apart which no stranger writes.
TRUSTED = {
    "guard/protection.py:*": "the source of the guarded application",
    "guard/signature_checks.py:*": "the source of the guarded application",
    "authority/admin/contradictions.py:_is_certificate": "declared, set or typed by the operator",
    "authority/admin/contradictions.py:check_client": "declared, set or typed by the operator",
    "authority/admin/people.py:People.create_account": "declared, set or typed by the operator",
    "authority/ids.py:is_token_id": "declared, set or typed by the operator",
    "authority/posture.py:_plain_http": "declared, set or typed by the operator",
    "authority/posture.py:_redirects": "declared, set or typed by the operator",
    "authority/posture.py:_settings": "declared, set or typed by the operator",
    "authority/settings.py:Registration.__post_init__": "declared, set or typed by the operator",
    "authority/settings.py:Settings.__post_init__": "declared, set or typed by the operator",
    "authority/settings.py:Settings.proxy_networks": "declared, set or typed by the operator",
    "authority/settings.py:_is_loopback": "declared, set or typed by the operator",
    "authority/settings.py:check_issuer": "declared, set or typed by the operator",
    "guard/guard.py:Guard.__init__": "declared, set or typed by the operator",
    "guard/policy.py:Public.__post_init__": "declared, set or typed by the operator",
    "guard/protected_resource.py:Resource.__post_init__": "declared, set or typed by the operator",
    "guard/protected_resource.py:Resource.metadata_path": "declared, set or typed by the operator",
    "guard/protected_resource.py:Resource.metadata_url": "declared, set or typed by the operator",
    "guard/protected_resource.py:_is_this_machine": "declared, set or typed by the operator",
    "machine/sealing.py:KeyEncryptionKey.from_text": "declared, set or typed by the operator",
    "machine/shared_attempts.py:SharedAttempts.__init__": "declared, set or typed by the operator",
    "remote/revocations.py:_basic": "declared, set or typed by the operator",
    "remote/revocations.py:_is_loopback": "declared, set or typed by the operator",
    "web/app.py:build_app": "declared, set or typed by the operator",
    "web/assets.py:Assets.__init__": "declared, set or typed by the operator",
    "web/pages.py:Pages.__init__": "declared, set or typed by the operator",
    "authority/documents.py:_holds": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/ids.py:_mint": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/ids.py:family_of": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/ids.py:mint_token_id": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/keys.py:SigningKeys._adopt": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/refusals.py:_folded": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/register.py:RegisteredClient.as_json": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/store.py:line_key": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/worth.py:Worth.of": "rows, keys, events, tokens and answers that the authority itself wrote",
    "machine/sealing.py:KeyEncryptionKey.open": "rows, keys, events, tokens and answers that the authority itself wrote",
    "machine/sealing.py:KeyEncryptionKey.seal": "rows, keys, events, tokens and answers that the authority itself wrote",
    "tokens/bearer.py:Answer.text_headers": "rows, keys, events, tokens and answers that the authority itself wrote",
    "tokens/jws.py:Signer.sign": "rows, keys, events, tokens and answers that the authority itself wrote",
    "web/seal.py:_encode": "rows, keys, events, tokens and answers that the authority itself wrote",
    "authority/attempts.py:check_wait": "numbers, and addresses that were read",
    "authority/feed.py:RevocationFeed.document": "numbers, and addresses that were read",
    "authority/introspect.py:IntrospectionEndpoint._refresh_token": "numbers, and addresses that were read",
    "authority/issue.py:Issuer._claims": "numbers, and addresses that were read",
    "authority/issue.py:Issuer.issue": "numbers, and addresses that were read",
    "remote/revocations.py:RevocationFeed._wait_for_news": "numbers, and addresses that were read",
    "remote/client_metadata.py:_is_loopback": "numbers, and addresses that were read",
    "remote/special_addresses.py:is_special": "numbers, and addresses that were read",
    "authority/authorize.py:AuthorizationEndpoint._asking": "hands on to functions that are measured",
    "authority/authorize.py:AuthorizationEndpoint._recipient": "hands on to functions that are measured",
    "web/endpoints.py:Endpoints.register": "hands on to functions that are measured",
    "web/endpoints.py:Endpoints.registration": "hands on to functions that are measured",
    "authority/documents.py:ClientDocuments._look": "an id of at most 512 characters, which why_no_document let through",
    "remote/client_metadata.py:MetadataFetcher._fetch": "an id of at most 512 characters, which why_no_document let through",
    "web/refusals.py:_place": "the path of a route of ours",
}


def functions_of(path):
    """Every function of a file, by its qualified name."""

    def below(node, before):
        for child in ast.iter_child_nodes(node):
            is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            if is_function:
                yield f"{before}{child.name}", child
            owner = f"{child.name}." if is_function or isinstance(child, ast.ClassDef) else ""
            yield from below(child, f"{before}{owner}{'<locals>.' if is_function else ''}")

    return below(ast.parse(path.read_text()), "")


def own_nodes(function):
    """The nodes of a function, without those of the functions in it."""
    for child in ast.iter_child_nodes(function):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child
            yield from own_nodes(child)


def takes_text_apart(function):
    """Whether a function calls something that takes text apart."""
    return any(
        (isinstance(node, ast.Attribute) and node.attr in PRIMITIVES)
        or (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FUNCTIONS)
        for node in own_nodes(function)
    )


@cache
def apart():
    """Every function that takes text apart, whatever its name."""
    return frozenset(
        f"{path.relative_to(SOURCE).as_posix()}:{name}"
        for package in PACKAGES
        for path in sorted((SOURCE / package).rglob("*.py"))
        for name, function in functions_of(path)
        if takes_text_apart(function)
    )


@cache
def gone_through():
    """The functions of the package that the parsers above go through, with each of the texts."""
    reached = set()

    def seen(frame, event, _argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(SOURCE)):
            reached.add(f"{Path(code.co_filename).relative_to(SOURCE).as_posix()}:{code.co_qualname}")

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        for read in PARSERS.values():
            for make in TEXTS.values():
                work_of(read, make(60), float("inf"))
    finally:
        sys.setprofile(before)
    return frozenset(reached)


def trusted():
    """The functions in `TRUSTED`, and those of a file that stands there as a whole."""
    return {name for name in apart() if name in TRUSTED or f"{name.partition(':')[0]}:*" in TRUSTED}


def test_every_function_that_takes_text_apart_is_gone_through_or_trusted_for_a_reason():
    assert sorted(apart() - gone_through() - trusted()) == []


def test_what_is_trusted_exists_and_is_not_measured_as_well():
    assert sorted(name for name in TRUSTED if name not in apart() and not name.endswith(":*")) == []
    assert sorted(trusted() & gone_through()) == []
    assert all(map(str.strip, TRUSTED.values()))


def test_a_parser_that_nobody_lists_would_be_noticed_whatever_its_name(tmp_path):
    source = tmp_path / "new.py"
    source.write_text("class Door:\n    def enter(self, text):\n        return [one for one in text.split(';')]\n")
    assert [name for name, function in functions_of(source) if takes_text_apart(function)] == ["Door.enter"]


# -- the measurement ----------------------------------------------------------------------------------------


def work_of(read, text, enough=float("inf")):
    """The processor time of reading a text, in seconds: the least of some attempts, which noise can only lengthen."""
    least = float("inf")
    for _ in range(5):
        urlsplit.cache_clear()  # it would know the text from the time before
        began = time.process_time()
        with suppress(BailiwickError, Malformed, Unfit, ValueError):
            read(text)
        least = min(least, time.process_time() - began)
        if least < enough or least > LONG:
            break
    return least


@cache
def linear_work():
    """What a plain loop of Python over the largest text takes: the yardstick of this machine."""
    text = "a" * SIZES[-1]
    return max(work_of(lambda given: [character == "b" for character in given], text), 1e-4)


def too_fast_growth(read):
    """The texts on which a parser's work grows faster than in proportion, with the growth from the smallest to the largest."""
    allowed = 4 * linear_work()
    found = {}
    for name, make in TEXTS.items():
        if work_of(read, make(SIZES[-1]), allowed) < allowed:
            continue  # no more than four plain loops: quadratic work over so much text takes far more
        small, middle, large = (work_of(read, make(size)) for size in SIZES)
        if large / small > 8 and large / middle > 2.8:  # in proportion: 4 and 2; quadratic: 16 and 4
            found[name] = round(large / small, 1)
    return found


@pytest.mark.parametrize("name", PARSERS)
def test_a_parser_works_in_proportion_to_its_text(name):
    assert not too_fast_growth(PARSERS[name])


# -- the test can fail: the two faults that were here -----------------------------------------------------


def test_the_quadratic_check_of_depth_that_was_here_would_be_noticed():
    strings = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
    assert "escaped quotes" in too_fast_growth(lambda text: strings.sub("", text))


def test_normalisation_in_front_of_the_check_of_length_would_be_noticed():
    import unicodedata

    assert too_fast_growth(lambda text: unicodedata.normalize("NFKC", text)).keys() == {
        "combining marks in the worst order"
    }


def test_a_json_text_may_have_escaped_quotes_and_brackets_in_its_strings():
    text = json.dumps(["[[[" * 40 + '"' * 3 + "\\" * 3, {"a": "}"}])
    assert read_json(text.encode()) == json.loads(text)
