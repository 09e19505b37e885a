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
import time
from contextlib import suppress
from functools import cache
from ipaddress import ip_network
from pathlib import Path

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
from bailiwick.authority.attempts import network_of
from bailiwick.authority.authorization_request import check_echoes, hint_of, max_age_of, mode_of, prompt_of, state_of
from bailiwick.authority.device import normalise_user_code
from bailiwick.authority.documents import why_no_document
from bailiwick.authority.pkce import check_challenge, check_verifier
from bailiwick.authority.records import name_key
from bailiwick.authority.redirects import why_unfit
from bailiwick.authority.register import read_told
from bailiwick.authority.request import form as authority_form
from bailiwick.authority.settings import MetadataDocuments, Registration
from bailiwick.errors import BailiwickError
from bailiwick.graph.plan import Access, Kind, RoutePlan
from bailiwick.guard.decision import read_credentials
from bailiwick.guard.route_match import entry_for
from bailiwick.machine.certificates import read_certificate
from bailiwick.remote import RevocationFeed
from bailiwick.remote.client_metadata import _fresh_for
from bailiwick.remote.revocations import Unfit
from bailiwick.scopes import all_of
from bailiwick.tokens import JWTVerifier, Keyring, SigningKey, bearer, jws, opaque
from bailiwick.tokens.claims import ClaimRules
from bailiwick.tokens.encoding import Malformed, decode, decode_octets, read_json
from bailiwick.web import cookies, endpoints, form, known_browsers, people, proxies, session
from bailiwick.web.seal import Seal

pytestmark = pytest.mark.timing

