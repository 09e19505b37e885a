"""Flaws that were published of others, about what is fetched from elsewhere."""

import asyncio
import time

import httpx
import pytest

from bailiwick.authority.documents import why_no_document
from bailiwick.authority.settings import MetadataDocuments
from bailiwick.errors import ConfigurationError, InvalidToken, Refused
from bailiwick.remote import RevocationFeed
from bailiwick.remote.client_metadata import MetadataFetcher
from bailiwick.scopes import ScopeSet
from bailiwick.tokens import JWTVerifier, Keyring, Signer, SigningKey

pytestmark = pytest.mark.anyio

ISSUER, API = "https://auth.example.com", "https://api.example.com"
KEY = SigningKey.generate("ES256", kid="good")
OTHER_SCHEMES = [
    "file:///etc/passwd",
    "FILE:///etc/passwd",
    "ftp://auth.example.com/x",
    "gopher://auth.example.com/x",
    "data:application/json,{}",
    "unix:///run/x.sock",
    "http://auth.example.com/x",
    "//auth.example.com/x",
    "/etc/passwd",
]


@pytest.mark.parametrize("url", OTHER_SCHEMES)
async def test_cve_2026_48522_nothing_is_fetched_but_by_https(url, monkeypatch):
    with pytest.raises(ConfigurationError):
        RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), url=url)
    assert why_no_document(url, MetadataDocuments(ScopeSet(["a"])))

    async def public(_host, _port):
        return ["93.184.216.34"]

    # Whatever a client of HTTP would make of such an address, it is never given one.
    line = Line((200, {"content-type": "application/json"}, "{}"))
    real = httpx.AsyncClient
    monkeypatch.setattr(httpx, "AsyncClient", lambda **_: real(transport=line))
    fetcher = MetadataFetcher(resolver=public)
    with pytest.raises(Refused) as caught:
        await fetcher.fetch(url)
    assert caught.value.id == "BW422"
    assert not line.requests
    assert (await fetcher.fetch("https://auth.example.com/x")).body == b"{}"


class Line(httpx.AsyncBaseTransport):
    """An authority of which nobody knows more than what it answers, and that counts how often it is asked."""

    def __init__(self, *answers):
        self.answers, self.requests = list(answers), []

    async def handle_async_request(self, request):
        self.requests.append(request)
        status, headers, text = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return httpx.Response(status, headers=headers, stream=httpx.ByteStream(text.encode()))


def document(key=KEY, lines=()):
    now = int(time.time())
    claims = {"iss": ISSUER, "iat": now, "exp": now + 660, "after": 0, "last": len(lines), "life": 660, "lines": lines}
    headers = {"content-type": "application/revocations+jwt"}
    return 200, headers, Signer(key).sign(claims, typ="revocations+jwt")


@pytest.mark.parametrize(
    "to", ["file:///etc/passwd", "http://auth.example.com/", "https://evil.example/x", "/elsewhere"]
)
@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_cve_2026_48522_a_redirect_is_no_answer_wherever_it_leads(to, status):
    # What it carries besides would have been believed.
    _, headers, text = document()
    line = Line((status, headers | {"location": to}, text))
    async with httpx.AsyncClient(transport=line, follow_redirects=True) as http:
        feed = RevocationFeed(ISSUER, keys=Keyring.from_keys(KEY), http=http)
        assert not await feed.refresh()
    assert len(line.requests) == 1


def token(**changes):
    now = int(time.time())
    claims = {"iss": ISSUER, "aud": API, "sub": "ada", "client_id": "c", "iat": now - 5, "exp": now + 600, "jti": "x.y"}
    kid = changes.pop("kid", KEY.kid)
    signer = KEY if kid == KEY.kid else SigningKey.generate("ES256", kid=kid)
    return Signer(signer).sign(claims | changes)


async def test_cve_2026_48524_a_storm_of_unknown_keys_asks_nobody_anything_and_a_bad_answer_forgets_nothing():
    now = time.time()
    revoked = [[1, "token", "x.y", now, now + 600, ""]]
    line = Line(document(lines=revoked), document(SigningKey.generate("ES256", kid="good")), (500, {}, ""))
    keys = Keyring.from_keys(KEY)
    async with httpx.AsyncClient(transport=line) as http:
        feed = RevocationFeed(ISSUER, keys=keys, http=http)
        verifier = JWTVerifier(keys, issuer=ISSUER, audience=API, checks=(feed.check,))
        assert await feed.refresh()
        for number in range(50):
            with pytest.raises(InvalidToken) as caught:
                await verifier.verify(token(kid=f"unknown {number}"))
            assert caught.value.id == "BW203"
        assert len(line.requests) == 1
        for _ in range(2):
            assert not await feed.refresh()
            with pytest.raises(InvalidToken) as caught:
                await verifier.verify(token())
            assert caught.value.id == "BW213"
            assert (await verifier.verify(token(jti="x.z"))).subject == "ada"


@pytest.mark.parametrize("name", ["CVE-2026-32871", "GHSA-vv7q-7jx5-f767"])
async def test_cve_2026_32871_ghsa_vv7q_7jx5_f767_what_is_fetched_is_asked_for_without_any_credentials(
    name, tmp_path, monkeypatch
):
    """And its path is what stands there: no dot segment leads from it to a neighbour."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine client.example login ada password hunter2\ndefault login ada password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", "http://ada:hunter2@127.0.0.1:1")
    asked = []

    async def serve(reader, writer):
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode().lower())
        writer.write(
            b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nset-cookie: a=b\r\nconnection: close\r\n\r\n{}"
        )
        await writer.drain()
        writer.close()

    async def here(_host, _port):
        return ["127.0.0.1"]

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        fetcher = MetadataFetcher(loopback=True, resolver=here)
        port = server.sockets[0].getsockname()[1]
        for _ in range(2):
            await fetcher.fetch(f"http://client.example:{port}/app")
    assert len(asked) == 2
    for request in asked:
        assert request.startswith("get /app http/1.1\r\n")
        names = {line.partition(":")[0] for line in request.split("\r\n")[1:] if line}
        assert names <= {"host", "accept", "accept-encoding", "connection", "user-agent"}
        assert "hunter2" not in request
    policy = MetadataDocuments(ScopeSet(["a"]))
    assert not why_no_document("https://client.example/app", policy)
    for path in ("/a/../b", "/a/./b", "/%2e%2e/b", "/a/%2E%2e", "/..", "/a\\..\\b"):
        assert why_no_document(f"https://client.example{path}", policy), path
