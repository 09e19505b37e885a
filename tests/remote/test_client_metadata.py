"""The fetcher of clients' documents, against real servers on this machine, and names that lead where they should not."""

import asyncio
import datetime as dt
import socket
import ssl
import threading
from ipaddress import ip_network

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bailiwick.errors import Refused
from bailiwick.remote.client_metadata import MetadataFetcher, is_public
from bailiwick.remote.special_addresses import IPV4, IPV6

pytestmark = pytest.mark.anyio

GOOD = b'{"client_id": "x"}'

PUBLIC = [
    "8.8.8.8",
    "93.184.216.34",
    "2606:2800:220:1:248:1893:25c8:1946",
    "2a00:1450:4001:81b::200e",
    "192.0.1.1",
    "2001:200::1",
]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "169.254.169.254",
    "100.64.0.1",
    "100.127.255.255",
    "192.0.0.1",
    "192.0.0.9",  # the nearest gateway, whichever that is
    "192.0.0.10",  # the nearest relay
    "192.0.0.255",
    "192.0.2.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "fc00::1",
    "fd12:3456::1",
    "ff02::1",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "2002:7f00:1::1",
    "2002:a00:1::1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:1::1",  # the nearest gateway
    "2001:1::2",
    "2001:4:112::1",
    "2001:20::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "100::1",
    "2130706433",
    "0x7f.0.0.1",
    "0177.0.0.1",
    "127.1",
    "localhost",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_an_address_of_the_public_internet_is_public(address):
    assert is_public(address)


@pytest.mark.parametrize("address", [*PRIVATE, ""])
def test_an_address_that_leads_inside_is_not_public(address):
    assert not is_public(address)


@pytest.mark.parametrize("network", [*IPV4, *IPV6])
def test_no_address_of_a_special_purpose_registry_is_public(network):
    network = ip_network(network)
    assert not is_public(str(network[0]))
    assert not is_public(str(network[-1]))
    assert not is_public(str(network[network.num_addresses // 2]))


@pytest.mark.parametrize(
    "outside",
    [
        *(
            "192.88.98.255",
            "192.88.100.0",
            "100.63.255.255",
            "100.128.0.0",
            "192.0.1.0",
            "223.255.255.255",
            "172.32.0.0",
        ),
        *(
            "2001:200::",
            "2001:db7:ffff::",
            "2001:db9::",
            "2003::",
            "2620:4f:7fff:ffff::",
            "2620:4f:8001::",
            "3fff:1000::",
        ),
    ],
)
def test_what_stands_beside_a_special_network_is_public(outside):
    assert is_public(outside)


@pytest.mark.parametrize(
    "hidden",
    [
        "::ffff:8.8.8.8",
        "::8.8.8.8",
        "::ffff:0:8.8.8.8",
        "64:ff9b::8.8.8.8",
        "64:ff9b:1::8.8.8.8",
        "2002:808:808::1",
        "2001:0:808:808::1",
        "2a00:1450::5efe:10.0.0.1",
        "2a00:1450::200:5efe:10.0.0.1",
    ],
)
def test_an_address_that_hides_an_ipv4_address_is_not_public_whatever_it_hides(hidden):
    assert not is_public(hidden)


class Served:
    """A server on this machine that says what it is told to, and remembers what it was asked."""

    def __init__(self, answer=None, *, status=b"200 OK", headers=b"content-type: application/json\r\n", tls=None):
        whole = (
            b"HTTP/1.1 "
            + status
            + b"\r\n"
            + headers
            + b"connection: close\r\n\r\n"
            + (GOOD if answer is None else answer)
        )
        self.pieces, self.tls, self.asked, self.pause = [whole], tls, [], 0.0

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0, ssl=self.tls)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self.server.close()
        await self.server.wait_closed()

    async def serve(self, reader, writer):
        try:
            self.asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
            for piece in self.pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(self.pause)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the fetcher hung up, as some tests want
        finally:
            writer.close()


class Names:
    """A resolver whose answers change from one question to the next."""

    def __init__(self, *answers):
        self.answers, self.asked = list(answers), []

    async def __call__(self, host, port):
        self.asked.append((host, port))
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]


async def refused(fetcher, url):
    with pytest.raises(Refused) as caught:
        await fetcher.fetch(url)
    assert (caught.value.code, caught.value.id) == ("invalid_client", "BW422")
    assert url not in caught.value.description
    return caught.value.detail


async def test_a_document_on_this_machine_is_fetched_in_development_only():
    async with Served(
        headers=b"content-type: application/json; charset=utf-8\r\ncache-control: public, max-age=600\r\n"
    ) as served:
        url = f"http://127.0.0.1:{served.port}/client.json"
        found = await MetadataFetcher(loopback=True).fetch(url)
        assert (found.body, found.fresh_for) == (GOOD, 600.0)
        (asked,) = served.asked
        assert asked.startswith("GET /client.json HTTP/1.1\r\n")
        assert f"host: 127.0.0.1:{served.port}\r\n" in asked.lower()
        assert "cookie" not in asked.lower()
        assert "authorization" not in asked.lower()
        assert "public" in await refused(MetadataFetcher(), url)
        assert len(served.asked) == 1


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "100.64.0.1", "fd00::1"]
)
async def test_a_name_that_leads_inside_is_not_asked(address):
    names = Names([address])
    assert "public" in await refused(MetadataFetcher(resolver=names), "https://app.example.com/c")
    assert names.asked == [("app.example.com", 443)]