SOURCE = Path(__file__).parent.parent / "src" / "bailiwick"
SIZES = (4_096, 8_192, 16_384)
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
    RoutePlan(path, ("GET",), Kind.HTTP, "x", "", Access.GUARDED) for path in ("/a/{b:path}/c/{d}", "/{x}/{y:path}")
]


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
    for path in ("/a/" + text, text, "/a/c/" * (len(text) // 5)):
        conn = {"type": "http", "method": "GET", "path": path}
        entry_for(conn, ROUTES)


def credentials(text):
    fields = [(b"authorization", b"Bearer a"), (b"sec-websocket-protocol", octets(header(text)))]
    conn = {"type": "websocket", "path": "/", "query_string": octets(text), "headers": fields}
    conn["subprotocols"] = [one.strip() for one in header(text).split(",")]
    read_credentials(SOCKETS, conn)


def signed_feed(text):
    asyncio.run(FEED._read(text, 0))


# Each parser of text that strangers send, by its file and name. A function of such a name that is not here fails the test.
PARSERS = {
    "authority/accounts.py:prepare_password": prepare_password,
    "authority/attempts.py:network_of": network_of,
    "authority/authorization_request.py:*": echoes,
    "authority/device.py:DeviceRequest.read": each_parameter(DeviceRequest.read),
    "authority/device.py:normalise_user_code": normalise_user_code,
    "authority/documents.py:why_no_document": lambda text: why_no_document(text, DOCUMENTS),
    "authority/par.py:PushingRequest.read": each_parameter(PushingRequest.read),
    "authority/pkce.py:*": pkce,
    "authority/records.py:name_key": name_key,
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
    "authority/request/presented.py:Presented.read": each_parameter(IntrospectionRequest.read),
    "authority/request/presented.py:_read_basic": with_basic,
    "guard/decision.py:read_credentials": credentials,
    "guard/route_match.py:entry_for": matched_paths,
    "machine/certificates.py:read_certificate": lambda text: read_certificate(octets(text)),
    "remote/client_metadata.py:_fresh_for": _fresh_for,
    "remote/revocations.py:RevocationFeed._read": signed_feed,
    "scopes/catalog.py:Catalog.from_toml": Catalog.from_toml,
    "scopes/catalog.py:Catalog.parse": CATALOG.parse,
    "scopes/grammar.py:ScopeSet._from_iterable": lambda text: ScopeSet.from_claim(text.split()),
    "scopes/grammar.py:ScopeSet.from_claim": ScopeSet.from_claim,
    "scopes/grammar.py:ScopeSet.parse": ScopeSet.parse,
    "scopes/requirement.py:_read": all_of,
    "tokens/bearer.py:bearer_token": lambda text: bearer.bearer_token(
        [(b"authorization", b"Bearer a" + header(text).encode("latin-1"))], octets(text)
    ),
    "tokens/bearer.py:Challenge.answer": bearer.quoted,
    "tokens/claims.py:ClaimRules.read": lambda text: RULES.read(claims_of(text), 0.0),
    "tokens/encoding.py:decode": decode,
    "tokens/encoding.py:decode_octets": lambda text: decode_octets(octets(text)),
    "tokens/encoding.py:read_json": lambda text: read_json(octets(text)),
    "tokens/jws.py:_read_header": lambda text: jws.read(f"{b64(octets(text))}.e30.AAAA", max_bytes=10**6),
    "tokens/jws.py:_read_object": lambda text: jws.read_claims(b64(octets(text)).encode()),
    "tokens/jws.py:read": jws.read,
    "tokens/jws.py:read_claims": lambda text: jws.read_claims(octets(text)),
    "tokens/jws.py:read_octets": lambda text: jws.read_octets(octets(text)),
    "tokens/keys.py:Keyring.from_jwks": Keyring.from_jwks,
    "tokens/keys.py:SigningKey.from_jwk": lambda text: SigningKey.from_jwk(
        {"kty": "EC", "crv": text, "x": text, "d": text}
    ),
    "tokens/opaque.py:*": lambda text: opaque.is_well_formed(text) or opaque.digest(text),
    "tokens/verify.py:JWTVerifier.verify": lambda text: asyncio.run(VERIFIER.verify(text)),
    "tokens/verify.py:JWTVerifier.verify_now": lambda text: VERIFIER.verify_now(b"Bearer " + octets(text)),
    "web/cookies.py:read_cookie": lambda text: cookies.read_cookie(request(cookie=text), "bailiwick"),
    "web/endpoints.py:_number": lambda text: endpoints._number(request(f"after={text}"), "after"),
    "web/endpoints.py:origin_of": lambda text: endpoints.origin_of(request(user_agent=text)),
    "web/form.py:_read_body": lambda text: asyncio.run(form.read_form(body_of(text))),
    "web/form.py:read_form": lambda text: asyncio.run(form.read_form(body_of(text))),
    "web/form.py:read_json": lambda text: asyncio.run(form.read_json(as_json_body(text))),
    "web/form.py:read_page": lambda text: asyncio.run(form.read_page(body_of(text))),
    "web/known_browsers.py:KnownBrowsers._numbers": lambda text: known_browsers.KnownBrowsers(
        bytes(32), lifetime=1, https=False, token_bytes=bytes
    )._numbers(request(cookie=f"bailiwick-known={text.replace(';', '.')}"), None, 0.0),
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
    "authority/documents.py:ClientDocuments._read": "read_json and read_told, which are listed",
    "authority/grants/token_exchange.py:_number": "takes a claim that was read",
    "guard/signature_checks.py:*": "reads the application's own signatures",
    "machine/sealing.py:*": "reads the operator's key",
    "remote/client_metadata.py:MetadataFetcher._read": "counts bytes; its headers are read by _fresh_for",
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


# -- the measurement ----------------------------------------------------------------------------------------


def work_of(read, text, enough=float("inf")):
    """The processor time of reading a text, in seconds: the least of some attempts, which noise can only lengthen."""
    least = float("inf")
    for _ in range(5):
        began = time.process_time()
        with suppress(BailiwickError, Malformed, Unfit, ValueError):
            read(text)
        least = min(least, time.process_time() - began)
        if least < enough:
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