async def test_one_bad_address_among_good_ones_spoils_all():
    for found in (["8.8.8.8", "127.0.0.1"], ["127.0.0.1", "8.8.8.8"], []):
        assert "public" in await refused(MetadataFetcher(resolver=Names(found)), "https://app.example.com/c")


async def test_development_lets_loopback_in_and_no_other_neighbour():
    for address in ("10.0.0.1", "169.254.169.254", "192.168.0.1", "fe80::1"):
        await refused(MetadataFetcher(loopback=True, resolver=Names([address])), "https://app.example.com/c")


async def test_plain_http_is_for_loopback_whatever_the_name_says():
    assert "https" in await refused(MetadataFetcher(loopback=True, resolver=Names(["8.8.8.8"])), "http://localhost/c")


def a_certificate(name, folder):
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    called = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder().subject_name(called).issuer_name(called).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - dt.timedelta(days=1)).not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file = folder / "server.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(file)
    return serving, ssl.create_default_context(cadata=made.public_bytes(serialization.Encoding.PEM).decode())


async def test_the_connection_goes_to_the_address_that_was_looked_at_with_the_names_own_certificate(tmp_path):
    """A name that leads elsewhere at its second resolution is resolved once (DNS rebinding)."""
    serving, trusting = a_certificate("app.example.com", tmp_path)
    async with Served(tls=serving) as served:
        names = Names(["127.0.0.1"], ["10.0.0.1"])
        fetcher = MetadataFetcher(loopback=True, tls=trusting, resolver=names)
        found = await fetcher.fetch(f"https://app.example.com:{served.port}/c")
        assert found.body == GOOD
        assert names.asked == [("app.example.com", served.port)]
        assert f"host: app.example.com:{served.port}\r\n" in served.asked[0].lower()
        other = MetadataFetcher(loopback=True, tls=trusting, resolver=Names(["127.0.0.1"]))
        assert "cannot be fetched" in await refused(other, f"https://evil.example.com:{served.port}/c")
        unknown = MetadataFetcher(loopback=True, resolver=Names(["127.0.0.1"]))
        assert "cannot be fetched" in await refused(unknown, f"https://app.example.com:{served.port}/c")
        assert len(served.asked) == 1


async def test_proxies_of_the_environment_are_not_used(monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    async with Served() as served:
        assert (await MetadataFetcher(loopback=True).fetch(f"http://127.0.0.1:{served.port}/c")).body == GOOD


@pytest.mark.parametrize(
    "status", [b"301 Moved", b"302 Found", b"307 Temporary", b"308 Permanent", b"404 No", b"500 No", b"206 Part"]
)
async def test_only_200_is_an_answer_and_redirects_are_not_followed(status):
    async with (
        Served() as target,
        Served(
            status=status,
            headers=b"content-type: application/json\r\nlocation: http://127.0.0.1:%d/x\r\n" % target.port,
        ) as served,
    ):
        detail = await refused(MetadataFetcher(loopback=True), f"http://127.0.0.1:{served.port}/c")
        assert status.decode()[:3] in detail
        assert target.asked == []


@pytest.mark.parametrize("kind", [b"text/html", b"text/plain", b"application/jsonp", b"", b"application/javascript"])
async def test_what_is_not_json_by_its_type_is_not_read(kind):
    async with Served(headers=b"content-type: " + kind + b"\r\n") as served:
        assert "JSON" in await refused(MetadataFetcher(loopback=True), f"http://127.0.0.1:{served.port}/c")


async def test_a_more_special_json_will_do():
    async with Served(headers=b"content-type: application/oauth-client+json\r\n") as served:
        assert (await MetadataFetcher(loopback=True).fetch(f"http://127.0.0.1:{served.port}/c")).body == GOOD


async def test_a_document_has_5_kib_at_most():
    for length, fits in ((5 * 1024, True), (5 * 1024 + 1, False), (10**6, False)):
        async with Served(b"x" * length) as served:
            url = f"http://127.0.0.1:{served.port}/c"
            if fits:
                assert len((await MetadataFetcher(loopback=True).fetch(url)).body) == length
            else:
                assert "longer" in await refused(MetadataFetcher(loopback=True), url)


async def test_a_compressed_document_is_refused():
    async with Served(headers=b"content-type: application/json\r\ncontent-encoding: gzip\r\n") as served:
        assert "compressed" in await refused(MetadataFetcher(loopback=True), f"http://127.0.0.1:{served.port}/c")


async def test_a_server_that_drips_has_no_more_than_the_whole_time():
    async with Served() as served:
        served.pieces = [served.pieces[0][:40], *[b"x-a: b\r\n"] * 40]
        served.pause = 0.1
        began = asyncio.get_running_loop().time()
        fetcher = MetadataFetcher(loopback=True, timeout=0.5)
        assert "longer" in await refused(fetcher, f"http://127.0.0.1:{served.port}/c")
        assert asyncio.get_running_loop().time() - began < 2


async def test_a_name_that_is_slow_to_resolve_has_no_more_than_the_whole_time():
    async def never(_host, _port):
        await asyncio.sleep(60)

    assert "longer" in await refused(MetadataFetcher(resolver=never, timeout=0.2), "https://app.example.com/c")


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("max-age=60", 60.0),
        ("no-store", 0.0),
        ("no-cache, max-age=9", 0.0),
        ("max-age=9, max-age=7", 7.0),
        ("", None),
        ("max-age=x", None),
    ],
)
async def test_how_long_it_may_be_kept_is_what_its_server_says(said, kept):
    headers = b"content-type: application/json\r\ncache-control: " + said.encode() + b"\r\n"
    async with Served(headers=headers) as served:
        assert (await MetadataFetcher(loopback=True).fetch(f"http://127.0.0.1:{served.port}/c")).fresh_for == kept


async def test_all_who_ask_for_a_document_at_once_are_one_visit():
    async with Served() as served:
        served.pieces, served.pause = [served.pieces[0][:30], served.pieces[0][30:]], 0.05
        fetcher = MetadataFetcher(loopback=True)
        url = f"http://127.0.0.1:{served.port}/c"
        found = await asyncio.gather(*(fetcher.fetch(url) for _ in range(100)))
        assert {one.body for one in found} == {GOOD}
        assert len(served.asked) == 1
        # And nothing of it is kept: how long a document is good is somebody else's to know.
        await fetcher.fetch(url)
        assert len(served.asked) == 2


async def test_a_visit_in_vain_is_in_vain_for_all_and_the_next_one_is_a_new_one():
    async with Served(status=b"500 No") as served:
        fetcher = MetadataFetcher(loopback=True)
        url = f"http://127.0.0.1:{served.port}/c"
        found = await asyncio.gather(*(fetcher.fetch(url) for _ in range(10)), return_exceptions=True)
        assert {type(one) for one in found} == {Refused}
        assert len(served.asked) == 1
        served.pieces = [served.pieces[0].replace(b"500 No", b"200 OK")]
        assert (await fetcher.fetch(url)).body == GOOD


async def test_whoever_goes_away_does_not_take_the_others_answer_along():
    async with Served() as served:
        served.pieces, served.pause = [served.pieces[0][:30], served.pieces[0][30:]], 0.1
        fetcher = MetadataFetcher(loopback=True)
        url = f"http://127.0.0.1:{served.port}/c"
        first, second = (asyncio.create_task(fetcher.fetch(url)) for _ in range(2))
        await asyncio.sleep(0.05)
        first.cancel()
        assert (await second).body == GOOD
        assert len(served.asked) == 1
        with pytest.raises(asyncio.CancelledError):
            await first


def test_a_visit_that_ended_with_its_event_loop_is_nobodys_answer_in_the_next_one():
    waiting = []

    async def resolver(_host, _port):
        if not waiting:
            waiting.append("forever")
            await asyncio.sleep(60)
        return ["10.0.0.1"]

    fetcher = MetadataFetcher(resolver=resolver)

    async def impatient():
        async with asyncio.timeout(0.05):
            await fetcher.fetch("https://app.example.com/c")

    with pytest.raises(TimeoutError):
        asyncio.run(impatient())
    assert "public" in asyncio.run(refused(fetcher, "https://app.example.com/c"))


async def test_names_that_take_for_ever_hold_up_nothing_else_of_the_process(monkeypatch):
    over = threading.Event()
    asked = socket.getaddrinfo

    def slow(host, *args, **more):
        if host.endswith(".example.com"):
            over.wait(30)
        return asked(host, *args, **more) if not host.endswith(".example.com") else []

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    fetcher = MetadataFetcher(timeout=0.2)
    try:
        work = [refused(fetcher, f"https://n{number}.example.com/c") for number in range(64)]
        assert {"longer" in detail for detail in await asyncio.gather(*work)} == {True}
        # The sixteen still wait, in threads of their own.
        async with asyncio.timeout(5):
            assert await asyncio.to_thread(lambda: "done") == "done"
            assert await asyncio.get_running_loop().getaddrinfo("127.0.0.1", 80)
    finally:
        over.set()
